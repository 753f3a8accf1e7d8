"""What benches share: the frame, the instruction sets, and the rule that a fast wrong answer fails.

Run: python -m pytest bench --benchmark-columns=min,median --benchmark-sort=fullname
"""

from __future__ import annotations

import sys
from pathlib import Path

import fastmatte as fm
import numpy as np
import pytest
from fastmatte.benchmark.scene import SIZES, Scene

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


@pytest.fixture(params=["1080p"])
def size_name(request):
    return request.param


@pytest.fixture
def scene(size_name):
    return Scene(SIZES[size_name])


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
