"""motion_adaptive_filter and one_frame_delay."""

from __future__ import annotations

import re

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Guarded, arrays, images, seeds, sizes, thread_counts

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
GATES = {"weight": 0.3, "motion": (5, 14), "jump": (0.5, 0.9)}
#: Gates that are wide, at an end of the range, and without effect.
gates = st.sampled_from(
    [
        GATES,
        {"weight": 0.05, "motion": (0, 255), "jump": (0, 1)},
        {"weight": 1, "motion": (5, 14), "jump": (0.2, 0.6)},
    ]
)


def pair(size, seed, change):
    """A frame, and the next, whose levels are up to `change` away."""
    rng = np.random.default_rng(seed)
    before = rng.integers(0, 256, (*size, 3), np.uint8)
    offset = rng.integers(-change, change + 1, before.shape)
    return before, np.clip(before + offset, 0, 255).astype(np.uint8)


@each_isa
@given(
    data=st.data(),
    size=sizes,
    radius=st.integers(0, 7),
    gate=gates,
    change=st.sampled_from([None, 0, 4, 20, 60]),
    threads=thread_counts,
)
def test_motion_adaptive_filter_equals_oracle(isa, data, size, radius, gate, change, threads):
    if change is None:
        frames = data.draw(images(size)), data.draw(images(size))
    else:
        frames = pair(size, data.draw(seeds), change)
    alphas = [data.draw(arrays(size, np.float32)) for _ in range(2)]
    guarded = Guarded(size, np.float32)
    result = fm.kernels.motion_adaptive_filter(
        *frames, *alphas, radius=radius, **gate, out=guarded.out, threads=threads
    )
    assert result is guarded.out
    expected = oracles.motion_adaptive_filter(*frames, *alphas, radius=radius, **gate)
    # The gate's rounding, a few 2^-24 of its start, is stretched by its slope.
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-5)
    assert result.min() >= 0
    assert result.max() <= 1
    guarded.assert_untouched_outside()


@each_isa
@given(data=st.data(), size=sizes, threshold=st.sampled_from([0, 0.1, 1]), threads=thread_counts)
def test_one_frame_delay_equals_oracle(isa, data, size, threshold, threads):
    alphas = [data.draw(arrays(size, np.float32)) for _ in range(3)]
    guarded = Guarded(size, np.float32)
    result = fm.kernels.one_frame_delay(
        *alphas, threshold=threshold, out=guarded.out, threads=threads
    )
    np.testing.assert_array_equal(result, oracles.one_frame_delay(*alphas, threshold))
    guarded.assert_untouched_outside()


@pytest.fixture(scope="module")
def moving():
    """Frames of several bands: the left half still but for noise, the right half another one."""
    before, image = pair((331, 517), 5, 3)
    image[:, 260:] = 255 - image[:, 260:]
    rng = np.random.default_rng(6)
    return before, image, *(rng.random((331, 517), np.float32) for _ in range(2))


@pytest.mark.parametrize("radius", [0, 4, 7])
def test_bands_threads_and_isas_agree(isa, moving, radius):
    one, three = (
        fm.kernels.motion_adaptive_filter(*moving, radius=radius, threads=n) for n in (1, 3)
    )
    np.testing.assert_array_equal(one, three)
    with fm.cpu.force("scalar"):
        scalar = fm.kernels.motion_adaptive_filter(*moving, radius=radius, threads=1)
    np.testing.assert_array_equal(one, scalar)
    expected = oracles.motion_adaptive_filter(*moving, radius=radius, **GATES)
    np.testing.assert_allclose(one, expected, rtol=0, atol=2e-5)


def test_what_moves_is_the_new_alpha_and_what_stands_still_settles(isa, moving):
    _, _, alpha_before, alpha = moving
    result = fm.kernels.motion_adaptive_filter(*moving)
    np.testing.assert_array_equal(result[:, 270:], alpha[:, 270:])
    jumps = np.abs(alpha - alpha_before) >= 0.9
    np.testing.assert_array_equal(result[jumps], alpha[jumps])
    quiet = np.abs(alpha - alpha_before)[:, :250] <= 0.5
    mixed = (alpha_before + 0.3 * (alpha - alpha_before))[:, :250]
    np.testing.assert_allclose(result[:, :250][quiet], mixed[quiet], atol=1e-6)
    same = fm.kernels.motion_adaptive_filter(moving[1], moving[1], alpha, alpha)
    np.testing.assert_array_equal(same, alpha)


def test_only_what_flickers_alone_is_taken_out():
    before, alpha, after = (
        np.array([row], np.float32)
        for row in ([0, 0, 1, 0.5, 0.0], [1, 1, 1, 0.55, 0.5], [0, 1, 1, 0.5, 0.05])
    )
    result = fm.kernels.one_frame_delay(before, alpha, after)
    np.testing.assert_array_equal(result, np.array([[0, 1, 1, 0.55, 0.025]], np.float32))


def test_out_may_be_either_alpha(isa, moving):
    before, image, *alphas = moving
    expected = fm.kernels.motion_adaptive_filter(*moving)
    for which in (0, 1):
        copies = [alpha.copy() for alpha in alphas]
        result = fm.kernels.motion_adaptive_filter(before, image, *copies, out=copies[which])
        np.testing.assert_array_equal(result, expected)
    three = [*alphas, alphas[0][::-1].copy()]
    expected = fm.kernels.one_frame_delay(*three)
    for which in range(3):
        copies = [alpha.copy() for alpha in three]
        result = fm.kernels.one_frame_delay(*copies, out=copies[which])
        np.testing.assert_array_equal(result, expected)


@pytest.mark.usefixtures("empty_store")
def test_steady_state_takes_no_memory_from_the_system(moving):
    out = np.empty(moving[2].shape, np.float32)
    fm.kernels.motion_adaptive_filter(*moving, out=out, threads=3)
    before = fm._core.system_allocations()
    for _ in range(20):
        fm.kernels.motion_adaptive_filter(*moving, out=out, threads=3)
    assert fm._core.system_allocations() == before


FRAME, ALPHA = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weight": 0}, ValueError, "weight: expected a number from 0.001 to 1.0, got 0"),
        ({"radius": 8}, ValueError, "radius: expected an integer from 0 to 7, got 8"),
        ({"motion": (9, 9)}, ValueError, "motion: expected the first to be less than the second"),
        ({"motion": 9}, TypeError, "motion: expected two numbers, got 9"),
        ({"motion": (0, 256)}, ValueError, "motion: expected a number from 0.0 to 255.0, got 256"),
        ({"jump": (0.5, 2)}, ValueError, "jump: expected a number from 0.0 to 1.0, got 2"),
        ({"image": FRAME[:3]}, ValueError, "before: expected the size of image, 3 x 6, got 4 x 6"),
        ({"alpha": ALPHA[:3]}, ValueError, "alpha: expected the size of image, 4 x 6, got 3 x 6"),
        ({"alpha": ALPHA + 2}, ValueError, "alpha: expected values in [0, 1], got 2.0"),
        ({"alpha_before": ALPHA * np.nan}, ValueError, "alpha_before: expected values in [0, 1]"),
        ({"before": ALPHA}, TypeError, "before: expected (H, W, 3) uint8"),
        ({"out": FRAME[..., 0]}, TypeError, "out: expected (4, 6) float32"),
    ],
)
def test_bad_argument_is_named(change, error, message):
    arguments = {"before": FRAME, "image": FRAME, "alpha_before": ALPHA, "alpha": ALPHA, **change}
    with pytest.raises(error) as caught:
        fm.kernels.motion_adaptive_filter(**arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 1.5}, "threshold: expected a number from 0.0 to 1.0, got 1.5"),
        ({"after": ALPHA[:3]}, "after: expected the size of alpha, 4 x 6, got 3 x 6"),
        ({"before": ALPHA - 1}, "before: expected values in [0, 1], got -1.0"),
    ],
)
def test_bad_argument_of_one_frame_delay_is_named(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fm.kernels.one_frame_delay(**{"before": ALPHA, "alpha": ALPHA, "after": ALPHA, **change})


def test_partly_overlapping_out_is_refused():
    whole = np.zeros((5, 6), np.float32)
    with pytest.raises(ValueError, match="out: expected the memory of alpha itself or apart"):
        fm.kernels.motion_adaptive_filter(FRAME, FRAME, ALPHA, whole[:4], out=whole[1:])
    with pytest.raises(ValueError, match="out: expected the memory of after itself or apart"):
        fm.kernels.one_frame_delay(ALPHA, ALPHA, whole[:4], out=whole[1:])
