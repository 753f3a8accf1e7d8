"""Two-class segmentation with a softmax: PaddleSeg's PP-HumanSeg."""

from __future__ import annotations

from fastmatte.arrays import Layout
from fastmatte.engines.base import Signature
from fastmatte.models.family import MINUS_ONE_TO_ONE, channels_of
from fastmatte.models.feedforward import Feedforward
from fastmatte.models.reference import Reference

#: What PP-HumanSeg Lite was trained at; its exports leave the size open.
SQUARE = (192, 192)


def matches(signature: Signature, layout: Layout) -> str | None:
    """Match one RGB input and a first output of two channels, background and person."""
    if layout == "nchw" and channels_of(signature.outputs[0], layout) == 2:
        return "an output of two channels, background and person"
    return None


SOFTMAX = Feedforward(
    name="softmax",
    networks="PP-HumanSeg and other two-class segmentation",
    description="one input [N, 3, h, w] in [-1, 1] -> [N, 2, h, w], channel 1 the person",
    matches=matches,
    normalisation=MINUS_ONE_TO_ONE,
    sizes="192 x 192, or as the graph has it",
    dynamic_size=lambda frame: SQUARE,
    alpha_channel=1,
    reference=Reference(
        "PP-HumanSeg's src/infer.py with soft_predict",
        sizes=(lambda frame: SQUARE,),
        truncate="never",
    ),
)
