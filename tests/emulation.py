"""Runs the tests here on kernels built for another processor, which an emulator runs.

    FASTMATTE_EMULATED="EMULATOR PYTHON" FASTMATTE_EMULATED_CORE=FILE pytest -p emulation TESTS

Emulated, NumPy and Hypothesis would take most of an hour. Here they run as ever, and only
fastmatte._core is a stand-in: it hands each call, with the bytes that its arrays lie in, to the
emulated Python, which runs this file too. That one loads the real fastmatte._core, lays the arrays
out in memory as they were (strides, overlap, alignment), and hands back what the call returned or
raised and every byte that it changed. .ci/aarch64 puts this together.
"""

from __future__ import annotations

import ctypes
import importlib.abc
import importlib.machinery
import importlib.util
import os
import pickle
import shlex
import subprocess
import sys
from contextlib import suppress
from threading import Lock
from types import ModuleType

import numpy as np

MODULE = "fastmatte._core"
#: Around each run of bytes, to see writes beside it; a multiple of what arrays are aligned to.
GUARD = 4096
GUARD_BYTE = 0xA5


class Place:
    """Where an array lies: which run of bytes it is in, and how."""

    def __init__(self, array, run, offset):
        self.run, self.offset = run, offset
        self.shape, self.dtype, self.strides = array.shape, array.dtype.str, array.strides
        self.writeable = array.flags.writeable

    def array(self, runs):
        array = np.ndarray(self.shape, self.dtype, runs[self.run], self.offset, self.strides)
        array.flags.writeable = self.writeable
        return array


class Same:
    """A result that is one of the arrays of the arguments."""

    def __init__(self, index):
        self.index = index


def arrays_of(values):
    """The arrays among values, and in tuples of them."""
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, tuple):
            yield from arrays_of(value)


def replaced(value, kind, by):
    """A value where whatever is of this kind, in tuples too, is what by makes of it."""
    if isinstance(value, tuple):
        return tuple(replaced(part, kind, by) for part in value)
    return by(value) if isinstance(value, kind) else value


def extent(array):
    """The addresses of the array's first byte and of the one behind its last."""
    steps = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    if array.size == 0:
        return array.ctypes.data, array.ctypes.data
    lowest = array.ctypes.data + sum(step for step in steps if step < 0)
    return lowest, array.ctypes.data + sum(s for s in steps if s > 0) + array.itemsize


def runs_of(arrays):
    """Extents, those that overlap merged: arrays in one of them may share memory."""
    runs = []
    for low, high in sorted(map(extent, arrays)):
        if runs and low < runs[-1][1]:
            runs[-1][1] = max(high, runs[-1][1])
        else:
            runs.append([low, high])
    return runs


class Core(ModuleType):
    """The stand-in for fastmatte._core."""

    def __init__(self):
        super().__init__(MODULE)
        self._lock = Lock()
        self._start()

    def _start(self):
        self._server = subprocess.Popen(
            [*shlex.split(os.environ["FASTMATTE_EMULATED"]), __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name, constant in pickle.load(self._server.stdout).items():
            setattr(self, name, self._function(name) if constant is None else constant)

    def _ask(self, message):
        with self._lock:
            try:
                pickle.dump(message, self._server.stdin)
                self._server.stdin.flush()
                return pickle.load(self._server.stdout)
            except (EOFError, BrokenPipeError):
                with suppress(BrokenPipeError):
                    self._server.stdin.close()
                self._server.stdout.close()
                status = self._server.wait()
                self._start()  # the next test deserves another
                raise SystemError(f"the emulated {MODULE} died with status {status}") from None

    def _function(self, name):
        def call(*arguments, **named):
            arrays = list(arrays_of(arguments))
            runs = runs_of(arrays)

            def placed_in_its_run(array):
                first, last = extent(array)
                run = next(i for i, (low, high) in enumerate(runs) if low <= first and last <= high)
                return Place(array, run, array.ctypes.data - runs[run][0])

            placed = replaced(arguments, np.ndarray, placed_in_its_run)
            memory = [(low % GUARD, ctypes.string_at(low, high - low)) for low, high in runs]
            result, error, changes = self._ask((name, placed, named, memory))
            for (low, _), change in zip(runs, changes, strict=True):
                if change is not None:
                    ctypes.memmove(low, change, len(change))
            if error is not None:
                raise error
            return replaced(result, Same, lambda same: arrays[same.index])

        return call


class Run:
    """A run of bytes in the emulated process, aligned as it was, between guards."""

    def __init__(self, misalignment, content):
        self.content = content
        whole = np.full(len(content) + 4 * GUARD, GUARD_BYTE, np.uint8)
        begin = GUARD + (misalignment - whole.ctypes.data) % GUARD
        self.end = begin + len(content)
        self.begin, self.whole = begin, whole
        self.bytes = whole[begin : self.end]
        self.bytes[:] = np.frombuffer(content, np.uint8)

    def change(self):
        """The bytes if the call changed any, else None."""
        beside = (self.whole[: self.begin], self.whole[self.end :])
        if any((guard != GUARD_BYTE).any() for guard in beside):
            raise SystemError("the kernel wrote outside its arrays")
        now = self.bytes.tobytes()
        return now if now != self.content else None


def serve(core):
    """Answer calls until there are no more."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever prints must not speak in between.
    os.dup2(2, 1)
    members = {n: v for n, v in vars(core).items() if n[0] != "_" or n == "__version__"}
    pickle.dump({name: None if callable(v) else v for name, v in members.items()}, answers)
    answers.flush()
    while True:
        try:
            name, placed, named, memory = pickle.load(requests)
        except EOFError:
            return
        pickle.dump(answered(members[name], placed, named, memory), answers)
        answers.flush()


def answered(function, placed, named, memory):
    """Call a function on arrays laid out as they were: result, error, and changes of each run."""
    runs = [Run(*run) for run in memory]
    buffers = [run.bytes for run in runs]
    arguments = replaced(placed, Place, lambda place: place.array(buffers))
    given = list(arrays_of(arguments))

    def told(array):
        return next((Same(i) for i, a in enumerate(given) if a is array), array)

    result, error = None, None
    try:
        result = replaced(function(*arguments, **named), np.ndarray, told)
    except Exception as caught:
        error = caught
    try:
        return result, error, [run.change() for run in runs]
    except SystemError as caught:
        return result, caught, [None] * len(runs)


class Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the stand-in where fastmatte._core is asked for."""

    def find_spec(self, name, path, target=None):
        return importlib.util.spec_from_loader(name, self) if name == MODULE else None

    def create_module(self, spec):
        return Core()

    def exec_module(self, module):
        pass


if __name__ == "__main__":
    path = os.environ["FASTMATTE_EMULATED_CORE"]
    # Pickle must find here what the other side names emulation.Place.
    sys.modules["emulation"] = sys.modules["__main__"]
    Place.__module__ = Same.__module__ = "emulation"
    spec = importlib.util.spec_from_file_location("_core", path)
    core = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(core)
    serve(core)
elif "FASTMATTE_EMULATED" in os.environ:
    sys.meta_path.insert(0, Loader())
