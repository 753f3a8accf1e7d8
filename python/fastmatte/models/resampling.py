"""Resizing to the last rounding as OpenCV and Pillow do it, for the authors' own scripts.

fastmatte.kernels has the same filters with exact weights, and rounds once. OpenCV's 11-bit weights
and two roundings leave one level in eight pixels of a photograph elsewhere.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from fastmatte import kernels
from fastmatte.arrays import Array, Filter, Image, Size

#: OpenCV's INTER_LINEAR, INTER_AREA and INTER_NEAREST, and Pillow's LANCZOS.
Resampling = Literal["linear", "area", "nearest", "lanczos"]

#: OpenCV's weights of uint8 images are in 2048ths.
WEIGHT_BITS = 11


def resample(array: Array, size: Size, how: Resampling) -> Array:
    """Resize (H, W) or (H, W, C) uint8 or float; the result has the array's dtype.

    Agrees with OpenCV and Pillow bit for bit for uint8, but for "area" that shrinks, which rounds
    halves up where OpenCV rounds them to even.
    """
    if array.shape[:2] == size:
        return array
    if how == "nearest":
        rows, columns = (
            np.minimum(np.floor(np.arange(n) * (1 / (n / m))).astype(int), m - 1)
            for n, m in zip(size, array.shape, strict=False)
        )
        return np.ascontiguousarray(array[rows][:, columns])
    if how == "lanczos":
        return _lanczos(array, size)
    if how == "linear" and array.shape[:2] == (2 * size[0], 2 * size[1]):
        how = "area"  # OpenCV's own shortcut for exact halves
    shrinks = size[0] <= array.shape[0] and size[1] <= array.shape[1]
    if how == "area" and not shrinks:
        return _two_taps(array, size, grown_area=True)
    if how == "linear" and array.dtype == np.uint8:
        return _two_taps(array, size, grown_area=False)
    # Here fastmatte's kernels do the same sums.
    exact = array if array.dtype == np.uint8 else array.astype(np.float32)
    method: Filter = "area" if how == "area" else "bilinear"
    result: Array = kernels.resize(np.ascontiguousarray(exact), size, filter=method)
    return result.astype(array.dtype, copy=False)


def _lanczos(image: Image, size: Size) -> Image:
    from PIL import Image as Pillow

    height, width = size
    return np.array(Pillow.fromarray(image).resize((width, height), Pillow.Resampling.LANCZOS))


def _two_taps(array: Array, size: Size, *, grown_area: bool) -> Array:
    """Mix two neighbours each way: first along rows, then along columns.

    grown_area: place them as INTER_AREA does once a side grows, which repeats pixels.
    """
    top, bottom, down = _taps(array.shape[0], size[0], grown_area)
    left, right, across = _taps(array.shape[1], size[1], grown_area)
    # At the border OpenCV drops the weight along rows, but mixes a row with itself.
    outside = (left < 0) | (left >= array.shape[1] - 1)
    across = np.where(outside, 0, across).astype(np.float32)
    left, right = (np.clip(x, 0, array.shape[1] - 1) for x in (left, right))
    top, bottom = (np.clip(y, 0, array.shape[0] - 1) for y in (top, bottom))
    # Each row is mixed along itself once, however many results draw on it.
    rows, places = np.unique(np.concatenate([top, bottom]), return_inverse=True)
    top, bottom = np.split(places, 2)
    mix = _mix_levels if array.dtype == np.uint8 else _mix_numbers
    mixed: Array = mix(array[rows], (top, bottom, down), (left, right, across))
    return np.ascontiguousarray(mixed.astype(array.dtype))


Taps = tuple[Array, Array, Array]


def _taps(before: int, after: int, grown_area: bool) -> Taps:
    """Return first and second neighbour of each result, and the weight of the second."""
    ratio = after / before
    scale = 1 / ratio
    index = np.arange(after)
    if grown_area:
        first = np.floor(index * scale).astype(int)
        weight = ((index + 1) - (first + 1) * ratio).astype(np.float32)
        weight = np.where(weight <= 0, 0, weight - np.floor(weight))
    else:
        place = ((index + 0.5) * scale - 0.5).astype(np.float32)
        first = np.floor(place).astype(int)
        weight = place - first.astype(np.float32)
    return first, first + 1, weight.astype(np.float32)


def _mix_levels(image: Image, vertical: Taps, horizontal: Taps) -> Array:
    def weights(taps: Taps, *shape: int) -> list[Array]:
        one = np.float32(1 << WEIGHT_BITS)
        return [np.rint(w * one).astype(np.int32).reshape(shape) for w in (1 - taps[2], taps[2])]

    flat = np.ascontiguousarray(image.reshape(*image.shape[:2], -1), np.int32)
    first, second = weights(horizontal, -1, 1)
    wide = flat.take(horizontal[0], 1) * first
    wide += flat.take(horizontal[1], 1) * second
    wide >>= 4
    # 22 bits in two steps: OpenCV's vectors keep the upper sixteen of each product.
    first, second = weights(vertical, -1, 1, 1)
    total = (wide.take(vertical[0], 0) * first) >> 16
    total += (wide.take(vertical[1], 0) * second) >> 16
    levels: Array = np.clip((total + 2) >> 2, 0, 255)
    return levels.reshape(*levels.shape[:2], *image.shape[2:])


def _mix_numbers(image: Array, vertical: Taps, horizontal: Taps) -> Array:
    tail = (1,) * (image.ndim - 2)
    across, down = horizontal[2].reshape(-1, *tail), vertical[2].reshape(-1, 1, *tail)
    wide = image.take(horizontal[0], 1) * (1 - across) + image.take(horizontal[1], 1) * across
    mixed: Array = wide.take(vertical[0], 0) * (1 - down) + wide.take(vertical[1], 0) * down
    return mixed
