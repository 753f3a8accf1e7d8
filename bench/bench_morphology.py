"""erode and trimap against OpenCV. dilate is erode with the comparison turned round.

What memory allows: alpha is read once and the result written once, as memcpy does; two reads of
each row, the suffixes and the passes along it stay within the caches.
"""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import peers
import pytest


@pytest.fixture(params=["uint8", "float32"])
def alpha(scene, request):
    return fm.kernels.quantise(scene[2]) if request.param == "uint8" else scene[2]


@pytest.fixture(params=[7, 30], ids=lambda radius: f"r{radius}")
def radius(request):
    return request.param


@pytest.fixture
def group(size_name, alpha, radius):
    return f"{alpha.dtype}-r{radius}-{size_name}"


def test_erode_fastmatte(race, group, alpha, radius, isa):
    out = np.empty_like(alpha)
    race(
        f"erode-{group}",
        lambda: fm.kernels.erode(alpha, radius=radius, out=out, threads=1),
        oracles.erode(alpha, radius),
        0,
    )


def test_erode_peer(race, group, alpha, radius):
    peers.cv2()  # a missing library skips here
    expected = oracles.erode(alpha, radius)
    race(f"erode-{group}", lambda: peers.erode_cv2(alpha, radius), expected, 0)


def test_erode_memcpy(benchmark, group, alpha):
    benchmark.group = f"erode-{group}"
    benchmark(peers.memcpy(alpha))


def test_trimap_fastmatte(race, group, alpha, radius, isa):
    out = np.empty(alpha.shape, np.uint8)
    race(
        f"trimap-{group}",
        lambda: fm.kernels.trimap(alpha, radius=radius, out=out, threads=1),
        oracles.trimap(alpha, radius, 0.05, 0.95),
        0,
    )


def test_trimap_peer(race, group, alpha, radius):
    peers.cv2()
    low, high = (12, 243) if alpha.dtype == np.uint8 else map(np.float32, (0.05, 0.95))
    race(
        f"trimap-{group}",
        lambda: peers.trimap_cv2(alpha, radius, low, high),
        oracles.trimap(alpha, radius, 0.05, 0.95),
        0,
    )
