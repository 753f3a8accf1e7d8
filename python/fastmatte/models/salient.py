"""Salient objects with U2-Net's contract: a fixed square, ImageNet's mean and deviation."""

from __future__ import annotations

from fastmatte.arrays import Layout
from fastmatte.engines.base import Signature
from fastmatte.models.family import IMAGENET, channels_of
from fastmatte.models.single import SingleImage

#: CSNet's square and that of U2-Net, U2-NetP and Silueta. Squares of 1024 belong to IS-Net, BRIA
#: and BiRefNet, which normalise differently and cannot be told apart by their shapes.
SQUARES = (224, 320)


def matches(signature: Signature, layout: Layout) -> str | None:
    """Match a fixed square of a size only this family uses."""
    height, width = signature.inputs[0].shape[2:]
    if layout != "nchw" or channels_of(signature.outputs[0], layout) != 1:
        return None
    if height != width or height not in SQUARES:
        return None
    return f"a fixed input of {height} x {width}, output of one channel"


SALIENT = SingleImage(
    name="salient",
    description="one input [N, 3, S, S], S 224 or 320, ImageNet normalised -> [N, 1, S, S]",
    matches=matches,
    normalisation=IMAGENET,
    dynamic_size=lambda frame: (320, 320),
)
