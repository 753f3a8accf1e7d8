"""fastmatte eval: predictions, or a network, against the truth."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastmatte.cli import one_line
from fastmatte.cli.files import make_folder
from fastmatte.cli.options import engine_options, network_options, trimap_options
from fastmatte.cli.progress import progress

if TYPE_CHECKING:
    from fastmatte.arrays import Size
    from fastmatte.evaluation import Scores

#: Headings, and the factor that papers print each metric with.
COLUMNS = {
    "sad": ("SAD", 1),
    "mse": ("MSE x1000", 1000),
    "mad": ("MAD x1000", 1000),
    "grad": ("Grad", 1),
    "conn": ("Conn", 1),
}


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="[PREDICTIONS] TRUTH")
@click.option(
    "--images",
    metavar="FOLDER",
    help="The photos: what --model predicts from, and what --report shows.",
)
@click.option(
    "--trimaps",
    metavar="FOLDER",
    help="Score only where these are 128: the unknown region. A --model that needs one gets it.",
)
@click.option(
    "--model",
    metavar="NAME|PATH",
    help="Judge this network on --images: an ONNX file, or the name of a known one.",
)
@network_options
@trimap_options
@engine_options
@click.option("--report", metavar="FILE.html", help="Write a page of figures and pictures.")
@click.option("--overwrite", is_flag=True, help="Replace a report that is already there.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document of the scores.")
def eval(
    folders: tuple[str, ...],
    images: str | None,
    trimaps: str | None,
    model: str | None,
    report: str | None,
    overwrite: bool,
    as_json: bool,
    **network: Any,
) -> None:
    """Judge alphas, or a network, by true alphas.

    PREDICTIONS and TRUTH are folders of alphas: grey images, or the transparency of cut-outs. Files
    are paired by name, without its suffix and an ending of _image, _alpha or _trimap, so that
    dog_image.png goes with dog_alpha.png, in one folder or in two. Every file must find its match.

    SAD, Grad and Conn are in thousands. Smaller is better; the worst image, by MAD, comes first.

    \b
    Examples:
      fastmatte eval mattes/ truth/
      fastmatte eval mattes/ truth/ --trimaps trimaps/ --json
      fastmatte eval mattes/ truth/ --images photos/ --report report.html
      fastmatte eval --model modnet.onnx --images portraits/ portraits/
    """
    predictions, truths = _folders(folders, model, images)
    goal = None if report is None else Path(report)
    if goal is not None and goal.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"--report {report}: expected a name that ends in .html")
    import fastmatte as fm
    from fastmatte import evaluation
    from fastmatte import images as files
    from fastmatte import report as pages

    if goal is not None:
        files.refuse_occupied(goal, overwrite=overwrite)
        make_folder(goal.parent)
    pairs = evaluation.pair_files(truths, predictions=predictions, images=images, trimaps=trimaps)
    matter = None if model is None else fm.Matter(model, **network)
    scores: dict[str, tuple[Size, Scores]] = {}
    figures = []
    with progress(len(pairs)) as lines:
        for pair in pairs:
            comparison = evaluation.compare(pair, matter=matter, threads=network["threads"])
            height, width = comparison.truth.shape
            scores[pair.name] = (height, width), comparison.scores
            if goal is not None:
                # Pictures are small, and frames are not: no more than one is kept.
                figures.append(pages.figure(comparison))
            lines.advance()
    summary = evaluation.summarise(score for _, score in scores.values())
    worst_first = sorted(scores, key=lambda name: -scores[name][1].mad)
    if goal is not None:
        page = pages.render(
            figures,
            title=f"{_name(model or predictions or truths)} against {_name(truths)}",
            facts=_facts(predictions, truths, images, trimaps, matter),
        )
        with files.replacing(goal, overwrite=overwrite) as target:
            target.write(page.encode())
    if as_json:
        document = {
            "images": [
                {"name": name, "size": scores[name][0], **asdict(scores[name][1])}
                for name in worst_first
            ],
            **{name: asdict(values) for name, values in summary.items()},
            "matter": None if matter is None else asdict(matter.info),
        }
        click.echo(json.dumps(document, indent=2))
        return
    rows = [(name, scores[name][1]) for name in worst_first]
    _print([(one_line(name), _cells(values)) for name, values in (*rows, *summary.items())])


def _folders(
    folders: tuple[str, ...], model: str | None, images: str | None
) -> tuple[str | None, str]:
    if model is not None:
        if images is None:
            raise click.UsageError("--model predicts from photos: name their folder with --images")
        if len(folders) != 1:
            raise click.UsageError(
                "with --model the only folder is TRUTH: leave PREDICTIONS out, or --model"
            )
        return None, folders[0]
    if len(folders) != 2:
        raise click.UsageError("expected the folders PREDICTIONS and TRUTH, or TRUTH and a --model")
    return folders[0], folders[1]


def _name(path: str) -> str:
    # Resolved, for "." has no name.
    return Path(path).resolve().name


def _facts(
    predictions: str | None, truths: str, images: str | None, trimaps: str | None, matter: Any
) -> dict[str, str]:
    facts = {
        "Predictions": predictions,
        "Truth": truths,
        "Images": images,
        "Scored": "every pixel" if trimaps is None else f"where trimaps of {trimaps} are unknown",
    }
    if matter is not None:
        info = matter.info
        facts |= {
            "Network": f"{info.model} ({info.family}), sha256 {info.model_sha256[:16]}",
            "Run by": f"{info.engine} {info.engine_version}, {info.device}, {info.precision}",
            "Refine": ", ".join(f"{k} {v}" for k, v in asdict(info)["refine"].items())
            if info.refine
            else "none",
        }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _cells(scores: Scores) -> list[str]:
    return [f"{factor * getattr(scores, name):.2f}" for name, (_, factor) in COLUMNS.items()]


def _print(rows: list[tuple[str, list[str]]]) -> None:
    """Print a table whose last two rows are mean and median."""
    headings = [heading for heading, _ in COLUMNS.values()]
    if not sys.stdout.isatty():
        # A file or a pipe has no width: a script wants one line a row.
        width = max(len(name) for name, _ in rows)
        columns = [max(9, len(heading)) for heading in headings]
        for name, cells in (("", headings), *rows):
            numbers = "  ".join(f"{c:>{w}}" for c, w in zip(cells, columns, strict=True))
            click.echo(f"{name:{width}}  {numbers}")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("worst first", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for i, (name, cells) in enumerate(rows):
        if i == len(rows) - 2:
            table.add_section()
        table.add_row(Text(name), *cells, style="bold" if i >= len(rows) - 2 else None)
    Console(highlight=False).print(table)
