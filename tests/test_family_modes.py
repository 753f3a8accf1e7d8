"""Every family in both modes, end to end, against the authors' scripts restated.

The restatements here share nothing with the package: OpenCV and Pillow resize, NumPy normalises,
ONNX Runtime runs. The graphs are small convolutions with the published signatures, so that
channels, neighbours and borders all show in alpha.
"""

from __future__ import annotations

import hashlib
import lzma
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import fastmatte as fm
import graphs
import numpy as np
import onnx
import onnxruntime
import oracles
import pytest
from fastmatte.models import FAMILIES
from fastmatte.models.catalogue import CATALOGUE
from fastmatte.models.resampling import resample
from fastmatte.shots import ShotDetector
from PIL import Image

cv2 = pytest.importorskip("cv2", reason="OpenCV restates the authors' scripts")

IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
HALVES = np.full(3, 0.5), np.full(3, 0.5)
PLAIN = np.zeros(3), np.ones(3)


def photo(height, width, seed=0):
    """Soft shapes with some noise, as photographs have, and no white."""
    rng = np.random.default_rng((height, width, seed))
    coarse = rng.integers(0, 256, (7, 9, 3)).astype(np.uint8)
    soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(soft + rng.normal(0, 6, soft.shape), 0, 211).astype(np.uint8)


def trimap_of(height, width):
    """Sure background left, sure foreground right, a slanted unknown band between."""
    rows, columns = np.mgrid[:height, :width]
    place = columns / width + 0.2 * rows / height
    return np.where(place < 0.4, 0, np.where(place > 0.8, 255, 128)).astype(np.uint8)


@dataclass
class Net:
    """A graph run with nothing but ONNX Runtime."""

    path: object

    def __post_init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(
            self.path, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, *tensors, output=0):
        names = [i.name for i in self.session.get_inputs()]
        outputs = self.session.get_outputs()
        found = [o.name for o in outputs]
        name = found[output] if isinstance(output, int) else output
        feeds = dict(zip(names, (np.asarray(t, np.float32) for t in tensors), strict=True))
        return self.session.run([name], feeds)[0]


def chw(image):
    return np.ascontiguousarray(image.transpose(2, 0, 1))[None]


def linear(image, size):
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def normalised(image, norm):
    return (image / 255 - norm[0]) / norm[1]


# The authors' scripts, each from an (H, W, 3) image (and guidance) to (H, W) uint8.


def modnet_script(net, image):
    height, width = image.shape[:2]
    h, w = height, width
    if max(h, w) < 512 or min(h, w) > 512:
        h, w = (512, int(w / h * 512)) if w >= h else (int(h / w * 512), 512)
    h, w = h - h % 32, w - w % 32
    values = (image - 127.5) / 127.5
    small = cv2.resize(values, None, fx=w / width, fy=h / height, interpolation=cv2.INTER_AREA)
    alpha = (net(chw(small))[0, 0] * 255).astype(np.uint8)
    return cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)


def paddle_script(net, image, *, short, always=False, multiple=32):
    height, width = image.shape[:2]
    least = min(height, width)
    scale = short / least if always or least > short else 1.0
    middle = round(height * scale), round(width * scale)
    small = linear(image, middle)
    small = linear(small, tuple(side - side % multiple for side in middle))
    alpha = net(chw(normalised(small, HALVES)))[0, 0]
    return (linear(linear(alpha, middle), (height, width)) * 255).astype(np.uint8)


def dim_script(net, image, trimap):
    height, width = image.shape[:2]
    size = height, width
    if max(size) > 3840:
        size = tuple(round(side * 3840 / max(size)) for side in size)
    small = cv2.resize(trimap, size[::-1], interpolation=cv2.INTER_NEAREST)
    planes = chw(normalised(linear(image, size), HALVES)), small[None, None]
    alpha = net(*planes)[0, 0]
    alpha[small == 0] = 0
    alpha[small == 255] = 1
    return (linear(alpha, (height, width)) * 255).astype(np.uint8)


def whole_script(net, image, trimap):
    height, width = image.shape[:2]
    size = tuple(min(1600, side - side % 32) for side in (height, width))
    planes = chw(normalised(linear(image, size), IMAGENET)), linear(trimap, size)[None, None] / 255
    alpha = linear(net(np.concatenate(planes, 1))[0, 0], (height, width))
    alpha[trimap == 0] = 0
    alpha[trimap == 255] = 1
    return (alpha * 255).astype(np.uint8)


def vitmatte_script(net, image, trimap, *, norm=IMAGENET, original=True):
    height, width = image.shape[:2]
    rows, columns = -(-height // 32) * 32, -(-width // 32) * 32
    if original and (height % 32 or width % 32):
        rows, columns = height + 32 - height % 32, width + 32 - width % 32
    padded = np.zeros((1, 4, rows, columns))
    padded[0, :3, :height, :width] = chw(normalised(image, norm))[0]
    padded[0, 3, :height, :width] = trimap / 255
    alpha = net(padded)[0, 0, :height, :width]
    return (alpha * 255).astype(np.uint8) if original else np.rint(alpha * 255).astype(np.uint8)


def bgmv2_script(net, image, background):
    return (net(chw(image / 255), chw(background / 255), output="pha")[0, 0] * 255).astype(np.uint8)


def rembg_script(net, image, *, side, mean, std, logits=False):
    pillow = Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS)
    levels = np.array(pillow)
    values = (levels / max(levels.max(), 1e-6) - np.array(mean)) / np.array(std)
    alpha = net(chw(values))[0, 0]
    if logits:
        alpha = 1 / (1 + np.exp(-alpha))
    alpha = (alpha - alpha.min()) / (alpha.max() - alpha.min())
    mask = Image.fromarray((alpha * 255).astype(np.uint8))
    return np.array(mask.resize(image.shape[1::-1], Image.Resampling.LANCZOS))


def square_script(net, image, *, side, norm, channel=0, last=False):
    small = normalised(linear(image, (side, side)), norm)
    alpha = net(small[None])[0, ..., 0] if last else net(chw(small))[0, channel]
    return np.rint(linear(np.ascontiguousarray(alpha), image.shape[:2]) * 255).astype(np.uint8)


def rvm_script(net, image):
    ratio = np.array([min(512 / max(image.shape[:2]), 1)])
    zeros = [np.zeros((1, 1, 1, 1))] * 4
    return (net(chw(image / 255), *zeros, ratio, output="pha")[0, 0] * 255).astype(np.uint8)


rembg = partial(rembg_script, side=1024)

# Family -> its graph, and the authors' script.
SCRIPTS = {
    "modnet": ("modnet", modnet_script),
    "paddle-modnet": ("paddle", partial(paddle_script, short=512, always=True)),
    "pp-matting-512": ("paddle", partial(paddle_script, short=512)),
    "pp-matting-1024": ("paddle", partial(paddle_script, short=1024)),
    "pp-humanmatting": (
        "paddle",
        partial(paddle_script, short=2048, always=True, multiple=128),
    ),
    "dim": ("dim", dim_script),
    "dim-4channel": ("four", whole_script),
    "vitmatte": ("vitmatte", vitmatte_script),
    "vitmatte-hf": ("vitmatte-hf", partial(vitmatte_script, norm=HALVES, original=False)),
    "bgmv2-refine": ("bgmv2-refine", bgmv2_script),
    "bgmv2-base": ("bgmv2-base", bgmv2_script),
    "rvm": ("rvm", rvm_script),
    "salient": ("salient", partial(rembg_script, side=320, mean=IMAGENET[0], std=IMAGENET[1])),
    "isnet-general-use": ("large", partial(rembg, mean=HALVES[0], std=1)),
    "isnet-anime": ("large", partial(rembg, mean=IMAGENET[0], std=1)),
    "bria-rmbg": ("large", partial(rembg, mean=IMAGENET[0], std=IMAGENET[1])),
    "birefnet": ("birefnet", partial(rembg, mean=IMAGENET[0], std=IMAGENET[1], logits=True)),
    "selfie": ("selfie", partial(square_script, side=256, norm=PLAIN)),
    "mmnet": ("mmnet", partial(square_script, side=256, norm=PLAIN)),
    "softmax": ("softmax", partial(square_script, side=192, norm=HALVES, channel=1)),
}
#: portrait's authors are these ones: its fast mode is tested in test_families.
OWN = {"portrait"}


@pytest.fixture(scope="module")
def contract(tmp_path_factory, graph):
    folder = tmp_path_factory.mktemp("contracts")

    def make(name):
        if name == "rvm":
            return graph("rvm")
        path = folder / f"{name}.onnx"
        return path if path.exists() else graphs.contract(path, **graphs.CONTRACTS[name])

    return make


def guided(family, size):
    """Return what the family needs besides an image, by its name."""
    needs = FAMILIES[family].guidance
    if needs is None:
        return {}
    return {needs: trimap_of(*size) if needs == "trimap" else photo(*size, seed=1)}


def as_bytes(matter, image, **guidance):
    return matter.alpha(image, out=np.empty(image.shape[:2], np.uint8), **guidance)


FILTERS = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST}


@pytest.mark.parametrize("how", [*FILTERS, "lanczos"])
def test_resampling_is_theirs_bit_for_bit(how):
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width, rows, columns = (int(side) for side in rng.integers(1, 90, 4))
        for shape in ((height, width), (height, width, 3)):
            levels = rng.integers(0, 256, shape, dtype=np.uint8)
            if how == "lanczos":
                pillow = Image.fromarray(levels).resize((columns, rows), Image.Resampling.LANCZOS)
                np.testing.assert_array_equal(resample(levels, (rows, columns), how), pillow)
                continue
            numbers = [levels / np.float32(255)] + [levels / 255] * (how != "linear")
            for image in (levels, *numbers):
                expected = cv2.resize(image, (columns, rows), interpolation=FILTERS[how])
                found = resample(image, (rows, columns), how)
                assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
                # OpenCV rounds the halves of a true area to even, and keeps the places of floats
                # in float32: up to 90 pixels of 2^-24.
                most = 1e-5 if image.dtype != np.uint8 else int(how == "area")
                assert np.abs(found.astype(float) - expected).max() <= most


def test_every_family_has_its_script():
    assert set(SCRIPTS) | OWN == set(FAMILIES)


#: Odd, landscape and portrait; larger and smaller than the networks.
SIZES = [(701, 905), (640, 480), (300, 451), (97, 129)]
#: Sides the scripts take as they are.
FITTING = {"bgmv2-refine": 4, "bgmv2-base": 4}


#: Any frame becomes one of four million pixels and more: one is enough.
CASES = [(f, s) for f in SCRIPTS for s in (SIZES if f != "pp-humanmatting" else SIZES[-1:])]
#: Longer than these scripts leave a frame.
CASES += [("dim", (60, 4001)), ("dim-4channel", (1701, 70))]
#: One side in need of padding, where the original pads the other, too.
CASES += [("vitmatte", (64, 97)), ("vitmatte-hf", (64, 97))]


@pytest.mark.parametrize(("family", "size"), CASES)
def test_reference_is_the_authors_script_to_the_last_rounding(contract, family, size):
    size = tuple(side - side % FITTING.get(family, 1) for side in size)
    graph, script = SCRIPTS[family]
    path, image, guidance = contract(graph), photo(*size), guided(family, size)
    expected = script(Net(path), image, **guidance)
    assert np.ptp(expected) > 40  # an alpha that could differ
    matter = fm.Matter(path, family=family, mode="reference")
    alpha = as_bytes(matter, image, **guidance)
    apart = np.abs(alpha.astype(int) - expected)
    assert apart.max() <= 1
    # Rounding down and a half up are a level apart half the time, but truncating twice is not.
    assert (apart > 0).mean() < 0.02 or family == "rvm", (apart > 0).mean()


@pytest.mark.parametrize("family", ["modnet", "pp-matting-512", "salient"])
def test_reference_at_4k(contract, family):
    graph, script = SCRIPTS[family]
    image = photo(2160, 3840)
    expected = script(Net(contract(graph)), image)
    alpha = as_bytes(fm.Matter(contract(graph), family=family, mode="reference"), image)
    assert np.abs(alpha.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("pixel_format", ["bgr", "rgba", "bgra"])
@pytest.mark.parametrize("family", ["modnet", "bgmv2-refine"])
def test_reference_takes_every_pixel_format(contract, family, pixel_format):
    image, plate = photo(64, 96), photo(64, 96, 1)
    matter = fm.Matter(contract(SCRIPTS[family][0]), mode="reference")

    def formatted(pixels):
        pixels = pixels if pixel_format.startswith("rgb") else pixels[..., ::-1]
        return np.dstack([pixels, pixels[..., :1]]) if len(pixel_format) == 4 else pixels

    guidance = {"background": plate} if family == "bgmv2-refine" else {}
    expected = matter.alpha(image, **guidance)
    guidance = {name: formatted(pixels) for name, pixels in guidance.items()}
    alpha = matter.alpha(formatted(image), pixel_format=pixel_format, **guidance)
    np.testing.assert_array_equal(alpha, expected)


# What fast does, on graphs that see single pixels only where resizing is concerned.


def fast_planes(image, size, norm):
    """Return what a network of this input size sees: resized by area or bilinearly, unrounded."""
    grows = size[0] > image.shape[0] or size[1] > image.shape[1]
    small = oracles.resample(image.astype(float), size, "bilinear" if grows else "area")
    return chw(normalised(small, norm))


def padded(planes, multiple, *, edge):
    height, width = planes.shape[2:]
    more = (-height % multiple, -width % multiple)
    mode = "edge" if edge else "constant"
    return np.pad(planes, ((0, 0), (0, 0), (0, more[0]), (0, more[1])), mode=mode)


#: Family -> input size of a 301 x 450 frame, normalisation.
RESIZED = {
    "modnet": ((512, 736), HALVES),
    "paddle-modnet": ((512, 736), HALVES),
    "pp-matting-512": ((288, 448), HALVES),
    "pp-matting-1024": ((288, 448), HALVES),
    "salient": ((320, 320), IMAGENET),
    "isnet-general-use": ((1024, 1024), (HALVES[0], 1)),
    "isnet-anime": ((1024, 1024), (IMAGENET[0], 1)),
    "bria-rmbg": ((1024, 1024), IMAGENET),
    "birefnet": ((1024, 1024), IMAGENET),
    "selfie": ((256, 256), PLAIN),
    "mmnet": ((256, 256), PLAIN),
    "softmax": ((192, 192), HALVES),
}


@pytest.mark.parametrize("family", RESIZED)
def test_fast_resizes_once_and_unrounded(contract, family):
    size, norm = RESIZED[family]
    image = photo(301, 450)
    path = contract(SCRIPTS[family][0])
    alpha = Net(path)(fast_planes(image, size, norm))[0, int(family == "softmax")]
    if family == "birefnet":
        alpha = 1 / (1 + np.exp(-alpha))
    shrinks = size[0] >= 301 and size[1] >= 450
    expected = oracles.resample(alpha, (301, 450), "area" if shrinks else "bilinear")
    matter = fm.Matter(path, family=family, refine="none")
    np.testing.assert_allclose(matter.alpha(image), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("family", "frame", "expected"),
    [
        ("pp-humanmatting", (301, 450), (2048, 2944)),
        ("pp-humanmatting", (4000, 3000), (2688, 2048)),
        ("pp-matting-512", (2000, 1000), (1024, 512)),
        ("pp-matting-512", (31, 700), (32, 672)),
        ("pp-matting-1024", (1025, 2000), (1024, 1984)),
        ("paddle-modnet", (10, 10), (512, 512)),
        ("paddle-modnet", (3, 700), (512, 2048)),
        ("paddle-modnet", (5000, 1000), (2560, 512)),
        ("pp-humanmatting", (37, 1), (8192, 2048)),
        ("bgmv2-refine", (1, 1081), (4, 1084)),
        ("vitmatte", (32, 33), (32, 64)),
        ("dim", (9, 7680), (4, 3840)),
        ("dim-4channel", (1601, 801), (1600, 800)),
    ],
)
def test_size_rules(contract, family, frame, expected):
    signature = fm.Matter(contract(SCRIPTS[family][0]), family=family).signature
    spec = fm.ModelSpec("none.onnx")
    assert FAMILIES[family].input_size(signature, spec, frame) == expected


def vitmatte_planes(image, trimap, norm, multiple=32, *, edge=False):
    planes = np.concatenate([chw(normalised(image, norm)), trimap[None, None] / 255], 1)
    return (padded(planes, multiple, edge=edge),)


#: Family -> the tensors for a frame at its own size, padded.
PADDED = {
    "dim": lambda image, trimap: (chw(normalised(image, HALVES)), trimap[None, None]),
    "dim-4channel": partial(vitmatte_planes, norm=IMAGENET, edge=True),
    "vitmatte": partial(vitmatte_planes, norm=IMAGENET),
    "vitmatte-hf": partial(vitmatte_planes, norm=HALVES),
    "bgmv2-refine": lambda *images: [padded(chw(i / 255), 4, edge=True) for i in images],
    "bgmv2-base": lambda *images: [padded(chw(i / 255), 4, edge=True) for i in images],
}


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (64, 96), (65, 97), (301, 450)])
@pytest.mark.parametrize("family", PADDED)
def test_fast_pads_frames_of_any_size_and_cuts_alpha(contract, family, size):
    image, guidance = photo(*size), guided(family, size)
    path = contract(SCRIPTS[family][0])
    output = "pha" if family.startswith("bgmv2") else 0
    tensors = PADDED[family](image, *guidance.values())
    expected = Net(path)(*tensors, output=output)[0, 0, : size[0], : size[1]]
    if "trimap" in guidance:
        expected[guidance["trimap"] == 0] = 0
        expected[guidance["trimap"] == 255] = 1
    matter = fm.Matter(path, family=family)
    # A frame of another size with the same padding must leave nothing behind.
    other = size[0] + 1, size[1] + 1
    matter.alpha(photo(*other), **guided(family, other))
    matte = matter(image, **guidance)
    np.testing.assert_allclose(matte.alpha, expected, atol=2e-6)
    assert np.abs(as_bytes(matter, image, **guidance) - 255 * expected).max() <= 0.501
    if family.startswith("bgmv2"):
        assert np.abs(matte.foreground - 0.8 * image).max() <= 0.501


@pytest.mark.parametrize("family", ["dim", "dim-4channel"])
def test_fast_shrinks_what_is_longer_than_the_script_allows(contract, family):
    size, most = (40, 4001), {"dim": 3840, "dim-4channel": 1600}[family]
    image, trimap = photo(*size), trimap_of(*size)
    path = contract(SCRIPTS[family][0])
    matter = fm.Matter(path, family=family, refine="none", tile="none")
    alpha = matter.alpha(image, trimap=trimap)
    assert (alpha[trimap == 0] == 0).all()
    assert (alpha[trimap == 255] == 1).all()
    content = round(40 * most / 4001), most
    planes = fast_planes(image, content, HALVES if family == "dim" else IMAGENET)
    small = fm.kernels.resize(trimap, content, filter="nearest")[None, None]
    if family == "dim":
        tensors = planes, small
    else:
        tensors = (padded(np.concatenate([planes, small / 255], 1), 32, edge=True),)
    plane = Net(path)(*tensors)[0, 0, : content[0], : content[1]]
    expected = oracles.resample(plane, size, "bilinear")
    unknown = trimap == 128
    np.testing.assert_allclose(alpha[unknown], expected[unknown], atol=2e-5)


@pytest.mark.parametrize("family", sorted(set(SCRIPTS) - {"rvm", "pp-humanmatting"}))
def test_modes_differ_by_little_where_scripts_do_not_stretch(contract, family):
    size = (480, 640)
    image, guidance = photo(*size), guided(family, size)
    path = contract(SCRIPTS[family][0])
    fast, reference = (
        fm.Matter(path, family=family, mode=mode, refine="none").alpha(image, **guidance)
        for mode in ("fast", "reference")
    )
    if FAMILIES[family].reference.stretch:
        assert np.corrcoef(fast.ravel(), reference.ravel())[0, 1] > 0.98
    else:
        unknown = guidance["trimap"] == 128 if "trimap" in guidance else np.ones(size, bool)
        assert np.abs(fast - reference)[unknown].mean() < 0.012


# Recognition: by signature, with a reason; several that fit are named.

RECOGNISED = {
    "modnet": "modnet",
    "dim": "dim",
    "vitmatte": "vitmatte",
    "vitmatte-hf": "vitmatte-hf",
    "bgmv2-refine": "bgmv2-refine",
    "bgmv2-base": "bgmv2-base",
    "salient": "salient",
    "birefnet": "birefnet",
    "selfie": "selfie",
    "selfie-nhwc": "selfie",
    "mmnet": "mmnet",
    "softmax": "softmax",
    "rvm": "rvm",
}
AMBIGUOUS = {
    "paddle": {"paddle-modnet", "pp-matting-512", "pp-matting-1024", "pp-humanmatting"},
    "four": {"dim-4channel", "vitmatte"},
    "large": {"isnet-general-use", "isnet-anime", "bria-rmbg", "birefnet"},
}


@pytest.mark.parametrize("name", RECOGNISED)
def test_graphs_are_recognised(contract, name):
    info = fm.Matter(contract(name)).info
    assert info.family == RECOGNISED[name]
    assert info.family_reason != "said by hand"
    assert info.guidance == FAMILIES[info.family].guidance


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguity_names_its_choices_and_nothing_else(contract, name):
    with pytest.raises(fm.ModelError, match="fits several families") as caught:
        fm.Matter(contract(name))
    rows = [line.split()[0] for line in str(caught.value).splitlines() if line.startswith("  ")]
    assert AMBIGUOUS[name] == set(rows) - {"input", "output"}
    for family in AMBIGUOUS[name]:
        assert fm.Matter(contract(name), family=family).info.family == family


def test_several_outputs_of_a_large_square_are_not_birefnets(tmp_path):
    contract = {"inputs": {"x": graphs.LARGE}, "outputs": ["y", "z"]}
    with pytest.raises(fm.ModelError, match=r"isnet-anime, bria-rmbg\. It has"):
        fm.Matter(graphs.contract(tmp_path / "isnet.onnx", **contract))


def test_paddle_graphs_of_fixed_size_are_fed_alike(tmp_path):
    contract = {"inputs": {"img": (1, 3, 64, 96)}, "outputs": ["tmp_0"]}
    path = graphs.contract(tmp_path / "fixed.onnx", **contract)
    assert fm.Matter(path).info.family == "paddle-modnet"
    image = photo(90, 130)
    for mode, resize in (("reference", linear), ("fast", None)):
        planes = (
            chw(normalised(resize(image, (64, 96)), HALVES))
            if resize
            else fast_planes(image, (64, 96), HALVES)
        )
        expected = cv2.resize(Net(path)(planes)[0, 0], (130, 90))
        alpha = fm.Matter(path, mode=mode, refine="none").alpha(image)
        assert np.abs(alpha - expected).max() < (1 / 255 if mode == "reference" else 2e-5)


@pytest.mark.parametrize(
    ("size", "family"),
    [
        ((512, 512), "modnet"),
        ((512, 896), "modnet"),
        ((256, 320), "modnet"),
        ((256, 256), "mmnet"),
        ((320, 320), "salient"),
    ],
)
def test_a_modnet_whose_size_was_fixed_is_one_still(tmp_path, size, family):
    contract = {"inputs": {"input": (1, 3, *size)}, "outputs": ["output"]}
    path = graphs.contract(tmp_path / "fixed.onnx", **contract)
    assert fm.Matter(path).info.family == family


def test_a_frozen_modnet_gives_the_same_alpha(contract, tmp_path):
    image = photo(300, 400)
    whole = fm.Matter(contract("modnet"), refine="none")
    height, width = 512, 672
    frozen = tmp_path / "frozen.onnx"
    fm.graph.freeze(contract("modnet"), frozen, shapes={"input": (1, 3, height, width)})
    matter = fm.Matter(frozen, refine="none")
    assert matter.info.family_reason == "input of fixed size 512 x 672, output of one channel"
    np.testing.assert_allclose(matter.alpha(image), whole.alpha(image), atol=1e-6)


@pytest.mark.parametrize("size", [(500, 512), ("h", 512)])
def test_no_modnet_takes_such_a_size(tmp_path, size):
    contract = {"inputs": {"input": (1, 3, *size)}, "outputs": ["output"]}
    with pytest.raises(fm.ModelError, match="fits no known family"):
        fm.Matter(graphs.contract(tmp_path / "odd.onnx", **contract))


def test_a_published_file_is_known_by_its_hash(contract, monkeypatch):
    path = contract("large")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    row = CATALOGUE["isnet-anime"]
    download = replace(row.download, hashes=(f"sha256:{digest}",))
    monkeypatch.setitem(CATALOGUE, row.name, replace(row, download=download))
    info = fm.Matter(path).info
    assert info.family == "isnet-anime"
    assert info.family_reason == "its hash is that of isnet-anime, from the catalogue"
    assert fm.Matter(path, family="bria-rmbg").info.family == "bria-rmbg"


def test_channels_may_be_left_open_where_names_tell(tmp_path):
    path = graphs.contract(tmp_path / "open.onnx", **graphs.CONTRACTS["vitmatte-hf"])
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "num_channels"
    onnx.save(model, path)
    assert fm.Matter(path).info.family == "vitmatte-hf"


# Bad input.


@pytest.mark.parametrize(
    ("family", "guidance", "error", "message"),
    [
        ("modnet", {"trimap": trimap_of(20, 30)}, ValueError, "trimap: expected none, for family"),
        ("modnet", {"background": photo(20, 30)}, ValueError, "background: expected none"),
        ("dim", {}, ValueError, "trimap: expected a trimap, (H, W) uint8 of 0, 128 and 255;"),
        ("dim", {}, ValueError, "(--trimap, --trimap-from), for family 'dim'; got none"),
        ("bgmv2-base", {}, ValueError, "(--background-plate), for family 'bgmv2-base'; got none"),
        (
            "dim",
            {"trimap": trimap_of(20, 30), "background": photo(20, 30)},
            ValueError,
            "background: expected none, for family 'dim' takes a trimap instead",
        ),
        ("dim", {"trimap": trimap_of(20, 31)}, ValueError, "size, 20 x 30, got 20 x 31; fastmatte"),
        ("dim", {"trimap": trimap_of(20, 30) / 255.0}, TypeError, "trimap: expected (H, W) uint8"),
        ("dim", {"trimap": trimap_of(20, 30) // 2}, ValueError, "trimap: expected nothing but 0"),
        ("dim", {"trimap": "trimap.png"}, TypeError, "trimap: expected a NumPy array"),
        ("bgmv2-base", {}, ValueError, "background: expected the scene without its subject"),
        (
            "bgmv2-base",
            {"background": photo(10, 15)},
            ValueError,
            "got 10 x 15; fastmatte.kernels.resize(background, (20, 30)) makes it fit",
        ),
        (
            "bgmv2-base",
            {"background": trimap_of(20, 30)},
            ValueError,
            "background: expected (H, W, 3) uint8",
        ),
    ],
)
@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_bad_guidance_is_named(contract, family, guidance, error, message, mode):
    matter = fm.Matter(contract(SCRIPTS[family][0]), mode=mode)
    image = photo(20, 30)
    for call in (matter, matter.alpha, matter.stream()):
        with pytest.raises(error) as caught:
            call(image, **guidance)
        assert message in str(caught.value)


def test_bad_trimap_value_is_shown_with_its_place(contract):
    trimap = trimap_of(20, 30)
    trimap[3, 4] = 127
    with pytest.raises(ValueError, match="got 127 at row 3, column 4"):
        fm.Matter(contract("dim")).alpha(photo(20, 30), trimap=trimap)


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_stream_takes_a_background_once_and_newer_ones(contract, mode):
    matter = fm.Matter(contract("bgmv2-refine"), mode=mode)
    frames, plates = [photo(52, 72, s) for s in range(3)], [photo(52, 72, s) for s in (8, 9)]
    with matter.stream(background=plates[0], smoothing="none") as stream:
        for frame in frames:
            expected = matter.alpha(frame, background=plates[0])
            np.testing.assert_array_equal(stream(frame).alpha, expected)
        for given in ({"background": plates[1]}, {}):
            expected = matter.alpha(frames[0], background=plates[1])
            np.testing.assert_array_equal(stream(frames[0], **given).alpha, expected)
        with pytest.raises(ValueError, match="background: expected the image's size, 32 x 40"):
            stream(photo(32, 40))
        with pytest.raises(ValueError, match="background: expected the image's size"):
            stream(frames[0], background=photo(32, 40))
        np.testing.assert_array_equal(stream(frames[0]).alpha, expected)
        with pytest.raises(ValueError, match="trimap: expected none"):
            stream(frames[0], trimap=trimap_of(52, 72))
    with pytest.raises(ValueError, match="background: expected none"):
        fm.Matter(contract("modnet")).stream(background=plates[0])
    with pytest.raises(TypeError, match="background: expected a NumPy array"):
        matter.stream(background="plate.png")


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_stream_takes_a_trimap_with_each_frame(contract, mode):
    matter = fm.Matter(contract("dim"), mode=mode)
    with matter.stream() as stream:
        for seed in range(2):
            frame, trimap = photo(50, 70, seed), trimap_of(50, 70)[:: 1 - 2 * seed]
            expected = matter.alpha(frame, trimap=np.ascontiguousarray(trimap))
            np.testing.assert_array_equal(stream(frame, trimap=trimap).alpha, expected)
        with pytest.raises(ValueError, match="trimap: expected a trimap"):
            stream(frame)


@pytest.mark.parametrize("family", ["modnet", "bgmv2-base", "pp-matting-512"])
def test_reference_says_what_the_script_cannot_feed(contract, family):
    size = (31, 700) if family != "bgmv2-base" else (30, 41)
    image, guidance = photo(*size), guided(family, size)
    path = contract(SCRIPTS[family][0])
    with pytest.raises(ValueError, match=r"image: .* cannot feed .* mode='fast' takes any size"):
        fm.Matter(path, family=family, mode="reference").alpha(image, **guidance)
    assert fm.Matter(path, family=family).alpha(image, **guidance).shape == size


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_output_that_is_not_a_number_is_an_error(graph, mode):
    matter = fm.Matter(graph("not_numbers"), mode=mode)
    with pytest.raises(fm.ModelError, match=r"output is no alpha \(output: .*nan"):
        matter.alpha(photo(64, 64))


def test_an_even_alpha_is_not_stretched_to_noise(graph):
    """rembg divides by zero here, and what it makes of that is black."""
    image = np.full((40, 50, 3), 90, np.uint8)
    assert (fm.Matter(graph("salient"), mode="reference").alpha(image) == 0).all()


def test_black_is_no_division_by_zero(contract):
    alpha = fm.Matter(contract("salient"), mode="reference").alpha(np.zeros((40, 50, 3), np.uint8))
    assert np.isfinite(alpha).all()


def test_mode_is_checked_and_told(graph, contract):
    with pytest.raises(ValueError, match="mode: expected 'fast' or 'reference', got 'exact'"):
        fm.Matter(graph("modnet"), mode="exact")
    info = fm.Matter(graph("modnet"), mode="reference").info
    assert (info.mode, info.refine) == ("reference", None)
    assert info.sizes == "short side 512, multiples of 32"
    assert fm.Matter(graph("selfie")).info.sizes == "256 x 256"
    assert fm.Matter(graph("modnet"), size=(64, 96)).info.sizes == "64 x 96"
    assert info.notes == ()


@pytest.mark.parametrize("mode", ["fast", "reference"])
def test_a_size_by_hand_holds_in_both_modes(contract, mode):
    image, trimap = photo(50, 70), trimap_of(50, 70)
    path = contract("vitmatte-hf")
    small = linear(image, (64, 96)) if mode == "reference" else image
    known = cv2.resize(trimap, (96, 64), interpolation=cv2.INTER_NEAREST)
    planes = fast_planes(small, (64, 96), HALVES)
    plane = Net(path)(np.concatenate([planes, known[None, None] / 255], 1))[0, 0]
    alpha = fm.Matter(path, size=(64, 96), mode=mode, refine="none").alpha(image, trimap=trimap)
    unknown = trimap == 128
    apart = np.abs(alpha - cv2.resize(plane, (70, 50)))[unknown]
    assert apart.mean() < 0.02


@pytest.mark.parametrize("kind", ["rvm", "bgmv2-refine"])
def test_a_stream_recovers_from_a_frame_that_failed(tmp_path, kind):
    path = tmp_path / "net.onnx"
    path = graphs.rvm(path) if kind == "rvm" else graphs.contract(path, **graphs.CONTRACTS[kind])
    matter = fm.Matter(graphs.broken_by_black(path))
    frames = [photo(48, 64, s) // 2 + 1 for s in range(3)]
    plates = [photo(48, 64, s) for s in (8, 9)]
    black = np.zeros_like(frames[0])
    first, other = ({}, {}) if kind == "rvm" else ({"background": p} for p in plates)
    with matter.stream(**first, cuts="ignore") as stream:
        stream(frames[0])
        with pytest.raises(fm.ModelError, match="no alpha"):
            stream(black, **other)
        expected = matter.alpha(frames[1], **first)
        np.testing.assert_array_equal(stream(frames[1]).alpha, expected)


# RVM.


def test_rvm_of_float16_runs_and_says_what_it_is(graph):
    frames = [photo(48, 64, seed) for seed in range(4)]
    whole, half = fm.Matter(graph("rvm")), fm.Matter(graph("rvm_half"))
    with whole.stream(cuts="ignore") as expected, half.stream(cuts="ignore") as stream:
        for frame in frames:
            np.testing.assert_allclose(stream(frame).alpha, expected(frame).alpha, atol=2e-3)
            colours = stream(frame).foreground.astype(int)
            assert np.abs(colours - expected(frame).foreground).max() <= 1
    assert any("float16" in note for note in half.info.notes)
    assert sum("stream" in note for note in half.info.notes) == 1
    assert not any("float16" in note for note in whole.info.notes)


def test_rvm_frozen_by_constants_is_fed_what_it_has(graph):
    frames = [photo(48, 64, seed) for seed in range(3)]
    frozen = fm.Matter(graph("rvm_frozen"))
    assert frozen.info.family_reason == "inputs src, r1i..r4i"
    whole = fm.Matter(graph("rvm"))
    with whole.stream() as expected, frozen.stream() as stream:
        for frame in frames:
            np.testing.assert_array_equal(stream(frame).alpha, expected(frame).alpha)
    with pytest.raises(ValueError, match="downsample_ratio: expected None, fixed in the graph"):
        fm.Matter(fm.ModelSpec(graph("rvm_frozen"), downsample_ratio=0.5))


def test_states_of_another_size_are_named(tmp_path):
    path = graphs.rvm_states(tmp_path / "rvm.onnx", 45, 61)
    matter = fm.Matter(path)
    with matter.stream() as stream:
        for seed in range(2):
            assert stream(photo(45, 61, seed)).alpha.shape == (45, 61)
    said = r"image: expected one whose state r1i is 23 x 31, .* got 48 x 64, whose is 24 x 32 at a"
    with pytest.raises(ValueError, match=said):
        matter.alpha(photo(48, 64))
    spec = fm.ModelSpec(path, downsample_ratio=0.25)
    with pytest.raises(ValueError, match=r"whose is 6 x 8 at a downsample_ratio of 0\.25"):
        fm.Matter(spec).alpha(photo(45, 61))


@pytest.mark.parametrize(
    ("size", "ratio", "expected"),
    [
        ((480, 640), None, 0.8),
        ((1080, 1920), None, 512 / 1920),
        ((90, 120), None, 1.0),
        ((480, 640), 0.375, 0.375),
    ],
)
def test_rvm_is_fed_the_authors_ratio_or_the_users(tmp_path, size, ratio, expected):
    path = graphs.rvm_ratio(tmp_path / "rvm.onnx")
    matter = fm.Matter(fm.ModelSpec(path, downsample_ratio=ratio))
    alpha = matter.alpha(np.zeros((*size, 3), np.uint8))
    np.testing.assert_allclose(alpha, expected, atol=1e-6)


def test_bad_ratio_is_named(graph):
    for ratio in (0, -1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="downsample_ratio: expected above 0 and at most 1"):
            fm.Matter(fm.ModelSpec(graph("rvm"), downsample_ratio=ratio))
    with pytest.raises(ValueError, match="downsample_ratio: expected None, for family 'modnet'"):
        fm.Matter(fm.ModelSpec(graph("modnet"), downsample_ratio=0.5))


def test_state_starts_afresh_where_a_shot_ends(graph):
    rng = np.random.default_rng(0)
    room = photo(96, 128)
    # Somebody moves before a room, then the picture changes to another place.
    walk = [room.copy() for _ in range(6)]
    for step, frame in enumerate(walk):
        frame[20:80, 10 + 12 * step : 40 + 12 * step] = rng.integers(90, 140, (60, 30, 3))
    elsewhere = np.clip(photo(96, 128, 5) // 3 + 160, 0, 255).astype(np.uint8)
    matter = fm.Matter(graph("rvm"))
    with matter.stream() as stream, matter.stream(cuts="ignore") as kept:
        for frame in walk:
            np.testing.assert_array_equal(stream(frame).alpha, kept(frame).alpha)
        np.testing.assert_array_equal(stream(elsewhere).alpha, matter.alpha(elsewhere))
        assert np.abs(kept(elsewhere).alpha - matter.alpha(elsewhere)).max() > 0.01
    with pytest.raises(ValueError, match="cuts: expected 'reset' or 'ignore', got 'guess'"):
        matter.stream(cuts="guess")


def test_an_engine_that_fails_is_told_with_the_frames_size(tmp_path):
    path = graphs.contract(
        tmp_path / "odd.onnx", {"src": (1, 3, "h", "w"), "bgr": (1, 3, "H", "W")}, ["pha", "fgr"]
    )
    with pytest.raises(fm.EngineError, match=r"for a frame of 8 x 8; family 'bgmv2-base' sees"):
        fm.Matter(path).alpha(photo(8, 8), background=photo(8, 8))


# Real networks, where they are.

#: File -> family, the authors' script, and the output it reads where it is not the first.
REAL = {
    "mediapipe_selfie_256_nchw.onnx": ("selfie", partial(square_script, side=256, norm=PLAIN)),
    "mediapipe_selfie_256_nhwc.onnx": (
        "selfie",
        partial(square_script, side=256, norm=PLAIN, last=True),
    ),
    "pp_humanseg_lite.onnx": (
        "softmax",
        partial(square_script, side=192, norm=HALVES, channel=1),
    ),
    "csnet-L-x2.onnx": (
        "salient",
        partial(rembg_script, side=224, mean=IMAGENET[0], std=IMAGENET[1]),
    ),
    "mmnet_887000.onnx": ("mmnet", partial(square_script, side=256, norm=PLAIN)),
    "rvm_mobilenetv3_fgf.onnx": ("rvm", rvm_script),
    "modnet_random.onnx.xz": ("modnet", modnet_script),
    "bgmv2_mobilenetv2_full_random.onnx.xz": ("bgmv2-refine", bgmv2_script),
    "bgmv2_mobilenetv2_sampling_random.onnx.xz": ("bgmv2-refine", bgmv2_script),
}


@pytest.fixture(scope="module")
def real(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")

    def find(name):
        path = shared_data / "models" / name
        if path.suffix != ".xz":
            return path
        unpacked = folder / path.stem
        if not unpacked.exists():
            unpacked.write_bytes(lzma.decompress(path.read_bytes()))
        return unpacked

    return find


def portrait_of(shared_data, name, kind):
    """Return an image whose sides every script takes."""
    image = np.asarray(Image.open(shared_data / "images" / "eval" / f"{name}_{kind}.png"))
    height, width = (side - side % 4 for side in image.shape[:2])
    return np.ascontiguousarray(image[:height, :width])


@pytest.mark.parametrize("name", REAL)
def test_real_networks_reproduce_their_scripts(real, shared_data, name):
    family, script = REAL[name]
    matter = fm.Matter(real(name), mode="reference")
    assert matter.info.family == family
    image = portrait_of(shared_data, "baby", "image")
    guidance = {}
    if family == "bgmv2-refine":
        guidance["background"] = portrait_of(shared_data, "baby", "bg")
    expected = script(Net(real(name)), image, **guidance)
    assert np.ptp(expected) > 20
    assert np.abs(as_bytes(matter, image, **guidance).astype(int) - expected).max() <= 1
    fast = fm.Matter(real(name)).alpha(image, **guidance)
    assert np.abs(fast - expected / 255).mean() < 0.03


def test_sampling_refiner_says_what_it_needs(real):
    matter = fm.Matter(real("bgmv2_mobilenetv2_sampling_random.onnx.xz"))
    image = photo(100, 100)
    with pytest.raises(fm.EngineError, match=r"for a frame of 100 x 100; .* a sampling refiner"):
        matter.alpha(image, background=image)


def clip(path, frames):
    video = cv2.VideoCapture(str(path))
    found = [video.read() for _ in range(frames)]
    assert all(ok for ok, _ in found)
    return [np.ascontiguousarray(frame) for _, frame in found]


def test_rvm_keeps_its_state_over_real_clips(real, shared_data):
    matter = fm.Matter(real("rvm_mobilenetv3_fgf.onnx"))
    frames = clip(shared_data / "video" / "asl_walk.mkv", 14)[6:]
    with matter.stream(pixel_format="bgr") as stream:
        kept = [stream(frame).alpha.copy() for frame in frames]
    alone = [matter.alpha(frame, pixel_format="bgr") for frame in frames]
    np.testing.assert_array_equal(kept[0], alone[0])
    assert np.abs(kept[-1] - alone[-1]).mean() > 1e-3

    def jitter(alphas):
        """Mean square of what changes from frame to frame; the signer's own movement is in both."""
        return np.mean([(b - a) ** 2 for a, b in pairwise(alphas)])

    assert jitter(kept[4:]) < jitter(alone[4:])


def test_no_shot_ends_within_a_real_clip(shared_data):
    for name in ("asl_walk.mkv", "asl_sister.mkv"):
        shots = ShotDetector()
        assert not any(shots.ended(frame) for frame in clip(shared_data / "video" / name, 40))
    corridor = clip(shared_data / "video" / "one-by-one-person-detection.mp4", 1)
    assert shots.ended(corridor[0])
