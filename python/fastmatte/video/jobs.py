"""Jobs: what is written down on the way, so that one that died can go on where it was."""

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

#: Frames from one entry to the next: as far apart as x264 puts its key frames, so that parts of a
#: file cost no bits.
LENGTH = 250
RECORD = "job.json"


@dataclass(frozen=True)
class Part:
    """One part of the result.

    file:        its name in the job's folder; empty where frames are files of their own.
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
    missing = [part.file for part in parts if part.file and not (folder / part.file).is_file()]
    if missing:
        raise VideoError(f"{folder}: {missing[0]} is gone: start anew, without --resume")
    memory = None
    if record["memory"] is not None:
        with np.load(folder / record["memory"], allow_pickle=False) as arrays:
            memory = {name: arrays[name] for name in arrays.files}
    return Progress(parts, memory)


class Record:
    """Keeps job.json, which names the parts that are whole, and what the stream remembers there."""

    def __init__(self, folder: Path, job: Mapping[str, Any], progress: Progress) -> None:
        """Go on with a record, or begin it where there was no progress."""
        self._folder = folder
        self._job = dict(job)
        self._memory: str | None = None
        if not progress.parts:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self.write([], None)
        elif progress.memory is not None:
            self._memory = _memory_name(progress.frames)

    def write(self, parts: list[Part], memory: Mapping[str, Array] | None) -> None:
        """Put these parts on record; from here on the job may die."""
        before, self._memory = self._memory, None
        if memory is not None:
            self._memory = _memory_name(sum(part.frames for part in parts))
            with open(self._folder / self._memory, "wb") as file:
                np.savez(file, **dict(memory))  # type: ignore[arg-type]
        record = {
            "job": self._job,
            "parts": [asdict(part) for part in parts],
            "memory": self._memory,
        }
        temporary = self._folder / f"{RECORD}.tmp"
        temporary.write_text(json.dumps(record, indent=1))
        os.replace(temporary, self._folder / RECORD)
        if before is not None and before != self._memory:
            (self._folder / before).unlink(missing_ok=True)


def checkpoint_of(stride: int) -> int:
    """Return after how many frames to write an entry, where so many share one alpha."""
    return -(-LENGTH // stride) * stride


def _memory_name(frames: int) -> str:
    return f"memory-{frames:08}.npz"
