"""fastmatte pull: bring a known network onto this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from fastmatte.cli import one_line

if TYPE_CHECKING:
    from rich.progress import TaskID

    from fastmatte.models import KnownModel
    from fastmatte.models.download import Progress, Stage


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def pull(names: tuple[str, ...]) -> None:
    """Download networks that `fastmatte models` lists.

    What comes is checked against the hash that is published of it, and kept in a folder of the
    user's: FASTMATTE_CACHE, or where this system keeps such things. A download that was cut goes
    on where it ended. Prints the path of each file.

    \b
    Examples:
      fastmatte pull selfie
      fastmatte pull modnet u2netp
    """
    from fastmatte import models

    # All of them, before anything is downloaded: a misspelt one is no reason to wait.
    for model in [models.find(name) for name in names]:
        with _progress(model) as progress:
            path = models.pull(model.name, progress=progress)
        if model.commercial != "yes":
            verdict = {"no": "not allowed", "unclear": "unclear"}[model.commercial]
            click.echo(
                one_line(
                    f"{model.name}: licence {model.licence}, commercial use {verdict}. {model.note}"
                ),
                err=True,
            )
        click.echo(str(path))


@contextmanager
def _progress(model: KnownModel) -> Iterator[Progress]:
    """Show a bar to somebody who watches, and a line a stage to a log."""
    if not sys.stderr.isatty():
        last: list[Stage] = []

        def say(stage: Stage, done: int, total: int | None) -> None:
            if last != [stage]:
                last[:] = [stage]
                click.echo(f"{model.name}: {stage}", err=True)

        yield say
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[Stage, TaskID] = {}

        def show(stage: Stage, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(f"{model.name}: {stage}", total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield show
