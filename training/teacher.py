"""The soft teacher: MediaPipe Selfie Segmentation (Apache-2.0), averaged over flips."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

MODEL = Path("models/mediapipe_selfie_256_nchw.onnx")

#: A cut-out by the teacher's word is refused where more of the picture than this is undecided.
UNSURE = 0.12
#: And where a person takes up less, or more, of the picture.
LEAST, MOST = 0.15, 0.9


class Teacher:
    """Says roughly where a person is: good for regions, never to be trusted at edges."""

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


def cutout(image: NDArray[np.uint8], label: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Return an RGBA cut-out of a photograph by its label, None where the label is no good.

    Over another background its alpha is exact by construction, wherever its outline lies: what a
    network learns from it is what people look like, not where their edges are.
    """
    if not LEAST < label.mean() < MOST or ((label > 0.2) & (label < 0.8)).mean() > UNSURE:
        return None
    sure = (label > 0.5).astype(np.uint8)
    # One person, without islands.
    count, parts, areas, _ = cv2.connectedComponentsWithStats(sure)
    if count < 2:
        return None
    largest = 1 + int(areas[1:, cv2.CC_STAT_AREA].argmax())
    near = cv2.dilate((parts == largest).astype(np.uint8), np.ones((9, 9), np.uint8))
    # A little tighter than the label, so that less of the old background comes along.
    alpha = ((label - 0.4) / 0.5).clip(0, 1).astype(np.float32) * near
    weight = (alpha > 0.95).astype(np.float32)
    # At the edge, colours from well inside the person.
    blur = (
        cv2.blur(image * weight[..., None], (15, 15))
        / np.maximum(cv2.blur(weight, (15, 15)), 1e-3)[..., None]
    )
    known = (cv2.blur(weight, (15, 15)) > 0.02)[..., None]
    colours = np.where((weight > 0)[..., None] | ~known, image, blur).clip(0, 255)
    return np.dstack([colours, alpha * 255]).astype(np.uint8)
