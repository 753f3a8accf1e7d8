"""yuv_to_rgb and rgb_to_yuv."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Guarded, images, lay_out, thread_counts

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
#: Below, at and above what vectors hold, and above a run of chroma.
halves = st.tuples(st.integers(1, 65), st.one_of(st.integers(1, 65), st.integers(126, 140)))
colours = st.fixed_dictionaries(
    {
        "matrix": st.sampled_from(["bt601", "bt709"]),
        "range": st.sampled_from(["limited", "full"]),
    }
)


@each_isa
@given(data=st.data(), half=halves, option=colours, threads=thread_counts)
def test_yuv_to_rgb_equals_oracle(isa, data, half, option, threads):
    size = half[0] * 2, half[1] * 2
    y, u, v = data.draw(images(size, 1)), data.draw(images(half, 1)), data.draw(images(half, 1))
    pixel_format = data.draw(st.sampled_from(["i420", "nv12"]))
    planes = (y, u, v) if pixel_format == "i420" else (y, lay_out(np.stack([u, v], -1), "padded"))
    guarded = Guarded((*size, 3), np.uint8)
    result = fm.kernels.yuv_to_rgb(
        planes, pixel_format=pixel_format, **option, out=guarded.out, threads=threads
    )
    assert result is guarded.out
    np.testing.assert_array_equal(result, oracles.yuv_to_rgb((y, u, v), **option))
    guarded.assert_untouched_outside()


@each_isa
@given(data=st.data(), half=halves, option=colours, threads=thread_counts)
def test_rgb_to_yuv_equals_oracle(isa, data, half, option, threads):
    size = half[0] * 2, half[1] * 2
    image = data.draw(images(size))
    guarded = [Guarded(s, np.uint8) for s in (size, half, half)]
    out = tuple(g.out for g in guarded)
    result = fm.kernels.rgb_to_yuv(image, **option, out=out, threads=threads)
    for plane, given_out, expected in zip(
        result, out, oracles.rgb_to_yuv(image, **option), strict=True
    ):
        assert plane is given_out
        np.testing.assert_array_equal(plane, expected)
    for g in guarded:
        g.assert_untouched_outside()


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("range", ["limited", "full"])
def test_greys_and_the_purest_colours(isa, matrix, range):
    """Greys have no colour, black and white are the ends, and nothing leaves its byte."""
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 2, 0).repeat(3, 2)
    y, u, v = fm.kernels.rgb_to_yuv(grey, matrix=matrix, range=range)
    assert (y[0, 0], y[0, -1]) == ((16, 235) if range == "limited" else (0, 255))
    assert (u == 128).all()
    assert (v == 128).all()
    back = fm.kernels.yuv_to_rgb((y, u, v), matrix=matrix, range=range)
    assert (back[..., 0] == back[..., 1]).all()
    assert np.abs(back.astype(int) - grey).max() <= 1
    corners = np.array(np.meshgrid(*[[0, 255]] * 3)).reshape(3, -1).T.astype(np.uint8)
    for colour in corners:
        image = np.broadcast_to(colour, (4, 4, 3))
        planes = fm.kernels.rgb_to_yuv(image, matrix=matrix, range=range)
        found = fm.kernels.yuv_to_rgb(planes, matrix=matrix, range=range)
        # Half a level of each plane, by the largest weights.
        assert np.abs(found.astype(int) - image).max() <= 2


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_the_same_as_to_tensor(matrix):
    """Which works in float32: a sum that lies between two levels may be rounded either way."""
    frame = np.random.default_rng(5).integers(0, 256, (96, 70), np.uint8)
    tensor = fm.kernels.to_tensor(frame, pixel_format="i420", matrix=matrix)
    other = fm.kernels.from_tensor(tensor).astype(int)
    found = fm.kernels.yuv_to_rgb(frame, matrix=matrix)
    assert np.abs(found - other).max() <= 1
    assert (found != other).mean() < 1e-3


def test_golden_opencv():
    cv2 = pytest.importorskip("cv2", reason="opencv-contrib-python-headless is not installed")
    rng = np.random.default_rng(3)
    # Of one chroma throughout, for OpenCV repeats it, and makes it of one pixel of four; its
    # weights have fewer digits.
    frame = np.concatenate(
        [rng.integers(16, 256, (60, 80)), np.full((15, 80), 90), np.full((15, 80), 150)]
    ).astype(np.uint8)
    found = fm.kernels.yuv_to_rgb(frame).astype(int)
    assert np.abs(found - cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_I420)).max() <= 1
    image = np.kron(rng.integers(0, 256, (30, 40, 3)), np.ones((2, 2, 1))).astype(np.uint8)
    expected = oracles.yuv_planes(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), "i420")
    for plane, other in zip(fm.kernels.rgb_to_yuv(image), expected, strict=True):
        assert np.abs(plane.astype(int) - other).max() <= 1


@pytest.mark.usefixtures("empty_store")
def test_steady_state_takes_no_memory():
    image = np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)
    planes = fm.kernels.rgb_to_yuv(image)
    pairs = planes[0], np.stack(planes[1:], -1)
    out = np.empty_like(image)

    def work():
        fm.kernels.rgb_to_yuv(image, out=planes, threads=2)
        fm.kernels.yuv_to_rgb(planes, out=out, threads=2)
        fm.kernels.yuv_to_rgb(pairs, pixel_format="nv12", out=out, threads=2)

    work()
    before = fm._core.system_allocations()
    for _ in range(10):
        work()
    assert fm._core.system_allocations() == before


IMAGE = np.zeros((4, 6, 3), np.uint8)
LUMA, CHROMA = np.zeros((4, 6), np.uint8), np.zeros((2, 3), np.uint8)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": IMAGE[:3]}, ValueError, "image: expected even height and width, got 3 x 6"),
        ({"image": IMAGE[..., 0]}, ValueError, "image: expected (H, W, 3) uint8"),
        ({"matrix": "bt2020"}, ValueError, "matrix: expected one of 'bt601', 'bt709', got"),
        ({"range": "tv"}, ValueError, "range: expected one of 'limited', 'full', got 'tv'"),
        ({"out": LUMA}, TypeError, "out: expected planes (y, u, v), got ndarray"),
        ({"out": (LUMA, CHROMA)}, TypeError, "out: expected planes (y, u, v), got tuple"),
        ({"out": (LUMA, CHROMA, LUMA)}, ValueError, "out: expected (2, 3) uint8, got (4, 6)"),
        (
            {"out": (LUMA, CHROMA, CHROMA)},
            ValueError,
            "out: expected memory apart from out[1], got overlapping arrays",
        ),
        ({"threads": -1}, ValueError, "threads: expected an integer from"),
    ],
)
def test_bad_arguments_of_rgb_to_yuv(change, error, message):
    with pytest.raises(error) as caught:
        fm.kernels.rgb_to_yuv(**{"image": IMAGE, **change})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": (LUMA, CHROMA)}, ValueError, "image: expected planes (y, u, v), got 2 planes"),
        ({"image": (LUMA[:3], CHROMA, CHROMA)}, ValueError, "image[0]: expected even height"),
        ({"pixel_format": "rgb"}, ValueError, "expected one of 'i420', 'nv12', got 'rgb'"),
        ({"out": IMAGE[:2]}, ValueError, "out: expected (4, 6, 3) uint8, got (2, 6, 3) uint8"),
    ],
)
def test_bad_arguments_of_yuv_to_rgb(change, error, message):
    with pytest.raises(error) as caught:
        fm.kernels.yuv_to_rgb(**{"image": (LUMA, CHROMA, CHROMA.copy()), **change})
    assert message in str(caught.value)


def test_out_lies_apart_from_the_planes():
    memory = np.zeros((12, 6), np.uint8)
    planes = memory[:4], CHROMA, CHROMA.copy()
    with pytest.raises(ValueError, match="out: expected memory apart from image"):
        fm.kernels.yuv_to_rgb(planes, out=memory.reshape(4, 6, 3))
