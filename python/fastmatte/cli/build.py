"""fastmatte build: from an ONNX file to an engine that was proved to be right."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, get_args

import click

from fastmatte.building import Target
from fastmatte.cli import one_line
from fastmatte.cli.options import device_option, read_size, tolerance_option
from fastmatte.cli.tables import echo_rows
from fastmatte.engines import Precision

if TYPE_CHECKING:
    from fastmatte.arrays import Size
    from fastmatte.building import Attempt, BuildReport

HEADINGS = ("size", "precision", "max", "mean", "ms", "")


def _sizes(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> list[Size] | None:
    return [read_size(text) for text in texts] or None


@click.command()
@click.argument("model")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE",
    help="The file to write: .engine for tensorrt, .onnx for the others. Of several sizes each is "
    "added to the name.",
)
@click.option(
    "--engine",
    type=click.Choice(get_args(Target)),
    default="tensorrt",
    show_default=True,
    help="What the file is for.",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="fp32",
    show_default=True,
    help="What it computes in; auto takes the fastest that passes.",
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    callback=_sizes,
    metavar="HxW",
    help="The network's input size, height first; several times for several files. Without it, "
    "what the network sees of a 1080p frame.",
)
@click.option(
    "--samples",
    metavar="FOLDER",
    help="Photos to prove it on, and to calibrate int8 on; without it, portraits made of "
    "arithmetic.",
)
@tolerance_option
@device_option
@click.option("--family", metavar="NAME", help="The network's family, if it is not recognised.")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="How many threads may work; one per processor without it.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as a JSON document.")
def build(
    model: str,
    output: str,
    engine: Target,
    precision: Precision,
    sizes: list[Size] | None,
    samples: str | None,
    tolerance: float,
    device: str | None,
    family: str | None,
    threads: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Build an engine of MODEL and prove its alpha against ONNX Runtime's in fp32.

    The graph is frozen to each size, its precision lowered but for what needs fp32, and an engine
    built of it. Where the alpha of a sample deviates by more than the tolerance in the mean nothing
    is written, the report names the first layer that diverges, and the exit status is 1. For
    onnxruntime and openvino the result is the ONNX file itself.

    \b
    Examples:
      fastmatte build modnet.onnx -o modnet.engine --precision fp16 --size 512x896
      fastmatte build rvm.onnx -o rvm.engine --precision auto --samples photos/
      fastmatte build u2.onnx -o u2-int8.onnx --engine onnxruntime --precision int8 --samples in/
    """
    from fastmatte import building

    with _shown() as progress:
        report = building.build(
            model,
            output,
            engine=engine,
            precision=precision,
            sizes=sizes,
            samples=samples,
            tolerance=tolerance,
            device=device,
            family=family,
            threads=threads,
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps({"passed": report.passed} | asdict(report), indent=2))
    else:
        _print(report)
    if not report.passed:
        raise click.exceptions.Exit(1)


@contextmanager
def _shown() -> Iterator[Callable[[str, float | None], None]]:
    """Show what is being done on stderr: a moving line to somebody who watches, else each once."""
    if not sys.stderr.isatty():
        said: list[str] = []

        def say(stage: str, share: float | None) -> None:
            # A builder's phases come by the hundred.
            if share is None and stage not in said[-1:]:
                said.append(stage)
                click.echo(one_line(stage), err=True)

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def move(stage: str, share: float | None) -> None:
            total = None if share is None else 1.0
            bar.update(task, description=one_line(stage), total=total, completed=share or 0.0)

        yield move


def _print(report: BuildReport) -> None:
    rows = []
    for built in report.built:
        size = f"{built.size[0]} x {built.size[1]}"
        for attempt in built.attempts:
            word = "failed" if not attempt.passed else "passed"
            taken = "written" if attempt.precision == built.precision else word
            rows.append((size, *_figures(attempt), taken))
    if not sys.stdout.isatty():
        echo_rows([HEADINGS, *rows])
        for line in _verdict(report):
            click.echo(one_line(line))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if i in (1, 5) else "right")
    for row in rows:
        style = {"failed": "bold red", "written": "bold"}.get(row[-1])
        table.add_row(*row, style=style)
    console = Console(highlight=False)
    console.print(table)
    for line in _verdict(report):
        style = "bold green" if report.passed else "bold red"
        console.print(one_line(line), style=style, markup=False, soft_wrap=True)


def _figures(attempt: Attempt) -> tuple[str, str, str, str]:
    check, milliseconds = attempt.check, attempt.milliseconds
    return (
        attempt.precision,
        "" if check is None else f"{check.maximum:.2g}",
        "" if check is None else f"{check.mean:.2g}",
        "" if milliseconds is None else f"{milliseconds:.1f}",
    )


def _verdict(report: BuildReport) -> Iterator[str]:
    where = f" on {report.machine.gpu}" if report.machine is not None else ""
    yield f"for {report.engine} {report.engine_version}{where}, against onnxruntime fp32"
    for built in report.built:
        for attempt in built.attempts:
            if attempt.failure is not None:
                yield f"{attempt.precision}: {attempt.failure}{_place(attempt)}"
        size = f"{built.size[0]} x {built.size[1]}"
        if built.path is None:
            yield f"failed: nothing is written for {size}"
        else:
            yield f"written: {built.path}, {built.bytes / 1e6:.1f} MB, in {built.seconds:.0f} s"


def _place(attempt: Attempt) -> str:
    layer = attempt.diverges
    if layer is None:
        return ""
    how = "is no number any more"
    if layer.deviation is not None:
        how = f"is off by {layer.deviation:.2g} of its spread"
    return f"; the first layer that diverges is {layer.node}, a {layer.operator}, which {how}"
