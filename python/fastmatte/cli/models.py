"""fastmatte models: the networks known by name, and whether their weights may be used."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Literal

import click

from fastmatte.cli import printable
from fastmatte.cli.tables import echo_rows

if TYPE_CHECKING:
    from fastmatte.models import KnownModel

HEADINGS = ("name", "family", "size", "licence", "commercial", "here", "source")
#: Columns that a terminal must be this wide for.
LEFT_OUT = ("family", "source")
WIDE = 120


@click.command()
@click.option(
    "--commercial-only",
    is_flag=True,
    help="Leave out weights that are not known to be free for commercial use.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as a JSON document.")
def models(commercial_only: bool, as_json: bool) -> None:
    """List the networks that can be named in a model's place.

    Whether they may be used commercially is what is known of their weights' licence: yes, no or
    unclear. `fastmatte info NAME` says why. Those with "pull" are not here yet; `fastmatte pull
    NAME` brings them, and the right one where "wrong" says that the file here is another. For those
    with "by hand", the source says where their authors keep them.

    \b
    Examples:
      fastmatte models
      fastmatte models --commercial-only
      fastmatte models --json
    """
    from fastmatte.models import known

    rows = known(commercial_only=commercial_only)
    if as_json:
        click.echo(json.dumps([document(row) for row in rows], indent=2))
    else:
        _print([[printable(text) for text in _cells(row)] for row in rows])


def document(model: KnownModel) -> dict[str, Any]:
    """Return what the catalogue says of a model, and where it is or would be here."""
    from fastmatte.models import is_local, path_of

    download = model.download
    return {
        "name": model.name,
        "family": model.spec.family,
        "licence": model.licence,
        "commercial": model.commercial,
        "note": model.note,
        "source": model.source,
        "parameters": None if model.parameters is None else round(1e6 * model.parameters),
        "bytes": bytes_of(model),
        "download": None
        if download is None
        else {
            "url": download.url,
            "hashes": list(download.hashes),
            "published": download.published,
        },
        "local": is_local(model),
        "path": str(path_of(model)),
    }


def bytes_of(model: KnownModel) -> int | None:
    """Return the size of a model's file: the one that is here, else the one that is published."""
    from fastmatte.models import is_local, path_of

    if is_local(model):
        return path_of(model).stat().st_size
    return None if model.download is None else model.download.size


def size_of(model: KnownModel) -> str:
    """Say how large a model is, with whatever is known: its file, else its parameters."""
    size = bytes_of(model)
    if size is not None:
        return megabytes(size)
    return "?" if model.parameters is None else f"{model.parameters:.3g} M params"


def megabytes(size: int) -> str:
    """Say a number of bytes in megabytes, with what digits count."""
    return f"{size / 1e6:.3g} MB" if size < 999.5e6 else f"{size / 1e9:.3g} GB"


def whereabouts(model: KnownModel) -> Literal["yes", "wrong", "pull", "by hand"]:
    """Say whether a model is here, or how it would come.

    A file is wrong whose size shows that it is another; hashes take too long for a list.
    """
    from fastmatte.models import is_local

    if is_local(model):
        published = None if model.download is None else model.download.size
        return "yes" if published in (None, bytes_of(model)) else "wrong"
    return "by hand" if model.download is None else "pull"


def _cells(model: KnownModel) -> tuple[str, ...]:
    return (
        model.name,
        model.spec.family or "",
        size_of(model),
        model.licence,
        model.commercial,
        whereabouts(model),
        model.source,
    )


def _print(lines: list[list[str]]) -> None:
    if not sys.stdout.isatty():
        echo_rows([HEADINGS, *lines])
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    narrow = console.width < WIDE
    colours = {"yes": "green", "no": "red", "unclear": "yellow"}
    view = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in HEADINGS:
        if heading not in LEFT_OUT or not narrow:
            justify: Literal["left", "right"] = "right" if heading == "size" else "left"
            view.add_column(heading, justify=justify, overflow="fold")
    for line in lines:
        row = dict(zip(HEADINGS, line, strict=True))
        cells = {heading: Text(text) for heading, text in row.items()}
        cells["commercial"].stylize(colours[row["commercial"]])
        view.add_row(*(c for heading, c in cells.items() if heading not in LEFT_OUT or not narrow))
    console.print(view)
    if narrow:
        console.print(f"`fastmatte info NAME` says {' and '.join(LEFT_OUT)}, a wider terminal too.")
