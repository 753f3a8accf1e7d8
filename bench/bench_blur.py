"""blur against OpenCV and Pillow, whose Gaussian is three box filters."""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import peers
import pytest

PEERS = {"cv2.GaussianBlur": peers.blur_cv2, "pillow": peers.blur_pillow}


@pytest.fixture(params=[1, 4, 15, 60], ids=lambda sigma: f"sigma{sigma}")
def sigma(request):
    return request.param


def assert_gaussian(result, image, sigma, decibels=45):
    """How near the true Gaussian it is, borders left out: peers mirror or repeat them."""
    inside = np.s_[240:-240, 240:-240]
    error = np.mean((result[..., 0] - oracles.blur(image[..., 0], sigma))[inside] ** 2)
    assert 10 * np.log10(255**2 / error) > decibels


def test_blur_fastmatte(benchmark, scene, size_name, sigma, isa):
    image = scene[0]
    out = np.empty_like(image)
    benchmark.group = f"blur-sigma{sigma}-{size_name}"
    benchmark(lambda: fm.kernels.blur(image, sigma=sigma, out=out, threads=1))
    assert_gaussian(out, image, sigma)


@pytest.mark.parametrize("peer", PEERS)
def test_blur_peer(benchmark, scene, size_name, sigma, peer):
    function, image = PEERS[peer], scene[0]
    function(image[:9, :9].copy(), 1)  # a missing library skips here
    benchmark.group = f"blur-sigma{sigma}-{size_name}"
    # Pillow's three boxes each round to uint8.
    decibels = 35 if peer == "pillow" else 45
    assert_gaussian(benchmark(function, image, sigma), image, sigma, decibels)


def test_blur_weighted_fastmatte(benchmark, scene, size_name, sigma, isa):
    image, _, alpha = scene
    weight = 1 - alpha
    out = np.empty_like(image)
    benchmark.group = f"blur-weighted-sigma{sigma}-{size_name}"
    benchmark(lambda: fm.kernels.blur(image, sigma=sigma, weight=weight, out=out, threads=1))
    # Far inside the disc there is nothing but the kernel's tail, which is cut off.
    seen = oracles.quantise(weight, 255) > 0
    difference = (out[..., 0] - oracles.blur(image[..., 0], sigma, weight))[seen]
    assert 10 * np.log10(255**2 / np.mean(difference**2)) > 45
