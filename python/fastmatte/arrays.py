"""Names for the arrays that cross the public API, and for the strings that say what they hold."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: (H, W, 3) or, where a function says so, (H, W, 4) uint8.
Image = NDArray[np.uint8]
#: (H, W) float32 in [0, 1].
Alpha = NDArray[np.float32]
#: (H, W) float32 in [0, 1], or uint8 in 255ths.
AnyAlpha = NDArray[np.float32] | NDArray[np.uint8]
#: (1, C, H, W) or (1, H, W, C) float32.
Tensor = NDArray[np.float32]
#: The same of the dtype of a network's input, float32 or float16.
AnyTensor = NDArray[np.float32] | NDArray[np.float16]

#: An image or alpha whose dtype, uint8 or float32, is also that of the result.
Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.float32])

Colour = tuple[int, int, int]
#: (height, width)
Size = tuple[int, int]
#: (x, y, width, height)
Box = tuple[int, int, int, int]
PixelFormat = Literal["rgb", "bgr", "rgba", "bgra"]
#: A frame as cameras and decoders have it: one array, or the planes (y, uv) or (y, u, v).
Frame = Image | tuple[Image, Image] | tuple[Image, Image, Image]
FrameFormat = Literal["rgb", "bgr", "rgba", "bgra", "nv12", "i420"]
YuvMatrix = Literal["bt601", "bt709"]
YuvRange = Literal["limited", "full"]
Layout = Literal["nchw", "nhwc"]
Filter = Literal["nearest", "bilinear", "area", "bicubic", "lanczos3"]
ForegroundMethod = Literal["blur_fusion", "multilevel"]
AlphaDtype = Literal["float32", "uint8"]
TensorDtype = Literal["float32", "float16"]
