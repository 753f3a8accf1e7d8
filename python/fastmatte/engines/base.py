"""What an inference engine is to the rest of fastmatte: named tensors in, named tensors out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastmatte.arrays import Array


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a graph; a dimension is a number, a name, or None where unknown."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    def __str__(self) -> str:
        shape = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name} {self.dtype} [{shape}]"


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
    """One loaded model. Bindings of one engine may run in several threads at once."""

    name: str
    version: str
    device: str
    precision: str
    threads: int
    signature: Signature

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Binding:
        """Tie C-contiguous arrays to the graph's inputs and to those outputs that are wanted.

        Raises EngineError where a name, dtype or shape is not the graph's.
        """

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once into new arrays: every output by name, for shapes not known beforehand."""


class EngineKind(Protocol):
    """An engine as something to choose: whether it is here, and how to open a model with it."""

    requirement: str

    def version(self) -> str | None:
        """Return the installed library's version, None where it is not installed."""

    def open(self, path: Path, *, precision: str, threads: int) -> Engine:
        """Load a model.

        Raises ModelError for an unusable file, EngineError for what the engine cannot do.
        """
