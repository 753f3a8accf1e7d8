"""What people run today for each kernel's job: the same inputs, the same result.

Libraries are imported where they are used. Who measures asks installed() first.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from fastmatte.arrays import Alpha, Array, Filter, Image, Size, Tensor


@cache
def installed(library: str) -> bool:
    """Return whether a library, or a part of one, can be imported."""
    try:
        import_module(library)
    except ImportError:
        return False
    return True


def use_threads(count: int) -> None:
    """Let OpenCV work on so many threads; NumPy, Pillow and PyMatting have one."""
    if installed("cv2"):
        _cv2().setNumThreads(count)


def _cv2() -> Any:
    return import_module("cv2")


def yuv_to_rgb_cv2(frame: Image) -> Array:
    cv2 = _cv2()
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12))


def rgb_to_yuv_cv2(image: Image) -> Array:
    cv2 = _cv2()
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420))


def composite_numpy(foreground: Image, background: Image, alpha: Alpha) -> Image:
    a = alpha[..., None]
    return (foreground * a + background * (1 - a) + np.float32(0.5)).astype(np.uint8)


def composite_cv2(foreground: Image, background: Image, alpha: Alpha) -> Array:
    return np.asarray(_cv2().blendLinear(foreground, background, alpha, 1 - alpha))


def composite_in_place_cv2(foreground: Image, background: Image, alpha: Alpha) -> Array:
    return np.asarray(_cv2().blendLinear(foreground, background, alpha, 1 - alpha, foreground))


@cache
def _light_tables() -> tuple[Array, Array]:
    """Light by level, and level by light in 65535ths."""
    level = np.arange(256) / 255
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    linear = np.arange(65536) / 65535
    back = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return light.astype(np.float32), (255 * back + 0.5).astype(np.uint8)


def composite_light_numpy(foreground: Image, background: Image, alpha: Alpha) -> Image:
    """A table for each way, as those write it who care for time."""
    light, level = _light_tables()
    a = alpha[..., None]
    mixed = light[foreground] * a + light[background] * (1 - a)
    composite: Image = level[(mixed * np.float32(65535) + np.float32(0.5)).astype(np.uint16)]
    return composite


def cutout_numpy(foreground: Image, alpha: Alpha) -> Image:
    return np.dstack([foreground, quantise_numpy(alpha)])


def quantise_numpy(alpha: Alpha) -> Image:
    return (alpha * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def premultiply_numpy(rgba: Image) -> Image:
    out = rgba.copy()
    out[..., :3] = (rgba[..., :3].astype(np.uint16) * rgba[..., 3:] + 127) // 255
    return out


def unpremultiply_numpy(rgba: Image) -> Image:
    out = rgba.copy()
    alpha = rgba[..., 3:].astype(np.uint16)
    colour = (rgba[..., :3].astype(np.uint16) * 255 + alpha // 2) // np.maximum(alpha, 1)
    out[..., :3] = np.where(alpha == 0, 0, np.minimum(colour, 255))
    return out


def to_tensor_numpy64(image: Image) -> Tensor:
    """As it is written most: the division is in float64."""
    return np.ascontiguousarray((image / 255).transpose(2, 0, 1), np.float32)[None]


def to_tensor_numpy(image: Image) -> Tensor:
    planes = (image.astype(np.float32) * np.float32(1 / 255)).transpose(2, 0, 1)
    return np.ascontiguousarray(planes)[None]


def to_tensor_numpy16(image: Image) -> Array:
    return to_tensor_numpy(image).astype(np.float16)


def to_tensor_cv2(image: Image, size: Size, filter: Filter) -> Tensor:
    """cv2.resize, which rounds to uint8, then NumPy."""
    return to_tensor_numpy(resize_cv2(image, size, filter))


def to_tensor_cv2_nv12(frame: Image, size: Size, filter: Filter) -> Tensor:
    """cv2.cvtColor first, then as for any image."""
    cv2 = _cv2()
    return to_tensor_cv2(cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV12), size, filter)


def to_tensor_blob(image: Image, size: Size, filter: Filter) -> Array:
    """Bilinear is all it knows."""
    return np.asarray(_cv2().dnn.blobFromImage(image, 1 / 255, size[::-1]))


def from_tensor_numpy(tensor: Tensor) -> Image:
    levels = np.clip(tensor[0], 0, 1) * np.float32(255) + np.float32(0.5)
    return np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0))


def composite_tensor_numpy(tensor: Tensor, background: Image, alpha: Alpha) -> Image:
    return composite_numpy(from_tensor_numpy(tensor), background, alpha)


def resize_cv2(image: Array, size: Size, filter: Filter) -> Any:
    cv2 = _cv2()
    modes = {
        "nearest": cv2.INTER_NEAREST_EXACT,
        "bilinear": cv2.INTER_LINEAR,
        "area": cv2.INTER_AREA,
    }
    return cv2.resize(image, size[::-1], interpolation=modes[filter])


def resize_to_bytes_cv2(image: Alpha, size: Size, filter: Filter) -> Array:
    """convertScaleAbs rounds and clamps in one pass over the resized alpha."""
    return np.asarray(_cv2().convertScaleAbs(resize_cv2(image, size, filter), alpha=255))


def resize_pillow(image: Array, size: Size, filter: Filter) -> Array:
    """Includes fromarray, which copies: what a caller with an array pays."""
    pillow = import_module("PIL.Image")
    modes = {"bicubic": pillow.Resampling.BICUBIC, "lanczos3": pillow.Resampling.LANCZOS}
    return np.asarray(pillow.fromarray(image).resize(size[::-1], modes[filter]))


def guided_filter_cv2(
    guide: Image, alpha: Alpha, radius: int, eps: float, scale: float = 1
) -> Array:
    # Its guide is in 0..255, and with it eps.
    module = import_module("cv2.ximgproc")
    return np.asarray(module.guidedFilter(guide, alpha, radius, eps * 255**2, scale=scale))


def guided_upsample_cv2(guide: Image, alpha: Alpha, radius: int, eps: float) -> Array:
    """What users write who have guidedFilter alone: grow, then filter at a quarter of the size."""
    grown = _cv2().resize(alpha, guide.shape[1::-1])
    scale = 0.25
    return guided_filter_cv2(guide, grown, round(radius / scale), eps, scale)


def estimate_foreground_cv2(image: Image, alpha: Alpha) -> Image:
    """Blur fusion as it is usually written: float32 and OpenCV's box filter, the same windows."""
    blur = _cv2().blur
    a = alpha[..., None]
    f = b = i = image.astype(np.float32)
    for size in (91, 7):
        mean_a = blur(alpha, (size, size))[..., None]
        blurred_f = blur(f * a, (size, size)) / (mean_a + np.float32(1e-5))
        b = blur(b * (1 - a), (size, size)) / (1 - mean_a + np.float32(1e-5))
        f = np.clip(blurred_f + a * (i - a * blurred_f - (1 - a) * b), 0, 255)
    return np.asarray(f + np.float32(0.5)).astype(np.uint8)


def estimate_foreground_pymatting(image: Image, alpha: Alpha) -> Image:
    estimate = import_module("pymatting").estimate_foreground_ml
    colours = estimate(image * np.float32(1 / 255), alpha)
    return np.asarray(colours * 255 + 0.5).astype(np.uint8)


def _square(radius: int) -> Image:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def erode_cv2(alpha: Image, radius: int) -> Array:
    return np.asarray(_cv2().erode(alpha, _square(radius)))


def dilate_cv2(alpha: Image, radius: int) -> Array:
    return np.asarray(_cv2().dilate(alpha, _square(radius)))


def trimap_cv2(alpha: Image, radius: int) -> Image:
    """One erosion, one dilation, and thresholds: 0.05 and 0.95 in 255ths."""
    sure, possible = erode_cv2(alpha, radius) >= 243, dilate_cv2(alpha, radius) > 12
    return np.where(sure, np.uint8(255), np.where(possible, np.uint8(128), np.uint8(0)))


def motion_adaptive_filter_cv2(
    before: Image, image: Image, alpha_before: Alpha, alpha: Alpha
) -> Array:
    """With the parameters that are the kernel's default."""
    cv2 = _cv2()
    differences = cv2.absdiff(image, before).max(-1).astype(np.float32)
    means = cv2.blur(differences, (9, 9), borderType=cv2.BORDER_REPLICATE)
    change = alpha - alpha_before
    motion, jump = (means - 5) / 9, (np.abs(change) - np.float32(0.5)) / np.float32(0.4)
    gate = np.clip(np.maximum(motion, jump), 0, 1)
    return np.asarray(alpha_before + (np.float32(0.3) + np.float32(0.7) * gate) * change)


def one_frame_delay_numpy(before: Alpha, alpha: Alpha, after: Alpha) -> Array:
    most = np.float32(0.1)
    alike = np.abs(before - after) <= most
    alone = alike & (np.abs(alpha - before) > most) & (np.abs(alpha - after) > most)
    return np.where(alone, (before + after) / 2, alpha)


def blur_cv2(image: Image, sigma: float) -> Array:
    return np.asarray(_cv2().GaussianBlur(image, (0, 0), sigma))


def blur_pillow(image: Image, sigma: float) -> Array:
    """Three box filters, each rounded."""
    pillow = import_module("PIL.Image")
    gaussian = import_module("PIL.ImageFilter").GaussianBlur(sigma)
    return np.asarray(pillow.fromarray(image).filter(gaussian))
