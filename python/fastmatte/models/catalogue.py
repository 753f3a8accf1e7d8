"""The catalogue: networks known by name, whose weights they are, and where their files are kept.

Each is one row. A Download stands only where somebody publishes both an address and a hash of what
lies there, and says who does. Where only the authors' page is known, or what they keep there is no
ONNX file, the row has none; a file that the user puts into the cache folder serves all the same.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fastmatte.errors import ModelError
from fastmatte.models.spec import ModelSpec

#: "yes": the authors let the weights be used commercially, in writing. "no": they forbid it, or
#: pass on terms that do. "unclear": nothing is said of the weights, or what they were trained on
#: has terms that say otherwise. The row's note says which. A summary, no legal advice.
Commercial = Literal["yes", "no", "unclear"]


@dataclass(frozen=True)
class Download:
    """A file that lies open to everybody, and how to tell that it is the right one.

    url:       where it is.
    hashes:    each "algorithm:digest"; all must hold.
    published: who publishes address and hashes.
    size:      in bytes, None where nobody says it.
    """

    url: str
    hashes: tuple[str, ...]
    published: str
    size: int | None = None


@dataclass(frozen=True)
class KnownModel:
    """A network that a name stands for.

    spec:       how it is fed and read. The path is relative to the cache folder; an absolute one is
                a file that comes with fastmatte.
    licence:    of the weights; "(code)" where the authors state one for their code alone.
    commercial: whether they may be used commercially.
    source:     the authors' page, or that of whoever made the ONNX file of their weights.
    parameters: in millions, where a source says so.
    note:       what a careful person would want to know.
    """

    name: str
    spec: ModelSpec
    licence: str
    commercial: Commercial
    source: str
    download: Download | None = None
    parameters: float | None = None
    note: str = ""

    @property
    def comes_along(self) -> bool:
        """Whether fastmatte brings the file itself."""
        return Path(self.spec.path).is_absolute()


#: Public sources of three projects or more, none a copy of another, agree on the sha256.
PINNED = "sha256 as projects that download it pin it"
#: One was found.
PINNED_ONCE = "sha256 as a project that downloads it pins it"


def _rembg(file: str, md5: str, sha256: str | None = None, size: int | None = None) -> Download:
    """Return an asset of rembg's release, whose md5 stands in rembg/sessions/*.py at 684f8e9."""
    return Download(
        f"https://github.com/danielgatis/rembg/releases/download/v0.0.0/{file}",
        (f"md5:{md5}", *([f"sha256:{sha256}"] if sha256 else [])),
        "address and md5: github.com/danielgatis/rembg, rembg/sessions"
        + (f"; {PINNED}" if sha256 else ""),
        size,
    )


def _rvm(file: str, sha256: str, size: int | None = None, pinned: str = PINNED) -> Download:
    """Return an asset of Robust Video Matting's release, whose address its README gives."""
    return Download(
        f"https://github.com/PeterL1n/RobustVideoMatting/releases/download/v1.0.0/{file}",
        (f"sha256:{sha256}",),
        f"address: the authors' README; {pinned}",
        size,
    )


def _hugging_face(path: str, sha256: str, size: int, pinned: str = PINNED) -> Download:
    """Return a file on Hugging Face, which shows its sha256 beside it."""
    return Download(f"https://huggingface.co/{path}", (f"sha256:{sha256}",), pinned, size)


U2NET = "https://github.com/xuebinqin/U-2-Net"
DIS = "https://github.com/xuebinqin/DIS"
BIREFNET = "https://github.com/ZhengPeng7/BiRefNet"
RVM = "https://github.com/PeterL1n/RobustVideoMatting"
BGMV2 = "https://github.com/PeterL1n/BackgroundMattingV2"
VITMATTE = "https://github.com/hustvl/ViTMatte"
PADDLE = "https://github.com/PaddlePaddle/PaddleSeg/blob/develop/Matting/docs/model_zoo_cn.md"

# What the notes say was read at: xuebinqin/U-2-Net#208, xuebinqin/DIS#150, danielgatis/rembg#837,
# ZhengPeng7/BiRefNet#306, PeterL1n/RobustVideoMatting#191, PeterL1n/BackgroundMattingV2#118.
DUTS = "The authors refer to the terms of DUTS, which it was trained on."
DIS5K = "Trained on DIS5K, whose terms bar commercial use; the authors have not answered for it."
BIREFNET_DATA = "The author grants MIT, and concedes that terms of the training data say otherwise."
RVM_SILENT = "The code is GPL-3.0; the authors have not said whether the weights are."
ADOBE = "Trained on Adobe's data set, which is for research."
EXPORT = "Published as a Paddle model, without a licence of its own: export it with paddle2onnx."

_ROWS = (
    KnownModel(
        "portrait",
        ModelSpec(Path(__file__).parent / "weights" / "portrait.onnx", family="portrait"),
        licence="Apache-2.0",
        commercial="yes",
        source="fastmatte itself: fastmatte/models/weights/README.md",
        parameters=0.42,
        note="The default, trained by this project from MediaPipe's weights and on data whose "
        "licence allows it.",
    ),
    KnownModel(
        "modnet",
        ModelSpec("modnet.onnx", family="modnet"),
        licence="Apache-2.0",
        commercial="yes",
        source="https://github.com/ZHKKKe/MODNet",
        # The official export, modnet_photographic_portrait_matting.onnx, byte for byte.
        download=_hugging_face(
            "Xenova/modnet/resolve/fa2fa546052fba4c08921230a26cc69a333fca12/onnx/model.onnx",
            "07c308cf0fc7e6e8b2065a12ed7fc07e1de8febb7dc7839d7b7f15dd66584df9",
            25_888_640,
        ),
        parameters=6.487,
        note="The authors' README grants it for code and models.",
    ),
    KnownModel(
        "selfie",
        ModelSpec("selfie.onnx", family="selfie"),
        licence="Apache-2.0",
        commercial="yes",
        source="https://huggingface.co/onnx-community/mediapipe_selfie_segmentation",
        download=_hugging_face(
            "onnx-community/mediapipe_selfie_segmentation/resolve/"
            "be49485c8e027524be38591817fc5cd31bd9d00e/onnx/model.onnx",
            "3241ac4ad8aa35bdaf33946776db29f7c283a413aa0b0dacb9483594b4531aad",
            462_352,
        ),
        note="MediaPipe's model card grants it.",
    ),
    KnownModel(
        "pp-humanseg",
        ModelSpec("pp-humanseg.onnx", family="softmax"),
        licence="Apache-2.0",
        commercial="yes",
        source="https://github.com/opencv/opencv_zoo/tree/main/models/human_segmentation_pphumanseg",
        download=Download(
            "https://media.githubusercontent.com/media/opencv/opencv_zoo/"
            "47534e27c9851bb1128ccc0102f1145e27f23f98/models/human_segmentation_pphumanseg/"
            "human_segmentation_pphumanseg_2023mar.onnx",
            ("sha256:552d8a984054e59b5d773d24b9b12022b22046ceb2bbc4c9aaeaceb36a9ddf24",),
            "sha256: the Git LFS pointer in github.com/opencv/opencv_zoo",
            6_163_938,
        ),
        note="OpenCV's model zoo licenses the folder it lies in.",
    ),
    KnownModel(
        "pp-humanseg-lite",
        ModelSpec("pp-humanseg-lite.onnx", family="softmax"),
        licence="not stated",
        commercial="unclear",
        source="https://github.com/PaddlePaddle/PaddleSeg/tree/develop/contrib/PP-HumanSeg",
        note=EXPORT,
    ),
    KnownModel(
        "rvm-mobilenetv3",
        ModelSpec("rvm-mobilenetv3.onnx", family="rvm"),
        licence="GPL-3.0 (code)",
        commercial="unclear",
        source=RVM,
        download=_rvm(
            "rvm_mobilenetv3_fp32.onnx",
            "88d4531297118f595bf2fd60f6f566aec2e559393802d1f436c380f0cbbd2828",
            14_975_696,
        ),
        parameters=3.749,
        note=RVM_SILENT,
    ),
    KnownModel(
        "rvm-mobilenetv3-fp16",
        ModelSpec("rvm-mobilenetv3-fp16.onnx", family="rvm"),
        licence="GPL-3.0 (code)",
        commercial="unclear",
        source=RVM,
        download=_rvm(
            "rvm_mobilenetv3_fp16.onnx",
            "6a0d5ce6cc17702613be548559879b4521ed424cfe14ddc48d1acaa44d616f64",
            7_503_483,
        ),
        parameters=3.749,
        note=RVM_SILENT,
    ),
    KnownModel(
        "rvm-resnet50",
        ModelSpec("rvm-resnet50.onnx", family="rvm"),
        licence="GPL-3.0 (code)",
        commercial="unclear",
        source=RVM,
        download=_rvm(
            "rvm_resnet50_fp32.onnx",
            "25db300fcb6ee27f941a1b52c97856e8d1f13c7f35817f81a612f89af0e8a85c",
            107_479_165,
        ),
        parameters=26.89,
        note=RVM_SILENT,
    ),
    KnownModel(
        "rvm-resnet50-fp16",
        ModelSpec("rvm-resnet50-fp16.onnx", family="rvm"),
        licence="GPL-3.0 (code)",
        commercial="unclear",
        source=RVM,
        download=_rvm(
            "rvm_resnet50_fp16.onnx",
            "a9266f5046411d604bbff38e18c54bf8c70d85d93bbc400564697590f5712738",
            pinned=PINNED_ONCE,
        ),
        parameters=26.89,
        note=RVM_SILENT,
    ),
    KnownModel(
        "bgmv2-mobilenetv2-720p",
        ModelSpec("bgmv2-mobilenetv2-720p.onnx", family="bgmv2-refine"),
        licence="MIT",
        commercial="yes",
        source=BGMV2,
        # models/public/background-matting-mobilenetv2/model.yml at 7ef5b91.
        download=Download(
            "https://github.com/DmitriySidnev/BackgroundMattingV2/raw/master/onnx/"
            "bgm_mobilenetv2.onnx",
            (
                "sha384:3fc7bad659149e3e9e0feb4ef531c177ab158e5bbcfdabba9952c3832053f353"
                "d23560ff488aeae857245734ef639e6b",
            ),
            "github.com/openvinotoolkit/open_model_zoo, models/public",
            20_006_715,
        ),
        parameters=5.052,
        note="The author confirms commercial use. Exported for frames of 1280 x 720 only.",
    ),
    KnownModel(
        "bgmv2-mobilenetv2",
        ModelSpec("bgmv2-mobilenetv2.onnx", family="bgmv2-refine"),
        licence="MIT",
        commercial="yes",
        source=BGMV2,
        parameters=5.007,
        note="The author confirms commercial use. ONNX files are in the folder the README links.",
    ),
    KnownModel(
        "bgmv2-resnet50",
        ModelSpec("bgmv2-resnet50.onnx", family="bgmv2-refine"),
        licence="MIT",
        commercial="yes",
        source=BGMV2,
        note="The author confirms commercial use. ONNX files are in the folder the README links.",
    ),
    KnownModel(
        "vitmatte-small",
        ModelSpec("vitmatte-small.onnx", family="vitmatte-hf"),
        licence="Apache-2.0 or MIT",
        commercial="unclear",
        source=VITMATTE,
        download=_hugging_face(
            "Xenova/vitmatte-small-composition-1k/resolve/"
            "6bc1297f6140f055a227b6d2cfe8c093281f35d2/onnx/model.onnx",
            "bf28d2e0be2c073286e88d60ad649d7123da2749a2d99133fd1098d5887e0225",
            103_885_865,
        ),
        note=f"The one of Composition-1k. {ADOBE}",
    ),
    KnownModel(
        "vitmatte-small-d646",
        ModelSpec("vitmatte-small-d646.onnx", family="vitmatte-hf"),
        licence="Apache-2.0 or MIT",
        commercial="unclear",
        source=VITMATTE,
        download=_hugging_face(
            "Xenova/vitmatte-small-distinctions-646/resolve/main/onnx/model.onnx",
            "a1cf48234c369faa3ea1711981d961fe1ec71f51e593f9d6553aa5a0e7d557e3",
            103_885_865,
            PINNED_ONCE,
        ),
        note="Distinctions-646, which it was trained on, has terms of its own.",
    ),
    KnownModel(
        "u2net",
        ModelSpec("u2net.onnx", family="salient"),
        licence="Apache-2.0",
        commercial="unclear",
        source=U2NET,
        download=_rembg(
            "u2net.onnx",
            "60024c5c889badc19c04ad937298a77b",
            "8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
            175_997_641,
        ),
        note=DUTS,
    ),
    KnownModel(
        "u2netp",
        ModelSpec("u2netp.onnx", family="salient"),
        licence="Apache-2.0",
        commercial="unclear",
        source=U2NET,
        download=_rembg(
            "u2netp.onnx",
            "8e83ca70e441ab06c318d82300c84806",
            "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
            4_574_861,
        ),
        note=DUTS,
    ),
    KnownModel(
        "u2net-human-seg",
        ModelSpec("u2net-human-seg.onnx", family="salient"),
        licence="Apache-2.0",
        commercial="unclear",
        source=U2NET,
        download=_rembg(
            "u2net_human_seg.onnx",
            "c09ddc2e0104f800e3e1bb4652583d1f",
            "01eb6a29a5c4d8edb30b56adad9bb3a2a0535338e480724a213e0acfd2d1c73c",
            175_997_641,
        ),
        note="The authors refer to the terms of the data it was trained on.",
    ),
    KnownModel(
        "silueta",
        ModelSpec("silueta.onnx", family="salient"),
        licence="not stated",
        commercial="unclear",
        source=f"{U2NET}/issues/295",
        download=_rembg(
            "silueta.onnx",
            "55e59e0d8062d2f5d013f4725ee84782",
            "75da6c8d2f8096ec743d071951be73b4a8bc7b3e51d9a6625d63644f90ffeedb",
            44_173_029,
        ),
        note="A smaller U2-Net; nobody says under what terms.",
    ),
    KnownModel(
        "isnet-general-use",
        ModelSpec("isnet-general-use.onnx", family="isnet-general-use"),
        licence="Apache-2.0 (code)",
        commercial="unclear",
        source=DIS,
        download=_rembg(
            "isnet-general-use.onnx",
            "fc16ebd8b0c10d971d3513d564d01e29",
            "60920e99c45464f2ba57bee2ad08c919a52bbf852739e96947fbb4358c0d964a",
            178_648_008,
        ),
        note=DIS5K,
    ),
    KnownModel(
        "isnet-anime",
        ModelSpec("isnet-anime.onnx", family="isnet-anime"),
        licence="Apache-2.0",
        commercial="unclear",
        source="https://github.com/SkyTNT/anime-segmentation",
        download=_rembg(
            "isnet-anime.onnx",
            "6f184e756bb3bd901c8849220a83e38e",
            "f15622d853e8260172812b657053460e20806f04b9e05147d49af7bed31a6e99",
            176_069_933,
        ),
        note="Nothing is said of the drawings it was trained on.",
    ),
    *(
        KnownModel(
            name,
            ModelSpec(f"{name}.onnx", family="birefnet"),
            licence="MIT",
            commercial="unclear",
            source=BIREFNET,
            download=_rembg(file, md5, sha256, size),
            note=BIREFNET_DATA,
        )
        for name, file, md5, sha256, size in (
            (
                "birefnet-general",
                "BiRefNet-general-epoch_244.onnx",
                "7a35a0141cbbc80de11d9c9a28f52697",
                "58f621f00f5d756097615970a88a791584600dcf7c45b18a0a6267535a1ebd3c",
                972_666_916,
            ),
            (
                "birefnet-general-lite",
                "BiRefNet-general-bb_swin_v1_tiny-epoch_232.onnx",
                "4fab47adc4ff364be1713e97b7e66334",
                "5600024376f572a557870a5eb0afb1e5961636bef4e1e22132025467d0f03333",
                224_005_088,
            ),
            (
                "birefnet-portrait",
                "BiRefNet-portrait-epoch_150.onnx",
                "c3a64a6abf20250d090cd055f12a3b67",
                "1ba1c8ff5a7bbfadc8d8d13fb11d7be793f91f23d9d466549e37a854f6668f99",
                972_666_916,
            ),
            (
                "birefnet-dis",
                "BiRefNet-DIS-epoch_590.onnx",
                "2d4d44102b446f33a4ebb2e56c051f2b",
                None,
                None,
            ),
            (
                "birefnet-hrsod",
                "BiRefNet-HRSOD_DHU-epoch_115.onnx",
                "c017ade5de8a50ff0fd74d790d268dda",
                None,
                None,
            ),
            (
                "birefnet-cod",
                "BiRefNet-COD-epoch_125.onnx",
                "f6d0d21ca89d287f17e7afe9f5fd3b45",
                None,
                None,
            ),
            (
                "birefnet-massive",
                "BiRefNet-massive-TR_DIS5K_TR_TEs-epoch_420.onnx",
                "33e726a2136a3d59eb0fdf613e31e3e9",
                None,
                None,
            ),
        )
    ),
    KnownModel(
        "rmbg-1.4",
        # BRIA's own example subtracts 0.5 and divides by 1, as IS-Net's does.
        ModelSpec("rmbg-1.4.onnx", family="isnet-general-use"),
        licence="bria-rmbg-1.4",
        commercial="no",
        source="https://huggingface.co/briaai/RMBG-1.4",
        download=_hugging_face(
            "briaai/RMBG-1.4/resolve/2ceba5a5efaec153162aedea169f76caf9b46cf8/onnx/model.onnx",
            "8cafcf770b06757c4eaced21b1a88e57fd2b66de01b8045f35f01535ba742e0f",
            176_153_355,
        ),
        note="BRIA sells commercial licences.",
    ),
    KnownModel(
        "rmbg-2.0",
        ModelSpec("rmbg-2.0.onnx", family="bria-rmbg"),
        licence="CC BY-NC 4.0",
        commercial="no",
        source="https://huggingface.co/briaai/RMBG-2.0",
        # The one hash of rembg's that is a sha256.
        download=Download(
            "https://github.com/danielgatis/rembg/releases/download/v0.0.0/bria-rmbg-2.0.onnx",
            ("sha256:5b486f08200f513f460da46dd701db5fbb47d79b4be4b708a19444bcd4e79958",),
            "github.com/danielgatis/rembg, rembg/sessions",
            1_024_331_469,
        ),
        note="BRIA sells commercial licences.",
    ),
    KnownModel(
        "csnet",
        ModelSpec("csnet.onnx", family="salient"),
        licence="CC BY-NC-SA 4.0",
        commercial="no",
        source="https://github.com/ShangHua-Gao/SOD100K",
        note="Published as PyTorch weights: export them at 224 x 224.",
    ),
    *(
        KnownModel(
            name,
            ModelSpec(f"{name}.onnx", family=family),
            licence="not stated",
            commercial="unclear",
            source=PADDLE,
            parameters=parameters,
            note=EXPORT,
        )
        for name, family, parameters in (
            ("pp-modnet-mobilenetv2", "paddle-modnet", 6.5),
            ("pp-modnet-hrnet-w18", "paddle-modnet", 10.2),
            ("pp-modnet-resnet50-vd", "paddle-modnet", 92.2),
            ("pp-mattingv2-512", "pp-matting-512", 8.95),
            ("pp-matting-512", "pp-matting-512", 24.5),
            ("pp-matting-1024", "pp-matting-1024", 24.5),
            ("pp-humanmatting", "pp-humanmatting", 63.9),
            ("pp-dim-vgg16", "dim", 28.4),
        )
    ),
    KnownModel(
        "dim-foamliu",
        ModelSpec("dim-foamliu.onnx", family="dim-4channel"),
        licence="MIT (code)",
        commercial="no",
        source="https://github.com/foamliu/Deep-Image-Matting-PyTorch",
        note=f"{ADOBE} Published as PyTorch weights.",
    ),
    KnownModel(
        "dim-huochaitiantang",
        ModelSpec("dim-huochaitiantang.onnx", family="dim-4channel"),
        licence="none",
        commercial="no",
        source="https://github.com/huochaitiantang/pytorch-deep-image-matting",
        note=f"{ADOBE} Published as PyTorch weights.",
    ),
)

CATALOGUE: dict[str, KnownModel] = {row.name: row for row in _ROWS}


def known(*, commercial_only: bool = False) -> tuple[KnownModel, ...]:
    """Return every network that a name stands for, in the catalogue's order.

    commercial_only: leave out those whose weights may not be used commercially, or may or may not.
    """
    rows = CATALOGUE.values()
    return tuple(row for row in rows if row.commercial == "yes" or not commercial_only)


def find(name: str) -> KnownModel:
    """Return the network that a name stands for.

    Raises ModelError for a name nobody knows, with the ones most like it.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    raise ModelError(f"{name}: no model is called that{alike(name)}; `fastmatte models` lists them")


def alike(name: str) -> str:
    """Return a question that names the models spelt most like this, "" where none is."""
    names = difflib.get_close_matches(name.lower().replace("_", "-"), CATALOGUE, n=3)
    return f" (did you mean {' or '.join(map(repr, names))}?)" if names else ""
