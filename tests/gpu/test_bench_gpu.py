"""bench/bench_gpu.py from end to end on tiny frames: it may have to run unattended."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from device_engines import Emulated, Kind
from fastmatte.engines import ENGINES

BENCH = Path(__file__).parents[2] / "bench" / "bench_gpu.py"


@pytest.fixture
def bench(cuda, monkeypatch):
    spec = importlib.util.spec_from_file_location("bench_gpu", BENCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SIZES", {"720p": (72, 96)})
    monkeypatch.setattr(module, "NETWORK", (64, 64))
    monkeypatch.setattr(module, "SECONDS", 0)
    monkeypatch.setattr(module, "FEWEST", 2)
    monkeypatch.setattr(module, "bandwidth", lambda: 1e12)
    for name in ("device_times", "graph_times"):
        plain = getattr(module, name)
        monkeypatch.setattr(module, name, lambda f, s, *r, plain=plain, **o: plain(f, s, repeats=3))
    if cuda.devices()[0].name == "emulated":
        # Where PyTorch has a GPU, it would take the emulated memory for that one's.
        monkeypatch.setitem(sys.modules, "torch", None)
        monkeypatch.setitem(ENGINES, "torch", Kind(Emulated, cuda))
        monkeypatch.setattr(module, "engines_of", lambda asked: {"torch": "auto"})
    else:
        pytest.importorskip("torch", reason="torch is not installed")
    return module


def test_it_runs_and_writes_every_row(bench, cuda, tmp_path, monkeypatch, capsys):
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", "--json", str(out)])
    bench.main()
    said = capsys.readouterr().out
    report = json.loads(out.read_text())
    assert set(report["stages"]) == {"720p"}
    whole = {row["engine"]: row for row in report["whole"]}
    rows = {row["name"]: row for row in whole["torch"]["rows"]}
    assert whole["torch"]["graph"] == "one launch for each frame"
    assert len(rows) == 11
    missing = {name for name, row in rows.items() if "p50_ms" not in row}
    assert missing <= {"PyTorch around it", "bound: both copies", "OpenCV and NumPy around it"}, (
        said
    )
    assert all(rows[name]["error"].startswith("ModuleNotFoundError") for name in missing), said
    assert all("p50_ms" in row for row in report["stages"]["720p"]), said
