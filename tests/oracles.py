"""What each kernel computes, in the shortest NumPy that says it; shares nothing with the C++."""

from __future__ import annotations

import numpy as np


def quantise(alpha, steps):
    """Alpha of either dtype as int64 in 0..steps, float32 rounded half up after one product."""
    if alpha.dtype == np.uint8:
        assert steps == 255
        return alpha.astype(np.int64)
    return np.floor((alpha * np.float32(steps)).astype(np.float64) + 0.5).astype(np.int64)


def composite(foreground, background, alpha):
    steps = 255 if alpha.dtype == np.uint8 else 65536
    a = quantise(alpha, steps)[..., None]
    f = foreground.astype(np.int64)
    b = np.asarray(background, np.int64)
    return ((2 * (a * f + (steps - a) * b) + steps) // (2 * steps)).astype(np.uint8)


def cutout(foreground, alpha):
    a = quantise(alpha, 255).astype(np.uint8)
    return np.dstack([np.where(a[..., None] == 0, 0, foreground), a]).astype(np.uint8)


def premultiply(rgba):
    c = rgba.astype(np.int64)
    c[..., :3] = (2 * c[..., :3] * c[..., 3:] + 255) // 510
    return c.astype(np.uint8)


def unpremultiply(rgba):
    c = rgba.astype(np.int64)
    a = c[..., 3:]
    straight = (2 * 255 * c[..., :3] + a) // np.maximum(2 * a, 1)
    c[..., :3] = np.where(a == 0, 0, np.minimum(straight, 255))
    return c.astype(np.uint8)


def windowed_sinc(x):
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


def keys_cubic(x):
    x = np.abs(x)
    return np.select(
        [x < 1, x < 2], [1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2]
    )


def filter_weights(name, input, output):
    """(output, input): the part of each input pixel in each output, up to a factor per output."""
    i, j = np.arange(output)[:, None], np.arange(input)[None]
    if name == "area":
        overlap = np.minimum((i + 1) * input, (j + 1) * output) - np.maximum(i * input, j * output)
        return np.maximum(overlap, 0).astype(float)
    if name == "bilinear":
        centre = np.clip((2 * i + 1) * input, output, (2 * input - 1) * output)
        return np.maximum(2 * output - np.abs((2 * j + 1) * output - centre), 0).astype(float)
    scale = input / output
    kernel = {"bicubic": keys_cubic, "lanczos3": windowed_sinc}[name]
    return kernel((j + 0.5 - (i + 0.5) * scale) / max(scale, 1))


def resample(image, size, filter):
    """image in float64, weights summing to 1, no rounding."""
    down, across = (
        w / w.sum(1, keepdims=True)
        for w in (filter_weights(filter, n, m) for n, m in zip(image.shape, size, strict=False))
    )
    return np.einsum("yj,jk...,xk->yx...", down, image.astype(float), across, optimize=True)


def to_tensor(image, size, filter, scale, mean, std, pixel_format, layout):
    rgb = image[..., {"r": [0, 1, 2], "b": [2, 1, 0]}[pixel_format[0]]]
    levels = resample(rgb, size or rgb.shape[:2], filter)
    pixels = (levels * scale - np.array(mean)) / np.array(std)
    return (pixels if layout == "nhwc" else pixels.transpose(2, 0, 1))[None]


def integer_weights(filter, input, output):
    """filter_weights in 2^-14: the steps of the running sum, rounded half up."""
    running = np.cumsum(filter_weights(filter, input, output), 1)
    rounded = np.floor(running / running[:, -1:] * 2**14 + 0.5)
    return np.diff(rounded, axis=1, prepend=0).astype(np.int64)


def resize(image, size, filter):
    if filter == "nearest":
        y, x = (
            (2 * np.arange(m) + 1) * n // (2 * m) for n, m in zip(image.shape, size, strict=False)
        )
        return image[y[:, None], x]
    if image.dtype != np.uint8:
        return resample(image, size, filter)
    down, across = (integer_weights(filter, n, m) for n, m in zip(image.shape, size, strict=False))
    # The pass that leaves fewer rows for the other comes first; 6 of 14 bits stay between them.
    # float64 holds every integer here exactly, and has a fast product.
    levels = image.astype(float)
    shrinks = size[0] <= image.shape[0]
    passes = [(0, down), (1, across)] if shrinks else [(1, across), (0, down)]
    for (axis, weights), shift in zip(passes, (8, 20), strict=True):
        summed = np.moveaxis(np.tensordot(weights.astype(float), levels, (1, axis)), 0, axis)
        levels = np.floor((summed + 2 ** (shift - 1)) / 2**shift)
        assert np.abs(levels).max() < 2**15
    return np.clip(levels, 0, 255).astype(np.uint8)


def from_tensor(tensor, pixel_format):
    levels = quantise(np.clip(np.nan_to_num(tensor[0], nan=0), 0, 1), 255).astype(np.uint8)
    return levels.transpose(1, 2, 0)[
        ..., {"rgb": slice(None), "bgr": slice(None, None, -1)}[pixel_format]
    ]
