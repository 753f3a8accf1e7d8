"""fastmatte video: what it keeps, what it refuses, and what is left when it is stopped."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("av", reason="video needs PyAV")

import av
import fastmatte as fm
import PIL.Image
from click.testing import CliRunner
from clips import clip, picture, pictures, sound, times
from fastmatte.cli import main
from fastmatte.pipeline import Pipeline
from fastmatte.video import jobs, pipeline


@pytest.fixture(scope="module")
def matter(graph):
    """With threads enough to see frames ahead."""
    return fm.Matter(graph("modnet"), engine="onnxruntime", threads=2)


@pytest.fixture(scope="module")
def recurrent(graph):
    return fm.Matter(graph("rvm"), engine="onnxruntime", threads=1)


@pytest.fixture
def video(graph, monkeypatch):
    """Run the verb in this process; whatever it raises besides its exit is a failure."""
    monkeypatch.setenv("FASTMATTE_MODEL", str(graph("modnet")))

    def run(*arguments, input=None):
        options = ("--engine", "onnxruntime", "--threads", "1")
        result = CliRunner().invoke(main, ["video", *map(str, arguments), *options], input=input)
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result

    return run


def process(source, output, matter, **options):
    if options.get("what", "composite") == "composite":
        options.setdefault("background", "green")
    return fm.video.process(source, output, matter, **options)


# --- frames and times ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_frames_in_are_frames_out(tmp_path, matter, suffix):
    source = clip(tmp_path / "in.mp4", 21)
    summary = process(source, tmp_path / f"out{suffix}", matter)
    assert summary.frames == 21
    assert not summary.interrupted
    # Matroska counts milliseconds.
    exact = suffix in (".mp4", ".mov")
    found, expected = times(tmp_path / f"out{suffix}"), times(source)
    assert len(found) == len(expected)
    assert all(
        abs(f - e) <= (0 if exact else Fraction(1, 2000))
        for f, e in zip(found, expected, strict=True)
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["in.mp4", f"out{suffix}"])


def test_frames_are_in_order(tmp_path, matter):
    """Each frame is told by its edge and its grey: an alpha belongs to its own picture."""
    source = clip(tmp_path / "in.mkv", 30, codec="ffv1", pixel_format="bgr0")
    process(source, tmp_path / "out.mkv", matter, what="cutout")
    stream = matter.stream()
    for index, found in enumerate(pictures(tmp_path / "out.mkv", "rgba")):
        assert (found == stream(picture(index)).cutout()).all(), index


@pytest.mark.parametrize("what", ["composite", "alpha"])
@pytest.mark.parametrize(("threads", "every"), [(2, 1), (8, 1), (8, 3)])
def test_what_is_seen_ahead_makes_no_difference(tmp_path, graph, what, threads, every):
    source = clip(tmp_path / "in.mp4", 30)
    options = {"what": what, "every": every, "codec": "ffv1"}
    for name, count in (("one", 1), ("ahead", threads)):
        matter = fm.Matter(graph("modnet"), engine="onnxruntime", threads=count)
        summary = process(source, tmp_path / f"{name}.mkv", matter, **options)
        assert "network" in summary.stages
    assert all(
        (a == b).all()
        for a, b in zip(
            pictures(tmp_path / "ahead.mkv"), pictures(tmp_path / "one.mkv"), strict=True
        )
    )


def test_a_network_that_fails_ahead_is_told_of_in_its_turn(tmp_path, graph, monkeypatch):
    source = clip(tmp_path / "in.mp4", 60)
    infer, frames = Pipeline.infer, itertools.count()

    def failing(self, *arguments):
        if next(frames) == 20:
            raise fm.EngineError("out of order")
        return infer(self, *arguments)

    monkeypatch.setattr(Pipeline, "infer", failing)
    matter = fm.Matter(graph("modnet"), engine="onnxruntime", threads=2)
    with pytest.raises(fm.VideoError, match=r"matting, frame (19|20|21): out of order"):
        process(source, tmp_path / "out.mp4", matter)
    assert not any(t.name.startswith("fastmatte") for t in threading.enumerate())


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads here")
def test_nothing_is_closed_that_is_in_use(tmp_path, matter):
    """A second Ctrl-C comes while the reader still reads."""
    source, stop = fm.video.FileSource(clip(tmp_path / "in.mp4", 20)), threading.Event()
    read, close, seen = source.read, source.close, []

    def reading(pool):
        frame = read(pool)
        if frame.index == 10:
            stop.set()
            time.sleep(0.1)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            time.sleep(0.1)
            seen.append("read")
        return frame

    source.read, source.close = reading, lambda: (seen.append("closed"), close())
    # Whoever runs this in the background may have had it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            process(source, tmp_path / "out.mp4", matter, stop=stop)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen[:2] == ["read", "closed"]


def test_variable_rates_keep_every_time(tmp_path, matter):
    moments = [0, 40, 45, 130, 131, 500, 533, 900, 1000, 1400]
    source = clip(tmp_path / "in.mkv", times=moments, time_base=Fraction(1, 1000))
    for name in ("out.mp4", "out.mkv"):
        process(source, tmp_path / name, matter)
        assert times(tmp_path / name) == [Fraction(t, 1000) for t in moments]


def test_a_late_beginning_stays_late(tmp_path, matter):
    base = Fraction(1, 90000)
    source = clip(tmp_path / "in.mp4", times=[3003 * (i + 1) for i in range(9)], time_base=base)
    process(source, tmp_path / "out.mp4", matter)
    assert times(tmp_path / "out.mp4") == times(source) == [3003 * (i + 1) * base for i in range(9)]


def test_start_and_end(tmp_path, matter):
    source = clip(tmp_path / "in.mkv", 60, codec="ffv1", pixel_format="bgr0", rate=Fraction(25))
    summary = process(source, tmp_path / "out.mkv", matter, what="alpha", start=1, end=2)
    assert summary.frames == 25
    assert times(tmp_path / "out.mkv")[0] == 0
    whole = process(source, tmp_path / "whole.mkv", matter, what="alpha")
    assert whole.frames == 60
    cut, all_of_it = pictures(tmp_path / "out.mkv"), pictures(tmp_path / "whole.mkv")
    assert all(
        np.abs(a.astype(int) - b).mean() < 2 for a, b in zip(cut, all_of_it[25:50], strict=True)
    )
    with pytest.raises(fm.VideoError, match="no frame lies between 9 s and its end"):
        process(source, tmp_path / "none.mkv", matter, start=9)
    assert not (tmp_path / "none.mkv").exists()


def test_a_broadcast_is_cut_where_it_should_be(tmp_path, matter):
    """No index, key frames far apart: a search ends where it ends."""
    source = clip(tmp_path / "in.ts", 90, options={"crf": "10", "g": "40"})
    whole = times(source)
    # Smoothing would begin afresh at the cut.
    options = {"what": "alpha", "codec": "ffv1", "smoothing": "none"}
    process(source, tmp_path / "out.mkv", matter, start=1.5, end=2.5, **options)
    expected = [t for t in whole if 1.5 <= t - whole[0] < 2.5]
    assert len(times(tmp_path / "out.mkv")) == len(expected) == 30
    process(source, tmp_path / "all.mkv", matter, **options)
    pairs = zip(pictures(tmp_path / "out.mkv"), pictures(tmp_path / "all.mkv")[45:75], strict=True)
    assert all((a == b).all() for a, b in pairs)


def alphas(source, folder, matter, **options):
    process(source, f"{folder}/", matter, what="alpha", smoothing="none", **options)
    return [np.asarray(PIL.Image.open(p)).astype(int) for p in sorted(folder.iterdir())]


def test_every_holds_the_alpha_between(tmp_path, matter):
    source = clip(tmp_path / "in.mkv", 12, codec="ffv1", pixel_format="bgr0")
    found = alphas(source, tmp_path / "alpha", matter, every=4, between="hold")
    for index, alpha in enumerate(found):
        assert (alpha == found[index - index % 4]).all()
    assert (found[0] != found[4]).any()
    with pytest.raises(ValueError, match="between: expected one of 'warp', 'hold', got 'keep'"):
        process(source, tmp_path / "out.mkv", matter, every=4, between="keep")


@pytest.mark.parametrize("network", ["matter", "alone", "recurrent"])
def test_alpha_between_goes_along_with_what_moves(tmp_path, request, graph, network):
    source = clip(tmp_path / "in.mkv", 12, codec="ffv1", pixel_format="bgr0")
    if network == "alone":
        matter = fm.Matter(graph("modnet"), engine="onnxruntime", threads=1)
    else:
        matter = request.getfixturevalue(network)
    full = alphas(source, tmp_path / "full", matter)
    error = {}
    for between in ("warp", "hold"):
        found = alphas(source, tmp_path / between, matter, every=4, between=between)
        if network != "recurrent":
            assert all((found[i] == full[i]).all() for i in (0, 4, 8))
        error[between] = np.abs(np.array(found) - np.array(full)).sum()
    assert error["warp"] < (1 if network == "recurrent" else 0.5) * error["hold"]


# --- what else a file has ------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "aac"), (".mkv", "flac"), (".mov", "aac")])
def test_sound_is_copied_as_it_is(tmp_path, matter, suffix, codec):
    source = clip(tmp_path / "in.mkv", 45, tone=codec)
    summary = process(source, tmp_path / f"out{suffix}", matter)
    before, after = sound(source), sound(tmp_path / f"out{suffix}")
    assert [data for _, data in after] == [data for _, data in before]
    # A Matroska file counts milliseconds, and AAC begins before 0, where it has to be shifted.
    assert np.allclose([t for t, _ in after], [t for t, _ in before], atol=2e-3)
    assert summary.notes == ()


def test_sound_that_the_file_cannot_hold_is_encoded_anew(tmp_path, matter):
    source = clip(tmp_path / "in.mp4", 45, tone="aac")
    summary = process(source, tmp_path / "out.webm", matter)
    assert "webm files hold no aac sound: it was encoded anew, as libopus" in summary.notes
    with av.open(str(tmp_path / "out.webm")) as container:
        assert container.streams.audio[0].codec_context.name.endswith("opus")
        heard = np.concatenate([frame.to_ndarray().mean(0) for frame in container.decode(audio=0)])
    assert abs(len(heard) / 48000 - 1.5) < 0.05
    spectrum = np.abs(np.fft.rfft(heard))
    assert abs(np.argmax(spectrum) * 48000 / len(heard) - 440) < 3


def test_sound_is_cut_with_the_pictures(tmp_path, matter):
    source = clip(tmp_path / "in.mp4", 90, tone="aac")
    process(source, tmp_path / "out.mp4", matter, start=1, end=2)
    after = sound(tmp_path / "out.mp4")
    assert 0 <= after[0][0] < 0.03
    assert 0.95 < after[-1][0] < 1
    known = {data: t for t, data in sound(source)}
    # Where they were, less the second that went.
    drifts = [known[data] - 1 - t for t, data in after if data in known]
    assert np.abs(drifts).max() < 1e-3


class Once:
    """A file as a pipe gives it: nobody can search it."""

    def __init__(self, path):
        self._data = io.BytesIO(path.read_bytes())

    def read(self, size):
        return self._data.read(size)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize(("name", "codec"), [("in.mkv", "aac"), ("in.ts", "mp2")])
def test_a_stream_keeps_what_a_file_does(tmp_path, matter, name, codec, suffix):
    chapters = [
        {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000),
         "metadata": {"title": "chapter"}}
    ]  # fmt: skip
    source = clip(tmp_path / name, 45, tone=codec, metadata={"title": "A talk"}, chapters=chapters)
    outputs = []
    for number, given in enumerate((source, fm.video.FileSource(Once(source)))):
        out = tmp_path / f"out-{number}{suffix}"
        summary = process(given, out, matter)
        with av.open(str(out)) as container:
            said = container.metadata, container.chapters()
        outputs.append((summary.notes, said, times(out), sound(out)))
    assert outputs[0] == outputs[1]
    assert len(outputs[0][3]) > 40


def test_where_nobody_wants_sound_nothing_is_kept_of_it(tmp_path, matter):
    source = clip(tmp_path / "in.mkv", 45, tone="aac")
    given = fm.video.FileSource(Once(source))
    assert process(given, f"{tmp_path / 'cut'}/", matter).frames == 45
    assert given._beside is None


def test_a_stream_that_is_stopped_does_not_go_on(tmp_path, matter, short_parts):
    source = clip(tmp_path / "in.mkv", 60, tone="aac")
    stop = threading.Event()
    count = iter(range(100))
    summary = process(
        fm.video.FileSource(Once(source)), tmp_path / "out.mp4", matter, stop=stop,
        advance=lambda _: stop.set() if next(count) == 15 else None,
    )  # fmt: skip
    assert summary.interrupted
    assert 0 < sound(tmp_path / "out.mp4")[-1][0] <= summary.frames / 30
    assert not jobs.folder_of(tmp_path / "out.mp4").exists()


def test_chapters_and_metadata_are_kept(tmp_path, matter):
    chapters = [
        {"id": i + 1, "start": 500 * i, "end": 500 * (i + 1), "time_base": Fraction(1, 1000),
         "metadata": {"title": f"chapter {i}"}}
        for i in range(2)
    ]  # fmt: skip
    source = clip(
        tmp_path / "in.mkv", 30, metadata={"title": "A talk", "artist": "Ann"}, chapters=chapters
    )
    for name in ("out.mp4", "out.mkv"):
        process(source, tmp_path / name, matter)
        with av.open(str(tmp_path / name)) as container:
            kept = {key.lower(): value for key, value in container.metadata.items()}
            assert (kept["title"], kept["artist"]) == ("A talk", "Ann")
            found = [
                (c["metadata"]["title"], c["start"] * c["time_base"]) for c in container.chapters()
            ]
        assert found == [("chapter 0", 0), ("chapter 1", Fraction(1, 2))]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_pictures_are_written_upright(tmp_path, matter, degrees, mirrored):
    source = clip(tmp_path / "in.mp4", 3, turned=(degrees, mirrored), aspect=Fraction(4, 3))
    frames = fm.video.FileSource(source)
    seen = frames.read(fm.video.Pool()).pixels
    frames.close()
    expected = np.rot90(picture(0), degrees // 90)
    if mirrored:
        expected = expected[:, ::-1]
    assert seen.shape == expected.shape
    assert np.abs(seen.astype(int) - expected).mean() < 6
    process(source, tmp_path / "out.mp4", matter)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == expected.shape[:2]
        aspect = Fraction(3, 4) if degrees % 180 else Fraction(4, 3)
        assert stream.sample_aspect_ratio == aspect
        assert next(container.decode(stream)).rotation == 0


@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (5, 1, 6, 6), (1, 2, 1, 13), (5, 2, 5, 6)])
def test_colours_are_read_and_written_by_their_tags(tmp_path, matter, tags):
    source = clip(tmp_path / "in.mp4", 3, tags=tags)
    # A background of the same colours as the right side: nothing may change there.
    process(source, tmp_path / "out.mp4", matter, background=(200, 40, 90), quality=0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        found = frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc
        assert found == tags
        rgb = frame.reformat(
            format="rgb24", src_colorspace=tags[0], src_color_range=tags[1],
            interpolation=fm.video.colour.ACCURATE,
        ).to_ndarray()  # fmt: skip
    alpha = matter(picture(0)).alpha[0, 0]
    expected = (1 - alpha) * np.array([200, 40, 90])
    assert np.abs(rgb[8:40, 2:12] - expected).max() <= 4


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuvj420p", "nv12", "yuv444p", "gray", "bgr24"]
)
@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_every_pixel_format_is_read(tmp_path, pixel_format, size):
    frame = av.VideoFrame.from_ndarray(picture(4, size), "rgb24")
    frame = frame.reformat(format=pixel_format, dst_colorspace=5, dst_color_range=1)
    tags = fm.video.ColourTags(matrix=5, range=frame.color_range)
    found = fm.video.colour.ToRgb()(frame, tags, fm.video.Pool())
    assert found.shape == (*size, 3)
    edge = size[1] // 4 + 4
    sure = np.r_[0 : edge - 3, edge + 3 : size[1]]
    assert np.abs(found.astype(int) - picture(4, size))[:, sure].max() <= 3


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9", "av1"])
def test_odd_sides(tmp_path, matter, codec):
    source = clip(tmp_path / "in.mkv", 4, size=(97, 129), codec="ffv1", pixel_format="bgr0")
    summary = process(source, tmp_path / "out.mkv", matter, codec=codec)
    height, width = pictures(tmp_path / "out.mkv")[0].shape[:2]
    if codec == "vp9":
        assert (height, width) == (97, 129)
    else:
        assert (height, width) == (98, 130)
        assert any("even sides" in note for note in summary.notes)


# --- transparency --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "decoder", "tolerance"),
    [("cut.mov", None, 4), ("cut.webm", "libvpx-vp9", 12), ("cut.mkv", None, 0)],
)
def test_transparency(tmp_path, matter, name, decoder, tolerance):
    source = clip(tmp_path / "in.mkv", 5, codec="ffv1", pixel_format="bgr0")
    process(source, tmp_path / name, matter, what="cutout")
    process(source, f"{tmp_path / 'png'}/", matter, what="cutout")
    found = pictures(tmp_path / name, "rgba", decoder)
    images = [np.asarray(PIL.Image.open(p)) for p in sorted((tmp_path / "png").iterdir())]
    assert len(found) == len(images) == 5
    for one, other in zip(found, images, strict=True):
        assert other.shape == (48, 64, 4)
        assert np.abs(one[..., 3].astype(int) - other[..., 3]).max() <= 2 * tolerance
        if tolerance == 0:
            assert (one == other).all()


def test_alpha_and_foreground(tmp_path, matter):
    source = clip(tmp_path / "in.mkv", 3, codec="ffv1", pixel_format="bgr0")
    process(source, f"{tmp_path / 'a'}/", matter, what="alpha")
    process(source, f"{tmp_path / 'f'}/", matter, what="foreground")
    stream = matter.stream()
    frames = fm.video.FileSource(source)
    for index in range(3):
        matte = stream(frames.read(fm.video.Pool()).pixels)
        alpha = np.asarray(PIL.Image.open(tmp_path / "a" / f"frame-{index:06}.png"))
        assert (alpha == fm.kernels.quantise(matte.alpha)).all()
        colours = np.asarray(PIL.Image.open(tmp_path / "f" / f"frame-{index:06}.png"))
        assert (colours == matte.foreground).all()
    frames.close()


# --- backgrounds ---------------------------------------------------------------------------------


def coloured(path, colours, rate):
    """A video each frame of which has one colour."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=rate)
        stream.height, stream.width, stream.pix_fmt = 24, 32, "bgr0"
        for index, grey in enumerate(colours):
            frame = av.VideoFrame.from_ndarray(np.full((24, 32, 3), grey, np.uint8), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def test_a_video_behind_keeps_its_pace_and_begins_anew(tmp_path, matter):
    source = clip(tmp_path / "in.mkv", 18, codec="ffv1", pixel_format="bgr0", rate=Fraction(30))
    behind = coloured(tmp_path / "behind.mkv", [50, 100, 150], 10)
    summary = process(source, f"{tmp_path / 'out'}/", matter, background=behind)
    assert any("is shorter than the video, and begins anew" in note for note in summary.notes)
    black = matter(picture(0)).alpha[0, 0]
    for index, path in enumerate(sorted((tmp_path / "out").iterdir())):
        corner = int(np.asarray(PIL.Image.open(path))[20, 1, 0])
        grey = (50, 100, 150)[index // 3 % 3]
        assert abs(corner - (1 - black) * grey) < 3, index


def test_an_image_behind_and_what_is_neither(tmp_path, matter):
    source = clip(tmp_path / "in.mp4", 3)
    PIL.Image.new("RGB", (7, 5), (10, 20, 200)).save(tmp_path / "blue.png")
    process(source, tmp_path / "out.mp4", matter, background=tmp_path / "blue.png")
    assert pictures(tmp_path / "out.mp4")[0][20, 2, 2] > 150
    process(source, tmp_path / "blur.mp4", matter, background=fm.Blur(5))
    (tmp_path / "neither.txt").write_text("nothing to see")
    with pytest.raises(fm.VideoError, match=r"no image .*, and as a video: .* no video"):
        process(source, tmp_path / "no.mp4", matter, background=tmp_path / "neither.txt")
    with pytest.raises(FileNotFoundError):
        process(source, tmp_path / "no.mp4", matter, background="gone.png")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


# --- what is refused -----------------------------------------------------------------------------


def test_what_is_no_video(tmp_path, matter, video):
    out = tmp_path / "out.mp4"
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(fm.VideoError, match="the file is empty"):
        process(tmp_path / "empty.mp4", out, matter)
    (tmp_path / "text.mp4").write_text("this is no video at all" * 100)
    with pytest.raises(fm.VideoError, match="no video, or a broken one"):
        process(tmp_path / "text.mp4", out, matter)
    with pytest.raises(FileNotFoundError):
        process(tmp_path / "gone.mp4", out, matter)
    with av.open(str(tmp_path / "tone.mka"), "w") as output:
        stream = output.add_stream("flac", rate=48000)
        block = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
        block.sample_rate, block.pts = 48000, 0
        output.mux(stream.encode(block))
        output.mux(stream.encode(None))
    with pytest.raises(fm.VideoError, match="expected a video stream, found audio"):
        process(tmp_path / "tone.mka", out, matter)
    result = video(tmp_path / "tone.mka", "-o", out, "--background", "green")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert not out.exists()
    assert not jobs.folder_of(out).exists()


def test_no_frames(tmp_path, matter):
    with av.open(str(tmp_path / "none.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=30)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "bgr0"
        output.start_encoding()
    with pytest.raises(fm.VideoError, match=r"no video, or a broken one|no frame of its"):
        process(tmp_path / "none.mkv", tmp_path / "out.mp4", matter)


def test_a_truncated_file_gives_what_it_has(tmp_path, matter):
    whole = clip(tmp_path / "in.mkv", 90, tone="flac")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    summary = process(cut, tmp_path / "out.mp4", matter)
    assert 5 < summary.frames < 80
    assert times(tmp_path / "out.mp4") == times(cut) == times(whole)[: summary.frames]
    assert any("cut short" in note for note in summary.notes)
    # An MP4 has its index at the end.
    whole = clip(tmp_path / "in.mp4", 30)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(fm.VideoError, match="no video, or a broken one"):
        process(cut, tmp_path / "none.mp4", matter)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_recordings_that_were_joined_go_on(tmp_path, matter, suffix):
    """Their times begin anew in the middle, those of their sound too."""
    halves = [clip(tmp_path / f"{name}.ts", 45, tone="aac").read_bytes() for name in "ab"]
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(halves))
    out = tmp_path / f"out{suffix}"
    summary = process(source, out, matter)
    assert summary.notes[0] == "times run backwards in places, and go on there instead"
    found = times(out)
    assert len(found) == 90
    assert all(abs(b - a - Fraction(1, 30)) < 2e-3 for a, b in itertools.pairwise(found))
    heard = [t for t, _ in sound(out)]
    assert heard == sorted(heard)
    assert abs(heard[-1] - float(found[-1])) < 0.1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_damaged_sound_costs_what_was_hit(tmp_path, matter, suffix):
    source = clip(tmp_path / "in.mkv", 60, tone="aac")
    data = source.read_bytes()
    # What AAC cannot be, in the middle of two packets.
    for _, packet in sound(source)[20:22]:
        data = data.replace(packet, bytes([255] * len(packet)))
    source.write_bytes(data)
    summary = process(source, tmp_path / f"out{suffix}", matter)
    assert summary.frames == 60
    assert sound(tmp_path / f"out{suffix}")[-1][0] > 1.9
    if suffix == ".webm":
        assert "2 broken packets of sound were left out" in summary.notes


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_sound_of_an_unknown_kind_is_said_to_be_left_out(tmp_path, matter, suffix):
    source = clip(tmp_path / "in.mkv", 10, tone="aac")
    source.write_bytes(source.read_bytes().replace(b"A_AAC", b"A_XYZ"))
    summary = process(source, tmp_path / f"out{suffix}", matter)
    assert any("that this build of PyAV does not know: left out" in n for n in summary.notes)


def test_damage_in_the_middle_costs_what_it_hit(tmp_path, matter):
    whole = clip(tmp_path / "in.mkv", 60, codec="mjpeg", pixel_format="yuvj420p")
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    (tmp_path / "hurt.mkv").write_bytes(data)
    summary = process(tmp_path / "hurt.mkv", tmp_path / "out.mp4", matter)
    assert 50 <= summary.frames <= 60


def changing(path, first, second, **options):
    """A file whose pictures change their size: two clips one after the other, as broadcasts are."""
    path.write_bytes(b"".join(clip(p, 5, **o).read_bytes() for p, o in (
        (path.with_name("a.ts"), {"size": first, **options}),
        (path.with_name("b.ts"), {"size": second, **options}),
    )))  # fmt: skip
    return path


def test_pictures_that_change_their_size(tmp_path, matter):
    source = changing(tmp_path / "in.ts", (48, 64), (64, 96))
    with pytest.raises(fm.VideoError, match=r"reading, frame 5: .* change from 48 x 64 to 64 x 96"):
        process(source, tmp_path / "out.mp4", matter)
    assert not (tmp_path / "out.mp4").exists()


def test_pixel_formats_may_change(tmp_path, matter):
    clip(tmp_path / "a.ts", 5)
    clip(tmp_path / "b.ts", 5, pixel_format="yuv444p")
    source = tmp_path / "in.ts"
    source.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    assert process(source, tmp_path / "out.mp4", matter).frames == 10


def test_more_than_eight_bits_are_refused_in_words(tmp_path, matter):
    source = clip(tmp_path / "in.mkv", 3, codec="libx265", pixel_format="yuv420p10le")
    with pytest.raises(
        fm.VideoError, match="10 bits a channel, and results have 8 bits: --eight-bit"
    ):
        process(source, tmp_path / "out.mp4", matter)
    assert process(source, tmp_path / "out.mp4", matter, eight_bit=True).frames == 3
    assert process(source, tmp_path / "alpha.mp4", matter, what="alpha").frames == 3
    tags = (9, 1, 9, 16)
    hdr = clip(tmp_path / "hdr.mkv", 3, codec="libx265", pixel_format="yuv420p10le", tags=tags)
    with pytest.raises(fm.VideoError, match="the video is HDR"):
        process(hdr, tmp_path / "no.mp4", matter)
    for what, transfer in (("foreground", 16), ("alpha", 2)):
        process(hdr, tmp_path / f"{what}.mkv", matter, what=what, eight_bit=True)
        with av.open(str(tmp_path / f"{what}.mkv")) as container:
            assert next(container.decode(video=0)).color_trc == transfer


def test_more_bits_in_the_middle_are_refused_too(tmp_path, matter):
    clip(tmp_path / "a.ts", 5)
    clip(tmp_path / "b.ts", 5, pixel_format="yuv420p10le")
    source = tmp_path / "in.ts"
    source.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    with pytest.raises(fm.VideoError, match=r"reading, frame 5: .*in.ts: the video is 10 bits"):
        process(source, tmp_path / "out.mp4", matter)
    assert process(source, tmp_path / "out.mp4", matter, eight_bit=True).frames == 10


def test_transparency_that_comes_in_is_said_to_be_left_out(tmp_path, matter):
    source = clip(tmp_path / "in.mkv", 3, codec="ffv1", pixel_format="bgra")
    summary = process(source, tmp_path / "out.mp4", matter)
    assert summary.notes == ("its own transparency is left out",)
    process(source, f"{tmp_path / 'cut'}/", matter, what="cutout")
    summary = process(tmp_path / "cut", tmp_path / "again.mp4", matter)
    assert summary.notes == ("its own transparency is left out",)


def interlaced(path, frames=16, size=(96, 128)):
    """A bar that moves on by 12 pixels from field to field, and is 40 wide."""
    scenes = [np.zeros((*size, 3), np.uint8) for _ in range(2 * frames)]
    for i, scene in enumerate(scenes):
        left = 12 * i % (size[1] - 40)
        scene[:, left : left + 40] = 220
    with av.open(str(path), "w") as output:
        options = {"flags": "+ildct+ilme", "top": "1", "b": "8M"}
        stream = output.add_stream("mpeg2video", rate=25, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for i in range(frames):
            woven = scenes[2 * i].copy()
            woven[1::2] = scenes[2 * i + 1][1::2]
            frame = av.VideoFrame.from_ndarray(woven, "rgb24").reformat(format="yuv420p")
            frame.pts = i
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def combs(frames):
    """How much rows differ from those above them, but not from those two above."""
    values = [frame[..., 1].astype(int) for frame in frames]
    return np.mean(
        [np.abs(np.diff(v, axis=0)).mean() - np.abs(v[2:] - v[:-2]).mean() for v in values]
    )


def test_interlaced_video_loses_its_combs(tmp_path, matter):
    source = interlaced(tmp_path / "in.mkv")
    out = tmp_path / "out.mkv"
    summary = process(source, out, matter, what="foreground", codec="ffv1")
    assert "interlaced" in " ".join(summary.notes)
    assert summary.frames == 16
    assert times(out) == times(source)
    made = [frame.pixels for frame in read(fm.video.FileSource(source))]
    assert combs(pictures(source)) > 20
    assert combs(made) < 2
    # Each in its place: one of its fields is left as it was.
    for before, after in zip(pictures(source)[1:-1], made[1:-1], strict=True):
        off = np.abs(before.astype(int) - after)
        assert min(off[::2].mean(), off[1::2].mean()) < 3
    # And the same from within, as where a job goes on.
    later = [frame.pixels for frame in read(fm.video.FileSource(source, start=0.28))]
    assert len(later) == 9
    assert all((a == b).all() for a, b in zip(made[-9:], later, strict=True))


def read(source):
    pool = fm.video.Pool()
    frames = []
    while (frame := source.read(pool)) is not None:
        frames.append(frame)
    source.close()
    return frames


def test_the_same_file_in_and_out(tmp_path, matter, video):
    source = clip(tmp_path / "in.mp4", 3)
    before = source.read_bytes()
    os.link(source, tmp_path / "link.mp4")
    for out in (source, tmp_path / "link.mp4"):
        with pytest.raises(ValueError, match="expected another file than the source"):
            process(source, out, matter, overwrite=True)
    assert source.read_bytes() == before


def test_the_background_is_not_replaced(tmp_path, matter):
    source, behind = clip(tmp_path / "in.mp4", 3), clip(tmp_path / "behind.mp4", 3)
    with pytest.raises(ValueError, match="expected another file than the background"):
        process(source, behind, matter, background=behind, overwrite=True)


def test_a_file_without_a_suffix_may_be_a_video(tmp_path, matter):
    source = clip(tmp_path / "in.mkv", 3).rename(tmp_path / "in")
    assert process(source, tmp_path / "out.mp4", matter).frames == 3
    (tmp_path / "broken.png").write_text("no picture")
    with pytest.raises(fm.VideoError, match=r"broken.png: not an image"):
        process(tmp_path / "broken.png", tmp_path / "no.mp4", matter)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_with_a_name_is_refused_in_words(tmp_path, matter):
    os.mkfifo(tmp_path / "in.mkv")
    with pytest.raises(fm.VideoError, match="a pipe can be read once: give it as standard input"):
        process(tmp_path / "in.mkv", tmp_path / "out.mp4", matter)


def test_what_is_there_stays(tmp_path, matter):
    source = clip(tmp_path / "in.mp4", 3)
    (tmp_path / "out.mp4").write_text("mine")
    with pytest.raises(FileExistsError):
        process(source, tmp_path / "out.mp4", matter)
    assert (tmp_path / "out.mp4").read_text() == "mine"
    process(source, tmp_path / "out.mp4", matter, overwrite=True)
    assert len(times(tmp_path / "out.mp4")) == 3


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("out.avi", {}, r"expected a name that ends in \.mp4"),
        ("out.mp4", {"what": "cutout"}, "holds no transparency: write .mov"),
        ("out.mp4", {"codec": "prores"}, "expected one of h264, hevc, av1, vp9 for .mp4"),
        ("out.mp4", {"what": "shape"}, "what: expected one of 'composite', 'alpha'"),
        ("out.mp4", {"background": None}, "background: expected a colour"),
        ("out.mp4", {"what": "alpha", "background": "green"}, "and None for all else"),
        ("out.mp4", {"smoothing": "one_frame_delay"}, "smoothing: expected one of 'auto'"),
        ("out.mp4", {"every": 0}, "every: expected an integer of at least 1"),
        ("out.mp4", {"start": 2, "end": 1}, "end: expected seconds after the start"),
        ("out.mp4", {"rate": Fraction(5)}, "rate: expected None"),
        ("out.png", {}, "output: expected a pattern such as out-%05d.png"),
    ],
)
def test_bad_arguments(tmp_path, matter, name, options, message):
    source = clip(tmp_path / "in.mp4", 2)
    target = f"{tmp_path}/{name}"
    with pytest.raises(ValueError, match=message):
        process(source, target, matter, **options)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_a_missing_codec_is_named_with_those_that_are_there(tmp_path, matter, monkeypatch):
    from fastmatte.video import codecs

    source = clip(tmp_path / "in.mp4", 2)
    there = codecs._encodes
    monkeypatch.setattr(
        codecs, "_encodes", lambda n: n not in ("libsvtav1", "libaom-av1") and there(n)
    )
    with pytest.raises(fm.VideoError, match=r"no av1 \(it lacks libsvtav1 .*; it has h264, hevc"):
        process(source, tmp_path / "out.mkv", matter, codec="av1")


def test_without_pyav_the_extra_is_named(tmp_path, matter, monkeypatch):
    source = clip(tmp_path / "in.mp4", 2)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(fm.VideoError, match=r"pip install 'fastmatte\[video\]'"):
        process(source, tmp_path / "out.mp4", matter)


# --- the pipeline --------------------------------------------------------------------------------


class Counted:
    """A source, or a sink, that counts, and fails where it is told to."""

    checkpoint = None

    def __init__(self, frames=10, fails=None, error=None, slow=0.0):
        self.notes = []
        self.format = fm.video.Format((8, 8), Fraction(1, 30), Fraction(30), frames)
        self.count = 0
        self.seen = []
        self.ended = None
        self._fails, self._slow = fails, slow
        self._error = error or RuntimeError("out of order")

    def read(self, pool):
        if self.count == self._fails:
            raise self._error
        if self.count == self.format.frames:
            return None
        pixels = pool.take((8, 8, 3))
        pixels[:] = self.count % 256
        self.count += 1
        return fm.video.Frame(pixels, self.count - 1, self.count - 1)

    def write(self, frame):
        time.sleep(self._slow)
        if frame.index == self._fails:
            raise self._error
        assert (frame.pixels == frame.index % 256).all()
        self.seen.append(frame.index)

    def close(self):
        self.ended = "closed"

    def finish(self):
        self.ended = "finished"

    def abandon(self):
        self.ended = "abandoned"


def test_order_and_count_with_a_slow_sink():
    source, sink = Counted(40), Counted(slow=0.002)
    ahead = []

    def worker(frame, pool):
        ahead.append(source.count - len(sink.seen))
        return frame

    outcome = pipeline.run(source, worker, sink)
    assert sink.seen == list(range(40))
    assert outcome.frames == 40
    assert (source.ended, sink.ended) == ("closed", "finished")
    # What is under way is bounded: two queues and what each stage holds.
    assert max(ahead) <= 2 * pipeline.WAITING + 3


@pytest.mark.parametrize(
    ("stage", "at"), [("reading", 0), ("reading", 7), ("matting", 7), ("writing", 7)]
)
def test_an_error_in_any_stage_stops_all_and_says_which(stage, at):
    source = Counted(100, fails=at if stage == "reading" else None)
    sink = Counted(fails=at if stage == "writing" else None)

    def worker(frame, pool):
        if stage == "matting" and frame.index == at:
            raise RuntimeError("out of order")
        return frame

    with pytest.raises(fm.VideoError, match=f"{stage}, frame {at}: RuntimeError: out of order"):
        pipeline.run(source, worker, sink)
    assert (source.ended, sink.ended) == ("closed", "abandoned")
    assert sink.seen == list(range(len(sink.seen)))
    assert threading.active_count() < 10


def test_a_consumer_that_stops_is_no_crash():
    with pytest.raises(BrokenPipeError):
        pipeline.run(
            Counted(50), lambda frame, pool: frame, Counted(fails=3, error=BrokenPipeError())
        )


def test_stopping_finishes_what_is_under_way():
    stop = threading.Event()
    sink = Counted()

    def worker(frame, pool):
        if frame.index == 20:
            stop.set()
        return frame

    outcome = pipeline.run(Counted(1000), worker, sink, stop=stop)
    assert outcome.interrupted
    assert sink.seen == list(range(21))
    assert sink.ended == "finished"


def test_buffers_go_round():
    taken = set()

    def worker(frame, pool):
        taken.add(frame.pixels.ctypes.data)
        return frame

    pipeline.run(Counted(300), worker, Counted())
    assert len(taken) <= 2 * pipeline.WAITING + 4


# --- resuming ------------------------------------------------------------------------------------


def test_smoothing_is_passed_on(matter):
    frames = [picture(i) for i in range(6)]
    with matter.stream(smoothing="motion_adaptive") as one:
        expected = [one(frame).alpha.copy() for frame in frames]
    with matter.stream(smoothing="motion_adaptive") as first:
        for frame in frames[:3]:
            first(frame)
        memory = first.memory()
    with matter.stream(smoothing="motion_adaptive") as second:
        second.remember(memory)
        for frame, alpha in zip(frames[3:], expected[3:], strict=True):
            assert (second(frame).alpha == alpha).all()
    with matter.stream(smoothing="none") as plain:
        assert (plain(frames[3]).alpha != expected[3]).any()
    with (
        matter.stream(smoothing="one_frame_delay") as late,
        pytest.raises(ValueError, match="without one-frame delay"),
    ):
        late.memory()


@pytest.fixture
def short_parts(monkeypatch):
    monkeypatch.setattr(jobs, "LENGTH", 10)


@pytest.mark.parametrize("before", [[], [7], [1, 2, 5, 9]])
def test_decoding_times(before):
    """In order, and no picture is decoded after it is shown."""
    from fastmatte.video.joining import decoding_times

    for coded in ([10], [10, 11, 12], [10, 40, 20, 30, 70, 50, 60], [10, 90, 50, 20, 70, 60, 80]):
        found = decoding_times(coded, before)
        assert len(found) == len(coded)
        assert (np.diff(found) > 0).all()
        assert all(decoded <= shown for decoded, shown in zip(found, coded, strict=True))


def test_memory_is_passed_on(recurrent):
    """A stream that is told what another one remembers goes on as that one would."""
    frames = [picture(i) for i in range(6)]
    with recurrent.stream() as one:
        expected = [one(frame).alpha.copy() for frame in frames]
    with recurrent.stream() as first:
        for frame in frames[:3]:
            first(frame)
        memory = first.memory()
    assert memory
    with recurrent.stream() as second:
        second.remember(memory)
        for frame, alpha in zip(frames[3:], expected[3:], strict=True):
            assert (second(frame).alpha == alpha).all()
    with recurrent.stream() as fresh:
        assert fresh.memory() == {}
        assert (fresh(frames[3]).alpha != expected[3]).any()


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
@pytest.mark.parametrize(("network", "every"), [("recurrent", 1), ("recurrent", 3), ("matter", 1)])
def test_a_job_that_was_stopped_goes_on(tmp_path, request, network, name, every, short_parts):
    recurrent = request.getfixturevalue(network)
    source = clip(tmp_path / "in.mp4", 47, tone="aac")
    whole, stopped = tmp_path / f"whole-{name}", tmp_path / name
    process(source, whole, recurrent, every=every)
    stop = threading.Event()

    def advance(count, done=[0]):  # noqa: B006
        done[0] += count
        if done[0] >= 26:
            stop.set()

    summary = process(source, stopped, recurrent, every=every, advance=advance, stop=stop)
    assert summary.interrupted
    assert 26 <= summary.frames < 47
    # Playable, and the right frames.
    assert times(stopped) == times(whole)[: summary.frames]
    assert sound(stopped)[-1][0] <= float(times(stopped)[-1]) + 0.04
    counts = []
    again = process(source, stopped, recurrent, every=every, resume=True, advance=counts.append)
    assert again.frames == sum(counts) == 47
    # Whole parts of ten frames, or of as many more as share one alpha.
    assert again.resumed in ((20, 30) if every == 1 else (24, 36))
    assert stopped.read_bytes() == whole.read_bytes() or all(
        (a == b).all() for a, b in zip(pictures(stopped), pictures(whole), strict=True)
    )
    assert times(stopped) == times(whole)
    assert sound(stopped) == sound(whole)
    assert not jobs.folder_of(stopped).exists()


def test_another_job_is_not_taken_for_this_one(tmp_path, matter, short_parts):
    source = clip(tmp_path / "in.mp4", 30)
    stop = threading.Event()
    options = {"advance": lambda count: stop.set(), "stop": stop}
    process(source, tmp_path / "out.mp4", matter, **options)
    if not jobs.folder_of(tmp_path / "out.mp4").exists():
        stop = threading.Event()
        count = iter(range(100))
        process(
            source, tmp_path / "out.mp4", matter, overwrite=True, stop=stop,
            advance=lambda _: stop.set() if next(count) == 15 else None,
        )  # fmt: skip
    with pytest.raises(fm.VideoError, match="left by another job: background was"):
        process(source, tmp_path / "out.mp4", matter, background=(1, 2, 3), resume=True)


def child(graph, *arguments, before="", **options):
    """Run the verb in a process of its own, which the test may stop or starve."""
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from fastmatte.video import jobs, segments\n"
        "jobs.LENGTH = 10\n"
        f"{before}\n"
        "from fastmatte.cli import main\n"
        "main(sys.argv[1:], prog_name='fastmatte')\n"
    )
    network = ("--model", str(graph), "--engine", "onnxruntime", "--threads", "1")
    return subprocess.Popen(
        [sys.executable, "-c", code, "video", *map(str, arguments), *network],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


#: Makes writing slow enough for a test to come in between.
SLOWLY = (
    "import time\n"
    "write = segments.Segments.write\n"
    "def slowly(self, frame):\n"
    "    time.sleep(0.03)\n"
    "    write(self, frame)\n"
    "segments.Segments.write = slowly\n"
)


def wait_for(path, process):
    for _ in range(600):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


def test_a_sequence_goes_on(tmp_path, recurrent, short_parts):
    source = clip(tmp_path / "in.mp4", 40)
    process(source, f"{tmp_path / 'whole'}/", recurrent)
    stop = threading.Event()
    count = iter(range(100))
    summary = process(
        source, f"{tmp_path / 'out'}/", recurrent, stop=stop,
        advance=lambda _: stop.set() if next(count) == 25 else None,
    )  # fmt: skip
    assert summary.interrupted
    again = process(source, f"{tmp_path / 'out'}/", recurrent, resume=True)
    assert (again.frames, again.resumed) in ((40, 20), (40, 30))
    found = sorted((tmp_path / "out").iterdir())
    expected = sorted((tmp_path / "whole").iterdir())
    assert [p.name for p in found] == [p.name for p in expected]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(found, expected, strict=True))


def test_a_sequence_does_not_replace_its_source(tmp_path, matter):
    source = clip(tmp_path / "in.mp4", 3)
    process(source, tmp_path / "shots" / "%03d.png", matter)
    for given in (tmp_path / "shots", tmp_path / "shots" / "%03d.png"):
        with pytest.raises(ValueError, match="expected another folder than the source's"):
            process(given, tmp_path / "shots" / "%03d.png", matter, overwrite=True)


def test_kill_9_and_resume(tmp_path, graph, short_parts):
    """The final file equals an uninterrupted one, frame for frame, for a recurrent network."""
    source = clip(tmp_path / "in.mp4", 60, tone="aac")
    out, whole = tmp_path / "out.mp4", tmp_path / "whole.mp4"
    arguments = (source, "-o", out, "--background", "green")
    run = child(graph("rvm"), *arguments, before=SLOWLY)
    wait_for(jobs.folder_of(out) / "part-00003.mp4", run)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert not out.exists()
    run = child(graph("rvm"), *arguments, "--resume", "--json")
    output, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    document = json.loads(output)
    assert document["frames"] == 60
    assert document["resumed"] in (20, 30, 40)
    run = child(graph("rvm"), source, "-o", whole, "--background", "green")
    run.communicate(timeout=120)
    assert all((a == b).all() for a, b in zip(pictures(out), pictures(whole), strict=True))
    assert times(out) == times(whole) == times(source)


def test_ctrl_c_leaves_a_file_that_plays(tmp_path, graph):
    source = clip(tmp_path / "in.mp4", 60)
    out = tmp_path / "out.mp4"
    run = child(graph("modnet"), source, "-o", out, "--background", "green", before=SLOWLY)
    wait_for(jobs.folder_of(out) / "part-00001.mp4", run)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert errors.decode().startswith("Interrupted: ")
    assert times(out) == times(source)[: len(times(out))]
    assert 10 <= len(times(out)) < 60


def test_a_full_disk_leaves_parts_that_play(tmp_path, graph):
    source = clip(tmp_path / "in.mp4", 60, size=(240, 320))
    out = tmp_path / "out.mkv"
    # A file may have 40 000 bytes: what a full disk says, said for the part that is too large.
    before = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "close = segments.Segments._close_part\n"
        "def then(self):\n"
        "    close(self)\n"
        "    if len(self.parts) == 2:\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "segments.Segments._close_part = then\n"
    )
    run = child(
        graph("modnet"), source, "-o", out, "--background", "green", "--quality", "0",
        before=before,
    )  # fmt: skip
    _, errors = run.communicate(timeout=60)
    said = errors.decode()
    assert run.returncode == 1
    assert "Error: writing, frame " in said
    assert "File too large" in said
    assert "--resume" in said
    assert not out.exists()
    folder = jobs.folder_of(out)
    played = [len(times(folder / f"part-{i:05}.mkv")) for i in range(2)]
    assert played == [10, 10]
    run = child(
        graph("modnet"), source, "-o", out, "--background", "green", "--quality", "0", "--resume"
    )
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert len(times(out)) == 60


def test_a_whole_part_stays_where_there_is_no_place_to_say_so(tmp_path, matter, short_parts):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    source = clip(tmp_path / "in.mp4", 25)
    out = tmp_path / "out.mp4"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.np, "savez", full)
        with pytest.raises(fm.VideoError, match="What was done is whole and can be"):
            process(source, out, matter)
    assert [len(times(p)) for p in jobs.folder_of(out).glob("part-*")] == [10]
    assert process(source, out, matter, resume=True).frames == 25


# --- images and pipes ----------------------------------------------------------------------------


def test_images_in_and_a_video_out(tmp_path, matter):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(12):
        PIL.Image.fromarray(picture(index)).save(folder / f"{index}.png")
    process(folder, tmp_path / "out.mp4", matter, rate=Fraction(12))
    assert times(tmp_path / "out.mp4") == [Fraction(i, 12) for i in range(12)]
    process(folder / "%d.png", tmp_path / "other.mkv", matter, codec="ffv1")
    # 10.png after 9.png, not after 1.png.
    process(folder, tmp_path / "same.mkv", matter, codec="ffv1")
    pairs = zip(pictures(tmp_path / "other.mkv"), pictures(tmp_path / "same.mkv"), strict=True)
    assert all((a == b).all() for a, b in pairs)
    with pytest.raises(fm.VideoError, match="no images there"):
        process(tmp_path / "none-%d.png", tmp_path / "no.mp4", matter)
    PIL.Image.fromarray(picture(0, (20, 20))).save(folder / "99.png")
    with pytest.raises(fm.VideoError, match=r"reading, frame 12: .*the first image's size"):
        process(folder, tmp_path / "no.mp4", matter)


def test_a_sequence_is_not_replaced(tmp_path, matter):
    source = clip(tmp_path / "in.mp4", 3)
    process(source, tmp_path / "out" / "shot-%03d.png", matter)
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["shot-000.png", "shot-001.png", "shot-002.png"]
    with pytest.raises(FileExistsError):
        process(source, tmp_path / "out" / "shot-%03d.png", matter)


@pytest.mark.parametrize(("what", "channels"), [("composite", 3), ("alpha", 1), ("cutout", 4)])
def test_raw_frames_through_pipes(tmp_path, video, matter, what, channels):
    raw = b"".join(picture(i).tobytes() for i in range(5))
    choice = ("--background", "green") if what == "composite" else ("--what", what)
    result = video("-", "-o", "-", "--raw-size", "64x48", *choice, input=raw)
    assert result.exit_code == 0, result.stderr
    found = np.frombuffer(result.stdout_bytes, np.uint8).reshape(5, 48, 64, channels)
    stream = matter.stream()
    for index in range(5):
        matte = stream(picture(index))
        expected = {
            "composite": lambda matte=matte: matte.composite((0, 255, 0)),
            "alpha": lambda matte=matte: fm.kernels.quantise(matte.alpha)[..., None],
            "cutout": lambda matte=matte: matte.cutout(),
        }[what]()
        assert (found[index] == expected).all()


def test_raw_input_that_is_cut(video):
    raw = picture(0).tobytes()
    result = video("-", "-o", "-", "--raw-size", "64x48", "--background", "red", input=raw[:-1])
    assert result.exit_code == 1
    assert "9215 bytes at the end are no whole frame of 64x48" in result.stderr
    result = video("-", "-o", "-", "--raw-size", "64x48", "--background", "red", input=b"")
    assert result.exit_code == 1
    assert "no frames" in result.stderr


def test_a_stream_of_video_on_standard_input(tmp_path, graph):
    source = clip(tmp_path / "in.mkv", 6, codec="ffv1", pixel_format="yuv420p")
    run = child(graph("modnet"), "-", "-o", "-", "--what", "alpha", stdin=subprocess.PIPE)
    output, errors = run.communicate(source.read_bytes(), timeout=60)
    assert run.returncode == 0, errors
    assert len(output) == 6 * 48 * 64


def test_an_index_that_comes_last_is_no_good_in_a_pipe(tmp_path):
    # Larger than what FFmpeg reads ahead.
    source = clip(tmp_path / "in.mp4", 30, size=(480, 640), codec="mjpeg", pixel_format="yuvj420p")
    with pytest.raises(fm.VideoError, match="a pipe needs a file whose index comes first"):
        fm.video.FileSource(Once(source))


def test_streams_that_are_closed(tmp_path, graph):
    """As by a shell's >&- and <&-."""
    source = clip(tmp_path / "in.mp4", 3)
    for given, closed, message in (
        (source, 1, b"standard output is closed"),
        ("-", 0, b"standard input is closed"),
    ):
        run = child(
            graph("modnet"), given, "-o", "-", "--what", "alpha",
            preexec_fn=lambda closed=closed: os.close(closed),
        )  # fmt: skip
        _, errors = run.communicate(timeout=60)
        assert run.returncode == 2, errors
        assert message in errors


def test_a_reader_that_is_gone_ends_it(tmp_path, graph):
    source = clip(tmp_path / "in.mp4", 60, size=(240, 320))
    run = child(graph("modnet"), source, "-o", "-", "--what", "alpha")
    with run:
        run.stdout.read(1000)
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 141


# --- plates --------------------------------------------------------------------------------------


def test_a_plate_is_the_median_of_frames(tmp_path):
    from fastmatte.video.plates import plate_from

    source = clip(tmp_path / "in.mkv", 9, codec="ffv1", pixel_format="bgr0")
    found = plate_from(source, 2, 6)
    expected = np.median([picture(i) for i in range(2, 7)], axis=0)
    assert np.abs(found - expected).max() <= 1
    with pytest.raises(fm.VideoError, match="ends before frame 20"):
        plate_from(source, 0, 20)
    for index in range(2, 7):
        PIL.Image.fromarray(picture(index)).save(tmp_path / f"{index}.png")
    assert (plate_from(tmp_path / "%d.png", 0, 4) == found).all()


def test_networks_with_a_plate(tmp_path, graph, video):
    source = clip(tmp_path / "in.mp4", 8)
    PIL.Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "plate.png")
    model = ("--model", graph("bgmv2"), "--background", "green")
    for option in (("--plate", tmp_path / "plate.png"), ("--plate-from", "0-2")):
        out = tmp_path / f"{option[0]}.mp4"
        result = video(source, "-o", out, *model, *option)
        assert result.exit_code == 0, result.stderr
        assert len(times(out)) == 8
    result = video(source, "-o", tmp_path / "no.mp4", *model)
    assert result.exit_code == 1
    assert "the scene without its subject" in result.stderr


# --- the verb ------------------------------------------------------------------------------------


def test_json(tmp_path, video):
    source = clip(tmp_path / "in.mp4", 5)
    result = video(source, "-o", tmp_path / "out.mp4", "--background", "blur:5", "--json")
    document = json.loads(result.stdout)
    assert document["frames"] == 5
    assert {"read", "matte", "write", "network", "composite"} <= set(document["stages"])
    assert set(document["stages"]["network"]) == {"p50", "p95", "p99"}
    assert document["matter"]["family"] == "modnet"
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say what to make"),
        (("--what", "composite"), "a composite needs a --background"),
        (("--what", "alpha", "--background", "red"), "has no background"),
        (("--what", "alpha", "--background", "transparent"), "is not transparent"),
        (("--background", "nothing.png"), "expected a colour, an image or video file"),
        (("--background", "red", "--start", "1:x"), "expected seconds or h:m:s"),
        (("--background", "red", "--plate-from", "5-2"), "expected FIRST-LAST"),
        (("--background", "red", "--rate", "0"), "expected frames a second"),
        (("--background", "red", "--raw-size", "5x5"), "--raw-size is about standard input"),
    ],
)  # fmt: skip
def test_usage(tmp_path, video, arguments, message):
    source = clip(tmp_path / "in.mp4", 2)
    result = video(source, "-o", tmp_path / "out.mp4", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


# --- real clips ----------------------------------------------------------------------------------


def test_a_real_clip_through_rvm(tmp_path, shared_data):
    matter = fm.Matter(shared_data / "models" / "rvm_mobilenetv3_fgf.onnx")
    source = shared_data / "video" / "asl_milk.mkv"
    summary = process(source, tmp_path / "out.mp4", matter, end=0.6)
    expected = [t for t in times(source) if t - times(source)[0] < Fraction(6, 10)]
    assert (
        times(tmp_path / "out.mp4") == [t - expected[0] for t in expected]
        or times(tmp_path / "out.mp4") == expected
    )
    assert summary.frames == len(expected)


def test_memory_does_not_grow_with_length(tmp_path):
    """No decoded frame waits for Python's collector of cycles."""
    import gc

    source = clip(tmp_path / "in.mp4", 40)
    frames = fm.video.FileSource(source)
    pool = fm.video.Pool()
    gc.collect()
    gc.disable()
    try:
        while (frame := frames.read(pool)) is not None:
            pool.give(frame.pixels)
        alive = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
        frames.close()
    assert alive <= 3
