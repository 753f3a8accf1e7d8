"""blur: against the exact Gaussian, whose error no integer oracle could state."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Guarded, alphas, arrays, images, seeds, sizes, thread_counts

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

#: Narrow and wide Gaussians, and the values between which the method changes.
sigmas = st.one_of(
    st.floats(0.1, 500), st.floats(0.5, 12), st.sampled_from([0.1, 0.5, 4.79, 4.8, 7.99, 8, 500])
)


def psnr(result, expected):
    return 10 * np.log10(255**2 / max(np.mean((result - expected) ** 2), 1e-9))


def scalar_blur(image, **arguments):
    with fm.cpu.force("scalar"):
        return fm.kernels.blur(image, threads=1, **arguments)


@each_isa
@given(data=st.data(), size=sizes, channels=st.sampled_from([1, 3, 4]), sigma=sigmas)
def test_every_isa_and_thread_count_gives_the_same_bytes(isa, data, size, channels, sigma):
    image = data.draw(images(size, channels))
    weight = data.draw(st.one_of(st.none(), alphas(size)))
    guarded = Guarded(image.shape, np.uint8)
    result = fm.kernels.blur(
        image, sigma=sigma, weight=weight, out=guarded.out, threads=data.draw(thread_counts)
    )
    assert result is guarded.out
    np.testing.assert_array_equal(result, scalar_blur(image, sigma=sigma, weight=weight))
    guarded.assert_untouched_outside()


@given(data=st.data(), size=sizes, channels=st.sampled_from([1, 3, 4]), sigma=st.floats(0.1, 7.99))
def test_narrow_blur_is_within_a_level_of_the_true_one(data, size, channels, sigma):
    image = data.draw(images(size, channels))
    result = fm.kernels.blur(image, sigma=sigma)
    # Half a level of rounding; the tail beyond 3.5 sigma, 0.05 % of 255 levels for each axis; and
    # 28 products rounded to 128ths for each axis, which rarely add up.
    assert np.abs(result - oracles.blur(image, sigma)).max() < 1


@given(data=st.data(), size=sizes, sigma=st.floats(0.1, 4.79))
def test_narrow_weighted_blur_is_the_true_one(data, size, sigma):
    image = data.draw(images(size))
    weight = data.draw(arrays(size, np.float32)) * np.float32(0.75) + np.float32(0.25)
    result = fm.kernels.blur(image, sigma=sigma, weight=weight)
    # As above without the products; the tail's weights may be four times those of the middle.
    assert np.abs(result - oracles.blur(image, sigma, weight)).max() < 1.5


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("size", [(211, 305), (64, 90), (17, 200)])
@pytest.mark.parametrize("sigma", [0.5, 1, 2, 4.8, 5, 7.3, 8, 11, 15, 30, 60])
def test_at_least_45_db_to_the_true_gaussian(sigma, size, weighted):
    y, x = np.mgrid[: size[0], : size[1]]
    rng = np.random.default_rng(3)
    edges = np.where((x // 31 + y // 43) % 2 == 0, 230, 20)
    waves = 128 + 100 * np.sin(x / 9 + y / 17)
    noise = np.clip(rng.normal(128, 60, size), 0, 255)
    image = np.stack([edges, waves, noise], -1).astype(np.uint8)
    weight = np.clip(x / size[1] * 1.2, 0.1, 1).astype(np.float32) if weighted else None
    result = fm.kernels.blur(image, sigma=sigma, weight=weight)
    expected = oracles.blur(image, sigma, weight)
    for channel in range(3):
        assert psnr(result[..., channel], expected[..., channel]) > 45


@pytest.mark.parametrize("sigma", [0.7, 3, 6, 9, 25])
def test_golden_scipy(sigma):
    ndimage = pytest.importorskip("scipy.ndimage", reason="scipy is not installed")
    image = np.random.default_rng(1).integers(0, 256, (150, 190), dtype=np.uint8)
    ones = ndimage.gaussian_filter(np.ones(image.shape), sigma, mode="constant")
    blurred = ndimage.gaussian_filter(image.astype(np.float64), sigma, mode="constant") / ones
    assert psnr(fm.kernels.blur(image, sigma=sigma), blurred) > 50


@pytest.mark.parametrize("sigma", [0.1, 0.9, 2.3, 4.79, 4.8, 6.6, 7.99, 8, 23, 120, 500])
@pytest.mark.parametrize("shape", [(1, 1), (70, 9), (5, 131), (40, 37, 3)])
def test_one_colour_stays_exactly(isa, shape, sigma):
    for level in (0, 1, 2, 85, 127, 128, 200, 254, 255):
        image = np.full(shape, level, np.uint8)
        assert (fm.kernels.blur(image, sigma=sigma) == level).all()
        weight = np.random.default_rng(level).random(shape[:2], dtype=np.float32)
        assert (fm.kernels.blur(image, sigma=sigma, weight=weight) == level).all()


@pytest.mark.parametrize("sigma", [0.3, 1, 3.7, 4.9, 9, 40, 300])
def test_constant_weight_is_no_weight(sigma):
    y, x = np.mgrid[:120, :90]
    image = np.stack([y * 2, x * 2, 128 + 90 * np.sin(x / 20)], -1).astype(np.uint8)
    plain = fm.kernels.blur(image, sigma=sigma).astype(int)
    for weight in (np.full((120, 90), 255, np.uint8), np.full((120, 90), 0.3, np.float32)):
        weighted = fm.kernels.blur(image, sigma=sigma, weight=weight)
        assert np.abs(weighted - plain).max() <= 1


@pytest.mark.parametrize("sigma", [0.8, 4, 6, 9, 17, 60])
def test_pixels_without_weight_leave_no_trace(isa, sigma):
    image = np.full((150, 170, 3), (10, 90, 160), np.uint8)
    weight = np.ones((150, 170), np.float32)
    image[40:110, 50:120], weight[40:110, 50:120] = (255, 0, 0), 0
    result = fm.kernels.blur(image, sigma=sigma, weight=weight)
    outside = weight > 0
    assert (result[outside] == (10, 90, 160)).all()
    # Inside, the surroundings reach in as far as the kernel does, and never mix with red.
    red = (result == (255, 0, 0)).all(-1)
    assert ((result == (10, 90, 160)).all(-1) | red).all()
    if not 6 < sigma < 12:
        assert red.any() == (sigma < 10)


def test_weight_zero_everywhere_changes_nothing(isa):
    image = np.random.default_rng(0).integers(0, 256, (60, 70, 4), dtype=np.uint8)
    for sigma in (2, 20):
        weight = np.zeros((60, 70), np.uint8)
        np.testing.assert_array_equal(fm.kernels.blur(image, sigma=sigma, weight=weight), image)


@given(size=sizes, seed=seeds, sigma=sigmas)
def test_channels_do_not_mix(size, seed, sigma):
    image = np.random.default_rng(seed).integers(0, 256, (*size, 4), dtype=np.uint8)
    result = fm.kernels.blur(image, sigma=sigma)
    for channel in range(4):
        np.testing.assert_array_equal(
            result[..., channel], fm.kernels.blur(image[..., channel], sigma=sigma)
        )


@pytest.mark.parametrize("sigma", [1.5, 6, 30])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.usefixtures("empty_store")
def test_scratch_memory_is_recycled(sigma, weighted):
    image = np.zeros((200, 300, 3), np.uint8)
    weight = np.ones((200, 300), np.float32) if weighted else None
    out = np.empty_like(image)
    fm.kernels.blur(image, sigma=sigma, weight=weight, out=out, threads=2)
    before = fm._core.system_allocations()
    for _ in range(5):
        fm.kernels.blur(image, sigma=sigma, weight=weight, out=out, threads=2)
    assert fm._core.system_allocations() == before


IMAGE = np.zeros((4, 6, 3), np.uint8)
WEIGHT = np.zeros((4, 6), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": IMAGE[..., :2]}, ValueError, "image: expected (H, W), (H, W, 3) or (H, W, 4)"),
        ({"image": WEIGHT}, TypeError, "image: expected (H, W), (H, W, 3) or (H, W, 4) uint8"),
        ({"sigma": 0.05}, ValueError, "sigma: expected a number from 0.1 to 500.0, got 0.05"),
        ({"sigma": 501}, ValueError, "sigma: expected a number from 0.1 to 500.0, got 501"),
        ({"sigma": float("nan")}, ValueError, "sigma: expected a number from 0.1 to 500.0"),
        ({"sigma": "wide"}, TypeError, "sigma: expected a number from 0.1 to 500.0, got str"),
        ({"weight": WEIGHT[:3]}, ValueError, "weight: expected the size of image, 4 x 6"),
        ({"weight": WEIGHT + 2}, ValueError, "weight: expected values in [0, 1], got 2.0"),
        ({"weight": 0.5}, TypeError, "weight: expected a NumPy array, (H, W) float32"),
        ({"out": IMAGE[..., 0].copy()}, ValueError, "out: expected (4, 6, 3) uint8"),
        ({"out": IMAGE}, ValueError, "out: expected memory apart from image"),
        ({"threads": 0}, ValueError, "threads: expected an integer from 1 to 1024, got 0"),
    ],
)
def test_bad_argument_is_named(change, error, message):
    with pytest.raises(error) as caught:
        fm.kernels.blur(**{"image": IMAGE, "sigma": 2, **change})
    assert message in str(caught.value)


def test_out_may_not_be_the_weight():
    image, weight = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    with pytest.raises(ValueError, match="out: expected memory apart from weight"):
        fm.kernels.blur(image, sigma=2, weight=weight, out=weight)
