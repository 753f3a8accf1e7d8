"""What fastmatte raises besides ValueError and TypeError for bad arguments.

FastmatteError
├── EngineError   an engine is missing, refused a model, or failed while running it
└── ModelError    a model file is missing, broken, or of a family nobody named
"""

from __future__ import annotations


class FastmatteError(Exception):
    """Anything that went wrong outside the caller's own arguments."""


class EngineError(FastmatteError):
    """An inference engine is missing, refused a model, or failed; carries the engine's own text."""


class ModelError(FastmatteError):
    """A model cannot be used: no such file, not ONNX, or no known family of networks."""
