"""Inference engines: the registry, and the choice among them.

Each engine is one module with a `requirement` (the command that installs it), `version()` and
`open()`; nothing heavy is imported before a model is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fastmatte.engines import onnxruntime
from fastmatte.engines.base import Binding, Engine, EngineKind, Signature, TensorInfo

EngineName = Literal["auto", "onnxruntime"]
Precision = Literal["auto", "fp32"]

#: In the order in which engine="auto" prefers them.
ENGINES: dict[str, EngineKind] = {"onnxruntime": onnxruntime}

__all__ = [
    "ENGINES",
    "Binding",
    "Engine",
    "EngineKind",
    "EngineName",
    "Precision",
    "Signature",
    "TensorInfo",
    "open_engine",
]


def open_engine(path: Path, *, engine: str, precision: str, threads: int) -> Engine:
    """Load a model with the engine named, or with the first one installed for "auto".

    Raises ValueError for an unknown name, EngineError for one that is not installed.
    """
    if engine != "auto" and engine not in ENGINES:
        expected = ", ".join(repr(name) for name in ["auto", *ENGINES])
        raise ValueError(f"engine: expected one of {expected}, got {engine!r}")
    if precision not in ("auto", "fp32"):
        raise ValueError(f"precision: expected one of 'auto', 'fp32', got {precision!r}")
    names = [n for n in ENGINES if ENGINES[n].version()] if engine == "auto" else [engine]
    kind = ENGINES[names[0]] if names else onnxruntime
    return kind.open(path, precision=precision, threads=threads)
