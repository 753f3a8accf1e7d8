"""Make README's picture: the photograph, its alpha, the cut-out, and a new background.

python examples/make_picture.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import fastmatte as fm
import numpy as np
from PIL import Image

HERE = Path(__file__).parent


def checkerboard(height: int, width: int) -> np.ndarray:
    """The grey squares by which image editors show transparency."""
    y, x = np.mgrid[:height, :width] // 16
    return np.where((x + y) % 2, 204, 255).astype(np.uint8)[..., None].repeat(3, -1)


def sunset(height: int, width: int) -> np.ndarray:
    """A background with nothing of the photograph's in it."""
    stops = np.array([(38, 52, 108), (214, 92, 98), (255, 190, 106)], float)
    rows = np.linspace(0, 2, height)
    colours = np.stack([np.interp(rows, range(3), stops[:, c]) for c in range(3)], -1)
    return np.broadcast_to(colours[:, None], (height, width, 3)).round().astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="portrait", help="ONNX file of a portrait network")
    parser.add_argument("--out", type=Path, default=HERE / "picture.png")
    arguments = parser.parse_args()
    photo = np.asarray(Image.open(HERE / "eileen_collins.jpg").convert("RGB"))
    matte = fm.Matter(arguments.model)(photo)
    height, width = photo.shape[:2]
    panels = [
        photo,
        fm.kernels.quantise(matte.alpha)[..., None].repeat(3, -1),
        matte.composite(checkerboard(height, width)),
        matte.composite(sunset(height, width)),
    ]
    gap = np.full((height, 8, 3), 255, np.uint8)
    strip = np.hstack([part for panel in panels for part in (gap, panel)][1:])
    small = fm.kernels.resize(strip, (256, strip.shape[1] * 256 // height), filter="lanczos3")
    Image.fromarray(small).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
