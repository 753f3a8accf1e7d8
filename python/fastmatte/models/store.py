"""The files of known models on this machine, and what a name in a model's place stands for."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fastmatte.errors import ModelError
from fastmatte.models.catalogue import CATALOGUE, KnownModel, alike
from fastmatte.models.spec import ModelSpec

CHUNK = 1 << 20


def cache_folder() -> Path:
    """Return the folder that pulled models lie in: FASTMATTE_CACHE, else the platform's own."""
    named = os.environ.get("FASTMATTE_CACHE")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("fastmatte", appauthor=False) / "models"


def path_of(model: KnownModel) -> Path:
    """Return where a model's file lies, or would."""
    path = Path(model.spec.path)
    # For one that comes along no folder has to be known.
    return path if path.is_absolute() else cache_folder() / path


def is_local(model: KnownModel) -> bool:
    """Say whether a model's file is on this machine; whether it is the right one is not looked at.

    A folder that may not be read holds nothing anybody could use.
    """
    try:
        return path_of(model).is_file()
    except OSError:
        return False


def resolve(model: str | Path | ModelSpec) -> tuple[ModelSpec, KnownModel | None]:
    """Return how a model is run, and its row in the catalogue where a name stood for it.

    model: a name, a path, or a ModelSpec. A string that is a name is never taken for a path.

    Raises ModelError where neither is there, and for a model that is not on this machine or not
    the file that was published.
    """
    if isinstance(model, str) and model in CATALOGUE:
        row = CATALOGUE[model]
        return replace(row.spec, path=require_local(row)), row
    spec = model if isinstance(model, ModelSpec) else ModelSpec(model)
    path = Path(spec.path)
    if not path.is_file():
        names = ""
        if isinstance(model, str) and path.name == model and not path.suffix:
            names = f", and no model of that name{alike(model)}; `fastmatte models` lists them"
        raise ModelError(f"{path}: no such model file{names}")
    return spec, None


def recognised(sha256: str) -> KnownModel | None:
    """Return the known model whose published file has this hash, wherever it lies."""
    for row in CATALOGUE.values():
        if row.download is not None and f"sha256:{sha256}" in row.download.hashes:
            return row
    return None


def require_commercial(path: str | Path, model: KnownModel | None) -> None:
    """Raise ModelError unless the weights are known to be free for commercial use.

    model: the one that a name or the file's hash stands for, None where nobody knows it.
    """
    if model is None:
        raise ModelError(
            f"{path}: commercial_only was asked for, and the catalogue does not know this file, so "
            "nothing is known of its licence"
        )
    if model.commercial != "yes":
        states = {"no": "is not allowed", "unclear": "is not clearly allowed"}
        raise ModelError(
            f"{model.name}: commercial_only was asked for, and commercial use of its weights "
            f"{states[model.commercial]} (licence: {model.licence}). {model.note}"
        )


def require_local(model: KnownModel) -> Path:
    """Return the file of a model, which is the one that was published.

    Files are hashed when they are first used and when they have changed since.
    Raises ModelError that says how to get a file that is missing or wrong.
    """
    path = path_of(model)
    if not is_local(model):
        raise ModelError(f"{model.name} is not on this machine. {how_to_get(model)}")
    if model.download is not None and not _is_verified(path, model.download.hashes):
        wrong = first_wrong(path, model.download.hashes)
        if wrong:
            raise ModelError(
                f"{path}: not the file that is published as {model.name}: {wrong}.\n"
                f"`fastmatte pull {model.name}` puts the right one in its place."
            )
        mark_verified(path, model.download.hashes)
    return path


def how_to_get(model: KnownModel) -> str:
    """Say how a model comes onto this machine."""
    if model.download is None:
        return (
            f"Nobody publishes an ONNX file of it with a hash: {model.source} is where its authors "
            f"keep it.\n{model.note}\n"
            f"Name your ONNX file instead, or put it here:\n  {path_of(model)}"
        )
    return f"`fastmatte pull {model.name}` downloads it.\n{by_hand(model)}"


def by_hand(model: KnownModel) -> str:
    """Say where a file that came some other way belongs."""
    assert model.download is not None
    return (
        f"By hand, for a machine without network: download\n  {model.download.url}\n"
        f"and put it here, where its hash is checked when it is used:\n  {path_of(model)}"
    )


def first_wrong(
    path: Path, hashes: Sequence[str], progress: Callable[[int], None] = lambda done: None
) -> str:
    """Return how a file differs from what was published, "" where every hash holds."""
    wanted = [h.split(":") for h in hashes]
    found = [hashlib.new(algorithm, usedforsecurity=False) for algorithm, _ in wanted]
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for digest in found:
                digest.update(chunk)
            progress(file.tell())
    for (algorithm, expected), digest in zip(wanted, found, strict=True):
        if digest.hexdigest() != expected:
            return f"its {algorithm} is {digest.hexdigest()}, expected {expected}"
    return ""


def mark_verified(path: Path, hashes: Sequence[str]) -> None:
    """Note that a file holds, as far as the folder may be written, so as not to hash it again."""
    with contextlib.suppress(OSError):
        _mark_of(path).write_text(_state(path, hashes))


def _is_verified(path: Path, hashes: Sequence[str]) -> bool:
    try:
        return _mark_of(path).read_text() == _state(path, hashes)
    except (OSError, UnicodeDecodeError):
        return False


def _mark_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified")


def _state(path: Path, hashes: Sequence[str]) -> str:
    """Return what changes whenever the file or what is expected of it does."""
    stat = path.stat()
    return "\n".join([str(stat.st_size), str(stat.st_mtime_ns), str(stat.st_ino), *hashes, ""])
