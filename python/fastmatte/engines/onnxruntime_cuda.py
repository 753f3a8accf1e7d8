"""ONNX Runtime on an NVIDIA GPU: for those without TensorRT, and for graphs it does not take."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastmatte.arrays import Array
from fastmatte.engines.base import Enqueue, TensorInfo, require_bindable
from fastmatte.engines.gpu import Bound, gpu_for, name_of
from fastmatte.engines.onnxruntime import OnnxRuntime, failure, loaded, prepared
from fastmatte.errors import EngineError

requirement = "pip install onnxruntime-gpu"
PROVIDER = "CUDAExecutionProvider"
#: Sets of addresses whose bindings are kept: two for each capture that a runner keeps, and as many
#: again.
MOST_BINDINGS = 16


def version() -> str | None:
    """Return the version of the installed onnxruntime-gpu package."""
    import importlib.metadata  # slow to import, and seldom needed

    try:
        return importlib.metadata.version("onnxruntime-gpu")
    except importlib.metadata.PackageNotFoundError:
        return None


def reservation(path: Path) -> str | None:
    """Leave everything to others: a GPU is taken where it was asked for."""
    return "cuda is asked for by name"


def open(path: Path, *, precision: str, threads: int, strict: bool = False) -> OnnxRuntimeCuda:
    """Load an ONNX file for the current GPU."""
    if precision not in ("auto", "fp32"):
        raise EngineError(
            f"cuda runs a graph in the types it has, not in {precision}: `fastmatte build --engine "
            f"onnxruntime --precision {precision}` makes one of that"
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(f"onnxruntime is not installed ({error}): {requirement}") from error
    if PROVIDER not in onnxruntime.get_available_providers():
        raise EngineError(
            f"onnxruntime {onnxruntime.__version__} has no {PROVIDER}: pip uninstall onnxruntime, "
            f"then {requirement}"
        )
    gpu = gpu_for("cuda")
    options, batches = prepared(onnxruntime, path, threads)
    others = ["CPUExecutionProvider"]
    if strict:
        others = []
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    number = gpu.current_device()
    stream = gpu.Stream()
    provider = {
        "device_id": str(number),
        "user_compute_stream": str(stream.ptr),
        # A product in TF32 has ten bits, float16's: fp32 would not be.
        "use_tf32": "0",
    }
    # It makes its GPU the current one, and leaves it so.
    with gpu.using(number):
        session = loaded(onnxruntime, path, options, [(PROVIDER, provider), *others])
    if PROVIDER not in session.get_providers():
        # It says so on stderr alone, and goes on without.
        raise EngineError(
            f"onnxruntime {onnxruntime.__version__} could not make its {PROVIDER}: are the "
            "libraries of CUDA and cuDNN there that it was built for"
        )
    return OnnxRuntimeCuda(onnxruntime, session, gpu, stream, threads, batches)


class OnnxRuntimeCuda(OnnxRuntime):
    """One session, on a stream of its own: all its runs come one after the other there."""

    name = "cuda"
    # Each has memory on the GPU and captures of its own.
    sizes_kept = 4
    #: It copies from memory of the host that is gone when a graph would copy from it again.
    why_no_graph = "ONNX Runtime's runs cannot be captured from outside"

    def __init__(
        self,
        onnxruntime: Any,
        session: Any,
        gpu: Any,
        stream: Any,
        threads: int,
        batches: Mapping[str, str],
    ) -> None:
        super().__init__(session, onnxruntime.__version__, threads, batches)
        self.gpu = gpu
        self.number = gpu.current_device()
        self.device = name_of(gpu, self.number)
        self._stream = stream
        self._lock = threading.Lock()
        self._options = onnxruntime.RunOptions()
        # Who reads the outputs waits for the stream; nobody waits here.
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def bind(  # type: ignore[override]
        self,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        *,
        constants: Collection[str] = (),
    ) -> Bound:
        """Give the session memory on the GPU, and tie arrays to it."""
        require_bindable(self.signature, inputs, outputs)
        fixed = {name: inputs[name] for name in constants}
        moved = {name: array for name, array in inputs.items() if name not in fixed}
        tensors = {
            name: TensorInfo(name, array.dtype.name, array.shape)
            for name, array in {**moved, **outputs}.items()
        }
        with self.gpu.using(self.number):
            return Bound(self.gpu, self.enqueuer(tensors, fixed), moved, outputs)

    def enqueuer(
        self, tensors: Mapping[str, TensorInfo], constants: Mapping[str, Array]
    ) -> Enqueue:
        """Return what enqueues a run; memory for what is inside is the session's."""
        inputs = {tensor.name for tensor in self.signature.inputs}
        bindings: dict[tuple[int, ...], Any] = {}
        before, after = self.gpu.Event(), self.gpu.Event()

        def binding_of(addresses: Mapping[str, int]) -> Any:
            binding = self._session.io_binding()
            for name, array in constants.items():
                binding.bind_cpu_input(name, array)
            for name, address in addresses.items():
                bind = binding.bind_input if name in inputs else binding.bind_output
                tensor = tensors[name]
                bind(name, "cuda", self.number, np.dtype(tensor.dtype).type, tensor.shape, address)
            return binding

        def enqueue(addresses: Mapping[str, int], stream: int) -> None:
            key = tuple(addresses.values())
            try:
                binding = bindings.pop(key, None) or binding_of(addresses)
                while len(bindings) >= MOST_BINDINGS:
                    del bindings[next(iter(bindings))]
                bindings[key] = binding
                # Another thread's run may not come between a run and its events.
                with self._lock:
                    before.record(stream)
                    before.hold(self._stream)
                    self._session.run_with_iobinding(binding, self._options)
                    after.record(self._stream)
                    after.hold(stream)
            except Exception as error:
                raise failure(error) from error

        return enqueue


__all__ = ["OnnxRuntimeCuda", "open", "requirement", "reservation", "version"]
