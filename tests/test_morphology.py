"""erode, dilate and trimap."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Guarded, alphas, sizes, thread_counts

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
#: None, one, the passes along a row of each length, and beyond every side.
radii = st.sampled_from([0, 1, 2, 3, 7, 8, 13, 31, 32, 64, 128, 10**6])


@each_isa
@given(data=st.data(), size=sizes, radius=radii, threads=thread_counts)
@pytest.mark.parametrize("name", ["erode", "dilate"])
def test_extremes_equal_oracle(isa, name, data, size, radius, threads):
    alpha = data.draw(alphas(size))
    guarded = Guarded(size, alpha.dtype)
    result = getattr(fm.kernels, name)(alpha, radius=radius, out=guarded.out, threads=threads)
    assert result is guarded.out
    expected = getattr(oracles, name)(alpha, min(radius, max(size)))
    np.testing.assert_array_equal(result, expected)
    guarded.assert_untouched_outside()


@each_isa
@given(data=st.data(), size=sizes, radius=radii, threads=thread_counts)
@pytest.mark.parametrize(("low", "high"), [(0.05, 0.95), (0, 1), (0.2, 0.6)])
def test_trimap_equals_oracle(isa, low, high, data, size, radius, threads):
    alpha = data.draw(alphas(size))
    guarded = Guarded(size, np.uint8)
    result = fm.kernels.trimap(
        alpha, radius=radius, low=low, high=high, out=guarded.out, threads=threads
    )
    np.testing.assert_array_equal(result, oracles.trimap(alpha, min(radius, max(size)), low, high))
    guarded.assert_untouched_outside()


def disc(height, width):
    """A soft-edged alpha over several blocks of rows."""
    y, x = np.mgrid[:height, :width]
    return np.clip((0.3 - np.hypot(y / height - 0.5, x / width - 0.5)) * 20, 0, 1).astype(
        np.float32
    )


# Of float32, 150 has more rows of suffixes than get scratch.
@pytest.mark.parametrize("radius", [0, 7, 40, 150])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_blocks_of_rows_meet(isa, radius, as_bytes):
    alpha = disc(331, 517)
    alpha = fm.kernels.quantise(alpha) if as_bytes else alpha
    for name in ("erode", "dilate"):
        one, three = (
            getattr(fm.kernels, name)(alpha, radius=radius, threads=threads) for threads in (1, 3)
        )
        np.testing.assert_array_equal(one, getattr(oracles, name)(alpha, radius))
        np.testing.assert_array_equal(one, three)
    one, three = (fm.kernels.trimap(alpha, radius=radius, threads=t) for t in (1, 3))
    np.testing.assert_array_equal(one, oracles.trimap(alpha, radius, 0.05, 0.95))
    np.testing.assert_array_equal(one, three)


@given(data=st.data(), size=sizes, radius=st.integers(0, 20))
def test_dilation_is_erosion_of_the_complement(data, size, radius):
    alpha = data.draw(alphas(size))
    if alpha.dtype == np.float32:
        alpha = fm.kernels.quantise(alpha)
    np.testing.assert_array_equal(
        fm.kernels.dilate(alpha, radius=radius), 255 - fm.kernels.erode(255 - alpha, radius=radius)
    )


@given(data=st.data(), size=sizes, first=st.integers(0, 9), second=st.integers(0, 9))
def test_radii_add_up(data, size, first, second):
    alpha = data.draw(alphas(size))
    once = fm.kernels.erode(alpha, radius=first + second)
    twice = fm.kernels.erode(fm.kernels.erode(alpha, radius=first), radius=second)
    np.testing.assert_array_equal(once, twice)


@pytest.mark.parametrize("low", range(0, 255, 5))
def test_bytes_are_compared_as_the_floats_they_stand_for(low):
    alpha = np.arange(256, dtype=np.uint8)[None]
    thresholds = {"radius": 0, "low": low / 255, "high": (low + 1) / 255}
    trimap = fm.kernels.trimap(alpha, **thresholds)
    np.testing.assert_array_equal(trimap, fm.kernels.trimap(alpha / np.float32(255), **thresholds))
    np.testing.assert_array_equal(trimap[0], np.where(np.arange(256) <= low, 0, 255))


def test_a_small_trimap_reads_right():
    rows = ["0000000", "0007000", "0077700", "0777770", "7777777", "7777777", "7777777"]
    alpha = np.array([[float(c == "7") for c in row] for row in rows], np.float32)
    shown = {0: ".", 128: "?", 255: "#"}
    trimap = ["".join(shown[v] for v in row) for row in fm.kernels.trimap(alpha, radius=1)]
    assert trimap == ["..???..", ".?????.", "???????", "???#???", "??###??", "#######", "#######"]


@pytest.mark.parametrize("radius", [1, 7])
def test_agrees_with_opencv_exactly(radius):
    cv2 = pytest.importorskip("cv2")
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    for alpha in (disc(90, 121), fm.kernels.quantise(disc(90, 121))):
        for name in ("erode", "dilate"):
            # OpenCV, too, leaves out what lies outside.
            np.testing.assert_array_equal(
                getattr(fm.kernels, name)(alpha, radius=radius), getattr(cv2, name)(alpha, square)
            )


@pytest.mark.parametrize("name", ["erode", "dilate", "trimap"])
@pytest.mark.usefixtures("empty_store")
def test_steady_state_takes_no_memory_from_the_system(name):
    alpha = disc(200, 300)
    out = np.empty(alpha.shape, np.uint8 if name == "trimap" else np.float32)
    kernel = getattr(fm.kernels, name)
    kernel(alpha, radius=5, out=out, threads=3)
    before = fm._core.system_allocations()
    for _ in range(20):
        kernel(alpha, radius=5, out=out, threads=3)
    assert fm._core.system_allocations() == before


ALPHA = np.zeros((4, 6), np.float32)


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("erode", {"radius": -1}, ValueError, "radius: expected an integer from 0 to"),
        ("dilate", {"radius": 1.5}, TypeError, "radius: expected an integer from 0 to"),
        ("erode", {"alpha": ALPHA.astype(float)}, TypeError, "alpha: expected (H, W) float32"),
        ("erode", {"alpha": ALPHA[..., None]}, ValueError, "alpha: expected (H, W) float32"),
        ("dilate", {"alpha": ALPHA - 1}, ValueError, "alpha: expected values in [0, 1], got -1.0"),
        ("erode", {"alpha": ALPHA + np.float32(np.nan)}, ValueError, "got nan at row 0, column 0"),
        ("erode", {"out": np.zeros((4, 6), np.uint8)}, TypeError, "out: expected (4, 6) float32"),
        ("trimap", {"out": ALPHA.copy()}, TypeError, "out: expected (4, 6) uint8"),
        ("trimap", {"low": 0.5, "high": 0.5}, ValueError, "low: expected less than high, 0.5"),
        ("trimap", {"low": -0.1}, ValueError, "low: expected a number from 0.0 to 1.0, got -0.1"),
        ("trimap", {"high": 95}, ValueError, "high: expected a number from 0.0 to 1.0, got 95"),
        ("trimap", {"alpha": ALPHA + 2}, ValueError, "alpha: expected values in [0, 1], got 2.0"),
    ],
)
def test_bad_argument_is_named(name, change, error, message):
    arguments = {"alpha": ALPHA, "radius": 1, **change}
    with pytest.raises(error) as caught:
        getattr(fm.kernels, name)(**arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["erode", "dilate", "trimap"])
def test_out_must_be_apart_and_stays_untouched_when_refused(name):
    alpha = np.full((4, 6), 7, np.uint8)
    with pytest.raises(ValueError, match="out: expected memory apart from alpha"):
        getattr(fm.kernels, name)(alpha, radius=1, out=alpha)
    out = np.full((4, 6), 9, np.uint8 if name == "trimap" else np.float32)
    with pytest.raises(ValueError, match="alpha: expected values"):
        getattr(fm.kernels, name)(ALPHA + 3, radius=1, out=out)
    assert (out == 9).all()
