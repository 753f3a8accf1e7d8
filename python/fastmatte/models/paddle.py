"""PaddleSeg's Matting: MODNet, PP-Matting and PP-HumanMatting, which share one signature."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastmatte.arrays import Layout, Size
from fastmatte.engines.base import Signature
from fastmatte.models.family import MINUS_ONE_TO_ONE, channels_of, sides_of, squashed
from fastmatte.models.feedforward import Feedforward
from fastmatte.models.reference import Reference, SizeRule


def matches(signature: Signature, layout: Layout, *, first: bool) -> str | None:
    """Match "img" to a first output of one channel; its name is the exporter's invention.

    first: whether this family stands for all of them where the graph fixes the size, for only in
           their sizes do they differ.
    """
    source, result = signature.inputs[0], signature.outputs[0]
    if layout != "nchw" or source.name != "img" or channels_of(result, layout) not in (1, None):
        return None
    fixed = [side for side in sides_of(source, layout) if isinstance(side, int)]
    if len(fixed) == 2:
        return f"img of fixed size {fixed[0]} x {fixed[1]}" if first else None
    return "img [N, 3, height, width] of open size, a first output of one channel"


def scaled(frame: Size, short: int) -> Size:
    """Return the size at which the short side is this, rounded as Python does."""
    scale = short / min(frame)
    return round(frame[0] * scale), round(frame[1] * scale)


def by_short(short: int) -> SizeRule:
    """Return the rule that always brings the short side to this."""
    return partial(scaled, short=short)


def limit_short(most: int) -> SizeRule:
    """Return the rule that brings the short side down to this."""
    return lambda frame: frame if min(frame) <= most else scaled(frame, most)


def floored(multiple: int) -> SizeRule:
    """Return the rule that cuts both sides down to a multiple."""
    return lambda size: (size[0] - size[0] % multiple, size[1] - size[1] % multiple)


def at_once(first: SizeRule, multiple: int) -> SizeRule:
    """Return both steps as one, and thin frames squashed."""
    return lambda frame: squashed(floored(multiple)(first(frame)), frame, multiple)


def family(
    name: str, networks: str, short: Callable[[int], SizeRule], side: int, multiple: int = 32
) -> Feedforward:
    """Return the family whose members see frames at this short side."""
    most = "at most " if short is limit_short else ""
    return Feedforward(
        name=name,
        networks=networks,
        description=f"img [N, 3, height, width] in [-1, 1], short side {most}{side} -> alpha",
        matches=partial(matches, first=name == "paddle-modnet"),
        normalisation=MINUS_ONE_TO_ONE,
        sizes=f"short side {most}{side}, multiples of {multiple}",
        dynamic_size=at_once(short(side), multiple),
        multiple=multiple,
        # Two resizes on the way in and two back, as the transforms of PaddleSeg follow each other.
        reference=Reference(
            "PaddleSeg's Matting/deploy/python/infer.py", sizes=(short(side), floored(multiple))
        ),
    )


PADDLE = (
    family("paddle-modnet", "PaddleSeg MODNet: MobileNetV2, ResNet50_vd, HRNet_W18", by_short, 512),
    family("pp-matting-512", "PP-MattingV2-512, PP-Matting-512", limit_short, 512),
    family("pp-matting-1024", "PP-Matting-1024", limit_short, 1024),
    family("pp-humanmatting", "PP-HumanMatting", by_short, 2048, 128),
)
