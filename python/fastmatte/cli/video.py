"""fastmatte video: a video in, a video out."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import asdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import click

from fastmatte.cli import INTERRUPTED
from fastmatte.cli.colours import asked
from fastmatte.cli.files import STREAM, read_opaque, standard_input, standard_output
from fastmatte.cli.options import (
    align_option,
    matter_options,
    pixels_option,
    plate_option,
    rate_option,
    scene_options,
    smoothing_option,
)
from fastmatte.cli.progress import frame_progress
from fastmatte.cli.stopping import stopped_by_ctrl_c

if TYPE_CHECKING:
    from fastmatte.arrays import Image, Size
    from fastmatte.video import Sink, Source, Summary
    from fastmatte.video.matting import Between, What


def _time(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Read seconds, or h:m:s."""
    if text is None:
        return None
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d*)?", text):
        raise click.BadParameter(f"expected seconds or h:m:s as in 1:02.5, got {text!r}")
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def _frames(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """Read the first and last of a range of frames."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})-(\d{1,9})", text)
    if match is None or int(match[1]) > int(match[2]):
        raise click.BadParameter(f"expected FIRST-LAST as in 0-59, got {text!r}")
    return int(match[1]), int(match[2])


@click.command()
@click.argument("source", metavar="IN")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="A file (.mp4, .m4v, .mov, .mkv, .webm); images as cut/%05d.png, or a folder for them; or "
    "- for raw frames on standard output.",
)
@scene_options
@click.option(
    "--codec",
    type=click.Choice(["h264", "hevc", "vp9", "av1", "prores", "ffv1"]),
    help="How to encode; the file's usual one without it.",
)
@click.option(
    "--quality",
    type=click.IntRange(0, 63),
    metavar="N",
    help="The encoder's constant quality, lower is better; 20 for h264 without it.",
)
@click.option("--start", callback=_time, metavar="TIME", help="Seconds, or h:m:s, to begin at.")
@click.option("--end", callback=_time, metavar="TIME", help="Seconds, or h:m:s, to end before.")
@click.option(
    "--every",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Let the network see each Nth frame.",
)
@click.option(
    "--between",
    type=click.Choice(["warp", "hold"]),
    default="warp",
    show_default=True,
    help="What those between have, with --every: an alpha that goes along with what moves, or the "
    "one before them.",
)
@plate_option
@click.option(
    "--plate-from",
    callback=_frames,
    metavar="FIRST-LAST",
    help="Make the plate of the video's own frames: the median of these.",
)
@smoothing_option
@align_option
@click.option(
    "--eight-bit", is_flag=True, help="Take video of more than 8 bits, and write it with 8."
)
@click.option(
    "--rate",
    callback=rate_option,
    metavar="FPS",
    help="Frames a second of images and of raw frames; 30 without it.",
)
@click.option(
    "--raw-size",
    callback=pixels_option,
    metavar="WxH",
    help="Standard input is raw frames of rgb24 of this size; without it, a stream of video that "
    "says its size, as yuv4mpegpipe does.",
)
@matter_options
@click.option(
    "--resume", is_flag=True, help="Go on with a job that was stopped or killed, where it stopped."
)
@click.option("--overwrite", is_flag=True, help="Replace a result that is already there.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document of what was done.")
def video(
    source: str,
    output: str,
    what: What | None,
    background: str | None,
    linear_light: bool,
    codec: str | None,
    quality: int | None,
    start: float | None,
    end: float | None,
    every: int,
    between: Between,
    plate: str | None,
    plate_from: tuple[int, int] | None,
    smoothing: Literal["auto", "none", "motion_adaptive"],
    align: bool,
    eight_bit: bool,
    rate: Fraction | None,
    raw_size: Size | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    **network: Any,
) -> None:
    """Cut the subject out of a video.

    IN is a video file, a folder of images or a pattern of them, or - for standard input.

    Sound, subtitles, chapters, metadata, times and colours stay as they are. Ctrl-C ends the
    result where it is, and --resume goes on from there, after a crash too.

    \b
    Examples:
      fastmatte video talk.mp4 -o new.mp4 --background office.jpg
      fastmatte video talk.mp4 -o new.mp4 --background blur:20
      fastmatte video talk.mp4 -o cut.mov --background transparent
      fastmatte video talk.mp4 -o alpha.mkv --what alpha --start 1:30 --end 2:00
      fastmatte video walk.mp4 -o green.mp4 --background green --model bgmv2.onnx --plate-from 0-59
      ffmpeg -i in.avi -f yuv4mpegpipe - | fastmatte video - -o - --background red > out.rgb
    """
    what, behind = asked(what, background)
    if plate is not None and plate_from is not None:
        raise click.UsageError("--plate and --plate-from both name a plate: leave one out")
    if raw_size is not None and source != STREAM:
        raise click.UsageError("--raw-size is about standard input: give - as IN")
    if output == STREAM and as_json:
        raise click.UsageError("--json and the frames would both go to standard output")
    pipe = standard_output("frames") if output == STREAM else None
    if plate_from is not None and source == STREAM:
        raise click.UsageError("--plate-from reads IN twice: give a file")
    # What is wrong with files is said before a network is loaded.
    import fastmatte as fm

    given = _source(source, raw_size, rate, eight_bit=eight_bit or what == "alpha")
    sink: str | Sink = output
    if pipe is not None:
        from fastmatte.video.raw import RawSink

        sink = RawSink(pipe)
    matter = fm.Matter(**network)
    stop = threading.Event()
    with frame_progress() as bar, stopped_by_ctrl_c(stop):
        summary = fm.video.process(
            given,
            sink,
            matter,
            what=what,
            background=behind,
            linear_light=linear_light,
            codec=codec,
            quality=quality,
            start=start,
            end=end,
            every=every,
            between=between,
            plate=_plate(plate, plate_from, source),
            align=align,
            smoothing=smoothing,
            rate=None if source == STREAM else rate,
            eight_bit=eight_bit,
            resume=resume,
            overwrite=overwrite,
            expect=lambda found: bar.expect(found.frames),
            advance=bar.advance,
            stop=stop,
        )
    for note in summary.notes:
        bar.say(f"Warning: {note}")
    if as_json:
        document: dict[str, Any] = asdict(summary) | {"matter": asdict(matter.info)}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(_said(summary, resumable=isinstance(given, str)), err=True)
    if summary.interrupted:
        raise click.exceptions.Exit(INTERRUPTED)


def _source(
    source: str, raw_size: Size | None, rate: Fraction | None, *, eight_bit: bool
) -> str | Source:
    if source != STREAM:
        return source
    from fastmatte.video import FileSource
    from fastmatte.video.raw import RawSource

    if raw_size is not None:
        return RawSource(standard_input(), raw_size, rate or Fraction(30))
    return FileSource(standard_input(), eight_bit=eight_bit)


def _plate(plate: str | None, frames: tuple[int, int] | None, source: str) -> Image | None:
    if frames is not None:
        from fastmatte.video.plates import plate_from

        return plate_from(source, *frames)
    return None if plate is None else read_opaque(plate)


def _said(summary: Summary, *, resumable: bool) -> str:
    count = f"{summary.frames} frame{'s' if summary.frames != 1 else ''}"
    text = f"{count} in {summary.seconds:.1f} s, {summary.frames_per_second:.1f} a second"
    if summary.resumed:
        text = f"{text} ({summary.resumed} were there before)"
    if not summary.interrupted:
        return text
    return f"Interrupted: {text}{'; --resume goes on' if resumable else ''}"
