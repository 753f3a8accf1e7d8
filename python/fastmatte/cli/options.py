"""The options that several verbs have."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import click

from fastmatte.engines import EngineName, Precision
from fastmatte.proof import TOLERANCE

if TYPE_CHECKING:
    from fastmatte.arrays import Size

Function = TypeVar("Function", bound=Callable[..., Any])


def _group(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Make one decorator of several options, which help lists in this order."""

    def add(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def _size(context: click.Context, parameter: click.Parameter, text: str | None) -> Size | None:
    """Read the network's input size, if there is one."""
    return None if text is None else read_size(text)


def read_size(text: str) -> Size:
    """Read a size: 512 or 288x512, height first."""
    match = re.fullmatch(r"([1-9]\d{0,8})(?:[xX]([1-9]\d{0,8}))?", text)
    if match is None:
        raise click.BadParameter(f"expected HEIGHTxWIDTH as in 288x512, or one side, got {text!r}")
    return int(match[1]), int(match[2] or match[1])


#: Which network, "portrait" where none is named.
model_option = click.option(
    "--model",
    envvar="FASTMATTE_MODEL",
    show_envvar=True,
    default="portrait",
    show_default=True,
    metavar="NAME|PATH",
    help="The matting network: an ONNX file, or the name of a known one.",
)

mode_option = click.option(
    "--mode",
    type=click.Choice(["fast", "reference"]),
    default="fast",
    show_default=True,
    help="fast serves the alpha best; reference does what the network's authors do in their own "
    "script, to the last rounding.",
)


def _tile(
    context: click.Context, parameter: click.Parameter, text: str
) -> int | Literal["auto", "none"]:
    """Read how large frames are cut; Matter says which sides there are."""
    if text == "auto":
        return "auto"
    if text == "none":
        return "none"
    if not re.fullmatch(r"\d{1,6}", text):
        raise click.BadParameter(f"expected auto, none or a side in pixels, got {text!r}")
    return int(text)


#: How a network is run.
network_options = _group(
    click.option("--family", metavar="NAME", help="The network's family, if it is not recognised."),
    mode_option,
    click.option(
        "--size",
        callback=_size,
        metavar="HxW",
        help="The network's input size, height first, if it takes several.",
    ),
    click.option(
        "--refine",
        type=click.Choice(["guided", "none"]),
        default="guided",
        show_default=True,
        help="How the network's small alpha becomes as sharp as the photo.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="How many threads may work; one per processor without it.",
    ),
)

#: About networks that take a trimap: tiles, and where trimaps come from.
trimap_options = _group(
    click.option(
        "--tile",
        callback=_tile,
        default="auto",
        show_default=True,
        metavar="auto|none|SIDE",
        help="Side of the windows in which networks that take a trimap see large photos; none "
        "for the whole photo at once, in as much memory as that needs.",
    ),
    click.option(
        "--trimap-from",
        metavar="PATH",
        help="A second network, whose alpha makes the trimap where none is given.",
    ),
    click.option(
        "--trimap-radius",
        type=float,
        metavar="SHARE",
        help="Radius of that trimap's unknown band, in parts of the square root of the photo's "
        "pixels; 0.02 without it.",
    ),
)

#: Which GPU, where an engine runs on one.
device_option = click.option(
    "--device",
    metavar="cuda:N",
    help="The GPU that tensorrt and cuda run on; the first without it.",
)

#: What a network is run by.
engine_options = _group(
    click.option(
        "--engine",
        type=click.Choice(get_args(EngineName)),
        default="auto",
        show_default=True,
        help="What runs the network: auto takes the first that is installed and can.",
    ),
    click.option(
        "--precision",
        type=click.Choice(get_args(Precision)),
        default="auto",
        show_default=True,
        help="What it computes in: fp32, unless you ask for less.",
    ),
    device_option,
)

#: All that Matter() takes, by the same names: a verb passes them on as they are, **network.
matter_options = _group(
    model_option,
    click.option(
        "--commercial-only",
        is_flag=True,
        help="Refuse weights that are not known to be free for commercial use.",
    ),
    network_options,
    trimap_options,
    engine_options,
)

#: What fails a check or a build.
tolerance_option = click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=TOLERANCE,
    show_default="1/255",
    metavar="T",
    help="The largest mean deviation of a sample that passes, alpha being 0 to 1.",
)


def rate_option(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> Fraction | None:
    """Read frames a second: 30, 29.97 or 30000/1001."""
    if text is None:
        return None
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise click.BadParameter(f"expected frames a second as 30 or 30000/1001, got {text!r}")
    return rate


def pixels_option(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> Size | None:
    """Read the size of frames, width first as ffmpeg has it."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5})[xX]([1-9]\d{0,5})", text)
    if match is None:
        raise click.BadParameter(f"expected WIDTHxHEIGHT as ffmpeg has it, got {text!r}")
    return int(match[2]), int(match[1])


#: What takes the flicker out, of a kind that gives each frame its own alpha at once.
smoothing_option = click.option(
    "--smoothing",
    type=click.Choice(["auto", "none", "motion_adaptive"]),
    default="auto",
    show_default=True,
    help="What takes the flicker out of alpha; auto is what suits the network.",
)


#: For networks that see what is behind.
plate_option = click.option(
    "--plate", metavar="IMAGE", help="For networks that need it: the scene without its subject."
)
align_option = click.option(
    "--align", is_flag=True, help="The camera moves: find the plate in each frame."
)

#: What becomes of each frame: what is written, and what is behind.
scene_options = _group(
    click.option(
        "--what",
        type=click.Choice(["composite", "alpha", "foreground", "cutout"]),
        help="What to write: a composite, alpha in grey, the subject's true colours, or those "
        "with transparency.",
    ),
    click.option(
        "--background",
        metavar="COLOUR|IMAGE|VIDEO|blur[:RADIUS]|green|transparent",
        help="What to put behind: a colour by name, as #rrggbb or as r,g,b; green, the one "
        "that keyers expect; an image or a video file; the own background, blurred; or "
        "nothing.",
    ),
    click.option(
        "--linear-light",
        is_flag=True,
        help="Mix a composite's light instead of its levels: soft edges as a lens makes them.",
    ),
)
