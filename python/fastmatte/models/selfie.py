"""Small person networks on a fixed square of [0, 1]: MediaPipe Selfie Segmentation and MMNet."""

from __future__ import annotations

from fastmatte.arrays import Layout
from fastmatte.engines.base import Signature
from fastmatte.models.family import ZERO_TO_ONE, channels_of, sides_of
from fastmatte.models.feedforward import Feedforward
from fastmatte.models.reference import Reference

SQUARE = (256, 256)
LANDSCAPE = (144, 256)


def matches(signature: Signature, layout: Layout) -> str | None:
    """Match pixel_values -> alphas, or any channels-last graph from RGB to one channel."""
    source, result = signature.inputs[0], signature.outputs[0]
    if channels_of(result, layout) != 1:
        return None
    if layout == "nchw" and (source.name, result.name) == ("pixel_values", "alphas"):
        return "pixel_values [N, 3, h, w] -> alphas [N, 1, h, w]"
    if layout == "nhwc" and (sides := sides_of(source, layout)) in (SQUARE, LANDSCAPE):
        return f"channels-last input of {sides[0]} x {sides[1]}, output of one channel"
    return None


def matches_mmnet(signature: Signature, layout: Layout) -> str | None:
    """Match a fixed 256 x 256 under MODNet's names."""
    source, result = signature.inputs[0], signature.outputs[0]
    if layout != "nchw" or (source.name, result.name) != ("input", "output"):
        return None
    if sides_of(source, layout) != SQUARE or channels_of(result, layout) != 1:
        return None
    return "input [N, 3, 256, 256] -> output of one channel"


SELFIE = Feedforward(
    name="selfie",
    networks="MediaPipe Selfie Segmentation, NCHW and NHWC",
    description="pixel_values [N, 3, 256, 256] in [0, 1] -> alphas, or the same channels last",
    matches=matches,
    normalisation=ZERO_TO_ONE,
    sizes="256 x 256, landscape 144 x 256",
    dynamic_size=lambda frame: SQUARE,
    reference=Reference(
        "MediaPipe's selfie segmentation", sizes=(lambda frame: SQUARE,), truncate="never"
    ),
)

MMNET = Feedforward(
    name="mmnet",
    networks="MMNet",
    description="input [N, 3, 256, 256] in [0, 1] -> output [N, 1, 256, 256]",
    matches=matches_mmnet,
    normalisation=ZERO_TO_ONE,
    sizes="256 x 256",
    dynamic_size=lambda frame: SQUARE,
    reference=Reference("MMNet's contract", sizes=(lambda frame: SQUARE,), truncate="never"),
)
