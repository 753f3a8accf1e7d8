"""calculate and copy: what the bench measures the processor and its memory by."""

from __future__ import annotations

from fractions import Fraction

import fastmatte as fm
import numpy as np
import pytest


def test_operations_are_counted(isa):
    assert fm._core.calculate(10) == 10 * fm._core.calculate(1) > 0


@pytest.mark.parametrize("rounds", [0, -1])
def test_bad_argument_is_named(rounds):
    with pytest.raises(ValueError, match="rounds: expected an integer from 1"):
        fm._core.calculate(rounds)
    with pytest.raises(TypeError, match="rounds: expected an integer from 1"):
        fm._core.calculate(Fraction(1, 2))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("width", [1, 2, 100_003])
def test_copies_are_whole(width, threads):
    rng = np.random.default_rng(0)
    source, out = rng.integers(0, 256, (2, 2, width), np.uint8)
    fm._core.copy(source, out, threads)
    np.testing.assert_array_equal(source, out)


def test_a_copy_into_itself_is_refused():
    image = np.zeros((2, 9), np.uint8)
    with pytest.raises(ValueError, match="out: expected memory apart from source"):
        fm._core.copy(image, image, 1)
