"""What of a network stays in float32 when the rest is lowered: one row a family.

float16 holds no number above 65 504 and none exactly between 2048 and 2050; bfloat16 has a step of
1/128 at 1. A sum over a plane of pixels, a difference of nearly equal means, and the last steps
before alpha need more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Sums over many values, and what divides by them. MODNet's 16 InstanceNormalizations sum squares
#: of up to 512 x 512 values: above float16's range as soon as their mean exceeds 0.25.
NORMALISATION = frozenset(
    {
        "BatchNormalization",
        "GlobalAveragePool",
        "GlobalLpPool",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "LogSoftmax",
        "LpNormalization",
        "LRN",
        "MeanVarianceNormalization",
        "RMSNormalization",
        "Softmax",
    }
)
#: Functions whose value leaves the range, or loses all digits, for arguments that are within it.
STEEP = frozenset({"Exp", "Log", "Pow", "Reciprocal", "Sqrt"})
#: Where numbers are places, counts or steps of a quantisation.
PLACES = frozenset(
    {
        "CumSum",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "GridSample",
        "NonMaxSuppression",
        "QuantizeLinear",
        "Range",
        "RoiAlign",
        "TopK",
    }
)
#: Reductions that exporters take normalisations apart into, and casts of integers: places.
REDUCTIONS = frozenset(
    {
        "Cast",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMean",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    }
)


@dataclass(frozen=True)
class Islands:
    """Which nodes compute in float32.

    operators: by kind, each alone.
    spreading: by kind, with the squares before and the arithmetic, element by element, after.
    box_filters: whether convolutions whose weights are all equal spread too. They are the means of
               a guided filter: it subtracts a mean's square from a mean of squares, and divides.
    ends:      outputs whose last steps stay: all back to the last convolution that mixes channels.
               None for all outputs.
    """

    operators: frozenset[str] = NORMALISATION | STEEP | PLACES
    spreading: frozenset[str] = REDUCTIONS
    box_filters: bool = True
    ends: tuple[str, ...] | None = None


DEFAULT = Islands()

#: Families that differ. The recurrent state of rvm goes through gates, sigmoid and tanh, that keep
#: it in [-1, 1], and BGMv2's other outputs are for its authors' curiosity: neither needs float32.
ISLANDS: dict[str, Islands] = {
    "rvm": replace(DEFAULT, ends=("fgr", "pha")),
    "bgmv2-refine": replace(DEFAULT, ends=("fgr", "pha")),
    "bgmv2-base": replace(DEFAULT, ends=("fgr", "pha")),
}


def islands_of(family: str | None) -> Islands:
    """Return a family's row, the default for one that has none."""
    return DEFAULT if family is None else ISLANDS.get(family, DEFAULT)


__all__ = ["DEFAULT", "ISLANDS", "Islands", "islands_of"]
