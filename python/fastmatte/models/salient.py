"""Salient objects as rembg runs them: U2-Net and its kin, IS-Net, BRIA and BiRefNet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fastmatte.arrays import Layout
from fastmatte.engines.base import Signature
from fastmatte.models.family import IMAGENET, Normalisation, channels_of, sides_of
from fastmatte.models.feedforward import Feedforward
from fastmatte.models.reference import Reference

#: CSNet's square and that of U2-Net, U2-NetP and Silueta.
SQUARES = (224, 320)
#: The square of networks whose normalisation differs, which their shapes do not tell.
LARGE = 1024

#: rembg divides by the brightest level, stretches alpha per image, and truncates it before it is
#: enlarged: brightness and contrast of alpha depend on the rest of the image.
REMBG = Reference(
    "rembg's session",
    sizes=(lambda frame: (320, 320),),
    resample="lanczos",
    brightest=True,
    stretch=True,
    truncate="before",
)


def matches(signature: Signature, layout: Layout) -> str | None:
    """Match a fixed square of a size only this family uses."""
    height, width = sides_of(signature.inputs[0], layout)
    if layout != "nchw" or channels_of(signature.outputs[0], layout) != 1:
        return None
    if height != width or height not in SQUARES:
        return None
    return f"a fixed input of {height} x {width}, output of one channel"


def is_birefnet(signature: Signature) -> bool:
    """Tell the names of BiRefNet's own export, whose only output they are."""
    names = [tensor.name for tensor in (*signature.inputs, *signature.outputs)]
    return names == ["input_image", "output_image"]


def large(signature: Signature, layout: Layout) -> str | None:
    """Match a square of 1024 that is not BiRefNet's."""
    if layout != "nchw" or sides_of(signature.inputs[0], layout) != (LARGE, LARGE):
        return None
    if is_birefnet(signature) or channels_of(signature.outputs[0], layout) not in (1, None):
        return None
    return f"a fixed input of {LARGE} x {LARGE}, output of one channel"


def birefnet(signature: Signature, layout: Layout) -> str | None:
    """Match BiRefNet's names, or a single output of its size under names that say nothing."""
    if layout == "nchw" and is_birefnet(signature):
        return "input_image -> output_image, nothing else"
    return large(signature, layout) if len(signature.outputs) == 1 else None


def family(
    name: str,
    networks: str,
    normalisation: Normalisation,
    said: str,
    matches: Callable[[Signature, Layout], str | None] = large,
) -> Feedforward:
    """Return a family of squares of 1024."""
    return Feedforward(
        name=name,
        networks=networks,
        description=f"one input [N, 3, {LARGE}, {LARGE}], {said} -> [N, 1, {LARGE}, {LARGE}]",
        matches=matches,
        normalisation=normalisation,
        sizes=f"{LARGE} x {LARGE}",
        dynamic_size=lambda frame: (LARGE, LARGE),
        reference=replace(REMBG, sizes=(lambda frame: (LARGE, LARGE),)),
    )


SALIENT = (
    Feedforward(
        name="salient",
        networks="U2-Net, U2-NetP, u2net_human_seg, Silueta, CSNet",
        description="one input [N, 3, S, S], S 224 or 320, ImageNet normalised -> [N, 1, S, S]",
        matches=matches,
        normalisation=IMAGENET,
        sizes="224 x 224 or 320 x 320",
        dynamic_size=lambda frame: (320, 320),
        reference=REMBG,
    ),
    family(
        "isnet-general-use",
        "IS-Net for general use",
        Normalisation(mean=(0.5, 0.5, 0.5)),
        "in [-0.5, 0.5]",
    ),
    family(
        "isnet-anime",
        "IS-Net for anime",
        Normalisation(mean=IMAGENET.mean),
        "ImageNet's mean taken off",
    ),
    family("bria-rmbg", "BRIA RMBG, as rembg runs it", IMAGENET, "ImageNet normalised"),
    replace(
        family(
            "birefnet",
            "BiRefNet, all variants",
            IMAGENET,
            "ImageNet normalised, logits",
            birefnet,
        ),
        activation="sigmoid",
    ),
)
