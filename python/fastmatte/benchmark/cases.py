"""What is measured: one Case a row, and nothing anywhere else to add for a new one.

Bytes follow from a case's arrays: every input is read once and the result written once. Operations
are counted by hand: what the work takes of any program, in 32-bit lanes, for each pixel of the
larger of the first input and the result. What 16 bits can hold counts half, 8 bits a quarter;
conversions, comparisons, roundings and shifts count one; loads, stores and shuffles nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fastmatte import kernels
from fastmatte.arrays import Array, Size
from fastmatte.benchmark import peers
from fastmatte.benchmark.scene import Scene

__all__ = ["CASES", "Case", "Peer"]


@dataclass(frozen=True)
class Peer:
    """Something else that does a case's work.

    call:   takes the case's inputs and options.
    within: how far its answer may lie from ours, as a mean absolute difference in 255ths.
    needs:  what must be importable.
    """

    name: str
    call: Callable[..., Array]
    within: float
    needs: str = "numpy"


def _nothing(scene: Scene) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Case:
    """A row of the benchmark.

    kernel:     the function's name.
    work:       what it is asked for, in a few words.
    call:       takes inputs and options, out and threads.
    inputs:     makes the arrays that are read.
    options:    makes the keyword arguments that peers take too.
    operations: for each pixel, as this module counts; `counted` tells of what.
    peers:      the first is the one that the ratio is to.
    at_least:   the ratio that the kernel must reach.
    of_bound:   the share of the bound that it must reach.
    compared:   of the inputs, the pixels at which peers must agree; None: all of them.
    shown:      whether the row is in the usual table, README's.
    """

    kernel: str
    work: str
    call: Callable[..., Array]
    inputs: Callable[[Scene], tuple[Array, ...]]
    operations: float
    counted: str
    options: Callable[[Scene], Mapping[str, Any]] = _nothing
    peers: tuple[Peer, ...] = ()
    at_least: float | None = None
    of_bound: float | None = None
    compared: Callable[..., Any] | None = None
    shown: bool = True

    @property
    def name(self) -> str:
        """The row's name, which no other has."""
        return f"{self.kernel} {self.work}".strip()


def _given(**options: Any) -> Callable[[Scene], Mapping[str, Any]]:
    return lambda scene: options


def _image(scene: Scene) -> tuple[Array, ...]:
    return (scene.image,)


def _between_0_and_1(image: Array, alpha: Array) -> Any:
    return (alpha > 0) & (alpha < 1)


def _to_tensor(filter: str, size: Size, peers: tuple[Peer, ...], **row: Any) -> Case:
    return Case(
        "to_tensor",
        f"{filter}, to {size[0]} x {size[1]} float32",
        kernels.to_tensor,
        _image,
        options=_given(size=size, filter=filter),
        peers=peers,
        **row,
    )


#: cv2.resize rounds to uint8 before NumPy scales, as does blobFromImage; the former is exact for
#: area but for that, bilinear weights have 11 bits.
_CV2_NUMPY = Peer("cv2.resize + NumPy", peers.to_tensor_cv2, 0.5, "cv2")
_CV2_BLOB = Peer("cv2.dnn.blobFromImage", peers.to_tensor_blob, 0.5, "cv2")


def _joined_yuv(image: Array, out: Array | None = None, threads: int | None = None) -> Array:
    """Make one (H * 3 / 2, W) array, as OpenCV has I420."""
    height, width = image.shape[:2]
    joined: Array = np.empty((height * 3 // 2, width), np.uint8) if out is None else out
    u, v = joined[height:].reshape(2, height // 2, width // 2)
    kernels.rgb_to_yuv(image, out=(joined[:height], u, v), threads=threads)
    return joined


def _small_frames(scene: Scene) -> tuple[Array, ...]:
    """Frames and alpha as a network leaves them."""
    size = 192, 336
    frames = (kernels.resize(image, size, filter="area") for image in (scene.image, scene.later))
    before, image = (np.ascontiguousarray(frame[..., 1]) for frame in frames)
    return before, image, np.clip(kernels.resize(scene.alpha, size, filter="area"), 0, 1)


def _resize(what: str, filter: str, peer: Peer, size: Size | None = None, **row: Any) -> Case:
    def options(scene: Scene) -> Mapping[str, Any]:
        return {"size": size or scene.size, "filter": filter}

    row = {"call": kernels.resize, "inputs": _image, **row}
    return Case("resize", f"{what}, {filter}", options=options, peers=(peer,), **row)


#: Both let go of bits between their passes: now and then a level.
_RESIZE_CV2 = Peer("cv2.resize", peers.resize_cv2, 0.5, "cv2")
_RESIZE_PILLOW = Peer("Pillow", peers.resize_pillow, 0.5, "PIL")


def _guided(kind: str, guide: Callable[[Scene], Array], **row: Any) -> Case:
    return Case(
        "guided_filter",
        f"{kind} guide, radius 8",
        kernels.guided_filter,
        lambda scene: (guide(scene), scene.alpha),
        options=_given(radius=8, eps=1e-4),
        # OpenCV reflects at the borders and does not clip what overshoots.
        peers=(Peer("cv2.ximgproc.guidedFilter", peers.guided_filter_cv2, 0.5, "cv2.ximgproc"),),
        **row,
    )


def _guided_upsample(kind: str, guide: Callable[[Scene], Array], **row: Any) -> Case:
    return Case(
        "guided_upsample",
        f"{kind} guide, from 512 x 512",
        partial(kernels.guided_upsample, unsure=8.0),
        lambda scene: (guide(scene), scene.small_alpha),
        options=_given(radius=3, eps=1e-4),
        **row,
    )


def _morphology(kernel: str, call: Callable[..., Array], peer: Peer, **row: Any) -> Case:
    return Case(
        kernel,
        "radius 7, uint8",
        call,
        lambda scene: (scene.alpha_bytes,),
        options=_given(radius=7),
        peers=(peer,),
        at_least=1,
        **row,
    )


def _composite_in_place(
    foreground: Array, *rest: Array, out: Array | None = None, threads: int
) -> Array:
    """Whatever out is."""
    return kernels.composite(foreground, *rest, out=foreground, threads=threads)


def _blur(sigma: float, **row: Any) -> Case:
    return Case(
        "blur",
        f"sigma {sigma:g}, RGB uint8",
        kernels.blur,
        _image,
        options=_given(sigma=sigma),
        # Ours averages what is inside at borders, theirs mirror or repeat, the more the wider.
        peers=(
            Peer("cv2.GaussianBlur", peers.blur_cv2, max(0.3, sigma / 40), "cv2"),
            Peer("Pillow", peers.blur_pillow, max(0.7, sigma / 20), "PIL"),
        ),
        **row,
    )


#: In the order of the way of a frame.
CASES: tuple[Case, ...] = (
    _to_tensor(
        "area",
        (512, 512),
        (_CV2_NUMPY,),
        operations=6,
        counted="3 channels x a product and a sum in 16 bits each way; the tensor is an eighth",
        at_least=5,
    ),
    _to_tensor(
        "bilinear",
        (512, 512),
        (_CV2_BLOB, _CV2_NUMPY),
        operations=3,
        counted="of an eighth of the pixels: 3 channels x (4 taps in 16 bits, a product, a sum)",
        at_least=2,
    ),
    Case(
        "to_tensor",
        "full frame, float32",
        kernels.to_tensor,
        _image,
        operations=9,
        counted="3 channels x (convert, product, sum)",
        peers=(
            Peer("NumPy, / 255", peers.to_tensor_numpy64, 1e-3),
            Peer("NumPy, float32", peers.to_tensor_numpy, 1e-3),
        ),
        at_least=10,
    ),
    _resize(
        "alpha float32 from 512 x 512",
        "bilinear",
        Peer("cv2.resize", peers.resize_cv2, 1e-2, "cv2"),
        inputs=lambda scene: (scene.small_alpha,),
        operations=4.5,
        counted="2 products, a sum; along rows of half as many: the same",
        at_least=1,
    ),
    _resize(
        "RGB uint8 to 180 x 320",
        "lanczos3",
        _RESIZE_PILLOW,
        (180, 320),
        operations=21,
        counted="3 channels x 6 (product, sum) in 16 bits down columns; along rows of a sixth",
        at_least=2,
    ),
    _guided(
        "grey",
        lambda scene: scene.grey,
        operations=25,
        counted="of 0.55 of the pixels, the box around what changes: 2 products, 4 + 2 box sums of"
        " 4 additions, means, 1 division, the line, clip",
        at_least=5,
    ),
    _guided(
        "colour",
        lambda scene: scene.image,
        operations=94,
        counted="of 0.55 of the pixels: 9 products, 13 + 4 box sums of 4 additions, means, a 3 x 3"
        " system, the plane",
        at_least=6,
    ),
    _guided_upsample(
        "colour",
        lambda scene: scene.image,
        operations=46,
        counted="an eighth of guided_filter's 94, the guide shrunk, 4 coefficients grown, applied",
        # Windows of other pixels, and without unsure texture comes in: near, not equal. Of a grey
        # guide OpenCV makes something else.
        peers=(
            Peer("cv2.ximgproc.guidedFilter / 4", peers.guided_upsample_cv2, 8, "cv2.ximgproc"),
        ),
        at_least=10,
    ),
    Case(
        "estimate_foreground",
        "blur fusion",
        kernels.estimate_foreground,
        lambda scene: (scene.image, scene.alpha),
        operations=20,
        counted="of a tenth of the pixels: 2 x (7 box sums of 4 additions, 2 divisions, formula)",
        # The formula in float32 with unrounded alpha, borders mirrored.
        peers=(Peer("cv2.blur + NumPy", peers.estimate_foreground_cv2, 0.5, "cv2"),),
        compared=_between_0_and_1,
        at_least=10,
    ),
    Case(
        "estimate_foreground",
        "multi-level",
        partial(kernels.estimate_foreground, method="multilevel"),
        lambda scene: (scene.image, scene.alpha),
        operations=300,
        counted="1.33 pixels x (30 for the weights, 2 sweeps x 6 x (8 products, 6 sums, clip))",
        # Sweeps in another order, and where alpha is 0 nothing holds the colours.
        peers=(Peer("PyMatting", peers.estimate_foreground_pymatting, 1, "pymatting"),),
        at_least=8,
    ),
    _blur(
        15,
        operations=15,
        counted="3 channels in 16 bits: 2 sums to shrink, 2 x (2 products, a sum) to grow",
        at_least=6,
    ),
    _morphology(
        "erode",
        kernels.erode,
        Peer("cv2.erode", peers.erode_cv2, 1e-3, "cv2"),
        operations=1.5,
        counted="3 comparisons each way, of 8 bits",
    ),
    _morphology(
        "dilate",
        kernels.dilate,
        Peer("cv2.dilate", peers.dilate_cv2, 1e-3, "cv2"),
        operations=1.5,
        counted="as for erode",
    ),
    _morphology(
        "trimap",
        kernels.trimap,
        Peer("cv2.erode + cv2.dilate + NumPy", peers.trimap_cv2, 1e-3, "cv2"),
        operations=4,
        counted="erode, dilate, 4 comparisons of 8 bits",
    ),
    Case(
        "composite",
        "image over image",
        kernels.composite,
        lambda scene: (scene.image, scene.other, scene.alpha),
        operations=17,
        counted="alpha to 65536ths, 3 channels x (2 products, 2 sums, a shift)",
        # blendLinear divides by the sum of weights plus 1e-5 and may round the other way.
        peers=(
            Peer("cv2.blendLinear", peers.composite_cv2, 0.1, "cv2"),
            Peer("NumPy", peers.composite_numpy, 0.1),
        ),
        at_least=6,
        of_bound=0.5,
    ),
    Case(
        "cutout",
        "",
        kernels.cutout,
        lambda scene: (scene.image, scene.alpha),
        operations=4,
        counted="alpha to 255ths; 3 channels of 8 bits masked",
        # NumPy keeps the colours where alpha is 0.
        peers=(Peer("NumPy", peers.cutout_numpy, 0.1),),
        compared=lambda image, alpha: alpha > 0.5 / 255,
        at_least=10,
    ),
    Case(
        "premultiply",
        "",
        kernels.premultiply,
        lambda scene: (scene.rgba,),
        operations=7.5,
        counted="3 channels x (product, 2 sums, 2 shifts) in 16 bits",
        peers=(Peer("NumPy", peers.premultiply_numpy, 0.1),),
        at_least=10,
    ),
    Case(
        "unpremultiply",
        "",
        kernels.unpremultiply,
        lambda scene: (scene.premultiplied,),
        operations=18,
        counted="3 channels x (product, sum, division, minimum, 2 conversions)",
        peers=(Peer("NumPy", peers.unpremultiply_numpy, 0.1),),
        at_least=10,
    ),
    # The rest is measured on request: other sizes, types and ways of the same kernels.
    _to_tensor(
        "area",
        (256, 256),
        (_CV2_NUMPY,),
        operations=6,
        counted="3 channels x a product and a sum in 16 bits each way",
        shown=False,
    ),
    Case(
        "to_tensor",
        "full frame, float16",
        partial(kernels.to_tensor, dtype="float16"),
        _image,
        operations=12,
        counted="3 channels x (convert, product, sum, convert)",
        peers=(Peer("NumPy, float32", peers.to_tensor_numpy16, 1e-2),),
        shown=False,
    ),
    Case(
        "to_tensor",
        "NV12, area, to 512 x 512 float32",
        partial(kernels.to_tensor, pixel_format="nv12"),
        lambda scene: (scene.nv12,),
        operations=4,
        counted="a product and a sum in 16 bits each way; a 12th: conversion, clamp, product, sum",
        options=_given(size=(512, 512), filter="area"),
        # Rounds and clamps to RGB before it shrinks.
        peers=(Peer("cv2.cvtColor, resize + NumPy", peers.to_tensor_cv2_nv12, 1, "cv2"),),
        shown=False,
    ),
    Case(
        "from_tensor",
        "full frame",
        kernels.from_tensor,
        lambda scene: (scene.tensor,),
        operations=12,
        counted="3 channels x (clamp twice, product, round)",
        peers=(Peer("NumPy", peers.from_tensor_numpy, 0.1),),
        shown=False,
    ),
    Case(
        "motion_adaptive_filter",
        "radius 4",
        kernels.motion_adaptive_filter,
        lambda scene: (scene.later, scene.image, scene.alpha_later, scene.alpha),
        operations=24,
        counted="differences of 3 channels in 8 bits: 2; window: 2 sums down, 8 along in 16 bits;"
        " 3 x (product, sum, clip), 2 differences, the mix",
        peers=(Peer("cv2.blur + NumPy", peers.motion_adaptive_filter_cv2, 1e-2, "cv2"),),
        at_least=5,
        shown=False,
    ),
    Case(
        "one_frame_delay",
        "",
        kernels.one_frame_delay,
        lambda scene: (scene.alpha_later, scene.alpha, scene.alpha_later),
        operations=14,
        counted="3 x (difference, absolute, comparison), 2 ands, sum, product, choice",
        peers=(Peer("NumPy", peers.one_frame_delay_numpy, 1e-3),),
        shown=False,
    ),
    _resize(
        "alpha float32 from 512 x 512 to uint8",
        "bilinear",
        Peer("cv2.resize, convertScaleAbs", peers.resize_to_bytes_cv2, 1e-2, "cv2"),
        call=partial(kernels.resize, dtype="uint8"),
        inputs=lambda scene: (scene.small_alpha,),
        operations=9.5,
        counted="4.5 as for float32; clamp twice, product, sum, conversion",
        shown=False,
    ),
    _resize(
        "RGB uint8 to 360 x 640",
        "bilinear",
        _RESIZE_CV2,
        (360, 640),
        operations=1,
        counted="of a ninth of the pixels: 3 channels x 3 (product, sum) in 16 bits",
        shown=False,
    ),
    _resize(
        "RGB uint8 to 2160 x 3840",
        "bilinear",
        _RESIZE_CV2,
        (2160, 3840),
        operations=7,
        counted="3 channels x (2 products, a sum) in 16 bits; along half the rows: the same",
        shown=False,
    ),
    _resize(
        "RGB uint8 to 180 x 320",
        "bicubic",
        _RESIZE_PILLOW,
        (180, 320),
        operations=14,
        counted="3 channels x 4 (product, sum) in 16 bits down columns; along rows of a sixth",
        shown=False,
    ),
    _guided_upsample(
        "grey",
        lambda scene: scene.grey,
        operations=20,
        counted="an eighth of guided_filter's 25, the guide shrunk, 2 coefficients grown, applied",
        shown=False,
    ),
    *(
        _blur(sigma, operations=operations, counted=counted, shown=False)
        for sigma, operations, counted in (
            (1, 15, "3 channels in 16 bits, each way 4 products and 6 sums for 7 taps"),
            (4, 15, "as for sigma 15: no need for more"),
            (60, 15, "as for sigma 15"),
        )
    ),
    Case(
        "composite",
        "in place",
        _composite_in_place,
        # What is opaque stays as it is for the next turn; the work is the same for any alpha.
        lambda scene: (scene.image, scene.other, scene.opaque),
        operations=17,
        counted="as for image over image",
        peers=(Peer("cv2.blendLinear", peers.composite_in_place_cv2, 0.1, "cv2"),),
        shown=False,
    ),
    Case(
        "composite_tensor",
        "over an image",
        kernels.composite_tensor,
        lambda scene: (scene.tensor, scene.other, scene.alpha),
        operations=29,
        counted="12 as for from_tensor, 17 as for composite",
        peers=(Peer("NumPy", peers.composite_tensor_numpy, 0.1),),
        at_least=5,
        shown=False,
    ),
    Case(
        "composite",
        "linear_light",
        partial(kernels.composite, linear_light=True),
        lambda scene: (scene.image, scene.other, scene.alpha),
        operations=4.5,
        counted="alpha to 65535ths; of a tenth of the pixels: 3 x (2 products, 2 sums, a shift)",
        peers=(Peer("NumPy, tables", peers.composite_light_numpy, 0.1),),
        shown=False,
    ),
    Case(
        "carry",
        "192 x 336",
        kernels.carry,
        _small_frames,
        operations=220,
        counted="169 movements x 4 windows over each pixel, 8 bits: a difference, a sum of 16 bits",
        shown=False,
    ),
    Case(
        "yuv_to_rgb",
        "NV12",
        partial(kernels.yuv_to_rgb, pixel_format="nv12"),
        lambda scene: (scene.nv12,),
        operations=15,
        counted="a product; 3 channels x (sum, shift, 2 limits); a fourth: 4 products, 6 sums",
        # It repeats chroma.
        peers=(Peer("cv2.cvtColor", peers.yuv_to_rgb_cv2, 3, "cv2"),),
        shown=False,
    ),
    Case(
        "rgb_to_yuv",
        "I420",
        _joined_yuv,
        _image,
        operations=10,
        counted="3 products, 3 sums, a shift; a fourth: 6 products, 6 sums, and 9 to add four up",
        # It takes the chroma of one pixel of four.
        peers=(Peer("cv2.cvtColor", peers.rgb_to_yuv_cv2, 3, "cv2"),),
        shown=False,
    ),
    Case(
        "quantise",
        "",
        kernels.quantise,
        lambda scene: (scene.alpha,),
        operations=3,
        counted="product, sum, conversion",
        peers=(Peer("NumPy", peers.quantise_numpy, 1e-2),),
        shown=False,
    ),
)
