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
