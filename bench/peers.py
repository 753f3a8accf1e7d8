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


def cutout_numpy(foreground, alpha):
    return np.dstack([foreground, (alpha * 255 + 0.5).astype(np.uint8)])


def premultiply_numpy(rgba):
    out = rgba.copy()
    out[..., :3] = (rgba[..., :3].astype(np.uint16) * rgba[..., 3:] + 127) // 255
    return out


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


def blur_cv2(image, sigma):
    return cv2().GaussianBlur(image, (0, 0), sigma)


def blur_pillow(image, sigma):
    module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    filters = pytest.importorskip("PIL.ImageFilter", reason="Pillow is not installed")
    return np.asarray(module.fromarray(image).filter(filters.GaussianBlur(sigma)))
