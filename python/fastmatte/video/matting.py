"""Matting: what becomes of each frame between the reader and the writer."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np

from fastmatte import kernels
from fastmatte.buffers import Buffers
from fastmatte.matte import Matte
from fastmatte.stream import Stream
from fastmatte.video.ahead import Ahead
from fastmatte.video.backgrounds import Scene
from fastmatte.video.frames import Frame, Pool

What = Literal["composite", "alpha", "foreground", "cutout"]
CHANNELS = {"alpha": 1, "composite": 3, "foreground": 3, "cutout": 4}


class Matting:
    """Makes of each frame what was asked for.

    scene:      what is behind a composite.
    every:      the network sees each so many-th frame; those between have the alpha of the one
                before them and their own colours.
    checkpoint: after how many frames to tell what the stream remembers.
    origin:     pts at which the scene begins; None for the first frame's.
    ahead:      what shows the network its frames before they are called for; None where the stream
                does it, in order.
    """

    def __init__(
        self,
        stream: Stream,
        what: What,
        scene: Scene | None,
        *,
        linear_light: bool,
        every: int,
        checkpoint: int | None,
        origin: int | None,
        time_base: Fraction,
        threads: int,
        ahead: Ahead | None = None,
    ) -> None:
        self._stream = stream
        self._what = what
        self._scene = scene
        self._linear_light = linear_light
        self._every = every
        self._checkpoint = checkpoint
        self._origin = origin
        self._time_base = time_base
        self._threads = threads
        self._ahead = ahead
        self._seen: Matte | None = None
        self._held = Buffers((0, 0))

    def begin(self, frame: Frame) -> None:
        """Let the network see a frame that will be called for in its turn."""
        if self._ahead is not None and frame.index % self._every == 0:
            frame.seen = self._ahead.submit(frame.pixels)

    def __call__(self, frame: Frame, pool: Pool) -> Frame:
        """Return the frame as it is written."""
        memory = None
        if self._checkpoint is not None and frame.index % self._checkpoint == 0:
            memory = self._stream.memory() or None
        matte = self._matte(frame)
        size = frame.pixels.shape[:2]
        if self._what == "composite":
            assert self._scene is not None
            if self._origin is None:
                self._origin = frame.pts
            behind = self._scene.at((frame.pts - self._origin) * self._time_base)
            pixels = matte.composite(behind, linear_light=self._linear_light, out=frame.pixels)
        elif self._what == "foreground":
            pixels = frame.pixels
            np.copyto(pixels, matte.foreground)
        elif self._what == "alpha":
            pixels = pool.take(size)
            kernels.quantise(matte.alpha, out=pixels, threads=self._threads)
        else:
            pixels = matte.cutout(out=pool.take((*size, 4)))
        if pixels is not frame.pixels:
            pool.give(frame.pixels)
        return Frame(pixels, frame.index, frame.pts, frame.duration, memory)

    def _matte(self, frame: Frame) -> Matte:
        if frame.seen is not None:
            self._seen = self._stream.finish(frame.pixels, frame.seen.result())
            return self._seen
        if frame.index % self._every == 0 or self._seen is None:
            self._seen = self._stream(frame.pixels)
            return self._seen
        size = frame.pixels.shape[:2]
        if self._held.size != size:
            self._held = Buffers((size[0], size[1]))
        return Matte(frame.pixels, self._seen.alpha, self._held, threads=self._threads)
