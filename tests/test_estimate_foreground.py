"""estimate_foreground: blur fusion."""

from __future__ import annotations

from pathlib import Path

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Guarded, alphas, images, lay_out, seeds, sizes, thread_counts

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

EVAL = Path(__file__).parents[2] / "shared" / "data" / "images" / "eval"


@st.composite
def sparse_alphas(draw, shape):
    """Mostly 0 and 1 in rectangles, a few pixels between: some blocks are skipped, some windows
    hold one weight only."""
    rng = np.random.default_rng(draw(seeds))
    height, width = shape
    alpha = np.full(shape, draw(st.sampled_from([0, 255])), np.uint8)
    alpha[rng.integers(0, height) :, : rng.integers(1, width + 1)] ^= 255
    for _ in range(draw(st.integers(0, 4))):
        alpha[rng.integers(0, height), rng.integers(0, width)] = rng.integers(1, 255)
    alpha = alpha if draw(st.booleans()) else alpha.astype(np.float32) / np.float32(255)
    return lay_out(alpha, draw(st.sampled_from(["packed", "padded", "strided"])))


@each_isa
@given(data=st.data(), size=sizes, threads=thread_counts)
def test_estimate_foreground_equals_oracle(isa, data, size, threads):
    image = data.draw(images(size))
    alpha = data.draw(st.one_of(alphas(size), sparse_alphas(size)))
    guarded = Guarded((*size, 3), np.uint8)
    result = fm.kernels.estimate_foreground(image, alpha, out=guarded.out, threads=threads)
    assert result is guarded.out
    np.testing.assert_array_equal(result, oracles.estimate_foreground(image, alpha))
    guarded.assert_untouched_outside()


def scene(height, width, seed=0):
    """A disc of smooth colours with a soft edge over a background of other smooth colours."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    foreground = np.stack([200 + 40 * np.sin(x / 60), 120 + 40 * np.cos(y / 50), 60 + y * 0], -1)
    background = np.stack([40 + 30 * np.cos(y / 70), 160 + x * 0, 180 + 50 * np.sin(x / 80)], -1)
    distance = np.hypot((x - width / 2) / width, (y - height / 2) / height)
    alpha = np.clip((0.3 - distance) * 16 + 0.5, 0, 1)
    noise = np.random.default_rng(seed).normal(0, 1, (height, width, 3))
    a = alpha[..., None]
    image = np.clip(a * foreground + (1 - a) * background + noise + 0.5, 0, 255).astype(np.uint8)
    return image, alpha.astype(np.float32), foreground


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [(520, 203), (300, 61), (129, 400)])
def test_bands_join_without_a_seam(isa, size, threads):
    image, alpha, _ = scene(*size)
    expected = oracles.estimate_foreground(image, alpha)
    result = fm.kernels.estimate_foreground(image, alpha, threads=threads)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("seed", range(4))
def test_scattered_runs_share_what_their_windows_share(isa, seed):
    """Runs whose windows meet or lie apart, at all borders; rows between them by the dozen or the
    hundred; bands that need more columns than the one before, fewer, and others."""
    rng = np.random.default_rng(seed)
    height, width = 560, (331, 336, 340, 512)[seed]
    alpha = np.full((height, width), 255 * (seed % 2), np.uint8)
    for _ in range(14):
        y, x = rng.integers(0, height), rng.integers(0, width)
        alpha[y : y + rng.integers(1, 4), x : x + rng.integers(1, 40)] = rng.integers(1, 255)
    alpha[200:330] = alpha[0, 0]
    for corner in ((0, 0), (-1, -1), (340, width - 17)):
        alpha[corner] = 100
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    expected = oracles.estimate_foreground(image, alpha)
    for threads in (1, 2):
        result = fm.kernels.estimate_foreground(image, alpha, threads=threads)
        np.testing.assert_array_equal(result, expected)


def published(image, alpha, radii):
    """The paper's formula in float64, colours in [0, 1], nothing rounded between the passes."""
    ndimage = pytest.importorskip("scipy.ndimage", reason="scipy is not installed")

    def mean(values, radius):
        size = [2 * radius + 1] * 2 + [1] * (values.ndim - 2)
        inside = ndimage.uniform_filter(np.ones_like(values), size, mode="constant")
        return ndimage.uniform_filter(values, size, mode="constant") / inside

    i, a = image / 255.0, alpha.astype(np.float64)[..., None]
    f = b = i
    for radius in radii:
        blurred_f = mean(f * a, radius) / (mean(a, radius) + 1e-5)
        b = mean(b * (1 - a), radius) / (mean(1 - a, radius) + 1e-5)
        f = np.clip(blurred_f + a * (i - a * blurred_f - (1 - a) * b), 0, 1)
    return 255 * f


def test_golden_published_formula():
    image, alpha, _ = scene(270, 480)
    result = fm.kernels.estimate_foreground(image, alpha)
    unknown = oracles.quantise(alpha, 255) % 255 != 0
    expected = np.floor(published(image, alpha, (45, 3)) + 0.5)
    difference = np.abs(result - expected)[unknown]
    # Alpha in 255ths moves a colour by up to half of the distance of the two it mixes, in 255ths:
    # at most half a level, enough to round the other way.
    assert difference.max() <= 1
    assert difference.mean() < 0.1


def test_recovers_most_of_the_true_foreground():
    image, alpha, foreground = scene(270, 480)
    unknown = (alpha > 0.05) & (alpha < 0.95)
    before = np.abs(image - foreground)[unknown].mean()
    result = fm.kernels.estimate_foreground(image, alpha)
    after = np.abs(result - foreground)[unknown].mean()
    assert after < before / 4


@pytest.mark.skipif(not EVAL.is_dir(), reason="no shared evaluation images beside this checkout")
# The two men's hair is nearly the colour of what is behind them: little to gain.
@pytest.mark.parametrize("name", ["baby", "woman2", "woman_dance"])
def test_hair_over_another_background_keeps_less_of_the_old_one(name):
    image_module = pytest.importorskip("PIL.Image")
    image = np.asarray(image_module.open(EVAL / f"{name}_image.png").convert("RGB"))
    alpha = np.asarray(image_module.open(EVAL / f"{name}_alpha.png").convert("L"))
    plate = np.asarray(image_module.open(EVAL / f"{name}_bg.png").convert("RGB"), np.float64)
    a = alpha[..., None] / 255.0
    # Alpha is exact, so the true premultiplied foreground is what the plate leaves of the image.
    truth = image - (1 - a) * plate
    unknown = (alpha > 12) & (alpha < 243)
    result = fm.kernels.estimate_foreground(image, alpha)
    before, after = (np.abs(a * f - truth)[unknown].mean() for f in (image, result))
    assert after < before * 0.6


@given(data=st.data(), size=sizes)
def test_opaque_and_transparent_pixels_keep_their_colour(data, size):
    image, alpha = data.draw(images(size)), data.draw(sparse_alphas(size))
    result = fm.kernels.estimate_foreground(image, alpha)
    known = oracles.quantise(alpha, 255) % 255 == 0
    np.testing.assert_array_equal(result[known], image[known])


@given(size=sizes, level=st.integers(0, 255), seed=seeds)
def test_one_colour_stays(size, level, seed):
    alpha = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    image = np.full((*size, 3), level, np.uint8)
    result = fm.kernels.estimate_foreground(image, alpha)
    # A weight of n / 255 is summed with products rounded to integers: half a level at n = 1.
    assert np.abs(result.astype(int) - level).max() <= 1


def test_uint8_alpha_equals_the_float_alpha_it_stands_for():
    image, alpha, _ = scene(140, 200)
    counts = oracles.quantise(alpha, 255).astype(np.uint8)
    np.testing.assert_array_equal(
        fm.kernels.estimate_foreground(image, alpha),
        fm.kernels.estimate_foreground(image, counts),
    )


@pytest.mark.usefixtures("empty_store")
def test_scratch_memory_is_recycled():
    image, alpha, _ = scene(1024, 100)
    out = np.empty_like(image)
    fm.kernels.estimate_foreground(image, alpha, out=out, threads=8)
    before = fm._core.system_allocations()
    for _ in range(5):
        fm.kernels.estimate_foreground(image, alpha, out=out, threads=8)
    assert fm._core.system_allocations() == before


IMAGE = np.zeros((4, 6, 3), np.uint8)
ALPHA = np.zeros((4, 6), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": IMAGE[..., 0]}, ValueError, "image: expected (H, W, 3) uint8, got (4, 6) uint8"),
        ({"image": IMAGE.astype(float)}, TypeError, "image: expected (H, W, 3) uint8"),
        ({"alpha": ALPHA[:3]}, ValueError, "alpha: expected the size of image, 4 x 6, got 3 x 6"),
        ({"alpha": ALPHA - 1}, ValueError, "alpha: expected values in [0, 1], got -1"),
        ({"alpha": ALPHA * np.nan}, ValueError, "alpha: expected values in [0, 1], got nan"),
        ({"alpha": ALPHA.astype(bool)}, TypeError, "alpha: expected (H, W) float32"),
        (
            {"method": "closed_form"},
            ValueError,
            "method: expected one of 'blur_fusion', 'multilevel'",
        ),
        ({"out": IMAGE[:, :5].copy()}, ValueError, "out: expected (4, 6, 3) uint8"),
        ({"out": IMAGE}, ValueError, "out: expected memory apart from image, got overlapping"),
        ({"threads": -1}, ValueError, "threads: expected an integer from 1 to 1024, got -1"),
    ],
)
def test_bad_argument_is_named(change, error, message):
    with pytest.raises(error) as caught:
        fm.kernels.estimate_foreground(**{"image": IMAGE, "alpha": ALPHA, **change})
    assert message in str(caught.value)
