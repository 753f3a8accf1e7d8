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
