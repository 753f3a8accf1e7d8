"""MediaPipe Selfie Segmentation, exported either way round."""

from __future__ import annotations

from fastmatte.arrays import Layout
from fastmatte.engines.base import Signature
from fastmatte.models.family import ZERO_TO_ONE, channels_of
from fastmatte.models.single import SingleImage


def matches(signature: Signature, layout: Layout) -> str | None:
    """Match pixel_values -> alphas, or any channels-last graph from RGB to one channel."""
    source, result = signature.inputs[0], signature.outputs[0]
    if channels_of(result, layout) != 1:
        return None
    if layout == "nchw" and (source.name, result.name) == ("pixel_values", "alphas"):
        return "pixel_values [N, 3, h, w] -> alphas [N, 1, h, w]"
    if layout == "nhwc" and source.shape[1:3] == (256, 256):
        return "channels-last input [1, 256, 256, 3], output [1, 256, 256, 1]"
    return None


SELFIE = SingleImage(
    name="selfie",
    description="pixel_values [N, 3, 256, 256] in [0, 1] -> alphas, or the same channels last",
    matches=matches,
    normalisation=ZERO_TO_ONE,
    dynamic_size=lambda frame: (256, 256),
)
