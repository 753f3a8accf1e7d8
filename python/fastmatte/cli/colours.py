"""What --background means: a colour, an image, a video, or the picture's own, blurred."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import click

from fastmatte.cli.files import read_opaque

if TYPE_CHECKING:
    from fastmatte.arrays import Colour
    from fastmatte.matte import Background
    from fastmatte.video.matting import What

HINT = "--background"


@overload
def background_of(text: str) -> Background: ...


@overload
def background_of(text: str, files: Literal["video"]) -> Background | str: ...


def background_of(text: str, files: Literal["image", "video"] = "image") -> Background | str:
    """Read a background; where files may be videos, too, a file's name stays as it is."""
    import fastmatte as fm

    if text == "blur":
        return fm.Blur()
    if text.startswith("blur:"):
        try:
            return fm.Blur(float(text.removeprefix("blur:")))
        except ValueError as error:
            raise click.BadParameter(
                f"expected blur:RADIUS, got {text!r} ({error})", param_hint=HINT
            ) from error
    colour = _colour(text)
    if colour is not None:
        return colour
    if not Path(text).is_file():
        kinds = "an image file" if files == "image" else "an image or video file"
        raise click.BadParameter(
            f"expected a colour, {kinds} or blur[:RADIUS], got {text!r}", param_hint=HINT
        )
    return text if files == "video" else read_opaque(text)


def _colour(text: str) -> Colour | None:
    from PIL import ImageColor

    if re.fullmatch(r"\d{1,3},\d{1,3},\d{1,3}", text.replace(" ", "")):
        red, green, blue = map(int, text.split(","))
        alpha = 255
    else:
        try:
            red, green, blue, alpha = (*ImageColor.getrgb(text), 255)[:4]
        except ValueError:
            return None
    if max(red, green, blue) > 255 or alpha != 255:
        raise click.BadParameter(
            f"expected an opaque colour of parts from 0 to 255, got {text!r}", param_hint=HINT
        )
    return red, green, blue


def asked(what: What | None, background: str | None) -> tuple[What, Background | str | None]:
    """Return what is made of frames, and what is behind them: a verb's --what and --background."""
    if background == "transparent":
        if what not in (None, "cutout"):
            raise click.UsageError(f"--what {what} is not transparent: leave one of both out")
        return "cutout", None
    if background is not None:
        if what not in (None, "composite"):
            raise click.UsageError(f"--what {what} has no background: leave one of both out")
        return "composite", "green" if background == "green" else background_of(background, "video")
    if what is None:
        raise click.UsageError(
            "say what to make: --background COLOUR|IMAGE|VIDEO|blur|green|transparent, or --what "
            "alpha|foreground|cutout"
        )
    if what == "composite":
        raise click.UsageError(
            "a composite needs a --background: a colour, an image, a video or blur"
        )
    return what, None
