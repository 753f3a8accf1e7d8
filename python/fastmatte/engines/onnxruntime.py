"""ONNX Runtime on the CPU: the default engine."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastmatte.arrays import Array
from fastmatte.engines.base import Signature, TensorInfo, require_bindable
from fastmatte.errors import EngineError, ModelError

if TYPE_CHECKING:
    import onnxruntime

requirement = "pip install onnxruntime"

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
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


def reservation(path: Path) -> str | None:
    """Have none: what others are held against."""
    return None


def open(path: Path, *, precision: str, threads: int, strict: bool = False) -> OnnxRuntime:
    """Load an ONNX file for the CPU."""
    if precision not in ("auto", "fp32"):
        raise EngineError(f"onnxruntime on the CPU runs fp32 here, not {precision}")
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(f"onnxruntime is not installed ({error}): {requirement}") from error
    options, batches = prepared(onnxruntime, path, threads)
    session = loaded(onnxruntime, path, options, ["CPUExecutionProvider"])
    return OnnxRuntime(session, onnxruntime.__version__, threads, batches)


def prepared(onnxruntime: Any, path: Path, threads: int) -> tuple[Any, dict[str, str]]:
    """Return options of a session for frames that come one by one, and the batches it has open."""
    from fastmatte.graph.signature import read_signature  # engines lie below graph

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Its idle threads would otherwise spin on the processors that our kernels need next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        declared = read_signature(path)
    except ModelError:
        declared = Signature((), ())  # ONNX Runtime says better what is wrong with it
    # Where the batch is open, ONNX Runtime does without layouts that it only uses for shapes it
    # knows: MediaPipe's selfie network takes a sixth longer.
    batches = _batches(declared)
    for name in set(batches.values()):
        options.add_free_dimension_override_by_name(name, 1)
    return options, batches


def loaded(
    onnxruntime: Any, path: Path, options: Any, providers: Sequence[object]
) -> onnxruntime.InferenceSession:
    """Return a session of a file; raise ModelError in ONNX Runtime's words."""
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:
        raise ModelError(f"{path}: ONNX Runtime cannot load it: {_first_line(error)}") from error


class OnnxRuntime:
    """One inference session."""

    name = "onnxruntime"
    device = "cpu"
    precision = "fp32"
    # A binding is a few addresses.
    sizes_kept = 8

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        version: str,
        threads: int,
        batches: Mapping[str, str],
    ) -> None:
        self.version = version
        self.threads = threads
        self._session = session
        self.signature = Signature(
            tuple(_tensor_info(node, batches) for node in session.get_inputs()),
            tuple(_tensor_info(node, batches) for node in session.get_outputs()),
        )

    def bind(
        self,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        *,
        constants: Collection[str] = (),
    ) -> Bound:
        """Tie arrays to the session by their addresses.

        Constants stay inputs: RVM with its ratio and all sizes built in took as long as without.
        """
        require_bindable(self.signature, inputs, outputs)
        return Bound(self._session, inputs, outputs)

    def run(
        self, inputs: Mapping[str, Array], *, constants: Collection[str] = ()
    ) -> dict[str, Array]:
        """Run once into new arrays."""
        names = [tensor.name for tensor in self.signature.outputs]
        try:
            return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))
        except Exception as error:
            raise failure(error) from error


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
        try:
            for bind, arrays in (
                (self._binding.bind_input, inputs),
                (self._binding.bind_output, outputs),
            ):
                for name, array in arrays.items():
                    bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        except Exception as error:
            raise failure(error) from error

    def run(self) -> None:
        """Run the session on the bound arrays."""
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise failure(error) from error


def _batches(declared: Signature) -> dict[str, str]:
    """Return the names that stand for the batch and for nothing else, by the tensor that has it."""
    inputs = [tensor for tensor in declared.inputs if len(tensor.shape) == 4]
    tensors = (*declared.inputs, *declared.outputs)
    others = {side for tensor in tensors for side in tensor.shape[1:]}
    names = {tensor.shape[0] for tensor in inputs} - others
    return {
        tensor.name: tensor.shape[0]
        for tensor in tensors
        if tensor.shape and isinstance(tensor.shape[0], str) and tensor.shape[0] in names
    }


def _tensor_info(node: Any, batches: Mapping[str, str]) -> TensorInfo:
    shape = (batches.get(node.name, side) if i == 0 else side for i, side in enumerate(node.shape))
    return TensorInfo(node.name, _DTYPES.get(node.type, node.type), tuple(shape))


def _first_line(error: Exception) -> str:
    # "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from ... failed:Protobuf parsing ..."
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : ", "", str(error).strip()).split("\n")[0]


def failure(error: Exception) -> EngineError:
    """Return what ONNX Runtime raised, in its own words."""
    return EngineError(f"onnxruntime: {_first_line(error)}")


__all__ = [
    "OnnxRuntime",
    "failure",
    "loaded",
    "open",
    "prepared",
    "requirement",
    "reservation",
    "version",
]
