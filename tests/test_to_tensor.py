"""to_tensor: resampling, scaling and layout in one."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import (
    RESIZES,
    cache_limits,
    cached_up_to,
    images,
    lay_out,
    sizes,
    thread_counts,
)

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

FILTERS = ["bilinear", "area"]
PLAIN = {"scale": 1 / 255, "mean": (0, 0, 0), "std": (1, 1, 1)}
IMAGENET = {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SIGNED = {"scale": 1, "mean": (127.5, 127.5, 127.5), "std": (127.5, 127.5, 127.5)}

options = st.fixed_dictionaries(
    {
        "filter": st.sampled_from(FILTERS),
        "pixel_format": st.sampled_from(["rgb", "bgr", "rgba", "bgra"]),
        "layout": st.sampled_from(["nchw", "nhwc"]),
    }
)


def assert_close(result, expected, levels, taps=130):
    # Each pass adds at most `taps` products, each sum rounded by 2^-24 of at most 255 levels, and
    # weights are rounded once: (2 taps + 4) 2^-24 of the range is a bound, 1e-5 for 80 taps. The
    # offset is rounded to float32 and added with another rounding.
    factor = levels["scale"] / np.array(levels["std"])
    offset = np.array(levels["mean"]) / np.array(levels["std"])
    bound = (2 * taps + 4) * 2.0**-24 * (255 * factor.max() + np.abs(offset).max())
    assert np.abs(result - expected).max() <= bound


def guarded(shape):
    """A contiguous out with a sentinel before and after it."""
    whole = np.full(64 + int(np.prod(shape)), 113, np.float32)
    return whole, whole[32:-32].reshape(shape)


@each_isa
@given(
    data=st.data(),
    source=sizes,
    size=st.one_of(st.none(), sizes),
    levels=st.sampled_from([PLAIN, IMAGENET, SIGNED]),
    option=options,
    limit=cache_limits,
    threads=thread_counts,
)
def test_equals_oracle(isa, data, source, size, levels, option, limit, threads):
    image = data.draw(images(source, len(option["pixel_format"])))
    height, width = size or source
    planar = option["layout"] == "nchw"
    whole, out = guarded((1, 3, height, width) if planar else (1, height, width, 3))
    with cached_up_to(limit):
        result = fm.kernels.to_tensor(image, size, **levels, **option, out=out, threads=threads)
    assert result is out
    assert_close(result, oracles.to_tensor(image, size, **levels, **option), levels)
    assert (whole[:32] == 113).all()
    assert (whole[-32:] == 113).all()
    with fm.cpu.force("scalar"):
        scalar = fm.kernels.to_tensor(image, size, **levels, **option, threads=1)
    np.testing.assert_array_equal(result, scalar)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize(("source", "size"), RESIZES)
def test_extreme_sizes(isa, source, size, filter, layout):
    image = np.random.default_rng(3).integers(0, 256, (*source, 3), np.uint8)
    results = [
        fm.kernels.to_tensor(image, size, filter=filter, layout=layout, threads=threads)
        for threads in (1, 3)
    ]
    np.testing.assert_array_equal(*results)
    expected = oracles.to_tensor(image, size, filter, 1 / 255, (0,) * 3, (1,) * 3, "rgb", layout)
    assert_close(results[0], expected, PLAIN, taps=max(max(source) / max(size), 1) + 100)


@given(data=st.data(), source=sizes, size=sizes, filter=st.sampled_from(FILTERS))
def test_constant_image_survives(data, source, size, filter):
    level = data.draw(st.integers(0, 255))
    image = np.full((*source, 3), level, np.uint8)
    result = fm.kernels.to_tensor(image, size, filter=filter, scale=1)
    # Each of at most 130 taps along either axis rounds once.
    np.testing.assert_allclose(result, level, rtol=260 * 2.0**-24)


@given(data=st.data(), source=sizes, times=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_area_enlarged_by_integers_repeats_pixels(data, source, times):
    image = data.draw(images(source))
    size = (source[0] * times[0], source[1] * times[1])
    result = fm.kernels.to_tensor(image, size, filter="area", scale=1, layout="nhwc")
    np.testing.assert_array_equal(result[0], image.repeat(times[0], 0).repeat(times[1], 1))


@given(data=st.data(), source=sizes, option=options)
def test_channel_order_and_layout_only_move_values(data, source, option):
    rgba = data.draw(images(source, 4))
    expected = fm.kernels.to_tensor(rgba[..., :3], (31, 37), filter=option["filter"], **IMAGENET)
    image = rgba if "rgb" in option["pixel_format"] else rgba[..., [2, 1, 0, 3]]
    image = image[..., : len(option["pixel_format"])]
    result = fm.kernels.to_tensor(image, (31, 37), **option, **IMAGENET)
    if option["layout"] == "nhwc":
        result = result.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(result, expected)


@each_isa
@given(
    data=st.data(),
    source=sizes,
    size=st.one_of(st.none(), sizes),
    scale=st.sampled_from([1 / 255, 1, 1e-6, 1e-9, 300, 1e36]),
    levels=st.sampled_from([PLAIN, IMAGENET, SIGNED]),
    option=options,
    limit=cache_limits,
    threads=thread_counts,
)
def test_float16_is_the_float32_result_rounded(
    isa, data, source, size, scale, levels, option, limit, threads
):
    image = data.draw(images(source, len(option["pixel_format"])))
    levels = {**levels, "scale": scale}
    with np.errstate(over="ignore"):
        expected = fm.kernels.to_tensor(image, size, **levels, **option).astype(np.float16)
    whole = np.full(64 + expected.size, 113, np.float16)
    out = whole[32:-32].reshape(expected.shape)
    with cached_up_to(limit):
        result = fm.kernels.to_tensor(image, size, **levels, **option, out=out, threads=threads)
    assert result is out
    np.testing.assert_array_equal(result.view(np.uint16), expected.view(np.uint16))
    assert (whole[:32] == 113).all()
    assert (whole[-32:] == 113).all()
    again = fm.kernels.to_tensor(image, size, **levels, **option, dtype="float16")
    np.testing.assert_array_equal(again, result)


def test_every_kind_of_float16_rounding(isa):
    # 256 levels by many scales, about every half, halfway between two, and beyond both ends.
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    scales = [2.0**e * (1 + f / 4096) for e in range(-34, 9) for f in (0, 1, 2, 3, 4095)]
    for scale in scales:
        full = fm.kernels.to_tensor(image, scale=scale)
        with np.errstate(over="ignore"):
            expected = full.astype(np.float16)
        np.testing.assert_array_equal(
            fm.kernels.to_tensor(image, scale=scale, dtype="float16"), expected
        )


@st.composite
def yuv_frames(draw, luma):
    """A frame and the same as planes: one array, or planes with padding of their own."""
    height, width = 2 * luma[0], 2 * luma[1]
    pixel_format = draw(st.sampled_from(["nv12", "i420"]))
    frame = draw(images((height * 3 // 2, width), 1))
    planes = oracles.yuv_planes(np.ascontiguousarray(frame), pixel_format)
    kind = draw(st.sampled_from(["joined", "split", "padded", "flat"]))
    if kind == "joined":
        packed = np.ascontiguousarray(frame) if pixel_format == "i420" else frame
        return packed, planes, pixel_format
    y, u, v = planes
    parts = (y, u, v) if pixel_format == "i420" else (y, np.stack([u, v], -1))
    if pixel_format == "nv12" and kind == "flat":
        parts = (y, parts[1].reshape(len(u), -1))
    if kind == "padded":
        parts = tuple(lay_out(part, "padded") for part in parts)
    return parts, planes, pixel_format


halves = st.tuples(st.integers(1, 65), st.integers(1, 65))
colours = st.fixed_dictionaries(
    {
        "matrix": st.sampled_from(["bt601", "bt709"]),
        "range": st.sampled_from(["limited", "full"]),
        "filter": st.sampled_from(FILTERS),
        "layout": st.sampled_from(["nchw", "nhwc"]),
    }
)


@each_isa
@given(
    data=st.data(),
    luma=halves,
    size=st.one_of(st.none(), sizes),
    levels=st.sampled_from([PLAIN, IMAGENET, SIGNED]),
    option=colours,
    threads=thread_counts,
)
def test_yuv_equals_oracle(isa, data, luma, size, levels, option, threads):
    frame, planes, pixel_format = data.draw(yuv_frames(luma))
    option = {**option, "pixel_format": pixel_format}
    height, width = size or planes[0].shape
    planar = option["layout"] == "nchw"
    whole, out = guarded((1, 3, height, width) if planar else (1, height, width, 3))
    result = fm.kernels.to_tensor(frame, size, **levels, **option, out=out, threads=threads)
    del option["pixel_format"]
    # The coefficients of a colour add up to less than 3.4 in magnitude.
    assert_close(result, oracles.yuv_to_tensor(planes, size, **levels, **option), levels, 4 * 130)
    assert (whole[:32] == 113).all()
    assert (whole[-32:] == 113).all()
    with fm.cpu.force("scalar"):
        scalar = fm.kernels.to_tensor(
            frame, size, **levels, **option, pixel_format=pixel_format, threads=1
        )
    np.testing.assert_array_equal(result, scalar)


@pytest.mark.parametrize("pixel_format", ["nv12", "i420"])
def test_golden_opencv_yuv(pixel_format):
    cv2 = pytest.importorskip("cv2", reason="opencv-contrib-python-headless is not installed")
    frame = np.random.default_rng(3).integers(16, 256, (90, 80), np.uint8)
    code = {"nv12": cv2.COLOR_YUV2RGB_NV12, "i420": cv2.COLOR_YUV2RGB_I420}[pixel_format]
    result = fm.kernels.to_tensor(
        frame, filter="area", scale=1, layout="nhwc", pixel_format=pixel_format
    )[0]
    # OpenCV takes BT.601's matrix to three digits and rounds to uint8; it also takes luma below 16
    # for 16, which is left out here.
    assert np.abs(result - cv2.cvtColor(frame, code)).max() < 1


def test_yuv_greys_and_primaries():
    grey = np.array([[16, 235], [126, 0], [128, 128]], np.uint8)
    for matrix in ("bt601", "bt709"):
        result = fm.kernels.to_tensor(grey, scale=1, pixel_format="nv12", matrix=matrix)
        expected = np.repeat([[[[0, 255], [110 * 255 / 219, 0]]]], 3, 1)
        np.testing.assert_allclose(result, expected, atol=1e-3)
        full = fm.kernels.to_tensor(grey, scale=1, pixel_format="i420", matrix=matrix, range="full")
        np.testing.assert_array_equal(full[0, 2], grey[:2])


@each_isa
@given(data=st.data(), source=sizes, size=st.one_of(st.none(), sizes), option=options)
def test_crop_is_an_image_of_that_part(isa, data, source, size, option):
    image = data.draw(images(source, len(option["pixel_format"])))
    y, x = (data.draw(st.integers(0, side - 1)) for side in source)
    height, width = (
        data.draw(st.integers(1, side - at)) for side, at in zip(source, (y, x), strict=True)
    )
    np.testing.assert_array_equal(
        fm.kernels.to_tensor(image, size, crop=(x, y, width, height), **option),
        fm.kernels.to_tensor(image[y : y + height, x : x + width], size, **option),
    )


@pytest.mark.parametrize("pixel_format", ["nv12", "i420"])
def test_crop_of_yuv(pixel_format):
    frame = np.random.default_rng(4).integers(0, 256, (60, 50), np.uint8)
    y, u, v = oracles.yuv_planes(frame, pixel_format)
    cut = (y[6:26, 4:40], u[3:13, 2:20], v[3:13, 2:20])
    result = fm.kernels.to_tensor(frame, (9, 70), crop=(4, 6, 36, 20), pixel_format=pixel_format)
    np.testing.assert_array_equal(result, fm.kernels.to_tensor(cut, (9, 70), pixel_format="i420"))


@given(image_size=sizes, size=sizes)
def test_letterbox_equals_oracle(image_size, size):
    assert fm.kernels.letterbox(image_size, size) == oracles.letterbox(image_size, size)


def test_letterbox_of_known_sizes():
    assert fm.kernels.letterbox((1080, 1920), (640, 640)) == (0, 140, 640, 360)
    assert fm.kernels.letterbox((1920, 1080), (640, 640)) == (140, 0, 360, 640)
    assert fm.kernels.letterbox((10, 1000), (20, 20)) == (0, 9, 20, 1)


@each_isa
@given(
    data=st.data(),
    source=sizes,
    size=sizes,
    option=options,
    dtype=st.sampled_from(["float32", "float16"]),
    threads=thread_counts,
)
def test_letterbox_surrounds_the_image(isa, data, source, size, option, dtype, threads):
    image = data.draw(images(source, len(option["pixel_format"])))
    x, y, width, height = oracles.letterbox(source, size)
    inside = fm.kernels.to_tensor(image, (height, width), **IMAGENET, **option, dtype=dtype)
    colour = np.full((*size, 3), (114, 7, 255), np.uint8)
    expected = fm.kernels.to_tensor(colour, layout=option["layout"], **IMAGENET, dtype=dtype)
    if option["layout"] == "nchw":
        expected[:, :, y : y + height, x : x + width] = inside
    else:
        expected[:, y : y + height, x : x + width] = inside
    result = fm.kernels.to_tensor(
        image, size, letterbox=(114, 7, 255), **IMAGENET, **option, dtype=dtype, threads=threads
    )
    np.testing.assert_array_equal(result, expected)


def photograph(height, width):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = np.stack([np.sin(x / 17), np.sin(y / 13), np.cos((x + y) / 11)], -1) * 90 + 128
    noise = np.random.default_rng(5).integers(-30, 31, (height, width, 3))
    return np.clip(waves + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(128, 128), (90, 161), (181, 323), (500, 801)])
@pytest.mark.parametrize("filter", FILTERS)
def test_golden_opencv(filter, size):
    cv2 = pytest.importorskip("cv2", reason="opencv-contrib-python-headless is not installed")
    image = photograph(180, 320)
    mode = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}[filter]
    expected = cv2.resize(image.astype(np.float32), size[::-1], interpolation=mode)
    result = fm.kernels.to_tensor(image, size, filter=filter, scale=1, layout="nhwc")[0]
    # Both add in float32, in another order. Where OpenCV enlarges by area it works its positions
    # out in float32 too, and places a boundary wrong by up to 320 * 2^-23 pixels of 255 levels.
    difference = np.abs(result - expected)
    maximum = 0.02 if filter == "area" and size > image.shape else 5e-4
    assert difference.max() <= maximum
    assert difference.mean() <= maximum / 20


def test_golden_onnx_resize():
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    image, size = photograph(90, 160), (64, 203)
    node = onnx.helper.make_node(
        "Resize",
        ["x", "", "", "sizes"],
        ["y"],
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    tensor = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "resize",
        [onnx.helper.make_tensor_value_info("x", tensor, [1, 3, 90, 160])],
        [onnx.helper.make_tensor_value_info("y", tensor, [1, 3, *size])],
        [onnx.helper.make_tensor("sizes", onnx.TensorProto.INT64, [4], [1, 3, *size])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)])
    model.ir_version = 8
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    full = fm.kernels.to_tensor(image, **IMAGENET)
    (expected,) = session.run(None, {"x": full})
    # Normalise-then-resize against resize-then-normalise, both float32, of values up to 2.7.
    np.testing.assert_allclose(
        fm.kernels.to_tensor(image, size, **IMAGENET), expected, rtol=0, atol=2e-5
    )


def test_strided_input_equals_packed():
    image = photograph(37, 53)
    for layout in ("padded", "strided"):
        for size in (None, (19, 70)):
            np.testing.assert_array_equal(
                fm.kernels.to_tensor(lay_out(image, layout), size),
                fm.kernels.to_tensor(image, size),
            )


def test_numbers_may_be_numpy():
    image = photograph(9, 9)
    np.testing.assert_array_equal(
        fm.kernels.to_tensor(
            image, np.array([5, 4]), mean=np.full(3, 0.5, np.float32), std=[0.5] * 3
        ),
        fm.kernels.to_tensor(image, (5, 4), mean=(0.5,) * 3, std=(0.5,) * 3),
    )


@pytest.mark.parametrize("size", [None, (40, 60), (400, 600)])
@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("pixel_format", ["rgb", "nv12", "i420"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.usefixtures("empty_store")
def test_steady_state_takes_no_memory(size, filter, pixel_format, dtype):
    image = photograph(200, 300)
    if pixel_format != "rgb":
        image = np.ascontiguousarray(image[..., 0])
        size = size or (132, 300)
    out = np.empty((1, 3, *(size or (200, 300))), dtype)
    option = {"filter": filter, "pixel_format": pixel_format, "out": out, "threads": 2}
    if pixel_format != "rgb":
        image = image[:198]
    fm.kernels.to_tensor(image, size, **option)
    before = fm._core.system_allocations()
    for _ in range(10):
        fm.kernels.to_tensor(image, size, **option)
    assert fm._core.system_allocations() == before


IMAGE = np.zeros((4, 6, 3), np.uint8)
OUT = np.zeros((1, 3, 4, 6), np.float32)
FRAME = IMAGE[:, :, 0].repeat(3, 0)
NV12 = {"image": FRAME, "pixel_format": "nv12"}
I420 = {"image": FRAME, "pixel_format": "i420"}
CHROMA = IMAGE[:2, :3, 0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": IMAGE.astype(np.float32)}, TypeError, "image: expected (H, W, 3) uint8"),
        ({"image": IMAGE[..., 0]}, ValueError, "image: expected (H, W, 3) uint8, got (4, 6)"),
        ({"pixel_format": "rgba"}, ValueError, "image: expected (H, W, 4) uint8, got (4, 6, 3)"),
        ({"pixel_format": "grb"}, ValueError, "'rgba', 'bgra', 'nv12', 'i420', got 'grb'"),
        ({"size": (0, 6)}, ValueError, "size: expected an integer from 1 to"),
        ({"size": 4}, TypeError, "size: expected (height, width), got 4"),
        ({"size": (20_000, 20_000)}, ValueError, "size: expected at most 268435456 pixels"),
        ({"filter": "lanczos3"}, ValueError, "one of 'bilinear', 'area', got 'lanczos3'"),
        ({"layout": "chw"}, ValueError, "layout: expected one of 'nchw', 'nhwc', got 'chw'"),
        ({"scale": np.nan}, ValueError, "scale: expected a finite number, got nan"),
        ({"scale": "1"}, TypeError, "scale: expected a finite number, got str"),
        ({"mean": (0, 0)}, TypeError, "mean: expected three numbers, for R, G, B, got (0, 0)"),
        ({"mean": (0, np.inf, 0)}, ValueError, "mean: expected a finite number, got inf"),
        ({"std": (1, 0, 1)}, ValueError, "std: expected three numbers above 0, got (1, 0, 1)"),
        ({"std": (1, -1, 1)}, ValueError, "std: expected three numbers above 0"),
        ({"std": (1e-300, 1, 1)}, ValueError, "std: expected scale / std and mean / std that"),
        ({"out": OUT[0]}, ValueError, "out: expected (1, 3, 4, 6) float32, got (3, 4, 6) float32"),
        ({"out": OUT.astype(float)}, TypeError, "out: expected (1, 3, 4, 6) float32, got"),
        ({"out": OUT, "layout": "nhwc"}, ValueError, "out: expected (1, 4, 6, 3) float32"),
        ({"out": OUT[..., ::-1]}, ValueError, "out: expected a C-contiguous array, got strides"),
        ({"dtype": "float64"}, ValueError, "dtype: expected one of 'float32', 'float16', got"),
        ({"dtype": "float16", "out": OUT}, TypeError, "out: expected (1, 3, 4, 6) float16, got"),
        ({"crop": (0, 0, 7, 4)}, ValueError, "crop: expected a part of the image, 4 x 6, got (0"),
        ({"crop": (0, 3, 6, 2)}, ValueError, "crop: expected a part of the image, 4 x 6, got (0"),
        ({"crop": (-1, 0, 2, 2)}, ValueError, "crop: expected an integer from 0 to"),
        ({"crop": (0, 0, 0, 2)}, ValueError, "crop: expected an integer from 1 to"),
        ({"crop": (0, 0, 2)}, TypeError, "crop: expected (x, y, width, height), got (0, 0, 2)"),
        ({"letterbox": 114}, TypeError, "letterbox: expected a colour (r, g, b), got 114"),
        ({"letterbox": (0, 0, 256)}, ValueError, "letterbox: expected an integer from 0 to 255"),
        ({**NV12, "matrix": "bt2020"}, ValueError, "matrix: expected one of 'bt601', 'bt709', got"),
        ({**NV12, "range": "tv"}, ValueError, "range: expected one of 'limited', 'full', got 'tv'"),
        (
            {**NV12, "image": FRAME[:8]},
            ValueError,
            "image: expected (H * 3 / 2, W) with even H and",
        ),
        ({**NV12, "image": FRAME[:, :5]}, ValueError, "or a tuple of planes, got 12 x 5"),
        ({**NV12, "image": IMAGE}, ValueError, "image: expected (H, W) uint8, got (4, 6, 3)"),
        ({**NV12, "crop": (1, 0, 2, 2)}, ValueError, "crop: expected even numbers, for chroma"),
        ({**NV12, "image": (FRAME,)}, ValueError, "image: expected planes (y, uv), got 1 planes"),
        ({**I420, "image": (FRAME,) * 2}, ValueError, "image: expected planes (y, u, v), got 2"),
        ({**I420, "image": FRAME[:, :4]}, ValueError, "image: expected a C-contiguous array for"),
        (
            {**NV12, "image": (FRAME[:3], FRAME)},
            ValueError,
            "image[0]: expected even height and width, got 3 x 6",
        ),
        (
            {**NV12, "image": (FRAME[:4], FRAME)},
            ValueError,
            "image[1]: expected half the size of luma, 2 x 3, got 12 x 3",
        ),
        (
            {**I420, "image": (FRAME[:4], CHROMA, FRAME)},
            ValueError,
            "image[2]: expected half the size of luma, 2 x 3, got 12 x 6",
        ),
        ({"threads": 0}, ValueError, "threads: expected an integer from 1 to 1024, got 0"),
    ],
)
def test_bad_argument_is_named(change, error, message):
    with pytest.raises(error) as caught:
        fm.kernels.to_tensor(**{"image": IMAGE, **change})
    assert message in str(caught.value)


def test_read_only_out_overlap_and_huge_images_are_refused():
    frozen = OUT.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable array"):
        fm.kernels.to_tensor(IMAGE, out=frozen)
    out = OUT.copy()
    with pytest.raises(ValueError, match="out: expected memory apart from image"):
        fm.kernels.to_tensor(out.view(np.uint8).reshape(-1)[:72].reshape(4, 6, 3), out=out)
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (20_000, 20_000, 3))
    with pytest.raises(ValueError, match="at most 268435456 pixels, got 20000 x 20000"):
        fm.kernels.to_tensor(huge, (4, 4))
