"""Tiles: a frame too large for one run goes through a trimap network in windows that overlap.

Only windows that blend into something unknown are run. A window's results near its own edges, which
are no edges of the frame, count for nothing: the network knew too little there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastmatte import _core
from fastmatte.arrays import Alpha, Array, Image, PixelFormat, Size, Tensor
from fastmatte.guidance import UNKNOWN
from fastmatte.models.family import Runner

#: Side of a window. DIM's first layers hold 64 floats for each pixel, 268 MB for each of them at
#: this size; ViTMatte's attention, whose memory grows with the square of the pixels, is at 4096
#: tokens, four times as many as it was trained with.
SIDE = 1024
#: Windows start at multiples of what networks shrink frames by, or pooling would see other squares.
STEP = 32
#: Least side of a window: a quarter must hold a joint, and what the network needs on both sides.
LEAST_SIDE = 128


class Span(NamedTuple):
    """One window along one axis: where it lies, and how much each of its pixels counts."""

    start: int
    stop: int
    weights: Alpha


def overlap_of(window: int) -> int:
    """Return by how much neighbours overlap at least: a quarter, in whole steps where it can be."""
    quarter = window // 4
    return -(-quarter // STEP) * STEP if window % STEP == 0 else quarter


def spans(start: int, stop: int, window: int, align: int) -> list[Span]:
    """Cover an interval with windows of at most this length, spread evenly.

    Neighbours' weights change over smoothly, add up to 1, and are 0 within three eighths of the
    overlap from where a window was cut.
    """
    length = stop - start
    if length <= window:
        return [Span(start, stop, np.ones(length, np.float32))]
    overlap = overlap_of(window)
    last = -(-(length - window) // align) * align
    count = -(-last // (window - overlap)) + 1
    starts = [start + last * i // (count - 1) // align * align for i in range(count)]
    stops = [min(first + window, stop) for first in starts]
    middles = [(stops[i] + starts[i + 1]) / 2 for i in range(count - 1)]
    found = []
    for i, (first, end) in enumerate(zip(starts, stops, strict=True)):
        place = np.arange(first, end, dtype=np.float32) + np.float32(0.5)
        weights: Alpha = np.ones(end - first, np.float32)
        if i > 0:
            weights *= _rise(place, middles[i - 1], overlap / 4)
        if i < count - 1:
            weights *= 1 - _rise(place, middles[i], overlap / 4)
        found.append(Span(first, end, weights))
    return found


def _rise(place: Array, middle: float, width: float) -> Array:
    """Return 0 before, 1 after, and a cubic without corners over the width around the middle."""
    t = np.clip((place - np.float32(middle)) / np.float32(width) + np.float32(0.5), 0, 1)
    rise: Array = t * t * (3 - 2 * t)
    return rise


@dataclass(frozen=True)
class Tiling:
    """How frames are cut for one network.

    window:   (height, width) that a window has at most, or always where fixed.
    fixed:    whether the graph takes no other size; smaller frames are padded then.
    multiple: to which frames are padded on the right and below.
    natural:  the size at which the network would see a whole frame.
    make:     a runner for windows of one size, which takes and gives pixels as they are.
    """

    window: Size
    fixed: bool
    multiple: int
    natural: Callable[[Size], Size]
    make: Callable[[Size], Runner]

    def sees_whole(self, frame: Size) -> bool:
        """Return whether a frame is small enough to be run in one piece."""
        if self.fixed or self.natural(frame) != frame:
            return False
        height, width = (self._limit(side, 1) for side in frame)
        return height * width <= self.window[0] * self.window[1]

    def input_size(self, frame: Size) -> Size:
        """Return the size of a whole frame, padded, or of a window."""
        if not self.sees_whole(frame):
            return self.window
        height, width = (self._limit(side, 1) for side in frame)
        return height, width

    def windows(self, trimap: Image) -> Iterator[tuple[Span, Span]]:
        """Yield the rows and columns of each window whose results count where all is unknown.

        One may reach beyond the trimap, to where the frame has to be padded.
        """
        unknown = trimap == UNKNOWN
        rows, columns = (np.flatnonzero(unknown.any(axis=axis)) for axis in (1, 0))
        if rows.size == 0:
            return
        height, width = unknown.shape
        if self.sees_whole((height, width)):
            extents = [(0, self._limit(side, 1)) for side in (height, width)]
        else:
            extents = [
                self._extent(int(found[0]), int(found[-1]) + 1, side, window)
                for found, side, window in zip(
                    (rows, columns), (height, width), self.window, strict=True
                )
            ]
        for down in self._spans(extents, 0):
            for across in self._spans(extents, 1):
                if unknown[_counting(down), _counting(across)].any():
                    yield down, across

    def _spans(self, extents: list[tuple[int, int]], axis: int) -> list[Span]:
        (top, bottom), (left, right) = extents
        window = self.window[axis]
        # What needs no more memory than one window is one, whatever its shape.
        if not self.fixed and (bottom - top) * (right - left) <= self.window[0] * self.window[1]:
            window = max(bottom - top, right - left)
        return spans(*extents[axis], window, 1 if self.fixed else STEP)

    def _limit(self, side: int, window: int) -> int:
        """Return how long a side is with its padding."""
        return max(window, -(-side // self.multiple) * self.multiple)

    def _extent(self, first: int, end: int, side: int, window: int) -> tuple[int, int]:
        """Return what must be seen to know the alpha of an interval: that, and as much around it as
        neighbouring windows leave one another.
        """
        margin = overlap_of(window) // 2
        if self.fixed:
            limit = max(side, window)
            start, stop = max(0, first - margin), min(limit, end + margin)
            start = max(0, min(start, limit - window))
            return start, max(stop, start + window)
        limit = self._limit(side, 1)
        start = max(0, first - margin) // STEP * STEP
        return start, min(limit, -(-(end + margin) // STEP) * STEP)


class TiledRunner:
    """Runs the windows of a frame one after another; alpha has the frame's size.

    Alpha is 0 where no window is run: the trimap knows better there.
    """

    def __init__(self, tiling: Tiling, threads: int | None) -> None:
        self._tiling = tiling
        self._threads = threads
        self._runners: dict[Size, Runner] = {}
        self._fed: tuple[Image, PixelFormat, Image] | None = None
        self.alpha: Alpha = np.empty((0, 0), np.float32)
        self.foreground: Tensor | None = None

    def feed(self, image: Image, pixel_format: PixelFormat, guidance: Image | None = None) -> None:
        """Take the frame and its trimap; windows are laid out when their turn comes."""
        if guidance is None:
            raise ValueError("trimap: expected one with every frame")
        self._fed = image, pixel_format, guidance

    def run(self) -> None:
        """Run the network on every window that matters."""
        if self._fed is None:
            raise ValueError("image: expected one before the run")
        (image, pixel_format, trimap), self._fed = self._fed, None
        windows = list(self._tiling.windows(trimap))
        sizes = [(down.stop - down.start, across.stop - across.start) for down, across in windows]
        # Those of other sizes go before new ones come, or memory would be needed for both.
        self._runners = {size: self._runners[size] for size in sizes if size in self._runners}
        if self.alpha.shape != trimap.shape:
            self.alpha = np.empty(trimap.shape, np.float32)
        self.alpha.fill(0)
        for size, (down, across) in zip(sizes, windows, strict=True):
            if size not in self._runners:
                self._runners[size] = self._tiling.make(size)
            runner = self._runners[size]
            here = slice(down.start, down.stop), slice(across.start, across.stop)
            runner.feed(image[here], pixel_format, trimap[here])
            runner.run()
            found = runner.alpha
            _core.clamp_alpha(found, "output", self._threads)
            # The network's own output is the scratch: its next run writes it anew.
            found *= down.weights[: found.shape[0], None]
            found *= across.weights[: found.shape[1]]
            self.alpha[here] += found

    def reset(self) -> None:
        """Do nothing: there is no memory."""


def _counting(span: Span) -> slice:
    """Return where a span's weights are not 0."""
    counts = np.flatnonzero(span.weights)
    return slice(span.start + int(counts[0]), span.start + int(counts[-1]) + 1)
