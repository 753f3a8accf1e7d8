"""What benches share: the sizes, the thread count, and the rule that a fast wrong answer fails.

Run: python -m pytest bench --benchmark-columns=min,median --benchmark-sort=fullname
"""

from __future__ import annotations

import sys
from pathlib import Path

import fastmatte as fm
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

SIZES = {"512": (512, 512), "1080p": (1080, 1920), "4k": (2160, 3840)}


@pytest.fixture(params=["1080p"])
def size_name(request):
    return request.param


@pytest.fixture
def scene(size_name):
    """A photograph-like image, another, and a soft-edged alpha, the same at every run."""
    height, width = SIZES[size_name]
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    noise = rng.integers(-12, 13, (height, width, 3))
    waves = np.stack([np.sin(x / 37), np.sin(y / 23), np.cos((x + y) / 51)], -1) * 90 + 128
    image = np.clip(waves + noise, 0, 255).astype(np.uint8)
    distance = np.hypot((x - width / 2) / width, (y - height / 2) / height)
    alpha = np.clip((0.33 - distance) * 12 + 0.5, 0, 1).astype(np.float32)
    return image, np.ascontiguousarray(image[::-1]), alpha


@pytest.fixture
def race(benchmark):
    """Time one contestant of a group on one thread and hold its answer against the oracle's."""

    def run(group, function, expected, maximum):
        benchmark.group = group
        result = benchmark(function)
        difference = np.abs(np.asarray(result, np.float64) - expected).max()
        assert difference <= maximum, f"differs from the oracle by {difference}"

    return run


def pytest_generate_tests(metafunc):
    if "isa" in metafunc.fixturenames:
        metafunc.parametrize("isa", fm.cpu.available(), indirect=True)


@pytest.fixture
def isa(request):
    with fm.cpu.force(request.param):
        yield request.param
