"""ViTMatte: image and trimap in four channels, padded with zeros to multiples of 32."""

from __future__ import annotations

from fastmatte.arrays import Layout, Size
from fastmatte.engines.base import Signature
from fastmatte.models.dim import matches_four
from fastmatte.models.family import IMAGENET, MINUS_ONE_TO_ONE
from fastmatte.models.feedforward import Feedforward, own_size, padded
from fastmatte.models.reference import Reference

MULTIPLE = 32


def matches_original(signature: Signature, layout: Layout) -> str | None:
    """Match the original's output name, or four channels of names that say nothing."""
    if layout == "nchw" and signature.outputs[0].name == "phas":
        return "four channels -> phas"
    return matches_four(signature, layout)


def matches_transformers(signature: Signature, layout: Layout) -> str | None:
    """Match the names Hugging Face's exporter gives."""
    names = signature.inputs[0].name, signature.outputs[0].name
    if layout != "nchw" or names != ("pixel_values", "alphas"):
        return None
    return "pixel_values [N, 4, height, width] -> alphas"


def script_padding(size: Size) -> Size:
    """Pad as the original does: once one side needs it, a side that fits gets 32 more."""
    if all(side % MULTIPLE == 0 for side in size):
        return size
    height, width = (side + MULTIPLE - side % MULTIPLE for side in size)
    return height, width


VITMATTE = Feedforward(
    name="vitmatte",
    networks="ViTMatte, the original",
    description="[N, 4, height, width], RGB ImageNet normalised and trimap 0, .5, 1 -> phas",
    matches=matches_original,
    normalisation=IMAGENET,
    sizes="the frame's own, padded to multiples of 32, large ones in tiles",
    dynamic_size=own_size,
    multiple=MULTIPLE,
    fit="pad",
    fill="zero",
    guidance="trimap",
    reference=Reference("ViTMatte's run_one_image.py", padded=script_padding),
)

VITMATTE_TRANSFORMERS = Feedforward(
    name="vitmatte-hf",
    networks="ViTMatte of Hugging Face",
    description="pixel_values [N, 4, height, width], RGB in [-1, 1] and trimap / 255 -> alphas",
    matches=matches_transformers,
    normalisation=MINUS_ONE_TO_ONE,
    sizes="the frame's own, padded to multiples of 32, large ones in tiles",
    dynamic_size=own_size,
    multiple=MULTIPLE,
    fit="pad",
    fill="zero",
    guidance="trimap",
    inputs=("pixel_values",),
    reference=Reference(
        "Hugging Face's VitMatteImageProcessor", padded=padded(MULTIPLE), truncate="never"
    ),
)
