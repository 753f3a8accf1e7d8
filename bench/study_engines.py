"""Which CPU engine runs a network fastest, and whether a frozen graph helps: why auto is as it is.

    python bench/study_engines.py MODEL.onnx... [--size 512 896] [--threads 1 2] [--seconds 8]

All run in turns in one process, bound to the same arrays, without any of fastmatte's kernels:
ONNX Runtime as the file is, with the batch fixed, with the graph frozen; OpenVINO in fp32, with its
sizes left open, and in bf16 where the processor has it. Times are medians in milliseconds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import fastmatte as fm
import numpy as np
import onnxruntime
from fastmatte.engines import ENGINES
from fastmatte.engines import onnxruntime as plain
from fastmatte.engines import openvino as fast

RATIO = "downsample_ratio"
COARSE_SIDE = 512

Run = Callable[[], object]


def session_run(path: Path, inputs: dict, outputs: dict, threads: int) -> Run:
    """ONNX Runtime as published pipelines use it: nothing said about the batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    kept = {t.name: inputs[t.name] for t in session.get_inputs()}
    return plain.Bound(session, kept, outputs).run


class Open(fast.OpenVino):
    """OpenVINO with its sizes left open."""

    def _compile_new(self, inputs, outputs, constants):
        model = self._model.clone()
        for tensor, port in zip(self.signature.outputs, list(model.outputs), strict=True):
            if tensor.name not in outputs:
                model.remove_result(port.get_node())
        return self._core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": self._hint,
                "INFERENCE_NUM_THREADS": self.threads,
                "NUM_STREAMS": 1,
                "ENABLE_CPU_PINNING": False,
            },
        )


def arrays(path: Path, size: tuple[int, int]) -> tuple[dict, dict, tuple[str, ...]]:
    """Inputs for a frame of this size, all outputs, and which inputs are constants."""
    engine = ENGINES["onnxruntime"].open(path, precision="auto", threads=2)
    rng = np.random.default_rng(0)
    inputs: dict[str, np.ndarray] = {}
    for tensor in engine.signature.inputs:
        if tensor.name == RATIO:
            inputs[RATIO] = np.array([min(COARSE_SIDE / max(size), 1)], np.float32)
        elif tensor.name[0] == "r" and tensor.name[-1] == "i":
            inputs[tensor.name] = np.zeros((1, 1, 1, 1), np.float32)
        else:
            open_sides = (1, 3, *size) if tensor.shape[1] == 3 else (1, *size, 3)
            shape = [
                k if isinstance(k, int) else o
                for k, o in zip(tensor.shape, open_sides, strict=True)
            ]
            inputs[tensor.name] = rng.random(shape, np.float32)
    outputs = engine.run(inputs)
    for name in inputs:
        if name[0] == "r" and name[-1] == "i":
            inputs[name] = np.zeros_like(outputs[name[:-1] + "o"])
    return inputs, outputs, tuple(name for name in inputs if name == RATIO)


def study(path: Path, size: tuple[int, int], threads: int, seconds: float) -> None:
    inputs, outputs, constants = arrays(path, size)
    runs: dict[str, Run] = {"onnxruntime": session_run(path, inputs, outputs, threads)}
    reference = {}
    runs["onnxruntime"]()
    reference = {name: array.copy() for name, array in outputs.items()}
    deviations: dict[str, float] = {}

    def add(name: str, run: Run) -> None:
        run()
        deviations[name] = max(float(np.abs(outputs[n] - reference[n]).max()) for n in outputs)
        runs[name] = run

    engine = ENGINES["onnxruntime"].open(path, precision="auto", threads=threads)
    add("  batch fixed", engine.bind(inputs, outputs).run)
    with tempfile.TemporaryDirectory() as folder:
        frozen = Path(folder, "frozen.onnx")
        fm.graph.freeze(
            path,
            frozen,
            shapes={n: a.shape for n, a in inputs.items() if n not in constants},
            values={n: inputs[n] for n in constants},
        )
        add("  frozen", session_run(frozen, inputs, outputs, threads))
    for name, precision in (("openvino", "fp32"), ("  sizes open", "fp32"), ("  bf16", "bf16")):
        try:
            engine = ENGINES["openvino"].open(path, precision=precision, threads=threads)
        except fm.EngineError as error:
            print(error)
            continue
        if "open" in name.split():
            engine.__class__ = Open
            add(name, engine.bind(inputs, outputs).run)
        else:
            add(name, engine.bind(inputs, outputs, constants=constants).run)
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = perf_counter() + seconds
    while perf_counter() < end or len(times["onnxruntime"]) < 5:
        for name, run in runs.items():
            start = perf_counter()
            run()
            times[name].append((perf_counter() - start) * 1e3)
    what = f"{path.stem} {size[0]} x {size[1]}, {threads} thread(s)"
    print(f"{what}, {len(times['onnxruntime'])} runs each")
    for name, values in times.items():
        off = f"  off by {deviations[name]:.1e}" if name in deviations else ""
        print(f"  {name:16} {median(values):8.2f}  (best {min(values):.2f}){off}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--size", nargs=2, type=int, default=(512, 512))
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    for path in arguments.models:
        for threads in arguments.threads:
            study(path, tuple(arguments.size), threads, arguments.seconds)


if __name__ == "__main__":
    main()
