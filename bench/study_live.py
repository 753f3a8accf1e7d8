"""A camera of 30 frames a second through fm.video.live(), alone and beside a busy machine.

    python bench/study_live.py [--model portrait] [--minutes 10]

A drawn 640 x 480 sitter, paced as a camera, is composited over green, as `fastmatte webcam` would.
Latency is from when a frame was due until its picture was there, the composite included. A second
run, of a minute at most, has as many busy processes beside it as there are processors: frames are
dropped, and latency stays bounded. The first and the last minute of a run, and the memory that came
to be held after its first tenth, tell of growth.

Then 1, 2, 4 and 8 streams of one Matter in threads of their own, frame after frame as fast as they
go: frames a second of all together, and how unequally they share, with each engine installed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import threading
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from time import perf_counter, perf_counter_ns, sleep

import fastmatte as fm
import numpy as np
from fastmatte.cli.webcam import undisturbed
from fastmatte.engines import ENGINES
from fastmatte.portraits import Sitter

HEIGHT, WIDTH, RATE = 480, 640, 30


class Screen:
    """A sink that notes when each new picture came, in seconds, and how old it was, in ms."""

    checkpoint = None

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.shown: list[tuple[float, float]] = []
        self._begin = perf_counter()

    def write(self, frame) -> None:
        if frame.index == len(self.shown):
            age = (perf_counter_ns() - frame.taken) / 1e6
            self.shown.append((perf_counter() - self._begin, age))

    def finish(self) -> None:
        pass

    def abandon(self) -> None:
        pass


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


def study_camera(matter: fm.Matter, seconds: float, deadline: float | None, loaded: int) -> None:
    screen = Screen()
    memory: list[float] = []
    with busy(loaded), undisturbed():
        summary = fm.video.live(
            fm.video.Drawn((HEIGHT, WIDTH), Fraction(RATE)),
            screen,
            matter,
            background="green",
            deadline_ms=deadline,
            seconds=seconds,
            tell=lambda status: memory.append(resident()),
        )
    # The clock begins before the network is made ready.
    first = screen.shown[0][0] if screen.shown else 0.0
    shown = np.array(screen.shown).reshape(-1, 2) - (first, 0)
    begun = memory[len(memory) // 10]
    machine = f"{loaded} busy processes" if loaded else "alone"
    parts = {"whole": (0, seconds)}
    if seconds >= 120:
        parts |= {"first minute": (0, 60), "last minute": (seconds - 60, seconds + 1)}
    for name, (begin, end) in parts.items():
        ages = shown[(shown[:, 0] >= begin) & (shown[:, 0] < end), 1]
        if not ages.size:
            ages = np.array([np.nan])
        p50, p95, p99 = np.percentile(ages, [50, 95, 99])
        whole = name == "whole"
        print(
            f"| {machine} | {name} | {summary.frames if whole else ''} | {ages.size} | "
            f"{summary.dropped if whole else ''} | {p50:.1f} | {p95:.1f} | {p99:.1f} | "
            f"{ages.max():.1f} | {f'{memory[-1] - begun:+.1f}' if whole else ''} |",
            flush=True,
        )
    stages = (f"{name} {s.p50:.1f}, {s.p99:.1f}" for name, s in summary.stages.items())
    print(f"\n{machine}, p50 and p99 in ms by stage: {'; '.join(stages)}\n", flush=True)


def study_streams(model: str, family: str | None, seconds: float, threads: int) -> None:
    print(
        "\n| engine | threads each | streams | frames a second | p50, ms | p99, ms | least / most |"
    )
    print("|---" * 7 + "|")
    for engine, kind in ENGINES.items():
        if kind.version() is None:
            continue
        matter = fm.Matter(model, family=family, engine=engine, threads=threads)
        frame = Sitter((HEIGHT, WIDTH)).frame(0).image
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
    parser.add_argument("--model", default="portrait")
    parser.add_argument("--family", default=None)
    parser.add_argument("--engine", default="auto", help="of the camera")
    parser.add_argument("--precision", default="auto", help="of the camera")
    parser.add_argument("--deadline", type=float, help="milliseconds; None for live()'s own")
    parser.add_argument("--minutes", type=float, default=0.25, help="of each camera run")
    parser.add_argument("--seconds", type=float, default=3, help="of each count of streams")
    parser.add_argument("--threads", type=int, default=1, help="of each stream")
    parser.add_argument("--only", choices=("camera", "streams"))
    arguments = parser.parse_args()
    if arguments.only in (None, "camera"):
        matter = fm.Matter(
            arguments.model,
            family=arguments.family,
            engine=arguments.engine,
            precision=arguments.precision,
        )
        print(matter, f"{matter.info.threads} threads\n")
        print(
            "| machine | part | frames | shown | dropped | p50, ms | p95 | p99 | most | MB since |"
        )
        print("|---" * 10 + "|", flush=True)
        for loaded in (0, len(os.sched_getaffinity(0))):
            minutes = min(1, arguments.minutes) if loaded else arguments.minutes
            study_camera(matter, 60 * minutes, arguments.deadline, loaded)
    if arguments.only in (None, "streams"):
        study_streams(arguments.model, arguments.family, arguments.seconds, arguments.threads)


if __name__ == "__main__":
    main()
