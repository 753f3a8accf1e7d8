"""What fastmatte raises besides ValueError and TypeError for bad arguments.

FastmatteError
├── DeviceError        no driver or GPU is there, or CUDA refused
│   └── DeviceMemoryError  it has less memory than was wanted
├── EngineError   an engine is missing, refused a model, or failed while running it
├── ImageError    an image file is empty, broken, too large, or not an image
├── ModelError    a model file is missing, broken, or of a family nobody named
└── VideoError    a video cannot be read or written, or what does so is not installed
"""

from __future__ import annotations


class FastmatteError(Exception):
    """Anything that went wrong outside the caller's own arguments."""


class DeviceError(FastmatteError):
    """There is no GPU to run on, or CUDA failed; carries what is missing or CUDA's own text."""


class DeviceMemoryError(DeviceError):
    """A device has less memory than was wanted; the message has the bytes wanted and free."""


class EngineError(FastmatteError):
    """An inference engine is missing, refused a model, or failed; carries the engine's own text."""


class ImageError(FastmatteError):
    """An image file cannot be used: empty, broken, cut short, too large, or no image at all."""


class ModelError(FastmatteError):
    """A model cannot be used: no such file, not ONNX, or no known family of networks."""


class VideoError(FastmatteError):
    """A video cannot be read or written: broken, of no known codec, or PyAV is missing."""
