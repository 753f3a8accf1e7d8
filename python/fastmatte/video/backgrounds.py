"""Backgrounds: what is put behind, for each moment of a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from fastmatte import _core
from fastmatte.arrays import Colour, Image, Size
from fastmatte.errors import FastmatteError, VideoError
from fastmatte.matte import Background, cover
from fastmatte.video.frames import Pool
from fastmatte.video.reader import FileSource

#: The green that keyers expect.
GREEN: Colour = (0, 255, 0)


class Scene(Protocol):
    """What is behind at each moment."""

    notes: list[str]

    def at(self, seconds: Fraction) -> Background:
        """Return it for a moment, which is never before the one asked for last; good until then."""

    def close(self) -> None:
        """Let go of what is open."""


class Still:
    """The same at all times: a colour, an image, or the frame's own background blurred."""

    def __init__(self, background: Background) -> None:
        self.notes: list[str] = []
        self._background = background

    def at(self, seconds: Fraction) -> Background:
        """Return it."""
        return self._background

    def close(self) -> None:
        """Nothing is open."""


class Moving:
    """A video, at its own pace; it begins anew where it is shorter."""

    def __init__(self, path: Path, *, eight_bit: bool = False) -> None:
        self.notes: list[str] = []
        self._path = path
        self._eight_bit = eight_bit
        self._pool = Pool()
        self._shown: Image | None = None
        #: Seconds of the result at which this round of it began.
        self._begin = Fraction(0)
        self._open()

    def at(self, seconds: Fraction) -> Image:
        """Return the frame that is shown at this moment."""
        while self._next is not None and self._begin + self._next_time <= seconds:
            self._advance()
        assert self._shown is not None
        return self._shown

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _open(self) -> None:
        self._source = FileSource(self._path, eight_bit=self._eight_bit)
        self._next = self._source.read(self._pool)
        assert self._next is not None
        self._origin = self._next.pts
        self._next_time = Fraction(0)
        self._end = Fraction(0)

    def _advance(self) -> None:
        assert self._next is not None
        if self._shown is not None:
            self._pool.give(self._shown)
        self._shown, duration = self._next.pixels, self._next.duration
        base = self._source.format.time_base
        span = duration * base if duration else 1 / self._source.format.rate
        self._end = self._next_time + span
        self._next = self._source.read(self._pool)
        if self._next is not None:
            self._next_time = (self._next.pts - self._origin) * base
            return
        self._source.close()
        begin = self._begin + self._end
        self._open()
        self._begin = begin
        note = f"{self._path} is shorter than the video, and begins anew"
        if note not in self.notes:
            self.notes.append(note)


def _fitted(background: Background, size: Size) -> Background:
    """Bring an image to the frames' size, once and not with each of them."""
    if not isinstance(background, np.ndarray):
        return background
    _core.require_image(background, "background", 3)
    if background.shape[:2] == size:
        return background
    return cover(background, np.empty((*size, 3), np.uint8))


def scene_of(background: Background | str | Path, size: Size, *, eight_bit: bool = False) -> Scene:
    """Make a scene of what was asked for, for frames of this size.

    background: a colour, an (h, w, 3) image or Blur(), as a composite takes them; "green"; or the
                path of an image or a video.
    """
    if isinstance(background, str) and background == "green":
        return Still(GREEN)
    if not isinstance(background, str | Path):
        return Still(_fitted(background, size))
    path = Path(background)
    if not path.is_file():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    from fastmatte import images

    try:
        return Still(_fitted(images.read(path).over(images.WHITE), size))
    except FastmatteError as no_image:
        try:
            return Moving(path, eight_bit=eight_bit)
        except VideoError as error:
            raise VideoError(
                f"{path}: neither an image ({no_image}) nor a video ({error})"
            ) from error
