"""An engine that remembers what it was fed, for graphs to be frozen and calibrated by."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping

from fastmatte.arrays import Array
from fastmatte.engines.base import Binding, Engine


class Recording:
    """Another engine, and copies of the inputs of each of its runs.

    feeds:     inputs by name, one for each of the latest runs.
    constants: names of the inputs that whoever fed it said are constant.
    """

    def __init__(self, engine: Engine, kept: int) -> None:
        """Wrap an engine; kept is how many runs are remembered."""
        self._engine = engine
        self.name = engine.name
        self.version = engine.version
        self.device = engine.device
        self.precision = engine.precision
        self.threads = engine.threads
        self.signature = engine.signature
        self.sizes_kept = engine.sizes_kept
        self.feeds: deque[dict[str, Array]] = deque(maxlen=kept)
        self.constants: set[str] = set()

    def bind(
        self,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        *,
        constants: Collection[str] = (),
    ) -> Bound:
        """Tie arrays to the other engine."""
        self.constants |= set(constants)
        return Bound(self, self._engine.bind(inputs, outputs, constants=constants), inputs)

    def run(
        self, inputs: Mapping[str, Array], *, constants: Collection[str] = ()
    ) -> dict[str, Array]:
        """Run the other engine once."""
        self.constants |= set(constants)
        self.record(inputs)
        return self._engine.run(inputs, constants=constants)

    def record(self, inputs: Mapping[str, Array]) -> None:
        """Copy the inputs of a run."""
        self.feeds.append({name: array.copy() for name, array in inputs.items()})


class Bound:
    """Another engine's binding."""

    def __init__(self, recording: Recording, binding: Binding, inputs: Mapping[str, Array]) -> None:
        self._recording = recording
        self._binding = binding
        self._inputs = inputs

    def run(self) -> None:
        """Copy the inputs, and run."""
        self._recording.record(self._inputs)
        self._binding.run()


__all__ = ["Recording"]
