"""guided_filter and guided_upsample."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Guarded, arrays, images, lay_out, seeds, sizes, thread_counts

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

dtypes = st.sampled_from([np.float32, np.uint8])
unsures = st.sampled_from([None, 0, 8, 1e9])


@st.composite
def guides(draw, shape):
    """A guide of either kind; nearly flat ones are where sums of squares cancel."""
    channels = draw(st.sampled_from([1, 3]))
    if draw(st.booleans()):
        return draw(images(shape, channels))
    rng = np.random.default_rng(draw(seeds))
    whole = (*shape, channels) if channels > 1 else shape
    return lay_out((254 + (rng.random(whole) < 0.1)).astype(np.uint8), "packed")


@st.composite
def parameters(draw, least_eps):
    return draw(st.integers(1, 40)), 10 ** draw(st.floats(np.log10(least_eps), 0))


def assert_result(result, expected, tolerance):
    """float32 within tolerance of expected; uint8 the nearest, or near a half the next to it."""
    if result.dtype == np.float32:
        assert result.min() >= 0
        assert result.max() <= 1
        assert np.abs(result - expected).max() <= tolerance
    else:
        assert np.abs(result - expected * 255).max() <= 0.5 + 255 * tolerance


@each_isa
@given(data=st.data(), size=sizes, dtype=dtypes, threads=thread_counts)
def test_guided_filter_equals_oracle(isa, data, size, dtype, threads):
    guide, alpha = data.draw(guides(size)), data.draw(arrays(size, np.float32))
    radius, eps = data.draw(parameters(1e-6))
    guarded = Guarded(size, dtype)
    result = fm.kernels.guided_filter(
        guide, alpha, radius=radius, eps=eps, out=guarded.out, threads=threads
    )
    assert result is guarded.out
    assert_result(result, oracles.guided_filter(guide, alpha, radius, eps), 2e-5)
    guarded.assert_untouched_outside()


# The guide shrunk in float32 differs from the oracle's by 1e-7, and a weighs it by up to
# 1 / (4 sqrt(eps)): hence the larger eps for the same tolerance.
@each_isa
@given(data=st.data(), size=sizes, dtype=dtypes, threads=thread_counts, unsure=unsures)
def test_guided_upsample_equals_oracle(isa, data, size, dtype, threads, unsure):
    guide = data.draw(guides(size))
    small = tuple(data.draw(st.integers(1, side)) for side in size)
    alpha = data.draw(arrays(small, np.float32))
    radius, eps = data.draw(parameters(1e-5))
    guarded = Guarded(size, dtype)
    result = fm.kernels.guided_upsample(
        guide, alpha, radius=radius, eps=eps, unsure=unsure, out=guarded.out, threads=threads
    )
    assert result is guarded.out
    assert_result(result, oracles.guided_upsample(guide, alpha, radius, eps, unsure), 2e-5)
    guarded.assert_untouched_outside()


@each_isa
@given(data=st.data(), size=sizes, subsample=st.integers(2, 150), threads=thread_counts)
def test_subsampled_guided_filter_equals_oracle(isa, data, size, subsample, threads):
    guide, alpha = data.draw(guides(size)), data.draw(arrays(size, np.float32))
    radius, eps = data.draw(parameters(1e-5))
    result = fm.kernels.guided_filter(
        guide, alpha, radius=radius, eps=eps, subsample=subsample, threads=threads
    )
    expected = oracles.guided_filter(guide, alpha, radius, eps, subsample)
    assert_result(result, expected, 2e-5)


@st.composite
def patches(draw, shape):
    """Alpha that is 0 or 1 but for a few rectangles, as most of it is around a person."""
    rng = np.random.default_rng(draw(seeds))
    alpha = np.full(shape, draw(st.sampled_from([0, 1])), np.float32)
    for _ in range(draw(st.integers(0, 2))):
        rows, columns = (np.sort(rng.integers(0, side, 2)) for side in shape)
        patch = alpha[rows[0] : rows[1] + 1, columns[0] : columns[0] + 1 + np.diff(columns)[0] // 3]
        patch[:] = draw(st.sampled_from([rng.random(patch.shape), 0.5, 1]))
    return alpha


@settings(each_isa, max_examples=20)
@given(
    data=st.data(),
    size=st.tuples(st.integers(100, 260), st.integers(100, 400)),
    radius=st.integers(1, 9),
    dtype=dtypes,
    threads=thread_counts,
    upsample=st.booleans(),
)
def test_alpha_of_one_value_around_equals_oracle(isa, data, size, radius, dtype, threads, upsample):
    guide = data.draw(guides(size))
    if upsample:
        alpha = data.draw(patches((size[0] // 2, size[1] // 2)))
        kernel, options = fm.kernels.guided_upsample, {"unsure": data.draw(unsures)}
        expected = oracles.guided_upsample(guide, alpha, radius, 1e-4, **options)
    else:
        alpha = data.draw(patches(size))
        kernel, options = fm.kernels.guided_filter, {}
        expected = oracles.guided_filter(guide, alpha, radius, 1e-4)
    guarded = Guarded(size, dtype)
    kernel(guide, alpha, radius=radius, eps=1e-4, out=guarded.out, threads=threads, **options)
    assert_result(guarded.out, expected, 2e-5)
    guarded.assert_untouched_outside()
    with fm.cpu.force("scalar"):
        again = kernel(
            guide, alpha, radius=radius, eps=1e-4, dtype=dtype.__name__, threads=1, **options
        )
    np.testing.assert_array_equal(guarded.out, again)


def scene(height, width, channels, seed=0):
    rng = np.random.default_rng(seed)
    guide = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    return guide if channels > 1 else guide[..., 0].copy(), rng.random((height, width)).astype("f4")


@pytest.mark.parametrize("channels", [1, 3])
def test_every_isa_and_thread_count_gives_the_same_bytes(channels):
    # Several bands of each of the passes.
    guide, alpha = scene(613, 401, channels)
    small = scene(390, 203, channels)[1]
    results = {}
    for isa in fm.cpu.available():
        for threads in (1, 3):
            with fm.cpu.force(isa):
                results[isa, threads] = [
                    fm.kernels.guided_filter(guide, alpha, radius=4, eps=1e-4, threads=threads),
                    fm.kernels.guided_filter(
                        guide, alpha, radius=9, eps=1e-4, subsample=3, threads=threads
                    ),
                    fm.kernels.guided_upsample(
                        guide, small, radius=3, eps=1e-4, unsure=8, threads=threads
                    ),
                    fm.kernels.guided_upsample(
                        guide, small, radius=3, eps=1e-4, dtype="uint8", threads=threads
                    ),
                ]
    first, *others = results.values()
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("radius", [1, 7, 30])
def test_bands_leave_no_seam(isa, radius):
    guide, alpha = scene(700, 90, 3)
    result = fm.kernels.guided_filter(guide, alpha, radius=radius, eps=1e-4)
    # Above and below these rows the crop has other borders; between them it has other bands.
    cut = slice(97 + 2 * radius, 500 - 2 * radius)
    crop = fm.kernels.guided_filter(guide[97:500], alpha[97:500], radius=radius, eps=1e-4)
    np.testing.assert_allclose(crop[cut.start - 97 : cut.stop - 97], result[cut], atol=2e-6, rtol=0)


@given(data=st.data(), size=sizes, level=st.floats(0, 1, width=32), radius=st.integers(1, 20))
def test_constant_alpha_survives(data, size, level, radius):
    guide = data.draw(guides(size))
    alpha = np.full(size, level, np.float32)
    small = alpha[: (size[0] + 1) // 2, : (size[1] + 1) // 2]
    for result in (
        fm.kernels.guided_filter(guide, alpha, radius=radius, eps=1e-4),
        fm.kernels.guided_filter(guide, alpha, radius=radius, eps=1e-4, subsample=4),
        fm.kernels.guided_upsample(guide, small, radius=radius, eps=1e-4),
    ):
        np.testing.assert_allclose(result, alpha, atol=1e-6, rtol=0)


def test_alpha_linear_in_the_guide_survives(isa):
    guide = scene(60, 70, 3)[0]
    alpha = (guide @ np.array([0.2, 0.5, 0.3]) / 255).astype(np.float32)
    # One linear function fits every window, but for what eps takes from its slope.
    result = fm.kernels.guided_filter(guide, alpha, radius=5, eps=1e-6)
    np.testing.assert_allclose(result, alpha, atol=1e-4, rtol=0)


def test_filter_is_linear_in_alpha():
    guide, alpha = scene(80, 90, 3)
    alpha = 0.25 + alpha / 2  # far from where clipping begins
    half = fm.kernels.guided_filter(guide, alpha / 2, radius=6, eps=1e-2)
    whole = fm.kernels.guided_filter(guide, alpha, radius=6, eps=1e-2)
    np.testing.assert_allclose(whole, 2 * half, atol=1e-6, rtol=0)


def test_edge_of_the_guide_is_followed(isa):
    guide = np.zeros((64, 64, 3), np.uint8)
    guide[:, 30:] = (200, 90, 40)
    soft = np.clip((np.arange(8, dtype=np.float32) - 2) / 3, 0, 1) * np.ones((8, 1), np.float32)
    result = fm.kernels.guided_upsample(guide, soft, radius=2, eps=1e-6)
    step = np.diff(result[32])
    assert step.argmax() == 29
    assert step.max() > 0.4  # bilinear growth steps by 1 / 24


def test_sure_alpha_is_grown_bilinearly(isa):
    guide = scene(90, 130, 3)[0]
    alpha = scene(31, 40, 1)[1]
    result = fm.kernels.guided_upsample(guide, alpha, radius=2, eps=1e-4, unsure=0)
    expected = oracles.resample(alpha, (90, 130), "bilinear")
    np.testing.assert_allclose(result, expected, atol=2e-6, rtol=0)


def test_upsample_to_the_same_size_is_the_filter(isa):
    guide, alpha = scene(50, 61, 3)
    np.testing.assert_allclose(
        fm.kernels.guided_upsample(guide, alpha, radius=3, eps=1e-4),
        fm.kernels.guided_filter(guide, alpha, radius=3, eps=1e-4),
        atol=2e-6,
        rtol=0,
    )


@pytest.mark.parametrize("subsample", [1, 4])
def test_bytes_are_the_rounded_floats(isa, subsample):
    guide, alpha = scene(123, 95, 3)
    arguments = {"radius": 4, "eps": 1e-4, "subsample": subsample}
    floats = fm.kernels.guided_filter(guide, alpha, **arguments)
    levels = fm.kernels.guided_filter(guide, alpha, dtype="uint8", **arguments)
    assert levels.dtype == np.uint8
    np.testing.assert_array_equal(levels, oracles.quantise(floats, 255))


def test_radius_beyond_the_image_is_the_image():
    guide, alpha = scene(20, 30, 3)
    np.testing.assert_array_equal(
        fm.kernels.guided_filter(guide, alpha, radius=29, eps=1e-4),
        fm.kernels.guided_filter(guide, alpha, radius=2**28, eps=1e-4),
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_opencv_agrees_inside(channels):
    ximgproc = pytest.importorskip("cv2.ximgproc", reason="opencv-contrib is not installed")
    guide, alpha = scene(120, 150, channels)
    alpha = 0.3 + 0.4 * alpha
    radius, eps = 4, 1e-2
    # OpenCV reflects at the borders, so only pixels both boxes away from them compare; its guide is
    # in 0..255, and with it eps.
    theirs = ximgproc.guidedFilter(guide, alpha, radius, eps * 255**2)
    ours = fm.kernels.guided_filter(guide, alpha, radius=radius, eps=eps)
    difference = np.abs(ours - theirs)[2 * radius : -2 * radius, 2 * radius : -2 * radius]
    # Its moments are float32.
    assert difference.max() < 1e-4
    assert difference.mean() < 1e-5


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("empty_store")
def test_steady_state_allocates_nothing(threads):
    guide, alpha = scene(270, 300, 3)
    small = scene(64, 64, 3)[1]
    out = np.empty_like(alpha)

    def frame():
        fm.kernels.guided_filter(guide, alpha, radius=4, eps=1e-4, out=out, threads=threads)
        fm.kernels.guided_filter(
            guide, alpha, radius=4, eps=1e-4, subsample=2, out=out, threads=threads
        )
        fm.kernels.guided_upsample(
            guide, small, radius=3, eps=1e-4, unsure=8, out=out, threads=threads
        )

    frame()
    before = fm._core.system_allocations()
    for _ in range(10):
        frame()
    assert fm._core.system_allocations() == before


GUIDE, ALPHA = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"guide": GUIDE.astype(np.float32)},
            TypeError,
            "guide: expected (H, W) or (H, W, 3) uint8",
        ),
        ({"guide": GUIDE[..., :2]}, ValueError, "guide: expected (H, W) or (H, W, 3) uint8"),
        ({"alpha": ALPHA.astype(np.uint8)}, TypeError, "alpha: expected (H, W) float32"),
        ({"alpha": ALPHA + np.float32(np.nan)}, ValueError, "values in [0, 1], got nan at row 0"),
        ({"radius": 0}, ValueError, "radius: expected an integer from 1 to 268435456, got 0"),
        ({"radius": 1.5}, TypeError, "radius: expected an integer from 1 to 268435456, got float"),
        ({"eps": 0}, ValueError, "eps: expected a finite number of at least 1e-09, got 0"),
        ({"eps": float("nan")}, ValueError, "eps: expected a finite number of at least 1e-09"),
        ({"eps": "small"}, TypeError, "eps: expected a finite number of at least 1e-09, got str"),
        ({"dtype": "float64"}, ValueError, "dtype: expected one of 'float32', 'uint8'"),
        ({"out": GUIDE[..., 0][:3]}, ValueError, "out: expected (4, 6) uint8, got (3, 6) uint8"),
        ({"out": ALPHA.astype(float)}, TypeError, "out: expected (4, 6) float32, got (4, 6) float"),
        (
            {"out": ALPHA.copy(), "dtype": "uint8"},
            TypeError,
            "out: expected (4, 6) uint8, got (4, 6) float32",
        ),
        ({"threads": 0}, ValueError, "threads: expected an integer from 1 to 1024, got 0"),
    ],
)
@pytest.mark.parametrize("name", ["guided_filter", "guided_upsample"])
def test_bad_argument_is_named(name, change, error, message):
    arguments = {"guide": GUIDE, "alpha": ALPHA, "radius": 2, "eps": 1e-4, **change}
    with pytest.raises(error) as caught:
        getattr(fm.kernels, name)(**arguments)
    assert message in str(caught.value)


def test_bad_arguments_of_one_kernel_are_named():
    kernels = fm.kernels
    with pytest.raises(ValueError, match="alpha: expected the size of guide, 4 x 6, got 3 x 6"):
        kernels.guided_filter(GUIDE, ALPHA[:3], radius=2, eps=1e-4)
    with pytest.raises(ValueError, match="subsample: expected an integer from 1 to 268435456"):
        kernels.guided_filter(GUIDE, ALPHA, radius=2, eps=1e-4, subsample=0)
    with pytest.raises(ValueError, match="alpha: expected at most the size of guide, 3 x 6, got 4"):
        kernels.guided_upsample(GUIDE[:3], ALPHA, radius=2, eps=1e-4)
    with pytest.raises(ValueError, match="unsure: expected a finite number of at least 0"):
        kernels.guided_upsample(GUIDE, ALPHA, radius=2, eps=1e-4, unsure=-1)


def test_refused_call_leaves_out_untouched():
    out = np.full((4, 6), 7, np.uint8)
    alpha = ALPHA.copy()
    alpha[3, 5] = 2
    for name in ("guided_filter", "guided_upsample"):
        with pytest.raises(ValueError, match=r"got 2\.0+ at row 3, column 5"):
            getattr(fm.kernels, name)(GUIDE, alpha, radius=2, eps=1e-4, out=out)
    assert (out == 7).all()


def test_overlap_is_refused():
    guide = np.zeros((8, 6), np.uint8)
    for name in ("guided_filter", "guided_upsample"):
        kernel = getattr(fm.kernels, name)
        with pytest.raises(ValueError, match="out: expected memory apart from alpha"):
            kernel(GUIDE, ALPHA, radius=2, eps=1e-4, out=ALPHA)
        with pytest.raises(ValueError, match="out: expected memory apart from guide"):
            kernel(guide[:4], ALPHA, radius=2, eps=1e-4, out=guide[3:7])
