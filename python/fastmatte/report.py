"""A page of pictures and figures made of an evaluation: one file that needs nothing else.

The pictures are inside the page, a click on one fills the window with it, and nothing on it is a
script: it can be mailed, kept beside a model, or opened in ten years.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO

import numpy as np
from PIL import Image as Pillow

from fastmatte import kernels
from fastmatte.arrays import Alpha, AnyAlpha, Array, Colour, Image, Size
from fastmatte.evaluation import Comparison, Scores, summarise

__all__ = ["Figure", "Picture", "figure", "render"]

#: Longest side of a picture on the page: a hundred photographs stay below 50 MB.
LONGEST = 1200
#: What differences are multiplied with, and so how large one has the full colour: a quarter.
GAIN = 4
#: Shades of each of the two colours of a difference.
SHADES = 15
#: Orange and blue are told apart by every kind of eye, and on white as on black.
TOO_OPAQUE: Colour = (232, 89, 12)
TOO_TRANSPARENT: Colour = (28, 126, 214)
#: Grey is seen on white and on black; opacity in 255ths.
HINT: Colour = (128, 128, 128)
HINT_OPACITY = 44
#: No photograph has much of it, so that whatever is left of the old background shows.
LOUD: Colour = (255, 0, 168)

#: Bars that have room for a name below.
MOST_NAMED = 16
UNKNOWN = 128

# Metric, heading, the factor that papers print it with, and what it tells.
COLUMNS = (
    ("sad", "SAD", 1, "sum of absolute differences, in thousands"),
    ("mse", "MSE &times;10³", 1000, "mean squared difference"),
    ("mad", "MAD &times;10³", 1000, "mean absolute difference"),
    ("grad", "Grad", 1, "gradient error, in thousands: edges and hair"),
    ("conn", "Conn", 1, "connectivity error, in thousands: islands and holes"),
)


@dataclass(frozen=True)
class Picture:
    """One picture of a row.

    kind: "image", "alpha", "truth", "difference" or "cutout".
    uri:  the file itself, as a data URI.
    size: height and width of that file.
    """

    kind: str
    caption: str
    uri: str
    size: Size


@dataclass(frozen=True)
class Figure:
    """What the page shows of one image; size is that of the image, not of its pictures."""

    name: str
    size: Size
    scores: Scores
    pictures: tuple[Picture, ...]


def figure(comparison: Comparison) -> Figure:
    """Make the pictures of a comparison, small enough to keep those of many."""
    alpha, truth = _bytes(comparison.alpha), comparison.truth
    pictures = [
        Picture("alpha", "Alpha", *_photograph(alpha)),
        Picture("truth", "Truth", *_photograph(truth)),
        Picture("difference", "Difference, amplified", *_difference(comparison)),
    ]
    if comparison.image is not None:
        colours = kernels.estimate_foreground(comparison.image, alpha)
        cutout = kernels.composite(colours, LOUD, alpha)
        pictures.insert(0, Picture("image", "Image", *_photograph(comparison.image)))
        pictures.append(Picture("cutout", "Cut-out", *_photograph(cutout)))
    height, width = truth.shape
    return Figure(comparison.name, (height, width), comparison.scores, tuple(pictures))


def _bytes(alpha: AnyAlpha) -> Image:
    if alpha.dtype == np.uint8:
        return alpha.astype(np.uint8)
    return kernels.quantise(alpha.astype(np.float32))


def _shown_size(array: Array) -> Size:
    height, width = array.shape[:2]
    scale = min(1, LONGEST / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _photograph(pixels: Image) -> tuple[str, Size]:
    size = _shown_size(pixels)
    if size != pixels.shape[:2]:
        pixels = kernels.resize(pixels, size, filter="area")
    file = BytesIO()
    Pillow.fromarray(pixels).save(file, "JPEG", quality=88, optimize=True)
    return _uri(file, "jpeg"), size


def _difference(comparison: Comparison) -> tuple[str, Size]:
    """Paint alpha - truth in two colours that grow opaque, over whatever colour the page has."""
    alpha, truth = (
        (a / np.float32(255) if a.dtype == np.uint8 else a).astype(np.float32)
        for a in (comparison.alpha, comparison.truth)
    )
    difference: Alpha = alpha - truth
    if comparison.trimap is not None:
        difference[comparison.trimap != UNKNOWN] = 0
    size = _shown_size(difference)
    if size != difference.shape:
        difference = kernels.resize(difference, size, filter="area")
        truth = kernels.resize(truth, size, filter="area")
    shades = np.rint(np.clip(difference * GAIN, -1, 1) * SHADES).astype(np.int64) + SHADES
    # Where there is no difference, a hint of the subject says where the others are.
    shades[(shades == SHADES) & (truth >= 0.5)] = 2 * SHADES + 1
    image = Pillow.fromarray(shades.astype(np.uint8))
    image.putpalette([*TOO_TRANSPARENT * SHADES, 0, 0, 0, *TOO_OPAQUE * SHADES, *HINT])
    opacity = [round(255 * abs(i - SHADES) / SHADES) for i in range(2 * SHADES + 1)]
    file = BytesIO()
    image.save(file, "PNG", transparency=bytes([*opacity, HINT_OPACITY]), optimize=True)
    return _uri(file, "png"), size


def _uri(file: BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"


def render(figures: Sequence[Figure], *, title: str, facts: Mapping[str, str]) -> str:
    """Make the page.

    figures: at least one.
    title:   what was judged.
    facts:   what else a reader must know of the run, by heading.

    Returns HTML. The same input gives the same page.
    """
    ranked = sorted(figures, key=lambda figure: -figure.scores.mad)
    count = f"{len(ranked)} image{'s' if len(ranked) != 1 else ''}"
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{STYLE}</style>
<main>
<header>
<p class="kind">Alpha mattes, {count}</p>
<h1>{escape(title)}</h1>
<dl class="facts">{"".join(_fact(*fact) for fact in facts.items())}</dl>
</header>
{_summary(ranked)}
{_distribution(ranked)}
<h2>Every image, worst first</h2>
<p class="legend">In the differences <b class="opaque">orange</b> is too opaque: background that was
kept. <b class="transparent">Blue</b> is too transparent: foreground that was lost. An error of
{100 // GAIN} % or more has the full colour; grey is the true subject. A click on a
picture enlarges it, another puts it back.</p>
{"".join(_article(rank, figure) for rank, figure in enumerate(ranked, 1))}
</main>
</html>
"""


def _fact(name: str, fact: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(fact)}</dd></div>"


def _number(scores: Scores, metric: str, factor: int) -> str:
    return f"{factor * getattr(scores, metric):.2f}"


def _summary(ranked: Sequence[Figure]) -> str:
    summary = summarise(figure.scores for figure in ranked)
    tiles = []
    for metric, heading, factor, meaning in COLUMNS:
        worst = max(ranked, key=lambda figure: float(getattr(figure.scores, metric)))
        median = _number(summary["median"], metric, factor)
        tiles.append(
            f"<section><h3>{heading}</h3>"
            f'<p class="mean">{_number(summary["mean"], metric, factor)}</p>'
            f"<p>median {median}</p>"
            f'<p>worst <a href="#{_anchor(ranked, worst)}">'
            f"{_number(worst.scores, metric, factor)}</a></p>"
            f'<p class="meaning">{meaning}</p></section>'
        )
    return f'<h2>Mean of each metric</h2><div class="tiles">{"".join(tiles)}</div>'


def _anchor(ranked: Sequence[Figure], figure: Figure) -> str:
    return f"image-{1 + next(i for i, other in enumerate(ranked) if other is figure)}"


def _distribution(ranked: Sequence[Figure]) -> str:
    """Draw one bar for each image, which leads to it, and lines for mean and median."""
    summary = summarise(figure.scores for figure in ranked)
    # Of perfect predictions every bar is empty.
    top = ranked[0].scores.mad or 1
    named = len(ranked) <= MOST_NAMED
    bars = "".join(
        f'<a href="#image-{rank}" title="{escape(figure.name)}: {1000 * figure.scores.mad:.2f}">'
        f'<i style="height:{100 * figure.scores.mad / top:.2f}%"></i>'
        f"{f'<span>{escape(figure.name)}</span>' if named else ''}</a>"
        for rank, figure in enumerate(ranked, 1)
    )
    upper, lower = sorted(summary.items(), key=lambda item: -item[1].mad)
    lines = "".join(
        f'<div class="line {side}" style="bottom:{100 * scores.mad / top:.2f}%">'
        f"<span>{name} {1000 * scores.mad:.2f}</span></div>"
        for side, (name, scores) in (("upper", upper), ("lower", lower))
    )
    return (
        "<h2>MAD &times;10³ of each image</h2>"
        f'<div class="{"named chart" if named else "chart"}" '
        f'style="max-width:{150 + 120 * len(ranked)}px">'
        f'<div class="bars">{bars}</div>{lines}</div>'
    )


def _article(rank: int, figure: Figure) -> str:
    height, width = figure.size
    metrics = "".join(
        f'<div title="{meaning}"><dt>{heading}</dt>'
        f"<dd>{_number(figure.scores, metric, factor)}</dd></div>"
        for metric, heading, factor, meaning in COLUMNS
    )
    pictures = "".join(_picture(figure.name, picture) for picture in figure.pictures)
    return f"""<article id="image-{rank}">
<header><h3>{rank}. {escape(figure.name)}</h3><span>{height} &times; {width}</span>
<dl>{metrics}</dl></header>
<div class="pictures">{pictures}</div>
</article>
"""


def _picture(name: str, picture: Picture) -> str:
    height, width = picture.size
    described = escape(f"{picture.caption} of {name}")
    return (
        f'<figure class="{picture.kind}"><label>'
        f'<input type="checkbox" aria-label="Enlarge: {described}">'
        f'<img src="{picture.uri}" alt="{described}" width="{width}" height="{height}">'
        f"</label><figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _css(colour: Colour) -> str:
    return "#" + bytes(colour).hex()


STYLE = f"""
:root {{
  --page: #f7f7f5; --canvas: #ffffff; --text: #1b1b1f; --muted: #66666e; --line: #dfdfdb;
  --bar: #9aa7c7; --bar-hover: #3d5a9e; --opaque: #bf4505; --transparent: #1864ab;
}}
@media (prefers-color-scheme: dark) {{
  :root {{
    --page: #131316; --canvas: #1c1c20; --text: #ececf0; --muted: #9c9ca6; --line: #313138;
    --bar: #55618a; --bar-hover: #a9b9ef; --opaque: #ff9b5e; --transparent: #74b8f5;
  }}
}}
* {{ box-sizing: border-box; }}
body {{
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}}
main {{ max-width: 1400px; margin: 0 auto; padding: 40px clamp(16px, 4vw, 48px) 96px; }}
h1 {{ font-size: 30px; line-height: 1.2; margin: 0 0 16px; overflow-wrap: anywhere; }}
h2 {{ font-size: 19px; margin: 48px 0 12px; }}
h3 {{ font-size: 16px; margin: 0; overflow-wrap: anywhere; }}
p {{ margin: 0; }}
dl, dd {{ margin: 0; }}
a {{ color: inherit; }}
.kind, .legend, .meaning, dt, figcaption, article header span {{ color: var(--muted); }}
.kind {{ margin-bottom: 4px; }}
.legend {{ max-width: 75ch; margin-bottom: 20px; }}
.opaque {{ color: var(--opaque); }}
.transparent {{ color: var(--transparent); }}
.facts {{ display: flex; flex-wrap: wrap; gap: 8px 32px; }}
.facts dt {{ font-size: 13px; }}
.facts dd {{ overflow-wrap: anywhere; }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; }}
.tiles section {{
  background: var(--canvas); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px;
  font-variant-numeric: tabular-nums;
}}
.tiles h3 {{ font-size: 14px; font-weight: 600; }}
.mean {{ font-size: 30px; font-weight: 600; line-height: 1.3; }}
.meaning {{ font-size: 13px; line-height: 1.35; margin-top: 8px; }}
.chart {{
  position: relative; height: 170px; margin-top: 28px; border-bottom: 1px solid var(--line);
}}
.bars {{ display: flex; height: 100%; padding-right: 110px; }}
.bars a {{
  position: relative; flex: 1 1 0; min-width: 0; display: flex; align-items: end;
  text-decoration: none;
}}
.bars i {{ display: block; width: 100%; min-height: 1px; background: var(--bar); }}
.bars a:hover i, .bars a:focus-visible i {{ background: var(--bar-hover); }}
.named {{ margin-bottom: 60px; }}
.named a {{ padding-right: 6px; }}
.named i {{ border-radius: 3px 3px 0 0; }}
.bars span {{
  position: absolute; top: 100%; left: 0; right: 6px; padding-top: 6px; font-size: 13px;
  color: var(--muted); text-align: center; overflow: hidden; white-space: nowrap;
  text-overflow: ellipsis;
}}
.line {{
  position: absolute; left: 0; right: 0; border-top: 1px dashed var(--muted);
  pointer-events: none;
}}
.line span {{
  position: absolute; right: 0; font-size: 13px; line-height: 20px;
  font-variant-numeric: tabular-nums;
}}
.upper span {{ bottom: 0; }}
article {{ border-top: 1px solid var(--line); padding: 20px 0 28px; scroll-margin-top: 8px; }}
article:target h3 {{ text-decoration: underline; text-underline-offset: 4px; }}
article header {{
  display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; margin-bottom: 14px;
}}
article dl {{
  display: flex; flex-wrap: wrap; gap: 4px 22px; margin-left: auto;
  font-variant-numeric: tabular-nums;
}}
article dl div {{ display: flex; gap: 7px; }}
article dd {{ font-weight: 600; }}
.pictures {{
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 210px), 1fr)); gap: 14px;
}}
figure {{ margin: 0; }}
figcaption {{ font-size: 13px; margin-top: 4px; }}
label {{ display: block; cursor: zoom-in; }}
input {{ position: absolute; opacity: 0; }}
img {{
  display: block; width: 100%; height: auto; border-radius: 6px; background: var(--canvas);
  outline: 1px solid var(--line); outline-offset: -1px;
}}
input:focus-visible + img {{ outline: 3px solid var(--bar-hover); }}
input:checked + img {{
  position: fixed; inset: 0; width: 100vw; height: 100vh; object-fit: contain; z-index: 1;
  border-radius: 0; outline: none; background: var(--page); cursor: zoom-out;
}}
.cutout figcaption::before {{
  content: ""; display: inline-block; width: 9px; height: 9px; border-radius: 2px;
  margin-right: 6px; background: {_css(LOUD)};
}}
@media print {{ .legend, .chart {{ break-inside: avoid; }} article {{ break-inside: avoid; }} }}
"""
