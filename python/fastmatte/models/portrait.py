"""portrait, the default and what training/ makes: MODNet's contract, at the frame's own aspect.

They find alpha at half of their input's size. That is what is taken here: a guided filter makes
more of it than the interpolation which keeps MODNet's contract.
"""

from __future__ import annotations

import math

from fastmatte.arrays import Layout, Size
from fastmatte.engines.base import Signature
from fastmatte.models.family import LONGEST_ASPECT, MINUS_ONE_TO_ONE
from fastmatte.models.feedforward import Feedforward

#: Every frame is seen at about as many pixels as a square of this side, so that each takes as long.
SIDE = 512
MULTIPLE = 32
HALF = "half"


def matches(signature: Signature, layout: Layout) -> str | None:
    """Match MODNet's names and a second output, alpha at half the size."""
    names = [tensor.name for tensor in (*signature.inputs, *signature.outputs)]
    if layout != "nchw" or names != ["input", "output", HALF]:
        return None
    return "input [N, 3, height, width] of open size, outputs output and half"


def dynamic_size(frame: Size) -> Size:
    """Keep the frame's aspect and the square's area, in multiples of 32."""
    height, width = frame
    aspect = min(max(width / height, 1 / LONGEST_ASPECT), LONGEST_ASPECT)
    sides = (SIDE / math.sqrt(aspect), SIDE * math.sqrt(aspect))
    rows, columns = (max(1, round(side / MULTIPLE)) * MULTIPLE for side in sides)
    return rows, columns


PORTRAIT = Feedforward(
    name="portrait",
    networks="what `training/` makes",
    description="as modnet, with a second output half [N, 1, height / 2, width / 2]",
    matches=matches,
    normalisation=MINUS_ONE_TO_ONE,
    sizes="the frame's aspect, as many pixels as 512 x 512",
    dynamic_size=dynamic_size,
    multiple=MULTIPLE,
    alpha=HALF,
    stride=2,
    reference=None,
)
