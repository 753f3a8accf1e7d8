"""MODNet and the networks that keep its contract: any size in multiples of 32."""

from __future__ import annotations

from fastmatte.arrays import Layout, Size
from fastmatte.engines.base import Signature
from fastmatte.models.family import MINUS_ONE_TO_ONE, channels_of
from fastmatte.models.single import SingleImage

#: The short side the authors' own scripts run at.
REFERENCE = 512


def matches(signature: Signature, layout: Layout) -> str | None:
    """Match the official export: "input" of open size to a one-channel "output"."""
    source, result = signature.inputs[0], signature.outputs[0]
    if layout != "nchw" or (source.name, result.name) != ("input", "output"):
        return None
    if channels_of(result, layout) != 1 or any(isinstance(side, int) for side in source.shape[2:]):
        return None
    return "input [N, 3, height, width] of open size, output of one channel"


def dynamic_size(frame: Size) -> Size:
    """Scale the short side to 512 where the frame is larger all over or smaller all over."""
    height, width = frame
    if max(frame) < REFERENCE or min(frame) > REFERENCE:
        if width >= height:
            height, width = REFERENCE, int(width / height * REFERENCE)
        else:
            height, width = int(height / width * REFERENCE), REFERENCE
    return max(32, height - height % 32), max(32, width - width % 32)


MODNET = SingleImage(
    name="modnet",
    description="input [N, 3, height, width] in [-1, 1] -> output [N, 1, height, width]",
    matches=matches,
    normalisation=MINUS_ONE_TO_ONE,
    dynamic_size=dynamic_size,
    multiple=32,
)
