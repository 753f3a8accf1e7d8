"""The pixel kernels: arrays in, arrays out.

What holds for every kernel here:

- Inputs may be read-only and strided. Rows of adjacent pixels are used where they lie, so a crop
  costs nothing; any other view, such as reversed channels, is packed into scratch memory first.
- out, where given, must have the shape and dtype of the result, be writable, have adjacent pixels
  in each row, and not share memory with an input unless the kernel says that it may.
- threads is how many threads may work on the call, None for one per processor. The result does not
  depend on it.
- Results are the same bytes on every instruction set.
- A wrong type is a TypeError, a wrong shape, range or overlap a ValueError; both name the argument,
  what was expected and what came, and leave out untouched. No array may have more than
  fastmatte.MAX_PIXELS pixels or fewer than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

from fastmatte import _core
from fastmatte.arrays import (
    Alpha,
    AlphaDtype,
    AnyAlpha,
    AnyTensor,
    Box,
    Colour,
    Filter,
    ForegroundMethod,
    Frame,
    FrameFormat,
    Image,
    Layout,
    PixelFormat,
    Pixels,
    Size,
    Tensor,
    TensorDtype,
    YuvMatrix,
    YuvRange,
)

__all__ = [
    "blur",
    "carry",
    "composite",
    "composite_tensor",
    "cutout",
    "dilate",
    "erode",
    "estimate_foreground",
    "from_tensor",
    "guided_filter",
    "guided_upsample",
    "letterbox",
    "motion_adaptive_filter",
    "one_frame_delay",
    "premultiply",
    "quantise",
    "resize",
    "rgb_to_yuv",
    "to_tensor",
    "trimap",
    "unpremultiply",
    "yuv_to_rgb",
]


def blur(
    image: Image,
    *,
    sigma: float,
    weight: AnyAlpha | None = None,
    out: Image | None = None,
    threads: int | None = None,
) -> Image:
    """Blur every channel with a Gaussian.

    image:  (H, W), (H, W, 3) or (H, W, 4) uint8.
    sigma:  standard deviation in pixels, 0.1 to 500. The time does not grow with it beyond 8.
    weight: (H, W) float32 in [0, 1] or uint8 in 255ths, how much each pixel counts; None: all the
            same. A background blurred with weight 1 - alpha takes no colour from the person in
            front. float32 is rounded half up to 255ths.
    out:    the shape of image, apart from both inputs.

    Returns uint8 of image's shape, rounded half up: blur(weight * image) / blur(weight), the pixels
    outside the image left out. A pixel farther than about 3.5 sigma from all weight keeps its own
    colour. Agrees with oracles.blur within a level where sigma is below 8 (4.8 with weights), to
    45 dB or better up to 60 (on photographs about 57). An image of one colour stays exactly that.
    Working memory: up to 120 rows of weighted products a thread, else a few rows; from sigma 8 on
    (4.8 with weights) a float32 image smaller by sigma / 2.4 each way; a byte a pixel for float32
    weights.
    Raises ValueError where sizes differ, sigma is out of range or weight leaves [0, 1].
    """
    return _core.blur(image, sigma, weight, out, threads)


def carry(
    before: Image,
    image: Image,
    alpha: Alpha,
    *,
    out: Alpha | None = None,
    threads: int | None = None,
) -> Alpha:
    """Bring the alpha of an earlier frame to where its picture has moved since.

    before: (h, w) uint8 grey, the frame that alpha belongs to.
    image:  (h, w) uint8 grey, the frame to bring it to.
    alpha:  (H, W) float32 in [0, 1], of any size, which is stretched over the frames.
    out:    (H, W) float32, apart from the inputs.

    Returns (H, W) float32. Blocks of 8 x 8 pixels of image are sought in before, 6 pixels each way,
    by the sum of absolute differences over the 16 x 16 around them and a tenth of a level for each
    pixel moved; movements are the median of nine, and linear between the blocks' middles. So frames
    are best some 300 pixels wide, which is where a hand moves six pixels from one to the next.
    Agrees with oracles.carry within 1e-3, for positions in float32 have but 24 bits.
    """
    return _core.carry(before, image, alpha, out, threads)


def composite(
    foreground: Image,
    background: Image | Colour,
    alpha: AnyAlpha,
    *,
    linear_light: bool = False,
    out: Image | None = None,
    threads: int | None = None,
) -> Image:
    """Lay foreground over background: alpha * foreground + (1 - alpha) * background.

    foreground:   (H, W, 3) uint8, straight (not premultiplied) colours.
    background:   (H, W, 3) uint8, or one colour of three integers 0..255 in foreground's order.
    alpha:        (H, W) float32 in [0, 1], or uint8 in 255ths.
    linear_light: False mixes the levels as they are, as most software does. True mixes the light
                  that they stand for in sRGB, as a lens does: soft edges, hair and blur keep their
                  brightness. It takes longer, the more so the more pixels are neither 0 nor 1.
    out:          (H, W, 3) uint8; may be foreground or background itself.

    Returns (H, W, 3) uint8, rounded half up. Exact for uint8 alpha; float32 alpha is first rounded
    to 16 bits, and so is light. Takes no memory beyond out. Agrees with oracles.composite bit for
    bit.
    Raises ValueError where sizes differ or alpha leaves [0, 1] (NaN included).
    Sources: Porter and Duff, Compositing Digital Images, 1984, "over"; IEC 61966-2-1, 1999.
    """
    return _core.composite(foreground, background, alpha, linear_light, out, threads)


def composite_tensor(
    tensor: Tensor,
    background: Image | Colour,
    alpha: Alpha,
    *,
    pixel_format: PixelFormat = "rgb",
    out: Image | None = None,
    threads: int | None = None,
) -> Image:
    """Lay the colours that a network put out over background, without an image of them between.

    tensor:       (1, 3, H, W) float32, straight colours, as from_tensor takes them.
    background:   (H, W, 3) uint8, or one colour of three integers 0..255, in pixel_format's order.
    alpha:        (H, W) float32 in [0, 1].
    pixel_format: "rgb" or "bgr", the order of background's and the result's channels.
    out:          (H, W, 3) uint8, apart from tensor; may be background itself.

    Returns (H, W, 3) uint8, the bytes of composite(from_tensor(tensor), background, alpha): colours
    are rounded to levels before they are mixed. Takes no memory beyond out. Agrees with
    oracles.composite of oracles.from_tensor bit for bit.
    Raises ValueError where sizes differ or alpha leaves [0, 1] (NaN included).
    """
    return _core.composite_tensor(tensor, background, alpha, pixel_format, out, threads)


def cutout(
    foreground: Image,
    alpha: AnyAlpha,
    *,
    out: Image | None = None,
    threads: int | None = None,
) -> Image:
    """Join foreground colours and alpha into one image with straight alpha.

    foreground: (H, W, 3) uint8.
    alpha:      (H, W) float32 in [0, 1], or uint8 in 255ths.
    out:        (H, W, 4) uint8, apart from both inputs.

    Returns (H, W, 4) uint8; float32 alpha is rounded half up. Where the result's alpha is 0 its
    colour is (0, 0, 0): nothing of the old background stays hidden in the file, and it packs well.
    Takes no memory beyond out. Agrees with oracles.cutout bit for bit.
    Raises ValueError where sizes differ or alpha leaves [0, 1] (NaN included).
    """
    return _core.cutout(foreground, alpha, out, threads)


def dilate(
    alpha: Pixels, *, radius: int, out: Pixels | None = None, threads: int | None = None
) -> Pixels:
    """Grow alpha: the greatest value in the square around each pixel.

    alpha:  (H, W) float32 in [0, 1], or uint8.
    radius: half-size of the square in pixels, at least 0; its side is 2 * radius + 1.
    out:    (H, W) of alpha's dtype, apart from alpha.

    Returns (H, W) of alpha's dtype. What lies outside the image is left out, so that borders do not
    shrink or grow by themselves. The time hardly grows with radius. Takes four rows of memory, up
    to 2 * radius wider than alpha, for each thread, and 2 * radius + 1 more where those are at most
    256 KiB. Agrees with oracles.dilate bit for bit.
    Raises ValueError where alpha leaves [0, 1] (NaN included).
    """
    return _core.dilate(alpha, radius, out, threads)


def erode(
    alpha: Pixels, *, radius: int, out: Pixels | None = None, threads: int | None = None
) -> Pixels:
    """Shrink alpha: the least value in the square around each pixel.

    alpha:  (H, W) float32 in [0, 1], or uint8.
    radius: half-size of the square in pixels, at least 0; its side is 2 * radius + 1.
    out:    (H, W) of alpha's dtype, apart from alpha.

    Returns (H, W) of alpha's dtype. What lies outside the image is left out, so that borders do not
    shrink or grow by themselves. The time hardly grows with radius. Takes four rows of memory, up
    to 2 * radius wider than alpha, for each thread, and 2 * radius + 1 more where those are at most
    256 KiB. Agrees with oracles.erode bit for bit.
    Raises ValueError where alpha leaves [0, 1] (NaN included).
    Sources: van Herk, A Fast Algorithm for Local Minimum and Maximum Filters, 1992; Gil and Werman,
    Computing 2-D Min, Median, and Max Filters, 1993.
    """
    return _core.erode(alpha, radius, out, threads)


def estimate_foreground(
    image: Image,
    alpha: AnyAlpha,
    *,
    method: ForegroundMethod = "blur_fusion",
    out: Image | None = None,
    threads: int | None = None,
) -> Image:
    """Estimate the colour of the foreground alone, so that no old background shines through it.

    image:  (H, W, 3) uint8, the mixture alpha * foreground + (1 - alpha) * background.
    alpha:  (H, W) float32 in [0, 1], or uint8 in 255ths; float32 is rounded half up to 255ths.
    method: "blur_fusion": blurs foreground and background weighted by alpha, then corrects the
            former by what their mixture misses of image; once in windows of 91 x 91 pixels, then
            once in windows of 7 x 7, each shrunk to what lies inside the image.
            "multilevel": solves for the smoothest foreground and background that mix to image,
            from one pixel up to the full size; slower, and better where colours vary.
    out:    (H, W, 3) uint8, apart from both inputs.

    Returns (H, W, 3) uint8.
    "blur_fusion": where alpha rounds to 0 or 255 the colour is the image's own: under 255 it is the
    foreground, under 0 no compositing shows it. Time grows with the pixels in between. Working
    memory is about 175 bytes for each pixel of a row a thread, and for each of image an eighth of a
    byte, and a byte more where alpha is float32.
    "multilevel": colours are smooth everywhere, and where alpha is 0 continue those nearby. Working
    memory is the solution at the level below, 32 bytes for each of its pixels, which are about a
    quarter of image's, and 430 bytes for each pixel of a row a thread.
    Raises ValueError where sizes differ or alpha leaves [0, 1] (NaN included).
    Sources: Forte, Approximate Fast Foreground Colour Estimation, ICIP 2021, applied twice; Germer
    et al., Fast Multi-Level Foreground Estimation, ICPR 2020, with the paper's parameters.
    Agrees with oracles.estimate_foreground bit for bit; with oracles.multilevel, and PyMatting, on
    photographs within a level, in the mean within a 20th of one beyond rounding.
    """
    return _core.estimate_foreground(image, alpha, method, out, threads)


def guided_filter(
    guide: Image,
    alpha: Alpha,
    *,
    radius: int,
    eps: float,
    subsample: int = 1,
    dtype: AlphaDtype | None = None,
    out: AnyAlpha | None = None,
    threads: int | None = None,
) -> AnyAlpha:
    """Refine alpha so that its edges follow those of guide.

    guide:     (H, W, 3) or grey (H, W) uint8; its levels count as [0, 1].
    alpha:     (H, W) float32 in [0, 1].
    radius:    window half-size in pixels, at least 1; the window is 2 * radius + 1.
    eps:       variance added to the guide, in squared [0, 1] intensity, at least 1e-9.
    subsample: above 1, the linear coefficients are solved on guide and alpha shrunk this many times
               by area (sizes rounded up, radius / subsample rounded half up and at least 1), and
               grow bilinearly: much cheaper, little worse.
    dtype:     of the result, "float32" or "uint8"; None for that of out, else float32.
    out:       (H, W) float32 or uint8, apart from both inputs.

    Returns (H, W) float32 in [0, 1], or uint8 rounded half up. The filter itself overshoots next to
    edges; the result is clipped, for it is an alpha. Windows keep to the pixels inside the image.
    Where all windows around hold one value of alpha it stays as it is: what has to be solved is the
    box around everything else and 3 * radius on each side of it.
    Raises ValueError where sizes differ or alpha leaves [0, 1] (NaN included).
    Sources: He et al., Guided Image Filtering, 2013, eq. 5-8 and 14-16; He and Sun, Fast Guided
    Filter, 2015.
    Agrees with oracles.guided_filter within 2e-5 for eps of at least 1e-6, subsampled 1e-5.
    Working memory: for each thread and pixel of a row about 350 bytes and 72 for each of radius, a
    colour guide's; none of the image's size unless subsampled, then 4 bytes for each pixel solved.
    """
    return _core.guided_filter(guide, alpha, radius, eps, subsample, dtype, out, threads)


def guided_upsample(
    guide: Image,
    alpha: Alpha,
    *,
    radius: int,
    eps: float,
    unsure: float | None = None,
    dtype: AlphaDtype | None = None,
    out: AnyAlpha | None = None,
    threads: int | None = None,
) -> AnyAlpha:
    """Bring a small alpha to the size of guide, its edges following those of guide.

    guide:  (H, W, 3) or grey (H, W) uint8; its levels count as [0, 1].
    alpha:  (h, w) float32 in [0, 1], h at most H and w at most W.
    radius: window half-size in pixels of alpha, at least 1; the window is 2 * radius + 1.
    eps:    variance added to the guide, in squared [0, 1] intensity, at least 1e-9.
    unsure: None follows guide everywhere. A number, at least 0, follows it by
            min(1, unsure * m * (1 - m)), m being the mean of alpha in the window, and is alpha
            grown bilinearly for the rest: where alpha is sure, the texture of guide leaves no
            trace. 8 follows guide fully where m is between 0.15 and 0.85.
    dtype:  of the result, "float32" or "uint8"; None for that of out, else float32.
    out:    (H, W) float32 or uint8, apart from both inputs.

    Returns (H, W) float32 clipped to [0, 1], or uint8 rounded half up. The linear coefficients of
    the guided filter are solved at alpha's size, on guide shrunk by area, grow bilinearly
    (half-pixel centres, the edge repeated) and meet guide at full size.
    Raises ValueError where alpha is larger than guide or leaves [0, 1] (NaN included).
    Source: He and Sun, Fast Guided Filter, 2015; unsure is fastmatte's own, bench/study_refine.py.
    Agrees with oracles.guided_upsample within 2e-5 for eps of at least 1e-5.
    A box is solved and working memory is some rows of alpha, as for guided_filter.
    """
    return _core.guided_upsample(guide, alpha, radius, eps, unsure, dtype, out, threads)


def from_tensor(
    tensor: Tensor,
    *,
    pixel_format: PixelFormat = "rgb",
    out: Image | None = None,
    threads: int | None = None,
) -> Image:
    """Make an image of the colours a network put out, such as its own foreground.

    tensor:       (1, 3, H, W) float32, C-contiguous, R, G, B in [0, 1]. Values outside are clamped,
                  because networks leave the range by their own rounding, and NaN becomes 0.
    pixel_format: "rgb" or "bgr", the order of the result's channels.
    out:          (H, W, 3) uint8, apart from tensor.

    Returns (H, W, 3) uint8: x * 255 in float32, rounded half up. Agrees with oracles.from_tensor
    bit for bit.
    """
    return _core.from_tensor(tensor, pixel_format, out, threads)


def letterbox(image_size: Size, size: Size) -> Box:
    """Tell where to_tensor lays an image that keeps its aspect ratio.

    image_size: (height, width) of the image, or of its crop.
    size:       (height, width) of the tensor.

    Returns (x, y, width, height): the largest that fits, its other side rounded half up and at
    least 1, in the middle, an odd pixel left over to the right or below. A network's alpha for the
    image alone is alpha[y : y + height, x : x + width].
    """
    return _core.letterbox(image_size, size)


def motion_adaptive_filter(
    before: Image,
    image: Image,
    alpha_before: Alpha,
    alpha: Alpha,
    *,
    weight: float = 0.3,
    radius: int = 4,
    motion: tuple[float, float] = (5, 14),
    jump: tuple[float, float] = (0.5, 0.9),
    out: Alpha | None = None,
    threads: int | None = None,
) -> Alpha:
    """Steady alpha where the picture stands still, by what it was in the frame before.

    before, image:       (H, W, 3) uint8, two frames in order.
    alpha_before, alpha: (H, W) float32 in [0, 1]; of the frame before as this function returned it.
    weight: of the new alpha where nothing moves, 0.001 to 1.
    radius: half-size in pixels, 0 to 7, of the window whose mean difference tells of motion.
    motion: mean differences of the frames in levels, 0 to 255: up to the first nothing moves, from
            the second on alpha is the new one.
    jump:   the same for the difference of the two alphas, 0 to 1, so that what comes or goes in
            front of its like leaves no ghost. The larger of both decides.
    out:    (H, W) float32; may be alpha or alpha_before itself.

    Returns (H, W) float32 in [0, 1]: alpha_before + w * (alpha - alpha_before), w growing linearly
    from weight to 1, where it is alpha bit for bit. The difference of a pixel is that of the
    channel that differs most; edges are repeated. No flow is computed.
    Takes 2 * radius + 4 bytes a pixel of a row for each thread. Agrees with
    oracles.motion_adaptive_filter within 2e-5 for gates no narrower than the default.
    Raises ValueError where sizes differ, alpha leaves [0, 1] (NaN included) or a gate does not
    rise.
    Source: the recursive filter of Dubois and Sabri, Noise Reduction in Image Sequences Using
    Motion-Compensated Temporal Filtering, 1984, with a motion detector in place of compensation.
    """
    return _core.motion_adaptive_filter(
        before, image, alpha_before, alpha, weight, radius, motion, jump, out, threads
    )


def one_frame_delay(
    before: Alpha,
    alpha: Alpha,
    after: Alpha,
    *,
    threshold: float = 0.1,
    out: Alpha | None = None,
    threads: int | None = None,
) -> Alpha:
    """Take out what flickers for one frame: OFD, one-frame delay.

    before, alpha, after: (H, W) float32 in [0, 1], of three frames in order.
    threshold: up to which two alphas count as alike, 0 to 1.
    out:       (H, W) float32; may be any of the three.

    Returns (H, W) float32: the mean of before and after where these are alike and alpha is like
    neither, else alpha. Takes no memory beyond out. Agrees with oracles.one_frame_delay bit for
    bit.
    Raises ValueError where sizes differ or alpha leaves [0, 1] (NaN included).
    Source: Ke et al., MODNet: Real-Time Trimap-Free Portrait Matting via Objective Decomposition,
    AAAI 2022, its one-frame delay.
    """
    return _core.one_frame_delay(before, alpha, after, threshold, out, threads)


def premultiply(rgba: Image, *, out: Image | None = None, threads: int | None = None) -> Image:
    """Multiply colours by alpha.

    rgba: (H, W, 4) uint8, straight alpha.
    out:  (H, W, 4) uint8; may be rgba itself.

    Returns (H, W, 4) uint8, rounded half up. Takes no memory beyond out. Agrees with
    oracles.premultiply bit for bit.
    """
    return _core.premultiply(rgba, out, threads)


def quantise(alpha: Alpha, *, out: Image | None = None, threads: int | None = None) -> Image:
    """Turn float32 alpha into 8 bits.

    alpha: (H, W) float32 in [0, 1].
    out:   (H, W) uint8, apart from alpha.

    Returns (H, W) uint8 in 255ths, rounded half up; agrees with oracles.quantise bit for bit.
    Raises ValueError where alpha leaves [0, 1] (NaN included).
    """
    return _core.quantise(alpha, out, threads)


@overload
def resize(
    image: Pixels,
    size: Size,
    *,
    filter: Filter = "bilinear",
    dtype: None = None,
    out: Pixels | None = None,
    threads: int | None = None,
) -> Pixels: ...


@overload
def resize(
    image: AnyAlpha,
    size: Size,
    *,
    filter: Filter = "bilinear",
    dtype: AlphaDtype | None = None,
    out: AnyAlpha | None = None,
    threads: int | None = None,
) -> AnyAlpha: ...


def resize(
    image: AnyAlpha,
    size: Size,
    *,
    filter: Filter = "bilinear",
    dtype: AlphaDtype | None = None,
    out: AnyAlpha | None = None,
    threads: int | None = None,
) -> AnyAlpha:
    """Resample an image or alpha to another size.

    image:  (H, W), (H, W, 3) or (H, W, 4), uint8 or float32 of any values. Channels are treated
            alike: premultiply an image whose alpha varies, else hidden colours bleed in.
    size:   (height, width) of the result.
    filter: "nearest", the pixel under the centre;
            "bilinear", two taps each way with the edge repeated, not antialiased (like OpenCV);
            "area", the exact mean of what each pixel of the result covers;
            "bicubic" (a = -1/2) or "lanczos3", antialiased where they shrink (like Pillow).
    dtype:  of the result; None for that of out, else that of image. "uint8" of a float32 image
            turns [0, 1] into 255ths as each row is made, rounded half up, values outside clamped,
            NaN 0. uint8 images stay uint8.
    out:    an array of the result's shape and dtype, apart from image.

    Returns uint8 rounded half up and clamped, or float32 not clipped: bicubic and lanczos3
    overshoot at edges. A NaN spreads to every pixel it has a part in.
    Agrees with oracles.resize bit for bit for uint8, whose weights have 14 bits: within 1 level of
    the exact sum where a pixel of the result draws on at most 24 each way, and for all but
    contrived images beyond. float32 agrees within (2 n + 4) 2^-24 of 2.56 times the largest value,
    n being the taps along the longer axis.
    Working memory: for each thread a row of image where the height shrinks, else as many rows of
    the result as one draws on (2 for bilinear), of 2 bytes (uint8) or 4 (float32) a value; and the
    weights, one axis at a time. None where uint8 halves exactly or nothing is resampled.
    Source: Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981.
    """
    return _core.resize(image, size, filter, dtype, out, threads)


def rgb_to_yuv(
    image: Image,
    *,
    matrix: YuvMatrix = "bt601",
    range: YuvRange = "limited",
    out: tuple[Image, Image, Image] | None = None,
    threads: int | None = None,
) -> tuple[Image, Image, Image]:
    """Make a frame of video of an image: I420, luma and chroma of half the size each way.

    image:  (H, W, 3) uint8 RGB, H and W even.
    matrix: "bt601" or "bt709".
    range:  "limited", Y 16..235 and chroma 16..240, or "full", 0..255.
    out:    planes (y, u, v) apart from image and from each other.

    Returns uint8 planes (y, u, v): y (H, W), u and v (H / 2, W / 2), each the mean of four pixels,
    in the middle of them. Weights are integers of 2^-20, and every sum is rounded half up once:
    a grey stays without colour, and white is white. Agrees with oracles.rgb_to_yuv bit for bit.
    Sources: ITU-R BT.601, BT.709.
    """
    return _core.rgb_to_yuv(image, matrix, range, out, threads)


@overload
def to_tensor(
    image: Frame,
    size: Size | None = None,
    *,
    crop: Box | None = None,
    letterbox: Colour | None = None,
    filter: Filter = "bilinear",
    scale: float = 1 / 255,
    mean: Sequence[float] = (0, 0, 0),
    std: Sequence[float] = (1, 1, 1),
    pixel_format: FrameFormat = "rgb",
    matrix: YuvMatrix = "bt601",
    range: YuvRange = "limited",
    layout: Layout = "nchw",
    dtype: Literal["float32"] | None = None,
    out: Tensor | None = None,
    threads: int | None = None,
) -> Tensor: ...


@overload
def to_tensor(
    image: Frame,
    size: Size | None = None,
    *,
    crop: Box | None = None,
    letterbox: Colour | None = None,
    filter: Filter = "bilinear",
    scale: float = 1 / 255,
    mean: Sequence[float] = (0, 0, 0),
    std: Sequence[float] = (1, 1, 1),
    pixel_format: FrameFormat = "rgb",
    matrix: YuvMatrix = "bt601",
    range: YuvRange = "limited",
    layout: Layout = "nchw",
    dtype: TensorDtype | None = None,
    out: AnyTensor | None = None,
    threads: int | None = None,
) -> AnyTensor: ...


def to_tensor(
    image: Frame,
    size: Size | None = None,
    *,
    crop: Box | None = None,
    letterbox: Colour | None = None,
    filter: Filter = "bilinear",
    scale: float = 1 / 255,
    mean: Sequence[float] = (0, 0, 0),
    std: Sequence[float] = (1, 1, 1),
    pixel_format: FrameFormat = "rgb",
    matrix: YuvMatrix = "bt601",
    range: YuvRange = "limited",
    layout: Layout = "nchw",
    dtype: TensorDtype | None = None,
    out: AnyTensor | None = None,
    threads: int | None = None,
) -> AnyTensor:
    """Make the tensor a network takes: cut, resampled, padded, then (x * scale - mean) / std.

    image:        (H, W, 3) uint8, or (H, W, 4) for "rgba" and "bgra", whose alpha is ignored. For
                  "nv12" and "i420" H and W are even, and image is one (H * 3 / 2, W) uint8 array,
                  C-contiguous for "i420", or its planes: (y, uv) with uv (H / 2, W / 2, 2) or
                  (H / 2, W), or (y, u, v) with u and v (H / 2, W / 2).
    size:         (h, w) to resample to, None for the image's own, or that of crop.
    crop:         (x, y, width, height), the part of image to take, None for all; even numbers for
                  "nv12" and "i420". The same as an image of only that part.
    letterbox:    (r, g, b) 0..255 to keep the image's aspect ratio and fill the rest of size with
                  this colour; None stretches. fastmatte.kernels.letterbox tells where it lies.
    filter:       "bilinear", two taps each way with the edge repeated and no antialiasing (the
                  resize of ONNX and OpenCV), or "area", the exact mean of the pixels covered.
    scale:        factor of the uint8 levels, finite.
    mean, std:    three finite numbers each, for R, G, B; std above 0.
    pixel_format: order of the image's channels, "nv12" or "i420".
    matrix:       of "nv12" and "i420": "bt601" as OpenCV takes it and webcams mostly give it, or
                  "bt709" as most video of 720 lines and more has it.
    range:        of "nv12" and "i420": "limited", Y 16..235 and chroma 16..240, or "full", 0..255.
    layout:       "nchw" for planes, "nhwc" for interleaved pixels.
    dtype:        of the result, "float32" or "float16"; None for that of out, else float32.
    out:          C-contiguous, of the result's shape and dtype, apart from image.

    Returns (1, 3, h, w) or (1, h, w, 3), channels always R, G, B. Resampled levels are not rounded
    to integers before they are scaled, so this is normalise-then-resize too. float16 is the float32
    result rounded to nearest, ties to even, infinite beyond 65504.
    "nv12" and "i420": each plane is resampled to the result's size by filter, then converted and
    clamped to 0..255. A chroma sample lies in the middle of its four pixels, as in JPEG and MPEG-1;
    video with chroma on the left is seen half a pixel of image off in colour alone. "area" at full
    size repeats chroma like OpenCV, "bilinear" interpolates it.
    Raises ValueError for any other filter: the antialiased ones are fastmatte.kernels.resize's.
    Agrees with oracles.to_tensor within (2 n + 4) 2^-24 of (255 scale + |mean|) / std, n being the
    pixels of image that one of the result covers along either axis; from YUV within 4 times that.
    Working memory for each thread, in float32: for "area" a row of image and one of the result; for
    "nhwc" and float16 six planes' rows of the result; from YUV a row of each plane (two of the
    result where it grows) and three of the result. Once: the weights of each axis, and for "nv12"
    its chroma, in uint8.
    Sources: ITU-R BT.601, BT.709.
    """
    return _core.to_tensor(
        image,
        size,
        crop,
        letterbox,
        filter,
        scale,
        mean,
        std,
        pixel_format,
        matrix,
        range,
        layout,
        dtype,
        out,
        threads,
    )


def trimap(
    alpha: AnyAlpha,
    *,
    radius: int = 7,
    low: float = 0.05,
    high: float = 0.95,
    out: Image | None = None,
    threads: int | None = None,
) -> Image:
    """Mark what is surely background, surely foreground, or for a trimap network to find out.

    alpha:     (H, W) float32 in [0, 1], or uint8 in 255ths.
    radius:    half-size in pixels of the square around each pixel that must agree, at least 0. The
               unknown band is twice as wide as that and more; 7 suits photographs of some two
               megapixels.
    low, high: 0 <= low < high <= 1, rounded to float32 as alpha is.
    out:       (H, W) uint8, apart from alpha.

    Returns (H, W) uint8: 0 where the square holds nothing above low, 255 where it holds nothing
    below high, 128 everywhere else. What lies outside the image has no say: a person cut off by the
    border stays foreground there. The time hardly grows with radius. Takes four rows of memory, up
    to 2 * radius wider than alpha, for each thread, and 2 * radius + 1 more where those are at most
    256 KiB. Agrees with oracles.trimap bit for bit.
    Raises ValueError where low is not below high or alpha leaves [0, 1] (NaN included).
    """
    return _core.trimap(alpha, radius, low, high, out, threads)


def unpremultiply(rgba: Image, *, out: Image | None = None, threads: int | None = None) -> Image:
    """Divide colours by alpha: the inverse of premultiply as far as 8 bits allow.

    rgba: (H, W, 4) uint8, premultiplied alpha.
    out:  (H, W, 4) uint8; may be rgba itself.

    Returns (H, W, 4) uint8, rounded half up and at most 255; colour (0, 0, 0) where alpha is 0.
    Takes no memory beyond out. Agrees with oracles.unpremultiply bit for bit.
    """
    return _core.unpremultiply(rgba, out, threads)


def yuv_to_rgb(
    image: Frame,
    *,
    pixel_format: Literal["i420", "nv12"] = "i420",
    matrix: YuvMatrix = "bt601",
    range: YuvRange = "limited",
    out: Image | None = None,
    threads: int | None = None,
) -> Image:
    """Make an image of a frame of video.

    image, pixel_format, matrix, range: as to_tensor takes them.
    out: (H, W, 3) uint8, apart from image.

    Returns (H, W, 3) uint8 RGB: what to_tensor gives at full size with filter "bilinear", rounded
    half up. Chroma is interpolated, nine, three, three and one sixteenths of the four samples
    nearest; weights are integers of 2^-20, and every sum is rounded and clamped once.
    Agrees with oracles.yuv_to_rgb bit for bit.
    Working memory: for "nv12" four rows of chroma a thread.
    Sources: ITU-R BT.601, BT.709.
    """
    return _core.yuv_to_rgb(image, pixel_format, matrix, range, out, threads)
