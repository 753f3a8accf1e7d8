"""Stream: the frames of one video or camera, in order, through buffers made once."""

from __future__ import annotations

from types import TracebackType

import numpy as np

from fastmatte.arrays import Alpha, Image, PixelFormat
from fastmatte.buffers import Buffers
from fastmatte.clock import StageClock, StreamStats
from fastmatte.matte import Matte
from fastmatte.models.family import Runner
from fastmatte.pipeline import Pipeline, colour_order, colours_of


class Stream:
    """Frames in, mattes out; belongs to one thread at a time. Made by Matter.stream().

    Keeps the recurrent state of networks that have one, and reuses every buffer: a matte is good
    until the next frame, so copy what you keep. The state starts afresh when frames change size.
    """

    def __init__(self, pipeline: Pipeline, pixel_format: PixelFormat) -> None:
        self._pipeline = pipeline
        self._pixel_format = pixel_format
        self._order = colour_order(pixel_format)
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

    def __call__(self, frame: Image) -> Matte:
        """Return the matte of the next frame, good until the one after it.

        frame: (H, W, C) uint8 as the stream's pixel_format says. It is kept, not copied: change it
               only once its matte is done with.

        Raises as calling a Matter does.
        """
        colours = colours_of(frame, self._pixel_format, self._buffers_for(frame))
        if self._runner is None:
            self._runner = self._pipeline.runner(self._pipeline.input_size(self._buffers.size))
        alpha: Alpha = self._buffers.get("alpha", np.float32)
        if self._matte is not None:
            self._matte.expire()
        self._pipeline.run(self._runner, colours, self._order, alpha, self._clock)
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
        if self._runner is not None:
            self._runner.reset()

    @property
    def stats(self) -> StreamStats:
        """Frames so far, and p50, p95 and p99 of each stage in milliseconds."""
        return self._clock.stats()

    def _buffers_for(self, frame: Image) -> Buffers:
        size = frame.shape[:2] if isinstance(frame, np.ndarray) and frame.ndim == 3 else (0, 0)
        if size != self._buffers.size:
            self._buffers = Buffers(size)
            self._runner = None
        return self._buffers
