"""The soft teacher: MediaPipe Selfie Segmentation (Apache-2.0), averaged over flips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

MODEL = Path("models/mediapipe_selfie_256_nchw.onnx")


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
