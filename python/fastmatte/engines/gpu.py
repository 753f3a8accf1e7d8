"""What the engines of a GPU share: that one is there, and memory for what nobody wants."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from fastmatte.arrays import Array
from fastmatte.engines.base import Enqueue
from fastmatte.errors import EngineError


def gpu_for(engine: str) -> Any:
    """Return fastmatte.cuda; raise EngineError where it, a driver or a GPU is missing.

    All that is used of it: missing(), devices(), current_device(), using() and free_memory();
    Stream(), which has ptr and synchronize(); Event(); empty() and to_device(), whose arrays have
    ptr, numpy() and write().
    """
    try:
        cuda = import_module("fastmatte.cuda")
    except ImportError as error:
        raise EngineError(
            f"{engine} needs fastmatte built with CUDA, and this one is not ({error}): install it "
            "where nvcc is found"
        ) from error
    lacking = cuda.missing()
    if lacking is not None:
        raise EngineError(f"{engine} needs a GPU: {lacking}")
    return cuda


def on_gpu(device: int | str | None) -> AbstractContextManager[object]:
    """Let engines be opened and built on a GPU: they take the current one. None leaves that."""
    return nullcontext() if device is None else gpu_for(f"device={device!r}").using(device)


def current_gpu() -> int | None:
    """Return the number of this thread's current GPU, None where there is none."""
    try:
        number: int = gpu_for("device").current_device()
    except EngineError:
        return None
    return number


def name_of(gpu: Any, number: int) -> str:
    """Return what a GPU is called, and which one it is."""
    return f"{gpu.devices()[number].name} (cuda:{number})"


class Bound:
    """Arrays of the host, their twins on the current GPU, and the stream on which they travel."""

    def __init__(
        self,
        gpu: Any,
        enqueue: Enqueue,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> None:
        self._enqueue = enqueue
        self._there = partial(gpu.using, gpu.current_device())
        self._stream = stream = gpu.Stream()
        self._inputs, self._outputs = dict(inputs), dict(outputs)
        self._given = {n: gpu.to_device(a, stream=stream) for n, a in inputs.items()}
        self._results = {
            name: gpu.empty(array.shape, array.dtype.name, stream=stream)
            for name, array in outputs.items()
        }
        arrays = self._given | self._results
        self._addresses = {name: array.ptr for name, array in arrays.items()}

    def run_there(self) -> None:
        """Run on what was uploaded, and wait: a run without what a pipeline would not copy."""
        with self._there():
            self._enqueue(self._addresses, self._stream.ptr)
        self._stream.synchronize()

    def run(self) -> None:
        """Upload, run, download, and wait."""
        stream = self._stream
        for name, array in self._inputs.items():
            self._given[name].write(array, stream)
        with self._there():
            self._enqueue(self._addresses, stream.ptr)
        for name, array in self._outputs.items():
            np.copyto(array, self._results[name].numpy(stream=stream))
        stream.synchronize()


__all__ = ["Bound", "current_gpu", "gpu_for", "name_of", "on_gpu"]
