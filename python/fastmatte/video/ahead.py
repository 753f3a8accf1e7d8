"""Ahead: the network sees frames that are still to come, while those before them are finished.

A network without memory may take several frames at once, each on its own few threads. That costs
less of the processors than one frame on all of them, whose threads wait for each other at every
layer: `portrait` takes 27 ms on one thread and 32 of two, and 47 where others work beside it.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter_ns

from fastmatte.arrays import Alpha, Image, Size
from fastmatte.clock import Clock, StageClock
from fastmatte.engines import open_engine
from fastmatte.matter import Matter
from fastmatte.models.family import Runner
from fastmatte.pipeline import Pipeline

#: Frames that the network sees at once: with two, one computes where the other waits.
LANES = 2
#: Engines that take any number of threads, and open within a frame or two.
ENGINES = ("onnxruntime", "openvino")
#: Weights are laid out anew for another number of threads. Of larger files one engine is enough.
MOST_BYTES = 100 << 20


@dataclass(frozen=True)
class Shares:
    """How many threads each stage works with, where all take place at the same time.

    lanes:   frames that the network sees at once.
    network: threads of each.
    finish:  threads of the kernels behind it.
    """

    lanes: int
    network: int
    finish: int


def shares_of(threads: int) -> Shares | None:
    """Share out threads; None where there is but one, and nothing may overlap."""
    if threads < 2:
        return None
    # All else costs as much as a quick network, and half of that is the reader's and the writer's.
    return Shares(LANES, max(1, threads // LANES), max(1, threads // 4))


class Ahead:
    """Runs a pipeline up to the network's alpha, on several frames at once."""

    def __init__(self, pipeline: Pipeline, shares: Shares, clock: StageClock) -> None:
        #: What the stream behind it works with.
        self.pipeline = replace(pipeline, threads=shares.finish)
        self.lanes = shares.lanes
        self._seeing = replace(pipeline, threads=shares.network)
        self._clock = clock
        self._free: list[tuple[Size, Runner]] = []
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(shares.lanes, thread_name_prefix="fastmatte-network")

    def submit(self, image: Image) -> Future[Alpha]:
        """Let the network see an (H, W, 3) frame, which must not change until it has."""
        return self._executor.submit(self._see, image)

    def close(self) -> None:
        """Forget what has not begun, and wait for what has."""
        self._executor.shutdown(cancel_futures=True)

    def _see(self, image: Image) -> Alpha:
        frame = image.shape[:2]
        size = self._seeing.input_size(frame)
        with self._lock:
            fits = [item for item in self._free if item[0] == size]
            if fits:
                self._free.remove(fits[0])
        runner = fits[0][1] if fits else self._seeing.runner(size, frame)
        start = perf_counter_ns()
        self._seeing.infer(runner, image, "rgb", None, Clock())
        alpha = runner.alpha.copy()
        with self._lock:
            self._clock.record("network", start)
            self._free.append((size, runner))
        return alpha


def ahead_of(matter: Matter, clock: StageClock) -> Ahead | None:
    """Return what runs a Matter's network ahead; None where each frame needs the one before it."""
    pipeline = matter._pipeline
    family, engine = pipeline.family, pipeline.engine
    shares = shares_of(pipeline.threads)
    ordered = family.recurrent or family.guidance is not None or pipeline.tiling is not None
    if shares is None or ordered or engine.name not in ENGINES or matter.info.building:
        return None
    path = Path(pipeline.spec.path)
    if path.stat().st_size <= MOST_BYTES:
        lighter, _ = open_engine(
            path, engine=engine.name, precision=engine.precision, threads=shares.network
        )
        pipeline = replace(pipeline, engine=lighter)
    return Ahead(pipeline, shares, clock)
