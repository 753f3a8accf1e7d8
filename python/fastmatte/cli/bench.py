"""fastmatte bench: how fast it is here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from fastmatte.cli.files import make_folder
from fastmatte.cli.progress import progress
from fastmatte.cli.tables import echo_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmatte.benchmark.measure import Row

#: Columns that do not hold a number.
WORDS = ("kernel", "peers, ms")


@click.command()
@click.option("--kernels", is_flag=True, help="Measure the kernels.")
@click.option("--only", multiple=True, metavar="NAME", help="Only rows whose name contains this.")
@click.option("--all", "everything", is_flag=True, help="Rows that the usual table leaves out too.")
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=click.Choice(["512", "1080p", "4k"]),
    default=["1080p"],
    show_default=True,
    help="The frame; several show how times grow.",
)
@click.option(
    "--threads",
    multiple=True,
    type=click.IntRange(1, 1024),
    default=[1],
    show_default=True,
    help="How many may work; several show what more of them gain.",
)
@click.option("--isa", "isas", multiple=True, metavar="NAME", help="Instruction set; the best.")
@click.option(
    "--seconds",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="The least time for a row. All who take part get their turns in it.",
)
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Whole runs; figures are medians over them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.option("--chart", metavar="FILE.png", help="Draw a bar chart.")
@click.option("--overwrite", is_flag=True, help="Replace a chart that is already there.")
def bench(
    kernels: bool,
    only: tuple[str, ...],
    everything: bool,
    sizes: tuple[str, ...],
    threads: tuple[int, ...],
    isas: tuple[str, ...],
    seconds: float,
    runs: int,
    as_json: bool,
    chart: str | None,
    overwrite: bool,
) -> None:
    """Measure how fast fastmatte is on this machine.

    Each kernel runs in turns with OpenCV, Pillow, NumPy and PyMatting, where they are installed,
    and with a memcpy of as many bytes. The bound is what that memcpy or the kernel's arithmetic
    takes, whichever is more: no program can be faster. What several threads gain stands beside what
    as many calls at once do that share nothing: what those do not gain, the machine does not give.
    Times are in milliseconds.

    \b
    Examples:
      fastmatte bench --kernels
      fastmatte bench --kernels --chart kernels.png
      fastmatte bench --kernels --size 1080p --size 4k --threads 1 --threads 2
      fastmatte bench --kernels --only composite --isa sse4 --isa avx2 --json
    """
    if not kernels:
        raise click.UsageError("say what to measure: --kernels")
    goal = None if chart is None else Path(chart)
    if goal is not None and goal.suffix.lower() != ".png":
        raise click.UsageError(f"--chart {chart}: expected a name that ends in .png")
    from fastmatte import cpu
    from fastmatte import images as files
    from fastmatte.benchmark import chart as charts
    from fastmatte.benchmark import table
    from fastmatte.benchmark.cases import CASES
    from fastmatte.benchmark.measure import measure

    for isa in isas:
        with cpu.force(isa):
            pass  # an unknown one is an error before any time is spent
    if goal is not None:
        files.refuse_occupied(goal, overwrite=overwrite)
        make_folder(goal.parent)
    cases = [
        case
        for case in CASES
        if (case.shown or everything or only)
        and (not only or any(part in case.name for part in only))
    ]
    if not cases:
        names = "; ".join(case.name for case in CASES)
        raise click.UsageError(f"--only {' '.join(only)}: no row is called that, but {names}")
    with progress(runs * len(cases)) as lines:
        rows = measure(
            cases,
            sizes=sizes,
            isas=isas or None,
            threads=threads,
            seconds=seconds,
            runs=runs,
            advance=lines.advance,
        )
    if goal is not None:
        with files.replacing(goal, overwrite=overwrite) as target:
            target.write(charts.draw(rows))
    if as_json:
        click.echo(json.dumps(table.document(rows), indent=2))
    else:
        _print(rows)


def _print(rows: Sequence[Row]) -> None:
    from fastmatte.benchmark import table

    headings, lines = table.cells(rows)
    missed = [row for row in rows if row.missed]
    verdict = f"{len(missed)} of {len(rows)} rows below what they must reach" if missed else ""
    if not sys.stdout.isatty():
        echo_rows([headings, *([c.text + "!" * c.missed for c in line] for line in lines)])
        if verdict:
            click.echo(f"{verdict}, marked !")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    view = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        justify: Literal["left", "right"] = "left" if heading in WORDS else "right"
        view.add_column(heading, justify=justify, overflow="fold")
    for line in lines:
        view.add_row(*(Text(c.text, style="bold red" if c.missed else "") for c in line))
    console = Console(highlight=False)
    console.print(view)
    if verdict:
        console.print(verdict, style="bold red")
