"""Tiles: a frame too large for one run goes through a trimap network in windows that overlap.

Only windows that blend into something unknown are run. A window's results near its own edges, which
are no edges of the frame, count for nothing: the network knew too little there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
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
    """Cover an interval with windows of this length, spread evenly; a shorter one is one window.

    Windows start at multiples of align from start, the last so that it ends at stop. Neighbours'
    weights change over smoothly, add up to 1, and are 0 within three eighths of the overlap from
    where a window was cut.
    """
    last = stop - start - window
    if last <= 0:
        return [Span(start, stop, np.ones(stop - start, np.float32))]
    overlap = overlap_of(window)
    joints = -(-last // (window - overlap))
    starts = [start + -(-(last * i) // (joints * align)) * align for i in range(joints)]
    starts.append(start + last)
    middles = [(first + window + after) / 2 for first, after in pairwise(starts)]
    found = []
    for i, first in enumerate(starts):
        place = np.arange(first, first + window, dtype=np.float32) + np.float32(0.5)
        weights: Alpha = np.ones(window, np.float32)
        if i > 0:
            weights *= _rise(place, middles[i - 1], overlap / 4)
        if i < joints:
            weights *= 1 - _rise(place, middles[i], overlap / 4)
        found.append(Span(first, first + window, weights))
    return found


def _rise(place: Array, middle: float, width: float) -> Array:
    """Return 0 before, 1 after, and a cubic without corners over the width around the middle."""
    t = np.clip((place - np.float32(middle)) / np.float32(width) + np.float32(0.5), 0, 1)
    rise: Array = t * t * (3 - 2 * t)
    return rise


@dataclass(frozen=True)
class Tiling:
    """How frames are cut for one network.

    window:   (height, width) of a window; a frame's shorter side is shorter in it, too, unless
              fixed.
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
        height, width = self._padded(frame)
        small = height * width <= self.window[0] * self.window[1]
        return small and not self.fixed and self.natural(frame) == frame

    def input_size(self, frame: Size) -> Size:
        """Return the size of a whole frame, padded, or of a window."""
        padded = self._padded(frame)
        if self.sees_whole(frame):
            return padded
        height, width = (min(sides) for sides in zip(padded, self.window, strict=True))
        return height, width

    def windows(self, trimap: Image) -> Iterator[tuple[Span, Span]]:
        """Yield the rows and columns of each window that blends into something unknown.

        All have one size, for engines compile for each. One may reach beyond the trimap, to where
        the frame has to be padded.
        """
        unknown = trimap == UNKNOWN
        rows, columns = (np.flatnonzero(unknown.any(axis=axis)) for axis in (1, 0))
        if rows.size == 0:
            return
        frame = unknown.shape[0], unknown.shape[1]
        limits, align = self._padded(frame), 1 if self.fixed else STEP
        if self.sees_whole(frame):
            extents, window = [(0, limit) for limit in limits], limits
        else:
            extents, window = self._around((rows, columns), limits, align)
        down, across = (
            spans(*extent, side, align) for extent, side in zip(extents, window, strict=True)
        )
        for vertical, horizontal in product(down, across):
            if unknown[_counting(vertical), _counting(horizontal)].any():
                yield vertical, horizontal

    def _padded(self, frame: Size) -> Size:
        """Return the frame's size with its padding."""
        least = self.window if self.fixed else (1, 1)
        height, width = (
            max(-(-side // self.multiple) * self.multiple, window)
            for side, window in zip(frame, least, strict=True)
        )
        return height, width

    def _around(
        self, unknown: tuple[Array, Array], limits: Size, align: int
    ) -> tuple[list[tuple[int, int]], Size]:
        """Return what must be seen to know the alpha of some rows and columns, and in which
        windows: they with as much around them as neighbouring windows leave one another. What fits
        into windows of half the sides is run in those.
        """
        extents = []
        for places, limit, side in zip(unknown, limits, self.window, strict=True):
            margin = overlap_of(side) // 2
            start = max(0, int(places[0]) - margin) // align * align
            stop = -(-(int(places[-1]) + 1 + margin) // align) * align
            extents.append((start, min(limit, stop)))
        height, width = self.window
        halves = height // 2, width // 2
        fit = all(b - a <= half for (a, b), half in zip(extents, halves, strict=True))
        if fit and not self.fixed and all(half % STEP == 0 for half in halves):
            height, width = halves
        grown = []
        for (start, stop), side, limit in zip(extents, (height, width), limits, strict=True):
            stop = max(stop, min(limit, start + side))
            grown.append((min(start, max(0, stop - side)), stop))
        return grown, (height, width)


class TiledRunner:
    """Runs the windows of a frame one after another; alpha has the frame's size.

    For frames of one Tiling.input_size(). Alpha is 0 where no window is run: the trimap knows
    better there.
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
        if self.alpha.shape != trimap.shape:
            self.alpha = np.empty(trimap.shape, np.float32)
        self.alpha.fill(0)
        for down, across in self._tiling.windows(trimap):
            size = down.stop - down.start, across.stop - across.start
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
