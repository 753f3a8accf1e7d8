"""Matting: what becomes of each frame between the reader and the writer."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np

from fastmatte import kernels
from fastmatte.arrays import Alpha, Image
from fastmatte.buffers import Buffers
from fastmatte.matte import Matte
from fastmatte.stream import Stream
from fastmatte.video.ahead import Ahead
from fastmatte.video.backgrounds import Scene
from fastmatte.video.frames import Frame, Pool

What = Literal["composite", "alpha", "foreground", "cutout"]
Between = Literal["warp", "hold"]
#: The longer side of frames in which movement is sought: a hand moves six pixels of it, which is as
#: far as kernels.carry looks.
SEEKING = 336
CHANNELS = {"alpha": 1, "composite": 3, "foreground": 3, "cutout": 4}


class Matting:
    """Makes of each frame what was asked for.

    scene:      what is behind a composite.
    every:      the network sees each so many-th frame.
    between:    "warp" for an alpha that goes along with what moves on the frames between, "hold"
                for that of the frame before them; their colours are their own.
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
        between: Between = "warp",
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
        self._carrier = Carrier(threads) if every > 1 and between == "warp" else None
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
        pixels = frame.pixels
        if frame.index % self._every == 0 or self._seen is None:
            own = None if frame.seen is None else frame.seen.result()
            self._seen = self._stream(pixels) if own is None else self._stream.finish(pixels, own)
            if self._carrier is not None:
                self._carrier.keep(pixels, self._stream.own_alpha if own is None else own)
            return self._seen
        if self._carrier is not None and (carried := self._carrier(pixels)) is not None:
            return self._stream.finish(pixels, carried)
        size = pixels.shape[:2]
        if self._held.size != size:
            self._held = Buffers((size[0], size[1]))
        return Matte(pixels, self._seen.alpha, self._held, threads=self._threads)


class Carrier:
    """Brings the alpha of the last frame that the network saw to those that follow it."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._alpha: Alpha | None = None
        self._before: Image | None = None

    def keep(self, image: Image, own: Alpha | None) -> None:
        """Remember a frame and the network's own alpha of it; None where it cannot be carried."""
        self._alpha = own
        self._before = None if own is None else self._grey(image)

    def __call__(self, image: Image) -> Alpha | None:
        """Return the alpha of a frame after it; None where there is nothing to carry."""
        if self._alpha is None or self._before is None:
            return None
        now = self._grey(image)
        if now.shape != self._before.shape:
            return None
        return kernels.carry(self._before, now, self._alpha, threads=self._threads)

    def _grey(self, image: Image) -> Image:
        """Return green, small: most of what is bright, and without a pass to weigh it."""
        height, width = image.shape[:2]
        scale = min(1.0, SEEKING / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        small = kernels.resize(image, size, filter="area", threads=self._threads)
        return np.ascontiguousarray(small[..., 1])
