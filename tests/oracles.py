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


def box_sum(values, radius):
    """Sums of int64 over (2 * radius + 1)-wide windows of both axes, what lies outside left out."""
    for axis in (0, 1):
        size = values.shape[axis]
        sums = np.insert(np.cumsum(values, axis), 0, 0, axis)
        at = np.arange(size)
        values = np.take(sums, np.minimum(at + radius + 1, size), axis) - np.take(
            sums, np.maximum(at - radius, 0), axis
        )
    return values


def estimate_foreground(image, alpha):
    """Blur fusion twice: exact sums, then the paper's formula in float32, a step at a time."""
    one, full = np.float32(1), np.float32(255)
    a = quantise(alpha, 255)[..., None]
    i, opacity = image.astype(np.float32), a.astype(np.float32) * (one / full)
    front, behind = a * image, (255 - a) * image
    for radius in (45, 3):
        weights = [one / np.maximum(box_sum(w, radius), 1).astype(np.float32) for w in (a, 255 - a)]
        f = box_sum(front, radius).astype(np.float32) * weights[0]
        b = box_sum(behind, radius).astype(np.float32) * weights[1]
        fused = np.clip(f + opacity * (i - (opacity * f + (one - opacity) * b)), 0, full)
        # The second pass reads products rounded to integers, the result colours.
        front = (a.astype(np.float32) * fused + np.float32(0.5)).astype(np.int64)
        behind = ((full - a.astype(np.float32)) * b + np.float32(0.5)).astype(np.int64)
    colours = (fused + np.float32(0.5)).astype(np.uint8)
    return np.where((a == 0) | (a == 255), image, colours)


def gaussian(values, sigma):
    """values of float64, its first two axes convolved with a sampled Gaussian; zeros outside."""
    reach = int(np.ceil(6 * sigma))
    at = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (at / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        distance = np.subtract.outer(np.arange(values.shape[axis]), np.arange(values.shape[axis]))
        matrix = np.where(
            abs(distance) <= reach, kernel[np.clip(distance + reach, 0, 2 * reach)], 0
        )
        values = np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)
    return values


def blur(image, sigma, weight=None):
    """The exact normalised convolution in float64, not rounded; image where no weight reaches."""
    w = np.ones(image.shape[:2]) if weight is None else quantise(weight, 255)
    w = w.reshape(*w.shape, *[1] * (image.ndim - 2)).astype(np.float64)
    below = gaussian(w, sigma)
    return np.where(below > 0, gaussian(w * image, sigma) / np.where(below > 0, below, 1), image)
