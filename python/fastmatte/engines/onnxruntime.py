"""ONNX Runtime on the CPU: the default engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastmatte.arrays import Array
from fastmatte.engines.base import Signature, TensorInfo
from fastmatte.errors import EngineError, ModelError

if TYPE_CHECKING:
    import onnxruntime

requirement = "pip install onnxruntime"

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int64)": "int64",
}


def version() -> str | None:
    """Return the version of the installed onnxruntime package, whichever flavour it is."""
    import importlib.metadata  # slow to import, and seldom needed

    for package in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def open(path: Path, *, precision: str, threads: int) -> OnnxRuntime:
    """Load an ONNX file for the CPU."""
    if precision not in ("auto", "fp32"):
        raise EngineError(f"onnxruntime on the CPU runs fp32 here, not {precision}")
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(f"onnxruntime is not installed ({error}): {requirement}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Its idle threads would otherwise spin on the processors that our kernels need next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{path}: ONNX Runtime cannot load it: {_first_line(error)}") from error
    return OnnxRuntime(session, onnxruntime.__version__, threads)


class OnnxRuntime:
    """One inference session."""

    name = "onnxruntime"
    device = "cpu"
    precision = "fp32"

    def __init__(self, session: onnxruntime.InferenceSession, version: str, threads: int) -> None:
        self.version = version
        self.threads = threads
        self._session = session
        self.signature = Signature(
            tuple(_tensor_info(node) for node in session.get_inputs()),
            tuple(_tensor_info(node) for node in session.get_outputs()),
        )

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Bound:
        """Tie arrays to the session by their addresses."""
        return Bound(self._session, inputs, outputs)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once into new arrays."""
        names = [tensor.name for tensor in self.signature.outputs]
        try:
            return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))
        except Exception as error:
            raise _failure(error) from error


class Bound:
    """Arrays tied to one session; keeps them alive while ONNX Runtime holds their addresses."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> None:
        self._session = session
        self._arrays = [*inputs.values(), *outputs.values()]
        self._binding = session.io_binding()
        if not all(array.flags.c_contiguous for array in self._arrays):
            raise ValueError("bind: expected C-contiguous arrays")
        try:
            for bind, arrays in (
                (self._binding.bind_input, inputs),
                (self._binding.bind_output, outputs),
            ):
                for name, array in arrays.items():
                    bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        except Exception as error:
            raise _failure(error) from error

    def run(self) -> None:
        """Run the session on the bound arrays."""
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise _failure(error) from error


def _tensor_info(node: Any) -> TensorInfo:
    return TensorInfo(node.name, _DTYPES.get(node.type, node.type), tuple(node.shape))


def _first_line(error: Exception) -> str:
    # "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from ... failed:Protobuf parsing ..."
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : ", "", str(error).strip()).split("\n")[0]


def _failure(error: Exception) -> EngineError:
    return EngineError(f"onnxruntime: {_first_line(error)}")


__all__ = ["OnnxRuntime", "open", "requirement", "version"]
