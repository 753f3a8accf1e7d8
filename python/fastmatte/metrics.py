"""How far an alpha is from the truth, in the measures of the matting literature.

What holds for every metric here:

- alpha is what was estimated, truth what is right: (H, W) float32 in [0, 1] or uint8 in 255ths, of
  one dtype or two. uint8 counts as float32 a / 255.
- trimap, where given, is (H, W) uint8 of 0, 128 and 255: only its unknown region, 128, counts. All
  of both alphas still decides gradients and connected regions. Benchmarks of methods that are given
  the trimap put its 0 and 255 into alpha first; nothing here does.
- threads is how many threads may work on the call, None for one per processor. The result is the
  same bits for any number, and on every instruction set.
- Smaller is better, and 0 is the truth itself.
- A wrong type is a TypeError; a wrong size, a value out of range, or a trimap without unknown
  pixels a ValueError. Both name the argument, what was expected and what came.

Papers print some of these times a factor: MSE and MAD x 1000, dtSSD x 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from math import sqrt
from typing import Any

from fastmatte import _core
from fastmatte.arrays import AnyAlpha, Image

__all__ = ["conn", "dtssd", "grad", "mad", "mse", "sad"]

_THOUSAND = 1000


def conn(
    alpha: AnyAlpha, truth: AnyAlpha, *, trimap: Image | None = None, threads: int | None = None
) -> float:
    """Tell how much of alpha hangs on the subject less, or more, than in truth: Conn, in thousands.

    alpha, truth, trimap: see fastmatte.metrics.

    Returns sum |phi(alpha) - phi(truth)| / 1000 with phi(a) = 1 - d * (d >= 0.15), d = a - l. At
    each of 0.1, 0.2 ... 1 the source region is the largest 4-connected one (of several, the first
    in raster order) of the pixels where both alphas reach it; l is the last of these, counted from
    0.1 upwards, before the pixel first is outside the source region, 0 if it never was inside.

    Sources: Rhemann et al., A Perceptually Motivated Online Benchmark for Image Matting, CVPR 2009;
    steps of 0.1, a source region for each, and no weight lambda as in the evaluation code that came
    with Xu et al., Deep Image Matting, CVPR 2017, which papers report. The thresholds are exact:
    ports whose sixth is 0.6000000000000001, in double precision, put uint8 153 = 0.6 below it.
    """
    return _core.connectivity_error(alpha, truth, trimap, threads) / _THOUSAND


def dtssd(
    alphas: Iterable[AnyAlpha],
    truths: Iterable[AnyAlpha],
    *,
    trimaps: Iterable[Image] | None = None,
    threads: int | None = None,
) -> float:
    """Tell how much alpha flickers where truth does not: dtSSD of a video.

    alphas, truths: frames in order, as many of one as of the other, at least two; read once.
    trimaps:        one for each frame; of two frames the later one's says what counts.

    Returns the mean over pairs of adjacent frames of sqrt(mean(((a1 - a0) - (t1 - t0)) ** 2)), the
    inner mean over pixels. Papers print it times 100.
    Raises ValueError where there are fewer than two frames or not as many of each.
    Sources: Erofeev et al., Perceptually Motivated Benchmark for Video Matting, BMVC 2015; the mean
    over pairs as in Lin et al., Robust High-Resolution Video Matting, WACV 2022.
    """
    total, pairs, before = 0.0, 0, None
    for now in _frames(alphas, truths, trimaps):
        if before is not None:
            total += sqrt(_core.temporal_error(before[0], now[0], before[1], *now[1:], threads))
            pairs += 1
        before = now
    if pairs == 0:
        raise ValueError(f"alphas: expected at least 2 frames, got {0 if before is None else 1}")
    return total / pairs


def grad(
    alpha: AnyAlpha, truth: AnyAlpha, *, trimap: Image | None = None, threads: int | None = None
) -> float:
    """Tell how much the edges of alpha differ from those of truth: Grad, in thousands.

    alpha, truth, trimap: see fastmatte.metrics.

    Returns sum (|grad alpha| - |grad truth|) ** 2 / 1000. The gradient is that of a Gaussian of
    sigma 1.4 in windows of 9 x 9, each of its two filters of unit L2 norm, the edge repeated.
    Evaluation code that stretches both alphas to [0, 1] first differs where one does not reach 0
    and 1: this is the definition, which does not.

    Source: Rhemann et al., A Perceptually Motivated Online Benchmark for Image Matting, CVPR 2009;
    sigma, window and norm as in its evaluation code.
    Agrees with oracles.grad within 1e-5 of the sum of squared gradient magnitudes.
    """
    return _core.gradient_error(alpha, truth, trimap, threads) / _THOUSAND


def mad(
    alpha: AnyAlpha, truth: AnyAlpha, *, trimap: Image | None = None, threads: int | None = None
) -> float:
    """Tell the mean absolute difference, 0 to 1; papers print it times 1000.

    alpha, truth, trimap: see fastmatte.metrics.

    Returns mean |alpha - truth|.
    """
    absolute, _, count = _core.alpha_error(alpha, truth, trimap, threads)
    return absolute / count


def mse(
    alpha: AnyAlpha, truth: AnyAlpha, *, trimap: Image | None = None, threads: int | None = None
) -> float:
    """Tell the mean squared difference, 0 to 1; papers print it times 1000.

    alpha, truth, trimap: see fastmatte.metrics.

    Returns mean (alpha - truth) ** 2.
    """
    _, squares, count = _core.alpha_error(alpha, truth, trimap, threads)
    return squares / count


def sad(
    alpha: AnyAlpha, truth: AnyAlpha, *, trimap: Image | None = None, threads: int | None = None
) -> float:
    """Tell the sum of absolute differences, in thousands of pixels.

    alpha, truth, trimap: see fastmatte.metrics.

    Returns sum |alpha - truth| / 1000: it grows with the image.
    """
    absolute, _, _ = _core.alpha_error(alpha, truth, trimap, threads)
    return absolute / _THOUSAND


def _frames(
    alphas: Iterable[AnyAlpha], truths: Iterable[AnyAlpha], trimaps: Iterable[Image] | None
) -> Iterator[tuple[Any, Any, Any]]:
    streams = {"alphas": alphas, "truths": truths, "trimaps": trimaps}
    given = {name: frames for name, frames in streams.items() if frames is not None}
    for count, frames in enumerate(zip_longest(*given.values())):
        for name, array in zip(given, frames, strict=True):
            if array is None:
                raise ValueError(f"{name}: expected as many frames as of the others, got {count}")
        alpha, truth, *trimap = frames
        yield alpha, truth, trimap[0] if trimap else None
