"""Matte: the alpha of one frame, and what is made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Literal

import numpy as np

from fastmatte import _core, kernels
from fastmatte.arrays import Alpha, AnyAlpha, Array, Colour, Image, Tensor
from fastmatte.buffers import Buffers
from fastmatte.clock import Clock
from fastmatte.errors import FastmatteError


@dataclass(frozen=True)
class Blur:
    """A background: the frame's own, out of focus.

    radius: standard deviation of the Gaussian, in pixels, as kernels.blur takes it.
    """

    radius: float = 15.0

    def __post_init__(self) -> None:
        if not _core.MIN_SIGMA <= self.radius <= _core.MAX_SIGMA:
            raise ValueError(
                f"radius: expected {_core.MIN_SIGMA:g} to {_core.MAX_SIGMA:g} pixels, "
                f"got {self.radius!r}"
            )


Background = Image | Colour | Blur
ForegroundSource = Literal["estimated", "image"]


class Matte:
    """Alpha of one frame, and what is made from it on demand.

    Colours are in the channel order of the frame that came in: a matte of a "bgr" frame takes and
    gives blue first, backgrounds included. The frame itself is kept, not copied: it must not change
    while foreground, cutout() or composite() may still be called.
    """

    def __init__(
        self,
        colours: Image,
        alpha: Alpha,
        buffers: Buffers,
        *,
        foreground: Image | None = None,
        tensor: Tensor | Callable[[], Tensor] | None = None,
        order: Literal["rgb", "bgr"] = "rgb",
        threads: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._colours = colours
        self._alpha = alpha
        self._buffers = buffers
        self._foreground = self._own_foreground = foreground
        self._source = tensor
        self._order = order
        self._threads = threads
        self._clock = clock or Clock()
        self._expired = False

    @property
    def _tensor(self) -> Tensor | None:
        """The network's own colours, fetched when they are first wanted."""
        if callable(self._source):
            self._source = self._source()
        return self._source

    @property
    def alpha(self) -> Alpha:
        """(H, W) float32 in [0, 1]."""
        self._require_current()
        return self._alpha

    @property
    def foreground(self) -> Image:
        """(H, W, 3) uint8: the true colours of the foreground, without the old background.

        The network's own where it gives any, else estimated from image and alpha on first use.
        Where alpha is 0 the colours mean nothing.
        """
        self._require_current()
        if self._foreground is None:
            start = perf_counter_ns()
            out: Image = self._buffers.get("foreground", np.uint8, 3)
            if self._tensor is not None:
                kernels.from_tensor(
                    self._tensor, pixel_format=self._order, out=out, threads=self._threads
                )
            else:
                kernels.estimate_foreground(
                    self._colours, self._alpha, out=out, threads=self._threads
                )
            self._foreground = out
            self._clock.record("foreground", start)
        return self._foreground

    def cutout(self, *, out: Image | None = None) -> Image:
        """Return (H, W, 4) uint8: foreground colours and straight alpha.

        Where alpha is 0 the colour is black, so that nothing of the background stays in the file.
        """
        foreground = self.foreground
        start = perf_counter_ns()
        result = kernels.cutout(foreground, self._alpha, out=out, threads=self._threads)
        self._clock.record("cutout", start)
        return result

    def composite(
        self,
        background: Background,
        *,
        foreground: ForegroundSource = "estimated",
        linear_light: bool = False,
        out: Image | None = None,
    ) -> Image:
        """Return (H, W, 3) uint8: the foreground over another background.

        background:   a colour of three integers 0..255; an (h, w, 3) uint8 image, which is scaled
                      to cover the frame and cropped around its centre where sizes differ; or
                      Blur().
        foreground:   "estimated" for the true foreground colours (the network's own where it gives
                      any); "image" for the frame's own, which is faster and leaves a rim of the old
                      background in soft edges.
        linear_light: mix light rather than sRGB levels, as kernels.composite does.
        out:          (H, W, 3) uint8; may be the frame or the background itself.

        Raises ValueError and TypeError as kernels.composite does.
        """
        self._require_current()
        if foreground not in ("estimated", "image"):
            raise ValueError(f"foreground: expected 'estimated' or 'image', got {foreground!r}")
        tensor = self._tensor if foreground == "estimated" and self._foreground is None else None
        if linear_light:
            tensor = None  # Light is looked up by level.
        as_is = foreground == "image" or tensor is not None
        colours = self._colours if as_is else self.foreground
        start = perf_counter_ns()
        behind = self._fit(background)
        if behind is not background:
            start = self._clock.record("background", start)
        if tensor is not None:
            result = kernels.composite_tensor(
                tensor,
                behind,
                self._alpha,
                pixel_format=self._order,
                out=out,
                threads=self._threads,
            )
        else:
            result = kernels.composite(
                colours,
                behind,
                self._alpha,
                linear_light=linear_light,
                out=out,
                threads=self._threads,
            )
        self._clock.record("composite", start)
        return result

    def within(self, alpha: AnyAlpha) -> Matte:
        """Return a matte of the same frame that lets through no more than alpha does.

        alpha: (H, W) float32 in [0, 1] or uint8 in 255ths, such as a photograph's own transparency.

        Its alpha is the product of both; this matte stays as it is. Raises ValueError and TypeError
        for an alpha of another size, dtype or range.
        """
        self._require_current()
        limit: Array = np.asarray(alpha)
        if limit.dtype == np.uint8:
            limit = limit / np.float32(255)
        _core.require_alpha(limit, "alpha", self._threads)
        if limit.shape != self._buffers.size:
            height, width = self._buffers.size
            raise ValueError(
                f"alpha: expected the size of the frame, {height} x {width}, "
                f"got {limit.shape[0]} x {limit.shape[1]}"
            )
        product: Alpha = np.multiply(self._alpha, limit, dtype=np.float32)
        buffers = Buffers(self._buffers.size)
        # A foreground estimated with the larger alpha would be another one.
        own = self.foreground.copy() if self._tensor is not None else self._own_foreground
        return Matte(self._colours, product, buffers, foreground=own, threads=self._threads)

    def moved_to(self, buffers: Buffers, *, colours: bool) -> Matte:
        """Return the same matte with alpha and the network's own foreground copied to buffers.

        colours: whether to copy the frame's too; else the frame is kept as it is here.
        """
        self._require_current()
        alpha: Alpha = buffers.get("alpha", np.float32)
        np.copyto(alpha, self._alpha)
        own = None
        if self._tensor is not None:
            own = kernels.from_tensor(
                self._tensor,
                pixel_format=self._order,
                out=buffers.get("own", np.uint8, 3),
                threads=self._threads,
            )
        frame = self._colours
        if colours:
            frame = buffers.get("colours", np.uint8, 3)
            np.copyto(frame, self._colours)
        return Matte(
            frame, alpha, buffers, foreground=own, threads=self._threads, clock=self._clock
        )

    def expire(self) -> None:
        """Refuse further use: the stream's next frame has taken over the buffers."""
        self._expired = True

    def _require_current(self) -> None:
        if self._expired:
            raise FastmatteError(
                "this matte's stream has gone on to its next frame: use a matte before that, or "
                "copy what you keep"
            )

    def _fit(self, background: Background) -> Image | Colour:
        if isinstance(background, Blur):
            # Without the weight the person would bleed into the blurred background around it.
            weight: Alpha = self._buffers.get("weight", np.float32)
            np.subtract(1, self._alpha, out=weight)
            out: Image = self._buffers.get("background", np.uint8, 3)
            return kernels.blur(
                self._colours,
                sigma=background.radius,
                weight=weight,
                out=out,
                threads=self._threads,
            )
        if not isinstance(background, np.ndarray):
            return background
        _core.require_image(background, "background", 3)
        if background.shape[:2] == self._buffers.size:
            return background
        fitted: Image = self._buffers.get("background", np.uint8, 3)
        return cover(background, fitted, self._threads)


def cover(image: Image, out: Image, threads: int | None = None) -> Image:
    """Fill out with image, scaled until it just covers out and cropped around the centre."""
    height, width = image.shape[:2]
    scale = max(out.shape[0] / height, out.shape[1] / width)
    rows = min(height, max(1, round(out.shape[0] / scale)))
    columns = min(width, max(1, round(out.shape[1] / scale)))
    top, left = (height - rows) // 2, (width - columns) // 2
    return kernels.resize(
        image[top : top + rows, left : left + columns],
        out.shape[:2],
        filter="area" if scale < 1 else "bilinear",
        out=out,
        threads=threads,
    )
