"""What can be known of the TensorRT engine without a GPU: its names, and its errors."""

from __future__ import annotations

import ast
import inspect
import sys
import types

import fastmatte as fm
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


def test_an_onnx_file_is_no_engine(graph):
    with pytest.raises(fm.ModelError, match=r"modnet\.onnx: tensorrt runs engine files"):
        tensorrt.open(graph("modnet"), precision="auto", threads=1)


def test_auto_leaves_onnx_files_to_others(graph):
    assert tensorrt.reservation(graph("modnet")) == "tensorrt runs what `fastmatte build` made"


def test_info_lists_it():
    from click.testing import CliRunner
    from fastmatte.cli import main

    assert "engine tensorrt" in CliRunner().invoke(main, ["info"]).stdout
