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


def to_tensor_numpy(image):
    return np.ascontiguousarray((image.astype(np.float32) * (1 / 255)).transpose(2, 0, 1))[None]


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
