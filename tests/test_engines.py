"""Every engine: arrays without copies, signatures, precision, threads, and which "auto" takes."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import fastmatte as fm
import graphs
import numpy as np
import onnx
import pytest
from fastmatte.engines import ENGINES, open_engine
from fastmatte.engines import openvino as openvino_engine


@pytest.fixture
def opened(graph, engine):
    """Open a generated graph by name with the engine under test."""

    def load(name, precision="auto", threads=1):
        return ENGINES[engine].open(graph(name), precision=precision, threads=threads)

    return load


def tensor(height, width, seed=0):
    return np.random.default_rng(seed).random((1, 3, height, width), np.float32)


def brightness(image):
    return 1 / (1 + np.exp(-graphs.SLOPE * image.mean(1, keepdims=True)))


@pytest.mark.parametrize("name", [*graphs.ALL, "modnet_half", "ratio", "unknown"])
def test_signature_is_what_onnx_runtime_says(opened, graph, name):
    reference = ENGINES["onnxruntime"].open(graph(name), precision="auto", threads=1).signature
    signature = opened(name).signature
    assert signature.inputs == reference.inputs
    for ours, theirs in zip(signature.outputs, reference.outputs, strict=True):
        assert (ours.name, ours.dtype) == (theirs.name, theirs.dtype)
        # OpenVINO works out that ratio's Resize makes one image.
        sides = zip(ours.shape, theirs.shape, strict=True)
        assert all(a == b or (name, a) == ("ratio", 1) for a, b in sides)


def test_bindings_read_and_write_the_callers_arrays(opened):
    source, result = tensor(32, 64), np.full((1, 1, 32, 64), -1, np.float32)
    before = result.ctypes.data
    binding = opened("modnet").bind({"input": source}, {"output": result})
    for seed in range(3):
        source[:] = tensor(32, 64, seed)
        binding.run()
        np.testing.assert_allclose(result, brightness(source), atol=1e-6)
    assert result.ctypes.data == before


def test_bindings_of_several_sizes_live_side_by_side(opened):
    loaded = opened("modnet")
    bound = []
    for size in [(32, 32), (64, 32), (32, 32)]:
        source, result = tensor(*size), np.empty((1, 1, *size), np.float32)
        bound.append((source, result, loaded.bind({"input": source}, {"output": result})))
    for _, result, binding in bound:
        result.fill(-1)
        binding.run()
    for source, result, _ in bound:
        np.testing.assert_allclose(result, brightness(source), atol=1e-6)


def heap():
    """Bytes that the C library has given out."""
    fields = [(name, ctypes.c_size_t) for name in "abcdefghij"]
    information = type("mallinfo2", (ctypes.Structure,), {"_fields_": fields})
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = information
    found = mallinfo2()
    return found.e + found.h  # in mappings of their own, and in arenas


def test_running_again_keeps_nothing(opened):
    source, result = tensor(256, 256), np.empty((1, 1, 256, 256), np.float32)
    binding = opened("modnet").bind({"input": source}, {"output": result})
    for _ in range(5):
        binding.run()
    tracemalloc.start()
    binding.run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5000
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        return
    before = heap()
    for _ in range(50):
        binding.run()
    # A page of either tensor kept by each run would be 200 KB.
    assert heap() - before < 50_000


def test_run_gives_every_output_and_the_bits_of_a_binding(opened):
    loaded = opened("ratio")
    inputs = {
        "src": tensor(40, 64),
        "r1i": np.zeros((1, 1, 1, 1), np.float32),
        "downsample_ratio": np.array([0.5], np.float32),
    }
    for constants in [(), ("downsample_ratio",)]:
        results = loaded.run(inputs, constants=constants)
        assert {name: array.shape for name, array in results.items()} == {
            "pha": (1, 1, 40, 64),
            "r1o": (1, 1, 20, 32),
        }
        alpha = np.empty((1, 1, 40, 64), np.float32)
        state = np.zeros((1, 1, 20, 32), np.float32)
        binding = loaded.bind({**inputs, "r1i": state}, {"pha": alpha}, constants=constants)
        binding.run()
        np.testing.assert_array_equal(alpha, results["pha"])
        state[:] = results["r1o"]
        binding.run()
        np.testing.assert_allclose(alpha, results["pha"] * 1.5, atol=1e-6)


def test_constants_may_differ_between_bindings(opened):
    loaded = opened("ratio")
    for ratio, size in [(0.5, (20, 32)), (0.25, (10, 16)), (0.5, (20, 32))]:
        state, after = (np.zeros((1, 1, *size), np.float32) for _ in range(2))
        loaded.bind(
            {
                "src": np.ones((1, 3, 40, 64), np.float32),
                "r1i": state,
                "downsample_ratio": np.array([ratio], np.float32),
            },
            {"r1o": after},
            constants=("downsample_ratio",),
        ).run()
        np.testing.assert_allclose(after, 0.5, atol=1e-6)


GOOD = {"input": tensor(32, 32)}
RESULT = {"output": np.empty((1, 1, 32, 32), np.float32)}


@pytest.mark.parametrize(
    ("inputs", "outputs", "error", "message"),
    [
        ({"image": tensor(32, 32)}, RESULT, fm.EngineError, "input 'image': expected one of 'inp"),
        (GOOD, {"alpha": RESULT["output"]}, fm.EngineError, "output 'alpha': expected one of 'out"),
        ({}, RESULT, fm.EngineError, "input 'input': no array is given for it"),
        (
            {"input": tensor(32, 32).astype(float)},
            RESULT,
            fm.EngineError,
            "float32 [batch_size, 3, height, width], got float64 [1, 3, 32, 32]",
        ),
        ({"input": tensor(32, 32)[:, :2].copy()}, RESULT, fm.EngineError, "got float32 [1, 2, 32"),
        ({"input": tensor(32, 32)[0]}, RESULT, fm.EngineError, "got float32 [3, 32, 32]"),
        ({"input": tensor(64, 32)[:, :, ::2]}, RESULT, ValueError, "input: expected a C-contig"),
    ],
)
def test_what_cannot_be_bound_is_named(opened, inputs, outputs, error, message):
    with pytest.raises(error) as caught:
        opened("modnet").bind(inputs, outputs)
    assert message in str(caught.value)


def test_sizes_the_graph_cannot_take_are_the_engines_own_words(opened, engine):
    loaded = opened("ratio")
    inputs = {
        "src": tensor(40, 64),
        "r1i": np.zeros((1, 1, 7, 5), np.float32),
        "downsample_ratio": np.array([0.5], np.float32),
    }
    with pytest.raises(fm.EngineError, match=f"^{engine}: .{{10}}"):
        loaded.run(inputs, constants=("downsample_ratio",))


def test_several_threads_run_their_own_bindings_at_once(opened):
    loaded = opened("modnet")
    barrier = Barrier(4)

    def work(seed):
        source, result = tensor(64, 64, seed), np.empty((1, 1, 64, 64), np.float32)
        binding = loaded.bind({"input": source}, {"output": result})
        barrier.wait(60)
        for _ in range(20):
            result.fill(-1)
            binding.run()
            np.testing.assert_allclose(result, brightness(source), atol=1e-6)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_alpha(graph, engine, threads):
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    alpha = fm.Matter(graph("modnet"), engine=engine, threads=threads).alpha(image)
    expected = fm.Matter(graph("modnet"), engine="onnxruntime", threads=1).alpha(image)
    np.testing.assert_allclose(alpha, expected, atol=1e-6)


def test_matter_keeps_bindings_of_as_many_sizes_as_the_engine_says(graph, monkeypatch):
    bound = []
    open_plain = ENGINES["onnxruntime"].open

    def open_counting(path, **options):
        loaded = open_plain(path, **options)
        bind, loaded.sizes_kept = loaded.bind, 2

        def counting(inputs, outputs, **more):
            binding = bind(inputs, outputs, **more)
            bound.append(weakref.ref(binding))
            return binding

        loaded.bind = counting
        return loaded

    monkeypatch.setattr(ENGINES["onnxruntime"], "open", open_counting)
    matter = fm.Matter(graph("modnet"), engine="onnxruntime")
    photos = {k: np.zeros((32 * k, 600, 3), np.uint8) for k in (16, 17, 18)}

    def call(*keys):
        bound.clear()
        for k in keys:
            matter.alpha(photos[k])
        gc.collect()
        return len(bound)

    assert call(16, 17, 16, 17) == 2
    assert all(binding() is not None for binding in bound)
    assert call(18) == 1  # takes the place of 16
    assert call(17, 18) == 0
    assert call(16) == 1


def test_broken_files_are_model_errors_that_name_them(graph, engine, tmp_path):
    for name, content in {
        "empty.onnx": b"",
        "text.onnx": b"this is not a model",
        "truncated.onnx": graph("selfie").read_bytes()[:200],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(fm.ModelError, match=name):
            fm.Matter(tmp_path / name, engine=engine)


def test_an_operator_nobody_knows_is_named(graph, engine, tmp_path):
    model = onnx.load(graph("modnet"))
    model.graph.node[-1].op_type = "Quirk"
    onnx.save(model, tmp_path / "quirk.onnx")
    with pytest.raises(fm.ModelError, match=r"quirk\.onnx: .*Quirk"):
        fm.Matter(tmp_path / "quirk.onnx", engine=engine)


def test_auto_takes_openvino_where_it_is_and_says_why(graph):
    if ENGINES["openvino"].version() is None:
        pytest.skip("not installed: openvino")
    info = fm.Matter(graph("modnet")).info
    assert (info.engine, info.engine_reason) == ("openvino", "the first choice")
    named = fm.Matter(graph("modnet"), engine="onnxruntime").info
    assert (named.engine, named.engine_reason) == ("onnxruntime", "said by hand")


def test_auto_goes_on_where_openvino_is_not_or_cannot(graph, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(ENGINES["openvino"], "version", lambda: None)
        info = fm.Matter(graph("modnet")).info
        assert info.engine == "onnxruntime"
        assert info.engine_reason == "openvino is not installed: pip install openvino"
        with pytest.raises(fm.EngineError, match="openvino is not installed: pip install openvino"):
            fm.Matter(graph("modnet"), engine="openvino")
        with pytest.raises(fm.EngineError, match=r"pip install openvino; onnxruntime .* not bf16"):
            fm.Matter(graph("modnet"), precision="bf16")

    def refuse(path, **_):
        raise fm.ModelError(f"{path}: it will not")

    monkeypatch.setattr(ENGINES["openvino"], "open", refuse)
    info = fm.Matter(graph("modnet")).info
    assert info.engine == "onnxruntime"
    assert info.engine_reason.endswith("modnet.onnx: it will not")
    with pytest.raises(fm.ModelError, match="it will not"):
        fm.Matter(graph("modnet"), engine="openvino")


def test_auto_leaves_quantised_graphs_to_onnx_runtime(graph):
    info = fm.Matter(graph("quantised")).info
    assert info.engine == "onnxruntime"
    if ENGINES["openvino"].version() is not None:
        assert info.engine_reason.startswith("openvino rounds a quantised graph otherwise")
        assert fm.Matter(graph("quantised"), engine="openvino").info.engine == "openvino"


def test_onnx_runtime_computes_in_fp32_only(graph):
    for precision in ("bf16", "fp16"):
        with pytest.raises(fm.EngineError, match=f"runs fp32 here, not {precision}"):
            open_engine(graph("modnet"), engine="onnxruntime", precision=precision, threads=1)


@pytest.fixture
def openvino():
    if ENGINES["openvino"].version() is None:
        pytest.skip("not installed: openvino")
    return openvino_engine._openvino()


def test_bf16_runs_only_when_asked_and_is_seen_in_alpha(graph, openvino):
    """A product of sixteen bits is off by up to 2^-9: far more than fp32, far less than 1/255."""
    _, core = openvino
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(fm.EngineError, match=r"on this processor runs fp32.*, not bf16"):
            fm.Matter(graph("convolution"), engine="openvino", precision="bf16")
        return
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    exact = fm.Matter(graph("convolution"), engine="onnxruntime", refine="none").alpha(image)
    for precision, runs, least, most in [
        ("auto", "fp32", 0, 1e-6),
        ("fp32", "fp32", 0, 1e-6),
        ("bf16", "bf16", 1e-4, 3e-2),
    ]:
        matter = fm.Matter(
            graph("convolution"), engine="openvino", precision=precision, refine="none"
        )
        assert matter.info.precision == runs
        assert least <= np.abs(matter.alpha(image) - exact).max() <= most, precision


class Processor:
    """OpenVINO's core on a processor that can only do some of it."""

    def __init__(self, core, abilities, runs=None):
        self._core = core
        self._abilities = abilities
        self._runs = runs

    def get_property(self, device, name):
        return self._abilities

    def read_model(self, path):
        return self._core.read_model(path)

    def compile_model(self, model, device, config):
        return self._core.compile_model(
            model, device, config | {"INFERENCE_PRECISION_HINT": self._runs}
        )


def test_a_precision_the_processor_has_no_instructions_for_is_refused(graph, openvino, monkeypatch):
    module, core = openvino
    limited = Processor(core, ["FP32", "INT8"])
    monkeypatch.setattr(openvino_engine, "_openvino", lambda: (module, limited))
    for precision in ("bf16", "fp16"):
        with pytest.raises(fm.EngineError, match=f"this processor runs fp32, not {precision}"):
            fm.Matter(graph("modnet"), engine="openvino", precision=precision)


def test_another_precision_than_asked_for_is_an_error(graph, openvino, monkeypatch):
    module, core = openvino
    lying = Processor(core, ["FP32", "BF16"], runs="f32")
    monkeypatch.setattr(openvino_engine, "_openvino", lambda: (module, lying))
    matter = fm.Matter(graph("modnet"), engine="openvino", precision="bf16")
    with pytest.raises(fm.EngineError, match="asked to compute in bf16, it chose f32"):
        matter.alpha(np.zeros((32, 32, 3), np.uint8))


def test_nobody_is_told_that_openvino_is_used(graph, tmp_path):
    """Its package for that would leave an identifier in the user's home."""
    if ENGINES["openvino"].version() is None:
        pytest.skip("not installed: openvino")
    code = (
        "import sys, fastmatte as fm\n"
        f"matter = fm.Matter({str(graph('modnet'))!r}, engine='openvino')\n"
        "print(any('openvino_telemetry' in name for name in sys.modules))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "HOME")}
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (result.stdout, result.stderr) == ("False\n", "")
    assert list(tmp_path.iterdir()) == []
