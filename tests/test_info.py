"""fastmatte info: what it says is what the library says."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import fastmatte as fm
import pytest
from click.testing import CliRunner
from fastmatte.cli import main
from fastmatte.engines import ENGINES


def info(*arguments):
    result = CliRunner().invoke(main, ["info", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result
    return result


def test_the_machine_as_json():
    document = json.loads(info("--json").stdout)
    assert document["fastmatte"] == fm.__version__
    assert document["processor"]["available"] == fm.cpu.available()
    assert document["processor"]["active"] == fm.cpu.active()
    assert document["threads"] >= 1
    assert document["max_pixels"] == fm.MAX_PIXELS
    assert document["engines"] == {
        name: {"version": engine.version(), "requirement": engine.requirement}
        for name, engine in ENGINES.items()
    }


def test_the_machine_as_text():
    result = info()
    assert result.exit_code == 0
    rows = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    rows = {label: value.strip() for label, value in rows.items()}
    assert rows["fastmatte"] == fm.__version__
    assert rows["available"] == ", ".join(fm.cpu.available())
    assert rows["engine onnxruntime"] == ENGINES["onnxruntime"].version()
    assert rows["largest image"] == f"{fm.MAX_PIXELS} pixels"


@pytest.mark.parametrize("name", ENGINES)
def test_an_absent_engine_comes_with_the_command_that_adds_it(monkeypatch, name):
    monkeypatch.setattr(ENGINES[name], "version", lambda: None)
    assert f"not installed: {ENGINES[name].requirement}" in info().stdout
    engine = json.loads(info("--json").stdout)["engines"][name]
    assert engine == {"version": None, "requirement": ENGINES[name].requirement}


def test_a_forced_instruction_set_is_said():
    result = subprocess.run(
        [sys.executable, "-m", "fastmatte", "info"],
        env={**os.environ, "FASTMATTE_CPU": "scalar"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "scalar (FASTMATTE_CPU=scalar)" in result.stdout


def test_tiles_are_told(graph):
    assert "1024 x 1024, where a photo is larger" in info(graph("dim")).stdout
    assert "where a photo is larger" not in info(graph("dim"), "--mode", "reference").stdout


def test_a_model_as_json(graph):
    path = graph("modnet")
    document = json.loads(info(path, "--json").stdout)
    assert document["model"] == str(path)
    assert document["model_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert document["family"] == "modnet"
    assert document["engine"] == fm.Matter(path).info.engine
    assert document["device"] == "cpu"
    assert document["inputs"] == [
        {"name": "input", "dtype": "float32", "shape": ["batch_size", 3, "height", "width"]}
    ]
    assert [tensor["name"] for tensor in document["outputs"]] == ["output"]


@pytest.mark.parametrize("name", ["modnet", "rvm", "salient", "selfie", "softmax"])
def test_a_model_as_text(graph, name):
    result = info(graph(name))
    assert result.exit_code == 0
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    assert ["model", str(graph(name))] in lines
    assert next(value for label, value in lines if label == "family").startswith(f"{name} (")
    inputs = sum(label == "input" for label, _ in lines)
    assert inputs == (6 if name == "rvm" else 1)


def test_a_model_tells_what_it_needs_and_how_it_is_fed(graph):
    rows = [
        line.split("  ", 1)
        for line in info(graph("dim"), "--mode", "reference").stdout.splitlines()
    ]
    rows = {label: value.strip() for label, value in rows}
    assert rows["size"] == "the frame's own, large ones in tiles; whole, long side at most 3840"
    assert rows["normalised"] == "(x * 0.00392157 - (0.5, 0.5, 0.5)) / (0.5, 0.5, 0.5)"
    assert rows["needs"] == "trimap"
    assert (rows["mode"], rows["refine"]) == ("reference", "none")
    assert "note" not in rows
    text = info(graph("rvm_half")).stdout
    assert text.count("note ") == 2
    assert "single images start without memory" in text
    document = json.loads(info(graph("rvm"), "--json").stdout)
    assert document["guidance"] is None
    assert len(document["notes"]) == 1


def test_a_model_of_no_known_family_can_be_named(graph):
    result = info(graph("unknown"))
    assert result.exit_code == 1
    assert "fits no known family" in result.stderr
    assert "\n  input  frames float32 [1, 5, 64, 64]\n" in result.stderr
    result = info(graph("modnet"), "--family", "salient")
    assert "said by hand" in result.stdout


def test_usage_and_missing_files():
    assert info("--family", "modnet").exit_code == 2
    result = info("none.onnx")
    assert result.exit_code == 1
    assert result.stderr == "Error: none.onnx: no such model file\n"


@pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")
def test_a_terminal_sees_a_table_of_its_width():
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastmatte", "info"],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "60"},
        stdout=theirs,
    )
    assert process.wait(60) == 0
    os.close(theirs)
    seen = os.read(ours, 65536).decode()
    os.close(ours)
    assert fm.__version__ in seen
    assert "\x1b[1mfastmatte" in seen
