"""quantise: float32 alpha to 255ths."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Guarded, arrays, sizes, thread_counts

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@each_isa
@given(data=st.data(), size=sizes, threads=thread_counts)
def test_quantise_equals_oracle(isa, data, size, threads):
    alpha = data.draw(arrays(size, np.float32))
    guarded = Guarded(size, np.uint8)
    result = fm.kernels.quantise(alpha, out=guarded.out, threads=threads)
    np.testing.assert_array_equal(result, oracles.quantise(alpha, 255))
    guarded.assert_untouched_outside()


def test_every_multiple_comes_back(isa):
    steps = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(fm.kernels.quantise(steps / np.float32(255)), steps)


@pytest.mark.parametrize("bad", [np.nan, -0.01, 1.01, np.inf])
def test_values_outside_are_refused_before_anything_is_written(bad):
    alpha, out = np.zeros((3, 5), np.float32), np.full((3, 5), 9, np.uint8)
    alpha[2, 4] = bad
    with pytest.raises(ValueError, match=r"alpha: expected values in \[0, 1\].*row 2, column 4"):
        fm.kernels.quantise(alpha, out=out)
    assert (out == 9).all()
