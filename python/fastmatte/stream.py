"""Stream: the frames of one video or camera, in order, through buffers made once."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from types import TracebackType
from typing import Literal

import numpy as np

from fastmatte import _core, kernels
from fastmatte.arrays import Image, PixelFormat, Size
from fastmatte.buffers import Buffers
from fastmatte.clock import StageClock, StreamStats
from fastmatte.guidance import make_trimap
from fastmatte.matte import Matte
from fastmatte.models.family import Runner
from fastmatte.pipeline import Pipeline, colour_order, colours_of
from fastmatte.shots import ShotDetector


class Stream:
    """Frames in, mattes out; belongs to one thread at a time. Made by Matter.stream().

    Keeps the recurrent state of networks that have one, and reuses every buffer: a matte is good
    until the next frame, so copy what you keep. The state starts afresh when frames change size,
    and where a shot ends.
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
        self._shots = ShotDetector() if pipeline.family.recurrent and cuts == "reset" else None
        self._clock = StageClock()
        self._buffers = Buffers((0, 0))
        self._runner: Runner | None = None
        self._matte: Matte | None = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runner = None
        if self._coarse is not None:
            self._coarse[0].__exit__(kind, error, traceback)

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
        # First of all: what is no frame is no frame of another size, which would forget the others.
        _core.require_image(frame, "image", len(self._pixel_format))
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
                self._clock.record("align", start)
        ended = self._shots is not None and self._shots.ended(colours)
        if ended:
            self._follow()
        if self._runner is None:
            size = self._buffers.size
            self._runner = self._pipeline.runner(self._pipeline.input_size(size), size)
        elif ended:
            self._runner.reset()
        if self._matte is not None:
            self._matte.expire()
        try:
            alpha = self._pipeline.lend(
                self._runner, colours, self._order, guidance, self._buffers, self._clock
            )
        except BaseException:
            # It may hold a state that is not a number, or half of another background.
            self._runner = self._fed = None
            raise
        self._background = self._fed = background
        self._clock.frames += 1
        own = self._runner.foreground
        self._matte = Matte(
            colours,
            alpha,
            self._buffers,
            tensor=own if own is not None and own.shape[2:] == alpha.shape else None,
            order=self._order,
            threads=self._pipeline.threads,
            clock=self._clock,
        )
        return self._matte

    def reset(self) -> None:
        """Forget earlier frames, as after a cut; only networks with recurrent state notice."""
        self._follow()
        if self._runner is not None:
            self._runner.reset()
        if self._coarse is not None:
            self._coarse[0].reset()

    @property
    def stats(self) -> StreamStats:
        """Frames so far, and p50, p95 and p99 of each stage in milliseconds."""
        return self._clock.stats()

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
        self._clock.record("trimap", start)
        return trimap

    def _buffers_for(self, size: Size) -> Buffers:
        if size != self._buffers.size:
            self._buffers = Buffers(size)
            self._runner = self._fed = None
        return self._buffers
