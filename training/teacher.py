"""The soft teacher, MediaPipe Selfie Segmentation (Apache-2.0), and cut-outs by its word."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image
from pymatting import estimate_alpha_cf, estimate_foreground_ml

MODEL = Path("models/mediapipe_selfie_256_nchw.onnx")

#: A cut-out is refused where more of the picture than this is left open by the label,
UNSURE = 0.3
#: or undecided after matting.
UNDECIDED = 0.06
#: And where a person takes up less, or more, of the picture.
LEAST, MOST = 0.15, 0.9


class Teacher:
    """Says roughly where a person is, averaged over flips: good for regions, never at edges."""

    def __init__(self, data: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            data / MODEL, options, providers=["CPUExecutionProvider"]
        )

    def label(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the alpha of an (H, W, 3) image, (H, W) in [0, 1]."""
        height, width = image.shape[:2]
        small = np.asarray(Image.fromarray(image).resize((256, 256), Image.Resampling.BOX))
        planes = (small.transpose(2, 0, 1)[None] / 255).astype(np.float32)
        both = np.concatenate([planes, planes[..., ::-1]])
        alphas = [self._session.run(None, {"pixel_values": one[None]})[0][0, 0] for one in both]
        mean = (alphas[0] + alphas[1][:, ::-1]) / 2
        large = Image.fromarray(mean).resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(large, np.float32).clip(0, 1)


def trimap(label: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return where a label may be believed: 1, 0, and 0.5 around every edge and doubt."""

    def eroded(sure: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
        side = 2 * round(share * len(label)) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        return np.asarray(cv2.erode(sure.astype(np.uint8), disc, borderValue=1)) > 0

    found = np.full(label.shape, 0.5)
    found[eroded(label > 0.85, 0.03)] = 1
    found[eroded(label < 0.15, 0.035)] = 0
    return found


def cutout(image: NDArray[np.uint8], label: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Return an RGBA cut-out of a photograph by its label, None where the label is no good.

    Closed-form matting decides what the label leaves open: hair as it is, edges where they are.
    Over another background this alpha is exact by construction.
    """
    known = trimap(label)
    if not LEAST < label.mean() < MOST or (known == 0.5).mean() > UNSURE:
        return None
    # One person, without islands.
    count, parts, areas, _ = cv2.connectedComponentsWithStats((known > 0).astype(np.uint8))
    largest = 1 + int(areas[1:, cv2.CC_STAT_AREA].argmax()) if count > 1 else 1
    known[parts != largest] = 0
    if not (known == 1).any() or not (known == 0).any():
        return None
    colours = image / 255
    with warnings.catch_warnings():
        # A poorer preconditioner than it would like only makes it slower.
        warnings.simplefilter("ignore")
        alpha = estimate_alpha_cf(colours, known)
    # What it leaves undecided all over is neither hair nor blur.
    alpha = ((alpha - 0.03) / 0.94).clip(0, 1)
    if ((alpha > 0.1) & (alpha < 0.9)).mean() > UNDECIDED:
        return None
    foreground = estimate_foreground_ml(colours, alpha)
    rgba = np.dstack([foreground, alpha])
    return np.asarray((rgba * 255 + 0.5).clip(0, 255), np.uint8)
