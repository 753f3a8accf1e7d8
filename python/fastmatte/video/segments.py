"""Segments: a result written in parts that stand alone, so that a job can go on where it stopped.

Beside OUT.mp4 a folder .OUT.mp4.parts holds the parts, each a playable file that begins with a key
frame of an encoder of its own, and job.json, which names those that are whole. What a recurrent
network remembers at the end of the last one lies next to it. A part that is not in job.json yet is
worth nothing: it is encoded again, from the same frames to the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastmatte.arrays import Array
from fastmatte.errors import VideoError
from fastmatte.video.codecs import Encoding
from fastmatte.video.encoder import Encoder, encoded_size
from fastmatte.video.frames import Format, Frame

#: Frames of a part: as far apart as x264 puts its key frames, so that parts cost no bits.
LENGTH = 250
RECORD = "job.json"


@dataclass(frozen=True)
class Part:
    """One part of the result.

    first, last: pts of its first and last frame.
    end:         pts where the last one ends.
    """

    file: str
    frames: int
    first: int
    last: int
    end: int


@dataclass(frozen=True)
class Progress:
    """What an interrupted job left: its whole parts, and what the stream remembered after them."""

    parts: tuple[Part, ...] = ()
    memory: Mapping[str, Array] | None = None

    @property
    def frames(self) -> int:
        """How many frames are done."""
        return sum(part.frames for part in self.parts)


def folder_of(output: Path) -> Path:
    """Return the folder of an output's parts."""
    return output.with_name(f".{output.name}.parts")


def resumed(folder: Path, job: Mapping[str, Any]) -> Progress:
    """Read what an interrupted job left; nothing where there was none.

    Raises VideoError where it was another job.
    """
    try:
        record = json.loads((folder / RECORD).read_text())
        before = record["job"]
        parts = tuple(Part(**part) for part in record["parts"])
    except FileNotFoundError:
        return Progress()
    except (ValueError, KeyError, TypeError) as error:
        raise VideoError(f"{folder / RECORD}: broken ({error}): start anew") from error
    now = json.loads(json.dumps(job))
    different = sorted(name for name in {*now, *before} if now.get(name) != before.get(name))
    if different:
        said = "; ".join(f"{n} was {before.get(n)!r}, is {now.get(n)!r}" for n in different)
        raise VideoError(
            f"{folder} was left by another job: {said}. Without --resume it starts anew"
        )
    missing = [part.file for part in parts if not (folder / part.file).is_file()]
    if missing:
        raise VideoError(f"{folder}: {missing[0]} is gone: start anew, without --resume")
    memory = None
    if record["memory"] is not None:
        with np.load(folder / record["memory"], allow_pickle=False) as arrays:
            memory = {name: arrays[name] for name in arrays.files}
    return Progress(parts, memory)


class Segments:
    """A sink that writes parts of LENGTH frames; join them when it has finished.

    progress: what is there already, and stays.
    stride:   how many frames share one alpha: parts are a multiple of it long.
    """

    def __init__(
        self,
        folder: Path,
        encoding: Encoding,
        format: Format,
        job: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        stride: int = 1,
        length: int | None = None,
    ) -> None:
        self.notes: list[str] = []
        self.checkpoint: int | None = -(-(length or LENGTH) // stride) * stride
        self.folder = folder
        self._encoding = encoding
        self._format = format
        self._job = dict(job)
        self.parts = [] if progress is None else list(progress.parts)
        self._memory: str | None = None
        if progress is None or not progress.parts:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self._record(None)
        elif progress.memory is not None:
            self._memory = _memory_name(len(self.parts))
        self._encoder: Encoder | None = None
        self._path = folder
        self._first: Frame | None = None
        self._written = self._first_pts = self._last_pts = self._end = 0
        if encoded_size(format.size, encoding) != format.size:
            self.notes.append(
                f"{encoding.codec} with 4:2:0 needs even sides: the last row or column is there "
                "twice"
            )

    def write(self, frame: Frame) -> None:
        """Encode a frame, in a new part where one is due."""
        assert self.checkpoint is not None
        if frame.index % self.checkpoint == 0 and self._encoder is not None:
            self._close_part()
            self._record(frame.memory)
        if self._encoder is None:
            self._path = self.folder / f"part-{len(self.parts):05}{self._suffix()}"
            origin = 0 if self._encoding.kind.absolute else frame.pts
            self._encoder = Encoder(self._path, self._encoding, self._format, origin)
            self._written, self._first_pts = 0, frame.pts
        self._encoder.write(frame)
        self._written += 1
        self._last_pts = frame.pts
        self._end = frame.pts + (frame.duration or self._format.step)

    def finish(self) -> None:
        """Complete the last part."""
        if self._encoder is not None:
            self._close_part()

    def abandon(self) -> None:
        """Drop the part that is not whole; --resume goes on from those that are."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.drop()
            self._path.unlink(missing_ok=True)

    def _suffix(self) -> str:
        return {"matroska": ".mkv"}.get(
            self._encoding.kind.format, f".{self._encoding.kind.format}"
        )

    def _close_part(self) -> None:
        encoder, self._encoder = self._encoder, None
        assert encoder is not None
        encoder.close()
        part = Part(self._path.name, self._written, self._first_pts, self._last_pts, self._end)
        self.parts.append(part)

    def _record(self, memory: Mapping[str, Array] | None) -> None:
        """Put all parts so far on record; from here on a job may die."""
        before, self._memory = self._memory, None
        if memory is not None:
            self._memory = _memory_name(len(self.parts))
            with open(self.folder / self._memory, "wb") as file:
                np.savez(file, **dict(memory))  # type: ignore[arg-type]
        record = {
            "job": self._job,
            "parts": [asdict(part) for part in self.parts],
            "memory": self._memory,
        }
        temporary = self.folder / f"{RECORD}.tmp"
        temporary.write_text(json.dumps(record, indent=1))
        os.replace(temporary, self.folder / RECORD)
        if before is not None and before != self._memory:
            (self.folder / before).unlink(missing_ok=True)


def _memory_name(parts: int) -> str:
    return f"memory-{parts:05}.npz"
