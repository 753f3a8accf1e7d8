"""fastmatte: alpha and true foreground colour of a person or thing, fast."""

from __future__ import annotations

from fastmatte import cpu, kernels
from fastmatte._core import MAX_PIXELS, __version__
from fastmatte.errors import EngineError, FastmatteError, ModelError

__all__ = [
    "MAX_PIXELS",
    "EngineError",
    "FastmatteError",
    "ModelError",
    "__version__",
    "cpu",
    "kernels",
]
