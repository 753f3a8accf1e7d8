"""MODNet and the networks that keep its contract: any size in multiples of 32."""

from __future__ import annotations

from fastmatte.arrays import Layout, Size
from fastmatte.engines.base import Signature
from fastmatte.models.family import MINUS_ONE_TO_ONE, channels_of, sides_of, squashed
from fastmatte.models.feedforward import Feedforward
from fastmatte.models.reference import Reference
from fastmatte.models.salient import LARGE, SQUARES
from fastmatte.models.selfie import SQUARE

#: The short side the authors' own scripts run at.
SIDE = 512
MULTIPLE = 32
#: Sides of squares that other families take under these names, and MODNet's exports seldom.
OTHERS = (*SQUARES, *SQUARE, LARGE)


def matches(signature: Signature, layout: Layout) -> str | None:
    """Match the official export, "input" to a one-channel "output", and what was made of it by
    fixing its size.
    """
    source, result = signature.inputs[0], signature.outputs[0]
    if len(signature.outputs) > 1:
        return None
    if layout != "nchw" or (source.name, result.name) != ("input", "output"):
        return None
    if channels_of(result, layout) != 1:
        return None
    height, width = sides_of(source, layout)
    if not isinstance(height, int) and not isinstance(width, int):
        return "input [N, 3, height, width] of open size, output of one channel"
    if not isinstance(height, int) or not isinstance(width, int):
        return None
    if height % MULTIPLE or width % MULTIPLE or (height == width and height in OTHERS):
        return None
    return f"input of fixed size {height} x {width}, output of one channel"


def script_size(frame: Size) -> Size:
    """Scale the short side to 512 where the frame is larger all over or smaller all over."""
    height, width = frame
    if max(frame) < SIDE or min(frame) > SIDE:
        if width >= height:
            height, width = SIDE, int(width / height * SIDE)
        else:
            height, width = int(height / width * SIDE), SIDE
    return height - height % MULTIPLE, width - width % MULTIPLE


def dynamic_size(frame: Size) -> Size:
    """Do as the script does, but with thin frames, as they are squashed."""
    return squashed(script_size(frame), frame, MULTIPLE)


MODNET = Feedforward(
    name="modnet",
    networks="MODNet, the official export",
    description="input [N, 3, height, width] in [-1, 1] -> output [N, 1, height, width]",
    matches=matches,
    normalisation=MINUS_ONE_TO_ONE,
    sizes="short side 512, multiples of 32",
    dynamic_size=dynamic_size,
    multiple=MULTIPLE,
    reference=Reference(
        "MODNet's onnx/inference_onnx.py",
        sizes=(script_size,),
        resample="area",
        normalise="first",
        truncate="before",
    ),
)
