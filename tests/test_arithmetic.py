"""calculate: the arithmetic that the bench measures the processor's rate by."""

from __future__ import annotations

from fractions import Fraction

import fastmatte as fm
import pytest


def test_operations_are_counted(isa):
    assert fm._core.calculate(10) == 10 * fm._core.calculate(1) > 0


@pytest.mark.parametrize("rounds", [0, -1])
def test_bad_argument_is_named(rounds):
    with pytest.raises(ValueError, match="rounds: expected an integer from 1"):
        fm._core.calculate(rounds)
    with pytest.raises(TypeError, match="rounds: expected an integer from 1"):
        fm._core.calculate(Fraction(1, 2))
