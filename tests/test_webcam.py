"""Cameras: real devices' errors, cameras that go and come back, what is shown meanwhile."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("av", reason="cameras need PyAV")

import av
import fastmatte as fm
from click.testing import CliRunner
from clips import clip, picture, pictures
from fastmatte.cli import main
from fastmatte.video import webcam as module
from fastmatte.video.cameras import MOST_SKIPPED, camera_of

SIZE = (48, 64)
#: Milliseconds: long enough for any machine.
NEVER = 60_000
linux = pytest.mark.skipif(sys.platform != "linux", reason="cameras are called so on Linux")


@pytest.fixture(scope="module")
def matter(graph):
    return fm.Matter(graph("modnet"), engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def recurrent(graph):
    return fm.Matter(graph("rvm"), engine="onnxruntime", threads=1)


@pytest.fixture
def quick(monkeypatch):
    """Cameras are looked for again at once."""
    monkeypatch.setattr(module, "WAITS", (0.005, 0.01))


def until(condition, what="it"):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(0.002)


class Plug:
    """A camera that a test holds in its hand: it gives a frame when told to, and may be pulled."""

    name = "the camera"
    returns = True

    def __init__(self, size=SIZE):
        self.size = size
        self.there = True
        self.opened = self.refused = 0
        self.asked = threading.Event()
        self._frames: list = []
        self._changed = threading.Condition()

    def give(self, *frames):
        with self._changed:
            self._frames += frames
            self._changed.notify_all()

    def open(self):
        if not self.there:
            self.refused += 1
            raise fm.VideoError("the camera: it is not plugged in")
        self.opened += 1
        return PlugSource(self, self.size)


class PlugSource:
    def __init__(self, plug, size):
        self.notes = []
        self.format = fm.video.Format(size, Fraction(1, 30), Fraction(30))
        self._plug, self._size = plug, size

    def read(self, pool):
        plug = self._plug
        with plug._changed:
            plug.asked.set()
            plug._changed.wait_for(lambda: plug._frames, 60)
            given = plug._frames.pop(0)
        if isinstance(given, BaseException):
            raise given
        if given is None:
            return None
        pixels = pool.take(given.shape)
        np.copyto(pixels, given)
        return fm.video.Frame(pixels, 0, 0, taken=time.perf_counter_ns())

    def close(self):
        pass


class Kept:
    """A sink that keeps what it is shown."""

    checkpoint = None

    def __init__(self, fails=None):
        self.notes = ["kept"]
        self.seen = []
        self.ended = None
        self._fails = fails

    def write(self, frame):
        if self._fails is not None:
            raise self._fails
        self.seen.append((frame.index, frame.pixels.copy()))

    def finish(self):
        self.ended = "finished"

    def abandon(self):
        self.ended = "abandoned"


# --- sources -------------------------------------------------------------------------------------


def test_a_recording_keeps_its_own_pace(tmp_path):
    path = clip(tmp_path / "in.mp4", 12)
    source = fm.video.Recording(path, loop=False).open()
    pool, taken = fm.video.Pool(), []
    begin = time.perf_counter_ns()
    while (frame := source.read(pool)) is not None:
        assert time.perf_counter_ns() >= frame.taken
        taken.append((frame.index, frame.taken))
        pool.give(frame.pixels)
    # On a busy machine some are left out.
    steps = np.diff([when for _, when in taken]) / (1e9 / 30)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert taken[-1][1] - begin >= 11 / 30 * 1e9 * 0.99
    assert [index for index, _ in taken] == list(range(len(taken)))
    source.close()


def test_a_recording_begins_anew_without_a_pause(tmp_path):
    path = clip(tmp_path / "in.mp4", 4)
    source = fm.video.Recording(path).open()
    frames = [source.read(fm.video.Pool()) for _ in range(10)]
    steps = np.diff([frame.taken for frame in frames]) / (1e9 / 30)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert [frame.index for frame in frames] == list(range(10))
    source.close()


class Instant:
    """Frames of 1000 a second, as many as there are, in no time."""

    def __init__(self, frames=10_000, slow=0.0):
        self.notes = []
        self.format = fm.video.Format((8, 8), Fraction(1, 1000), Fraction(1000))
        self.count, self.frames, self._slow = 0, frames, slow

    def read(self, pool):
        time.sleep(self._slow)
        if self.count == self.frames:
            return None
        self.count += 1
        return fm.video.Frame(pool.take((8, 8, 3)), 0, self.count - 1)

    def close(self):
        pass


def test_what_nobody_reads_in_time_is_left_out():
    source = Instant()
    paced = fm.video.PacedSource(source)
    pool = fm.video.Pool()
    paced.read(pool)
    time.sleep(0.02)
    frame = paced.read(pool)
    assert source.count > 10
    assert frame.index == 1


def test_a_source_that_never_keeps_up_is_shown_all_the_same():
    source = Instant(slow=0.003)
    paced = fm.video.PacedSource(source)
    pool = fm.video.Pool()
    for index in range(2):
        assert paced.read(pool).index == index
    assert source.count <= 2 * (MOST_SKIPPED + 1)
    assert fm.video.PacedSource(Instant(0)).read(pool) is None


def test_a_drawn_sitter_sways():
    source = fm.video.Drawn((60, 80), Fraction(120)).open()
    pool = fm.video.Pool()
    frames = [source.read(pool).pixels for _ in range(8)]
    assert source.format.size == (60, 80)
    changes = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(frames)]
    assert 0 < max(changes) < 8
    source.close()


def test_a_device_gives_its_pictures_as_they_come():
    device = fm.video.Device("mandelbrot=size=64x48:rate=30", api="lavfi")
    source = device.open()
    assert source.format.size == (48, 64)
    assert source.format.rate == 30
    pool = fm.video.Pool()
    before = time.perf_counter_ns()
    frames = [source.read(pool) for _ in range(3)]
    assert [frame.index for frame in frames] == [0, 1, 2]
    # The first had come before: what it is was asked of it.
    assert before < frames[1].taken < frames[2].taken < time.perf_counter_ns()
    assert (frames[0].pixels != frames[2].pixels).any()
    source.close()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({"device": "testsrc2=size=64x48", "api": "lavfi", "size": (50, 60)}, "asked for"),
        ({"device": "anullsrc", "api": "lavfi"}, "it gives no pictures"),
        ({"device": "nosuchfilter", "api": "lavfi"}, "it cannot be opened"),
        ({"device": "x", "api": "nosuchapi"}, "this build of PyAV has no 'nosuchapi'"),
    ],
)  # fmt: skip
def test_devices_that_do_not_do(device, message):
    with pytest.raises(fm.VideoError, match=message):
        fm.video.Device(**device).open()


@linux
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("/dev/video97", "there is no such camera; (none is connected|there are /dev/video)"),
        (97, "/dev/video97: there is no such camera"),
        ("/dev/null", "it is no camera that gives pictures"),
    ],
)
def test_what_is_no_camera(device, message):
    with pytest.raises(fm.VideoError, match=message):
        fm.video.Device(device).open()


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, "you have no right to use it; on Linux the group video may"),
        (errno.EBUSY, "another program uses it"),
        (
            errno.EINVAL,
            r"asked for \(1280x720, 60 frames a second, mjpeg\)",
        ),
    ],
)
def test_errors_that_only_a_real_camera_has_are_put_in_words(number, message):
    device = fm.video.Device(0, (720, 1280), Fraction(60), "mjpeg", api="v4l2")
    with pytest.raises(fm.VideoError, match=message):
        raise fm.VideoError(device._why(av.error.OSError(number, os.strerror(number))))


def test_cameras_by_name(tmp_path):
    path = clip(tmp_path / "in.mp4", 2)
    assert camera_of("test") == fm.video.Drawn()
    assert camera_of("test", size=(4, 6)) == fm.video.Drawn((4, 6))
    assert camera_of("1", size=(480, 640)) == fm.video.Device(1, (480, 640))
    assert camera_of(str(path)) == fm.video.Recording(path)
    with pytest.raises(ValueError, match="a file has its own"):
        camera_of(str(path), size=(480, 640))
    with pytest.raises(ValueError, match="it is drawn"):
        camera_of("test", input_format="mjpeg")
    if sys.platform == "linux":
        assert camera_of("/dev/null") == fm.video.Device("/dev/null")
        with pytest.raises(fm.VideoError, match="there is no such camera or file"):
            camera_of("talk.mp5")


# --- made ready ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["matter", "recurrent"])
def test_a_warm_stream_remembers_nothing(request, name):
    matter = request.getfixturevalue(name)
    frames = [picture(i) for i in range(4)]
    with matter.stream() as stream:
        expected = [stream(frame).alpha.copy() for frame in frames]
    with matter.stream() as stream:
        assert stream.warm(SIZE) > 0
        assert stream.stats.frames == 0
        assert stream.stats.stages == {}
        for frame, alpha in zip(frames, expected, strict=True):
            np.testing.assert_array_equal(stream(frame).alpha, alpha)
    with matter.stream(deadline_ms=NEVER) as live:
        live.warm(SIZE)
        for frame, alpha in zip(frames, expected, strict=True):
            live.submit(frame)
            np.testing.assert_array_equal(live.latest(wait_ms=NEVER).alpha, alpha)


def test_a_warm_stream_finds_everything_made(matter, monkeypatch):
    made = []
    engine = type(matter._pipeline.engine)
    bind = engine.bind
    monkeypatch.setattr(engine, "bind", lambda *a, **k: made.append(a) or bind(*a, **k))
    with matter.stream() as stream:
        stream.warm(SIZE)
        assert made
        made.clear()
        stream(picture(0))
        assert not made


def test_a_live_stream_forgets(recurrent):
    frames = [picture(i) for i in range(3)]
    with recurrent.stream() as stream:
        fresh = stream(frames[2]).alpha.copy()
    with recurrent.stream(deadline_ms=NEVER) as live:
        for frame in frames[:2]:
            live.submit(frame)
            live.latest(wait_ms=NEVER)
        live.reset()
        before = time.perf_counter_ns() - 10**6
        live.submit(frames[2], taken=before)
        np.testing.assert_array_equal(live.latest(wait_ms=NEVER).alpha, fresh)
        assert live.taken == before
        assert live.stats.stages["latency"].p99 > 1


def test_a_frame_that_was_taken_long_ago_is_late(matter):
    with matter.stream(deadline_ms=50) as live:
        live.warm(SIZE)
        live.submit(picture(0), taken=time.perf_counter_ns() - 60 * 10**6)
        until(lambda: live.counts == (1, 1))
        assert live.latest() is None
        live.deadline_ms = NEVER
        live.submit(picture(0), taken=time.perf_counter_ns() - 60 * 10**6)
        assert live.latest(wait_ms=NEVER) is not None
        with pytest.raises(ValueError, match="deadline_ms: expected more than 0, got 0"):
            live.deadline_ms = 0


# --- gone, and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [OSError(errno.ENODEV, "No such device"), None])
def test_a_camera_goes_and_comes_back(recurrent, quick, reason):
    with recurrent.stream() as stream:
        fresh = stream(picture(7)).alpha.copy()
    plug = Plug()
    with fm.video.Webcam(plug, recurrent, deadline_ms=NEVER) as webcam:
        for i in range(3):
            plug.give(picture(i))
            matte = webcam.latest(wait_ms=NEVER)
            assert matte.alpha.shape == SIZE
        assert webcam.state == "live"
        held = matte.alpha.copy()
        plug.there = False
        plug.give(reason)
        until(lambda: plug.refused >= 2, "an attempt to open it")
        assert webcam.state == "lost"
        assert webcam.reason == "the camera: it is not plugged in"
        assert webcam.latest(wait_ms=20) is None
        # The last matte is still good to be shown.
        np.testing.assert_array_equal(matte.alpha, held)
        plug.there = True
        until(lambda: plug.opened == 2, "the second opening")
        plug.give(picture(7))
        found = webcam.latest(wait_ms=NEVER).alpha
        assert webcam.state == "live"
        assert webcam.times_lost == 1
        np.testing.assert_array_equal(found, fresh)
        # Not one more: the next does remember.
        plug.give(picture(7))
        assert (webcam.latest(wait_ms=NEVER).alpha != fresh).any()
        plug.give(None)


def test_a_camera_may_come_back_with_another_size(matter, quick):
    plug = Plug()
    with fm.video.Webcam(plug, matter, deadline_ms=NEVER) as webcam:
        plug.give(picture(0))
        assert webcam.latest(wait_ms=NEVER).alpha.shape == SIZE
        plug.size = (96, 96)
        plug.give(None, picture(3, (96, 96)))
        assert webcam.latest(wait_ms=NEVER).alpha.shape == SIZE
        assert webcam.notes == [
            "the camera came back with 96x96: scaled to the 64x48 it had, and cropped"
        ]
        plug.give(None)


def test_a_camera_that_says_nothing_is_lost_too(recurrent, monkeypatch):
    monkeypatch.setattr(module, "STALL", 0.05)
    with recurrent.stream() as stream:
        fresh = stream(picture(7)).alpha.copy()
    plug = Plug()
    with fm.video.Webcam(plug, recurrent, deadline_ms=NEVER) as webcam:
        plug.give(picture(0))
        assert webcam.latest(wait_ms=NEVER) is not None
        until(lambda: webcam.state == "lost")
        assert webcam.reason.startswith("the camera: no frame for ")
        plug.give(picture(7))
        np.testing.assert_array_equal(webcam.latest(wait_ms=NEVER).alpha, fresh)
        assert plug.opened == 1
        plug.give(None)


@linux
def test_a_pipe_that_is_pulled_out(tmp_path, matter, quick):
    """Through FFmpeg and the system: what it gives ends, is not there, and is of another size."""
    path = tmp_path / "camera"

    def film(size):
        height, width = size
        with contextlib.suppress(BrokenPipeError), path.open("wb", buffering=0) as file:
            file.write(f"YUV4MPEG2 W{width} H{height} F30:1 C420jpeg\n".encode())
            while not filmed.wait(0.005):
                file.write(b"FRAME\n" + bytes(height * width * 3 // 2))

    filmed = threading.Event()
    os.mkfifo(path)
    first = threading.Thread(target=film, args=(SIZE,))
    first.start()
    device = fm.video.Device(str(path), api="yuv4mpegpipe")
    with fm.video.Webcam(device, matter, deadline_ms=NEVER) as webcam:
        assert webcam.latest(wait_ms=NEVER).alpha.shape == SIZE
        path.unlink()
        filmed.set()
        first.join()
        until(lambda: "there is no such camera" in (webcam.reason or ""))
        while webcam.latest(wait_ms=20) is not None:
            pass
        filmed.clear()
        os.mkfifo(path)
        second = threading.Thread(target=film, args=((96, 64),))
        second.start()
        assert webcam.latest(wait_ms=NEVER).alpha.shape == SIZE
        assert webcam.times_lost == 1
        assert len(webcam.notes) == 1
        filmed.set()
    second.join()


def test_a_camera_that_is_broken_at_first_is_an_error(matter, tmp_path):
    plug = Plug()
    plug.there = False
    before = threading.active_count()
    with pytest.raises(fm.VideoError, match="not plugged in"):
        fm.video.Webcam(plug, matter)
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="deadline_ms: expected more than 0"):
        fm.video.Webcam(Plug(), matter, deadline_ms=0)
    assert threading.active_count() == before


def test_an_error_that_no_camera_should_raise_comes_out(matter):
    plug = Plug()
    with fm.video.Webcam(plug, matter, deadline_ms=NEVER) as webcam:
        plug.give(RuntimeError("a bug"))
        until(lambda: webcam.state == "ended")
        with pytest.raises(RuntimeError, match="a bug"):
            webcam.latest()


def test_networks_that_are_told_more(graph, quick):
    """What is missing is said before the first frame, for none could ever be shown."""
    guided = fm.Matter(graph("bgmv2"), engine="onnxruntime")
    before = threading.active_count()
    plug = Plug()
    plug.give(None)
    with pytest.raises(ValueError, match="the scene without its subject"):
        fm.video.Webcam(plug, guided)
    until(lambda: threading.active_count() == before, "the end of its threads")
    plate = np.zeros((*SIZE, 3), np.uint8)
    plug = Plug()
    with fm.video.Webcam(plug, guided, plate=plate, deadline_ms=NEVER) as webcam:
        plug.give(picture(1))
        assert webcam.latest(wait_ms=NEVER) is not None
        plug.give(None)


# --- shown ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["composite", "alpha", "foreground", "cutout"])
def test_a_file_played_as_a_camera(tmp_path, matter, what):
    path = clip(tmp_path / "in.mkv", 8, codec="ffv1", pixel_format="bgr0")
    sink = Kept()
    summary = fm.video.live(
        fm.video.Recording(path, loop=False),
        sink,
        matter,
        what=what,
        background="green" if what == "composite" else None,
        deadline_ms=NEVER,
        smoothing="none",
    )
    assert sink.ended == "finished"
    assert summary.notes == ("kept",)
    assert summary.size == SIZE
    assert (summary.shown, summary.lost) == (len(dict(sink.seen)), 0)
    assert 0 < summary.shown <= summary.frames <= 8
    assert {"network", "latency", "shown", "write"} <= set(summary.stages)
    expected = {}
    for i, frame in enumerate(pictures(path)):
        matte = matter(frame)
        expected[i] = {
            "composite": lambda matte=matte: matte.composite((0, 255, 0)),
            "alpha": lambda matte=matte: fm.kernels.quantise(matte.alpha),
            "foreground": lambda matte=matte: matte.foreground,
            "cutout": lambda matte=matte: matte.cutout(),
        }[what]()
    assert all(any((shown == e).all() for e in expected.values()) for _, shown in sink.seen)


def test_the_last_picture_is_shown_on_while_the_camera_is_gone(matter, quick, monkeypatch):
    monkeypatch.setattr(module, "AGAIN", 0.005)
    monkeypatch.setattr(module, "TELL", 0.01)
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    plug, sink, statuses = Plug(), Kept(), []
    stop = threading.Event()
    done = {}

    def run():
        done["summary"] = fm.video.live(
            plug, sink, matter, background="green", deadline_ms=NEVER, tell=statuses.append,
            stop=stop,
        )  # fmt: skip

    runner = threading.Thread(target=run)
    runner.start()
    assert plug.asked.wait(60)
    # Frames before all is ready are nobody's.
    while not sink.seen:
        plug.give(picture(3))
        time.sleep(0.01)
    plug.there = False
    plug.give(OSError(errno.ENODEV, "No such device"))
    until(lambda: statuses and statuses[-1].state == "lost")
    count = len(sink.seen)
    until(lambda: len(sink.seen) >= count + 3)
    assert (sink.seen[-1][1] == sink.seen[count][1]).all()
    plug.there = True
    plug.give(picture(3))
    until(lambda: statuses[-1].state == "live")
    stop.set()
    runner.join(60)
    plug.give(None)
    summary = done["summary"]
    assert sink.ended == "finished"
    assert summary.lost == 1
    assert summary.shown < len(sink.seen)
    assert statuses[-1].shown == summary.shown
    assert [s.reason for s in statuses if s.state == "lost"][-1].startswith("the camera: ")


def test_a_deadline_that_cannot_be_met_is_said(matter):
    summary = fm.video.live(
        fm.video.Drawn((240, 320), Fraction(60)), None, matter, what="alpha", deadline_ms=0.01,
        seconds=0.2,
    )  # fmt: skip
    assert summary.shown == 0
    assert summary.dropped >= summary.frames - 1
    assert "longer than its deadline of 0.01 ms: hardly any will be shown" in summary.notes[0]
    assert summary.seconds >= 0.2


def test_a_deadline_of_its_own_is_a_camera_s_period_or_what_work_takes(matter):
    with fm.video.Webcam(fm.video.Drawn(SIZE, Fraction(25)), matter) as webcam:
        assert webcam.latest(wait_ms=NEVER) is not None
        assert webcam.deadline_ms == pytest.approx(1.1 * 40)
        # As on a machine that became busy: as long as it is, frames may be older.
        webcam._live._desk.expected = 1e9
        until(lambda: webcam.deadline_ms > 1000)
        until(lambda: webcam.deadline_ms < 1000)


def test_a_camera_in_the_dark_has_no_longer_deadline(matter):
    with fm.video.Webcam(fm.video.Drawn(SIZE, Fraction(5)), matter) as webcam:
        assert webcam.latest(wait_ms=NEVER) is not None
        assert webcam.deadline_ms == pytest.approx(1.1 * 90)


def test_a_sink_that_fails_ends_it(matter):
    sink = Kept(BrokenPipeError())
    before = threading.active_count()
    with pytest.raises(BrokenPipeError):
        fm.video.live(fm.video.Drawn(SIZE), sink, matter, what="alpha", deadline_ms=NEVER)
    assert sink.ended == "abandoned"
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"what": "shadow"}, "what: expected one of 'alpha', 'composite'"),
        ({"background": None}, "background: expected one for a composite"),
        ({"what": "alpha", "linear_light": True}, "it is about a composite"),
        ({"background": "green", "seconds": 0}, "seconds: expected more than 0, got 0"),
        (
            {"background": "green", "smoothing": "one_frame_delay"},
            "expected none with a delay",
        ),
    ],
)
def test_bad_arguments(matter, options, message):
    with pytest.raises(ValueError, match=message):
        fm.video.live(Plug(), None, matter, **options)


# --- a virtual camera ----------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "channels"), [("composite", 3), ("alpha", 1), ("cutout", 4)])
def test_a_virtual_camera_gets_every_picture(matter, monkeypatch, what, channels):
    pyvirtualcam = pytest.importorskip("pyvirtualcam")
    opened = []

    class Backend:
        """As pyvirtualcam asks of one; a loopback device needs a module in the kernel."""

        def __init__(self, **options):
            self.options, self.sent, self.closed = options, [], False
            opened.append(self)

        def device(self):
            return "a screen"

        def native_fourcc(self):
            return None

        def send(self, frame):
            self.sent.append(frame.copy())

        def close(self):
            self.closed = True

    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {"screen": Backend})
    sink = fm.video.VirtualCamera("a screen", Fraction(25))
    assert sink.device is None
    background = "green" if what == "composite" else None
    summary = fm.video.live(
        fm.video.Drawn(SIZE), sink, matter, what=what, background=background, deadline_ms=NEVER,
        seconds=0.6,
    )  # fmt: skip
    [backend] = opened
    assert sink.device == "a screen"
    assert backend.closed
    assert len(backend.sent) >= summary.shown > 0
    assert {frame.shape for frame in backend.sent} == {(48 * 64 * channels,)}
    options = backend.options
    assert (options["width"], options["height"], options["fps"]) == (64, 48, 25)
    sink = fm.video.VirtualCamera()
    sink.write(fm.video.Frame(np.zeros((4, 4, 3), np.uint8), 0, 0))
    with pytest.raises(fm.VideoError, match=r"expected frames of \(4, 4, 3\)"):
        sink.write(fm.video.Frame(np.zeros((4, 6, 3), np.uint8), 1, 1))


# --- the verb ------------------------------------------------------------------------------------


@pytest.fixture
def webcam(graph, monkeypatch):
    """Run the verb in this process; whatever it raises besides its exit is a failure."""
    monkeypatch.setenv("FASTMATTE_MODEL", str(graph("modnet")))

    def run(*arguments):
        options = ("--engine", "onnxruntime", "--threads", "1")
        result = CliRunner().invoke(main, ["webcam", *map(str, arguments), *options])
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result

    return run


def test_json(tmp_path, webcam):
    path = clip(tmp_path / "in.mp4", 5)
    result = webcam(
        "--camera", path, "--background", "blur:5", "--seconds", 1, "--deadline", NEVER, "--json"
    )
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["camera"] == str(path)
    assert 0 < document["shown"] <= document["frames"] <= 60
    assert set(document["stages"]["shown"]) == {"p50", "p95", "p99"}
    assert document["matter"]["family"] == "modnet"
    assert result.stderr == ""


def test_raw_frames_on_standard_output(tmp_path, webcam):
    path = clip(tmp_path / "in.mp4", 5)
    result = webcam("--camera", path, "--what", "alpha", "--seconds", 1, "-o", "-")
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout_bytes) >= 48 * 64
    assert len(result.stdout_bytes) % (48 * 64) == 0
    assert "frames shown in" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say what to make"),
        (("--background", "red", "-o", "out.mp4"), "-o takes - for standard output"),
        (("--background", "red", "-o", "-", "--to", "auto"), "--to and -o both say where it goes"),
        (("--background", "red", "-o", "-", "--json"), "would both go to standard output"),
        (("--background", "red", "--camera-size", "big"), "expected WIDTHxHEIGHT"),
        (("--background", "red", "--deadline", "0"), "0 is not in the range"),
        (("--background", "red", "--camera", "IN", "--camera-rate", "5"), "are for a camera: "),
        (("--background", "red", "--camera", "IN", "--to", "IN"), "is the camera itself"),
    ],
)
def test_usage(tmp_path, webcam, arguments, message):
    path = clip(tmp_path / "in.mp4", 2)
    result = webcam(*(path if argument == "IN" else argument for argument in arguments))
    assert result.exit_code == 2
    assert message in result.stderr


@linux
def test_errors_are_one_line(webcam, monkeypatch):
    for arguments, message in (
        (("--camera", "/dev/video97"), "/dev/video97: there is no such camera"),
        (("--camera", "/dev/null"), "/dev/null: it is no camera that gives pictures"),
        (("--camera", "nosuch.mp4"), "nosuch.mp4: there is no such camera or file"),
    ):
        result = webcam("--background", "red", *arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {message}")
        assert result.stderr.count("\n") == 1
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    result = webcam("--background", "red", "--camera", "test", "--to", "auto")
    assert result.exit_code == 1
    assert "pip install 'fastmatte[webcam]'" in result.stderr


@linux
def test_a_virtual_camera_that_is_not_there(webcam):
    pytest.importorskip("pyvirtualcam")
    result = webcam(
        "--background", "red", "--camera", "test", "--camera-size", "64x48", "--to", "/dev/video97"
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: virtual camera /dev/video97: ")
    assert "/dev/video97 does not exist" in result.stderr


def test_the_list_of_cameras(webcam):
    result = webcam("--list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "Cameras:"
    assert "Virtual cameras:" in lines


def test_ctrl_c_ends_it_in_good_order(tmp_path, graph):
    path = clip(tmp_path / "in.mp4", 30)
    arguments = ["--camera", path, "--background", "green", "-o", "-", "--model", graph("modnet")]
    run = subprocess.Popen(
        [sys.executable, "-m", "fastmatte", "webcam", *map(str, arguments), "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with run:
        shown = run.stdout.read(48 * 64 * 3)
        run.send_signal(signal.SIGINT)
        rest = run.stdout.read()
        said = run.stderr.read().decode()
    assert run.returncode == 0, said
    assert (len(shown) + len(rest)) % (48 * 64 * 3) == 0
    assert "frames shown in" in said
