"""Deep Image Matting: PaddleSeg's, with a trimap of its own, and those of four channels."""

from __future__ import annotations

from fastmatte.arrays import Layout, Size
from fastmatte.engines.base import Signature
from fastmatte.models.family import IMAGENET, MINUS_ONE_TO_ONE, channels_of
from fastmatte.models.feedforward import Feedforward
from fastmatte.models.reference import Reference, SizeRule

#: The long sides beyond which the scripts shrink an image.
LONGEST = 3840
LONGEST_OF_FOUR = 1600
MULTIPLE = 32


def matches(signature: Signature, layout: Layout) -> str | None:
    """Match what has the two inputs, whatever its outputs are called."""
    return "inputs img and trimap" if layout == "nchw" else None


def matches_four(signature: Signature, layout: Layout) -> str | None:
    """Match four channels, unless the names are ViTMatte's."""
    source, result = signature.inputs[0], signature.outputs[0]
    if layout != "nchw" or channels_of(result, layout) not in (1, None):
        return None
    if source.name == "pixel_values" or result.name in ("alphas", "phas"):
        return None
    return "one input of four channels, RGB and trimap"


def limit_long(most: int) -> SizeRule:
    """Return the rule that brings the long side down to this."""

    def rule(frame: Size) -> Size:
        if max(frame) <= most:
            return frame
        scale = most / max(frame)
        height, width = (max(1, round(side * scale)) for side in frame)
        return height, width

    return rule


def whole_size(frame: Size) -> Size:
    """Return the size of the script's "whole" mode: multiples of 32 of at most 1600."""
    height, width = (min(LONGEST_OF_FOUR, side - side % MULTIPLE) for side in frame)
    return height, width


DIM = Feedforward(
    name="dim",
    networks="DIM of PaddleSeg",
    description="img [N, 3, height, width] in [-1, 1], trimap [N, 1, height, width] of 0..255",
    matches=matches,
    normalisation=MINUS_ONE_TO_ONE,
    sizes=f"the frame's own, large ones in tiles; whole, long side at most {LONGEST}",
    dynamic_size=limit_long(LONGEST),
    guidance="trimap",
    inputs=("img", "trimap"),
    trimap_scale=1,
    reference=Reference(
        "PaddleSeg's Matting/deploy/python/infer.py", sizes=(limit_long(LONGEST),), known="before"
    ),
)

DIM_FOUR = Feedforward(
    name="dim-4channel",
    networks="DIM of huochaitiantang and others of one input",
    description="[N, 4, height, width], RGB ImageNet normalised and trimap / 255 -> alpha",
    matches=matches_four,
    normalisation=IMAGENET,
    sizes="the frame's own, padded to multiples of 32, large ones in tiles; whole, long side at "
    f"most {LONGEST_OF_FOUR}",
    dynamic_size=limit_long(LONGEST_OF_FOUR),
    multiple=MULTIPLE,
    fit="pad",
    guidance="trimap",
    reference=Reference(
        "pytorch-deep-image-matting's whole mode",
        sizes=(whole_size,),
        trimap="linear",
        known="after",
    ),
)
