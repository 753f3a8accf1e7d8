"""What users run today for the metrics, one thread each. A missing library skips its row."""

from __future__ import annotations

import numpy as np
import pytest


def cv2():
    module = pytest.importorskip("cv2", reason="opencv-contrib-python-headless is not installed")
    module.setNumThreads(1)
    return module


def mad_numpy(alpha, truth):
    return np.abs(alpha - truth).mean(dtype=np.float64)


def grad_cv2(alpha, truth):
    """Both derivatives as separable filters."""
    x = np.arange(-4, 5)
    g = np.exp(-(x**2) / (2 * 1.4**2))
    smooth, slope = g / np.linalg.norm(g), -x * g / np.linalg.norm(x * g)

    def magnitude(values):
        across, down = (
            cv2().sepFilter2D(values, -1, *taps, borderType=cv2().BORDER_REPLICATE)
            for taps in ((slope, smooth), (smooth, slope))
        )
        return np.hypot(across, down)

    d = magnitude(alpha) - magnitude(truth)
    return np.square(d).sum(dtype=np.float64) / 1000


def conn_cv2(alpha, truth):
    """The loop over thresholds that ports of the evaluation code have."""
    steps = (np.arange(11) / 10).astype(np.float32)
    connected = np.full(alpha.shape, -1, np.float32)
    for i in range(1, 11):
        inside = ((alpha >= steps[i]) & (truth >= steps[i])).astype(np.uint8)
        _, labels, stats, _ = cv2().connectedComponentsWithStats(inside, connectivity=4)
        source = labels == 1 + np.argmax(stats[1:, -1]) if len(stats) > 1 else inside > 0
        connected[(connected == -1) & ~source] = steps[i - 1]
    connected[connected == -1] = 1
    phi = [1 - d * (d >= np.float32(0.15)) for d in (alpha - connected, truth - connected)]
    return np.abs(phi[0] - phi[1]).sum(dtype=np.float64) / 1000


#: By the name of the metric.
METRICS = {"mad": mad_numpy, "grad": grad_cv2, "conn": conn_cv2}
