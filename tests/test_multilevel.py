"""estimate_foreground, method "multilevel"."""

from __future__ import annotations

from pathlib import Path

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Guarded, alphas, images, seeds, sizes, thread_counts
from test_estimate_foreground import scene, sparse_alphas

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

EVAL = Path(__file__).parents[2] / "shared" / "data" / "images" / "eval"
#: Some below 32 x 32, where sweeps are ten; above 64 rows there are several bands.
LEVEL_SIZES = [(1, 1), (1, 40), (40, 1), (2, 3), (32, 32), (33, 31), (64, 20), (65, 130), (250, 9)]


def multilevel(image, alpha, **options):
    return fm.kernels.estimate_foreground(image, alpha, method="multilevel", **options)


@pytest.fixture(scope="module")
def expected():
    """(image, alpha, the oracle's foreground) by size, computed once."""
    cases = {}
    for seed, size in enumerate(LEVEL_SIZES):
        image, alpha, _ = scene(*size, seed)
        cases[size] = image, alpha, oracles.multilevel(image, alpha)
    return cases


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", LEVEL_SIZES)
def test_multilevel_equals_oracle(isa, expected, size, threads):
    image, alpha, foreground = expected[size]
    difference = multilevel(image, alpha, threads=threads) - foreground
    # Half a level is rounding; the rest are the starts of bands, and float32.
    assert np.abs(difference).max() < 0.51


@each_isa
@given(data=st.data(), size=sizes, threads=thread_counts)
def test_every_isa_and_thread_count_gives_the_same_bytes(isa, data, size, threads):
    image = data.draw(images(size))
    alpha = data.draw(st.one_of(alphas(size), sparse_alphas(size)))
    guarded = Guarded((*size, 3), np.uint8)
    result = multilevel(image, alpha, out=guarded.out, threads=threads)
    assert result is guarded.out
    with fm.cpu.force("scalar"):
        np.testing.assert_array_equal(result, multilevel(image, alpha, threads=1))
    guarded.assert_untouched_outside()


@settings(max_examples=10)
@given(data=st.data(), size=sizes)
def test_noise_stays_near_the_oracle(data, size):
    image, alpha = data.draw(images(size)), data.draw(sparse_alphas(size))
    difference = np.abs(multilevel(image, alpha) - oracles.multilevel(image, alpha))
    assert difference.mean() < 0.3  # of which rounding is a quarter


@given(size=sizes, level=st.integers(0, 255), seed=seeds)
def test_one_colour_stays(size, level, seed):
    alpha = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    image = np.full((*size, 3), level, np.uint8)
    np.testing.assert_array_equal(multilevel(image, alpha), image)


def test_recovers_most_of_the_true_foreground():
    image, alpha, foreground = scene(270, 480)
    unknown = (alpha > 0.05) & (alpha < 0.95)
    before, after = (
        np.abs(colours - foreground)[unknown].mean()
        for colours in (image, multilevel(image, alpha))
    )
    assert after < before / 4


def assert_agrees_with_pymatting(image, alpha):
    pymatting = pytest.importorskip("pymatting", reason="pymatting is not installed")
    opacity = oracles.as_float32(alpha).astype(np.float64)
    theirs = 255 * pymatting.estimate_foreground_ml(image / 255, opacity)
    difference = np.abs(multilevel(image, alpha) - np.round(theirs))
    # It starts from other colours than ours, and sums in float32 too: now and then that is enough
    # to round the other way.
    assert difference.max() <= 1
    assert difference.mean() < 0.05


def test_agrees_with_pymatting():
    assert_agrees_with_pymatting(*scene(270, 480)[:2])


@pytest.mark.skipif(not EVAL.is_dir(), reason="no shared evaluation images beside this checkout")
@pytest.mark.parametrize("name", ["baby", "woman2", "woman_dance"])
def test_agrees_with_pymatting_on_hair(name):
    image_module = pytest.importorskip("PIL.Image")
    image = np.asarray(image_module.open(EVAL / f"{name}_image.png").convert("RGB"))
    alpha = np.asarray(image_module.open(EVAL / f"{name}_alpha.png").convert("L"))
    assert_agrees_with_pymatting(image, alpha)


def test_uint8_alpha_equals_the_float_alpha_it_stands_for():
    image, alpha, _ = scene(140, 200)
    counts = oracles.quantise(alpha, 255).astype(np.uint8)
    same = counts.astype(np.float32) * np.float32(1 / 255)
    np.testing.assert_array_equal(multilevel(image, counts), multilevel(image, same))


@pytest.mark.usefixtures("empty_store")
def test_scratch_memory_is_recycled():
    image, alpha, _ = scene(1024, 100)
    out = np.empty_like(image)
    multilevel(image, alpha, out=out, threads=8)
    before = fm._core.system_allocations()
    for _ in range(5):
        multilevel(image, alpha, out=out, threads=8)
    assert fm._core.system_allocations() == before


def test_bad_alpha_is_named_before_anything_is_written():
    image, alpha, _ = scene(4, 6)
    out = np.full_like(image, 113)
    with pytest.raises(ValueError, match=r"alpha: expected values in \[0, 1\], got nan"):
        multilevel(image, alpha * np.nan, out=out)
    assert (out == 113).all()
