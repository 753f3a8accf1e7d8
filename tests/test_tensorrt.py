"""What can be known of the TensorRT engine without a GPU: its names, and its errors."""

from __future__ import annotations

import ast
import inspect
import sys
import types

import fastmatte as fm
import numpy as np
import pytest
from fastmatte.engines import tensorrt
from fastmatte.engines.engine_file import EngineFacts, Machine, packed

#: What each variable of the module is to TensorRT; trt is the module itself.
CLASSES = {
    "trt": "",
    "builder": "Builder",
    "cache": "ITimingCache",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "error": "ParserError",
    "flags": "",
    "layer": "ILayer",
    "learnt": "ITimingCache",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "runtime": "Runtime",
}
NAMES = {
    *tensorrt.IN_ALL,
    *tensorrt.ONLY_OLD,
    *tensorrt.ONLY_BETWEEN,
    *tensorrt.ONLY_NEW,
}


def used():
    """Every dotted name that the module takes from TensorRT's objects."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(tensorrt))):
        if not isinstance(node, ast.Attribute):
            continue
        parts, place = [node.attr], node.value
        while isinstance(place, ast.Attribute):
            parts.insert(0, place.attr)
            place = place.value
        if isinstance(place, ast.Name) and place.id in CLASSES:
            found.add(".".join(filter(None, [CLASSES[place.id], *parts])))
    return found


def test_every_name_that_is_used_is_in_the_list():
    source = inspect.getsource(tensorrt)
    body = source[source.index("WORKSPACE_BYTES =") :]
    # An enumeration is listed by its members; flags is one here and another there.
    members = {name.split(".")[-1] for name in NAMES}
    prefixes = {name.rsplit(".", 1)[0] for name in NAMES}
    python = {name for name in used() if name.split(".")[-1].startswith("__")}
    assert used() - python - NAMES - prefixes <= members
    for name in NAMES:
        assert name.rsplit(".", 1)[-1] in body, f"{name} is listed and not used"


def test_the_lists_are_sorted_and_apart():
    groups = (tensorrt.IN_ALL, tensorrt.ONLY_OLD, tensorrt.ONLY_BETWEEN, tensorrt.ONLY_NEW)
    for group in groups:
        assert list(group) == sorted(group, key=lambda n: (not n[0].isupper(), n))
    assert sum(map(len, groups)) == len(NAMES)


def engine_file(tmp_path):
    facts = EngineFacts(Machine("tensorrt", "10", "a GPU", "9.0"), "ab", "modnet", "fp16", (64, 64))
    path = tmp_path / "x.engine"
    path.write_bytes(packed(facts, b"engine"))
    return path


def test_no_tensorrt_is_an_error_with_the_command_that_adds_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setattr(tensorrt, "version", lambda: None)
    with pytest.raises(fm.EngineError, match=r"tensorrt is not installed .*: pip install tensorrt"):
        fm.Matter(engine_file(tmp_path))
    monkeypatch.setattr(tensorrt, "version", lambda: "10.9")
    with pytest.raises(fm.EngineError, match="tensorrt cannot be imported"):
        tensorrt.machine()


def test_a_build_without_cuda_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", types.ModuleType("tensorrt"))
    monkeypatch.setitem(sys.modules, "fastmatte.cuda", None)
    monkeypatch.delattr(fm, "cuda", raising=False)
    with pytest.raises(fm.EngineError, match="tensorrt needs fastmatte built with CUDA"):
        tensorrt.machine()


class Words:
    """As much of TensorRT as says something, for what we make of its words."""

    __version__ = "8.5"

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING = range(3)

    class IProgressMonitor:
        pass

    class Builder:
        def __init__(self, logger):
            logger.log(Words.ILogger.WARNING, "slow")
            logger.log(Words.ILogger.ERROR, "libnvinfer_builder_resource: no such file\n")
            raise TypeError("pybind11::init(): factory function returned nullptr")


def test_what_cannot_be_made_says_why_in_tensorrts_words(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", Words)
    monkeypatch.setattr(tensorrt, "_gpu", lambda: None)
    with pytest.raises(fm.EngineError) as caught:
        tensorrt.compile(graph("modnet"), precision="fp32", timing=b"", progress=print)
    assert str(caught.value) == (
        "tensorrt: it cannot build here; are the resources of its builder installed: "
        "libnvinfer_builder_resource: no such file"
    )


class Refused:
    """What the parsers of both ends say of a node."""

    def __init__(self, node, name=None, operator=None):
        self.node = lambda: node
        self.desc = lambda: "Unsupported operator \n"
        if name is not None:
            self.node_name, self.node_operator = (lambda: name), (lambda: operator)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Refused(7), "TensorRT cannot take it: node 7: Unsupported operator"),
        (
            Refused(7, "/up/0", "MaxUnpool"),
            "TensorRT cannot take it: node '/up/0', a MaxUnpool: Unsupported operator",
        ),
    ],
)
def test_the_parsers_message_has_the_nodes_name(error, said):
    parser = types.SimpleNamespace(num_errors=1, get_error=lambda i: error)
    assert tensorrt._refused(parser) == said


def test_ctrl_c_while_tactics_are_tried_ends_the_build_and_not_the_process():
    told = []

    def progress(phase, share):
        told.append((phase, share))
        if share == 1:
            raise KeyboardInterrupt

    monitor = tensorrt._monitor(Words, progress)
    monitor.phase_start("tactics", None, 2)
    assert monitor.step_complete("tactics", 0)
    assert monitor.error is None
    assert not monitor.step_complete("tactics", 1)
    assert isinstance(monitor.error, KeyboardInterrupt)
    monitor.phase_finish("tactics")
    assert told == [("tactics", 0.5), ("tactics", 1.0)]


def test_a_precision_that_a_version_has_not_is_refused():
    words = types.SimpleNamespace(__version__="8.5", BuilderFlag=object())
    with pytest.raises(fm.EngineError, match=r"tensorrt 8\.5 does not compute in bf16"):
        tensorrt._hold_types(words, None, None, "bf16")


def test_no_driver_is_said_in_cudas_words(monkeypatch):
    gpu = types.SimpleNamespace(missing=lambda: "the driver is for CUDA 11.4, and this needs 12.0")
    monkeypatch.setitem(sys.modules, "tensorrt", Words)
    monkeypatch.setitem(sys.modules, "fastmatte.cuda", gpu)
    monkeypatch.setattr(fm, "cuda", gpu, raising=False)
    with pytest.raises(fm.EngineError, match=r"tensorrt needs a GPU: the driver is for CUDA 11\.4"):
        tensorrt.machine()
    gpu.missing = lambda: None
    gpus = [("NVIDIA T4", (7, 5)), ("NVIDIA H200", (9, 0))]
    gpu.devices = lambda: [types.SimpleNamespace(name=n, capability=c) for n, c in gpus]
    gpu.current_device = lambda: 1
    assert tensorrt.machine() == Machine("tensorrt", "8.5", "NVIDIA H200", "9.0")


class Engine:
    """An engine of one tensor in and one out, as far as memory and addresses go."""

    num_io_tensors = 2
    device_memory_size = 1 << 30

    def __init__(self, context):
        self.create_execution_context = lambda: context
        self.get_tensor_name = ("input", "output").__getitem__
        self.get_tensor_dtype = lambda name: "float32"
        self.get_tensor_shape = lambda name: (1, 3 if name == "input" else 1, 64, 96)
        self.get_tensor_mode = lambda name: name == "input"


def opened(context, lines=()):
    trt = types.SimpleNamespace(
        nptype=np.dtype, TensorIOMode=types.SimpleNamespace(INPUT=True), ILogger=Words.ILogger
    )
    gpu = types.SimpleNamespace(
        free_memory=lambda: 123,
        current_device=lambda: 0,
        devices=lambda: [types.SimpleNamespace(name="a GPU")],
    )
    log = tensorrt.Log(trt)
    log.lines += lines
    facts = EngineFacts(
        Machine("tensorrt", "8.5", "a GPU", "7.5"), "ab", "modnet", "fp16", (64, 96)
    )
    return tensorrt.TensorRt(trt, gpu, log, None, Engine(context), facts, 1)


def test_too_little_memory_says_how_much():
    engine = opened(None, ["out of memory"])
    assert [str(tensor) for tensor in engine.signature.inputs] == ["input float32 [1, 3, 64, 96]"]
    assert [str(tensor) for tensor in engine.signature.outputs] == ["output float32 [1, 1, 64, 96]"]
    with pytest.raises(fm.EngineError) as caught:
        engine.enqueuer({}, {})
    assert str(caught.value) == (
        "tensorrt: it wants 1073741824 bytes on the GPU, of which 123 are free: out of memory"
    )


def test_what_is_enqueued_has_every_address():
    calls = []
    context = types.SimpleNamespace(
        set_tensor_address=lambda *call: calls.append(call),
        execute_async_v3=lambda stream: stream == 7,
    )
    engine = opened(context, ["misaligned"])
    both = {t.name: t for t in (*engine.signature.inputs, *engine.signature.outputs)}
    enqueue = engine.enqueuer(both, {})
    enqueue({"input": 16, "output": 32}, 7)
    assert calls == [("input", 16), ("output", 32)]
    with pytest.raises(fm.EngineError, match="tensorrt: the engine failed: misaligned"):
        enqueue({"input": 16, "output": 32}, 8)


def test_what_nobody_gives_an_address_has_one_all_the_same():
    calls = []
    context = types.SimpleNamespace(
        set_tensor_address=lambda *call: calls.append(call), execute_async_v3=lambda stream: True
    )
    engine = opened(context)
    made = []

    def array(shape, dtype):
        made.append((shape, dtype))
        return types.SimpleNamespace(ptr=100 + len(made))

    engine.gpu.empty = array
    engine.gpu.to_device = lambda values: array(values.shape, values.dtype.name)
    engine.enqueuer({}, {"input": np.zeros((1, 3, 64, 96), np.float32)})({}, 7)
    assert made == [((1, 3, 64, 96), "float32"), ((1, 1, 64, 96), "float32")]
    assert calls == [("input", 101), ("output", 102)]


def test_an_onnx_file_is_no_engine(graph):
    with pytest.raises(fm.ModelError, match=r"modnet\.onnx: tensorrt runs engine files"):
        tensorrt.open(graph("modnet"), precision="auto", threads=1)


def test_auto_leaves_onnx_files_to_others(graph):
    assert tensorrt.reservation(graph("modnet")) == "tensorrt runs what `fastmatte build` made"


def test_info_lists_it():
    from click.testing import CliRunner
    from fastmatte.cli import main

    assert "engine tensorrt" in CliRunner().invoke(main, ["info"]).stdout
