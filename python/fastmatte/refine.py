"""Refine: from the network's alpha to one of the frame's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from fastmatte import kernels
from fastmatte.arrays import Alpha, AnyAlpha, Filter, Image


@dataclass(frozen=True)
class Refine:
    """How a small alpha is brought to the frame's size along the frame's own edges.

    radius: half-size of the guided filter's window, in pixels of the network's alpha.
    eps:    variance below which the frame counts as flat, in squared [0, 1] intensity.
    unsure: how far alpha must be from 0 and 1 to follow the frame, as kernels.guided_upsample has
            it; None follows it everywhere.

    The defaults are a balance struck with bench/study_refine.py: a wider window lowers the gradient
    error a little further and the mean error less, a narrower one the other way round.
    """

    radius: int = 3
    eps: float = 1e-4
    unsure: float | None = 8.0


def enlarge(
    refine: Refine | None, guide: Image, alpha: Alpha, out: AnyAlpha, threads: int | None
) -> None:
    """Fill out, of guide's size and either dtype, from the network's alpha.

    refine: None for plain interpolation. Where the network sees more pixels than the frame has
            there is nothing to refine, and alpha is averaged down.
    """
    height, width = guide.shape[:2]
    if alpha.shape == (height, width):
        _store(alpha, out, threads)
    elif refine is not None and alpha.shape[0] <= height and alpha.shape[1] <= width:
        kernels.guided_upsample(
            guide,
            alpha,
            radius=refine.radius,
            eps=refine.eps,
            unsure=refine.unsure,
            out=out,
            threads=threads,
        )
    else:
        shrinks = alpha.shape[0] >= height and alpha.shape[1] >= width
        method: Filter = "area" if shrinks else "bilinear"
        resized = kernels.resize(alpha, (height, width), filter=method, out=out, threads=threads)
        if resized.dtype == np.float32:
            # Weights sum to 1 only up to rounding.
            np.clip(resized, 0, 1, out=resized)


def _store(alpha: Alpha, out: AnyAlpha, threads: int | None) -> None:
    if out.dtype == np.uint8:
        kernels.quantise(alpha, out=cast(Image, out), threads=threads)
    elif alpha is not out:
        np.copyto(out, alpha)
