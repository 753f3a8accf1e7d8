"""fm.build: from an ONNX file to a frozen one, or an engine of it, that was proved to be right.

For TensorRT the end is an engine file; for the engines of a CPU it is the ONNX file that the same
steps made on the way, and the same proof is run on it. So all but the last step is the same code
with and without a GPU.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Literal, get_args

import numpy as np

from fastmatte import _core
from fastmatte.arrays import Array, Size
from fastmatte.engine_cache import Wanted, cached, keep_timing, timing
from fastmatte.engines import COMPILERS, ENGINES, Precision
from fastmatte.engines.engine_file import SUFFIX, EngineFacts, Machine, packed, read_engine
from fastmatte.engines.gpu import Bound, on_gpu
from fastmatte.errors import EngineError, ModelError
from fastmatte.graph import freeze, lower, quantise, read_signature
from fastmatte.graph.divergence import Layer, first_divergence
from fastmatte.models import ModelSpec, choose_family
from fastmatte.models.family import COMMON_FRAME
from fastmatte.models.store import resolve
from fastmatte.observation import Observation, observe
from fastmatte.origin import Origin, note, sha256_of
from fastmatte.proof import TOLERANCE, CheckReport, Sample, Samples, check, samples_of
from fastmatte.serving import Progress

__all__ = ["Attempt", "BuildReport", "Built", "build", "engine_for"]

Target = Literal["tensorrt", "onnxruntime", "openvino"]

#: What "auto" tries, from the one that is surely right. bfloat16 needs hardware that only a GPU
#: has, here: ONNX Runtime on a CPU cannot compute in it, and OpenVINO chooses it by itself.
CANDIDATES: dict[Target, tuple[Precision, ...]] = {
    "tensorrt": ("fp32", "bf16", "fp16", "int8"),
    "onnxruntime": ("fp32", "fp16", "int8"),
    "openvino": ("fp32", "fp16", "int8"),
}
#: Feeds that int8 is calibrated on at most: each lies in memory.
CALIBRATED_ON = 64
#: Runs before a time is taken, and of which the median is.
WARM_UP, RUNS = 3, 15
#: A lower precision is taken for no less: two runs of one engine differ by as much.
LEAST_GAIN = 0.95


@dataclass(frozen=True)
class Attempt:
    """One precision that was tried.

    check:        how far its alpha is from fp32's; None where it did not come to that.
    failure:      why it is not good enough, None where it is.
    diverges:     the first layer whose values are not those of fp32, where it is not good enough.
    milliseconds: of a run of the network, the median; None where it did not come to that.
    """

    precision: str
    check: CheckReport | None
    failure: str | None
    diverges: Layer | None
    milliseconds: float | None

    @property
    def passed(self) -> bool:
        """Whether it is good enough."""
        return self.failure is None


@dataclass(frozen=True)
class Built:
    """What became of one size.

    size:      (height, width) of the network's input.
    path:      the file that was written; None where no precision was good enough.
    precision: of that file.
    attempts:  what was tried, in this order.
    """

    size: Size
    path: str | None
    precision: str | None
    bytes: int
    seconds: float
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class BuildReport:
    """What a build made.

    machine: what an engine was built by and for; None where the result is an ONNX file.
    """

    model: str
    model_sha256: str
    family: str
    engine: str
    engine_version: str
    machine: Machine | None
    tolerance: float
    built: tuple[Built, ...]

    @property
    def passed(self) -> bool:
        """Whether there is a file for every size."""
        return all(built.path is not None for built in self.built)


def build(
    model: str | Path | ModelSpec,
    out: str | Path,
    *,
    engine: Target = "tensorrt",
    precision: Precision = "fp32",
    sizes: Sequence[Size] | None = None,
    samples: Samples = None,
    tolerance: float = TOLERANCE,
    family: str | None = None,
    threads: int | None = None,
    device: int | str | None = None,
    overwrite: bool = False,
    progress: Progress = lambda stage, share: None,
) -> BuildReport:
    """Freeze a network, lower its precision, build an engine of it, and prove its alpha.

    model:     as for a Matter: an ONNX file, a name, or a ModelSpec.
    out:       the file to write: .engine for "tensorrt", .onnx for the others. Where there are
               several sizes each is added to the name: modnet-512x896.engine.
    engine:    what the result is for. "onnxruntime" and "openvino" take the graph that TensorRT
               would be given, frozen and mixed or quantised.
    precision: "fp32", "fp16", "bf16" or "int8"; "auto" for the fastest that passes.
    sizes:     (height, width) of the network's input, each built by itself; None for what the
               family sees of a 1080p frame. Frames of other sizes are resized to it.
    samples:   images to prove it on, as for check(); "int8" is calibrated on them too, and is
               tried by "auto" only where they are given. None for drawn portraits.
    tolerance: the largest mean deviation from ONNX Runtime's fp32 that passes; above it nothing
               is written.
    device:    the GPU that engines are built and proved on, as for a Matter. They run on every GPU
               of its name.
    progress:  called with what is being done, and how much of it, None where nobody knows.

    Returns the report; whether it passed is in it. A precision that the engine cannot do is a
    failed attempt for "auto", and an error where it was asked for. Raises what check() and
    fm.graph.freeze() raise; ValueError for a bad argument; FileExistsError; ModelError for a graph
    that the engine cannot take, with the node's name; EngineError where TensorRT, its builder's
    resources, a GPU or a driver is missing.
    """
    from fastmatte.images import refuse_occupied, replacing  # loads Pillow

    if engine not in get_args(Target):
        expected = ", ".join(map(repr, get_args(Target)))
        raise ValueError(f"engine: expected one of {expected}, got {engine!r}")
    if precision not in get_args(Precision):
        expected = ", ".join(map(repr, get_args(Precision)))
        raise ValueError(f"precision: expected one of {expected}, got {precision!r}")
    if precision == "int8" and samples is None:
        raise ValueError("samples: expected images of what the network is for: int8 is calibrated")
    if not 0 <= tolerance <= 1:
        raise ValueError(f"tolerance: expected 0 to 1, got {tolerance!r}")
    spec, _ = resolve(model)
    spec = spec if family is None else replace(spec, family=family)
    goal, suffix = Path(out), SUFFIX if engine in COMPILERS else ".onnx"
    if goal.suffix != suffix:
        raise ValueError(f"out: expected a name that ends in {suffix}, got {goal.name!r}")
    if device is not None and engine not in COMPILERS:
        raise ValueError(f"device: expected None, for {engine} runs on the processor; got {device}")
    with on_gpu(device):
        job = _Job.of(spec, engine, samples, tolerance, threads, progress)
    chosen = [job.size] if sizes is None else list(dict.fromkeys(sizes))
    if not chosen:
        raise ValueError("sizes: expected at least one, got none")
    goals = dict.fromkeys(chosen, goal)
    if len(chosen) > 1:
        goals = {(h, w): goal.with_stem(f"{goal.stem}-{h}x{w}") for h, w in chosen}
    for place in goals.values():
        refuse_occupied(place, overwrite=overwrite)
    found = []
    for size, place in goals.items():
        with on_gpu(device), tempfile.TemporaryDirectory(prefix="fastmatte-") as folder:
            built, data = job.run(Path(folder), size, precision)
            if data is not None:
                with replacing(place, overwrite=overwrite) as file:
                    file.write(data)
                built = _placed(built, place)
            found.append(built)
    return BuildReport(
        str(spec.path),
        job.model_sha256,
        job.family,
        engine,
        ENGINES[engine].version() or "",
        job.machine,
        tolerance,
        tuple(found),
    )


def engine_for(
    spec: ModelSpec,
    *,
    engine: str,
    precision: Precision,
    threads: int,
    progress: Progress = lambda stage, share: None,
) -> Path:
    """Return the engine of a network for this machine, from the cache, else built and proved now.

    The machine's current GPU is the one it is for.

    spec: of a file that is there; its size, else what the family sees of a 1080p frame, is the
          engine's.

    Raises what build() raises, and EngineError where no precision passes.
    """
    if engine != "tensorrt":
        raise ValueError(f"engine: expected one that is built, got {engine!r}")
    if precision == "int8":
        raise ValueError(
            "precision: expected one that needs no calibration, got 'int8': build an engine with "
            "fm.build or `fastmatte build` on samples, and give that"
        )
    job = _Job.of(spec, "tensorrt", None, TOLERANCE, threads, progress)
    assert job.machine is not None
    size = spec.size or job.size
    machine = job.machine
    wanted = Wanted(machine, job.model_sha256, job.family, precision, size)

    def make() -> tuple[EngineFacts, bytes]:
        with tempfile.TemporaryDirectory(prefix="fastmatte-") as folder:
            built, _ = job.run(Path(folder), size, precision)
            if built.path is None:
                reasons = "; ".join(f"{a.precision}: {a.failure}" for a in built.attempts)
                raise EngineError(f"{engine}: no engine of {spec.path} passes: {reasons}")
            # The cache writes its own header, of what it was asked for.
            facts = job.facts(size, str(built.precision))
            return facts, job.bare(Path(built.path))

    return cached(wanted, make, waiting=lambda: progress("waiting for another build of it", None))


@dataclass(frozen=True)
class _Job:
    """What is the same for all sizes and precisions of one build."""

    spec: ModelSpec
    family: str
    model_sha256: str
    size: Size
    target: Target
    machine: Machine | None
    samples: list[Sample]
    own: bool
    tolerance: float
    threads: int
    progress: Progress

    @staticmethod
    def of(
        spec: ModelSpec,
        target: Target,
        samples: Samples,
        tolerance: float,
        threads: int | None,
        progress: Progress,
    ) -> _Job:
        path = Path(spec.path)
        signature = read_signature(path)
        family, _ = choose_family(spec, signature)
        return _Job(
            spec,
            family.name,
            sha256_of(path),
            family.input_size(signature, spec, COMMON_FRAME),
            target,
            COMPILERS[target].machine() if target in COMPILERS else None,
            samples_of(samples),
            samples is not None,
            tolerance,
            _core.default_threads() if threads is None else threads,
            progress,
        )

    def facts(self, size: Size, precision: str) -> EngineFacts:
        """Return what an engine file of this job says of itself."""
        assert self.machine is not None
        return EngineFacts(self.machine, self.model_sha256, self.family, precision, size)

    def run(self, folder: Path, size: Size, precision: Precision) -> tuple[Built, bytes | None]:
        """Build and prove one size in a folder; return the report and what to write, if anything.

        The report's path is of a file in the folder.
        """
        start = perf_counter()
        self.progress("feeding the network in fp32", None)
        calibrates = self.own and precision in ("int8", "auto")
        fed = self.samples if calibrates else self.samples[:1]
        kept = CALIBRATED_ON if calibrates else 1
        seen = observe(self.spec, fed, threads=self.threads, size=size, kept=kept)
        self.progress("freezing the graph", None)
        frozen = folder / "frozen.onnx"
        shapes = {name: array.shape for name, array in seen.feeds[-1].items()}
        freeze(self.spec.path, frozen, shapes=shapes, values=seen.constants)
        if self.target in COMPILERS:
            refusal = COMPILERS[self.target].refusal(frozen)
            if refusal is not None:
                raise ModelError(f"{self.spec.path}: {refusal}")
        wanted = (precision,) if precision != "auto" else CANDIDATES[self.target]
        attempts: list[tuple[Attempt, Path]] = []
        for kind in wanted:
            if kind == "int8" and not self.own:
                continue
            place = folder / f"{kind}{SUFFIX if self.target in COMPILERS else '.onnx'}"
            try:
                attempts.append((self.attempt(frozen, place, seen, kind), place))
            except (EngineError, ModelError) as error:
                if precision != "auto":
                    raise
                attempts.append((Attempt(kind, None, str(error), None, None), place))
        tried = tuple(attempt for attempt, _ in attempts)
        best: Attempt | None = None
        for attempt, file in attempts:
            if attempt.passed and (best is None or _is_faster(attempt, best)):
                best, place = attempt, file
        if best is None:
            return Built(seen.size, None, None, 0, perf_counter() - start, tried), None
        data = place.read_bytes()
        seconds = perf_counter() - start
        return Built(seen.size, str(place), best.precision, len(data), seconds, tried), data

    def attempt(self, frozen: Path, place: Path, seen: Observation, precision: str) -> Attempt:
        """Make one precision's file at a place, and prove it."""
        graph, rounded = frozen, None
        if precision in ("fp16", "bf16"):
            kind: Literal["fp16", "bf16"] = "fp16" if precision == "fp16" else "bf16"
            self.progress(f"lowering the graph to {kind}", None)
            graph, rounded = (
                frozen.with_name(f"{kind}-{form}.onnx") for form in ("typed", "round")
            )
            lower(frozen, graph, precision=kind, family=self.family)
            lower(frozen, rounded, precision=kind, family=self.family, form="rounded")
        elif precision == "int8":
            self.progress("calibrating int8", None)
            graph = rounded = frozen.with_name("int8-typed.onnx")
            quantise(frozen, graph, feeds=seen.feeds, family=self.family)
        if rounded is not None:
            # In seconds, before minutes are spent: ONNX Runtime shows what rounding itself does.
            self.progress(f"proving the arithmetic of {precision}", None)
            report = self.check(rounded, "onnxruntime", seen)
            if not report.passed:
                self.progress(f"looking for where {precision} diverges", None)
                layer = first_divergence(frozen, rounded, seen.feeds[-1])
                return Attempt(precision, report, _failure(report), layer, None)
        data = self.made(graph, seen.size, precision)
        place.write_bytes(data)
        self.progress(f"proving {precision}", None)
        report = self.check(place, self.target, seen)
        milliseconds = self.time(place, seen.feeds[-1])
        if report.passed:
            return Attempt(precision, report, None, None, milliseconds)
        reason = _failure(report)
        if rounded is not None:
            reason += f"; ONNX Runtime rounding alike is right, so that it is {self.target}'s own"
        return Attempt(precision, report, reason, None, milliseconds)

    def made(self, graph: Path, size: Size, precision: str) -> bytes:
        """Return the contents of the file for the target."""
        if self.target not in COMPILERS:
            from onnx import load

            model = load(graph)
            note(model, Origin(self.family, self.model_sha256, precision))
            written: bytes = model.SerializeToString()
            return written
        assert self.machine is not None

        def told(phase: str, share: float) -> None:
            self.progress(f"building {precision}: {phase}", share)

        self.progress(f"building {precision}", None)
        compiled = COMPILERS[self.target].compile(
            graph, precision=precision, timing=timing(self.machine), progress=told
        )
        keep_timing(self.machine, compiled.timing)
        return packed(self.facts(size, precision), compiled.engine)

    def bare(self, place: Path) -> bytes:
        """Return the engine in a file that made() gave, without its header."""
        assert self.machine is not None
        return read_engine(place, self.machine)[1]

    def check(self, path: Path, engine: Target, seen: Observation) -> CheckReport:
        """Hold a file's own alpha, not refined by the frame's edges, against the original's."""
        return check(
            replace(self.spec, path=path, downsample_ratio=None, family=self.family),
            engine=engine,
            samples=self.samples,
            tolerance=self.tolerance,
            size=seen.size,
            refine="none",
            threads=self.threads,
            reference=self.spec,
        )

    def time(self, path: Path, feed: Mapping[str, Array]) -> float:
        """Return the median milliseconds of a run with arrays that are bound once, and there."""
        opened = ENGINES[self.target].open(path, precision="auto", threads=self.threads)
        inputs = {name: np.ascontiguousarray(array) for name, array in feed.items()}
        binding = opened.bind(inputs, opened.run(inputs))
        run = binding.run_there if isinstance(binding, Bound) else binding.run
        times = []
        for i in range(WARM_UP + RUNS):
            start = perf_counter()
            run()
            if i >= WARM_UP:
                times.append(1e3 * (perf_counter() - start))
        return statistics.median(times)


def _is_faster(attempt: Attempt, best: Attempt) -> bool:
    return (attempt.milliseconds or 0.0) < LEAST_GAIN * (best.milliseconds or 0.0)


def _failure(report: CheckReport) -> str:
    if report.failure is not None:
        return report.failure
    return f"a mean deviation of {report.mean:.2g} is above {report.tolerance:.2g}"


def _placed(built: Built, place: Path) -> Built:
    """Return a report whose file is at its place."""
    attempts = tuple(
        replace(
            attempt,
            check=replace(attempt.check, matter=replace(attempt.check.matter, model=str(place))),
        )
        if attempt.check is not None and attempt.precision == built.precision
        else attempt
        for attempt in built.attempts
    )
    return replace(built, path=str(place), attempts=attempts)
