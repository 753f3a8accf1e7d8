"""Engine files and the cache of them: whole, the right one, and built once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import fastmatte as fm
import pytest
from fastmatte import engine_cache
from fastmatte.engine_cache import Wanted, cached, path_of
from fastmatte.engines.engine_file import (
    MAGIC,
    EngineFacts,
    Machine,
    facts_of,
    packed,
    read_engine,
)

HERE = Machine("tensorrt", "10.9.0.34", "NVIDIA H200", "9.0")
WANTED = Wanted(HERE, "ab" * 32, "modnet", "fp16", (512, 896))
FACTS = EngineFacts(HERE, "ab" * 32, "modnet", "fp16", (512, 896))
ENGINE = bytes(range(256)) * 40


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "modnet.engine"
    path.write_bytes(packed(FACTS, ENGINE))
    return path


def test_a_file_gives_back_what_went_in(file):
    assert facts_of(file) == FACTS
    assert read_engine(file, HERE) == (FACTS, ENGINE)


@pytest.mark.parametrize(
    ("field", "there", "message"),
    [
        ("library", "tensorrt_rtx", "built for library tensorrt, and here is tensorrt_rtx"),
        ("library_version", "11.4.0", r"built for library version 10\.9\.0\.34, and here is 11\.4"),
        ("gpu", "NVIDIA T4", "built for GPU NVIDIA H200, and here is NVIDIA T4"),
        ("compute_capability", "7.5", r"built for compute capability 9\.0, and here is 7\.5"),
    ],
)
def test_an_engine_of_another_machine_is_refused_in_words(file, field, there, message):
    with pytest.raises(fm.EngineError, match=rf"modnet\.engine: {message}.*Build it again here"):
        read_engine(file, replace(HERE, **{field: there}))


def test_older_graph_work_is_refused(file):
    file.write_bytes(packed(replace(FACTS, graph_work=0), ENGINE))
    with pytest.raises(fm.EngineError, match="built by version 0 of fastmatte's work on graphs"):
        read_engine(file, HERE)


@pytest.mark.parametrize("length", [0, 3, len(MAGIC), len(MAGIC) + 2])
def test_no_engine_file_at_all(file, length):
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(fm.EngineError, match=r"modnet\.engine: not an engine file that fastmatte"):
        facts_of(file)


def test_every_truncation_is_seen(file):
    whole = file.read_bytes()
    start = len(whole) - len(ENGINE)
    for length in [*range(len(MAGIC) + 4, start, 37), start, start + 1, len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(fm.EngineError, match=r"is broken|truncated: "):
            read_engine(file, HERE)
    file.write_bytes(whole + b"x")
    with pytest.raises(fm.EngineError, match="longer than it was: 10241 bytes of engine, of 10240"):
        read_engine(file, HERE)


def test_one_changed_byte_is_seen(file):
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    with pytest.raises(fm.EngineError, match="altered since it was written"):
        read_engine(file, HERE)


@pytest.mark.parametrize("text", [b"[]", b"{}", b'{"machine": 1}', b"\xff", b""])
def test_a_header_that_is_none(file, text):
    file.write_bytes(MAGIC + len(text).to_bytes(4, "little") + text)
    with pytest.raises(fm.EngineError, match="header of this engine file is broken"):
        facts_of(file)
    file.write_bytes(MAGIC + b"\xff\xff\xff\xff" + b"{}")
    with pytest.raises(fm.EngineError, match="header of this engine file is broken"):
        facts_of(file)


def test_a_missing_file(tmp_path):
    with pytest.raises(fm.EngineError, match=r"none\.engine: no such engine file"):
        facts_of(tmp_path / "none.engine")


class Maker:
    """Builds an engine, and counts how often."""

    def __init__(self, facts=FACTS):
        self.facts = facts
        self.built = 0

    def __call__(self):
        self.built += 1
        time.sleep(0.05)
        return self.facts, ENGINE


def test_an_engine_is_built_once(cache):
    make = Maker()
    path = cached(WANTED, make)
    assert path.parent == cache / "engines"
    assert cached(WANTED, make) == path
    assert make.built == 1
    assert read_engine(path, HERE) == (FACTS, ENGINE)


CHANGES = [
    {"machine": replace(HERE, library_version="11.0")},
    {"machine": replace(HERE, gpu="NVIDIA T4", compute_capability="7.5")},
    {"model_sha256": "cd" * 32},
    {"family": "rvm"},
    {"precision": "fp32"},
    {"precision": "auto"},
    {"size": (288, 512)},
    {"samples": "abc"},
    {"graph_work": 2},
]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_asked_otherwise_is_another_entry(cache, change):
    assert path_of(replace(WANTED, **change)) != path_of(WANTED)


def test_auto_is_an_entry_whatever_it_became(cache):
    wanted = replace(WANTED, precision="auto")
    assert facts_of(cached(wanted, Maker())).precision == "fp16"


@pytest.mark.parametrize("damage", ["cut", "altered", "foreign", "text"])
def test_a_bad_entry_is_built_again_with_a_warning(cache, damage):
    path = cached(WANTED, Maker())
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut": whole[:-100],
            "altered": whole[:-1] + b"\0",
            "foreign": packed(replace(FACTS, family="rvm"), ENGINE),
            "text": b"no engine",
        }[damage]
    )
    make = Maker()
    with pytest.warns(RuntimeWarning, match="it is built again"):
        assert cached(WANTED, make) == path
    assert make.built == 1
    assert path.read_bytes() == whole


def test_what_was_made_must_be_what_was_wanted(cache):
    with pytest.raises(fm.EngineError, match="an engine of something else"):
        cached(WANTED, Maker(replace(FACTS, size=(1, 1))))
    assert not path_of(WANTED).exists()


def test_a_build_that_fails_or_is_interrupted_leaves_nothing(cache):
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(WANTED, fail)
    assert [p.suffix for p in (cache / "engines").iterdir()] == [".lock"]
    assert cached(WANTED, Maker()).exists()


def test_threads_build_once(cache):
    make, waited = Maker(), threading.Event()
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: cached(WANTED, make, waiting=waited.set), range(4)))
    assert len(set(paths)) == 1
    assert make.built == 1
    assert waited.is_set()


BUILDING = """
import sys, time
sys.path.insert(0, {tests!r})
from test_engine_cache import ENGINE, FACTS, WANTED, cached
def make():
    print("building", flush=True)
    time.sleep({seconds})
    return FACTS, ENGINE
print(cached(WANTED, make))
"""


def other(cache, seconds):
    code = BUILDING.format(tests=os.path.dirname(__file__), seconds=seconds)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_processes_build_once(cache):
    first = other(cache, 0.5)
    assert first.stdout.readline() == "building\n"
    make = Maker()
    path = cached(WANTED, make)
    assert make.built == 0
    assert first.communicate()[0] == f"{path}\n"


def test_a_process_that_dies_leaves_neither_a_lock_nor_an_entry(cache):
    first = other(cache, 60)
    assert first.stdout.readline() == "building\n"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    make = Maker()
    cached(WANTED, make)
    assert make.built == 1


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTMATTE_CACHE", str(tmp_path / "file"))
    with pytest.raises(fm.EngineError, match=r"cache folder cannot be written.*FASTMATTE_CACHE"):
        cached(WANTED, Maker())


def test_the_platforms_folder_is_beside_the_models(monkeypatch):
    monkeypatch.delenv("FASTMATTE_CACHE", raising=False)
    assert engine_cache.engine_folder() == fm.models.cache_folder().parent / "engines"
