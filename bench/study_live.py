"""A camera of 30 frames a second through a LiveStream, alone and beside a busy machine.

    python bench/study_live.py --model portrait.onnx [--minutes 10]

A generated 640 x 480 source hands in a frame every thirtieth of a second, and whatever matte is
there by then is composited, as a video call would. Latency is from submit() until the matte can be
taken. A second run has as many busy processes beside it as there are processors: frames are
dropped, and latency stays within the deadline. p99 after a quarter of the time and the memory that
came to be held since tell of growth.

Then 1, 2, 4 and 8 streams of one Matter in threads of their own, frame after frame as fast as they
go: frames a second of all together, and how unequally they share, with each engine installed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

import fastmatte as fm
import numpy as np
from fastmatte.clock import Percentiles
from fastmatte.engines import ENGINES

HEIGHT, WIDTH, RATE = 480, 640, 30
GREEN = (0, 177, 64)


class Camera:
    """A person-like shape that moves over a room of noise, into one array again and again."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        coarse = rng.integers(40, 160, (24, 32, 3), np.uint8)
        self._room = fm.kernels.resize(coarse, (HEIGHT, WIDTH), filter="bicubic")
        self._noise = rng.integers(0, 7, (8, HEIGHT, WIDTH, 3), np.uint8)
        y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1.33 : 1.33 : WIDTH * 1j]
        head = np.hypot(x, y + 0.25) < 0.32
        self._person = head | (np.hypot(x / 0.8, (y - 1.0) / 0.9) < 1)
        self._frame = np.empty((HEIGHT, WIDTH, 3), np.uint8)

    def read(self, index: int) -> np.ndarray:
        np.add(self._room, self._noise[index % 8], out=self._frame)
        moved = np.roll(self._person, round(40 * np.sin(index / 20)), 1)
        self._frame[moved] = (205, 160, 130)
        return self._frame


def latency_of(stats):
    """Return what was not dropped; nothing where all was."""
    return stats.stages.get("latency") or Percentiles(*[float("nan")] * 3)


def resident() -> float:
    """Return this process's memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def spin() -> None:
    while True:
        pass


@contextmanager
def busy(count: int):
    """Have so many processes do nothing as fast as they can."""
    processes = [
        multiprocessing.get_context("spawn").Process(target=spin, daemon=True) for _ in range(count)
    ]
    for process in processes:
        process.start()
    try:
        sleep(1 if count else 0)
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def study_camera(matter: fm.Matter, seconds: float, deadline: float, loaded: int) -> None:
    camera, canvas = Camera(), np.empty((HEIGHT, WIDTH, 3), np.uint8)
    latencies: list[float] = []
    memory: list[float] = []
    shown = 0
    with busy(loaded), matter.stream(deadline_ms=deadline) as live:
        # The first frame makes the network ready and comes too late; a camera starts after that.
        for _ in range(20):
            live.submit(camera.read(0))
            if live.latest(wait_ms=500) is not None:
                break
        before = live.stats
        start = perf_counter()
        for index in range(round(seconds * RATE)):
            sleep(max(0.0, start + index / RATE - perf_counter()))
            live.submit(camera.read(index))
            matte = live.latest()
            if matte is not None:
                matte.composite(GREEN, foreground="image", out=canvas)
                shown += 1
            if index % RATE == RATE - 1:
                memory.append(resident())
                latencies.append(latency_of(live.stats).p99)
        stats = live.stats
    count, latency = stats.frames - before.frames, latency_of(stats)
    first, last = memory[len(memory) // 4], memory[-1]
    print(
        f"| {'alone' if not loaded else f'{loaded} busy processes'} | {count} | {shown} | "
        f"{stats.dropped - before.dropped} | {latency.p50:.1f} | {latency.p95:.1f} | "
        f"{latency.p99:.1f} | {latencies[len(latencies) // 4]:.1f} | {last - first:+.1f} |",
        flush=True,
    )


def study_streams(path: Path, family: str | None, seconds: float, threads: int) -> None:
    print(
        "\n| engine | threads each | streams | frames a second | p50, ms | p99, ms | least / most |"
    )
    print("|---" * 7 + "|")
    for engine, kind in ENGINES.items():
        if kind.version() is None:
            continue
        matter = fm.Matter(path, family=family, engine=engine, threads=threads)
        frame = Camera().read(0)
        for count in (1, 2, 4, 8):
            times: list[list[float]] = [[] for _ in range(count)]
            ready = threading.Barrier(count)

            def work(own: list[float], ready=ready, matter=matter, frame=frame) -> None:
                with matter.stream() as stream:
                    stream(frame)
                    ready.wait()
                    end = perf_counter() + seconds
                    while (now := perf_counter()) < end:
                        stream(frame)
                        own.append(perf_counter() - now)

            workers = [threading.Thread(target=work, args=(own,)) for own in times]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            p50, p99 = np.percentile(np.concatenate(times), [50, 99]) * 1e3
            counts = [len(own) for own in times]
            print(
                f"| {engine} | {threads} | {count} | {sum(counts) / seconds:.1f} | {p50:.1f} | "
                f"{p99:.1f} | {min(counts) / max(counts):.2f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--family", default=None)
    parser.add_argument("--deadline", type=float, default=100, help="milliseconds")
    parser.add_argument("--minutes", type=float, default=0.25, help="of each camera run")
    parser.add_argument("--seconds", type=float, default=3, help="of each count of streams")
    parser.add_argument("--threads", type=int, default=1, help="of each stream")
    parser.add_argument("--only", choices=("camera", "streams"))
    arguments = parser.parse_args()
    if arguments.only in (None, "camera"):
        matter = fm.Matter(arguments.model, family=arguments.family)
        print(matter, f"deadline {arguments.deadline:g} ms\n")
        heads = "frames | shown | dropped | p50, ms | p95 | p99 | p99, first quarter"
        print(f"| machine | {heads} | memory since, MB |")
        print("|---" * 9 + "|", flush=True)
        for loaded in (0, len(os.sched_getaffinity(0))):
            study_camera(matter, 60 * arguments.minutes, arguments.deadline, loaded)
    if arguments.only in (None, "streams"):
        study_streams(arguments.model, arguments.family, arguments.seconds, arguments.threads)


if __name__ == "__main__":
    main()
