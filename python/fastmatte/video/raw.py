"""Raw frames through pipes: rgb24 in; gray, rgb24 or rgba out, one frame after another."""

from __future__ import annotations

from fractions import Fraction
from typing import BinaryIO

from fastmatte.arrays import Size
from fastmatte.errors import VideoError
from fastmatte.video.frames import Format, Frame, Pool


class RawSource:
    """Frames of one size from a pipe, as ffmpeg -f rawvideo -pix_fmt rgb24 writes them."""

    def __init__(self, file: BinaryIO, size: Size, rate: Fraction) -> None:
        self.notes: list[str] = []
        self.format = Format(size, 1 / rate, rate)
        self._file = file
        self._index = 0

    def read(self, pool: Pool) -> Frame | None:
        """Return the next frame; None at the end. Raises VideoError for part of one."""
        out = pool.take((*self.format.size, 3))
        rest = out.reshape(-1).data
        while rest:
            # A pipe gives what it has, which is seldom a frame.
            count = self._file.readinto(rest)  # type: ignore[attr-defined]
            if not count:
                break
            rest = rest[count:]
        if len(rest) == out.size:
            if self._index == 0:
                raise VideoError("standard input: no frames")
            return None
        if rest:
            raise VideoError(
                f"standard input: {out.size - len(rest)} bytes at the end are no whole frame of "
                f"{self.format.size[1]}x{self.format.size[0]} in rgb24"
            )
        frame = Frame(out, self._index, self._index, 1)
        self._index += 1
        return frame

    def close(self) -> None:
        """Leave the pipe to whoever opened it."""


class RawSink:
    """Writes the bytes of each frame to a pipe: rgb24, or gray for alpha and rgba for cut-outs."""

    def __init__(self, file: BinaryIO) -> None:
        self.checkpoint = None
        self.notes: list[str] = []
        self._file = file

    def write(self, frame: Frame) -> None:
        """Write a frame."""
        rest = frame.pixels.reshape(-1).data
        # Unbuffered, as under PYTHONUNBUFFERED, a pipe takes no more at a time than it holds.
        while rest:
            rest = rest[self._file.write(rest) :]
        self._file.flush()

    def finish(self) -> None:
        """Nothing is held back."""

    def abandon(self) -> None:
        """What is written is written."""
