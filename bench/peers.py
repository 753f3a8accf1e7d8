"""What users run today for each kernel's job, one thread each. A missing library skips its row."""

from __future__ import annotations

import numpy as np
import pytest


def cv2():
    module = pytest.importorskip("cv2", reason="opencv-contrib-python-headless is not installed")
    module.setNumThreads(1)
    return module


def memcpy(*arrays):
    """Copy as many bytes as the job reads: the ceiling that memory sets."""
    copies = [np.empty_like(array) for array in arrays]

    def run():
        for copy, array in zip(copies, arrays, strict=True):
            np.copyto(copy, array)

    return run


def composite_numpy(foreground, background, alpha):
    a = alpha[..., None]
    return (foreground * a + background * (1 - a) + 0.5).astype(np.uint8)


def composite_cv2(foreground, background, alpha):
    return cv2().blendLinear(foreground, background, alpha, 1 - alpha)


def composite_light_numpy(foreground, background, alpha):
    """A table for each way, as those write it who care for time."""
    v = np.arange(256) / 255
    light = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4).astype(np.float32)
    linear = np.arange(65536) / 65535
    level = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    level = (255 * level + 0.5).astype(np.uint8)
    a = alpha[..., None]
    mixed = light[foreground] * a + light[background] * (1 - a)
    return level[(mixed * 65535 + 0.5).astype(np.uint16)]


def cutout_numpy(foreground, alpha):
    return np.dstack([foreground, (alpha * 255 + 0.5).astype(np.uint8)])


def quantise_numpy(alpha):
    return (alpha * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def premultiply_numpy(rgba):
    out = rgba.copy()
    out[..., :3] = (rgba[..., :3].astype(np.uint16) * rgba[..., 3:] + 127) // 255
    return out


def unpremultiply_numpy(rgba):
    out = rgba.copy()
    alpha = rgba[..., 3:].astype(np.uint16)
    colour = (rgba[..., :3].astype(np.uint16) * 255 + alpha // 2) // np.maximum(alpha, 1)
    out[..., :3] = np.where(alpha == 0, 0, np.minimum(colour, 255))
    return out


def square(radius):
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def erode_cv2(alpha, radius):
    return cv2().erode(alpha, square(radius))


def trimap_cv2(alpha, radius, low, high):
    """One erosion, one dilation, and their thresholds."""
    sure = cv2().erode(alpha, square(radius)) >= high
    possible = cv2().dilate(alpha, square(radius)) > low
    return np.where(sure, 255, np.where(possible, 128, 0)).astype(np.uint8)


def to_tensor_numpy(image):
    return np.ascontiguousarray((image.astype(np.float32) * (1 / 255)).transpose(2, 0, 1))[None]


def to_tensor_numpy_divided(image):
    """As it is mostly written: dividing uint8 makes float64."""
    return np.ascontiguousarray((image / 255).astype(np.float32).transpose(2, 0, 1))[None]


def to_tensor_cv2_nv12(frame, size, filter):
    """cvtColor, then as for any image."""
    image = cv2().cvtColor(frame, cv2().COLOR_YUV2RGB_NV12)
    return to_tensor_numpy(image if size is None else resize_cv2(image, size, filter))


def to_tensor_cv2_resize(image, size, filter):
    """cv2.resize, then NumPy; the resized image is rounded to uint8."""
    return to_tensor_numpy(resize_cv2(image, size, filter))


def to_tensor_cv2_blob(image, size, filter):
    assert filter == "bilinear", "blobFromImage knows no other"
    return cv2().dnn.blobFromImage(image, 1 / 255, size[::-1])


def resize_cv2(image, size, filter):
    module = cv2()
    modes = {
        "nearest": module.INTER_NEAREST_EXACT,
        "bilinear": module.INTER_LINEAR,
        "area": module.INTER_AREA,
    }
    return module.resize(image, size[::-1], interpolation=modes[filter])


def resize_to_levels_cv2(image, size, filter):
    """convertScaleAbs rounds and clamps in one pass over the resized alpha."""
    return cv2().convertScaleAbs(resize_cv2(image, size, filter), alpha=255)


def estimate_foreground_cv2(image, alpha):
    """Blur fusion as it is usually written: float32 and OpenCV's box filter, the same windows."""
    blur = cv2().blur
    a = alpha[..., None]
    f = b = i = image.astype(np.float32)
    for size in (91, 7):
        mean_a = blur(alpha, (size, size))[..., None]
        blurred_f = blur(f * a, (size, size)) / (mean_a + 1e-5)
        b = blur(b * (1 - a), (size, size)) / (1 - mean_a + 1e-5)
        f = np.clip(blurred_f + a * (i - a * blurred_f - (1 - a) * b), 0, 255)
    return (f + 0.5).astype(np.uint8)


def estimate_foreground_pymatting(image, alpha):
    module = pytest.importorskip("pymatting", reason="pymatting is not installed")
    return module.estimate_foreground_ml(image / 255.0, alpha.astype(np.float64))


def ximgproc():
    cv2()
    return pytest.importorskip("cv2.ximgproc", reason="opencv-contrib is not installed")


def guided_filter_cv2(guide, alpha, radius, eps, scale=1.0):
    # Its guide is in 0..255, and with it eps.
    return ximgproc().guidedFilter(guide, alpha, radius, eps * 255**2, scale=scale)


def guided_upsample_cv2(guide, alpha, radius, eps):
    """What users write who have guidedFilter alone: grow, then filter with coefficients at the
    small alpha's scale."""
    height, width = guide.shape[:2]
    grown = cv2().resize(alpha, (width, height))
    scale = alpha.shape[1] / width
    return guided_filter_cv2(guide, grown, round(radius / scale), eps, scale)


def grow_cv2(guide, alpha):
    return cv2().resize(alpha, guide.shape[1::-1])


def resize_pillow(image, size, filter):
    """Includes fromarray, which copies: what a caller with an array pays."""
    module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    modes = {
        "nearest": module.Resampling.NEAREST,
        "bicubic": module.Resampling.BICUBIC,
        "lanczos3": module.Resampling.LANCZOS,
    }
    return np.asarray(module.fromarray(image).resize(size[::-1], modes[filter]))


def from_tensor_numpy(tensor):
    return (np.clip(tensor[0], 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0).copy()


def blur_cv2(image, sigma):
    return cv2().GaussianBlur(image, (0, 0), sigma)


def blur_pillow(image, sigma):
    module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    filters = pytest.importorskip("PIL.ImageFilter", reason="Pillow is not installed")
    return np.asarray(module.fromarray(image).filter(filters.GaussianBlur(sigma)))


def mad_numpy(alpha, truth):
    return np.abs(alpha - truth).mean(dtype=np.float64)


def grad_cv2(alpha, truth):
    """Both derivatives as separable filters."""
    x = np.arange(-4, 5)
    g = np.exp(-(x**2) / (2 * 1.4**2))
    smooth, slope = g / np.linalg.norm(g), -x * g / np.linalg.norm(x * g)

    def magnitude(values):
        across, down = (
            cv2().sepFilter2D(values, -1, *taps, borderType=cv2().BORDER_REPLICATE)
            for taps in ((slope, smooth), (smooth, slope))
        )
        return np.hypot(across, down)

    d = magnitude(alpha) - magnitude(truth)
    return np.square(d).sum(dtype=np.float64) / 1000


def conn_cv2(alpha, truth):
    """The loop over thresholds that ports of the evaluation code have."""
    steps = (np.arange(11) / 10).astype(np.float32)
    connected = np.full(alpha.shape, -1, np.float32)
    for i in range(1, 11):
        inside = ((alpha >= steps[i]) & (truth >= steps[i])).astype(np.uint8)
        _, labels, stats, _ = cv2().connectedComponentsWithStats(inside, connectivity=4)
        source = labels == 1 + np.argmax(stats[1:, -1]) if len(stats) > 1 else inside > 0
        connected[(connected == -1) & ~source] = steps[i - 1]
    connected[connected == -1] = 1
    phi = [1 - d * (d >= np.float32(0.15)) for d in (alpha - connected, truth - connected)]
    return np.abs(phi[0] - phi[1]).sum(dtype=np.float64) / 1000


#: By the name of the metric.
METRICS = {"mad": mad_numpy, "grad": grad_cv2, "conn": conn_cv2}
