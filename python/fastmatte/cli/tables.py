"""Tables as a file or a pipe takes them: neither has a width, and a script wants a line a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click


def echo_rows(rows: Iterable[Sequence[str]]) -> None:
    """Print rows with their columns aligned, each on one line however long."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())
