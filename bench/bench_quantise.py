"""quantise against NumPy."""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import peers


def test_quantise_fastmatte(race, scene, size_name, isa):
    alpha = scene[2]
    out = np.empty(alpha.shape, np.uint8)
    race(
        f"quantise-{size_name}",
        lambda: fm.kernels.quantise(alpha, out=out, threads=1),
        oracles.quantise(alpha, 255),
        0,
    )


def test_quantise_peer(race, scene, size_name):
    alpha = scene[2]
    race(
        f"quantise-{size_name}",
        lambda: peers.quantise_numpy(alpha),
        oracles.quantise(alpha, 255),
        0,
    )
