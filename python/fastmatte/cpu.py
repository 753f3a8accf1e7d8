"""Which instruction set the kernels run on, and how to choose another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastmatte import _core


def available() -> list[str]:
    """Return the instruction sets this processor can run, weakest first, e.g. scalar ... avx512."""
    return _core.available_isas()


def active() -> str:
    """Return the instruction set kernels run on now.

    It is the strongest available one, unless the environment variable FASTMATTE_CPU named another
    when fastmatte was imported, or force() is in effect.
    """
    return _core.active_isa()


@contextmanager
def force(isa: str) -> Iterator[None]:
    """Run kernels on isa inside the with block, for tests and measurements.

    isa: one of available().

    The choice holds for the whole process, so two threads should not force at once. Raises
    ValueError naming the available ones for anything else.
    """
    previous = _core.active_isa()
    _core.force_isa(isa)
    try:
        yield
    finally:
        _core.force_isa(previous)
