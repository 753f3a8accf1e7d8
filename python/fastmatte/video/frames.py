"""What video is made of here: frames with their times, where they come from and where they go."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np

from fastmatte.arrays import Alpha, Array, Image, Size

#: What FFmpeg's AVColorSpace, AVColorPrimaries and AVColorTransferCharacteristic call unspecified;
#: a range is 0 where nobody said.
UNSPECIFIED = 2
#: What is said of sources that have some, which no network looks at.
TRANSPARENCY = "its own transparency is left out"


@dataclass(frozen=True)
class ColourTags:
    """How a file says its levels are to be understood, in FFmpeg's own numbers."""

    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED


@dataclass(frozen=True)
class Format:
    """What holds for all frames of a video.

    size:         (height, width) as it is looked at, upright.
    time_base:    seconds of one tick of a frame's pts.
    rate:         frames a second, on average.
    frames:       how many there will be, None where nobody knows before the end.
    colour:       how levels are to be understood; a result is written alike.
    pixel_aspect: width of a pixel by its height.
    """

    size: Size
    time_base: Fraction
    rate: Fraction
    frames: int | None = None
    colour: ColourTags = field(default_factory=ColourTags)
    pixel_aspect: Fraction = Fraction(1)

    @property
    def step(self) -> int:
        """Ticks from frame to frame, on average."""
        return max(1, round(1 / (self.rate * self.time_base)))


@dataclass
class Frame:
    """One frame on its way.

    pixels:   (H, W, 3) uint8 RGB as it comes in; what was made of it as it goes out: (H, W),
              (H, W, 3) or (H, W, 4). It is used in place, and given back to the pool at the end.
    index:    how many frames came before it.
    pts:      when it is shown, in ticks of the format's time_base.
    taken:    when a camera took it, by time.perf_counter_ns(); 0 where none did.
    duration: how long, in ticks; 0 where nobody knows.
    memory:   what the stream remembered before this frame, where the sink asked for it.
    seen:     the network's alpha of it, where that is made ahead.
    """

    pixels: Image
    index: int
    pts: int
    taken: int = field(default=0, kw_only=True)
    duration: int = 0
    memory: Mapping[str, Array] | None = None
    seen: Future[Alpha] | None = None


class Pool:
    """Arrays that go round: taken by whoever fills them, given back by whoever is done."""

    def __init__(self) -> None:
        self._free: dict[tuple[int, ...], list[Image]] = {}
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...]) -> Image:
        """Return an array of this shape, its content whatever it was."""
        with self._lock:
            free = self._free.get(shape)
            if free:
                return free.pop()
        return np.empty(shape, np.uint8)

    def give(self, array: Image) -> None:
        """Take back an array that nobody uses any more."""
        with self._lock:
            self._free.setdefault(array.shape, []).append(array)


class Source(Protocol):
    """Frames one after another: a file, a folder of images, a pipe, a camera."""

    @property
    def format(self) -> Format:
        """What holds for all frames."""

    @property
    def notes(self) -> list[str]:
        """What somebody should know about what was read, one sentence each."""

    def read(self, pool: Pool) -> Frame | None:
        """Return the next frame, its pixels an array of pool; None at the end."""

    def close(self) -> None:
        """Let go of what is open."""


class Sink(Protocol):
    """Where finished frames go: a file, a folder of images, a pipe, a virtual camera."""

    @property
    def checkpoint(self) -> int | None:
        """After how many frames it wants to be told what the stream remembers; None for never."""

    @property
    def notes(self) -> list[str]:
        """What somebody should know about what was written, one sentence each."""

    def write(self, frame: Frame) -> None:
        """Take the next frame; its pixels are the caller's again when this returns."""

    def finish(self) -> None:
        """Complete what was written: no frame will follow."""

    def abandon(self) -> None:
        """Leave things as they are, as well as they can be, after something failed."""
