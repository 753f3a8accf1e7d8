"""fastmatte info: what this machine offers, and what a model would really run on."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import click

from fastmatte.cli import one_line
from fastmatte.cli.options import mode_option
from fastmatte.cli.tables import echo_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastmatte.models.family import Mode


@click.command()
@click.argument("model", required=False)
@click.option("--family", metavar="NAME", help="The network's family, if it is not recognised.")
@mode_option
@click.option("--json", "as_json", is_flag=True, help="Print it as a JSON document.")
def info(model: str | None, family: str | None, mode: Mode, as_json: bool) -> None:
    """Say what fastmatte runs on here, or how it would run MODEL.

    MODEL is an ONNX file, or a name that `fastmatte models` lists. It is loaded with the engine
    that cut would use, and not run. Of one that is not on this machine, it says what is known.

    \b
    Examples:
      fastmatte info
      fastmatte info modnet.onnx
      fastmatte info selfie
      fastmatte info --json
    """
    if model is None and family is not None:
        raise click.UsageError("--family is about a MODEL: name one")
    if model is None:
        document = _machine()
        rows = _machine_rows(document)
    else:
        document = _known(model)
        rows = _known_rows(document)
        if not document or document["catalogue"]["local"]:
            document |= _model(model, family, mode)
            rows = [*_model_rows(document), *rows]
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _print(list(rows))


def _machine() -> dict[str, Any]:
    import fastmatte as fm
    from fastmatte._core import default_threads
    from fastmatte.engines import ENGINES
    from fastmatte.models import FAMILIES

    return {
        "fastmatte": fm.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": {
            "available": fm.cpu.available(),
            "active": fm.cpu.active(),
            "FASTMATTE_CPU": os.environ.get("FASTMATTE_CPU"),
        },
        "threads": default_threads(),
        "numpy": version("numpy"),
        "pillow": version("pillow"),
        "engines": {
            name: {"version": engine.version(), "requirement": engine.requirement}
            for name, engine in ENGINES.items()
        },
        "families": {
            name: f"{family.networks}: {family.description}" for name, family in FAMILIES.items()
        },
        "models": str(fm.models.cache_folder()),
        "max_pixels": fm.MAX_PIXELS,
    }


def _known(name: str) -> dict[str, Any]:
    """Return what the catalogue says of a name, nothing where it is none."""
    from fastmatte.cli.models import document
    from fastmatte.models.catalogue import CATALOGUE

    return {"catalogue": document(CATALOGUE[name])} if name in CATALOGUE else {}


def _model(path: str, family: str | None, mode: Mode) -> dict[str, Any]:
    import fastmatte as fm

    matter = fm.Matter(path, family=family, mode=mode)
    signature = asdict(matter.signature)
    return asdict(matter.info) | {"inputs": signature["inputs"], "outputs": signature["outputs"]}


def _machine_rows(document: dict[str, Any]) -> Iterable[tuple[str, str]]:
    processor = document["processor"]
    forced = processor["FASTMATTE_CPU"]
    for name in ("fastmatte", "python", "platform"):
        yield name, document[name]
    yield "kernels", processor["active"] + (f" (FASTMATTE_CPU={forced})" if forced else "")
    yield "available", ", ".join(processor["available"])
    yield "threads", str(document["threads"])
    yield "numpy", document["numpy"]
    yield "pillow", document["pillow"]
    for name, engine in document["engines"].items():
        yield f"engine {name}", engine["version"] or f"not installed: {engine['requirement']}"
    for name, description in document["families"].items():
        yield f"family {name}", description
    yield "models", document["models"]
    yield "largest image", f"{document['max_pixels']} pixels"


def _known_rows(document: dict[str, Any]) -> Iterable[tuple[str, str]]:
    known = document.get("catalogue")
    if known is None:
        return
    download = known["download"]
    if not known["local"]:
        yield "model", known["name"]
        how = "by hand" if download is None else f"`fastmatte pull {known['name']}`"
        yield "on this machine", f"no: {how}"
        yield "belongs here", known["path"]
        yield "family", known["family"]
        yield "licence", known["licence"]
        yield "commercial use", known["commercial"]
    yield "remark", known["note"]
    yield "source", known["source"]
    if download is not None:
        yield "download", download["url"]
        for published in download["hashes"]:
            yield "hash", published
        yield "published by", download["published"]


def _model_rows(document: dict[str, Any]) -> Iterable[tuple[str, str]]:
    refine = document["refine"]
    yield "model", document["model"]
    yield "sha256", document["model_sha256"]
    if document["licence"] is not None:
        yield "licence", document["licence"]
        yield "commercial use", document["commercial"]
    yield "family", f"{document['family']} ({document['family_reason']})"
    for kind in ("input", "output"):
        for tensor in document[f"{kind}s"]:
            shape = ", ".join("?" if side is None else str(side) for side in tensor["shape"])
            yield kind, f"{tensor['name']} {tensor['dtype']} [{shape}]"
    values = document["normalisation"]
    scale, mean, std = values["scale"], *(_numbers(values[name]) for name in ("mean", "std"))
    yield "size", document["sizes"]
    if document["tile"] is not None:
        yield "tile", "{} x {}, where a photo is larger".format(*document["tile"])
    yield "normalised", f"(x * {scale:.6g} - ({mean})) / ({std})"
    yield "needs", document["guidance"] or "nothing but the image"
    yield "mode", document["mode"]
    engine = f"{document['engine']} {document['engine_version']}"
    yield "engine", f"{engine} ({document['engine_reason']})"
    yield "device", document["device"]
    if document["graph"] is not None:
        yield "graph", document["graph"]
    yield "precision", document["precision"]
    yield "refine", ", ".join(f"{k} {v}" for k, v in refine.items()) if refine else "none"
    yield "threads", str(document["threads"])
    yield "kernels", document["isa"]
    for note in document["notes"]:
        yield "note", note


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _print(rows: list[tuple[str, str]]) -> None:
    rows = [(label, one_line(value)) for label, value in rows]
    if not sys.stdout.isatty():
        echo_rows(rows)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        # Text, for a path may hold what rich takes for markup.
        table.add_row(Text(label), Text(value))
    Console(highlight=False).print(table)
