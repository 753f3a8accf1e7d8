"""Inference engines: the registry, and the choice among them.

Each engine is one module with a `requirement` (the command that installs it), `version()`,
`reservation()` and `open()`; nothing heavy is imported before a model is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from fastmatte.engines import onnxruntime, onnxruntime_cuda, openvino, tensorrt
from fastmatte.engines.base import (
    Binding,
    Compiler,
    DeviceEngine,
    Engine,
    EngineKind,
    Signature,
    TensorInfo,
)
from fastmatte.engines.engine_file import SUFFIX
from fastmatte.errors import EngineError, FastmatteError, ModelError

EngineName = Literal["auto", "onnxruntime", "openvino", "cuda", "tensorrt"]
Precision = Literal["auto", "fp32", "fp16", "bf16", "int8"]

#: In the order in which engine="auto" prefers them. On an x86-64 server OpenVINO in fp32 took from
#: half to all of the time that ONNX Runtime took for all networks but one: bench/study_engines.py.
#: tensorrt runs what was built for it, and nothing else runs that; cuda is asked for by name.
ENGINES: dict[str, EngineKind] = {
    "openvino": openvino,
    "onnxruntime": onnxruntime,
    "cuda": onnxruntime_cuda,
    "tensorrt": tensorrt,
}
#: Those that run files which have to be built of ONNX files.
COMPILERS: dict[str, Compiler] = {"tensorrt": tensorrt}

#: Those that take a device.
ON_GPU = ("cuda", "tensorrt")

__all__ = [
    "COMPILERS",
    "ENGINES",
    "ON_GPU",
    "Binding",
    "Compiler",
    "DeviceEngine",
    "Engine",
    "EngineKind",
    "EngineName",
    "Precision",
    "Signature",
    "TensorInfo",
    "open_engine",
]


def open_engine(
    path: Path, *, engine: str, precision: str, threads: int, strict: bool = False
) -> tuple[Engine, str]:
    """Load a model with the engine named; for "auto" with the first that is installed and can.

    strict: whether to refuse an engine that leaves a part of the model to another device.

    Returns the engine, and why it is this one.
    Raises ValueError for an unknown name, EngineError for one that is not installed or cannot
    compute in that precision, ModelError for a file it cannot load.
    """
    if engine != "auto" and engine not in ENGINES:
        expected = ", ".join(repr(name) for name in ["auto", *ENGINES])
        raise ValueError(f"engine: expected one of {expected}, got {engine!r}")
    if precision not in get_args(Precision):
        expected = ", ".join(map(repr, get_args(Precision)))
        raise ValueError(f"precision: expected one of {expected}, got {precision!r}")
    if engine != "auto":
        return ENGINES[engine].open(
            path, precision=precision, threads=threads, strict=strict
        ), "said by hand"
    if path.suffix == SUFFIX:
        opened = ENGINES["tensorrt"].open(path, precision=precision, threads=threads, strict=strict)
        return opened, "what the file is for"
    passed: list[FastmatteError] = []
    for name, kind in ENGINES.items():
        if name in COMPILERS:
            continue
        reservation = kind.reservation(path)
        if reservation is not None:
            passed.append(EngineError(reservation))
            continue
        try:
            opened = kind.open(path, precision=precision, threads=threads, strict=strict)
        except FastmatteError as error:
            passed.append(error)
        else:
            reason = "; ".join(map(str, passed)) or "the first choice"
            # Errors keep the calls they came through, which keep these errors and the caller: it
            # would stay, with the model, until Python looks for such circles.
            passed.clear()
            return opened, reason
    refused = [error for error in passed if isinstance(error, ModelError)]
    if refused:
        raise refused[-1]
    raise EngineError("; ".join(map(str, passed)))
