"""What a network is trained towards: exact alpha where it is known, a teacher's word elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Weights:
    """What the loss adds up, relative to the distance of alpha itself.

    certainty: binary cross-entropy, which moves what is surely wrong, as distance does not.
    pyramid:   the error at four scales, each by what the next does not show.
    gradient:  slopes of alpha in the band around edges.
    magnitude: how steep alpha is, whichever way, in the same band and squared: what Grad measures.
               Where nobody can see where a hair goes, it wants no hair rather than a wrong one.
    soft:      a pixel labelled by the teacher, against one that is known.
    """

    certainty: float = 0.2
    pyramid: float = 0.5
    gradient: float = 1.0
    magnitude: float = 0.0
    soft: float = 0.5


def edges(alpha: Tensor) -> Tensor:
    """Return 1 where alpha changes nearby, (N, 1, H, W): the unknown band."""
    # At half the size, rows and columns apart: on a CPU this was a third of a whole step.
    side = max(3, min(alpha.shape[2:]) // 48) | 1

    def highest(values: Tensor) -> Tensor:
        small = functional.max_pool2d(values, 2)
        rows = functional.max_pool2d(small, (side, 1), 1, (side // 2, 0))
        return functional.max_pool2d(rows, (1, side), 1, (0, side // 2))

    band = (highest(alpha) + highest(-alpha) > 0.05).float()
    return functional.interpolate(band, scale_factor=2.0, mode="nearest")


def steepness(alpha: Tensor) -> Tensor:
    """Return the magnitude of the slope of alpha, (N, 1, H, W), by derivatives of a Gaussian.

    Its deviation is half of the 1.4 pixels of the literature, for alpha of half the image's size.
    """
    at = torch.arange(-2, 3, dtype=alpha.dtype, device=alpha.device)
    smooth = torch.exp(-(at**2) / (2 * 0.7**2))
    smooth = smooth / smooth.sum()
    slope = at * smooth / (at**2 * smooth).sum()
    kernels = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])
    padded = functional.pad(alpha, (2, 2, 2, 2), mode="replicate")
    sides = functional.conv2d(padded, kernels[:, None])
    return (sides.square().sum(1, keepdim=True) + 1e-6).sqrt()


def _mean(error: Tensor, weight: Tensor) -> Tensor:
    return (error * weight).sum() / weight.sum().clamp(min=1)


def loss(logits: Tensor, truth: Tensor, soft: Tensor, weights: Weights) -> Tensor:
    """Return the loss of alpha before the sigmoid.

    logits: (N, 1, H, W).
    truth:  (N, 1, H, W) in [0, 1].
    soft:   (N,) bool, the truth is a teacher's word.

    A teacher's label counts where it is sure and no edge is near. Else an edge counts threefold,
    and its slopes count.
    """
    alpha = torch.sigmoid(logits)
    told = soft.float().reshape(-1, 1, 1, 1)
    exact = 1 - told
    band = edges(truth)
    sure = (2 * truth - 1).abs() * (1 - band)
    weight = told * weights.soft * sure + exact * (1 + 2 * band)
    total = _mean((alpha - truth).abs(), weight)
    if weights.certainty:
        entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        # Of a soft truth nobody is certain: what remains at the truth itself is taken off.
        with torch.no_grad():
            least = _mean(functional.binary_cross_entropy(truth, truth, reduction="none"), weight)
        total = total + weights.certainty * (_mean(entropy, weight) - least)
    error = (alpha - truth) * exact
    for level in range(4):
        if error.shape[2] % 2 or error.shape[3] % 2:
            break  # small images have fewer scales
        smaller = functional.avg_pool2d(error, 2)
        detail = error - functional.interpolate(smaller, scale_factor=2.0, mode="nearest")
        total = total + weights.pyramid * 2**level * detail.abs().mean()
        error = smaller
    for dim in (2, 3):
        near = (band * exact).narrow(dim, 1, band.shape[dim] - 1)
        total = total + weights.gradient * _mean((alpha - truth).diff(dim=dim).abs(), near)
    if weights.magnitude:
        error = (steepness(alpha) - steepness(truth)).square()
        total = total + weights.magnitude * _mean(error, band * exact)
    return total
