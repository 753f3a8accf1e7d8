"""TensorRT through its own Python package, every version from 8.5 to 11.

It runs engine files, which fastmatte.build makes of ONNX files. Memory on the GPU and the stream
are fastmatte.cuda's. What one end of these versions lacks is asked for by presence, not by number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastmatte.arrays import Array
from fastmatte.engines.base import Compiled, Enqueue, Signature, TensorInfo, require_bindable
from fastmatte.engines.engine_file import SUFFIX, EngineFacts, Machine, read_engine
from fastmatte.engines.gpu import Bound, gpu_for, name_of
from fastmatte.errors import EngineError, ModelError

requirement = "pip install tensorrt"

#: Every name of TensorRT's that is used below, by whether all versions have it. bench's
#: study_tensorrt_names looks them up in the published bindings of both ends, and a test holds this
#: list against the code.
IN_ALL = (
    "Builder",
    "Builder.build_serialized_network",
    "Builder.create_builder_config",
    "Builder.create_network",
    "BuilderFlag.TF32",
    "IBuilderConfig.clear_flag",
    "IBuilderConfig.create_timing_cache",
    "IBuilderConfig.get_timing_cache",
    "IBuilderConfig.set_flag",
    "IBuilderConfig.set_memory_pool_limit",
    "IBuilderConfig.set_timing_cache",
    "ICudaEngine.create_execution_context",
    "ICudaEngine.get_tensor_dtype",
    "ICudaEngine.get_tensor_mode",
    "ICudaEngine.get_tensor_name",
    "ICudaEngine.get_tensor_shape",
    "ICudaEngine.num_io_tensors",
    "IExecutionContext.execute_async_v3",
    "IExecutionContext.set_tensor_address",
    "ILayer.get_output",
    "ILayer.num_outputs",
    "ILogger",
    "ILogger.ERROR",
    "ILogger.INTERNAL_ERROR",
    "INetworkDefinition.get_layer",
    "INetworkDefinition.num_layers",
    "ITimingCache.serialize",
    "MemoryPoolType.WORKSPACE",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "OnnxParser.get_error",
    "OnnxParser.num_errors",
    "OnnxParser.parse",
    "ParserError.desc",
    "ParserError.node",
    "Runtime",
    "Runtime.deserialize_cuda_engine",
    "TensorIOMode.INPUT",
    "float16",
    "float32",
    "nptype",
)
#: Gone in 11, where networks have the types of their graphs and nothing else.
ONLY_OLD = (
    "BuilderFlag.FP16",
    "BuilderFlag.INT8",
    "BuilderFlag.OBEY_PRECISION_CONSTRAINTS",
    "ICudaEngine.device_memory_size",
    "ILayer.precision",
    "ILayer.set_output_type",
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
)
#: Not there yet in 8.5.
ONLY_NEW = (
    "IBuilderConfig.progress_monitor",
    "ICudaEngine.device_memory_size_v2",
    "IProgressMonitor",
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
    "ParserError.node_name",
    "ParserError.node_operator",
)
#: Neither in 8.5 nor in 11.
ONLY_BETWEEN = ("BuilderFlag.BF16",)

#: Memory that tactics may use while a layer is tried and run.
WORKSPACE_BYTES = 2 << 30
#: The largest k of its TopK: NvInfer.h.
MOST_OF_TOPK = 3840

Progress = Callable[[str, float], None]


def version() -> str | None:
    """Return the version of the installed tensorrt package, whichever CUDA it is for."""
    import importlib.metadata  # slow to import, and seldom needed

    for package in ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu11"):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def reservation(path: Path) -> str | None:
    """Leave ONNX files to others: an engine has to be built of them, which takes minutes."""
    if path.suffix == SUFFIX:
        return None
    return "tensorrt runs what `fastmatte build` made"


def open(path: Path, *, precision: str, threads: int, strict: bool = False) -> TensorRt:
    """Load an engine file for the current GPU.

    An engine file is machine code: load none from where you would not run a program from.
    """
    if path.suffix != SUFFIX:
        raise ModelError(f"{path}: tensorrt runs engine files: `fastmatte build` makes them")
    trt, gpu = _tensorrt(), _gpu()
    facts, data = read_engine(path, machine())
    if precision not in ("auto", facts.precision):
        raise EngineError(f"{path}: built for {facts.precision}, not {precision}")
    log = Log(trt)
    runtime = log.made("it cannot run here", lambda: trt.Runtime(log.logger))
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise log.failure(f"{path}: it cannot load this engine")
    return TensorRt(trt, gpu, log, runtime, engine, facts, threads)


def machine() -> Machine:
    """Return what engines are built by and for, here: the current GPU.

    Raises EngineError where there is no tensorrt, no GPU, or no driver that is new enough.
    """
    trt, gpu = _tensorrt(), _gpu()
    device = gpu.devices()[gpu.current_device()]
    major, minor = device.capability
    return Machine("tensorrt", trt.__version__, device.name, f"{major}.{minor}")


def refusal(graph: Path) -> str | None:
    """Say what in a frozen graph TensorRT is known not to take, before minutes are spent on it."""
    from onnx import load, numpy_helper

    model = load(graph)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "TopK":
            continue
        k = constants.get(node.input[1])
        wanted = None if k is None else int(numpy_helper.to_array(k).max())
        if wanted is None or wanted > MOST_OF_TOPK:
            count = "as many values as it computes" if wanted is None else f"{wanted} values"
            return (
                f"node {node.name or node.output[0]!r}, a TopK, selects {count}, and TensorRT's "
                f"selects at most {MOST_OF_TOPK}. The sampling refiner of Background Matting V2 "
                "does that: export it with refine_mode='full', which selects nothing"
            )
    return None


def compile(graph: Path, *, precision: str, timing: bytes, progress: Progress) -> Compiled:
    """Build an engine of a frozen ONNX file that has the types it shall compute in.

    precision: which those are; versions before 10 have to be told, layer by layer.
    timing:    what an earlier build learnt, b"" for nothing.
    progress:  told of each phase and how much of it is done, 0 to 1.

    Raises ModelError for a graph that the parser refuses, with the node's name, and EngineError
    with TensorRT's own words for all else.
    """
    trt = _tensorrt()
    _gpu()
    log = Log(trt)
    missing = "it cannot build here; are the resources of its builder installed"
    builder = log.made(missing, lambda: trt.Builder(log.logger))
    flags = trt.NetworkDefinitionCreationFlag
    typed = hasattr(flags, "STRONGLY_TYPED")
    bits = 1 << int(flags.STRONGLY_TYPED) if typed else 0
    if hasattr(flags, "EXPLICIT_BATCH"):
        bits |= 1 << int(flags.EXPLICIT_BATCH)
    network = builder.create_network(bits)
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse(graph.read_bytes()):
        raise ModelError(f"{graph.name}: {_refused(parser)}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    # A product in TF32 has ten bits, float16's: fp32 would not be, and in a guided filter the
    # difference of two means would be their rounding.
    config.clear_flag(trt.BuilderFlag.TF32)
    if not typed and precision != "fp32":
        _hold_types(trt, network, config, precision)
    cache = config.create_timing_cache(timing)
    # One of another version or GPU is left aside.
    config.set_timing_cache(cache, False)
    monitor = _monitor(trt, progress) if hasattr(trt, "IProgressMonitor") else None
    if monitor is not None:
        config.progress_monitor = monitor
    data = builder.build_serialized_network(network, config)
    if monitor is not None and monitor.error is not None:
        raise monitor.error
    if data is None:
        raise log.failure("the build failed")
    learnt = config.get_timing_cache()
    return Compiled(bytes(data), b"" if learnt is None else bytes(learnt.serialize()))


class TensorRt:
    """One engine, for the one size it was built for."""

    name = "tensorrt"
    sizes_kept = 1
    #: A static engine's run is the same work each time.
    why_no_graph = None

    def __init__(
        self,
        trt: Any,
        gpu: Any,
        log: Log,
        runtime: Any,
        engine: Any,
        facts: EngineFacts,
        threads: int,
    ) -> None:
        self.version = facts.machine.library_version
        self.number = gpu.current_device()
        self.device = name_of(gpu, self.number)
        self.precision = facts.precision
        self.threads = threads
        self.gpu = gpu
        self._log = log
        # The engine is good as long as its runtime is.
        self._runtime = runtime
        self._engine = engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        sides: tuple[list[TensorInfo], list[TensorInfo]] = [], []
        for name in names:
            dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name
            shape = tuple(int(side) for side in engine.get_tensor_shape(name))
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            sides[not is_input].append(TensorInfo(name, dtype, shape))
        self.signature = Signature(tuple(sides[0]), tuple(sides[1]))

    def bind(
        self,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        *,
        constants: Collection[str] = (),
    ) -> Bound:
        """Give the engine memory on the GPU, and tie arrays to it."""
        require_bindable(self.signature, inputs, outputs)
        both = (*self.signature.inputs, *self.signature.outputs)
        tensors = {t.name: t for t in both if t.name in inputs or t.name in outputs}
        with self.gpu.using(self.number):
            return Bound(self.gpu, self.enqueuer(tensors, {}), inputs, outputs)

    def enqueuer(
        self, tensors: Mapping[str, TensorInfo], constants: Mapping[str, Array]
    ) -> Enqueue:
        """Return what enqueues a run, with memory for activations of its own."""
        engine = self._engine
        context = engine.create_execution_context()
        if context is None:
            newer = hasattr(engine, "device_memory_size_v2")
            wanted = engine.device_memory_size_v2 if newer else engine.device_memory_size
            free = self.gpu.free_memory()
            raise self._log.failure(f"it wants {wanted} bytes on the GPU, of which {free} are free")
        kept = {name: self.gpu.to_device(array) for name, array in constants.items()}
        # Outputs that nobody wants need memory all the same.
        for tensor in self.signature.outputs:
            if tensor.name not in tensors:
                kept[tensor.name] = self.gpu.empty(tensor.shape, tensor.dtype)
        for name, array in kept.items():
            context.set_tensor_address(name, array.ptr)

        def enqueue(addresses: Mapping[str, int], stream: int, kept: object = kept) -> None:
            for name, address in addresses.items():
                context.set_tensor_address(name, address)
            if not context.execute_async_v3(stream):
                raise self._log.failure("the engine failed")

        return enqueue

    def run(
        self, inputs: Mapping[str, Array], *, constants: Collection[str] = ()
    ) -> dict[str, Array]:
        """Run once into new arrays."""
        outputs: dict[str, Array] = {
            tensor.name: np.empty(tensor.shape, tensor.dtype)  # type: ignore[arg-type]
            for tensor in self.signature.outputs
        }
        self.bind(inputs, outputs).run()
        return outputs


class Log:
    """What TensorRT says, so that an error can repeat it. It says it to one object as it goes."""

    def __init__(self, trt: Any) -> None:
        self.lines: list[str] = []
        lines = self.lines

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                    lines.append(message.strip())

        self.logger = Logger()

    def made(self, missing: str, make: Callable[[], Any]) -> Any:
        """Return what TensorRT makes; raise EngineError where it makes nothing."""
        try:
            return make()
        except (TypeError, RuntimeError) as error:  # pybind11's words for a null pointer
            raise self.failure(missing) from error

    def failure(self, what: str) -> EngineError:
        """Return an error with the last that was said, which is the reason mostly."""
        said = "; ".join(self.lines[-3:])
        return EngineError(f"tensorrt: {what}{f': {said}' if said else ''}")


def _tensorrt() -> Any:
    """Import TensorRT; raise EngineError where it is not installed, or not for this system."""
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        missing = "is not installed" if version() is None else "cannot be imported"
        raise EngineError(f"tensorrt {missing} ({error}): {requirement}") from error
    return tensorrt


def _gpu() -> Any:
    """Return fastmatte.cuda; raise EngineError where it, a driver or a GPU is missing."""
    return gpu_for("tensorrt")


def _refused(parser: Any) -> str:
    """Say why the parser refused a graph, and at which node."""
    said = []
    for i in range(parser.num_errors):
        error = parser.get_error(i)
        where = f"node {error.node()}"
        if hasattr(error, "node_name"):
            where = f"node {error.node_name()!r}, a {error.node_operator()}"
        said.append(f"{where}: {error.desc().strip()}")
    return f"TensorRT cannot take it: {'; '.join(said) or 'it does not say why'}"


def _hold_types(trt: Any, network: Any, config: Any, precision: str) -> None:
    """Make a version without typed networks compute each layer in the type its graph gives it."""
    flags = trt.BuilderFlag
    wanted = {"fp16": "FP16", "bf16": "BF16", "int8": "INT8"}[precision]
    if not hasattr(flags, wanted):
        raise EngineError(f"tensorrt {trt.__version__} does not compute in {precision}")
    config.set_flag(getattr(flags, wanted))
    if precision == "int8":
        return  # Quantised values say so themselves.
    config.set_flag(flags.OBEY_PRECISION_CONSTRAINTS)
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        kinds = [layer.get_output(k).dtype for k in range(layer.num_outputs)]
        floats = [k for k in kinds if k in (trt.float32, trt.float16)]
        if len(floats) != len(kinds):
            continue  # Shapes and indices are what they are.
        layer.precision = floats[0]
        for k, kind in enumerate(kinds):
            layer.set_output_type(k, kind)


def _monitor(trt: Any, progress: Progress) -> Any:
    """Return what TensorRT tells how far it is; an exception there ends the build."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.error: BaseException | None = None
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._steps[phase] = max(steps, 1)

        def step_complete(self, phase: str, step: int) -> bool:
            try:
                progress(phase, (step + 1) / self._steps.get(phase, 1))
            except BaseException as error:  # Ctrl-C too: no exception may pass through C++.
                self.error = error
            return self.error is None

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

    return Monitor()


__all__ = [
    "IN_ALL",
    "ONLY_BETWEEN",
    "ONLY_NEW",
    "ONLY_OLD",
    "TensorRt",
    "compile",
    "machine",
    "open",
    "refusal",
    "requirement",
    "reservation",
    "version",
]
