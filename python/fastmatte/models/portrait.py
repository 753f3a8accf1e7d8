"""portrait, the networks that training/ makes: MODNet's contract, at the frame's own aspect."""

from __future__ import annotations

import math

from fastmatte.arrays import Layout, Size
from fastmatte.engines.base import Signature
from fastmatte.models.family import MINUS_ONE_TO_ONE
from fastmatte.models.feedforward import Feedforward

#: Every frame is seen at about as many pixels as a square of this side, so that each takes as long.
SIDE = 512
MULTIPLE = 32
#: Frames longer than this are squashed: too thin a strip would show the network no person.
LONGEST_ASPECT = 4.0


def matches(signature: Signature, layout: Layout) -> str | None:
    """Recognise nothing: the graph is a MODNet's to look at, and only its name tells them apart."""
    return None


def dynamic_size(frame: Size) -> Size:
    """Keep the frame's aspect and the square's area, in multiples of 32."""
    height, width = frame
    aspect = min(max(width / height, 1 / LONGEST_ASPECT), LONGEST_ASPECT)
    sides = (SIDE / math.sqrt(aspect), SIDE * math.sqrt(aspect))
    rows, columns = (max(1, round(side / MULTIPLE)) * MULTIPLE for side in sides)
    return rows, columns


PORTRAIT = Feedforward(
    name="portrait",
    networks="what `training/` makes; said by hand, for its graph is a MODNet's",
    description="as modnet, seen at the frame's own aspect; only by hand, family='portrait'",
    matches=matches,
    normalisation=MINUS_ONE_TO_ONE,
    sizes="the frame's aspect, as many pixels as 512 x 512",
    dynamic_size=dynamic_size,
    multiple=MULTIPLE,
    reference=None,
)
