"""guided_filter and guided_upsample against OpenCV's guidedFilter, full and subsampled.

OpenCV reflects at the borders and its float32 moments leave errors of their own, so that only ours
is held against the oracle.
"""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import peers
import pytest

RADIUS, EPS = 8, 1e-4
#: The product's default refinement.
REFINE = {"radius": 3, "eps": 1e-4, "unsure": 8.0}


@pytest.fixture(params=["grey", "colour"])
def guide(request, scene):
    return scene[0] if request.param == "colour" else np.ascontiguousarray(scene[0][..., 1])


@pytest.fixture
def kind(guide, size_name):
    return f"{'colour' if guide.ndim == 3 else 'grey'}-{size_name}"


@pytest.fixture(params=[256, 512])
def small(request, scene):
    side = request.param
    return np.clip(oracles.resample(scene[2], (side, side), "area"), 0, 1).astype(np.float32)


def box_sums(values, radius):
    """oracles.window_mean without its (H, H) matrices, too slow at this size."""
    for axis in (0, 1):
        n = values.shape[axis]
        sums = np.concatenate(
            [np.zeros_like(values.take([0], axis)), np.cumsum(values, axis, dtype=float)], axis
        )
        x = np.arange(n)
        end, begin = np.minimum(x + radius + 1, n), np.maximum(x - radius, 0)
        count = (end - begin).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        values = (sums.take(end, axis) - sums.take(begin, axis)) / count
    return values


@pytest.fixture
def oracle(monkeypatch):
    monkeypatch.setattr(oracles, "window_mean", box_sums)
    return oracles


@pytest.mark.parametrize("subsample", [1, 4])
def test_guided_filter_fastmatte(race, scene, guide, kind, isa, subsample, oracle):
    alpha = scene[2]
    out = np.empty_like(alpha)
    race(
        f"guided_filter-r{RADIUS}-subsample{subsample}-{kind}",
        lambda: fm.kernels.guided_filter(
            guide, alpha, radius=RADIUS, eps=EPS, subsample=subsample, out=out, threads=1
        ),
        oracle.guided_filter(guide, alpha, RADIUS, EPS, subsample),
        2e-5,
    )


@pytest.mark.parametrize("subsample", [1, 4])
def test_guided_filter_peer(benchmark, scene, guide, kind, subsample):
    peers.ximgproc()
    benchmark.group = f"guided_filter-r{RADIUS}-subsample{subsample}-{kind}"
    benchmark(peers.guided_filter_cv2, guide, scene[2], RADIUS, EPS, 1 / subsample)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_guided_upsample_fastmatte(race, guide, kind, small, isa, dtype, oracle):
    out = np.empty(guide.shape[:2], dtype)
    top = 1 if dtype == np.float32 else 255
    race(
        f"guided_upsample-{len(small)}-{kind}",
        lambda: fm.kernels.guided_upsample(guide, small, **REFINE, out=out, threads=1),
        oracle.guided_upsample(guide, small, **REFINE) * top,
        2e-5 if top == 1 else 0.5 + 255 * 2e-5,
    )


@pytest.mark.parametrize("peer", ["guided_upsample_cv2", "grow_cv2"])
def test_guided_upsample_peer(benchmark, guide, kind, small, peer):
    peers.ximgproc()
    arguments = (REFINE["radius"], REFINE["eps"]) if peer == "guided_upsample_cv2" else ()
    benchmark.group = f"guided_upsample-{len(small)}-{kind}"
    benchmark(getattr(peers, peer), guide, small, *arguments)
