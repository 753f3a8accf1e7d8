"""The benchmark as a picture: a bar for each time, on an axis where each step is ten times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from math import floor, log10

from PIL import Image, ImageDraw, ImageFont

from fastmatte.benchmark.measure import Row
from fastmatte.benchmark.table import machine, three_digits

__all__ = ["draw"]

WIDTH, MARGIN, LABELS, VALUES = 1800, 48, 480, 360
BAR, GAP, GROUP_GAP = 26, 5, 24
PAGE, TEXT, MUTED, GRID = "#ffffff", "#1b1b1f", "#66666e", "#e3e3e0"
OURS, THEIRS, BOUND = "#1c7ed6", "#c5c9d3", "#e8590c"
#: Font sizes.
TITLE, LARGE, SMALL = 36, 23, 19


def draw(rows: Sequence[Row]) -> bytes:
    """Return a PNG of the rows, at least one."""
    times = [time for row in rows for time in (row.milliseconds, row.bound, *_times(row).values())]
    low = floor(log10(min(times)))
    high = max(log10(max(times)), low + 1)
    heights = [max(2, 1 + len(_times(row))) * (BAR + GAP) + GROUP_GAP for row in rows]
    top = MARGIN + 150
    height = top + sum(heights) + MARGIN
    image = Image.new("RGB", (WIDTH, height), PAGE)
    canvas = ImageDraw.Draw(image)
    left, right = MARGIN + LABELS, WIDTH - MARGIN - VALUES

    def at(time: float) -> float:
        return left + (right - left) * (log10(time) - low) / (high - low)

    canvas.text((MARGIN, MARGIN - 10), "fastmatte kernels", TEXT, _font(TITLE))
    canvas.text((MARGIN, MARGIN + 40), _subtitle(rows), MUTED, _font(SMALL))
    _legend(canvas, MARGIN, MARGIN + 76, with_others=any(map(_times, rows)))
    for decade in range(low, floor(high) + 1):
        x = at(10.0**decade)
        canvas.line([(x, top - 8), (x, height - MARGIN)], GRID, 2)
        canvas.text((x, top - 12), f"{10.0**decade:g} ms", MUTED, _font(SMALL), anchor="mb")
    y = top + GROUP_GAP // 2
    for row, used in zip(rows, heights, strict=True):
        _group(canvas, row, rows, y, left, at)
        y += used
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _times(row: Row) -> dict[str, float]:
    return {name: time for name, time in row.peers.items() if time is not None}


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _varying(rows: Sequence[Row]) -> list[str]:
    return [n for n in ("size", "isa", "threads") if len({getattr(row, n) for row in rows}) > 1]


def _say(row: Row, name: str) -> str:
    if name == "threads":
        return f"{row.threads} thread{'s' if row.threads > 1 else ''}"
    return str(getattr(row, name))


def _subtitle(rows: Sequence[Row]) -> str:
    varying = _varying(rows)
    facts = [_say(rows[0], n) for n in ("size", "isa", "threads") if n not in varying]
    return ", ".join([*facts, machine()["processor"], "logarithmic axis"])


def _legend(canvas: ImageDraw.ImageDraw, x: float, y: float, *, with_others: bool) -> None:
    for colour, text, width in (
        (OURS, "fastmatte", BAR),
        *([(THEIRS, "others, for the same work", BAR)] if with_others else []),
        (BOUND, "the limit that memory or arithmetic sets", 5),
    ):
        canvas.rectangle([(x, y), (x + width, y + 20)], colour)
        canvas.text((x + width + 9, y + 10), text, TEXT, _font(SMALL), anchor="lm")
        x += width + 40 + canvas.textlength(text, _font(SMALL))


def _group(
    canvas: ImageDraw.ImageDraw,
    row: Row,
    rows: Sequence[Row],
    y: float,
    left: float,
    at: Callable[[float], float],
) -> None:
    canvas.text((MARGIN, y + BAR / 2), row.kernel, TEXT, _font(LARGE), anchor="lm")
    work = ", ".join([*([row.work] if row.work else []), *(_say(row, n) for n in _varying(rows))])
    canvas.text((MARGIN, y + BAR * 1.5 + GAP), work, MUTED, _font(SMALL), anchor="lm")
    ratio = "" if row.ratio is None else f"   {three_digits(row.ratio)} x as fast"
    bars = [(row.milliseconds, OURS, TEXT, f"{three_digits(row.milliseconds)} ms{ratio}")]
    bars += [
        (time, THEIRS, MUTED, f"{three_digits(time)}   {name}")
        for name, time in _times(row).items()
    ]
    for i, (time, colour, ink, text) in enumerate(bars):
        above = y + i * (BAR + GAP)
        canvas.rectangle([(left, above), (at(time), above + BAR)], colour)
        x = max(at(time), at(row.bound) + 5) if i == 0 else at(time)
        place = (x + 10, above + BAR / 2)
        # Over the axis' lines.
        canvas.rectangle(canvas.textbbox(place, text, _font(SMALL), anchor="lm"), PAGE)
        canvas.text(place, text, ink, _font(SMALL), anchor="lm")
    x = at(row.bound)
    canvas.rectangle([(x - 2, y - 3), (x + 2, y + BAR + 3)], BOUND)
