"""The catalogue: its rows, and what a name does in a model's place."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from urllib.parse import urlsplit

import fastmatte as fm
import numpy as np
import pytest
from click.testing import CliRunner
from fastmatte.cli import main
from fastmatte.cli.models import megabytes
from fastmatte.models import Download, KnownModel, ModelSpec, store
from fastmatte.models.catalogue import CATALOGUE
from PIL import Image

ROWS = pytest.mark.parametrize("row", fm.models.known(), ids=lambda row: row.name)
LENGTHS = {"md5": 32, "sha256": 64, "sha384": 96}


@pytest.fixture(autouse=True)
def _cache(cache):
    """No test here looks into the user's own."""


def run(*arguments):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result
    return result


@ROWS
def test_a_row_is_whole(row):
    assert re.fullmatch(r"[a-z0-9]+([-.][a-z0-9]+)*", row.name)
    assert row.comes_along or row.spec.path == f"{row.name}.onnx"
    assert row.spec.family
    assert row.licence
    assert row.commercial in ("yes", "no", "unclear")
    assert row.comes_along or urlsplit(row.source).scheme == "https"
    assert row.note.endswith(".")
    assert row.parameters is None or 0 < row.parameters < 1000


@ROWS
def test_a_download_is_whole(row):
    if row.download is None:
        # Whoever wants it must come to it some other way.
        assert row.comes_along or re.search("export|weights|folder", row.note, re.IGNORECASE)
        return
    address = urlsplit(row.download.url)
    assert address.scheme == "https"
    assert not address.query
    assert row.download.published
    assert row.download.size is None or row.download.size > 100_000
    assert row.download.hashes
    for text in row.download.hashes:
        algorithm, digest = text.split(":")
        assert re.fullmatch("[0-9a-f]+", digest)
        assert len(digest) == LENGTHS[algorithm]


def test_every_family_is_one_that_fastmatte_runs():
    assert {row.spec.family for row in fm.models.known()} <= set(fm.models.FAMILIES)


def test_no_two_rows_are_one_file():
    downloads = [row.download for row in fm.models.known() if row.download]
    assert len({download.url for download in downloads}) == len(downloads)
    hashes = [text for download in downloads for text in download.hashes]
    assert len(set(hashes)) == len(hashes)


def test_a_published_hash_is_that_of_the_real_file(shared_data, cache):
    row = fm.models.find("selfie")
    real = shared_data / "models" / "mediapipe_selfie_256_nchw.onnx"
    assert real.stat().st_size == row.download.size
    cache.mkdir(parents=True)
    shutil.copy(real, cache / "selfie.onnx")
    matter = fm.Matter("selfie")
    assert (matter.info.family, matter.info.family_reason) == ("selfie", "from the catalogue")
    assert (matter.info.licence, matter.info.commercial) == ("Apache-2.0", "yes")
    # The user's own file is the same one.
    assert fm.Matter(real, commercial_only=True).info.licence == "Apache-2.0"


@pytest.fixture
def tiny(monkeypatch, graph):
    """Put a generated MODNet into the catalogue; returns how to change its row."""

    def make(**changes):
        digest = hashlib.sha256(graph("modnet").read_bytes()).hexdigest()
        row = KnownModel(
            "tiny",
            ModelSpec("tiny.onnx", family="modnet", size=(64, 64)),
            licence="MIT",
            commercial="yes",
            source="https://example.org/tiny",
            download=Download("https://example.org/tiny.onnx", (f"sha256:{digest}",), "here"),
            note="Grown by hand.",
        )
        row = replace(row, **changes)
        monkeypatch.setitem(CATALOGUE, "tiny", row)
        return row

    return make


@pytest.fixture
def local(cache, graph):
    """Put its file into the cache."""
    cache.mkdir(parents=True)
    shutil.copy(graph("modnet"), cache / "tiny.onnx")
    return cache / "tiny.onnx"


def test_a_name_runs_its_row(tiny, local):
    tiny()
    matter = fm.Matter("tiny")
    info = matter.info
    assert info.model == str(local)
    assert (info.licence, info.commercial) == ("MIT", "yes")
    assert (info.family, info.family_reason) == ("modnet", "from the catalogue")
    assert matter._pipeline.input_size((90, 120)) == (64, 64)
    assert fm.Matter("tiny", family="salient").info.family_reason == "said by hand"
    assert fm.Matter("tiny", size=(96, 32))._pipeline.input_size((90, 120)) == (96, 32)


def test_a_row_may_feed_it_otherwise_than_its_family(tiny, local):
    image = np.full((40, 40, 3), 128, np.uint8)
    alphas = []
    for mean in (None, (0.0, 0.0, 0.0)):
        tiny(spec=ModelSpec("tiny.onnx", family="modnet", mean=mean))
        alphas.append(fm.Matter("tiny").alpha(image).mean())
    assert alphas[1] > alphas[0] + 0.2


def test_what_comes_along_needs_no_folder(monkeypatch):
    monkeypatch.delenv("FASTMATTE_CACHE", raising=False)
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert fm.Matter("portrait", engine="onnxruntime").info.family == "portrait"


def test_a_file_that_comes_along_is_named_too(tiny, graph):
    row = tiny(spec=ModelSpec(graph("modnet"), family="modnet"), download=None)
    assert fm.Matter("tiny").info.family_reason == "comes with fastmatte"
    assert fm.models.pull("tiny") == graph("modnet") == store.path_of(row)
    assert json.loads(run("models", "--json").stdout)[-1]["local"] is True


def test_a_model_that_is_not_here_is_never_downloaded_unasked(tiny, cache, monkeypatch):
    tiny()
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("went to the network"))
    with pytest.raises(fm.ModelError) as error:
        fm.Matter("tiny")
    message = str(error.value)
    assert message.startswith("tiny is not on this machine. `fastmatte pull tiny` downloads it.\n")
    assert "https://example.org/tiny.onnx" in message
    assert str(cache / "tiny.onnx") in message
    assert not cache.exists()


def test_one_that_cannot_be_downloaded_says_where_its_authors_keep_it(cache):
    with pytest.raises(fm.ModelError) as error:
        fm.Matter("dim-foamliu")
    assert "https://github.com/foamliu/Deep-Image-Matting-PyTorch" in str(error.value)
    assert str(cache / "dim-foamliu.onnx") in str(error.value)


def test_one_without_a_published_hash_is_used_from_the_cache(tiny, local):
    tiny(download=None)
    assert fm.Matter("tiny").info.licence == "MIT"
    assert fm.models.pull("tiny") == local
    assert not local.with_name("tiny.onnx.verified").exists()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("none.onnx", r"^none\.onnx: no such model file$"),
        ("some/where", r"^some/where: no such model file$"),
        (
            "u2nett",
            r"^u2nett: no such model file, and no model of that name \(did you mean 'u2",
        ),
        ("U2Net_Human_Seg", r"did you mean 'u2net-human-seg'"),
        ("nonesuch", r"no model of that name; `fastmatte models` lists them$"),
        (ModelSpec("u2net"), r"^u2net: no such model file$"),
    ],
)
def test_what_is_neither_name_nor_file_is_said_so(model, expected):
    with pytest.raises(fm.ModelError, match=expected):
        fm.Matter(model)


def test_an_unknown_name_is_an_error():
    with pytest.raises(fm.ModelError, match=r"^nonesuch: no model is called that; `fastmatte mod"):
        fm.models.find("nonesuch")
    with pytest.raises(fm.ModelError, match="did you mean 'selfie'"):
        fm.models.pull("selfy")


def test_a_path_object_is_never_a_name(tiny, graph, tmp_path, monkeypatch):
    from pathlib import Path

    tiny()
    monkeypatch.chdir(tmp_path)
    shutil.copy(graph("modnet"), "tiny")
    assert fm.Matter(Path("tiny")).info.licence == "MIT"  # by its hash
    assert fm.Matter(Path("tiny")).info.family_reason != "from the catalogue"
    with pytest.raises(fm.ModelError, match="tiny is not on this machine"):
        fm.Matter("tiny")


@pytest.mark.parametrize("commercial", ["no", "unclear"])
def test_commercial_only_refuses_what_is_not_free(tiny, local, commercial):
    tiny(commercial=commercial)
    assert fm.Matter("tiny").info.commercial == commercial
    for model in ("tiny", local):
        with pytest.raises(fm.ModelError, match=r"^tiny: commercial_only .*MIT.*Grown by hand\.$"):
            fm.Matter(model, commercial_only=True)


def test_commercial_only_takes_what_is_free_and_refuses_what_nobody_knows(tiny, local, graph):
    tiny()
    assert fm.Matter("tiny", commercial_only=True).info.commercial == "yes"
    assert fm.Matter(graph("modnet"), commercial_only=True).info.commercial == "yes"
    assert fm.Matter(graph("selfie")).info.commercial is None
    with pytest.raises(fm.ModelError, match="the catalogue does not know this file"):
        fm.Matter(graph("selfie"), commercial_only=True)


def test_the_cache_is_where_the_platform_keeps_such_things(monkeypatch, tmp_path):
    monkeypatch.delenv("FASTMATTE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    place = tmp_path / ("Library/Caches" if sys.platform == "darwin" else "xdg")
    assert fm.models.cache_folder() == place / "fastmatte" / "models"
    monkeypatch.setenv("FASTMATTE_CACHE", "~/elsewhere")
    assert fm.models.cache_folder() == tmp_path / "elsewhere"


def test_known_filters():
    free = fm.models.known(commercial_only=True)
    assert {row.commercial for row in free} == {"yes"}
    assert 0 < len(free) < len(fm.models.known())
    assert fm.models.find("modnet") in free


def test_models_as_json(tiny, local):
    row = tiny(parameters=6.5)
    rows = json.loads(run("models", "--json").stdout)
    assert [r["name"] for r in rows] == [r.name for r in fm.models.known()]
    assert rows[-1] == {
        "name": "tiny",
        "family": "modnet",
        "licence": "MIT",
        "commercial": "yes",
        "note": "Grown by hand.",
        "source": "https://example.org/tiny",
        "parameters": 6_500_000,
        "bytes": local.stat().st_size,
        "download": {
            "url": "https://example.org/tiny.onnx",
            "hashes": list(row.download.hashes),
            "published": "here",
        },
        "local": True,
        "path": str(local),
    }
    assert [r["name"] for r in rows[:-1] if r["local"]] == ["portrait"]
    free = json.loads(run("models", "--json", "--commercial-only").stdout)
    assert [r["name"] for r in free] == [r.name for r in fm.models.known(commercial_only=True)]


def test_models_as_text(tiny, local):
    tiny(parameters=6.5)
    lines = run("models").stdout.splitlines()
    assert " ".join(lines[0].split()) == "name family size licence commercial here source"
    rows = {line.split("  ")[0]: re.split("  +", line) for line in lines[1:]}
    assert rows["tiny"][2:6] == [megabytes(local.stat().st_size), "MIT", "yes", "yes"]
    assert rows["bgmv2-mobilenetv2"][2:6] == ["5.01 M params", "MIT", "yes", "by hand"]
    assert rows["dim-foamliu"][2] == "?"
    assert rows["u2net"][2:6] == ["176 MB", "Apache-2.0", "unclear", "pull"]
    assert rows["rmbg-1.4"][4:6] == ["no", "pull"]
    assert rows["dim-foamliu"][5] == "by hand"
    assert "rmbg-1.4" not in run("models", "--commercial-only").stdout


def test_models_tells_of_a_file_of_another_size(cache):
    cache.mkdir(parents=True)
    (cache / "u2net.onnx").write_bytes(b"the beginning")
    [line] = [line for line in run("models").stdout.splitlines() if line.startswith("u2net ")]
    assert re.split("  +", line)[5] == "wrong"


@pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")
@pytest.mark.parametrize("width", [80, 200])
def test_a_terminal_sees_a_table_of_its_width(width):
    import pty

    ours, theirs = pty.openpty()
    seen = []
    # What a terminal holds is less than the table.
    reader = threading.Thread(target=lambda: seen.extend(iter(lambda: _read(ours), b"")))
    reader.start()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastmatte", "models"],
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": str(width)},
        stdout=theirs,
    )
    assert process.wait(60) == 0
    os.close(theirs)
    reader.join()
    os.close(ours)
    text = b"".join(seen).decode()
    assert "\x1b[31mno" in text
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines)) <= width
    for row in fm.models.known():
        [line] = [line for line in lines if line.startswith(f" {row.name} ")]
        assert row.licence in line
        assert (row.source in line) == (width == 200)
    assert ("wider terminal" in text) == (width == 80)


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody writes to it any more
        return b""


@pytest.mark.parametrize(
    ("size", "expected"),
    [(462_352, "0.462 MB"), (25_888_640, "25.9 MB"), (999_600_000, "1 GB"), (972e6, "972 MB")],
)
def test_sizes_are_readable(size, expected):
    assert megabytes(size) == expected


def test_info_of_a_model_that_is_not_here(cache):
    result = run("info", "u2net")
    assert result.exit_code == 0
    rows = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    rows = {label: value.strip() for label, value in rows.items()}
    assert rows["on this machine"] == "no: `fastmatte pull u2net`"
    assert rows["belongs here"] == str(cache / "u2net.onnx")
    assert rows["commercial use"] == "unclear"
    assert rows["source"] == "https://github.com/xuebinqin/U-2-Net"
    assert "by hand" in run("info", "dim-foamliu").stdout
    document = json.loads(run("info", "u2net", "--json").stdout)
    assert list(document) == ["catalogue"]
    assert document["catalogue"]["local"] is False


def test_info_of_one_that_is_here(tiny, local):
    tiny()
    result = run("info", "tiny")
    assert result.exit_code == 0
    assert re.search("^family +modnet .from the catalogue.$", result.stdout, re.MULTILINE)
    assert re.search("^commercial use +yes$", result.stdout, re.MULTILINE)
    assert re.search(r"^remark +Grown by hand\.$", result.stdout, re.MULTILINE)
    assert result.stdout.count("licence") == 1
    document = json.loads(run("info", "tiny", "--json").stdout)
    assert document["model"] == str(local)
    assert document["catalogue"]["source"] == "https://example.org/tiny"


def test_the_machine_names_the_folder(cache):
    assert json.loads(run("info", "--json").stdout)["models"] == str(cache)
    assert re.search(rf"^models +{re.escape(str(cache))}$", run("info").stdout, re.MULTILINE)


def test_cut_takes_a_name(tiny, local, tmp_path):
    tiny(commercial="unclear")
    Image.new("RGB", (64, 64), "white").save(tmp_path / "photo.png")
    result = run("cut", tmp_path / "photo.png", "--model", "tiny")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "photo-cutout.png").exists()
    result = run("cut", tmp_path / "photo.png", "--model", "tiny", "--commercial-only")
    assert result.exit_code == 1
    assert "commercial use of its weights is not clearly allowed" in result.stderr


def test_cut_says_how_to_pull(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    result = run("cut", tmp_path / "photo.png", "--model", "modnet")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "Error: modnet is not on this machine. `fastmatte pull modnet` downloads it.\n"
    )
