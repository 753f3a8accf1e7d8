"""The pipeline: reading, matting and writing at the same time, a few frames apart.

Reading and writing have a thread each, and so has a network that may see frames ahead; matting has
the caller's, where Ctrl-C arrives. FFmpeg, the engine and the kernels all work without Python's
lock. Channels between them are short, so memory does not grow with the video, and whoever is
slowest sets the pace.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from time import perf_counter, perf_counter_ns
from typing import Generic, Protocol, TypeVar

from fastmatte.clock import StageClock, StreamStats
from fastmatte.errors import FastmatteError, VideoError
from fastmatte.video.frames import Frame, Pool, Sink, Source

T = TypeVar("T")

#: Frames that wait between two stages: enough for one that now and then takes longer, as an encoder
#: does at a cut.
WAITING = 4


class Channel(Generic[T]):
    """A short queue between two threads that either end can give up."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._ended = self._dropped = False

    def put(self, item: T) -> bool:
        """Wait for a place; False where nobody will take it any more."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._capacity or self._dropped)
            if self._dropped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self) -> T | None:
        """Wait for an item; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._ended or self._dropped)
            if self._dropped or not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def end(self) -> None:
        """Say that nothing will follow what is in it."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def drop(self) -> None:
        """Give up, from either end: what is in it is wanted by nobody."""
        with self._changed:
            self._dropped = True
            self._changed.notify_all()


class Worker(Protocol):
    """What becomes of each frame."""

    def __call__(self, frame: Frame, pool: Pool) -> Frame:
        """Return the finished frame; pixels that it no longer needs go back to the pool."""


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    frames:      that were written.
    seconds:     from first to last.
    interrupted: whether it was stopped before the end.
    stages:      milliseconds by stage, as a stream's stats have them: "read" and "write", which
                 take place at the same time as the others.
    """

    frames: int
    seconds: float
    interrupted: bool
    stages: StreamStats


def run(
    source: Source,
    worker: Worker,
    sink: Sink,
    *,
    begin: Callable[[Frame], None] | None = None,
    advance: Callable[[int], None] | None = None,
    stop: threading.Event | None = None,
) -> Outcome:
    """Bring every frame of source through worker to sink, in order.

    begin:   called with each frame once it is read, before its turn comes, in the reader's thread;
             what is awaited of it is then in frame.seen.
    advance: called with 1 for each frame that is written.
    stop:    set to end after the frames that are on their way; the sink is complete up to there.

    An error in any stage stops all; the sink abandons what is not whole, and the error is raised,
    a VideoError that says which stage it was in and at which frame. Reading and writing are closed
    in any case.
    """
    stop = stop or threading.Event()
    clock, pool = StageClock(), Pool()
    incoming: Channel[Frame] = Channel(WAITING)
    outgoing: Channel[Frame] = Channel(WAITING)
    failures: list[BaseException] = []
    written = 0

    def fail(stage: str, index: int, error: BaseException) -> None:
        failures.append(_told(stage, index, error))
        incoming.drop()
        outgoing.drop()

    def read() -> None:
        index = 0
        try:
            while not stop.is_set():
                start = perf_counter_ns()
                frame = source.read(pool)
                if frame is None:
                    break
                index = frame.index + 1
                clock.record("read", start)
                if begin is not None:
                    begin(frame)
                if not incoming.put(frame):
                    return
            incoming.end()
        except BaseException as error:
            fail("reading", index, error)

    def write() -> None:
        nonlocal written
        index = 0
        try:
            while (frame := outgoing.get()) is not None:
                index = frame.index
                start = perf_counter_ns()
                sink.write(frame)
                clock.record("write", start)
                pool.give(frame.pixels)
                written += 1
                if advance is not None:
                    advance(1)
        except BaseException as error:
            fail("writing", index, error)

    started = perf_counter()
    executor = ThreadPoolExecutor(2, thread_name_prefix="fastmatte-video")
    others: list[Future[None]] = []
    index = 0
    try:
        others += [executor.submit(read), executor.submit(write)]
        executor.shutdown(wait=False)
        try:
            while not stop.is_set() and (frame := incoming.get()) is not None:
                index = frame.index
                if frame.seen is not None:
                    wait([frame.seen])
                start = perf_counter_ns()
                done = worker(frame, pool)
                clock.record("matte", start)
                clock.frames += 1
                if not outgoing.put(done):
                    break
        # Ctrl-C included: it comes to this thread.
        except BaseException as error:
            fail("matting", index, error)
        incoming.drop()
        outgoing.end()
        wait(others)
        if not failures:
            try:
                sink.finish()
            except BaseException as error:
                fail("writing", index, error)
        if failures:
            sink.abandon()
            raise failures[0]
    finally:
        incoming.drop()
        outgoing.drop()
        # A second Ctrl-C may have ended the wait for them, and nothing is closed that is in use.
        wait(others)
        source.close()
    return Outcome(written, perf_counter() - started, stop.is_set(), clock.stats())


def _told(stage: str, index: int, error: BaseException) -> BaseException:
    """Say in which stage an error arose; Ctrl-C and a reader that is gone stay what they are."""
    if isinstance(error, KeyboardInterrupt | BrokenPipeError | MemoryError | SystemExit):
        return error
    said = str(error)
    if isinstance(error, OSError) and error.strerror:
        said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    kind = "" if isinstance(error, FastmatteError | OSError) else f"{type(error).__name__}: "
    told = VideoError(f"{stage}, frame {index}: {kind}{said}")
    told.__cause__ = error
    return told
