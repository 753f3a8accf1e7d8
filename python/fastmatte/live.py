"""LiveStream: the newest frame of a camera, through a thread of its own, or not at all."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass, field, replace
from time import perf_counter_ns

import numpy as np

from fastmatte.arrays import Image, Size
from fastmatte.buffers import Buffers
from fastmatte.clock import StreamStats
from fastmatte.matte import Matte
from fastmatte.stream import Stream


class LiveStream:
    """Frames handed in as they come, the newest matte taken when it is wanted.

        with matter.stream(deadline_ms=40) as live:
            while frame := camera.read():
                live.submit(frame)
                matte = live.latest() or matte

    Nothing queues. A frame that is not begun when the next one comes, or that would come after its
    deadline as long as work takes of late, is dropped, and so is a matte that does come after it or
    that a newer one overtakes: no matte is older than deadline_ms when it is there to be taken. A
    deadline that the work alone takes longer than gives no mattes; stats tell. Any thread may
    submit, and any other one take.

    What a frame raises comes out of the next submit() or latest(), once; the frames after it go on.
    """

    def __init__(self, stream: Stream, deadline_ms: float) -> None:
        """Start the thread; made by Matter.stream()."""
        if stream.delayed:
            raise ValueError("smoothing: expected none with a delay for live frames")
        self._desk = _Desk(stream, _deadline_of(deadline_ms))
        self._lent: _Slot | None = None
        thread = threading.Thread(target=self._desk.work, name="fastmatte-live", daemon=True)
        # Also where nobody closes it: at the latest as Python ends, before it stops its threads.
        self._stop = weakref.finalize(self, _stop, self._desk, thread)
        thread.start()

    def __enter__(self) -> LiveStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def warm(self, size: Size) -> float:
        """Make ready for frames of a size, as Stream.warm() does: the first would wait for it.

        Returns the milliseconds that a frame takes at least, and counts on them.
        Raises as Stream.warm() does.
        """
        desk = self._desk
        with desk.turn:
            taken = desk.stream.warm(size)
        desk.expect(taken)
        return taken

    def reset(self) -> None:
        """Forget earlier frames before the next one, as where a camera comes back.

        One that waits is dropped, for it belongs to them.
        """
        self._desk.reset()

    def submit(
        self, frame: Image, *, background: Image | None = None, taken: int | None = None
    ) -> None:
        """Hand in a camera's next frame and return at once.

        frame:      as a Stream takes it; copied, so that the camera may go on writing there.
        background: as a Stream takes it, for this frame and those after it; not copied.
        taken:      when the camera took it, by time.perf_counter_ns(), from when on its age counts;
                    None for now.

        Raises TypeError and ValueError for a frame that is none, what an earlier frame raised, and
        ValueError once the stream is closed.
        """
        start = perf_counter_ns()
        desk = self._desk
        desk.stream.require_frame(frame)
        slot = desk.free_slot()
        slot.start = start if taken is None else taken
        slot.background = background
        slot.hold(frame)
        desk.hand_in(slot)

    def latest(self, *, wait_ms: float = 0) -> Matte | None:
        """Return the newest matte that was not taken yet, None where there is none.

        wait_ms: how long to wait for one.

        It is good until the next one is taken: copy what you keep.
        Raises what a frame raised, in the words of Stream.
        """
        taken = self._desk.take(wait_ms / 1e3, self._lent)
        if taken is None:
            return None
        self._lent = taken
        return taken.matte

    @property
    def taken(self) -> int:
        """When the frame of the matte that latest() gave last was taken, by perf_counter_ns()."""
        return 0 if self._lent is None else self._lent.start

    def close(self) -> None:
        """Finish the frame that is being worked on, drop the rest, and end the thread."""
        self._stop()

    @property
    def deadline_ms(self) -> float:
        """The age at which a matte is of no use any more; it may be set anew at any time."""
        return self._desk.deadline / 1e6

    @deadline_ms.setter
    def deadline_ms(self, deadline_ms: float) -> None:
        self._desk.deadline = _deadline_of(deadline_ms)

    @property
    def work_ms(self) -> float:
        """What the work on a frame takes of late, in milliseconds; 0 before the first."""
        return self._desk.expected / 1e6

    @property
    def counts(self) -> tuple[int, int]:
        """Frames submitted, and those of them that were dropped."""
        desk = self._desk
        with desk.lock:
            return desk.submitted, desk.dropped

    @property
    def stats(self) -> StreamStats:
        """As of a Stream; frames are those submitted, of which some may still be under way."""
        stats = self._desk.stream.stats
        frames, dropped = self.counts
        return replace(stats, frames=frames, dropped=dropped)


@dataclass
class _Slot:
    """A frame and, later, its matte, in memory of its own."""

    frame: Image = field(default_factory=lambda: np.empty((0, 0, 0), np.uint8))
    buffers: Buffers = field(default_factory=lambda: Buffers((0, 0)))
    background: Image | None = None
    start: int = 0
    afresh: bool = False
    matte: Matte | None = None

    def hold(self, frame: Image) -> None:
        if self.frame.shape != frame.shape:
            self.frame = np.empty(frame.shape, np.uint8)
            self.buffers = Buffers(frame.shape[:2])
        np.copyto(self.frame, frame)


class _Desk:
    """What both sides share: at most one frame waits, one is worked on, one matte is ready.

    With one that was taken and one that is being handed in that makes five slots, and no more.
    """

    def __init__(self, stream: Stream, deadline: int) -> None:
        self.stream = stream
        self.lock = threading.Lock()
        #: Held by whoever uses the stream.
        self.turn = threading.Lock()
        self.submitted = self.dropped = 0
        self.deadline = deadline
        #: Of the work on one frame, in nanoseconds, averaged over some ten of them.
        self.expected = 0.0
        self._changed = threading.Condition(self.lock)
        self._free: list[_Slot] = []
        self._waiting: _Slot | None = None
        self._ready: _Slot | None = None
        self._error: BaseException | None = None
        self._afresh = False
        self._closed = False

    def expect(self, milliseconds: float) -> None:
        self.expected = milliseconds * 1e6

    def reset(self) -> None:
        with self.lock:
            self._afresh = True
            self._drop(self._waiting)
            self._waiting = None

    def free_slot(self) -> _Slot:
        with self.lock:
            self._raise()
            if self._closed:
                raise ValueError("submit: the stream is closed")
            return self._free.pop() if self._free else _Slot()

    def hand_in(self, slot: _Slot) -> None:
        with self.lock:
            self.submitted += 1
            self._drop(slot if self._closed else self._waiting)
            if not self._closed:
                self._waiting = slot
            self._changed.notify_all()

    def take(self, seconds: float, lent: _Slot | None) -> _Slot | None:
        with self.lock:
            self._changed.wait_for(
                lambda: self._ready is not None or self._error is not None or self._closed,
                seconds,
            )
            self._raise()
            taken, self._ready = self._ready, None
            if taken is not None and lent is not None:
                if lent.matte is not None:
                    lent.matte.expire()
                self._free.append(lent)
            return taken

    def work(self) -> None:
        """Run in the thread until closed."""
        with self.stream:
            while True:
                slot = self._next()
                if slot is None:
                    return
                start = perf_counter_ns()
                try:
                    with self.turn:
                        if slot.afresh:
                            self.stream.reset()
                        matte = self.stream(slot.frame, background=slot.background)
                        # The stream's own memory serves the next frame, the slot's is this one's.
                        slot.matte = matte.moved_to(slot.buffers, colours=slot.frame.shape[2] > 3)
                except BaseException as error:
                    with self.lock:
                        self._error = error
                        self._drop(slot)
                        self._changed.notify_all()
                    continue
                taken = perf_counter_ns() - start
                self.expected += 0.1 * (taken - self.expected)
                self._finish(slot)

    def close(self) -> None:
        with self.lock:
            self._closed = True
            self._drop(self._waiting)
            self._waiting = None
            self._changed.notify_all()

    def _next(self) -> _Slot | None:
        with self.lock:
            while True:
                self._changed.wait_for(lambda: self._waiting is not None or self._closed)
                slot, self._waiting = self._waiting, None
                # Work that takes too long by itself would not be tried again otherwise.
                ahead = self.expected if self.expected < self.deadline else 0.0
                if slot is None:
                    return None
                if not self._late(slot, ahead):
                    slot.afresh, self._afresh = self._afresh, False
                    return slot
                self._drop(slot)

    def _finish(self, slot: _Slot) -> None:
        with self.lock:
            if self._late(slot):
                self._drop(slot)
                return
            self.stream.clock.record("latency", slot.start)
            self._drop(self._ready)
            self._ready = slot
            self._changed.notify_all()

    def _late(self, slot: _Slot, ahead: float = 0.0) -> bool:
        return perf_counter_ns() - slot.start + ahead > self.deadline

    def _drop(self, slot: _Slot | None) -> None:
        if slot is not None:
            self.dropped += 1
            self._free.append(slot)

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


def _stop(desk: _Desk, thread: threading.Thread) -> None:
    desk.close()
    thread.join()


def _deadline_of(milliseconds: object) -> int:
    """Return a deadline in nanoseconds."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, (int, float)):
        raise TypeError(
            f"deadline_ms: expected a number or None, got {type(milliseconds).__name__}"
        )
    if not 0 < milliseconds < float("inf"):
        raise ValueError(f"deadline_ms: expected more than 0, got {milliseconds!r}")
    return round(milliseconds * 1e6)
