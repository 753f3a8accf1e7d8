"""Which pipeline serves: one that is there, until a better one has been made in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter

from fastmatte.errors import EngineError
from fastmatte.pipeline import Pipeline

#: Told of what is being done, and how much of it, 0 to 1, where that is known.
Progress = Callable[[str, float | None], None]


class Serving:
    """The pipeline that serves, which is replaced at most once."""

    def __init__(self, pipeline: Pipeline) -> None:
        #: Read by any thread at any time; who needs one pipeline throughout reads it once.
        self.pipeline = pipeline
        self._name = ""
        self._stage = ""
        self._error: Exception | None = None
        self._started = 0.0
        self._ended = threading.Event()
        self._ended.set()

    def replace_by(self, name: str, make: Callable[[Progress], Pipeline]) -> None:
        """Make another pipeline in a thread of its own, and let it serve once it is there.

        The thread does not keep the program from ending.
        """
        self._name = name
        self._started = perf_counter()
        self._ended.clear()
        threading.Thread(
            target=self._make, args=(make,), name=f"fastmatte builds for {name}", daemon=True
        ).start()

    @property
    def state(self) -> str | None:
        """What is going on in the background, or went wrong there; None for nothing."""
        if self._error is not None:
            served = self.pipeline.engine.name
            return f"{self._name} could not be built, {served} serves on: {self._error}"
        if self._ended.is_set():
            return None
        seconds = perf_counter() - self._started
        served = self.pipeline.engine.name
        return f"{self._name} is being built, {served} serves: {self._stage} ({seconds:.0f} s)"

    def wait(self, timeout: float | None) -> bool:
        """Wait until nothing is being made any more; say whether that came within the time.

        Raises EngineError where it failed.
        """
        ended = self._ended.wait(timeout)
        if self._error is not None:
            raise EngineError(f"{self._name} could not be built: {self._error}") from self._error
        return ended

    def _make(self, make: Callable[[Progress], Pipeline]) -> None:
        try:
            self.pipeline = make(self._say)
        except Exception as error:  # whatever it is, it is told by state and by wait()
            self._error = error
        finally:
            self._ended.set()

    def _say(self, stage: str, share: float | None) -> None:
        self._stage = stage if share is None else f"{stage}, {share:.0%}"


__all__ = ["Progress", "Serving"]
