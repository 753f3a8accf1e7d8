"""OpenVINO on the CPU: faster than ONNX Runtime for most networks, and bfloat16 where asked for."""

from __future__ import annotations

import mmap
import re
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from fastmatte import _core
from fastmatte.arrays import Array
from fastmatte.engines.base import Signature, TensorInfo, require_bindable
from fastmatte.errors import EngineError, ModelError

if TYPE_CHECKING:
    from types import ModuleType

    from openvino import CompiledModel, Core, InferRequest

requirement = "pip install openvino"

#: OpenVINO's names by ours. Left to itself it computes in bfloat16 wherever the processor can.
_PRECISIONS = {"auto": "f32", "fp32": "f32", "fp16": "f16", "bf16": "bf16"}
#: Callers that may run at once where each is given fewer threads than there are processors. Each
#: costs memory for the activations once it runs.
MAX_STREAMS = 4


def version() -> str | None:
    """Return the version of the installed openvino package."""
    import importlib.metadata  # slow to import, and seldom needed

    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return None


def reservation(path: Path) -> str | None:
    """Name what fm.check would refuse: graphs that round to integers as they run.

    The least difference before a rounding becomes a whole step after it: MediaPipe's selfie network
    in int8 gave alpha that was off by 0.005 in the mean, and by a third at some pixels.
    """
    if path.stat().st_size == 0:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # Not DequantizeLinear, which only unpacks weights. Found in weights by chance: harmless.
        rounds = data.find(b"QuantizeLinear") >= 0
    return "openvino rounds a quantised graph otherwise than onnxruntime" if rounds else None


def open(path: Path, *, precision: str, threads: int, strict: bool = False) -> OpenVino:
    """Load an ONNX file for the CPU."""
    if version() is None:
        raise EngineError(f"openvino is not installed: {requirement}")
    openvino, core = _openvino()
    hint = _PRECISIONS.get(precision)
    abilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if hint is None or (hint != "f32" and precision.upper() not in abilities):
        able = ", ".join(p for p in ("fp32", "bf16", "fp16") if p.upper() in abilities)
        raise EngineError(f"openvino on this processor runs {able}, not {precision}")
    from fastmatte.graph.signature import read_signature  # engines lie below graph

    try:
        declared = read_signature(path)
        model = core.read_model(path)
    except RuntimeError as error:
        raise ModelError(f"{path}: OpenVINO cannot load it: {_reason(error)}") from error
    return OpenVino(openvino, core, model, declared, hint, threads)


class OpenVino:
    """One graph, compiled for the sizes it is run at."""

    name = "openvino"
    device = "cpu"
    # Each is compiled, with weights laid out and memory for activations of its own: 150 MB for
    # MODNet. Two are a camera held upright and across.
    sizes_kept = 2

    def __init__(
        self,
        openvino: ModuleType,
        core: Any,
        model: Any,
        declared: Signature,
        hint: str,
        threads: int,
    ) -> None:
        self.version = openvino.__version__.split("-")[0]
        self.precision = {"f32": "fp32", "f16": "fp16"}.get(hint, hint)
        self.threads = threads
        ports = {name: port for port in model.inputs for name in port.get_names()}
        # In OpenVINO's order. Before 2026 it leaves out inputs that nothing in the graph reads.
        names = {tensor.name for tensor in declared.inputs}
        self._sources = [n for port in model.inputs for n in port.get_names() if n in names]
        self.signature = Signature(
            tuple(_completed(t, ports[t.name]) if t.name in ports else t for t in declared.inputs),
            tuple(map(_completed, declared.outputs, model.outputs)),
        )
        self._openvino = openvino
        self._core = core
        self._model = model
        self._hint = hint
        # Compiled for one set of sizes each, as long as a binding or the latest call needs them.
        self._compiled: WeakValueDictionary[Any, CompiledModel] = WeakValueDictionary()
        self._latest: CompiledModel | None = None
        self._lock = threading.Lock()

    def bind(
        self,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        *,
        constants: Collection[str] = (),
    ) -> Bound:
        """Compile for the sizes of these arrays, unless that was done already, and tie them.

        Compiling takes as long as one to three runs. With sizes left open instead, every run takes
        longer: MODNet's a twentieth, RVM's a third, MediaPipe's selfie network half as long again.
        """
        require_bindable(self.signature, inputs, outputs)
        return self._bind(inputs, outputs, outputs, constants)

    def run(
        self, inputs: Mapping[str, Array], *, constants: Collection[str] = ()
    ) -> dict[str, Array]:
        """Run once into new arrays."""
        require_bindable(self.signature, inputs, {})
        names = [tensor.name for tensor in self.signature.outputs]
        bound = self._bind(inputs, names, {}, constants)
        bound.run()
        return dict(zip(names, bound.results(), strict=True))

    def _bind(
        self,
        inputs: Mapping[str, Array],
        wanted: Collection[str],
        outputs: Mapping[str, Array],
        constants: Collection[str],
    ) -> Bound:
        compiled = self._compile(inputs, wanted, constants)
        # In the graph's order: folding may leave a port without its name.
        sources = [name for name in self._sources if name not in constants]
        results = [t.name for t in self.signature.outputs if t.name in outputs]
        return Bound(
            self._openvino,
            compiled.create_infer_request(),
            [inputs[name] for name in sources],
            [outputs[name] for name in results],
        )

    def _compile(
        self, inputs: Mapping[str, Array], outputs: Collection[str], constants: Collection[str]
    ) -> CompiledModel:
        shapes = {name: array.shape for name, array in inputs.items()}
        values = {name: inputs[name].tobytes() for name in constants}
        key = (tuple(sorted(shapes.items())), tuple(sorted(values.items())), frozenset(outputs))
        with self._lock:
            compiled = self._compiled.get(key)
            if compiled is None:
                try:
                    compiled = self._compile_new(inputs, outputs, constants)
                except RuntimeError as error:
                    raise _failure(error) from error
                self._compiled[key] = compiled
            self._latest = compiled
        return compiled

    def _compile_new(
        self, inputs: Mapping[str, Array], outputs: Collection[str], constants: Collection[str]
    ) -> CompiledModel:
        model = self._model.clone()
        ports = dict(zip(self._sources, model.inputs, strict=True))
        results = list(zip(self.signature.outputs, model.outputs, strict=True))
        for name in ports.keys() & set(constants):
            parameter = ports.pop(name).get_node()
            value = self._openvino.op.Constant(inputs[name])
            for target in parameter.output(0).get_target_inputs():
                target.replace_source_output(value.output(0))
            model.remove_parameter(parameter)
        for tensor, port in results:
            if tensor.name not in outputs:
                model.remove_result(port.get_node())
        model.reshape({port: list(inputs[name].shape) for name, port in ports.items()})
        streams = min(max(_core.default_threads() // self.threads, 1), MAX_STREAMS)
        compiled = self._core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": self._hint,
                "INFERENCE_NUM_THREADS": self.threads * streams,
                "NUM_STREAMS": streams,
                # Pinned threads would keep the processors that our kernels need next.
                "ENABLE_CPU_PINNING": False,
            },
        )
        runs = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if runs != self._hint:
            raise EngineError(f"openvino: asked to compute in {self._hint}, it chose {runs}")
        return compiled


class Bound:
    """Arrays tied to one request, which reads and writes them where they are."""

    def __init__(
        self,
        openvino: ModuleType,
        request: InferRequest,
        inputs: Sequence[Array],
        outputs: Sequence[Array],
    ) -> None:
        self._request = request
        self._arrays = (*inputs, *outputs)
        try:
            for set_tensor, arrays in (
                (request.set_input_tensor, inputs),
                (request.set_output_tensor, outputs),
            ):
                for i, array in enumerate(arrays):
                    set_tensor(i, openvino.Tensor(array, shared_memory=True))
        except RuntimeError as error:
            raise _failure(error) from error

    def run(self) -> None:
        """Run the request on the bound arrays."""
        try:
            self._request.infer(share_outputs=True)
        except RuntimeError as error:
            raise _failure(error) from error

    def results(self) -> list[Array]:
        """Return copies of what the last run gave."""
        return [tensor.data.copy() for tensor in self._request.output_tensors]


@cache
def _openvino() -> tuple[ModuleType, Core]:
    """Import OpenVINO, once, and what in it knows the devices.

    Raises EngineError where it cannot be imported.
    """
    # Importing OpenVINO reports to Google Analytics and leaves files in the user's home, unless
    # its package for that is missing: then it has stand-ins of its own. None makes it missing.
    telemetry = "openvino_telemetry"
    ours = telemetry not in sys.modules
    if ours:
        sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise EngineError(f"openvino cannot be imported ({error}): {requirement}") from error
    finally:
        if ours:
            del sys.modules[telemetry]
    return openvino, openvino.Core()


def _completed(declared: TensorInfo, port: Any) -> TensorInfo:
    """Return a tensor as declared, with the sides that only OpenVINO worked out."""
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return declared
    known = [side.get_length() if side.is_static else None for side in shape]
    sides = declared.shape or (None,) * len(known)
    return TensorInfo(
        declared.name,
        declared.dtype,
        tuple(
            found if found is not None and not isinstance(side, int) else side
            for side, found in zip(sides, known, strict=True)
        ),
    )


def _reason(error: Exception) -> str:
    # "Exception from src/...:89:\nCheck '...' failed at src/...:121:\nwhat is wrong\n\n"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not re.match(r"(Exception from|Check .* failed at) ", line)]
    return " ".join(told or lines) or type(error).__name__


def _failure(error: Exception) -> EngineError:
    return EngineError(f"openvino: {_reason(error)}")


__all__ = ["OpenVino", "open", "requirement", "reservation", "version"]
