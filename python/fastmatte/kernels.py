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

from fastmatte import _core
from fastmatte.arrays import AnyAlpha, Colour, ForegroundMethod, Image

__all__ = ["blur", "composite", "cutout", "estimate_foreground", "premultiply", "unpremultiply"]


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
    Raises ValueError where sizes differ, sigma is out of range or weight leaves [0, 1].
    """
    return _core.blur(image, sigma, weight, out, threads)


def composite(
    foreground: Image,
    background: Image | Colour,
    alpha: AnyAlpha,
    *,
    out: Image | None = None,
    threads: int | None = None,
) -> Image:
    """Lay foreground over background: alpha * foreground + (1 - alpha) * background.

    foreground: (H, W, 3) uint8, straight (not premultiplied) colours.
    background: (H, W, 3) uint8, or one colour of three integers 0..255 in foreground's order.
    alpha:      (H, W) float32 in [0, 1], or uint8 in 255ths.
    out:        (H, W, 3) uint8; may be foreground or background itself.

    Returns (H, W, 3) uint8, rounded half up. Exact for uint8 alpha; float32 alpha is first rounded
    to 16 bits. Agrees with oracles.composite bit for bit.
    Raises ValueError where sizes differ or alpha leaves [0, 1] (NaN included).
    Source: Porter and Duff, Compositing Digital Images, 1984, "over".
    """
    return _core.composite(foreground, background, alpha, out, threads)


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
    Raises ValueError where sizes differ or alpha leaves [0, 1] (NaN included).
    """
    return _core.cutout(foreground, alpha, out, threads)


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
    out:    (H, W, 3) uint8, apart from both inputs.

    Returns (H, W, 3) uint8. Where alpha rounds to 0 or 255 the colour is the image's own: under 255
    it is the foreground, under 0 no compositing shows it. Time grows with the pixels in between.
    Raises ValueError where sizes differ or alpha leaves [0, 1] (NaN included).
    Source: Forte, Approximate Fast Foreground Colour Estimation, ICIP 2021, applied twice.
    Agrees with oracles.estimate_foreground bit for bit.
    """
    return _core.estimate_foreground(image, alpha, method, out, threads)


def premultiply(rgba: Image, *, out: Image | None = None, threads: int | None = None) -> Image:
    """Multiply colours by alpha.

    rgba: (H, W, 4) uint8, straight alpha.
    out:  (H, W, 4) uint8; may be rgba itself.

    Returns (H, W, 4) uint8, rounded half up; agrees with oracles.premultiply bit for bit.
    """
    return _core.premultiply(rgba, out, threads)


def unpremultiply(rgba: Image, *, out: Image | None = None, threads: int | None = None) -> Image:
    """Divide colours by alpha: the inverse of premultiply as far as 8 bits allow.

    rgba: (H, W, 4) uint8, premultiplied alpha.
    out:  (H, W, 4) uint8; may be rgba itself.

    Returns (H, W, 4) uint8, rounded half up and at most 255; colour (0, 0, 0) where alpha is 0.
    Agrees with oracles.unpremultiply bit for bit.
    """
    return _core.unpremultiply(rgba, out, threads)
