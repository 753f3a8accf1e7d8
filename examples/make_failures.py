"""Make the picture of the default network's card: the sample photograph where it goes wrong.

python examples/make_failures.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import fastmatte as fm
import numpy as np
from PIL import Image

HERE = Path(__file__).parent
OUT = Path(fm.models.find("portrait").spec.path).parent / "failures.png"
HEIGHT = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    photo = Image.open(HERE / "eileen_collins.jpg").convert("RGB")
    seen = [
        photo,
        photo.resize((64, 96), Image.Resampling.LANCZOS),
        photo.crop((100, 0, 400, photo.height)),
        photo.crop((0, 0, photo.width, 400)),
    ]
    matter = fm.Matter()
    panels = []
    for image in seen:
        result = matter(np.array(image)).composite((0, 177, 64))
        width = image.width * HEIGHT // image.height
        panels.append(np.asarray(Image.fromarray(result).resize((width, HEIGHT))))
    gap = np.full((HEIGHT, 8, 3), 255, np.uint8)
    strip = np.hstack([part for panel in panels for part in (gap, panel)][1:])
    Image.fromarray(strip).quantize(256).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
