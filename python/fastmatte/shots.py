"""How frames change: whether one begins another shot, and whether one is hardly another at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastmatte import kernels
from fastmatte.arrays import Image

#: Samples along each axis: levels of a whole frame are told well enough by four thousand pixels.
SAMPLES = 64
#: Bins of a channel's 256 levels.
BINS = 16
#: The share of samples that must have changed their bin. Within shots at most 0.06 did, over 21
#: clips of signers and of people who enter and leave a corridor.
CHANGED = 0.2
#: Cells along each axis whose mean tells of change: 10 x 8 pixels of 640 x 480, a fingertip, and
#: a camera's noise is averaged away.
CELLS = 64


class ShotDetector:
    """Compares how levels are spread from frame to frame.

    Movement leaves the spread as it is, a cut to another place seldom does. Cuts between shots of
    one place pass unnoticed, and their state still is of use.
    """

    def __init__(self) -> None:
        #: How the levels of the frame before were spread; None before the first.
        self.before: NDArray[np.int64] | None = None
        self._bins: NDArray[np.intp] = np.empty((0, 0, 3), np.intp)

    def ended(self, colours: Image) -> bool:
        """Tell whether the shot of the frame before has ended."""
        height, width, _ = colours.shape
        sample = colours[:: max(1, height // SAMPLES), :: max(1, width // SAMPLES)]
        if self._bins.shape != sample.shape:
            self._bins = np.empty(sample.shape, np.intp)
        np.copyto(self._bins, sample)
        self._bins >>= 4
        for channel in (1, 2):
            self._bins[..., channel] += channel * BINS
        spread = np.bincount(self._bins.reshape(-1), minlength=3 * BINS)
        before, self.before = self.before, spread
        if before is None:
            return False
        return int(np.abs(spread - before).sum()) > 2 * CHANGED * sample.size


@dataclass(frozen=True)
class SceneSkip:
    """When a stream need not run its network: the picture is hardly another than it last saw.

    threshold: levels, 0 to 255, by which the mean of a cell of the picture may be off.
    most:      frames in a row that may be skipped.
    """

    threshold: float = 4.0
    most: int = 15

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 255:
            raise ValueError(f"threshold: expected 0 to 255 levels, got {self.threshold!r}")
        if not isinstance(self.most, int) or self.most < 1:
            raise ValueError(f"most: expected an integer of at least 1, got {self.most!r}")


class StillDetector:
    """Compares frames, in 64 x 64 cells, with the last one that the network saw.

    Not with the one before, so that slow changes add up.
    """

    def __init__(self, parameters: SceneSkip, threads: int | None) -> None:
        self._parameters = parameters
        self._threads = threads
        self._seen: NDArray[np.int16] | None = None
        self._skipped = 0

    def still(self, colours: Image) -> bool:
        """Tell whether a frame may be skipped; one that may not is the next to compare with."""
        height, width, _ = colours.shape
        size = min(height, CELLS), min(width, CELLS)
        cells = kernels.resize(colours, size, filter="area", threads=self._threads)
        now: NDArray[np.int16] = cells.astype(np.int16)
        seen = self._seen
        if seen is not None and seen.shape == now.shape:
            alike = int(np.abs(now - seen).max()) <= self._parameters.threshold
            if alike and self._skipped < self._parameters.most:
                self._skipped += 1
                return True
        self._seen, self._skipped = now, 0
        return False

    def reset(self) -> None:
        """Let the network see the next frame."""
        self._seen = None
