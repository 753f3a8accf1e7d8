"""Fixtures every test may use."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import fastmatte as fm
import graphs
import numpy as np
import pytest
from fastmatte.engines import COMPILERS, ENGINES
from fastmatte.engines.base import Compiled
from fastmatte.engines.engine_file import Machine, read_engine
from hypothesis import settings

# Kernels are quick but sanitizer builds are not, and a shared machine stalls: no deadline.
settings.register_profile("fastmatte", deadline=None, max_examples=40, derandomize=True)
# For sanitizer builds, ten times slower: pytest --hypothesis-profile=brief
settings.register_profile("brief", settings.get_profile("fastmatte"), max_examples=8)
settings.load_profile("fastmatte")

# The names cpp/cpu/isa.h gives for each architecture; the ones missing here show as skipped.
ALL_ISAS = ["scalar", "sse4", "avx2", "avx512", "neon"]


@pytest.fixture(params=ALL_ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once for each instruction set."""
    if request.param not in fm.cpu.available():
        pytest.skip(f"this processor has no {request.param}")
    with fm.cpu.force(request.param):
        yield request.param


@pytest.fixture(scope="module", params=sorted(ENGINES.keys() - COMPILERS.keys()))
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the tests of a module once for each engine, which is also the one "auto" chooses."""
    if ENGINES[request.param].version() is None:
        pytest.skip(f"not installed: {ENGINES[request.param].requirement}")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "onnxruntime":
            patch.setattr(ENGINES["openvino"], "version", lambda: None)
        yield request.param


class OnnxRuntimeAsTensorRt:
    """ONNX Runtime in TensorRT's role: its engines are graphs, behind the same header.

    So everything around an engine is tested with real results. It stands for no figure of TensorRT.
    """

    requirement = "pip install onnxruntime"

    def __init__(self, folder: Path) -> None:
        self.here = Machine("tensorrt", "10.0.1", "a processor", "0.0")
        self.folder = folder
        self.compiled: list[str] = []
        self.refuses: str | None = None
        #: What an engine multiplies its outputs by: other than 1 it is wrong.
        self.gain = 1.0
        self.delay = threading.Event()
        self.delay.set()

    def version(self) -> str | None:
        return self.here.library_version

    def reservation(self, path: Path) -> str | None:
        return None

    def machine(self) -> Machine:
        return self.here

    def refusal(self, graph: Path) -> str | None:
        return self.refuses

    def compile(self, graph, *, precision, timing, progress):
        self.delay.wait(60)
        progress("choosing tactics", 0.5)
        self.compiled.append(precision)
        return Compiled(graph.read_bytes(), timing + precision.encode())

    def open(self, path, *, precision, threads, strict=False):
        facts, data = read_engine(path, self.here)
        graph = self.folder / f"{hashlib.sha256(data).hexdigest()}.onnx"
        graph.write_bytes(data)
        engine = ENGINES["onnxruntime"].open(graph, precision="fp32", threads=threads)
        engine.name, engine.precision = "tensorrt", facts.precision
        engine.version = self.here.library_version
        bind, gain = engine.bind, np.float32(self.gain)

        class Amplified:
            def __init__(self, inputs, outputs, **more):
                self.binding, self.outputs = bind(inputs, outputs, **more), outputs

            def run(self):
                self.binding.run()
                for array in self.outputs.values():
                    array *= gain

        if gain != 1:
            engine.bind = Amplified
        return engine


@pytest.fixture
def tensorrt_role(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> OnnxRuntimeAsTensorRt:
    """Let ONNX Runtime build and run what engine="tensorrt" is asked for."""
    (tmp_path / "role").mkdir()
    role = OnnxRuntimeAsTensorRt(tmp_path / "role")
    monkeypatch.setitem(ENGINES, "tensorrt", role)
    monkeypatch.setitem(COMPILERS, "tensorrt", role)
    return role


@pytest.fixture
def empty_store() -> None:
    """Free the scratch memory that other tests left: what a first call finds there it may divide
    among its buffers otherwise than the second does, which then asks the system once more.
    """
    fm._core.release_stored_blocks()


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a generated ONNX file by its name in tests/graphs.py, once."""
    folder = tmp_path_factory.mktemp("graphs")

    def make(name: str) -> Path:
        path = folder / f"{name}.onnx"
        if not path.exists():
            getattr(graphs, name)(path)
        return path

    return make


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give fastmatte a cache folder of the test's own, which is not there yet."""
    folder = tmp_path / "cache" / "models"
    monkeypatch.setenv("FASTMATTE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real models and images, which the project must not carry itself."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real models and images are not there: {folder}")
    return folder
