"""Lines and a bar on stderr while a verb works through many files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from fastmatte.cli import one_line

if TYPE_CHECKING:
    from rich.progress import Progress


class Lines:
    """Prints one line after another on stderr."""

    def say(self, text: str) -> None:
        """Print a line."""
        click.echo(one_line(text), err=True)

    def advance(self) -> None:
        """Count one image as dealt with: nothing to show here."""


class Bar(Lines):
    """Prints lines above a progress bar."""

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total)

    def say(self, text: str) -> None:
        """Print a line; file names are not markup, and a wrapped line cannot be copied."""
        self._bar.console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)

    def advance(self) -> None:
        """Move the bar on."""
        self._bar.advance(self._task)


@contextmanager
def progress(total: int) -> Iterator[Lines]:
    """Show a bar where there are several images and somebody to watch it."""
    if total < 2 or not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Bar(bar, total)
