"""resize: five filters, two dtypes."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import (
    RESIZES,
    Guarded,
    arrays,
    cache_limits,
    cached_up_to,
    images,
    lay_out,
    seeds,
    sizes,
    thread_counts,
)

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

FILTERS = ["nearest", "bilinear", "area", "bicubic", "lanczos3"]
filters = st.sampled_from(FILTERS)
depths = st.sampled_from([(), (3,), (4,)])


def most_taps(filter, source, size):
    span = max(max(n / m, 1) for n, m in zip(source, size, strict=True))
    return {"nearest": 0, "bilinear": 2, "area": span, "bicubic": 4 * span, "lanczos3": 6 * span}[
        filter
    ] + 2


def assert_close(result, image, size, filter):
    # Each pass sums n products in order, every partial sum rounded by 2^-24 of at most the largest
    # sum, which is the sum of absolute weights (below 1.6 an axis) times the largest value.
    expected = oracles.resize(image, size, filter)
    bound = (2 * most_taps(filter, image.shape[:2], size) + 4) * 2.0**-24 * 2.56
    assert np.abs(result - expected).max() <= bound * np.abs(image).max()


each_image = given(
    data=st.data(),
    source=sizes,
    size=sizes,
    depth=depths,
    filter=filters,
    limit=cache_limits,
    threads=thread_counts,
)


@each_isa
@each_image
def test_uint8_equals_oracle(isa, data, source, size, depth, filter, limit, threads):
    image = data.draw(arrays((*source, *depth), np.uint8))
    guarded = Guarded((*size, *depth), np.uint8)
    with cached_up_to(limit):
        result = fm.kernels.resize(image, size, filter=filter, out=guarded.out, threads=threads)
    assert result is guarded.out
    np.testing.assert_array_equal(result, oracles.resize(image, size, filter))
    guarded.assert_untouched_outside()


@each_isa
@each_image
def test_float32_is_close_to_oracle(isa, data, source, size, depth, filter, limit, threads):
    image = data.draw(arrays((*source, *depth), np.float32))
    guarded = Guarded((*size, *depth), np.float32)
    with cached_up_to(limit):
        result = fm.kernels.resize(image, size, filter=filter, out=guarded.out, threads=threads)
    assert_close(result, image, size, filter)
    guarded.assert_untouched_outside()
    with fm.cpu.force("scalar"):
        np.testing.assert_array_equal(result, fm.kernels.resize(image, size, filter=filter))


def to_levels(values):
    """float32 in [0, 1] as 255ths: clamped, one float32 product, rounded half up; NaN becomes 0."""
    scaled = np.clip(np.nan_to_num(values, nan=0.0), 0, 1) * np.float32(255)
    return np.floor(scaled.astype(np.float64) + 0.5).astype(np.uint8)


@each_isa
@given(
    data=st.data(), source=sizes, size=sizes, depth=depths, filter=filters, threads=thread_counts
)
def test_float32_to_uint8_rounds_the_float32_result(
    isa, data, source, size, depth, filter, threads
):
    image = data.draw(arrays((*source, *depth), np.float32)) * np.float32(1.5) - np.float32(0.25)
    image[0, 0] = data.draw(st.sampled_from([0.0, np.nan, np.inf, -np.inf]))
    guarded = Guarded((*size, *depth), np.uint8)
    with np.errstate(invalid="ignore"):
        expected = to_levels(fm.kernels.resize(image, size, filter=filter))
    result = fm.kernels.resize(image, size, filter=filter, out=guarded.out, threads=threads)
    assert result is guarded.out
    np.testing.assert_array_equal(result, expected)
    guarded.assert_untouched_outside()
    again = fm.kernels.resize(image, size, filter=filter, dtype="uint8", threads=1)
    np.testing.assert_array_equal(again, expected)


@each_isa
@given(data=st.data(), size=sizes, depth=depths, filter=st.sampled_from(["bilinear", "area"]))
def test_exact_halves_are_means_of_four(isa, data, size, depth, filter):
    image = data.draw(arrays((2 * size[0], 2 * size[1], *depth), np.uint8))
    quads = image.reshape(size[0], 2, size[1], 2, *depth).astype(int).sum((1, 3))
    guarded = Guarded((*size, *depth), np.uint8)
    result = fm.kernels.resize(image, size, filter=filter, out=guarded.out)
    np.testing.assert_array_equal(result, (quads + 2) // 4)
    np.testing.assert_array_equal(result, oracles.resize(image, size, filter))
    guarded.assert_untouched_outside()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize(("source", "size"), RESIZES)
def test_extreme_sizes(isa, source, size, filter, dtype):
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (*source, 3)).astype(dtype)
    one, three = (fm.kernels.resize(image, size, filter=filter, threads=t) for t in (1, 3))
    np.testing.assert_array_equal(one, three)
    if dtype == np.uint8:
        np.testing.assert_array_equal(one, oracles.resize(image, size, filter))
    else:
        assert_close(one, image, size, filter)


@given(data=st.data(), source=sizes, size=sizes, filter=filters, level=st.integers(0, 255))
def test_constant_image_survives(data, source, size, filter, level):
    image = np.full((*source, 3), level, np.uint8)
    assert (fm.kernels.resize(image, size, filter=filter) == level).all()
    exact = fm.kernels.resize(image.astype(np.float32), size, filter=filter)
    np.testing.assert_allclose(exact, level, rtol=3e-6)


@given(data=st.data(), source=sizes, depth=depths, filter=filters)
def test_same_size_is_a_copy(data, source, depth, filter):
    image = data.draw(arrays((*source, *depth), np.float32)).copy()
    image[0] = np.nan
    image[-1, -1] = -np.inf
    np.testing.assert_array_equal(fm.kernels.resize(image, source, filter=filter), image)


@given(data=st.data(), source=sizes, times=st.tuples(st.integers(1, 4), st.integers(1, 4)))
@pytest.mark.parametrize("filter", ["nearest", "area"])
def test_enlarging_by_integers_repeats_pixels(data, source, times, filter):
    image = data.draw(images(source))
    size = (source[0] * times[0], source[1] * times[1])
    result = fm.kernels.resize(image, size, filter=filter)
    np.testing.assert_array_equal(result, image.repeat(times[0], 0).repeat(times[1], 1))


@given(data=st.data(), source=sizes, size=sizes, filter=filters, seed=seeds)
def test_float32_is_linear(data, source, size, filter, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, *source), np.float32)
    resize = lambda image: fm.kernels.resize(image, size, filter=filter)  # noqa: E731
    np.testing.assert_allclose(resize(2 * a - b), 2 * resize(a) - resize(b), atol=5e-4)


@given(data=st.data(), source=sizes, size=sizes, filter=filters, dtype=st.sampled_from("Bf"))
def test_channels_are_independent(data, source, size, filter, dtype):
    rgba = data.draw(arrays((*source, 4), np.dtype(dtype)))
    result = fm.kernels.resize(rgba, size, filter=filter)
    for c in range(4):
        np.testing.assert_array_equal(
            result[..., c], fm.kernels.resize(rgba[..., c], size, filter=filter)
        )
    np.testing.assert_array_equal(
        result[..., :3], fm.kernels.resize(rgba[..., :3], size, filter=filter)
    )


@pytest.mark.parametrize("depth", [(), (3,), (4,)])
@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_reaches_the_pixels_it_has_a_part_in_and_no_other(isa, filter, depth, value):
    image = np.ones((40, 50, *depth), np.float32)
    image[17, 23] = value
    for size in [(13, 19), (40, 19), (13, 50), (90, 120), (40, 120)]:
        result = fm.kernels.resize(image, size, filter=filter)
        part = np.zeros(image.shape[:2], np.float32)
        part[17, 23] = 1
        if filter == "nearest":
            reached = oracles.resize(part, size, filter) != 0
        else:
            down, across = (
                oracles.filter_weights(filter, n, m)
                for n, m in zip(image.shape, size, strict=False)
            )
            reached = np.outer(np.abs(down[:, 17]) > 1e-12, np.abs(across[:, 23]) > 1e-12)
        np.testing.assert_array_equal(
            ~np.isfinite(result),
            np.broadcast_to(reached.reshape(*size, *(1,) * len(depth)), result.shape),
        )


def test_float32_is_not_clipped():
    image = np.zeros((8, 8), np.float32)
    image[:, 4:] = 1
    for filter in ("bicubic", "lanczos3"):
        result = fm.kernels.resize(image, (21, 21), filter=filter)
        assert result.min() < -0.02
        assert result.max() > 1.02
        levels = fm.kernels.resize((image * 255).astype(np.uint8), (21, 21), filter=filter)
        assert levels.min() == 0
        assert levels.max() == 255


@pytest.mark.parametrize("filter", ["bilinear", "area", "bicubic", "lanczos3"])
def test_integer_weights_leave_room_in_int16(filter):
    # What resample.h builds on: absolute weights sum to less than 1.6, and less than 1.7 * 2^14.
    for input in (1, 2, 3, 4, 5, 6, 7, 10, 16, 33, 100, 255, 1000, 3000):
        for output in (1, 2, 3, 4, 5, 7, 16, 33, 100, 255, 1001):
            exact = oracles.filter_weights(filter, input, output)
            assert (np.abs(exact).sum(1) / exact.sum(1)).max() < 1.6
            assert np.abs(oracles.integer_weights(filter, input, output)).sum(1).max() < 1.7 * 2**14


def test_the_largest_overshoot_is_clamped_not_wrapped():
    # 255 under positive weights and 0 under negative ones, and the reverse, at every edge.
    for size in (2, 3, 5, 9):
        for bits in range(2**size):
            line = np.array([255 * (bits >> i & 1) for i in range(size)], np.uint8)
            image = np.ascontiguousarray(np.outer(line // 255, line))
            for to in (2 * size, 50, 2):
                np.testing.assert_array_equal(
                    fm.kernels.resize(image, (to, to), filter="lanczos3"),
                    oracles.resize(image, (to, to), "lanczos3"),
                )


GRID = np.array([[0, 40, 80], [120, 160, 200]], np.uint8)


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("nearest", [[0, 40, 40, 80], [0, 40, 40, 80], [120, 160, 160, 200], [120, 160, 160, 200]]),
        (
            "bilinear",
            [[0, 25, 55, 80], [30, 55, 85, 110], [90, 115, 145, 170], [120, 145, 175, 200]],
        ),
        ("area", [[0, 27, 53, 80], [0, 27, 53, 80], [120, 147, 173, 200], [120, 147, 173, 200]]),
    ],
)
def test_small_grid(isa, filter, expected):
    np.testing.assert_array_equal(fm.kernels.resize(GRID, (4, 4), filter=filter), expected)


def photograph(height, width):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = np.stack([np.sin(x / 17), np.sin(y / 13), np.cos((x + y) / 11)], -1) * 90 + 128
    noise = np.random.default_rng(5).integers(-20, 21, (height, width, 3))
    return np.clip(waves + noise, 20, 235).astype(np.uint8)


GOLDEN_SIZES = [(90, 160), (64, 300), (200, 301), (181, 97), (500, 801), (17, 23)]


def assert_golden(result, expected, maximum, mean):
    difference = np.abs(np.asarray(result, np.float64) - np.asarray(expected, np.float64))
    assert difference.max() <= maximum
    assert difference.mean() <= mean


@pytest.mark.parametrize("size", GOLDEN_SIZES)
@pytest.mark.parametrize("filter", ["bicubic", "lanczos3"])
def test_golden_pillow(filter, size):
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    mode = {"bicubic": pillow.Resampling.BICUBIC, "lanczos3": pillow.Resampling.LANCZOS}[filter]
    image = photograph(180, 320)
    expected = pillow.fromarray(image).resize(size[::-1], mode)
    # Pillow rounds to uint8 between its passes, which moves a third of the values by one level. It
    # clamps there too, so an image that overshoots in its first pass may differ by more.
    assert_golden(fm.kernels.resize(image, size, filter=filter), expected, 1, 0.35)


@pytest.mark.parametrize("size", [(90, 160), (60, 80), (36, 32), (1, 1)])
def test_golden_pillow_box_of_whole_pixels(size):
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    image = photograph(180, 320)
    # Only where whole pixels are covered; else BOX weighs each as covered or not by its middle.
    expected = pillow.fromarray(image).resize(size[::-1], pillow.Resampling.BOX)
    assert_golden(fm.kernels.resize(image, size, filter="area"), expected, 1, 0.5)


def clear_of_ties(input, output):
    """The outputs whose centre is not on the boundary between two inputs."""
    centre = (np.arange(output) + 0.5) * input / output
    return np.abs(centre - np.round(centre)) > 1e-3


@pytest.mark.parametrize("size", GOLDEN_SIZES)
@pytest.mark.parametrize("peer", ["cv2", "PIL.Image"])
def test_golden_nearest(peer, size):
    module = pytest.importorskip(peer)
    image = photograph(180, 320)
    if peer == "cv2":
        expected = module.resize(image, size[::-1], interpolation=module.INTER_NEAREST_EXACT)
    else:
        expected = np.asarray(module.fromarray(image).resize(size[::-1], module.Resampling.NEAREST))
    result = fm.kernels.resize(image, size, filter="nearest")
    # On a tie the peers' rounded positions fall to either side; ours takes the right or lower one.
    clear = np.ix_(clear_of_ties(180, size[0]), clear_of_ties(320, size[1]))
    np.testing.assert_array_equal(result[clear], expected[clear])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("size", GOLDEN_SIZES)
@pytest.mark.parametrize("filter", ["bilinear", "area"])
def test_golden_opencv(filter, size, dtype):
    cv2 = pytest.importorskip("cv2", reason="opencv-contrib-python-headless is not installed")
    if filter == "area" and (size[0] > 180) != (size[1] > 320):
        pytest.skip("OpenCV's INTER_AREA takes two taps both ways where one side grows")
    image = photograph(180, 320).astype(dtype)
    mode = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}[filter]
    expected = cv2.resize(image, size[::-1], interpolation=mode)
    result = fm.kernels.resize(image, size, filter=filter)
    # uint8: OpenCV has 11-bit weights and drops bits between its passes: one value in seven falls
    # to the next level. float32: it works positions out in float32, wrong by up to 320 * 2^-23
    # pixels.
    assert_golden(result, expected, *((1, 0.16) if dtype == np.uint8 else (0.02, 1e-3)))


@pytest.mark.parametrize("size", GOLDEN_SIZES)
@pytest.mark.parametrize("filter", ["bicubic", "lanczos3"])
def test_golden_pillow_float32(filter, size):
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    mode = {"bicubic": pillow.Resampling.BICUBIC, "lanczos3": pillow.Resampling.LANCZOS}[filter]
    image = photograph(180, 320)[..., 0].astype(np.float32)
    expected = pillow.fromarray(image).resize(size[::-1], mode)
    # Pillow adds in double and rounds to float32 between its passes.
    assert_golden(fm.kernels.resize(image, size, filter=filter), expected, 5e-4, 5e-5)


def test_a_thousand_taps_do_not_drift():
    # The running sum is what is rounded, so a long mean stays within a level of the exact one.
    image = photograph(1500, 1100)
    for filter in ("area", "bicubic", "lanczos3"):
        exact = oracles.resample(image, (1, 1), filter)
        assert np.abs(fm.kernels.resize(image, (1, 1), filter=filter) - exact).max() < 1


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("size", [(40, 60), (400, 600), (150, 900)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.usefixtures("empty_store")
def test_steady_state_takes_no_memory(filter, size, dtype):
    image = photograph(200, 300).astype(dtype)
    out = np.empty((*size, 3), dtype)
    fm.kernels.resize(image, size, filter=filter, out=out, threads=2)
    before = fm._core.system_allocations()
    for _ in range(10):
        fm.kernels.resize(image, size, filter=filter, out=out, threads=2)
    assert fm._core.system_allocations() == before


def test_repeated_and_flipped_rows_are_read_in_place():
    image = photograph(40, 50)
    for view in (np.broadcast_to(image[:1], image.shape), image[::-1], lay_out(image, "strided")):
        for filter in FILTERS:
            for size in ((13, 70), (90, 20)):
                np.testing.assert_array_equal(
                    fm.kernels.resize(view, size, filter=filter),
                    fm.kernels.resize(np.ascontiguousarray(view), size, filter=filter),
                )


IMAGE = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": [[1]]}, TypeError, "image: expected a NumPy array, (H, W), (H, W, 3) or"),
        ({"image": IMAGE.astype(float)}, TypeError, "image: expected (H, W), (H, W, 3) or"),
        ({"image": IMAGE[..., :2]}, ValueError, "got (4, 6, 2) uint8"),
        ({"image": IMAGE[:, :0]}, ValueError, "image: expected at least 1 x 1 pixels, got 4 x 0"),
        ({"size": (2, 0)}, ValueError, "size: expected an integer from 1 to"),
        ({"size": (2.5, 3)}, TypeError, "size: expected an integer from 1 to"),
        ({"size": "23"}, TypeError, "size: expected (height, width), got '23'"),
        ({"size": (20_000, 20_000)}, ValueError, "size: expected at most 268435456 pixels"),
        ({"filter": "cubic"}, ValueError, "'bilinear', 'area', 'bicubic', 'lanczos3', got 'cubic'"),
        ({"filter": None}, ValueError, "filter: expected one of 'nearest', 'bilinear'"),
        ({"out": IMAGE}, ValueError, "out: expected (2, 3, 3) uint8, got (4, 6, 3) uint8"),
        ({"out": np.zeros((2, 3, 3))}, TypeError, "out: expected (2, 3, 3) uint8, got"),
        ({"dtype": "float32"}, ValueError, "dtype: expected one of 'uint8', got 'float32'"),
        (
            {"image": IMAGE.astype(np.float32), "dtype": "int8"},
            ValueError,
            "dtype: expected one of 'float32', 'uint8', got 'int8'",
        ),
        (
            {"image": IMAGE.astype(np.float32), "dtype": "uint8", "out": np.zeros((2, 3, 3))},
            TypeError,
            "out: expected (2, 3, 3) uint8, got",
        ),
        ({"threads": -1}, ValueError, "threads: expected an integer from 1 to 1024, got -1"),
    ],
)
def test_bad_argument_is_named(change, error, message):
    with pytest.raises(error) as caught:
        fm.kernels.resize(**{"image": IMAGE, "size": (2, 3), **change})
    assert message in str(caught.value)


def test_overlap_and_huge_images_are_refused():
    image = np.zeros((8, 6, 3), np.uint8)
    with pytest.raises(ValueError, match="out: expected memory apart from image"):
        fm.kernels.resize(image[:5], (4, 6), out=image[4:])
    huge = np.broadcast_to(np.zeros((1, 1), np.float32), (20_000, 20_000))
    with pytest.raises(ValueError, match="at most 268435456 pixels, got 20000 x 20000"):
        fm.kernels.resize(huge, (4, 4))


@pytest.mark.parametrize("filter", ["bilinear", "area", "bicubic", "lanczos3"])
@pytest.mark.parametrize("size", [(90, 131), (37, 201), (20, 30)])
@pytest.mark.parametrize("channels", [1, 3])
def test_past_the_caches_the_bytes_are_the_same(isa, filter, size, channels):
    image = np.random.default_rng(0).random((37, 53, channels), np.float32).squeeze()
    into_caches = fm.kernels.resize(image, size, filter=filter)
    with cached_up_to(0):
        for threads in (1, 3):
            past_them = fm.kernels.resize(image, size, filter=filter, threads=threads)
            np.testing.assert_array_equal(past_them, into_caches)
