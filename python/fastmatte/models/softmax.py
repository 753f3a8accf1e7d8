"""Two-class segmentation with a softmax: PaddleSeg's PP-HumanSeg."""

from __future__ import annotations

from fastmatte.arrays import Layout
from fastmatte.engines.base import Signature
from fastmatte.models.family import MINUS_ONE_TO_ONE, channels_of
from fastmatte.models.single import SingleImage


def matches(signature: Signature, layout: Layout) -> str | None:
    """Match one RGB input and a first output of two channels, background and person."""
    if layout == "nchw" and channels_of(signature.outputs[0], layout) == 2:
        return "an output of two channels, background and person"
    return None


SOFTMAX = SingleImage(
    name="softmax",
    description="one input [N, 3, h, w] in [-1, 1] -> [N, 2, h, w], channel 1 the person",
    matches=matches,
    normalisation=MINUS_ONE_TO_ONE,
    # What PP-HumanSeg Lite was trained at; its exports leave the size open.
    dynamic_size=lambda frame: (192, 192),
    alpha_channel=1,
)
