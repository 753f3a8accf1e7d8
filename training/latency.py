"""Latency of every variant with random weights beside MediaPipe's, interleaved, on one thread."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from training.export import export
from training.network import NAMES, build
from training.teacher import MODEL

SIZES = (256, 512)


def session(path: Path) -> onnxruntime.InferenceSession:
    """Open a graph for one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def measure(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time each run in turn, over and over, so that a busy machine is unfair to none."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(rounds + 3):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if index >= 3:
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def runner(path: Path, name: str, size: int) -> Callable[[], object]:
    """Return what runs a graph once on one image of noise."""
    opened = session(path)
    image = np.random.default_rng(0).random((1, 3, size, size), np.float32)
    return lambda: opened.run(None, {name: image})


def main() -> None:
    """Print the latency table in Markdown."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, action="append", default=[], help="a file as well")
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        files = {path.stem: path for path in arguments.model}
        parameters = {}
        for name in NAMES:
            student = build(name)
            parameters[name] = sum(p.numel() for p in student.parameters()) / 1e6
            files[name] = Path(folder) / f"{name}.onnx"
            export(student, files[name])
        runs = {("mediapipe", 256): runner(arguments.data / MODEL, "pixel_values", 256)}
        for name, path in files.items():
            for size in SIZES:
                runs[name, size] = runner(path, "input", size)
        named = {f"{name} {size}": run for (name, size), run in runs.items()}
        times = measure(named, arguments.rounds)
        ruler = times["mediapipe 256"]
        print("| network | size | parameters, M | MB | min, ms | median, ms | median / MediaPipe |")
        print("|---|---|---|---|---|---|---|")
        for (name, size), found in zip(runs, times.values(), strict=True):
            ratio = statistics.median(found) / statistics.median(ruler)
            count = f"{parameters[name]:.2f}" if name in parameters else ""
            path = files.get(name, arguments.data / MODEL)
            print(
                f"| {name} | {size} | {count} | {path.stat().st_size / 1e6:.2f} | {min(found):.1f} "
                f"| {statistics.median(found):.1f} | {ratio:.2f} |"
            )


if __name__ == "__main__":
    main()
