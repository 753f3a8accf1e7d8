"""Matting networks: their families, which one a graph belongs to, and those known by name."""

from __future__ import annotations

from pathlib import Path

from fastmatte.engines.base import Signature
from fastmatte.errors import ModelError
from fastmatte.models.bgmv2 import BGMV2
from fastmatte.models.catalogue import Commercial, Download, KnownModel, find, known
from fastmatte.models.dim import DIM, DIM_FOUR
from fastmatte.models.download import pull
from fastmatte.models.family import Family
from fastmatte.models.modnet import MODNET
from fastmatte.models.paddle import PADDLE
from fastmatte.models.portrait import PORTRAIT
from fastmatte.models.rvm import RVM
from fastmatte.models.salient import SALIENT
from fastmatte.models.selfie import MMNET, SELFIE
from fastmatte.models.softmax import SOFTMAX
from fastmatte.models.spec import ModelSpec
from fastmatte.models.store import cache_folder, is_local, path_of, recognised
from fastmatte.models.vitmatte import VITMATTE, VITMATTE_TRANSFORMERS
from fastmatte.origin import sha256_of

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        MODNET,
        *PADDLE,
        PORTRAIT,
        RVM,
        *BGMV2,
        DIM,
        DIM_FOUR,
        VITMATTE,
        VITMATTE_TRANSFORMERS,
        *SALIENT,
        SELFIE,
        MMNET,
        SOFTMAX,
    )
}

__all__ = [
    "FAMILIES",
    "Commercial",
    "Download",
    "Family",
    "KnownModel",
    "ModelSpec",
    "cache_folder",
    "choose_family",
    "find",
    "is_local",
    "known",
    "path_of",
    "pull",
]


def choose_family(spec: ModelSpec, signature: Signature) -> tuple[Family, str]:
    """Return the family of a graph, and why: what the spec says, else what the graph shows.

    Where the graph fits several, as those do that differ in nothing but their normalisation, a file
    that was published is still known by its hash.

    Raises ValueError for a family nobody knows, ModelError where the graph fits none or several.
    """
    if spec.family is not None:
        if spec.family not in FAMILIES:
            names = ", ".join(repr(name) for name in FAMILIES)
            raise ValueError(f"family: expected one of {names}, got {spec.family!r}")
        return FAMILIES[spec.family], "said by hand"
    reasons = {name: family.recognise(signature) for name, family in FAMILIES.items()}
    found = {name: reason for name, reason in reasons.items() if reason}
    if len(found) == 1:
        [(name, reason)] = found.items()
        return FAMILIES[name], reason
    published = recognised(sha256_of(Path(spec.path)))
    if published is not None and published.spec.family is not None:
        reason = f"its hash is that of {published.name}, from the catalogue"
        return FAMILIES[published.spec.family], reason
    fit = "fits several families: " + ", ".join(found) if found else "fits no known family"
    which = "Choose one of" if found else "Known families"
    width = max(map(len, FAMILIES))
    known = "\n".join(
        f"  {name:{width}} {family.networks}: {family.description}"
        for name, family in FAMILIES.items()
        if name in found or not found
    )
    raise ModelError(
        f"{spec.path}: the graph {fit}. It has\n{signature}\n{which}:\n{known}\n"
        f"To say it by hand: Matter({str(spec.path)!r}, family=...), --family at a shell, or a "
        f"ModelSpec where size or normalisation differ from the family's own."
    )
