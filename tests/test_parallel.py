"""The thread pool: many callers, more threads than processors, and fork()."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor

import fastmatte as fm
import numpy as np
import pytest

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (700, 500, 3), dtype=np.uint8)
ALPHA = RNG.random((700, 500), dtype=np.float32)
EXPECTED = fm.kernels.composite(IMAGE, (1, 2, 3), ALPHA, threads=1)


def compose(threads):
    return np.array_equal(fm.kernels.composite(IMAGE, (1, 2, 3), ALPHA, threads=threads), EXPECTED)


def test_many_callers_share_the_pool():
    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(compose, [1, 2, 3, 5, 8, 16] * 20))


@pytest.mark.parametrize("threads", [2, 3, 31, 40])
def test_each_band_is_worked_on_once(threads):
    """In place twice is another result; there are more bands, and more threads, than sections."""
    image = np.tile(IMAGE, (2, 4, 1))
    alpha = np.full(image.shape[:2], 0.5, np.float32)
    expected = fm.kernels.composite(image, (0, 0, 0), alpha, threads=1)
    for _ in range(5):
        out = image.copy()
        fm.kernels.composite(out, (0, 0, 0), alpha, out=out, threads=threads)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_gets_a_pool_of_its_own():
    assert compose(3)
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as children:
        assert all(children.map_async(compose, [2, 3, 4, 5]).get(timeout=60))


def test_a_pool_without_work_sleeps():
    assert compose(4)
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


@pytest.mark.usefixtures("empty_store")
def test_scratch_memory_is_recycled():
    compose(2)
    before = fm._core.system_allocations()
    for _ in range(20):
        compose(2)
    assert fm._core.system_allocations() == before
