"""Engine files: what a builder made of a graph, and in front of it what it is good for.

An engine is machine code for one GPU and one version of its library. The library itself says of a
file that does not fit, at best, that a number is wrong; and it runs whatever is in one that does,
so that nothing but the header is looked at before the facts have been compared.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fastmatte.errors import EngineError

#: Changes with the layout of the file.
MAGIC = b"fastmatte engine\x00\x01\r\n"
#: Changes with what fastmatte makes of a graph before a builder sees it: an older engine is of
#: other arithmetic, though everything else about it is the same.
GRAPH_WORK = 1
#: A header is a few hundred bytes; a larger one is none.
MOST_HEADER = 1 << 16

SUFFIX = ".engine"


@dataclass(frozen=True)
class Machine:
    """What an engine is built by and for.

    compute_capability: of the GPU, as "9.0".
    """

    library: str
    library_version: str
    gpu: str
    compute_capability: str


@dataclass(frozen=True)
class EngineFacts:
    """What an engine file says of itself.

    model_sha256: of the ONNX file it was made from.
    size:         (height, width) of the network's input.
    """

    machine: Machine
    model_sha256: str
    family: str
    precision: str
    size: tuple[int, int]
    graph_work: int = GRAPH_WORK


def packed(facts: EngineFacts, engine: bytes) -> bytes:
    """Return the contents of an engine file."""
    header = asdict(facts) | {"bytes": len(engine), "sha256": hashlib.sha256(engine).hexdigest()}
    text = json.dumps(header, sort_keys=True).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + engine


def facts_of(path: Path) -> EngineFacts:
    """Read what an engine file says of itself, and nothing else of it.

    Raises EngineError for a file that is missing or none of fastmatte's.
    """
    return _header(path)[0]


def read_engine(path: Path, machine: Machine) -> tuple[EngineFacts, bytes]:
    """Read an engine file for the machine that is there.

    Raises EngineError in words for a file that is missing, none of fastmatte's, truncated or
    altered, and for one that was built by or for something else.
    """
    facts, header, start = _header(path)
    require_machine(path, facts, machine)
    with path.open("rb") as file:
        file.seek(start)
        engine = file.read()
    if len(engine) != header["bytes"]:
        word = "truncated" if len(engine) < header["bytes"] else "longer than it was"
        raise EngineError(
            f"{path}: {word}: {len(engine)} bytes of engine, of {header['bytes']} that were "
            "written. Build it again"
        )
    if hashlib.sha256(engine).hexdigest() != header["sha256"]:
        raise EngineError(f"{path}: altered since it was written. Build it again")
    return facts, engine


def require_machine(path: Path, facts: EngineFacts, machine: Machine) -> None:
    """Raise EngineError where an engine was built for another machine or by other graph work."""
    for field in fields(Machine):
        theirs, ours = getattr(facts.machine, field.name), getattr(machine, field.name)
        if theirs != ours:
            what = field.name.replace("_", " ").replace("gpu", "GPU")
            raise EngineError(
                f"{path}: built for {what} {theirs}, and here is {ours}. Build it again here"
            )
    if facts.graph_work != GRAPH_WORK:
        raise EngineError(
            f"{path}: built by version {facts.graph_work} of fastmatte's work on graphs, and this "
            f"is version {GRAPH_WORK}. Build it again"
        )


def _header(path: Path) -> tuple[EngineFacts, dict[str, Any], int]:
    """Return the facts, all that the header has, and where the engine begins."""
    if not path.is_file():
        raise EngineError(f"{path}: no such engine file")
    with path.open("rb") as file:
        start = file.read(len(MAGIC) + 4)
        if start[: len(MAGIC)] != MAGIC or len(start) != len(MAGIC) + 4:
            raise EngineError(f"{path}: not an engine file that fastmatte wrote")
        [length] = struct.unpack("<I", start[len(MAGIC) :])
        text = file.read(length) if length <= MOST_HEADER else b""
    try:
        header = json.loads(text)
        given = {field.name: header[field.name] for field in fields(EngineFacts)}
        given["machine"] = Machine(**given["machine"])
        height, width = given["size"]
        facts = EngineFacts(**given | {"size": (int(height), int(width))})
        int(header["bytes"]), str(header["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{path}: the header of this engine file is broken") from error
    return facts, header, len(MAGIC) + 4 + length


__all__ = [
    "GRAPH_WORK",
    "MAGIC",
    "SUFFIX",
    "EngineFacts",
    "Machine",
    "facts_of",
    "packed",
    "read_engine",
    "require_machine",
]
