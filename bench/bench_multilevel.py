"""estimate_foreground, method "multilevel", against PyMatting's."""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import peers
import pytest


@pytest.fixture
def mixture(scene):
    image, _, alpha = scene
    return image, np.clip((alpha - 0.5) * 2.5 + 0.5, 0, 1)


@pytest.fixture
def expected(mixture):
    """PyMatting's own answer: an oracle in NumPy takes minutes at this size."""
    return np.round(255 * peers.estimate_foreground_pymatting(*mixture))


def test_multilevel_fastmatte(benchmark, mixture, expected, size_name, isa):
    image, alpha = mixture
    out = np.empty_like(image)
    benchmark.group = f"multilevel-{size_name}"
    benchmark(
        lambda: fm.kernels.estimate_foreground(
            image, alpha, method="multilevel", out=out, threads=1
        )
    )
    assert np.abs(out - expected).mean() < 1


def test_multilevel_pymatting(benchmark, mixture, size_name):
    image, alpha = mixture
    peers.estimate_foreground_pymatting(image[:9, :9], alpha[:9, :9])  # compiles
    benchmark.group = f"multilevel-{size_name}"
    result = benchmark(peers.estimate_foreground_pymatting, image, alpha)
    assert result.shape == image.shape
