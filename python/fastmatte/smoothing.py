"""Smoothing: what takes the flicker out of the alpha of video, frame by frame, usable alone.

steady = fm.MotionAdaptive().filter()
for frame in frames:
    alpha = steady(frame, network(frame))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fastmatte import kernels
from fastmatte.arrays import Alpha, Array, Image, Tensor
from fastmatte.buffers import Buffers

SmoothingName = Literal["auto", "none", "motion_adaptive", "one_frame_delay"]


@dataclass(frozen=True)
class MotionAdaptive:
    """Average alpha over time where the picture stands still; no delay.

    weight, radius, motion, jump: as kernels.motion_adaptive_filter takes them, whose formula this
    is, for frames as large as alpha.
    """

    weight: float = 0.3
    radius: int = 4
    motion: tuple[float, float] = (5, 14)
    jump: tuple[float, float] = (0.5, 0.9)

    def filter(self, *, threads: int | None = None) -> MotionAdaptiveFilter:
        """Return a filter for the frames of one video, in order."""
        return MotionAdaptiveFilter(self, threads)


class MotionAdaptiveFilter:
    """Remembers the frame before and its alpha."""

    def __init__(self, parameters: MotionAdaptive, threads: int | None) -> None:
        self._parameters = parameters
        self._threads = threads
        self._before: Image = np.empty((0, 0, 3), np.uint8)
        self._alpha: Alpha = np.empty((0, 0), np.float32)
        self._fresh = True

    def __call__(self, image: Image, alpha: Alpha) -> Alpha:
        """Return the alpha of the next frame, good until the one after it.

        image: (H, W, 3) uint8, copied. Another size starts afresh.
        alpha: (H, W) float32 in [0, 1].

        Raises as kernels.motion_adaptive_filter does.
        """
        if self._before.shape != image.shape:
            self._before = np.empty(image.shape, np.uint8)
            self._alpha = np.empty(image.shape[:2], np.float32)
            self._fresh = True
        parameters = self._parameters
        # Between a frame and itself nothing moves, and its alpha stays what it is.
        kernels.motion_adaptive_filter(
            image if self._fresh else self._before,
            image,
            alpha if self._fresh else self._alpha,
            alpha,
            weight=parameters.weight,
            radius=parameters.radius,
            motion=parameters.motion,
            jump=parameters.jump,
            out=self._alpha,
            threads=self._threads,
        )
        np.copyto(self._before, image)
        self._fresh = False
        return self._alpha

    def memory(self) -> dict[str, Array]:
        """Copy what is remembered; empty where nothing is."""
        if self._fresh:
            return {}
        return {"before": self._before.copy(), "alpha": self._alpha.copy()}

    def remember(self, memory: Mapping[str, Array]) -> None:
        """Go on from what memory() gave."""
        self._fresh = not memory
        if memory:
            self._before, self._alpha = memory["before"].copy(), memory["alpha"].copy()

    def reset(self) -> None:
        """Forget the frame before, as after a cut."""
        self._fresh = True


@dataclass(frozen=True)
class OneFrameDelay:
    """Take out what flickers for one frame; every alpha comes a frame late.

    threshold: as kernels.one_frame_delay takes it, whose formula this is.
    """

    threshold: float = 0.1

    def filter(self, *, threads: int | None = None) -> OneFrameDelayFilter:
        """Return a filter for the frames of one video, in order."""
        return OneFrameDelayFilter(self, threads)


@dataclass
class Delayed:
    """A frame that waits for the one after it.

    foreground: (H, W, 3) uint8, the network's own colours, None where it gives none.
    """

    buffers: Buffers
    colours: Image
    alpha: Alpha
    foreground: Image | None = None


class OneFrameDelayFilter:
    """Remembers two frames: the one that waits, and the one before it."""

    def __init__(self, parameters: OneFrameDelay, threads: int | None) -> None:
        self._parameters = parameters
        self._threads = threads
        self._earlier: Delayed | None = None
        self._waiting: Delayed | None = None
        self._free: Delayed | None = None

    def __call__(
        self, image: Image, alpha: Alpha, tensor: Tensor | None = None, order: str = "rgb"
    ) -> Delayed | None:
        """Take in a frame, copied; return the one before it, good until the next call.

        tensor, order: the network's own foreground, and the order of the channels to bring it to.

        Returns None for the first frame of a video, or after a flush().
        Raises as kernels.one_frame_delay does, and ValueError where frames change size without a
        flush().
        """
        entered = self._copied(image, alpha)
        if tensor is not None:
            out: Image = entered.buffers.get("own", np.uint8, 3)
            entered.foreground = kernels.from_tensor(
                tensor,
                pixel_format="bgr" if order == "bgr" else "rgb",
                out=out,
                threads=self._threads,
            )
        earlier, waiting = self._earlier, self._waiting
        self._waiting, self._earlier, self._free = entered, waiting, earlier
        if waiting is None:
            return None
        if earlier is None:
            return waiting
        steadied: Alpha = waiting.buffers.get("steadied", np.float32)
        kernels.one_frame_delay(
            earlier.alpha,
            waiting.alpha,
            entered.alpha,
            threshold=self._parameters.threshold,
            out=steadied,
            threads=self._threads,
        )
        return Delayed(waiting.buffers, waiting.colours, steadied, waiting.foreground)

    def flush(self) -> Delayed | None:
        """Return the frame that still waits, and forget all: at the end and where a shot ends."""
        last = self._waiting
        self._waiting = self._earlier = None
        return last

    def _copied(self, image: Image, alpha: Alpha) -> Delayed:
        size = image.shape[:2]
        kept, self._free = self._free, None
        if kept is None or kept.buffers.size != size:
            buffers = Buffers(size)
            kept = Delayed(
                buffers, buffers.get("colours", np.uint8, 3), buffers.get("alpha", np.float32)
            )
        np.copyto(kept.colours, image)
        np.copyto(kept.alpha, alpha)
        kept.foreground = None
        return kept


Smoothing = MotionAdaptive | OneFrameDelay


def chosen_smoothing(
    smoothing: SmoothingName | Smoothing, default: Smoothing | None
) -> Smoothing | None:
    """Return the filter that a name stands for; default is that of "auto".

    Raises ValueError for what is neither a name nor a filter.
    """
    if isinstance(smoothing, (MotionAdaptive, OneFrameDelay)):
        return smoothing
    if smoothing == "auto":
        return default
    if smoothing == "none":
        return None
    if smoothing == "motion_adaptive":
        return MotionAdaptive()
    if smoothing == "one_frame_delay":
        return OneFrameDelay()
    raise ValueError(
        f"smoothing: expected 'auto', 'none', 'motion_adaptive', 'one_frame_delay', a "
        f"MotionAdaptive or a OneFrameDelay, got {smoothing!r}"
    )
