"""Engines that were built before, on this machine.

What is asked for decides an entry's name, and its own header says what it is; both must agree.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from fastmatte.engines.engine_file import (
    GRAPH_WORK,
    SUFFIX,
    EngineFacts,
    Machine,
    packed,
    read_engine,
)
from fastmatte.errors import EngineError
from fastmatte.locks import alone


@dataclass(frozen=True)
class Wanted:
    """What an entry of the cache is asked for by.

    precision: as asked for: "auto" is an entry of its own, whatever it became.
    size:      (height, width) of the network's input.
    samples:   what it was proved and calibrated on, in words that differ where these differ.
    """

    machine: Machine
    model_sha256: str
    family: str
    precision: str
    size: tuple[int, int]
    samples: str = ""
    graph_work: int = GRAPH_WORK


def engine_folder() -> Path:
    """Return the folder of cached engines: in FASTMATTE_CACHE, else in the platform's own."""
    named = os.environ.get("FASTMATTE_CACHE")
    if named:
        return Path(named).expanduser() / "engines"
    import platformdirs

    return platformdirs.user_cache_path("fastmatte", appauthor=False) / "engines"


def path_of(wanted: Wanted) -> Path:
    """Return where an engine lies, or would."""
    text = json.dumps(asdict(wanted), sort_keys=True).encode()
    return engine_folder() / f"{hashlib.sha256(text).hexdigest()[:32]}{SUFFIX}"


def cached(
    wanted: Wanted,
    make: Callable[[], tuple[EngineFacts, bytes]],
    *,
    waiting: Callable[[], None] = lambda: None,
) -> Path:
    """Return the file of an engine, built now unless it was before.

    make:    builds it. Of several that want it at once, in threads or processes, one builds.
    waiting: called where somebody else is building it.

    An entry that is truncated, altered or of something else is built again, with a warning. It has
    its name only once it is whole. Raises what make raises, and EngineError where the folder cannot
    be written, and where what was made is not what was wanted.
    """
    path = path_of(wanted)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path.with_suffix(".lock"), waiting):
            if path.exists():
                try:
                    _require_wanted(path, read_engine(path, wanted.machine)[0], wanted)
                except EngineError as error:
                    warnings.warn(f"{error}: it is built again", RuntimeWarning, stacklevel=2)
                else:
                    return path
            _write(path, wanted, make)
            return path
    except OSError as error:
        raise EngineError(
            f"{engine_folder()}: the cache folder cannot be written: {error.strerror or error}. "
            "The environment variable FASTMATTE_CACHE names another"
        ) from error


def timing(machine: Machine) -> bytes:
    """Return what earlier builds on this machine learnt about it, b"" for nothing."""
    try:
        return _timing_path(machine).read_bytes()
    except OSError:
        return b""


def keep_timing(machine: Machine, learnt: bytes) -> None:
    """Keep what a build learnt, as far as the folder may be written: the next one is quicker."""
    from fastmatte.images import replacing  # loads Pillow

    path = _timing_path(machine)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, overwrite=True) as file:
            file.write(learnt)


def _timing_path(machine: Machine) -> Path:
    text = json.dumps(asdict(machine), sort_keys=True).encode()
    return engine_folder() / f"{hashlib.sha256(text).hexdigest()[:32]}.timing"


def _write(path: Path, wanted: Wanted, make: Callable[[], tuple[EngineFacts, bytes]]) -> None:
    from fastmatte.images import replacing  # loads Pillow

    facts, engine = make()
    _require_wanted(path, facts, wanted)
    with replacing(path, overwrite=True) as file:
        file.write(packed(facts, engine))


def _require_wanted(path: Path, facts: EngineFacts, wanted: Wanted) -> None:
    same = (
        facts.machine == wanted.machine
        and facts.model_sha256 == wanted.model_sha256
        and facts.family == wanted.family
        and facts.size == wanted.size
        and wanted.precision in ("auto", facts.precision)
        and facts.graph_work == wanted.graph_work
    )
    if not same:
        raise EngineError(f"{path}: an engine of something else than its name says")


__all__ = ["Wanted", "cached", "engine_folder", "keep_timing", "path_of", "timing"]
