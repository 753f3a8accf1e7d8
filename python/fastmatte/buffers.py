"""Buffers: the arrays one frame needs on its way, made at the first frame of a size and reused."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastmatte.arrays import Array, Size


class Buffers:
    """Arrays of one frame's size, by what they hold."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self._arrays: dict[str, Array] = {}

    def get(self, content: str, dtype: DTypeLike, channels: int | None = None) -> Array:
        """Return the (H, W) or (H, W, channels) array for this content, uninitialised at first."""
        array = self._arrays.get(content)
        if array is None:
            shape = self.size if channels is None else (*self.size, channels)
            array = self._arrays[content] = np.empty(shape, dtype)
        return array
