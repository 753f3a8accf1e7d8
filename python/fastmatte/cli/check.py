"""fastmatte check: whether an engine and a precision give the alpha that they should."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import click

from fastmatte.cli import one_line
from fastmatte.cli.options import engine_options, network_options
from fastmatte.cli.progress import progress
from fastmatte.proof import TOLERANCE

if TYPE_CHECKING:
    from fastmatte.arrays import Size
    from fastmatte.engines import EngineName, Precision
    from fastmatte.models.family import Mode
    from fastmatte.proof import CheckReport

HEADINGS = ("sample", "size", "max", "mean", "SAD")


@click.command()
@click.argument("model")
@click.option(
    "--samples",
    metavar="FOLDER",
    help="Photos to check on, or one, with _trimap and _bg files for a network that needs them; "
    "without it, portraits made of arithmetic.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=TOLERANCE,
    show_default="1/255",
    metavar="T",
    help="The largest mean deviation of a sample that passes, alpha being 0 to 1.",
)
@click.option(
    "--reference",
    metavar="FILE",
    help="The ONNX file that MODEL was built of, to hold it against; an engine file needs it.",
)
@network_options
@engine_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document of the figures.")
def check(
    model: str,
    samples: str | None,
    tolerance: float,
    reference: str | None,
    family: str | None,
    mode: Mode,
    size: Size | None,
    refine: Literal["guided", "none"],
    threads: int | None,
    engine: EngineName,
    precision: Precision,
    as_json: bool,
) -> None:
    """Check MODEL's alpha on an engine, in a precision, against ONNX Runtime's in fp32.

    What is compared is the alpha that cut would give, or with --refine none the network's own. The
    samples are the frames of one video, for networks that remember. SAD is in thousands. The exit
    status is 1 where a sample deviates by more than the tolerance in the mean, or gets no alpha.

    \b
    Examples:
      fastmatte check modnet.onnx --engine openvino --precision bf16
      fastmatte check modnet.onnx --precision bf16 --samples photos/ --tolerance 0.002
      fastmatte check rvm.onnx --json
      fastmatte check modnet.engine --reference modnet.onnx
    """
    from fastmatte import proof

    found = proof.samples_of(samples)
    with progress(len(found)) as lines:
        report = proof.check(
            model,
            engine=engine,
            precision=precision,
            samples=found,
            tolerance=tolerance,
            family=family,
            mode=mode,
            size=size,
            refine=refine,
            threads=threads,
            reference=reference,
            advance=lines.advance,
        )
    if as_json:
        worst = {name: getattr(report, name) for name in ("passed", "maximum", "mean", "sad")}
        click.echo(json.dumps(worst | asdict(report), indent=2))
    else:
        _print(report)
    if not report.passed:
        raise click.exceptions.Exit(1)


def _print(report: CheckReport) -> None:
    rows = [
        (one_line(d.sample), f"{d.size[0]} x {d.size[1]}", d.maximum, d.mean, d.sad)
        for d in report.deviations
    ]
    rows.append(("worst", "", report.maximum, report.mean, report.sad))
    cells = [(*row[:2], f"{row[2]:.2g}", f"{row[3]:.2g}", f"{row[4]:.3g}") for row in rows]
    verdict = _verdict(report)
    if not sys.stdout.isatty():
        # A file or a pipe has no width: a script wants one line a row.
        widths = [max(map(len, column)) for column in zip(HEADINGS, *cells, strict=True)]
        for row in (HEADINGS, *cells):
            padded = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
            click.echo("  ".join(padded).rstrip())
        for line in verdict:
            click.echo(one_line(line))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if i == 0 else "right", overflow="fold")
    for i, row in enumerate(cells):
        if i == len(cells) - 1:
            table.add_section()
        failed = rows[i][3] > report.tolerance
        style = "bold red" if failed else "bold" if i == len(cells) - 1 else None
        table.add_row(Text(row[0]), *row[1:], style=style)
    console = Console(highlight=False)
    console.print(table)
    for line in verdict:
        style = "bold green" if report.passed else "bold red"
        console.print(one_line(line), style=style, markup=False, soft_wrap=True)


def _verdict(report: CheckReport) -> list[str]:
    compared = " against ".join(
        f"{info.engine} {info.engine_version} {info.precision}"
        for info in (report.matter, report.reference)
    )
    if report.failure is not None:
        return [compared, f"failed: {report.failure}"]
    result = "passed" if report.passed else "failed"
    word = "within" if report.passed else "above"
    return [compared, f"{result}: a mean of {report.mean:.2g} is {word} {report.tolerance:.2g}"]
