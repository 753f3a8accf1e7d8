"""sad, mse, mad, grad, conn and dtssd."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from fastmatte import _core, metrics
from hypothesis import HealthCheck, given, settings
from strategies import alphas, arrays, lay_out, seeds, sides, sizes, thread_counts

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

NAMES = ["sad", "mse", "mad", "grad", "conn"]
#: Oracles flood pixel by pixel.
small_sizes = st.tuples(st.integers(1, 24), st.integers(1, 40))


@st.composite
def trimaps(draw, shape):
    """None, or a trimap with at least one unknown pixel."""
    if draw(st.booleans()):
        return None
    rng = np.random.default_rng(draw(seeds))
    trimap = rng.choice(np.array([0, 128, 255], np.uint8), shape)
    trimap[rng.integers(shape[0]), rng.integers(shape[1])] = 128
    return lay_out(trimap, draw(st.sampled_from(["packed", "padded", "strided"])))


@st.composite
def blobs(draw, shape, dtype):
    """Smooth alpha: what has regions that stay connected for some levels and then do not."""
    rng = np.random.default_rng(draw(seeds))
    coarse = rng.random((max(1, shape[0] // 4), max(1, shape[1] // 4))).astype(np.float32)
    values = np.clip(fm.kernels.resize(coarse, shape) * 1.6 - 0.3, 0, 1)
    return values if dtype == np.float32 else fm.kernels.quantise(values)


dtypes = st.sampled_from([np.uint8, np.float32])


def grid(text):
    """Alpha from rows of digits in tenths; X is 1."""
    rows = [[10 if c == "X" else int(c) for c in row] for row in text.split()]
    return (np.array(rows) / 10).astype(np.float32)


@each_isa
@given(data=st.data(), size=sizes, threads=thread_counts)
def test_means_and_sums_equal_oracles(isa, data, size, threads):
    alpha, truth = data.draw(alphas(size)), data.draw(alphas(size))
    trimap = data.draw(trimaps(size))
    for name in ("sad", "mse", "mad"):
        result = getattr(metrics, name)(alpha, truth, trimap=trimap, threads=threads)
        assert isinstance(result, float)
        # float64 sums of exact differences, in another order.
        expected = getattr(oracles, name)(alpha, truth, trimap)
        assert result == pytest.approx(expected, rel=1e-12, abs=0)


@each_isa
@given(data=st.data(), size=st.tuples(sides, sides), threads=thread_counts)
def test_grad_equals_oracle(isa, data, size, threads):
    alpha, truth = data.draw(alphas(size)), data.draw(alphas(size))
    trimap = data.draw(trimaps(size))
    result = metrics.grad(alpha, truth, trimap=trimap, threads=threads)
    magnitudes = oracles.gradient_magnitude(alpha), oracles.gradient_magnitude(truth)
    scale = sum((m**2).sum() for m in magnitudes) / 1000
    # A constant's gradient is what float32 leaves of taps that cancel: 1e-7 a pixel.
    tolerance = 1e-5 * scale + 1e-13 * alpha.size
    assert abs(result - oracles.grad(alpha, truth, trimap)) <= tolerance


@each_isa
@given(data=st.data(), size=small_sizes, threads=thread_counts)
def test_conn_equals_oracle(isa, data, size, threads):
    kind = data.draw(st.sampled_from([blobs, arrays]))
    alpha, truth = (data.draw(kind(size, data.draw(dtypes))) for _ in range(2))
    trimap = data.draw(trimaps(size))
    result = metrics.conn(alpha, truth, trimap=trimap, threads=threads)
    assert result == pytest.approx(oracles.conn(alpha, truth, trimap), rel=1e-12, abs=0)


def test_conn_equals_scipy_on_larger_images(isa):
    ndimage = pytest.importorskip("scipy.ndimage")

    def largest_region(inside):
        labels, count = ndimage.label(inside)
        if count == 0:
            return inside
        return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])

    rng = np.random.default_rng(3)
    for size in [(131, 257), (64, 1000), (300, 200)]:
        for scale in (1, 3, 20):
            coarse = rng.random((2, size[0] // scale, size[1] // scale)).astype(np.float32)
            alpha, truth = (
                np.clip(fm.kernels.resize(c, size, filter="bicubic") * 1.5 - 0.1, 0, 1)
                for c in (coarse[0], 0.7 * coarse[0] + 0.3 * coarse[1])
            )
            expected = oracles.conn(alpha, truth, largest_region=largest_region)
            assert metrics.conn(alpha, truth) == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("alpha", "truth", "expected"),
    [
        # The pixel apart reaches no source region: l = 0, d = 1 in alpha and 0 in truth.
        ("XX0X", "XX00", 1.0),
        # Touching by a corner is apart, too: l = 0 and d = 1 against 0.6.
        ("XX0 XX0 00X", "XX0 XX0 006", 0.4),
        # Below 0.15 a distance does not count: l = 0.6 for both of the last, d = 0 and 0.1.
        ("XX6", "XX7", 0.0),
        # l = 0.6 again, and now d = 0.3 in truth.
        ("XX6", "XX9", 0.3),
        # A bridge of 0.4 connects the two on the right up to 0.4: d = 0.6 against 0.
        ("XXX4XX", "XXX444", 1.2),
        # In both: there is no difference, however disconnected.
        ("XXX4XX", "XXX4XX", 0.0),
        # The left three are the source up to 0.5, but from 0.6 on the right two are, which were
        # outside at 0.1: l = 0.5 left, where d = 0 against 0.4, and l = 0 right.
        ("5550XX", "9990XX", 1.2),
        # Of two of one size the first is the source: the last is at l = 0, d = 1 against 0.
        ("X00X", "X000", 1.0),
        ("XX0 000 0XX", "XX0 000 000", 2.0),
        # Nothing reaches 0.1 in both: all of l is 0.
        ("XX00", "00XX", 4.0),
        ("0000", "0000", 0.0),
    ],
)
def test_conn_by_hand(isa, alpha, truth, expected):
    a, t = grid(alpha), grid(truth)
    assert metrics.conn(a, t) == pytest.approx(expected / 1000, rel=1e-6, abs=1e-12)
    assert metrics.conn(t, a) == metrics.conn(a, t)
    assert oracles.conn(a, t) == pytest.approx(expected / 1000, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("level", range(11))
def test_conn_thresholds_are_exact(isa, level):
    """A pixel of exactly a threshold reaches it in either dtype, one 255th less does not."""
    bytes_ = np.full((4, 4), 255, np.uint8)
    bytes_[3] = -(-255 * level // 10)
    other = bytes_.copy()
    other[3] = 255
    floats = bytes_ / np.float32(255)
    # Connected up to level, d = 0 in alpha (less than 1/255, at least) and 1 - level / 10 beside.
    d = np.float32(1) - np.float32(level / 10)
    expected = 4 * (d if d >= np.float32(0.15) else 0) / 1000
    for alpha in (bytes_, floats):
        assert metrics.conn(alpha, other) == pytest.approx(expected, rel=1e-6, abs=1e-12)
    if level:
        less = bytes_.copy()
        less[3] -= 1
        expected = 4 * (d + np.float32(0.1)) * (d + np.float32(0.1) >= 0.15) / 1000
        assert metrics.conn(less, other) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_grad_by_hand(isa):
    """One step edge: the magnitude is the filters' partial sums, the same in every row."""
    truth = np.zeros((3, 40), np.float32)
    alpha = truth.copy()
    alpha[:, 20:] = 1
    x = np.arange(-4, 5)
    g = np.exp(-(x**2) / 3.92)
    derivative = x * g / np.linalg.norm(x * g)
    response = np.array([derivative[x >= 20 - p].sum() for p in range(40)])
    expected = 3 * ((response * g.sum() / np.linalg.norm(g)) ** 2).sum() / 1000
    assert metrics.grad(alpha, truth) == pytest.approx(expected, rel=1e-5)
    assert metrics.grad(np.ascontiguousarray(alpha.T), np.ascontiguousarray(truth.T)) == (
        pytest.approx(expected, rel=1e-5)
    )


@each_isa
@given(data=st.data(), size=sizes, count=st.integers(2, 4), threads=thread_counts)
def test_dtssd_equals_oracle(isa, data, size, count, threads):
    frames, truths = ([data.draw(alphas(size)) for _ in range(count)] for _ in range(2))
    chosen = [data.draw(trimaps(size)) for _ in range(count)]
    unknown = None if any(t is None for t in chosen) else chosen
    result = metrics.dtssd(iter(frames), iter(truths), trimaps=unknown, threads=threads)
    expected = oracles.dtssd(frames, truths, unknown)
    assert result == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_dtssd_by_hand():
    still = np.zeros((2, 2), np.float32)
    moved = still.copy()
    moved[0, 0] = 1
    # Pairs: a change of 1 in one pixel of four, then back.
    assert metrics.dtssd([still, moved, still], [still] * 3) == 0.5
    # An error that stays does not flicker.
    assert metrics.dtssd([moved] * 3, [still] * 3) == 0
    with pytest.raises(ValueError, match="alphas: expected at least 2 frames, got 1"):
        metrics.dtssd([still], [still])
    with pytest.raises(ValueError, match="alphas: expected at least 2 frames, got 0"):
        metrics.dtssd([], [])
    for arguments in ([[still] * 2, [still] * 3], [[still] * 3, [still] * 2]):
        with pytest.raises(ValueError, match=r"(alphas|truths): expected as many .*, got 2"):
            metrics.dtssd(*arguments)
    with pytest.raises(ValueError, match="trimaps: expected as many frames as of the others"):
        metrics.dtssd([still] * 2, [still] * 2, trimaps=[np.full((2, 2), 128, np.uint8)])
    with pytest.raises(ValueError, match="alphas: expected the size of the frame before, 2 x 2"):
        metrics.dtssd([still, still[:1]], [still] * 2)
    with pytest.raises(ValueError, match="truths: expected the size of alphas, 2 x 2"):
        metrics.dtssd([still] * 2, [still[:1]] * 2)


@given(data=st.data(), size=sizes)
def test_same_bits_on_every_isa_and_thread_count(data, size):
    alpha, truth = data.draw(alphas(size)), data.draw(alphas(size))
    trimap = data.draw(trimaps(size))
    for name in NAMES:
        found = set()
        for isa in fm.cpu.available():
            with fm.cpu.force(isa):
                for threads in (1, 3):
                    metric = getattr(metrics, name)
                    found.add(metric(alpha, truth, trimap=trimap, threads=threads))
        assert len(found) == 1, name


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_itself_is_0(name, isa):
    truth = np.random.default_rng(0).random((33, 57), np.float32)
    assert getattr(metrics, name)(truth, truth.copy()) == 0


@pytest.mark.parametrize("name", NAMES)
def test_bad_arguments(name):
    metric = getattr(metrics, name)
    alpha, truth = np.zeros((4, 5), np.float32), np.zeros((4, 5), np.uint8)
    trimap = np.full((4, 5), 128, np.uint8)
    with pytest.raises(ValueError, match="truth: expected the size of alpha, 4 x 5, got 3 x 5"):
        metric(alpha, truth[:3])
    with pytest.raises(ValueError, match="trimap: expected the size of alpha, 4 x 5, got 4 x 4"):
        metric(alpha, truth, trimap=trimap[:, :4])
    with pytest.raises(TypeError, match=r"alpha: expected .*float32, got .*float64"):
        metric(alpha.astype(float), truth)
    with pytest.raises(TypeError, match=r"truth: expected a NumPy array.*, got list"):
        metric(alpha, truth.tolist())
    with pytest.raises(TypeError, match=r"trimap: expected .*uint8"):
        metric(alpha, truth, trimap=alpha)
    bad = alpha.copy()
    bad[2, 3] = np.nan
    with pytest.raises(ValueError, match=r"alpha: expected values in \[0, 1\], got nan at row 2"):
        metric(bad, truth)
    with pytest.raises(ValueError, match=r"truth: expected values in \[0, 1\], got nan at row 2"):
        metric(truth, bad)
    trimap[1, 2] = 127
    with pytest.raises(ValueError, match="trimap: expected nothing but 0, 128 and 255, got 127"):
        metric(alpha, truth, trimap=trimap)
    with pytest.raises(ValueError, match="trimap: expected some pixels of 128, unknown, got none"):
        metric(alpha, truth, trimap=truth)
    with pytest.raises(ValueError, match="threads"):
        metric(alpha, truth, threads=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("empty_store")
def test_steady_state_allocates_nothing(name):
    rng = np.random.default_rng(1)
    alpha = rng.random((200, 300), np.float32)
    truth = rng.integers(0, 256, (200, 300), np.uint8)
    metric = getattr(metrics, name)
    metric(alpha, truth, threads=2)
    before = _core.system_allocations()
    for _ in range(3):
        metric(alpha, truth, threads=2)
    assert _core.system_allocations() == before
