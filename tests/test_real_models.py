"""Real networks on images with exact alpha: what the whole line is worth, not only that it runs."""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

PEOPLE = ["baby", "man_beard", "man_curly2", "woman2", "woman_dance"]


@pytest.fixture(scope="module")
def people(shared_data):
    folder = shared_data / "images" / "eval"

    def load(name, mode):
        return np.asarray(Image.open(folder / name).convert(mode))

    return [
        (load(f"{name}_image.png", "RGB"), load(f"{name}_alpha.png", "L") / 255) for name in PEOPLE
    ]


def mad(alpha, truth):
    """Mean absolute difference."""
    return np.abs(alpha - truth).mean()


def grad(alpha, truth):
    """Gradient error of the matting literature: Gaussian derivatives of sigma 1.4, thousands."""
    magnitude = [ndimage.gaussian_gradient_magnitude(a.astype(float), 1.4) for a in (alpha, truth)]
    return ((magnitude[0] - magnitude[1]) ** 2).sum() / 1000


def test_rvm_mattes_people_at_full_resolution(shared_data, people):
    matter = fm.Matter(shared_data / "models" / "rvm_mobilenetv3_fgf.onnx")
    errors = [mad(matter.alpha(image), truth) for image, truth in people]
    assert sum(error <= 0.02 for error in errors) >= 4, errors


def test_guided_refinement_beats_interpolation(shared_data, people):
    path = shared_data / "models" / "mediapipe_selfie_256_nchw.onnx"
    plain, guided = fm.Matter(path, refine="none"), fm.Matter(path)
    score = {
        name: np.mean(
            [[f(m.alpha(image), truth) for f in (mad, grad)] for image, truth in people], axis=0
        )
        for name, m in (("plain", plain), ("guided", guided))
    }
    assert score["guided"][0] < score["plain"][0], score
    assert score["guided"][1] <= 0.85 * score["plain"][1], score


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("mediapipe_selfie_256_nchw.onnx", "selfie"),
        ("mediapipe_selfie_256_nchw_int8.onnx", "selfie"),
        ("mediapipe_selfie_256_nhwc.onnx", "selfie"),
        ("pp_humanseg_lite.onnx", "softmax"),
        ("csnet-L-x2.onnx", "salient"),
        ("rvm_mobilenetv3_fgf.onnx", "rvm"),
    ],
)
def test_every_real_network_is_recognised_and_finds_the_person(shared_data, people, name, family):
    matter = fm.Matter(shared_data / "models" / name)
    assert matter.info.family == family
    # Far below what swapped channels or another family's normalisation would leave.
    errors = [mad(matter.alpha(image), truth) for image, truth in people]
    assert np.median(errors) < 0.12, errors


@pytest.mark.parametrize("name", ["rvm_mobilenetv3_fgf", "pp_humanseg_lite", "csnet-L-x2"])
@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (7, 9), (33, 250)])
def test_real_networks_take_any_frame(shared_data, name, size):
    matter = fm.Matter(shared_data / "models" / f"{name}.onnx")
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert matter(image).cutout().shape == (*size, 4)


def test_both_layouts_of_one_network_agree(shared_data, people):
    first, last = (
        fm.Matter(shared_data / "models" / f"mediapipe_selfie_256_{layout}.onnx")
        for layout in ("nchw", "nhwc")
    )
    for image, _ in people:
        assert np.abs(first.alpha(image) - last.alpha(image)).max() < 0.02


def test_modnet_at_its_own_sizes(shared_data, people, tmp_path):
    import lzma

    path = tmp_path / "modnet.onnx"
    packed = shared_data / "models" / "modnet_random.onnx.xz"
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    matter = fm.Matter(path)
    assert matter.info.family == "modnet"
    for image, _ in people[:1]:
        alpha = matter.alpha(image)
        assert alpha.shape == image.shape[:2]
        assert np.isfinite(alpha).all()
