"""What a built file was made of: an engine's header says it, or an ONNX file's metadata."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastmatte.engines.engine_file import SUFFIX, facts_of
from fastmatte.errors import ModelError
from fastmatte.graph.signature import read_metadata

if TYPE_CHECKING:
    import onnx

KEY = "fastmatte."


@dataclass(frozen=True)
class Origin:
    """What fastmatte.build made a file of, and how.

    model_sha256: of the ONNX file there was at first, whose licence is the file's own.
    """

    family: str
    model_sha256: str
    precision: str


def origin_of(path: Path) -> Origin | None:
    """Return where a file comes from, None for one that fastmatte did not build.

    Raises EngineError for an engine file that is none.
    """
    if path.suffix == SUFFIX:
        facts = facts_of(path)
        return Origin(facts.family, facts.model_sha256, facts.precision)
    try:
        said = read_metadata(path)
    except ModelError:
        return None  # The engine says better what is wrong with it.
    values = {name: said.get(f"{KEY}{name}") for name in Origin.__dataclass_fields__}
    if None in values.values():
        return None
    return Origin(**{name: str(value) for name, value in values.items()})


def note(model: onnx.ModelProto, origin: Origin) -> None:
    """Write where a graph comes from into its metadata."""
    for name in Origin.__dataclass_fields__:
        entry = model.metadata_props.add()
        entry.key, entry.value = f"{KEY}{name}", getattr(origin, name)


def sha256_of(path: Path) -> str:
    """Return the hash of the ONNX file that a file was at first."""
    origin = origin_of(path)
    return _hashed(path) if origin is None else origin.model_sha256


def _hashed(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


__all__ = ["Origin", "note", "origin_of", "sha256_of"]
