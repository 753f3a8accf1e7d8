"""Every device kernel against the oracle of its twin, into guarded memory that was never zero."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from device import Guarded, GuardedTensor, View, like
from hypothesis import HealthCheck, given, settings
from strategies import RESIZES, alphas, arrays, images, lay_out, seeds, sizes
from test_blur import psnr
from test_estimate_foreground import scene, sparse_alphas
from test_guided_filter import assert_result, guides, parameters, unsures
from test_resize import FILTERS, to_levels
from test_resize import assert_close as assert_resized
from test_to_tensor import IMAGENET, PLAIN, SIGNED, assert_close

each_device = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

#: Widths about those that whole words hold, and a frame's.
WIDTHS = [1, 15, 16, 17, 31, 33, 127, 128, 129, 1029]


@each_device
@given(data=st.data(), size=sizes)
def test_composite_equals_oracle(cuda, data, size):
    foreground, alpha = data.draw(images(size)), data.draw(alphas(size))
    background = data.draw(st.one_of(images(size), st.tuples(*[st.integers(0, 255)] * 3)))
    guarded = Guarded(cuda, (*size, 3), np.uint8)
    behind = background if isinstance(background, tuple) else like(cuda, background)
    result = cuda.composite(like(cuda, foreground), behind, like(cuda, alpha), out=guarded.out)
    assert result is guarded.out
    expected = oracles.composite(foreground, background, alpha)
    np.testing.assert_array_equal(guarded.result(), expected)


@each_device
@given(data=st.data(), size=sizes)
def test_cutout_equals_oracle(cuda, data, size):
    foreground, alpha = data.draw(images(size)), data.draw(alphas(size))
    guarded = Guarded(cuda, (*size, 4), np.uint8)
    cuda.cutout(like(cuda, foreground), like(cuda, alpha), out=guarded.out)
    np.testing.assert_array_equal(guarded.result(), oracles.cutout(foreground, alpha))


@each_device
@given(data=st.data(), size=sizes, order=st.sampled_from(["rgb", "bgr"]))
def test_from_tensor_equals_oracle(cuda, data, size, order):
    tensor = data.draw(arrays((1, 3, *size), np.float32)) * np.float32(1.5) - np.float32(0.25)
    tensor = np.ascontiguousarray(tensor)
    for values in (tensor, tensor.astype(np.float16)):
        guarded = Guarded(cuda, (*size, 3), np.uint8)
        cuda.from_tensor(cuda.to_device(values), pixel_format=order, out=guarded.out)
        expected = oracles.from_tensor(values.astype(np.float32), order)
        np.testing.assert_array_equal(guarded.result(), expected)


def test_from_tensor_takes_planes_alone(cuda):
    for values, error in (
        (np.zeros((1, 4, 5, 6), np.float32), ValueError),
        (np.zeros((1, 3, 5, 6), np.uint8), TypeError),
    ):
        with pytest.raises(error, match=r"tensor: expected \(1, 3, H, W\) float32"):
            cuda.from_tensor(cuda.to_device(values))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("width", WIDTHS)
def test_rows_that_lie_in_whole_words(cuda, width, dtype):
    rng = np.random.default_rng(width)
    foreground, background = rng.integers(0, 256, (2, 5, width, 3), np.uint8)
    alpha = rng.integers(0, 256, (5, width), np.uint8)
    alpha = alpha if dtype == np.uint8 else alpha / np.float32(255)
    f, b, a = (cuda.to_device(x) for x in (foreground, background, alpha))
    for result, expected in (
        (cuda.composite(f, b, a), oracles.composite(foreground, background, alpha)),
        (cuda.cutout(f, a), oracles.cutout(foreground, alpha)),
        (cuda.composite(f, (1, 2, 3), a), oracles.composite(foreground, (1, 2, 3), alpha)),
    ):
        np.testing.assert_array_equal(result.numpy(), expected)


def test_in_place_equals_apart(cuda):
    rng = np.random.default_rng(0)
    f, b = rng.integers(0, 256, (2, 37, 53, 3), np.uint8)
    alpha = rng.random((37, 53), np.float32)
    for target in (0, 1):
        pair = [cuda.to_device(f), cuda.to_device(b)]
        result = cuda.composite(*pair, cuda.to_device(alpha), out=pair[target])
        np.testing.assert_array_equal(result.numpy(), oracles.composite(f, b, alpha))


def test_alpha_outside_its_range_is_clamped(cuda):
    alpha = np.float32([[-1, -0.0, 0.5, 1, 2, np.inf, -np.inf, np.nan]])
    clamped = np.clip(np.nan_to_num(alpha, nan=0, posinf=1, neginf=0), 0, 1)
    white = np.full((1, 8, 3), 255, np.uint8)
    result = cuda.composite(cuda.to_device(white), (0, 0, 0), cuda.to_device(alpha))
    expected = oracles.composite(white, (0, 0, 0), clamped)
    np.testing.assert_array_equal(result.numpy(), expected)


@each_device
@given(data=st.data(), size=sizes, radius=st.sampled_from([0, 1, 2, 7, 8, 31, 64, 128, 10**6]))
@pytest.mark.parametrize(("low", "high"), [(0.05, 0.95), (0, 1), (0.2, 0.6)])
def test_trimap_equals_oracle(cuda, low, high, data, size, radius):
    alpha = data.draw(alphas(size))
    guarded = Guarded(cuda, size, np.uint8)
    cuda.trimap(like(cuda, alpha), radius=radius, low=low, high=high, out=guarded.out)
    expected = oracles.trimap(alpha, min(radius, max(size)), low, high)
    np.testing.assert_array_equal(guarded.result(), expected)


@each_device
@given(data=st.data(), size=sizes)
def test_estimate_foreground_equals_oracle(cuda, data, size):
    image = data.draw(images(size))
    alpha = data.draw(st.one_of(alphas(size), sparse_alphas(size)))
    guarded = Guarded(cuda, (*size, 3), np.uint8)
    cuda.estimate_foreground(like(cuda, image), like(cuda, alpha), out=guarded.out)
    np.testing.assert_array_equal(guarded.result(), oracles.estimate_foreground(image, alpha))


@pytest.mark.parametrize("size", [(520, 203), (129, 700)])
def test_tiles_of_estimate_foreground_join_without_a_seam(cuda, size):
    image, alpha, _ = scene(*size)
    result = cuda.estimate_foreground(cuda.to_device(image), cuda.to_device(alpha))
    np.testing.assert_array_equal(result.numpy(), oracles.estimate_foreground(image, alpha))


@each_device
@given(data=st.data(), size=sizes, dtype=st.sampled_from([np.float32, np.uint8]), unsure=unsures)
def test_guided_upsample_equals_oracle(cuda, data, size, dtype, unsure):
    guide = data.draw(guides(size))
    small = tuple(data.draw(st.integers(1, side)) for side in size)
    alpha = data.draw(arrays(small, np.float32))
    radius, eps = data.draw(parameters(1e-5))
    guarded = Guarded(cuda, size, dtype)
    cuda.guided_upsample(
        like(cuda, guide),
        like(cuda, alpha),
        radius=radius,
        eps=eps,
        unsure=unsure,
        out=guarded.out,
    )
    expected = oracles.guided_upsample(guide, alpha, radius, eps, unsure)
    assert_result(guarded.result(), expected, 2e-5)


@pytest.mark.parametrize("radius", [3, 250])
@pytest.mark.parametrize("channels", [1, 3])
def test_guided_upsample_of_many_tiles(cuda, channels, radius):
    """A radius of 250 leaves shared memory no room for a block's columns."""
    rng = np.random.default_rng(radius)
    guide = rng.integers(0, 256, (150, 1200, channels), np.uint8)
    guide = guide if channels == 3 else guide[..., 0].copy()
    alpha = rng.random((75, 600), np.float32)
    options = {"radius": radius, "eps": 1e-4, "unsure": 8.0}
    result = cuda.guided_upsample(cuda.to_device(guide), cuda.to_device(alpha), **options)
    assert_result(result.numpy(), oracles.guided_upsample(guide, alpha, **options), 2e-5)


def test_guided_upsample_leaves_an_alpha_of_one_value(cuda):
    guide = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    for value in (0.0, 1.0):
        alpha = np.full((30, 40), value, np.float32)
        result = cuda.guided_upsample(
            cuda.to_device(guide), cuda.to_device(alpha), radius=3, eps=1e-4, dtype="uint8"
        )
        assert (result.numpy() == 255 * value).all()


@each_device
@given(
    data=st.data(),
    source=sizes,
    size=sizes,
    depth=st.sampled_from([(), (3,), (4,)]),
    filter=st.sampled_from(FILTERS),
)
def test_resize_equals_oracle(cuda, data, source, size, depth, filter):
    image = data.draw(arrays((*source, *depth), np.uint8))
    guarded = Guarded(cuda, (*size, *depth), np.uint8)
    cuda.resize(like(cuda, image), size, filter=filter, out=guarded.out)
    np.testing.assert_array_equal(guarded.result(), oracles.resize(image, size, filter))
    floats = data.draw(arrays((*source, *depth), np.float32))
    guarded = Guarded(cuda, (*size, *depth), np.float32)
    cuda.resize(like(cuda, floats), size, filter=filter, out=guarded.out)
    assert_resized(guarded.result(), floats, size, filter)
    np.testing.assert_array_equal(
        guarded.result(), fm.kernels.resize(floats, size, filter=filter), "not its twin's bytes"
    )


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize(("source", "size"), RESIZES)
def test_resize_of_extreme_sizes(cuda, source, size, filter):
    image = np.random.default_rng(3).integers(0, 256, (*source, 3), np.uint8)
    result = cuda.resize(cuda.to_device(image), size, filter=filter).numpy()
    np.testing.assert_array_equal(result, oracles.resize(image, size, filter))


@each_device
@given(data=st.data(), source=sizes, size=sizes, filter=st.sampled_from(FILTERS))
def test_resize_to_levels_rounds_the_float32_result(cuda, data, source, size, filter):
    image = data.draw(arrays(source, np.float32)) * np.float32(1.5) - np.float32(0.25)
    result = cuda.resize(like(cuda, image), size, filter=filter, dtype="uint8")
    expected = to_levels(fm.kernels.resize(image, size, filter=filter))
    np.testing.assert_array_equal(result.numpy(), expected)


options = st.fixed_dictionaries(
    {
        "filter": st.sampled_from(["bilinear", "area"]),
        "pixel_format": st.sampled_from(["rgb", "bgr", "rgba", "bgra"]),
        "layout": st.sampled_from(["nchw", "nhwc"]),
    }
)


@each_device
@given(
    data=st.data(),
    source=sizes,
    size=st.one_of(st.none(), sizes),
    levels=st.sampled_from([PLAIN, IMAGENET, SIGNED]),
    option=options,
)
def test_to_tensor_equals_oracle(cuda, data, source, size, levels, option):
    image = data.draw(images(source, len(option["pixel_format"])))
    height, width = size or source
    shape = (1, 3, height, width) if option["layout"] == "nchw" else (1, height, width, 3)
    on_device = like(cuda, image)
    results = {}
    for dtype in (np.float32, np.float16):
        guarded = GuardedTensor(cuda, shape, dtype)
        cuda.to_tensor(on_device, size, **levels, **option, out=guarded.out)
        results[dtype] = guarded.result()
    full = results[np.float32]
    assert_close(full, oracles.to_tensor(image, size, **levels, **option), levels)
    np.testing.assert_array_equal(results[np.float16], full.astype(np.float16))
    if option["filter"] == "bilinear" or size in (None, source):
        twin = fm.kernels.to_tensor(image, size, **levels, **option)
        np.testing.assert_array_equal(full, twin, "not its twin's bytes")


@each_device
@given(
    data=st.data(),
    luma=st.tuples(st.integers(1, 65), st.integers(1, 65)),
    size=st.one_of(st.none(), sizes),
    split=st.booleans(),
    option=st.fixed_dictionaries(
        {
            "filter": st.sampled_from(["bilinear", "area"]),
            "matrix": st.sampled_from(["bt601", "bt709"]),
            "range": st.sampled_from(["limited", "full"]),
            "layout": st.sampled_from(["nchw", "nhwc"]),
        }
    ),
)
def test_nv12_equals_oracle(cuda, data, luma, size, split, option):
    height, width = 2 * luma[0], 2 * luma[1]
    frame = np.ascontiguousarray(data.draw(images((height * 3 // 2, width), 1)))
    planes = oracles.yuv_planes(frame, "nv12")
    image = like(cuda, frame)
    if split:
        image = (
            like(cuda, lay_out(planes[0], "padded")),
            like(cuda, lay_out(np.stack(planes[1:], -1), "padded")),
        )
    result = cuda.to_tensor(image, size, pixel_format="nv12", **IMAGENET, **option)
    expected = oracles.yuv_to_tensor(planes, size, **IMAGENET, **option)
    assert_close(result.numpy(), expected, IMAGENET, 4 * 130)


@each_device
@given(
    data=st.data(),
    # Below, at and above the pixels that one thread makes, and the edge of a row of threads.
    half=st.tuples(st.integers(1, 33), st.one_of(st.integers(1, 65), st.integers(1023, 1026))),
    split=st.booleans(),
    colours=st.fixed_dictionaries(
        {
            "matrix": st.sampled_from(["bt601", "bt709"]),
            "range": st.sampled_from(["limited", "full"]),
        }
    ),
)
def test_yuv_to_rgb_equals_oracle(cuda, data, half, split, colours):
    height, width = 2 * half[0], 2 * half[1]
    frame = np.ascontiguousarray(data.draw(images((height * 3 // 2, width), 1)))
    planes = oracles.yuv_planes(frame, "nv12")
    image = like(cuda, frame)
    if split:
        flat = np.stack(planes[1:], -1)
        flat = flat.reshape(flat.shape[0], -1) if data.draw(st.booleans()) else flat
        image = like(cuda, lay_out(planes[0], "padded")), like(cuda, lay_out(flat, "padded"))
    guarded = Guarded(cuda, (height, width, 3), np.uint8)
    assert cuda.yuv_to_rgb(image, **colours, out=guarded.out) is guarded.out
    np.testing.assert_array_equal(guarded.result(), oracles.yuv_to_rgb(planes, **colours))


def test_what_is_no_nv12_frame_is_refused(cuda):
    luma, chroma = cuda.empty((4, 6), "uint8"), cuda.empty((2, 6), "uint8")
    for image, error, message in (
        ((luma,), ValueError, r"image: expected planes \(y, uv\), got 1 planes"),
        ((luma, luma), ValueError, r"image\[1\]: expected half the size of luma, 2 x 3"),
        ((luma, cuda.empty((2, 7), "uint8")), ValueError, r"image\[1\]: expected half the size"),
        ((cuda.empty((3, 6), "uint8"), chroma), ValueError, r"image\[0\]: expected even height"),
        (cuda.empty((4, 6), "uint8"), ValueError, r"image: expected \(H \* 3 / 2, W\)"),
        ((np.zeros((4, 6), np.uint8), chroma), TypeError, r"image\[0\]: expected a device array"),
    ):
        with pytest.raises(error, match=message):
            cuda.yuv_to_rgb(image)
    memory = cuda.empty((8, 6, 3), "uint8")
    inside = View(memory, (4, 6), None), View(memory, (2, 6), None, 24)
    with pytest.raises(ValueError, match="out: expected memory apart from image"):
        cuda.yuv_to_rgb(inside, out=View(memory, (4, 6, 3), None))


@each_device
@given(data=st.data(), source=sizes, size=sizes, filter=st.sampled_from(["bilinear", "area"]))
def test_letterbox_surrounds_the_image(cuda, data, source, size, filter):
    image = data.draw(images(source))
    arguments = {"letterbox": (114, 7, 255), "filter": filter, **IMAGENET}
    result = cuda.to_tensor(like(cuda, image), size, **arguments).numpy()
    twin = fm.kernels.to_tensor(image, size, **arguments)
    # Area may be summed in another order.
    np.testing.assert_allclose(result, twin, rtol=0, atol=3e-5)


@each_device
@given(data=st.data(), size=sizes, channels=st.sampled_from([1, 3, 4]), sigma=st.floats(0.1, 7.99))
def test_narrow_blur_is_within_a_level_of_the_true_one(cuda, data, size, channels, sigma):
    image = data.draw(images(size, channels))
    guarded = Guarded(cuda, image.shape, np.uint8)
    cuda.blur(like(cuda, image), sigma=sigma, out=guarded.out)
    # Half a level of rounding; the tail beyond 3.5 sigma, 0.05 % of 255 levels for each axis.
    assert np.abs(guarded.result() - oracles.blur(image, sigma)).max() < 1


@each_device
@given(data=st.data(), size=sizes, sigma=st.floats(0.1, 4.79))
def test_narrow_weighted_blur_is_the_true_one(cuda, data, size, sigma):
    image = data.draw(images(size))
    weight = data.draw(arrays(size, np.float32)) * np.float32(0.75) + np.float32(0.25)
    result = cuda.blur(like(cuda, image), sigma=sigma, weight=like(cuda, weight))
    # The tail's weights may be four times those of the middle.
    assert np.abs(result.numpy() - oracles.blur(image, sigma, weight)).max() < 1.5


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("size", [(211, 305), (17, 200)])
@pytest.mark.parametrize("sigma", [1, 4.8, 7.3, 8, 15, 60])
def test_blur_is_45_db_to_the_true_gaussian(cuda, sigma, size, weighted):
    y, x = np.mgrid[: size[0], : size[1]]
    edges = np.where((x // 31 + y // 43) % 2 == 0, 230, 20)
    noise = np.clip(np.random.default_rng(3).normal(128, 60, size), 0, 255)
    image = np.stack([edges, 128 + 100 * np.sin(x / 9 + y / 17), noise], -1).astype(np.uint8)
    weight = np.clip(x / size[1] * 1.2, 0.1, 1).astype(np.float32) if weighted else None
    on_device = None if weight is None else cuda.to_device(weight)
    result = cuda.blur(cuda.to_device(image), sigma=sigma, weight=on_device).numpy()
    expected = oracles.blur(image, sigma, weight)
    for channel in range(3):
        assert psnr(result[..., channel], expected[..., channel]) > 45


@each_device
@given(seed=seeds, size=sizes, sigma=st.sampled_from([0.1, 2.3, 4.79, 4.8, 7.99, 8, 23, 120, 500]))
def test_one_colour_stays_exactly(cuda, seed, size, sigma):
    rng = np.random.default_rng(seed)
    level = int(rng.integers(0, 256))
    image = cuda.to_device(np.full((*size, 3), level, np.uint8))
    assert (cuda.blur(image, sigma=sigma).numpy() == level).all()
    weight = cuda.to_device(rng.random(size, np.float32))
    assert (cuda.blur(image, sigma=sigma, weight=weight).numpy() == level).all()


def test_weight_zero_everywhere_changes_nothing(cuda):
    image = np.random.default_rng(0).integers(0, 256, (60, 70, 4), np.uint8)
    weight = cuda.to_device(np.zeros((60, 70), np.uint8))
    for sigma in (2, 20):
        result = cuda.blur(cuda.to_device(image), sigma=sigma, weight=weight)
        np.testing.assert_array_equal(result.numpy(), image)
