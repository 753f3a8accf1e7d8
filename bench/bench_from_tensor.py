"""from_tensor against NumPy."""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import peers


def test_from_tensor_fastmatte(race, scene, size_name, isa):
    tensor = fm.kernels.to_tensor(scene[0])
    out = np.empty_like(scene[0])
    race(
        f"from_tensor-{size_name}",
        lambda: fm.kernels.from_tensor(tensor, out=out, threads=1),
        oracles.from_tensor(tensor, "rgb"),
        0,
    )


def test_from_tensor_peer(race, scene, size_name):
    tensor = fm.kernels.to_tensor(scene[0])
    race(
        f"from_tensor-{size_name}",
        lambda: peers.from_tensor_numpy(tensor),
        oracles.from_tensor(tensor, "rgb"),
        0,
    )


def test_from_tensor_memcpy(benchmark, scene, size_name):
    benchmark.group = f"from_tensor-{size_name}"
    benchmark(peers.memcpy(fm.kernels.to_tensor(scene[0])))
