"""Guidance: what a caller tells a network besides the image, a trimap or the empty background."""

from __future__ import annotations

from math import sqrt
from typing import Literal

import numpy as np

from fastmatte import _core, kernels
from fastmatte.arrays import AnyAlpha, Image, Size

Guidance = Literal["trimap", "background"]

BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255

#: Radius of a made trimap's unknown band, in parts of the square root of the image's pixels: 29 at
#: 1080p, 98 at 24 megapixels, ten pixels of a coarse network that sees 512 x 512. What is outside a
#: band is lost, while a wider one costs time. Of what RVM, MediaPipe's selfie network, PP-HumanSeg
#: and CSNet have wrong on five composited people, half the radius leaves out 5, 9, 1 and 0% of the
#: median image and this one 2, 8, 0 and 0%; of long hair the first two 15 and 49%, here 3 and 35%.
#: For that, 7 to 8% more of the image are unknown.
BAND = 0.02
MOST_BAND = 0.25

WANTED = {
    "trimap": "a trimap, (H, W) uint8 of 0, 128 and 255; fastmatte.kernels.trimap makes one from "
    "an alpha, Matter(..., trimap_from=MODEL) from another network's (--trimap, --trimap-from)",
    "background": "the scene without its subject, an image of the same size and pixel format "
    "(--background-plate)",
}

_ALLOWED = np.isin(np.arange(256), (BACKGROUND, UNKNOWN, FOREGROUND))


def chosen_guidance(
    needs: Guidance | None, family: str, trimap: Image | None, background: Image | None
) -> Image | None:
    """Return what the family needs of the two.

    Raises ValueError where it is missing, or where one was given that the family cannot use.
    """
    given: dict[Guidance, Image | None] = {"trimap": trimap, "background": background}
    for name, image in given.items():
        if image is not None and name != needs:
            takes = "neither trimap nor background" if needs is None else f"a {needs} instead"
            raise ValueError(f"{name}: expected none, for family {family!r} takes {takes}")
    if needs is None:
        return None
    if given[needs] is None:
        raise ValueError(f"{needs}: expected {WANTED[needs]}, for family {family!r}; got none")
    return given[needs]


def require_size(name: Guidance, guidance: Image, size: Size) -> None:
    """Raise ValueError where guidance is not of the image's size."""
    if guidance.shape[:2] != size:
        how = ', filter="nearest"' if name == "trimap" else ""
        raise ValueError(
            f"{name}: expected the image's size, {size[0]} x {size[1]}, "
            f"got {guidance.shape[0]} x {guidance.shape[1]}; "
            f"fastmatte.kernels.resize({name}, {size}{how}) makes it fit"
        )


def require_trimap(trimap: Image, size: Size) -> None:
    """Raise TypeError or ValueError unless a trimap has the image's size and the three values."""
    _core.require_image(trimap, "trimap", 1)
    require_size("trimap", trimap, size)
    allowed = _ALLOWED[trimap]
    if not allowed.all():
        row, column = (int(i) for i in np.argwhere(~allowed)[0])
        raise ValueError(
            f"trimap: expected nothing but {BACKGROUND} (background), {UNKNOWN} (unknown) and "
            f"{FOREGROUND} (foreground), got {trimap[row, column]} at row {row}, column {column}"
        )


def make_trimap(alpha: AnyAlpha, band: float, threads: int, out: Image | None = None) -> Image:
    """Return the trimap of a coarse alpha, its radius in parts of the image's size as BAND is."""
    radius = max(1, round(band * sqrt(alpha.size)))
    return kernels.trimap(alpha, radius=radius, out=out, threads=threads)


def set_known(alpha: AnyAlpha, trimap: Image) -> None:
    """Set alpha to what the trimap is sure of."""
    top = 255 if alpha.dtype == np.uint8 else 1
    np.copyto(alpha, 0, where=trimap == BACKGROUND)
    np.copyto(alpha, top, where=trimap == FOREGROUND)
