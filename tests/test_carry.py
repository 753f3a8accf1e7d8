"""carry: alpha goes where its picture went."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Guarded, arrays, images, seeds, sizes, thread_counts

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def photograph(size, seed=0):
    """Noise of every scale, which looks like itself nowhere else."""
    rng = np.random.default_rng(seed)
    total = np.zeros(size)
    for step in (1, 4, 16):
        coarse = rng.random((-(-size[0] // step), -(-size[1] // step)))
        total += np.kron(coarse, np.ones((step, step)))[: size[0], : size[1]]
    return (total * 85).astype(np.uint8)


@each_isa
@given(data=st.data(), size=sizes, of_alpha=sizes, seed=seeds, threads=thread_counts)
def test_equals_oracle(isa, data, size, of_alpha, seed, threads):
    rng = np.random.default_rng(seed)
    if data.draw(st.booleans()):
        image, before = data.draw(images(size, 1)), data.draw(images(size, 1))
    else:
        image = photograph(size, seed)
        before = np.roll(image, rng.integers(-7, 8, 2), (0, 1))
    alpha = data.draw(arrays(of_alpha, np.float32))
    guarded = Guarded(of_alpha, np.float32)
    result = fm.kernels.carry(before, image, alpha, out=guarded.out, threads=threads)
    assert result is guarded.out
    # A position in float32 is off by as much as 2^-16 of 130 pixels, and so is noise.
    np.testing.assert_allclose(result, oracles.carry(before, image, alpha), rtol=0, atol=1e-3)
    guarded.assert_untouched_outside()
    assert result.min() >= 0
    assert result.max() <= 1
    with fm.cpu.force("scalar"):
        scalar = fm.kernels.carry(before, image, alpha, threads=1)
    np.testing.assert_array_equal(result, scalar)


def test_what_stands_still_stays(isa):
    image = photograph((96, 130))
    alpha = np.random.default_rng(1).random((200, 301), np.float32)
    np.testing.assert_array_equal(fm.kernels.carry(image, image, alpha), alpha)
    flat = np.full_like(image, 90)
    np.testing.assert_array_equal(fm.kernels.carry(flat, flat + 5, alpha), alpha)


@pytest.mark.parametrize("move", [(0, 3), (-6, 6), (5, -2)])
@pytest.mark.parametrize("scale", [1, 2])
def test_a_picture_that_moves_takes_its_alpha_along(isa, move, scale):
    scene = photograph((160, 200))
    inside = np.zeros((160, 200), np.float32)
    inside[40:120, 60:140] = 1
    before, alpha = scene[20:-20, 20:-20], inside[20:-20, 20:-20]
    there = tuple(slice(20 - d, n - 20 - d) for d, n in zip(move, scene.shape, strict=True))
    image, expected = scene[there], inside[there]
    grow = np.ones((scale, scale), np.float32)
    result = fm.kernels.carry(before, image, np.kron(alpha, grow))
    np.testing.assert_array_equal(result, np.kron(expected, grow))


@pytest.mark.usefixtures("empty_store")
def test_steady_state_takes_no_memory():
    image = photograph((100, 150))
    alpha = np.zeros((200, 300), np.float32)
    out = np.empty_like(alpha)
    fm.kernels.carry(image, image, alpha, out=out, threads=2)
    before = fm._core.system_allocations()
    for _ in range(5):
        fm.kernels.carry(image, image, alpha, out=out, threads=2)
    assert fm._core.system_allocations() == before


GREY, ALPHA = np.zeros((4, 6), np.uint8), np.zeros((8, 12), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"before": GREY[:3]}, ValueError, "before: expected the size of image, 4 x 6, got 3 x 6"),
        ({"image": GREY.astype(float)}, TypeError, "image: expected (H, W) uint8"),
        ({"alpha": ALPHA + 2}, ValueError, "alpha: expected"),
        ({"alpha": GREY}, TypeError, "alpha: expected (H, W) float32, got (4, 6) uint8"),
        ({"out": ALPHA[:4]}, ValueError, "out: expected (8, 12) float32, got (4, 12) float32"),
        ({"out": ALPHA}, ValueError, "out: expected memory apart from alpha"),
        ({"threads": -1}, ValueError, "threads: expected an integer from"),
    ],
)
def test_bad_arguments(change, error, message):
    with pytest.raises(error) as caught:
        fm.kernels.carry(**{"before": GREY, "image": GREY, "alpha": ALPHA, **change})
    assert message in str(caught.value)
