"""Streams over time: smoothing, skipping, live frames with a deadline, several at once."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import fastmatte as fm
import numpy as np
import oracles
import pytest
from fastmatte.live import LiveStream
from fastmatte.shots import SAMPLES, StillDetector

SIZE = (60, 80)
#: Long enough for any machine: nothing is late.
NEVER = 60_000


def flickering(count, seed=0):
    """Frames that stand still but for noise; for a network of brightness one in four flickers."""
    rng = np.random.default_rng(seed)
    still = rng.integers(40, 200, (*SIZE, 3))
    for i in range(count):
        noise = rng.integers(-2, 3, still.shape)
        yield np.clip(still + noise + (4 if i % 4 == 2 else 0), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def matter(graph):
    return fm.Matter(graph("modnet"), threads=1)


@pytest.fixture(scope="module")
def recurrent(graph):
    return fm.Matter(graph("rvm"), threads=1)


def alphas_of(stream, frames):
    with stream:
        return [matte.alpha.copy() for matte in stream.mattes(frames)]


def test_motion_adaptive_is_the_default_and_equals_its_oracle(matter):
    frames = list(flickering(8))
    alphas = [matter.alpha(frame) for frame in frames]
    expected = [alphas[0]]
    for before, image, alpha in zip(frames, frames[1:], alphas[1:], strict=False):
        expected.append(
            oracles.motion_adaptive_filter(
                before, image, expected[-1], alpha, 0.3, 4, (5, 14), (0.5, 0.9)
            )
        )
    for options in ({}, {"smoothing": "motion_adaptive"}, {"smoothing": fm.MotionAdaptive()}):
        steady = alphas_of(matter.stream(**options), frames)
        np.testing.assert_allclose(steady, expected, atol=1e-4)
    raw, found = (fm.metrics.dtssd(a, [alphas[0]] * 8) for a in (alphas, steady))
    assert found < 0.6 * raw


def test_one_frame_delay_gives_every_frame_once_and_steadied(matter):
    frames = list(flickering(9))
    alphas = [matter.alpha(frame) for frame in frames]
    stream = matter.stream(smoothing=fm.OneFrameDelay(threshold=0.01))
    # A camera writes every frame to the same place.
    canvas = np.empty_like(frames[0])

    def camera():
        for frame in frames:
            np.copyto(canvas, frame)
            yield canvas

    results = []
    with stream:
        for i, matte in enumerate(stream.mattes(camera())):
            opaque = matte.alpha > 0
            seen = matte.composite((0, 0, 0), foreground="image")
            own = oracles.composite(frames[i], (0, 0, 0), matte.alpha)
            np.testing.assert_array_equal(seen[opaque], own[opaque])
            results.append(matte.alpha.copy())
    expected = [
        alphas[0],
        *(oracles.one_frame_delay(*alphas[i : i + 3], 0.01) for i in range(7)),
        alphas[-1],
    ]
    np.testing.assert_array_equal(results, expected)
    assert not np.array_equal(results, alphas)
    with pytest.raises(ValueError, match=r"smoothing: one-frame delay .* from mattes\(\)"):
        stream(frames[0])


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_one_frame_delay_of_hardly_any_frames(matter, frames):
    frames = list(flickering(frames))
    results = alphas_of(matter.stream(smoothing="one_frame_delay"), frames)
    np.testing.assert_array_equal(results, [matter.alpha(frame) for frame in frames])


def test_one_frame_delay_takes_the_foreground_along(recurrent):
    frames = list(flickering(4))
    with recurrent.stream() as stream:
        own = [stream(frame).foreground.copy() for frame in frames]
    with recurrent.stream(smoothing="one_frame_delay") as stream:
        delayed = [matte.foreground.copy() for matte in stream.mattes(frames)]
    np.testing.assert_array_equal(delayed, own)


@pytest.mark.parametrize("smoothing", ["motion_adaptive", "one_frame_delay"])
@pytest.mark.parametrize("kind", ["cut", "size"])
def test_smoothing_starts_afresh(matter, smoothing, kind):
    first = list(flickering(3))
    second = [255 - frame for frame in flickering(3, seed=1)]
    if kind == "size":
        second = [np.ascontiguousarray(frame[:40]) for frame in second]
    together = alphas_of(matter.stream(smoothing=smoothing), [*first, *second])
    apart = [
        alpha
        for shot in (first, second)
        for alpha in alphas_of(matter.stream(smoothing=smoothing), shot)
    ]
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(one, other)


def test_reset_starts_afresh(matter):
    frames = list(flickering(3))
    with matter.stream() as stream:
        for frame in frames[:2]:
            stream(frame)
        stream.reset()
        np.testing.assert_array_equal(stream(frames[2]).alpha, matter.alpha(frames[2]))


def test_auto_leaves_other_networks_as_they_are(graph, recurrent):
    frames = list(flickering(4))
    np.testing.assert_array_equal(
        alphas_of(recurrent.stream(), frames), alphas_of(recurrent.stream(smoothing="none"), frames)
    )
    reference = fm.Matter(graph("modnet"), mode="reference")
    expected = [reference.alpha(frame) for frame in frames]
    np.testing.assert_array_equal(alphas_of(reference.stream(), frames), expected)


def test_still_frames_are_skipped_but_not_for_ever(matter):
    frames = list(flickering(12))
    with matter.stream(smoothing="none", skip=fm.SceneSkip(threshold=8, most=4)) as stream:
        alphas = [stream(frame).alpha.copy() for frame in frames]
    assert stream.stats.skipped == 9
    assert stream.stats.frames == 12
    for seen in (0, 5, 10):
        np.testing.assert_array_equal(alphas[seen], matter.alpha(frames[seen]))
    assert max(np.abs(a - matter.alpha(f)).max() for a, f in zip(alphas, frames, strict=True)) < 0.1


def test_a_hand_is_change_and_noise_is_not():
    rng = np.random.default_rng(3)
    frame = rng.integers(60, 190, (480, 640, 3)).astype(np.uint8)
    noisy = np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8)
    moved = frame.copy()
    moved[200:216, 300:316] = 220
    still = StillDetector(fm.SceneSkip(), 1)
    assert not still.still(frame)
    assert still.still(noisy)
    assert not still.still(moved)
    still.reset()
    assert not still.still(moved)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"smoothing": "heavy"}, ValueError, "smoothing: expected 'auto', 'none'"),
        ({"skip": 3}, TypeError, "skip: expected a SceneSkip or None, got int"),
        ({"deadline_ms": 0}, ValueError, "deadline_ms: expected more than 0, got 0"),
        ({"deadline_ms": "40"}, TypeError, "deadline_ms: expected a number or None, got str"),
        (
            {"deadline_ms": 40, "smoothing": "one_frame_delay"},
            ValueError,
            "smoothing: expected none with a delay for live frames",
        ),
    ],
)
def test_bad_options_are_named(matter, options, error, message):
    with pytest.raises(error, match=message):
        matter.stream(**options)
    with pytest.raises(ValueError, match="threshold: expected 0 to 255"):
        fm.SceneSkip(threshold=300)
    with pytest.raises(ValueError, match="most: expected an integer of at least 1"):
        fm.SceneSkip(most=0)


@pytest.mark.parametrize("pixel_format", ["rgb", "bgra"])
def test_live_mattes_are_those_of_a_stream(matter, pixel_format):
    frames = list(flickering(6))
    if pixel_format == "bgra":
        frames = [np.dstack([f[..., ::-1], f[..., :1]]) for f in frames]
    expected = []
    with matter.stream(pixel_format=pixel_format) as stream:
        for frame in frames:
            expected.append(stream(frame).composite((1, 2, 3)).copy())
    canvas = np.empty_like(frames[0])
    with matter.stream(pixel_format=pixel_format, deadline_ms=NEVER) as live:
        assert live.latest() is None
        for frame, wanted in zip(frames, expected, strict=True):
            np.copyto(canvas, frame)
            live.submit(canvas)
            canvas[:] = 77  # the camera goes on writing
            matte = live.latest(wait_ms=NEVER)
            np.testing.assert_array_equal(matte.composite((1, 2, 3)), wanted)
            assert live.latest() is None
        assert (live.stats.frames, live.stats.dropped) == (6, 0)
        assert live.stats.stages["latency"].p50 > 0


def test_live_foreground_is_the_networks_own(recurrent):
    frames = list(flickering(3))
    with recurrent.stream() as stream, recurrent.stream(deadline_ms=NEVER) as live:
        for frame in frames:
            live.submit(frame)
            matte = live.latest(wait_ms=NEVER)
            np.testing.assert_array_equal(matte.foreground, stream(frame).foreground)


def test_a_taken_matte_is_good_until_the_next_one(matter):
    frames = list(flickering(40))
    with matter.stream(deadline_ms=NEVER) as live:
        live.submit(frames[0])
        matte = live.latest(wait_ms=NEVER)
        before = matte.alpha.copy()
        for frame in frames[1:]:
            live.submit(frame)
            time.sleep(0.002)
        np.testing.assert_array_equal(matte.alpha, before)
        while live.latest(wait_ms=50) is not None:
            pass
        with pytest.raises(fm.FastmatteError, match="gone on to its next frame"):
            matte.alpha  # noqa: B018


class Slow:
    """In place of a runner's run: as slow as told, or failing."""

    def __init__(self, monkeypatch):
        self.gate = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.error = None
        original = fm.Stream.__call__

        def call(stream, *arguments, **options):
            self.begun.release()
            assert self.gate.acquire(timeout=60)
            if self.error is not None:
                error, self.error = self.error, None
                raise error
            return original(stream, *arguments, **options)

        monkeypatch.setattr(fm.Stream, "__call__", call)


@pytest.fixture
def slow(monkeypatch):
    return Slow(monkeypatch)


def test_only_the_newest_frame_waits(matter, slow):
    frames = list(flickering(10))
    with matter.stream(smoothing="none", deadline_ms=NEVER) as live:
        live.submit(frames[0])
        assert slow.begun.acquire(timeout=60)
        for frame in frames[1:]:
            live.submit(frame)
        slow.gate.release(2)
        alphas = []
        while len(alphas) < 2 and (matte := live.latest(wait_ms=NEVER)) is not None:
            alphas.append(matte.alpha.copy())
            if np.array_equal(alphas[-1], matter.alpha(frames[-1])):
                break
        stats = live.stats
    np.testing.assert_array_equal(alphas[-1], matter.alpha(frames[-1]))
    # The first is dropped too where the last overtook it before it was taken.
    assert stats.frames == 10
    assert stats.dropped == 10 - len(alphas)


def test_what_is_late_is_dropped_and_counted(matter, slow):
    frames = list(flickering(3))
    with matter.stream(deadline_ms=30) as live:
        live.submit(frames[0])
        assert slow.begun.acquire(timeout=60)
        live.submit(frames[1])
        time.sleep(0.05)
        slow.gate.release()
        # The first comes too late, the second is not begun any more.
        until = time.monotonic() + 60
        while live.stats.dropped < 2 and time.monotonic() < until:
            time.sleep(0.01)
        assert live.latest() is None
        assert live.stats.dropped == 2
        assert not slow.begun.acquire(blocking=False)


@pytest.mark.parametrize("deadline", [20, NEVER])
def test_beside_busy_processes_every_frame_is_taken_or_dropped(matter, deadline):
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(2 * fm._core.default_threads())
    ]
    frames, taken = list(flickering(60)), 0
    try:
        with matter.stream(deadline_ms=deadline) as live:
            for frame in frames:
                live.submit(frame)
                time.sleep(0.005)
                taken += live.latest() is not None
            while live.latest(wait_ms=500) is not None:
                taken += 1
            stats = live.stats
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert stats.frames == 60
    assert taken + stats.dropped == 60
    if "latency" in stats.stages:
        assert stats.stages["latency"].p99 <= deadline + 1


def test_errors_come_out_once_and_the_next_frame_goes_on(matter, slow):
    frame = next(flickering(1))
    with matter.stream(deadline_ms=NEVER) as live:
        slow.error = fm.EngineError("it broke")
        slow.gate.release()
        live.submit(frame)
        with pytest.raises(fm.EngineError, match="it broke"):
            live.latest(wait_ms=NEVER)
        slow.gate.release()
        live.submit(frame)
        assert live.latest(wait_ms=NEVER) is not None
        with pytest.raises(ValueError, match=r"image: expected \(H, W, 3\) uint8"):
            live.submit(frame[..., 0])
        with pytest.raises(TypeError, match="image: expected a NumPy array"):
            live.submit("frame")


def test_frames_may_change_size_live(matter):
    with matter.stream(deadline_ms=NEVER) as live:
        for size in (SIZE, (30, 50), SIZE):
            live.submit(np.full((*size, 3), 99, np.uint8))
            assert live.latest(wait_ms=NEVER).alpha.shape == size


def test_closing_ends_the_thread(matter):
    before = threading.active_count()
    live = matter.stream(deadline_ms=NEVER)
    assert threading.active_count() == before + 1
    live.close()
    live.close()
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="submit: the stream is closed"):
        live.submit(next(flickering(1)))
    assert live.latest(wait_ms=NEVER) is None
    dropped = weakref.ref(matter.stream(deadline_ms=NEVER))
    gc.collect()
    assert dropped() is None
    assert threading.active_count() == before


def test_memory_of_a_live_stream_does_not_grow(matter):
    frames = list(flickering(2))
    with matter.stream(deadline_ms=NEVER) as live:
        for i in range(200):
            live.submit(frames[i % 2])
            if i % 3 == 0:
                live.latest()
        desk = live._desk
        with desk.lock:
            slots = [desk._waiting, desk._ready, live._lent, *desk._free]
        assert len([slot for slot in slots if slot is not None]) <= 5


@pytest.mark.parametrize("name", ["modnet", "rvm"])
def test_streams_at_once_do_not_mix(graph, engine, name):
    matter = fm.Matter(graph(name), engine=engine, threads=1)
    videos = [list(flickering(12, seed)) for seed in range(6)]
    alone = [alphas_of(matter.stream(), video) for video in videos]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda video: alphas_of(matter.stream(), video), videos))
    np.testing.assert_array_equal(together, alone)


def test_a_live_stream_is_what_a_deadline_makes(matter):
    with matter.stream(deadline_ms=10) as live:
        assert isinstance(live, LiveStream)
    assert isinstance(matter.stream(), fm.Stream)
    assert SAMPLES == 64
