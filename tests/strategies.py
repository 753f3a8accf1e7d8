"""Hypothesis strategies for the arrays kernels take, and the guards that tests put around out."""

from __future__ import annotations

from contextlib import contextmanager

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np

#: Every side a vector loop treats differently: below, at and above each width, and odd tails.
sides = st.integers(1, 130)
sizes = st.tuples(sides, sides)
seeds = st.integers(0, 2**32 - 1)
#: (size, new size) where resampling is all edge, all average, or barely anything.
RESIZES = [
    ((1, 1), (1, 1)),
    ((1, 1), (33, 70)),
    ((1, 90), (1, 31)),
    ((90, 1), (31, 1)),
    ((67, 45), (1, 1)),
    ((4096, 1), (1, 4096)),
    ((1, 4096), (4096, 1)),
    ((300, 700), (299, 701)),
    ((300, 700), (301, 699)),
    ((500, 400), (137, 900)),
]
#: 1 thread, and more than this kind of machine has.
thread_counts = st.sampled_from([1, 3])
#: How large a result may be to go into the caches: larger than any here, and not at all.
cache_limits = st.sampled_from([2**25, 0])


@contextmanager
def cached_up_to(limit):
    """Let kernels store larger results past the caches, as they do those of large images."""
    before = fm._core.limit_cached_bytes(limit)
    try:
        yield
    finally:
        fm._core.limit_cached_bytes(before)


@st.composite
def arrays(draw, shape, dtype):
    """An array of noise, of one value, or of extremes; packed, row-padded, or a strided view."""
    rng = np.random.default_rng(draw(seeds))
    kind = draw(st.sampled_from(["noise", "constant", "extremes"]))
    top = 255 if dtype == np.uint8 else 1.0
    if kind == "noise":
        values = rng.integers(0, 256, shape) if dtype == np.uint8 else rng.random(shape)
    elif kind == "constant":
        level = rng.integers(0, 256) if dtype == np.uint8 else rng.random()
        values = np.full(shape, level)
    else:
        values = rng.integers(0, 2, shape) * top
    return lay_out(values.astype(dtype), draw(st.sampled_from(["packed", "padded", "strided"])))


def lay_out(values, layout):
    """The same values packed, as a crop of a wider array, or as one with reversed columns."""
    if layout == "packed":
        return values
    height, width, *rest = values.shape
    if layout == "padded":
        wide = np.full((height + 2, width + 5, *rest), 77, values.dtype)
        wide[1:-1, 2:-3] = values
        return wide[1:-1, 2:-3]
    return np.ascontiguousarray(values[:, ::-1])[:, ::-1]


def images(shape, channels=3):
    return arrays((*shape, channels) if channels > 1 else shape, np.uint8)


def alphas(shape):
    return st.one_of(arrays(shape, np.uint8), arrays(shape, np.float32))


class Guarded:
    """An out= array inside a larger one, all of it filled with a sentinel that must survive."""

    def __init__(self, shape, dtype):
        height, width, *rest = shape
        self.whole = np.full((height + 4, width + 6, *rest), 113, dtype)
        self.out = self.whole[2:-2, 3:-3]

    def assert_untouched_outside(self):
        inside = np.zeros(self.whole.shape[:2], bool)
        inside[2:-2, 3:-3] = True
        assert (self.whole[~inside] == 113).all()


__all__ = [
    "RESIZES",
    "Guarded",
    "alphas",
    "arrays",
    "cache_limits",
    "cached_up_to",
    "images",
    "lay_out",
    "seeds",
    "sides",
    "sizes",
    "thread_counts",
]
