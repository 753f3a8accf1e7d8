"""The options that every verb with a network has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from fastmatte.engines import EngineName, Precision

if TYPE_CHECKING:
    from fastmatte.arrays import Size

Function = TypeVar("Function", bound=Callable[..., Any])


def _size(context: click.Context, parameter: click.Parameter, text: str | None) -> Size | None:
    """Read the network's input size: 512 or 288x512, height first."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,8})(?:[xX]([1-9]\d{0,8}))?", text)
    if match is None:
        raise click.BadParameter(f"expected HEIGHTxWIDTH as in 288x512, or one side, got {text!r}")
    return int(match[1]), int(match[2] or match[1])


mode_option = click.option(
    "--mode",
    type=click.Choice(["fast", "reference"]),
    default="fast",
    show_default=True,
    help="fast serves the alpha best; reference does what the network's authors do in their own "
    "script, to the last rounding.",
)


def network_options(function: Function) -> Function:
    """Add what says how a network is run: family, mode, size, refine and threads."""
    options = (
        click.option(
            "--family", metavar="NAME", help="The network's family, if it is not recognised."
        ),
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
    for option in reversed(options):
        function = option(function)
    return function


def engine_options(function: Function) -> Function:
    """Add what says what a network is run by: engine and precision."""
    function = click.option(
        "--precision",
        type=click.Choice(get_args(Precision)),
        default="auto",
        show_default=True,
        help="What it computes in: fp32, unless you ask for less.",
    )(function)
    return click.option(
        "--engine",
        type=click.Choice(get_args(EngineName)),
        default="auto",
        show_default=True,
        help="What runs the network: auto takes the first that is installed and can.",
    )(function)
