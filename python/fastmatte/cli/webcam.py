"""fastmatte webcam: a camera in, a virtual camera or raw frames out."""

from __future__ import annotations

import gc
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import click

from fastmatte.cli.colours import asked
from fastmatte.cli.files import STREAM, read_opaque, standard_output
from fastmatte.cli.options import (
    align_option,
    matter_options,
    pixels_option,
    plate_option,
    rate_option,
    scene_options,
    smoothing_option,
)
from fastmatte.cli.progress import camera_status
from fastmatte.cli.stopping import stopped_by_ctrl_c

if TYPE_CHECKING:
    from fastmatte.arrays import Size
    from fastmatte.video import LiveSummary, Sink
    from fastmatte.video.matting import What

#: Stands for the first virtual camera there is.
FIRST = "auto"
#: Seconds for which a thread may keep Python's lock from another that has a frame in hand. The
#: usual 5 ms are a sixth of a frame's time.
SWITCH = 0.0005


def _print_list(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from fastmatte.video import devices
    from fastmatte.video.cameras import virtual_devices

    for title, found in (("Cameras", devices()), ("Virtual cameras", virtual_devices())):
        click.echo(f"{title}:")
        lines = [f"  {device}  {called}" for device, called in found]
        click.echo("\n".join(lines) or "  none")
    context.exit()


@click.command()
@click.option(
    "--camera",
    default="0",
    show_default=True,
    metavar="NUMBER|NAME|FILE|test",
    help="A camera, by number or as /dev/video0; a video file, played as one again and again; or a "
    "drawn sitter, to try things with no camera.",
)
@click.option(
    "--camera-size",
    callback=pixels_option,
    metavar="WxH",
    help="The size of its pictures; its own choice without it.",
)
@click.option("--camera-rate", callback=rate_option, metavar="FPS", help="Frames a second of it.")
@click.option(
    "--camera-format",
    metavar="NAME",
    help="How it encodes them, as mjpeg, yuyv422 or nv12; large ones often come as mjpeg only.",
)
@click.option(
    "--to",
    metavar="auto|DEVICE",
    help="Show the result as a camera to other programs: the first virtual camera there is, or one "
    "as /dev/video10.",
)
@click.option("-o", "--output", metavar="-", help="Or - for raw frames on standard output.")
@scene_options
@click.option(
    "--deadline",
    type=click.FloatRange(0, 60_000, min_open=True),
    metavar="MS",
    help="The age in milliseconds at which a frame is dropped; without it 1.1 periods of the "
    "camera, or 1.5 times what a frame takes where that is more.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="End after so long; with Ctrl-C without it.",
)
@plate_option
@align_option
@smoothing_option
@matter_options
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_list,
    help="Name the cameras there are, and end.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document of what was done.")
def webcam(
    camera: str,
    camera_size: Size | None,
    camera_rate: Fraction | None,
    camera_format: str | None,
    to: str | None,
    output: str | None,
    what: What | None,
    background: str | None,
    linear_light: bool,
    deadline: float | None,
    seconds: float | None,
    plate: str | None,
    align: bool,
    smoothing: Literal["auto", "none", "motion_adaptive"],
    as_json: bool,
    **network: Any,
) -> None:
    """Cut the subject out of what a camera sees, as it happens.

    The newest frame is always the one that is worked on. What would come too late is dropped, never
    queued. A camera that is unplugged is waited for. With neither --to nor -o nothing is shown, and
    the summary says how fast it is here.

    \b
    Examples:
      fastmatte webcam --background office.jpg --to auto
      fastmatte webcam --background blur --camera 1 --camera-size 1280x720 --to /dev/video10
      fastmatte webcam --camera test --background green --seconds 10 --json
      fastmatte webcam --background green -o - > frames.rgb

    \b
    A window to look at it, with FFmpeg's player:
      ... -o - | ffplay -f rawvideo -pixel_format rgb24 -video_size 640x480 -
    """
    what, behind = asked(what, background)
    if output is not None and output != STREAM:
        raise click.UsageError(f"-o takes - for standard output, got {output!r}: see also --to")
    if output is not None and to is not None:
        raise click.UsageError("--to and -o both say where it goes: leave one out")
    if output is not None and as_json:
        raise click.UsageError("--json and the frames would both go to standard output")
    pipe = None if output is None else standard_output("frames", "send them on with |")
    # What is wrong with cameras is said before a network is loaded.
    import fastmatte as fm

    try:
        source = fm.video.camera_of(
            camera, size=camera_size, rate=camera_rate, input_format=camera_format
        )
    except ValueError as error:
        raise click.UsageError(
            "--camera-size, --camera-rate and --camera-format are for a camera: "
            f"{camera} has its own"
        ) from error
    if to is not None and to == source.name:
        raise click.UsageError(f"--to {to} is the camera itself: name another one")
    sink: Sink | None = None
    if to is not None:
        sink = fm.video.VirtualCamera(None if to == FIRST else to, camera_rate or Fraction(30))
    elif pipe is not None:
        from fastmatte.video.raw import RawSink

        sink = RawSink(pipe)
    matter = fm.Matter(**network)
    stop = threading.Event()
    with camera_status() as line, stopped_by_ctrl_c(stop), undisturbed():
        summary = fm.video.live(
            source,
            sink,
            matter,
            what=what,
            background=behind,
            linear_light=linear_light,
            deadline_ms=deadline,
            seconds=seconds,
            plate=None if plate is None else read_opaque(plate),
            align=align,
            smoothing=smoothing,
            tell=line.tell,
            stop=stop,
        )
    for note in summary.notes:
        line.say(f"Warning: {note}")
    if as_json:
        document: dict[str, Any] = asdict(summary) | {"matter": asdict(matter.info)}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(_said(summary), err=True)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let frames through Python at once: no long search for garbage, quick changes of thread."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    gc.collect()
    # What is loaded by now stays: a collection that walks all of it takes as long as a frame.
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


def _said(summary: LiveSummary) -> str:
    text = (
        f"{summary.shown} of {summary.frames} frames shown in {summary.seconds:.1f} s, "
        f"{summary.shown_per_second:.1f} a second"
    )
    latency = summary.stages.get("shown")
    if latency is None:
        return text
    return (
        f"{text}; from camera to picture p50 {latency.p50:.1f}, p95 {latency.p95:.1f}, "
        f"p99 {latency.p99:.1f} ms"
    )
