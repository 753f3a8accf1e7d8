"""Alpha in [0, 1]: what lies outside by an engine's rounding is clamped, the rest refused."""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import pytest


@pytest.mark.parametrize("size", [(1, 1), (3, 65), (40, 17)])
def test_clamping_leaves_what_is_no_alpha(isa, size):
    near = np.random.default_rng(0).uniform(-0.001, 1.001, size).astype(np.float32)
    near.flat[0] = 1.0009
    alpha = near.copy()
    fm._core.clamp_alpha(alpha, "output", 1)
    np.testing.assert_array_equal(alpha, near.clip(0, 1))
    for wrong in (1.002, -0.002, np.nan, np.inf):
        alpha = near.copy()
        alpha.flat[-1] = wrong
        with pytest.raises(ValueError, match=r"output: expected values in \[0, 1\]"):
            fm._core.clamp_alpha(alpha, "output", 1)
        np.testing.assert_array_equal(alpha.flat[-1], np.float32(wrong))
