"""estimate_foreground: blur fusion against itself on OpenCV."""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import peers
import pytest


@pytest.fixture(params=["edge", "everywhere"])
def mixture(request, scene):
    """An image with 7 % of its pixels between 0 and 1 as around a person, or all of them."""
    image, _, alpha = scene
    if request.param == "everywhere":
        return request.param, image, alpha * np.float32(0.98) + np.float32(0.01)
    return request.param, image, np.clip((alpha - 0.5) * 2.5 + 0.5, 0, 1)


def test_estimate_foreground_fastmatte(race, mixture, size_name, isa):
    name, image, alpha = mixture
    out = np.empty_like(image)
    race(
        f"estimate_foreground-{name}-{size_name}",
        lambda: fm.kernels.estimate_foreground(image, alpha, out=out, threads=1),
        oracles.estimate_foreground(image, alpha),
        0,
    )


def test_estimate_foreground_cv2(benchmark, mixture, size_name):
    name, image, alpha = mixture
    peers.cv2()
    benchmark.group = f"estimate_foreground-{name}-{size_name}"
    result = benchmark(peers.estimate_foreground_cv2, image, alpha)
    # OpenCV mirrors the borders where ours shrinks the windows, keeps alpha as float32, and works
    # on known pixels too.
    inside = np.s_[48:-48, 48:-48]
    unknown = (oracles.quantise(alpha, 255) % 255 != 0)[inside]
    expected = oracles.estimate_foreground(image, alpha)[inside][unknown].astype(np.float64)
    assert np.abs(result[inside][unknown] - expected).mean() < 0.5
