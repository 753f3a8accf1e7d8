"""Clocks: how long each stage of a frame took."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns

import numpy as np

#: Frames remembered per stage: over two minutes at 30 a second.
WINDOW = 4096


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds of one stage."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class StreamStats:
    """What a stream did so far.

    frames:  frames taken in.
    dropped: frames left out to keep up.
    skipped: frames that were so like those before that the network did not see them.
    stages:  milliseconds by stage over the last 4096 frames: "trimap" (the coarse network and what
             is made of its alpha), "align", "input" (resize and normalise), "network" (and the
             input of each tile), "refine", "smooth", and, for frames that asked for them,
             "foreground" (a composite takes a network's own as it mixes), "background" (fitting or
             blurring it) and "composite" or "cutout". Of a LiveStream also "latency": from
             submit() until the matte is there to be taken.
    """

    frames: int
    dropped: int
    skipped: int
    stages: dict[str, Percentiles]


class Clock:
    """Listens to the stages of a frame and remembers nothing: for single images."""

    def record(self, stage: str, start: int) -> int:
        """Hear that a stage began at start, from perf_counter_ns(), and ends now; return now."""
        return start


class StageClock(Clock):
    """Remembers the stages of a stream's frames, in arrays made once."""

    def __init__(self) -> None:
        self.frames = self.skipped = 0
        self._nanoseconds: dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
        self._counts: dict[str, int] = {}

    def record(self, stage: str, start: int) -> int:
        """Add the time since start to a stage; return the time now."""
        now = perf_counter_ns()
        count = self._counts.get(stage, 0)
        if count == 0:
            self._nanoseconds[stage] = np.zeros(WINDOW, np.int64)
        self._nanoseconds[stage][count % WINDOW] = now - start
        self._counts[stage] = count + 1
        return now

    def of(self, stage: str) -> Percentiles | None:
        """Return percentiles of one stage, None before anything of it was recorded."""
        seen = min(self._counts.get(stage, 0), WINDOW)
        if not seen:
            return None
        values = self._nanoseconds[stage][:seen]
        return Percentiles(*(np.percentile(values, [50, 95, 99]) / 1e6).tolist())

    def stats(self) -> StreamStats:
        """Return percentiles of everything recorded."""
        # A list at once: another thread may record its first of a stage meanwhile.
        found = {stage: self.of(stage) for stage in list(self._nanoseconds)}
        stages = {stage: values for stage, values in found.items() if values is not None}
        return StreamStats(self.frames, 0, self.skipped, stages)
