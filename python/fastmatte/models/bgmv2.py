"""Background Matting V2: a frame and the same scene without its subject.

How a refiner works (full, sampling or thresholding) and its backbone_scale are in the graph.
"""

from __future__ import annotations

from fastmatte.arrays import Layout
from fastmatte.engines.base import Signature
from fastmatte.models.family import ZERO_TO_ONE, names_of
from fastmatte.models.feedforward import Feedforward, own_size
from fastmatte.models.reference import Reference

MULTIPLE = 4


def matches_refine(signature: Signature, layout: Layout) -> str | None:
    """Match what a refiner gives besides: the coarse alpha and colours it began with."""
    if layout != "nchw" or not names_of(signature.outputs) >= {"pha", "fgr", "pha_sm", "fgr_sm"}:
        return None
    return "inputs src and bgr, outputs pha, fgr, pha_sm and fgr_sm"


def matches_base(signature: Signature, layout: Layout) -> str | None:
    """Match alpha and colours without a refiner's coarse ones."""
    names = names_of(signature.outputs)
    if layout != "nchw" or not names >= {"pha", "fgr"} or "pha_sm" in names:
        return None
    return "inputs src and bgr, outputs pha and fgr, no pha_sm"


def family(name: str, networks: str, outputs: str, *, limits: str = "") -> Feedforward:
    """Return one of the two; both are fed alike."""
    return Feedforward(
        name=name,
        networks=networks,
        description=f"src, bgr [N, 3, height, width] in [0, 1] -> {outputs}",
        matches=matches_refine if name == "bgmv2-refine" else matches_base,
        normalisation=ZERO_TO_ONE,
        sizes=f"the frame's own, padded to multiples of 4{limits}",
        dynamic_size=own_size,
        multiple=MULTIPLE,
        fit="pad",
        guidance="background",
        inputs=("src", "bgr"),
        alpha="pha",
        foreground="fgr",
        reference=Reference("BackgroundMattingV2's inference_images.py"),
    )


BGMV2 = (
    family(
        "bgmv2-refine",
        "Background Matting V2, MattingRefine: full, sampling, thresholding",
        "pha, fgr, pha_sm, fgr_sm, err_sm, ref_sm",
        limits="; a sampling refiner needs as many pixels as it samples, 80 000 as published",
    ),
    family("bgmv2-base", "Background Matting V2, MattingBase", "pha, fgr, err, hid"),
)
