"""The metrics against NumPy and against what evaluation code is usually made of."""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import peers
import pytest


@pytest.fixture(params=["matte", "noise"])
def mattes(request, scene):
    """An alpha and its truth: a soft-edged matte slightly off, or the worst case, noise."""
    rng = np.random.default_rng(5)
    truth = scene.alpha
    if request.param == "noise":
        truth = rng.random(truth.shape, np.float32)
    alpha = np.clip(np.roll(truth, 3, 1) + rng.normal(0, 0.02, truth.shape), 0, 1)
    return request.param, alpha.astype(np.float32), truth


@pytest.mark.parametrize("name", ["mad", "grad", "conn"])
def test_metrics_fastmatte(race, mattes, size_name, isa, name):
    kind, alpha, truth = mattes
    metric = getattr(fm.metrics, name)
    expected = peers.METRICS[name](alpha, truth)
    race(
        f"{name}-{kind}-{size_name}",
        lambda: metric(alpha, truth, threads=1),
        expected,
        1e-4 * expected,
    )


@pytest.mark.parametrize("name", ["mad", "grad", "conn"])
def test_metrics_peer(race, mattes, size_name, name):
    kind, alpha, truth = mattes
    metric = peers.METRICS[name]
    race(f"{name}-{kind}-{size_name}", lambda: metric(alpha, truth), metric(alpha, truth), 0)


def test_peers_agree_with_oracles():
    rng = np.random.default_rng(5)
    alpha, truth = rng.random((2, 40, 50), np.float32)
    for name, metric in peers.METRICS.items():
        np.testing.assert_allclose(metric(alpha, truth), getattr(oracles, name)(alpha, truth), 1e-4)
