"""What an inference engine is to the rest of fastmatte: named tensors in, named tensors out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from fastmatte.arrays import Array
from fastmatte.engines.engine_file import Machine
from fastmatte.errors import EngineError


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a graph; a dimension is a number, a name, or None where unknown."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    def __str__(self) -> str:
        shape = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name} {self.dtype} [{shape}]"

    def takes(self, array: Array) -> bool:
        """Tell whether an array has this dtype, and every side that is known."""
        return array.dtype == self.dtype and (
            len(array.shape) == len(self.shape)
            and all(
                not isinstance(known, int) or known == side
                for known, side in zip(self.shape, array.shape, strict=True)
            )
        )


@dataclass(frozen=True)
class Signature:
    """All inputs and outputs of a graph, in its own order."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def __str__(self) -> str:
        rows = [("input", t) for t in self.inputs] + [("output", t) for t in self.outputs]
        return "\n".join(f"  {kind:6} {tensor}" for kind, tensor in rows)


class Binding(Protocol):
    """Fixed arrays tied to a graph, so that running it again allocates and converts nothing."""

    def run(self) -> None:
        """Read the input arrays, run the graph, fill the output arrays.

        Raises EngineError with the engine's own text.
        """


class Engine(Protocol):
    """One loaded model. Bindings of one engine may run in several threads at once.

    sizes_kept: of how many input sizes the bindings are worth their memory after use.
    """

    name: str
    version: str
    device: str
    precision: str
    threads: int
    signature: Signature
    sizes_kept: int

    def bind(
        self,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        *,
        constants: Collection[str] = (),
    ) -> Binding:
        """Tie C-contiguous arrays to the graph's inputs and to those outputs that are wanted.

        constants: names of inputs whose values stay as they are now. An engine may build them into
                   the graph: what decides the sizes inside, such as a ratio, costs most when open.

        Raises EngineError where a name, dtype or shape is not the graph's.
        """

    def run(
        self, inputs: Mapping[str, Array], *, constants: Collection[str] = ()
    ) -> dict[str, Array]:
        """Run once into new arrays: every output by name, for shapes not known beforehand.

        Gives the bits that a binding of the same inputs gives.
        """


#: Enqueues a run: addresses on the GPU of inputs and outputs by name, and that of a stream.
Enqueue = Callable[[Mapping[str, int], int], None]


@runtime_checkable
class DeviceEngine(Protocol):
    """An engine whose tensors lie in a GPU's memory: fastmatte.cuda's Pipeline goes around it.

    gpu:          fastmatte.cuda.
    number:       of the GPU, the one that was current when the model was opened.
    why_no_graph: why its runs cannot be captured in a CUDA graph, None where they can.
    """

    gpu: Any
    number: int
    why_no_graph: str | None

    def enqueuer(
        self, tensors: Mapping[str, TensorInfo], constants: Mapping[str, Array]
    ) -> Enqueue:
        """Return what enqueues a run, with memory of its own for all that is inside.

        To be called, and called back, with its GPU as the current one.

        tensors:   those whose addresses it will be given, with all sides known.
        constants: inputs that stay as they are, by name, as arrays of the host.

        Raises EngineError, with the bytes wanted and free where they are too few.
        """


@dataclass(frozen=True)
class Compiled:
    """What a library that builds engines made of a graph.

    timing: what it learnt about this GPU, for its next build.
    """

    engine: bytes
    timing: bytes


class EngineKind(Protocol):
    """An engine as something to choose: whether it is here, and how to open a model with it."""

    requirement: str

    def version(self) -> str | None:
        """Return the installed library's version, None where it is not installed."""

    def reservation(self, path: Path) -> str | None:
        """Say why "auto" should leave a file to another engine, None where it need not."""

    def open(self, path: Path, *, precision: str, threads: int, strict: bool = False) -> Engine:
        """Load a model.

        strict: whether to refuse one of which a part would run elsewhere than on the engine's
                device.

        Raises ModelError for an unusable file, EngineError for what the engine cannot do.
        """


class Compiler(EngineKind, Protocol):
    """An engine that runs files built of ONNX files, each for one machine."""

    def machine(self) -> Machine:
        """Return what files are built by and for, here.

        Raises EngineError where nothing can be built or run.
        """

    def refusal(self, graph: Path) -> str | None:
        """Say what in a frozen graph the library is known not to take, None where there is none."""

    def compile(
        self, graph: Path, *, precision: str, timing: bytes, progress: Callable[[str, float], None]
    ) -> Compiled:
        """Build an engine of a frozen graph that has the types it shall compute in.

        timing:   what an earlier build here learnt, b"" for nothing.
        progress: told of each phase and how much of it is done, 0 to 1. What it raises ends the
                  build, and is raised again.

        Raises ModelError for a graph the library refuses, EngineError for what goes wrong.
        """


def require_bindable(
    signature: Signature, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> None:
    """Raise what Engine.bind documents, and ValueError for arrays that are not C-contiguous."""
    for kind, tensors, arrays in (
        ("input", signature.inputs, inputs),
        ("output", signature.outputs, outputs),
    ):
        known = {tensor.name: tensor for tensor in tensors}
        for name, array in arrays.items():
            if name not in known:
                names = ", ".join(map(repr, known))
                raise EngineError(f"{kind} {name!r}: expected one of {names}")
            if not known[name].takes(array):
                shape = ", ".join(map(str, array.shape))
                raise EngineError(
                    f"{kind} {name!r}: expected {known[name]}, got {array.dtype} [{shape}]"
                )
            if not array.flags.c_contiguous:
                raise ValueError(f"{name}: expected a C-contiguous array")
    missing = [tensor.name for tensor in signature.inputs if tensor.name not in inputs]
    if missing:
        raise EngineError(f"input {missing[0]!r}: no array is given for it")
