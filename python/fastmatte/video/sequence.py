"""Sequences: frames as image files, a folder of them or a numbered pattern."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmatte.arrays import Image
from fastmatte.errors import ImageError, VideoError
from fastmatte.video.frames import TRANSPARENCY, Format, Frame, Pool
from fastmatte.video.jobs import Part, Progress, Record, checkpoint_of, folder_of

if TYPE_CHECKING:
    from fastmatte.images import Photo

#: A number in a name, as printf and FFmpeg write it.
NUMBER = re.compile(r"%(0?)(\d*)d")
#: Name of a frame in a folder that says no other.
DEFAULT = "frame-%06d.png"
#: Images that are read, or written, at once: a PNG takes longer than most networks.
WORKERS = min(4, os.cpu_count() or 1)


def is_sequence(path: Path) -> bool:
    """Tell whether a path means images rather than a video: a folder, a pattern, or an image.

    A folder that is not there yet has no suffix. A file that has none may be anything.
    """
    from fastmatte import images

    if path.is_dir() or NUMBER.search(path.name):
        return True
    if not path.suffix:
        return not path.exists()
    return path.suffix.lower() in images.WRITABLE_SUFFIXES


class ImageSource:
    """The images of a folder, by name, or of a pattern, by number: one a frame, all of one size.

    start, end: seconds from the first image.
    """

    def __init__(
        self,
        path: Path,
        rate: Fraction,
        start: float | None = None,
        end: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.notes: list[str] = []
        files = _files_of(path)
        first = ceil((start or 0) * rate)
        stop = None if end is None else ceil(end * rate)
        files = files[first:stop]
        if not files:
            raise VideoError(f"{path}: no images there")
        self._index = 0 if progress is None else progress.frames
        self._files = deque(files[self._index :])
        self._pool = ThreadPoolExecutor(WORKERS)
        self._coming: deque[tuple[Path, Future[Photo]]] = deque()
        self.format = Format(self._read(files[0]).size, 1 / rate, rate, len(files))

    def read(self, pool: Pool) -> Frame | None:
        """Return the next image; None after the last."""
        while self._files and len(self._coming) <= WORKERS:
            path = self._files.popleft()
            self._coming.append((path, self._pool.submit(self._read, path)))
        if not self._coming:
            return None
        path, future = self._coming.popleft()
        photo = future.result()
        if photo.size != self.format.size:
            raise VideoError(
                f"{path}: expected the first image's size, {self.format.size}, got {photo.size}"
            )
        for text in (*photo.notes, *([] if photo.alpha is None else [TRANSPARENCY])):
            if text not in self.notes:
                self.notes.append(text)
        out = pool.take((*photo.size, 3))
        np.copyto(out, photo.pixels)
        frame = Frame(out, self._index, self._index, 1)
        self._index += 1
        return frame

    def close(self) -> None:
        """Read no further."""
        self._pool.shutdown(cancel_futures=True)

    def _read(self, path: Path) -> Photo:
        from fastmatte import images

        try:
            return images.read(path)
        except ImageError as error:
            raise VideoError(f"{path}: {error}") from error


def _files_of(path: Path) -> list[Path]:
    from fastmatte import images

    if path.is_dir():
        return sorted(
            (
                file
                for file in path.iterdir()
                if file.suffix.lower() in images.READABLE_SUFFIXES and not file.name.startswith(".")
            ),
            key=_by_number,
        )
    if NUMBER.search(path.name) is None:
        return [path] if path.exists() else []
    before, after = NUMBER.split(path.name)[0], NUMBER.split(path.name)[-1]
    pattern = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    if not path.parent.is_dir():
        return []
    found = [(int(m[1]), f) for f in path.parent.iterdir() if (m := pattern.fullmatch(f.name))]
    return [file for _, file in sorted(found)]


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Order 2.png before 10.png."""
    return [
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)
    ]


class ImageSink:
    """Writes each frame as an image of its own, numbered from 0; begin() says for which job."""

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        from fastmatte import images

        self.checkpoint: int | None = None
        self.notes: list[str] = []
        if NUMBER.search(path.name):
            self._folder, self._name = path.parent, path.name
        elif path.is_dir() or not path.suffix:
            self._folder, self._name = path, DEFAULT
        else:
            raise ValueError(
                f"output: expected a pattern such as {path.stem}-%05d{path.suffix}, or a folder, "
                f"for many frames; got {path.name!r}"
            )
        if Path(self._name).suffix.lower() not in images.WRITABLE_SUFFIXES:
            raise ValueError(
                f"output: expected one of {' '.join(images.WRITABLE_SUFFIXES)}, got {self._name!r}"
            )
        #: Where a job's record is kept.
        self.folder = folder_of(self._folder / self._name)
        self._overwrite = overwrite
        self._record: Record | None = None
        self._pool = ThreadPoolExecutor(WORKERS)
        self._going: deque[Future[None]] = deque()
        self._last = 0

    def writes_to(self, path: Path) -> bool:
        """Tell whether a source's images would be replaced by these."""
        folder = path if path.is_dir() else path.parent
        same = folder.resolve() == self._folder.resolve()
        return same and (path.is_dir() or path.name == self._name)

    def require_free(self) -> None:
        """Raise FileExistsError where images of these names are there, and are not to go."""
        if not self._overwrite and _files_of(self._folder / self._name):
            raise FileExistsError(17, "frames are there already", str(self._folder / self._name))

    def begin(self, job: Mapping[str, Any], progress: Progress, stride: int) -> None:
        """Keep a record of a job, so that it can go on."""
        # Those behind the last entry are written again.
        self._overwrite = self._overwrite or bool(progress.parts)
        self.checkpoint = checkpoint_of(stride)
        self._record = Record(self.folder, job, progress)

    def write(self, frame: Frame) -> None:
        """Write a frame, some of them at once."""
        if self._record is not None and self.checkpoint and frame.index % self.checkpoint == 0:
            self._wait()
            # Frames are files of their own: one entry for all that are there.
            if frame.index:
                whole = Part("", frame.index, self._last, self._last, frame.pts)
                self._record.write([whole], frame.memory)
        self._last = frame.pts
        self._folder.mkdir(parents=True, exist_ok=True)
        name = NUMBER.sub(lambda m: f"{frame.index:{m[1]}{m[2]}d}", self._name)
        # The caller takes its pixels back before they are compressed.
        self._going.append(self._pool.submit(self._save, self._folder / name, frame.pixels.copy()))
        while len(self._going) > WORKERS:
            self._going.popleft().result()

    def finish(self) -> None:
        """Wait for the last ones."""
        self._wait()
        self._pool.shutdown()

    def _wait(self) -> None:
        while self._going:
            self._going.popleft().result()

    def abandon(self) -> None:
        """Leave what is written: each image is whole."""
        self._pool.shutdown(cancel_futures=True)

    def _save(self, path: Path, pixels: Image) -> None:
        from fastmatte import images

        images.write(path, pixels, overwrite=self._overwrite)
