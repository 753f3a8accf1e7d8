"""fastmatte check: whether an engine and a precision give the alpha that they should."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from fastmatte.cli import one_line
from fastmatte.cli.options import engine_options, network_options, tolerance_option
from fastmatte.cli.progress import progress
from fastmatte.cli.tables import echo_rows

if TYPE_CHECKING:
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
@tolerance_option
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
    as_json: bool,
    **network: Any,
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
            samples=found,
            tolerance=tolerance,
            reference=reference,
            advance=lines.advance,
            **network,
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
        echo_rows([HEADINGS, *cells])
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
