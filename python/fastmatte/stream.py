"""Stream: the frames of one video or camera, in order, through buffers made once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from time import perf_counter_ns
from typing import Literal

import numpy as np

from fastmatte import _core, kernels
from fastmatte.arrays import Alpha, Array, Image, PixelFormat, Size, Tensor
from fastmatte.buffers import Buffers
from fastmatte.clock import StageClock, StreamStats
from fastmatte.guidance import make_trimap
from fastmatte.matte import Matte
from fastmatte.models.family import Recurrent, Runner
from fastmatte.pipeline import Pipeline, colour_order, colours_of
from fastmatte.shots import SceneSkip, ShotDetector, StillDetector
from fastmatte.smoothing import (
    Delayed,
    MotionAdaptive,
    MotionAdaptiveFilter,
    OneFrameDelayFilter,
    Smoothing,
    SmoothingName,
    chosen_smoothing,
)

#: The first run makes what is missing, the second still fills caches, and of the others the
#: quickest is what a frame takes where nothing disturbs it.
WARM_RUNS = 5


class Stream:
    """Frames in, mattes out; belongs to one thread at a time. Made by Matter.stream().

    Keeps the recurrent state of networks that have one, and what smoothing remembers, and reuses
    every buffer: a matte is good until the next frame, so copy what you keep. All of it starts
    afresh when frames change size, and where a shot ends.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        pixel_format: PixelFormat,
        background: Image | None,
        cuts: Literal["reset", "ignore"],
        coarse: tuple[Stream, float] | None = None,
        *,
        align: bool = False,
        newest: Callable[[], Pipeline] | None = None,
        smoothing: SmoothingName | Smoothing = "none",
        skip: SceneSkip | None = None,
    ) -> None:
        """Make a stream; coarse is one that trimaps are made from, and how wide their band is.

        newest: tells which pipeline serves now, where another may take over.
        """
        if cuts not in ("reset", "ignore"):
            raise ValueError(f"cuts: expected 'reset' or 'ignore', got {cuts!r}")
        self._pipeline = pipeline
        self._newest = newest or (lambda: pipeline)
        self._pixel_format = pixel_format
        self._order = colour_order(pixel_format)
        self._coarse = coarse
        if align:
            pipeline.require_background("align")
        self._align = align
        self._background = background
        if background is not None:
            # One that no network will ask for, or that is no image, is said before the first frame.
            _core.require_image(background, "background", len(pixel_format))
            pipeline.guidance(None, background, background.shape[:2], pixel_format)
        self._fed: Image | None = None
        chosen = chosen_smoothing(smoothing, _default_smoothing(pipeline))
        threads = pipeline.threads
        self._steady: MotionAdaptiveFilter | None = None
        self._delay: OneFrameDelayFilter | None = None
        if isinstance(chosen, MotionAdaptive):
            self._steady = chosen.filter(threads=threads)
        elif chosen is not None:
            self._delay = chosen.filter(threads=threads)
        if skip is not None and not isinstance(skip, SceneSkip):
            raise TypeError(f"skip: expected a SceneSkip or None, got {type(skip).__name__}")
        self._still = None if skip is None else StillDetector(skip, threads)
        remembers = pipeline.family.recurrent or chosen is not None or skip is not None
        self._shots = ShotDetector() if remembers and cuts == "reset" else None
        self.clock = StageClock()
        self._buffers = Buffers((0, 0))
        self._runner: Runner | None = None
        self._recalled: Mapping[str, Array] | None = None
        self._matte: Matte | None = None
        # Whether the frame waiting for its successor belongs to another shot or size.
        self._afresh = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self._runner = None
        if self._coarse is not None:
            self._coarse[0].__exit__(*error)

    def __call__(
        self, frame: Image, *, trimap: Image | None = None, background: Image | None = None
    ) -> Matte:
        """Return the matte of the next frame, good until the one after it.

        frame:      (H, W, C) uint8 as the stream's pixel_format says. It is kept, not copied:
                    change it only once its matte is done with.
        trimap:     of this frame, as calling a Matter takes it; it goes before one that the Matter
                    would make.
        background: the scene without its subject, for this frame and those after it; None for the
                    one before. Give another array for another scene: what lies in the one there
                    was is read once.

        Raises as calling a Matter does. Where network or output failed, the state starts afresh.
        """
        if self._delay is not None:
            raise ValueError(
                "smoothing: one-frame delay gives each matte a frame late; take them from mattes()"
            )
        return self._matte_of(*self._run(frame, trimap, background))

    def finish(self, frame: Image, seen: Alpha) -> Matte:
        """Return the matte of the next frame from an alpha of it, without the network.

        seen: what a network without memory made of this frame already, or what was carried to it
              from the frame before; as own_alpha has it, and good as long as the matte.
        """
        self.require_frame(frame)
        colours = colours_of(frame, self._pixel_format, self._buffers_for(frame.shape[:2]))
        self._recall(None)
        if self._shots is not None and self._shots.ended(colours):
            self._forget()
            if self._runner is not None:
                self._runner.reset()
        if self._matte is not None:
            self._matte.expire()
        alpha = self._pipeline.finish(seen, colours, None, self._buffers, self.clock)
        self.clock.frames += 1
        return self._matte_of(colours, alpha, None)

    def _matte_of(
        self, colours: Image, alpha: Alpha, own: Tensor | Callable[[], Tensor] | None
    ) -> Matte:
        if self._steady is not None:
            start = perf_counter_ns()
            alpha = self._steady(colours, alpha)
            self.clock.record("smooth", start)
        self._matte = Matte(
            colours,
            alpha,
            self._buffers,
            tensor=own,
            order=self._order,
            threads=self._pipeline.threads,
            clock=self.clock,
        )
        return self._matte

    def mattes(self, frames: Iterable[Image]) -> Iterator[Matte]:
        """Return the mattes of frames, one for each and in order, each good until the next.

        frames: as calling the stream takes them. With one-frame delay each is taken before the
                matte of the one before it is given, and copied.

        Raises as calling a Matter does.
        """
        if self._delay is None:
            for frame in frames:
                yield self(frame)
            return
        self._delay.flush()
        for frame in frames:
            colours, alpha, own = self._run(frame, None, None)
            if self._afresh:
                yield from self._last(self._delay.flush())
                self._afresh = False
            start = perf_counter_ns()
            tensor = own() if callable(own) else own
            earlier = self._delay(colours, alpha, tensor, self._order)
            self.clock.record("smooth", start)
            yield from self._last(earlier)
        yield from self._last(self._delay.flush())

    def _run(
        self, frame: Image, trimap: Image | None, background: Image | None
    ) -> tuple[Image, Alpha, Tensor | Callable[[], Tensor] | None]:
        """Return a frame's colours, its alpha, and the foreground where the network gives it, or
        what fetches it.
        """
        # First of all: what is no frame is no frame of another size, which would forget the others.
        self.require_frame(frame)
        colours = colours_of(frame, self._pixel_format, self._buffers_for(frame.shape[:2]))
        if self._runner is None or not self._pipeline.family.recurrent:
            self._follow()
        if trimap is None and background is None and self._coarse is not None:
            trimap = self._trimap_of(colours, *self._coarse)
        if background is None:
            background = self._background
        guidance = None
        if trimap is not None or background is None or background is not self._fed or self._align:
            start = perf_counter_ns()
            guidance = self._pipeline.guidance(
                trimap,
                background,
                self._buffers.size,
                self._pixel_format,
                self._buffers,
                colours if self._align else None,
            )
            if self._align:
                self.clock.record("align", start)
        ended = self._shots is not None and self._shots.ended(colours)
        if ended:
            self._follow()
            self._forget()
        fresh = self._runner is None
        if self._runner is None:
            size = self._buffers.size
            self._runner = self._pipeline.runner(self._pipeline.input_size(size), size)
            self._recall(self._runner)
        if ended:
            self._runner.reset()
        if self._matte is not None:
            self._matte.expire()
        still = self._still is not None and self._still.still(colours)
        skip = still and guidance is None and not fresh
        try:
            alpha = self._pipeline.lend(
                self._runner, colours, self._order, guidance, self._buffers, self.clock, skip=skip
            )
        except BaseException:
            # It may hold a state that is not a number, or half of another background.
            self._runner = self._fed = None
            self._forget()
            raise
        self._background = self._fed = background
        self.clock.frames += 1
        self.clock.skipped += skip
        return colours, alpha, self._pipeline.own_colours(self._runner, self._buffers.size)

    def _last(self, frame: Delayed | None) -> Iterator[Matte]:
        """Give the matte of a frame that has waited, if there is one."""
        if frame is None:
            return
        if self._matte is not None:
            self._matte.expire()
        self._matte = Matte(
            frame.colours,
            frame.alpha,
            frame.buffers,
            foreground=frame.foreground,
            order=self._order,
            threads=self._pipeline.threads,
            clock=self.clock,
        )
        yield self._matte

    def warm(self, size: Size) -> float:
        """Make ready for frames of a size: load, compile and run the network, and make buffers.

        A first frame would wait for that, for seconds with some engines. Earlier frames are
        forgotten, and nothing is remembered or counted of what runs here.

        size: (height, width).

        Returns the milliseconds that a frame takes at least. Raises as a frame would; ValueError
        for networks that are told a trimap with every frame.
        """
        frame = np.full((*size, len(self._pixel_format)), 128, np.uint8)
        clock, self.clock = self.clock, StageClock()
        taken = []
        try:
            for _ in range(WARM_RUNS):
                start = perf_counter_ns()
                colours, alpha, _ = self._run(frame, None, None)
                if self._steady is not None:
                    self._steady(colours, alpha)
                taken.append(perf_counter_ns() - start)
        finally:
            self.clock = clock
            self.reset()
            if self._shots is not None:
                self._shots.before = None
        return min(taken) / 1e6

    def reset(self) -> None:
        """Forget earlier frames, as after a cut: recurrent state, smoothing, what was skipped."""
        self._follow()
        if self._runner is not None:
            self._runner.reset()
        if self._coarse is not None:
            self._coarse[0].reset()
        self._forget()

    def _forget(self) -> None:
        self._afresh = True
        if self._steady is not None:
            self._steady.reset()
        if self._still is not None:
            self._still.reset()

    def memory(self) -> dict[str, Array]:
        """Copy what is remembered of earlier frames, empty where nothing is.

        A stream made alike that is told it by remember() goes on as this one would, in another
        process too. Raises ValueError for one-frame delay and skipping, which are not told of.
        """
        if self._delay is not None or self._still is not None:
            raise ValueError("memory: expected a stream without one-frame delay and skip")
        found: dict[str, Array] = {}
        if isinstance(self._runner, Recurrent):
            found.update(self._runner.memory())
        if self._shots is not None and self._shots.before is not None:
            found["shot"] = self._shots.before.copy()
        if self._steady is not None:
            found.update({f"smooth.{k}": v for k, v in self._steady.memory().items()})
        if self._coarse is not None:
            found.update({f"coarse.{k}": v for k, v in self._coarse[0].memory().items()})
        return found

    def remember(self, memory: Mapping[str, Array]) -> None:
        """Go on from what memory() gave, with a frame of the same size; before the first frame."""
        # A first frame's size is another one, which forgets all: it is told then.
        self._recalled = memory
        if self._shots is not None:
            self._shots.before = memory.get("shot")
        if self._coarse is not None:
            self._coarse[0].remember(_part(memory, "coarse."))

    def _recall(self, runner: Runner | None) -> None:
        memory, self._recalled = self._recalled, None
        if memory is None:
            return
        if isinstance(runner, Recurrent):
            runner.remember({k: v for k, v in memory.items() if "." not in k and k != "shot"})
        if self._steady is not None:
            self._steady.remember(_part(memory, "smooth."))

    def require_frame(self, frame: Image) -> None:
        """Raise TypeError or ValueError where frame is not what the pixel format says."""
        _core.require_image(frame, "image", len(self._pixel_format))

    @property
    def own_alpha(self) -> Alpha | None:
        """The network's own alpha of the last frame it saw, of whatever size it has, a copy; None
        where alpha also has to follow a trimap.
        """
        if self._runner is None or self._pipeline.family.guidance == "trimap":
            return None
        return self._runner.alpha.copy()

    @property
    def threads(self) -> int:
        """How many threads kernels work with."""
        return self._pipeline.threads

    @property
    def delayed(self) -> bool:
        """Whether mattes come later than their frames."""
        return self._delay is not None

    @property
    def stats(self) -> StreamStats:
        """Frames so far, and p50, p95 and p99 of each stage in milliseconds."""
        return self.clock.stats()

    def _follow(self) -> None:
        """Go over to the pipeline that serves now, which knows nothing of earlier frames."""
        newest = self._newest()
        if newest is not self._pipeline:
            self._pipeline = newest
            self._runner = self._fed = None

    def _trimap_of(self, colours: Image, coarse: Stream, band: float) -> Image:
        start = perf_counter_ns()
        threads = self._pipeline.threads
        # In 255ths, as single images have it: both make the same trimap.
        alpha: Image = self._buffers.get("coarse", np.uint8)
        kernels.quantise(coarse(colours).alpha, out=alpha, threads=threads)
        out: Image = self._buffers.get("trimap", np.uint8)
        trimap = make_trimap(alpha, band, threads, out)
        self.clock.record("trimap", start)
        return trimap

    def _buffers_for(self, size: Size) -> Buffers:
        if size != self._buffers.size:
            self._buffers = Buffers(size)
            self._runner = self._fed = None
            self._forget()
        return self._buffers


def _part(memory: Mapping[str, Array], name: str) -> dict[str, Array]:
    return {k.removeprefix(name): v for k, v in memory.items() if k.startswith(name)}


def _default_smoothing(pipeline: Pipeline) -> Smoothing | None:
    """Return what suits a network: see Matter.stream()."""
    family = pipeline.family
    own = family.recurrent or family.guidance == "trimap" or pipeline.mode == "reference"
    return None if own else MotionAdaptive()
