"""Backgrounds: what is put behind, for each moment of a video."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from fastmatte import _core
from fastmatte.arrays import Colour, Image, Size
from fastmatte.errors import FastmatteError, VideoError
from fastmatte.matte import Background, cover
from fastmatte.video.frames import Pool
from fastmatte.video.pipeline import WAITING, Channel
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


@dataclass(frozen=True)
class Shown:
    """A frame of a background.

    begin: seconds of the result from which on it is shown.
    again: whether the video began anew before it.
    """

    pixels: Image
    begin: Fraction
    again: bool


class Moving:
    """A video, at its own pace; it begins anew where it is shorter.

    A thread of its own decodes it, some frames ahead of those that are asked for.
    """

    def __init__(self, path: Path, *, eight_bit: bool = False) -> None:
        self.notes: list[str] = []
        self._path = path
        self._eight_bit = eight_bit
        self._pool = Pool()
        self._coming: Channel[Shown] = Channel(WAITING)
        self._error: BaseException | None = None
        self._shown: Shown | None = None
        # What is wrong with the file is said here.
        source = self._open()
        self._thread = threading.Thread(
            target=self._decode, args=(source,), name="fastmatte-background", daemon=True
        )
        self._thread.start()
        self._next = self._take()

    def at(self, seconds: Fraction) -> Image:
        """Return the frame that is shown at this moment."""
        while self._shown is None or self._next.begin <= seconds:
            if self._shown is not None:
                self._pool.give(self._shown.pixels)
            self._shown = self._next
            note = f"{self._path} is shorter than the video, and begins anew"
            if self._shown.again and note not in self.notes:
                self.notes.append(note)
            self._next = self._take()
        return self._shown.pixels

    def close(self) -> None:
        """Close the file."""
        self._coming.drop()
        self._thread.join()

    def _open(self) -> FileSource:
        return FileSource(self._path, eight_bit=self._eight_bit)

    def _take(self) -> Shown:
        coming = self._coming.get()
        if coming is None:
            assert self._error is not None
            raise self._error
        return coming

    def _decode(self, source: FileSource) -> None:
        try:
            begin, again = Fraction(0), False
            while True:
                base, rate = source.format.time_base, source.format.rate
                origin, end = None, begin
                while (frame := source.read(self._pool)) is not None:
                    origin = frame.pts if origin is None else origin
                    shown = begin + (frame.pts - origin) * base
                    end = shown + (frame.duration * base if frame.duration else 1 / rate)
                    if not self._coming.put(Shown(frame.pixels, shown, again)):
                        return
                source.close()
                begin, again = end, True
                source = self._open()
        except BaseException as error:
            self._error = error
            self._coming.end()
        finally:
            source.close()


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
            raise VideoError(f"{path}: no image ({no_image}), and as a video: {error}") from error
