"""Webcam: a camera through a network, always its newest matte; live(): that, shown somewhere.

Three threads: one waits for the camera, one has the network, and the caller's composites and shows.
Nothing queues between them, so nothing can be late for longer than its deadline.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from time import perf_counter_ns
from typing import Literal

import numpy as np

from fastmatte import kernels
from fastmatte.arrays import Image, Size
from fastmatte.clock import Percentiles, StageClock, StreamStats
from fastmatte.errors import VideoError
from fastmatte.live import LiveStream
from fastmatte.matte import Background, Matte, cover
from fastmatte.matter import Matter
from fastmatte.shots import SceneSkip
from fastmatte.smoothing import SmoothingName
from fastmatte.video.backgrounds import scene_of
from fastmatte.video.cameras import Camera
from fastmatte.video.frames import Frame, Pool, Sink, Source
from fastmatte.video.matting import CHANNELS, What
from fastmatte.video.processing import Smoothed

State = Literal["live", "lost", "ended"]

#: Where no deadline is asked for, a matte may be as old as this many periods of the camera, for
#: then its successor is as good as there; and this many times what a frame takes of late, so that
#: a slow or busy machine shows something.
PERIODS, TIMES = 1.1, 1.5
#: The longest period that counts, in milliseconds: a camera in the dark may take 200.
LONGEST_PERIOD = 90.0
#: Seconds without a frame after which a camera counts as lost; one in the dark gives five a second.
STALL = 2.0
#: Seconds from an attempt to open a camera again to the next: doubled each time, up to the last.
WAITS = (0.25, 4.0)
#: Seconds that close() waits for a camera that gives no frame; its thread ends with the next.
PATIENCE = 2.0
#: Seconds after which a picture is shown again where there is no newer one, and that a status is
#: told after, and over which it counts frames.
AGAIN, TELL, SPAN = 0.2, 0.5, 2.0


class Webcam:
    """A camera and a network, from the first frame on as fast as they will ever be.

        with fm.video.Webcam(fm.video.Device(0), matter, deadline_ms=60) as webcam:
            while webcam.state != "ended":
                matte = webcam.latest(wait_ms=100)
                if matte is not None:
                    matte.composite(background, out=canvas)

    camera:      a Device, a Recording, Drawn(), or whatever opens as they do.
    matter:      the network, run and ready for the camera's size before the first frame.
    deadline_ms: as Matter.stream() has it; None for 1.1 periods of the camera or, where that is
                 more, 1.5 times what a frame takes of late.
    plate:       (H, W, 3) the scene without its subject, for networks that need it.
    align, smoothing, skip: as Matter.stream() has them.

    Nothing queues. A camera that is gone, or gives no frame for two seconds, is state "lost": it is
    opened again and again, and what was remembered of earlier frames is forgotten when it is back.
    Frames keep the size of the first: others are scaled to cover it and cropped around their
    centre, so that whoever shows them need not care.

    Raises VideoError and OSError where the camera cannot be opened at first, and what making the
    stream raises.
    """

    def __init__(
        self,
        camera: Camera,
        matter: Matter,
        *,
        deadline_ms: float | None = None,
        plate: Image | None = None,
        align: bool = False,
        smoothing: SmoothingName = "auto",
        skip: SceneSkip | None = None,
    ) -> None:
        stream = matter.stream(background=plate, align=align, smoothing=smoothing, skip=skip)
        # What is wrong with the deadline is said before the camera's light goes on.
        self._live = LiveStream(stream, LONGEST_PERIOD if deadline_ms is None else deadline_ms)
        self._camera = camera
        self._lock = threading.Lock()
        self._closed, self._ended = threading.Event(), threading.Event()
        self._ready = False
        self._error: BaseException | None = None
        self._lost: str | None = None
        self._times_lost = 0
        self._notes: list[str] = []
        try:
            source = camera.open()
        except BaseException:
            self._live.close()
            raise
        self._last = perf_counter_ns()
        self.format = source.format
        #: (height, width) of every frame.
        self.size: Size = source.format.size
        self._fitted: Image = np.empty((*self.size, 3), np.uint8)
        # It is read from now on: what waits in it while the network is made ready would be old.
        self._thread = threading.Thread(
            target=self._capture, args=(source,), name="fastmatte-camera", daemon=True
        )
        self._thread.start()
        try:
            #: Milliseconds that a frame takes at least.
            self.warm_ms = self._live.warm(self.size)
        except BaseException:
            self.close()
            raise
        self._period: float | None = None
        if deadline_ms is None:
            self._period = min(1e3 / float(self.format.rate), LONGEST_PERIOD)
        elif self.warm_ms > deadline_ms:
            self._note(
                f"a frame takes {self.warm_ms:.0f} ms, longer than its deadline of "
                f"{deadline_ms:g} ms: hardly any will be shown"
            )
        self._ready = True

    def __enter__(self) -> Webcam:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def latest(self, *, wait_ms: float = 0) -> Matte | None:
        """Return the newest matte that was not taken yet, None where there is none.

        wait_ms: how long to wait for one.

        It is good until the next one is taken. Raises what a frame raised, once.
        """
        matte = self._live.latest(wait_ms=wait_ms)
        if matte is None:
            with self._lock:
                error, self._error = self._error, None
            if error is not None:
                raise error
        return matte

    def close(self) -> None:
        """Let go of the camera, and end both threads."""
        self._closed.set()
        self._thread.join(PATIENCE)
        self._live.close()

    @property
    def deadline_ms(self) -> float:
        """The age at which a matte is of no use any more, at this moment."""
        return self._live.deadline_ms

    @property
    def taken(self) -> int:
        """When the camera took the frame of the latest matte, by time.perf_counter_ns()."""
        return self._live.taken

    @property
    def state(self) -> State:
        """ "live"; "lost" while the camera is gone; "ended" where a file is at its end."""
        if self._ended.is_set():
            return "ended"
        return "live" if self.reason is None else "lost"

    @property
    def reason(self) -> str | None:
        """Why the camera is lost, None where it is not."""
        with self._lock:
            if self._lost is not None:
                return self._lost
            silent = (perf_counter_ns() - self._last) / 1e9
        if silent > STALL and not self._ended.is_set():
            return f"{self._camera.name}: no frame for {silent:.0f} s"
        return None

    @property
    def times_lost(self) -> int:
        """How often the camera was gone."""
        return self._times_lost

    @property
    def notes(self) -> list[str]:
        """What somebody should know, one sentence each."""
        with self._lock:
            return list(self._notes)

    @property
    def counts(self) -> tuple[int, int]:
        """Frames that the camera gave, and those of them that were dropped."""
        return self._live.counts

    @property
    def stats(self) -> StreamStats:
        """As of a LiveStream; "latency" counts from when the camera took a frame."""
        return self._live.stats

    def _capture(self, source: Source) -> None:
        """Run in the thread until closed, or until a file ends."""
        pool = Pool()
        opened: Source | None = source
        try:
            while opened is not None:
                reason = self._read(opened, pool)
                opened = None
                if reason is not None and not self._closed.is_set():
                    with self._lock:
                        self._times_lost += self._lost is None
                        self._lost = reason
                    opened = self._reopened()
        except BaseException as error:
            with self._lock:
                self._error = error
        self._ended.set()

    def _read(self, source: Source, pool: Pool) -> str | None:
        """Hand on all frames of one opening; return why they ended, None where that is all."""
        try:
            while not self._closed.is_set():
                frame = source.read(pool)
                if frame is None:
                    break
                self._hand_in(frame)
                pool.give(frame.pixels)
        except (VideoError, OSError) as error:
            if not self._camera.returns:
                raise
            return str(error)
        finally:
            source.close()
        return f"{self._camera.name}: it gives no more frames" if self._camera.returns else None

    def _reopened(self) -> Source | None:
        """Try until the camera is there again; None once closed."""
        wait, longest = WAITS
        while not self._closed.wait(wait):
            try:
                return self._camera.open()
            except (VideoError, OSError) as error:
                with self._lock:
                    self._lost = str(error)
            wait = min(2 * wait, longest)
        return None

    def _hand_in(self, frame: Frame) -> None:
        back = self.reason is not None
        with self._lock:
            # One that gave frames and then none, without an error.
            self._times_lost += back and self._lost is None
            self._last, self._lost = perf_counter_ns(), None
        if back:
            self._live.reset()
        if not self._ready or self._closed.is_set():
            return
        pixels = frame.pixels
        size = pixels.shape[0], pixels.shape[1]
        if size != self.size:
            pixels = cover(pixels, self._fitted, threads=1)
            self._note(
                f"the camera came back with {size[1]}x{size[0]}: scaled to the "
                f"{self.size[1]}x{self.size[0]} it had, and cropped"
            )
        if self._period is not None:
            self._live.deadline_ms = max(PERIODS * self._period, TIMES * self._live.work_ms)
        self._live.submit(pixels, taken=frame.taken or None)

    def _note(self, text: str) -> None:
        with self._lock:
            if text not in self._notes:
                self._notes.append(text)


@dataclass(frozen=True)
class Status:
    """How a camera is doing at a moment.

    state:   "live", "lost" or "ended".
    reason:  why it is lost.
    seconds: since it was ready.
    frames:  that it gave.
    shown:   of them.
    dropped: that were late, or overtaken by newer ones.
    frames_per_second, shown_per_second: over the last two seconds.
    latency: milliseconds from the camera until a frame was shown; None before the first.
    """

    state: State
    reason: str | None
    seconds: float
    frames: int
    shown: int
    dropped: int
    frames_per_second: float
    shown_per_second: float
    latency: Percentiles | None


@dataclass(frozen=True)
class LiveSummary:
    """What became of a camera's frames.

    camera:      its name.
    size:        (height, width) of what was shown.
    seconds:     from when all was ready to the end.
    frames:      that the camera gave.
    shown:       of them.
    dropped:     that were late, or overtaken by newer ones.
    lost:        how often the camera was gone.
    frames_per_second: that it gave.
    shown_per_second: that were shown.
    deadline_ms: that the last frame had.
    warm_ms:     that a frame took at least, when all was made ready.
    stages:      milliseconds over the last 4096 frames, as a LiveStream's stats have them; "shown"
                 is from the camera until a frame was shown, all of the others within it.
    notes:       what somebody should know, one sentence each.
    """

    camera: str
    size: Size
    seconds: float
    frames: int
    shown: int
    dropped: int
    lost: int
    frames_per_second: float
    shown_per_second: float
    deadline_ms: float
    warm_ms: float
    stages: dict[str, Percentiles]
    notes: tuple[str, ...]


def live(
    camera: Camera,
    sink: Sink | None,
    matter: Matter,
    *,
    what: What = "composite",
    background: Background | str | None = None,
    linear_light: bool = False,
    deadline_ms: float | None = None,
    seconds: float | None = None,
    plate: Image | None = None,
    align: bool = False,
    smoothing: Smoothed = "auto",
    tell: Callable[[Status], None] | None = None,
    stop: threading.Event | None = None,
) -> LiveSummary:
    """Cut the subject out of a camera's frames and show them, until told to stop.

    camera:      a Device, a Recording, Drawn(), or whatever opens as they do.
    sink:        where frames go: a VirtualCamera, a RawSink; None to measure only.
    what, background, linear_light, plate, align, smoothing: as process() has them.
    deadline_ms: the age at which a frame is dropped; None for a Webcam's own.
    seconds:     when to end; None for never.
    tell:        called twice a second, and when the camera goes or comes back.
    stop:        set it to end.

    While the camera is gone, or all frames are late, the last picture is shown on.
    Raises ValueError and TypeError for bad arguments, VideoError and OSError for a camera or sink
    that cannot be used, and what frames raise.
    """
    if what not in CHANNELS:
        raise ValueError(f"what: expected one of {', '.join(map(repr, CHANNELS))}, got {what!r}")
    if (what == "composite") != (background is not None):
        raise ValueError(
            f"background: expected one for a composite and None for all else, got {background!r} "
            f"with what={what!r}"
        )
    if linear_light and what != "composite":
        raise ValueError("linear_light: expected False, for it is about a composite")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"seconds: expected more than 0, got {seconds!r}")
    stop = stop or threading.Event()
    with Webcam(
        camera, matter, deadline_ms=deadline_ms, plate=plate, align=align, smoothing=smoothing
    ) as webcam:
        scene = None
        try:
            if background is not None:
                scene = scene_of(background, webcam.size, eight_bit=True)
            show = _Show(webcam, what, sink, linear_light=linear_light, threads=matter.info.threads)
            begin = perf_counter_ns()
            watch = _Watch(show, begin, tell)
            while not stop.is_set():
                elapsed = (perf_counter_ns() - begin) / 1e9
                if seconds is not None and elapsed >= seconds:
                    break
                matte = webcam.latest(wait_ms=1e3 * min(AGAIN, (seconds or elapsed + 1) - elapsed))
                if matte is not None:
                    show.new(matte, None if scene is None else scene.at(_moment(elapsed)))
                elif webcam.state == "ended":
                    break
                else:
                    show.again()
                watch.look()
            watch.look(last=True)
            if sink is not None:
                sink.finish()
        except BaseException:
            if sink is not None:
                sink.abandon()
            raise
        finally:
            if scene is not None:
                scene.close()
        taken = (perf_counter_ns() - begin) / 1e9
        stats = webcam.stats
        notes = [*webcam.notes, *(sink.notes if sink is not None else [])]
    return LiveSummary(
        camera=camera.name,
        size=webcam.size,
        seconds=taken,
        frames=stats.frames,
        shown=show.count,
        dropped=stats.dropped,
        lost=webcam.times_lost,
        frames_per_second=stats.frames / taken,
        shown_per_second=show.count / taken,
        deadline_ms=webcam.deadline_ms,
        warm_ms=webcam.warm_ms,
        stages={**stats.stages, **show.clock.stats().stages},
        notes=tuple(dict.fromkeys(notes)),
    )


class _Show:
    """Makes pictures of mattes, in one array again and again, and shows them."""

    def __init__(
        self, webcam: Webcam, what: What, sink: Sink | None, *, linear_light: bool, threads: int
    ) -> None:
        self.webcam = webcam
        self.clock = StageClock()
        self.count = 0
        self._what = what
        self._sink = sink
        self._linear_light = linear_light
        self._threads = threads
        channels = CHANNELS[what]
        shape = webcam.size if channels == 1 else (*webcam.size, channels)
        self._picture: Image = np.empty(shape, np.uint8)

    def new(self, matte: Matte, behind: Background | None) -> None:
        """Show the picture of a new matte."""
        picture = self._picture
        if self._what == "composite":
            assert behind is not None
            matte.composite(behind, linear_light=self._linear_light, out=picture)
        elif self._what == "alpha":
            kernels.quantise(matte.alpha, out=picture, threads=self._threads)
        elif self._what == "cutout":
            matte.cutout(out=picture)
        else:
            np.copyto(picture, matte.foreground)
        self.count += 1
        self._write()
        self.clock.record("shown", self.webcam.taken)

    def again(self) -> None:
        """Show the last picture on: whoever looks may take silence for the end."""
        if self.count:
            self._write()

    def _write(self) -> None:
        if self._sink is not None:
            start = perf_counter_ns()
            taken = self.webcam.taken
            self._sink.write(Frame(self._picture, self.count - 1, taken // 10**6, taken=taken))
            self.clock.record("write", start)


class _Watch:
    """Tells somebody how it goes, now and then."""

    def __init__(self, show: _Show, begin: int, tell: Callable[[Status], None] | None) -> None:
        self._show = show
        self._begin = begin
        self._tell = tell
        self._state: State = "live"
        #: (seconds, frames, shown) of the last statuses.
        self._counts = deque([(0.0, 0, 0)], maxlen=round(SPAN / TELL) + 1)

    def look(self, *, last: bool = False) -> None:
        """Tell, if it is time to."""
        if self._tell is None:
            return
        webcam = self._show.webcam
        seconds = (perf_counter_ns() - self._begin) / 1e9
        state = webcam.state
        if not last and state == self._state and seconds < self._counts[-1][0] + TELL:
            return
        self._state = state
        frames, dropped = webcam.counts
        shown = self._show.count
        before, had, showed = self._counts[0]
        self._counts.append((seconds, frames, shown))
        span = max(seconds - before, 1e-3)
        self._tell(
            Status(
                state,
                webcam.reason,
                seconds,
                frames,
                shown,
                dropped,
                (frames - had) / span,
                (shown - showed) / span,
                self._show.clock.of("shown"),
            )
        )


def _moment(seconds: float) -> Fraction:
    """Return a moment of a video behind, in whole milliseconds: fractions of clocks grow long."""
    return Fraction(round(1000 * seconds), 1000)
