"""The benchmark in words: cells for whoever draws a table of them, and Markdown."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastmatte import __version__
from fastmatte.benchmark.measure import LEAST_SPEED_UP, MOST_GROWTH, Row

__all__ = ["Cell", "beyond", "cells", "document", "growth", "machine", "markdown", "three_digits"]

#: What a peer may be part of, by what pip calls it.
LIBRARIES = ("numpy", "opencv-contrib-python-headless", "opencv-python", "pillow", "pymatting")


#: Of the gain of two calls at once: as good as they.
NEAR = 0.95
#: Of memcpy's bytes a second: what a kernel that memory holds back moves at least.
MEMORYS_PACE = 0.5


@dataclass(frozen=True)
class Cell:
    """Text, and whether it fell short of what was asked for."""

    text: str
    missed: bool = False


def three_digits(value: float) -> str:
    """More than a machine repeats."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"


def cells(rows: Sequence[Row]) -> tuple[list[str], list[list[Cell]]]:
    """Return headings, and the cells of each row.

    Speed-up and growth have columns where several thread counts or sizes were measured.
    """
    threads, grown = (
        any(getattr(row, name) is not None for row in rows) for name in ("speed_up", "growth")
    )
    headings = ["kernel", "size", "ISA", "threads", "ms", "peers, ms", "ratio", "at least"]
    headings += ["bound, ms", "share of bound", "scratch, MB"]
    headings += ["x fewer threads", "as many at once"] * threads
    headings += ["x time / pixel", "memcpy's"] * grown
    table = []
    for row in rows:
        missed = row.missed
        at_least = [f"{row.at_least:g}"] if row.at_least is not None else []
        at_least += [f"share {row.of_bound:.0%}"] if row.of_bound is not None else []
        line = [
            Cell(row.name),
            Cell(row.size),
            Cell(row.isa),
            Cell(str(row.threads)),
            Cell(three_digits(row.milliseconds)),
            Cell(", ".join(_peer(row, name) for name in row.peers), bool(row.differing)),
            Cell("" if row.ratio is None else three_digits(row.ratio), "ratio" in missed),
            Cell(", ".join(at_least)),
            Cell(f"{three_digits(row.bound)} {row.bound_by}"),
            Cell(f"{row.share:.0%}", "share" in missed),
            Cell(f"{row.scratch / 1e6:.2f}"),
        ]
        names = ["speed_up", "at_once"] * threads + ["growth", "copying_growth"] * grown
        for name in names:
            figure = getattr(row, name)
            line.append(Cell(_figure(figure), name in missed))
        table.append(line)
    return headings, table


def _peer(row: Row, name: str) -> str:
    time = row.peers[name]
    if time is None:
        return f"{name} not installed"
    apart = row.differing.get(name)
    wrong = "" if apart is None else f" (differs by {apart:.2g} levels)"
    return f"{name} {three_digits(time)}{wrong}"


def markdown(rows: Sequence[Row]) -> str:
    """Return the table in Markdown; columns that say the same everywhere become a line above it."""
    headings, table = cells(rows)
    same = [
        i
        for i, heading in enumerate(headings)
        if heading in ("size", "ISA", "threads") and len({line[i].text for line in table}) == 1
    ]
    above = ", ".join(f"{headings[i]} {table[0][i].text}" for i in same)
    kept = [i for i in range(len(headings)) if i not in same]
    lines = [[headings[i] for i in kept], ["---" if i == 0 else "---:" for i in kept]]
    for line in table:
        lines.append(
            [f"**{c.text}** (missed)" if c.missed else c.text for c in map(line.__getitem__, kept)]
        )
    return "\n".join(
        [*([above[0].upper() + above[1:] + ".", ""] if above else [])]
        + [f"| {' | '.join(line)} |" for line in lines]
    )


def growth(rows: Sequence[Row]) -> str:
    """Return a table in Markdown of what a larger frame costs and what two threads gain.

    rows:  of one and of two threads, in two sizes.
    Bytes are what must move, each once; memcpy moves as many in the same rounds. 2 at once is what
    two calls gain that share nothing.
    """
    small, large = dict.fromkeys(row.size for row in rows)
    headings = ["kernel", f"{_shown(large)}, ms", "MB", "GB/s", "memcpy's"]
    headings += ["x time / pixel", "memcpy's"]
    for size in (small, large):
        headings += [f"2 threads, {_shown(size)}", "2 at once"]
    lines = [headings, ["---" if i == 0 else "---:" for i in range(len(headings))]]
    of = {(row.name, row.size, row.threads): row for row in rows}
    for name in dict.fromkeys(row.name for row in rows):
        row = of[name, large, 1]
        line = [
            name,
            three_digits(row.milliseconds),
            three_digits(row.bytes / 1e6),
            three_digits(row.bytes / row.milliseconds / 1e6),
            three_digits(row.bytes / row.copying / 1e6),
            _beside(row, "growth"),
            _figure(row.copying_growth),
        ]
        for both in (of[name, small, 2], of[name, large, 2]):
            line += [_beside(both, "speed_up"), _figure(both.at_once)]
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def beyond(rows: Sequence[Row]) -> str:
    """Return in words what of growth(rows) is beyond its limit, and whether the machine is why."""
    named: dict[str, list[str]] = {}
    for row in rows:
        for field in row.missed:
            if field == "speed_up":
                what = f"below {LEAST_SPEED_UP:g} with 2 threads, {_beside_at_once(row)}"
            elif field == "growth" and row.threads == 1:
                what = f"above {MOST_GROWTH:g} times the time, {_beside_memcpy(row)}"
            else:
                continue
            named.setdefault(f"At {_shown(row.size)} {what}", []).append(row.name)
    lines = [f"{what}: {'; '.join(names)}." for what, names in sorted(named.items())]
    return "\n\n".join(lines) or "No row is beyond its limit."


def _beside_at_once(row: Row) -> str:
    assert row.speed_up is not None
    assert row.at_once is not None
    near = row.speed_up >= NEAR * row.at_once
    how = "within {:.0%} of" if near else "more than {:.0%} below"
    return f"{how.format(1 - NEAR)} two calls at once"


def _beside_memcpy(row: Row) -> str:
    """Memory slows what moves bytes about as fast as it can, and no more than it slows memcpy."""
    assert row.growth is not None
    assert row.copying_growth is not None
    if row.copying < MEMORYS_PACE * row.milliseconds:
        return f"moving less than {MEMORYS_PACE:.0%} of memcpy's bytes a second"
    more = row.growth > row.copying_growth
    pace = f"moving {MEMORYS_PACE:.0%} of memcpy's bytes a second or more"
    return f"{pace}, growing {'more' if more else 'no more'} than it"


def _shown(size: str) -> str:
    return size.replace("k", "K")


def _figure(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.2f}"


def _beside(row: Row, name: str) -> str:
    figure = _figure(getattr(row, name))
    return f"**{figure}** (missed)" if name in row.missed else figure


def machine() -> dict[str, str]:
    """Return what the times depend on."""
    facts = {
        "fastmatte": __version__,
        "processor": _processor(),
        "python": platform.python_version(),
    }
    for library in LIBRARIES:
        try:
            facts[library] = version(library)
        except PackageNotFoundError:
            continue
    return facts


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """Return it all as what JSON can hold."""
    return {"machine": machine(), "rows": [{**asdict(row), "missed": row.missed} for row in rows]}
