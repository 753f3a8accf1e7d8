"""Pulling models: what a server does to a download, and what is on the disk afterwards."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fastmatte as fm
import numpy as np
import pytest
from click.testing import CliRunner
from fastmatte.cli import main
from fastmatte.models import Download, KnownModel, ModelSpec, store
from fastmatte.models.catalogue import CATALOGUE

BODY = np.random.default_rng(0).bytes(3_000_001)
NAME = "tiny"


def hashes_of(data):
    return tuple(f"{name}:{hashlib.new(name, data).hexdigest()}" for name in ("md5", "sha256"))


class Server(ThreadingHTTPServer):
    """Serves one file at /file, as well as it is told to."""

    daemon_threads = True

    def __init__(self, body):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = body
        self.ranges = True
        self.length = True
        self.status = None
        self.pause = 0.0
        #: How many bytes of each answer go out before the connection is cut, one after the other.
        self.cuts = []
        #: The Range header of every request for the file, None where it had none.
        self.asked = []
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/file"

        #: Whether every answer begins at the file's own beginning, whatever it says of itself.
        self.lies = False

    def handle_error(self, request, client_address):
        """A client that is gone is part of the test."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_):
        """Be quiet."""

    def do_GET(self):
        server = self.server
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/file")
            self.end_headers()
            return
        wanted = self.headers["Range"]
        with server.lock:
            server.asked.append(wanted)
            end = server.cuts.pop(0) if server.cuts else None
        if server.status:
            self.send_error(server.status)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if not server.ranges:
            start = 0
        if start >= len(server.body):
            self.send_error(416)
            return
        part = server.body[0 if server.lies else start :]
        self.send_response(206 if start else 200)
        if server.length:
            length = len(part) if server.length is True else server.length
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if server.pause:
            time.sleep(server.pause)
        self.wfile.write(part if end is None else part[:end])


@pytest.fixture
def server(monkeypatch):
    # A proxy of the machine's would stand between the test and its own server.
    monkeypatch.setenv("no_proxy", "*")
    with Server(BODY) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def known(monkeypatch, cache, server):
    """Put a model into the catalogue that the server has."""

    def make(**changes):
        download = {
            "url": server.url,
            "hashes": hashes_of(BODY),
            "published": "here",
            "size": len(BODY),
        } | changes
        row = KnownModel(
            NAME,
            ModelSpec("tiny.onnx", family="modnet"),
            licence="Apache-2.0",
            commercial="yes",
            source="https://example.org/tiny",
            download=Download(**download),
        )
        monkeypatch.setitem(CATALOGUE, NAME, row)
        return row

    return make


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def in_another_process(code, row, **options):
    """Run Python where the catalogue has the same row."""
    start = (
        "import fastmatte as fm\n"
        "from fastmatte.models import *\n"
        "from fastmatte.models.catalogue import CATALOGUE\n"
        f"CATALOGUE[{NAME!r}] = {row!r}\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", start + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


PULL = f"print(pull({NAME!r}, progress=lambda stage, *_: print(stage)))"


def test_a_model_comes_and_is_not_fetched_twice(known, cache, server):
    known()
    seen = []
    path = fm.models.pull(NAME, progress=lambda *event: seen.append(event))
    assert path == cache / "tiny.onnx"
    assert path.read_bytes() == BODY
    assert names(cache) == ["tiny.onnx", "tiny.onnx.lock", "tiny.onnx.verified"]
    for stage in ("downloading", "verifying"):
        done = [event[1] for event in seen if event[0] == stage]
        assert done == sorted(done)
        assert done[-1] == len(BODY)
        assert {event[2] for event in seen if event[0] == stage} == {len(BODY)}
    assert [event[0] for event in seen] == sorted(event[0] for event in seen)
    assert fm.models.pull(NAME) == path
    assert server.asked == [None]


def test_redirections_are_followed_with_the_range(known, cache, server):
    known(url=server.url.replace("/file", "/moved"))
    server.cuts = [1000]
    assert fm.models.pull(NAME).read_bytes() == BODY
    assert server.asked == [None, "bytes=1000-"]


def test_a_cut_connection_is_gone_on_with(known, server):
    known()
    server.cuts = [1_500_000, 700_000]
    assert fm.models.pull(NAME).read_bytes() == BODY
    assert server.asked == [None, "bytes=1500000-", "bytes=2200000-"]


def test_the_next_pull_goes_on_where_the_last_one_ended(known, cache, server):
    known()
    server.cuts = [1_500_000, 0]
    with pytest.raises(fm.ModelError, match="the connection was cut") as error:
        fm.models.pull(NAME)
    assert "The next pull goes on after the 1500000 bytes" in str(error.value)
    assert names(cache) == ["tiny.onnx.lock", "tiny.onnx.part"]
    assert fm.models.pull(NAME).read_bytes() == BODY
    assert server.asked[-1] == "bytes=1500000-"
    assert "tiny.onnx.part" not in names(cache)


def test_a_process_that_is_killed_leaves_no_lock_and_a_beginning(known, cache, server):
    row = known()
    server.cuts = [1_500_000]
    code = "import os\npull('tiny', progress=lambda s, done, _: done > 10**6 and os._exit(9))"
    process = in_another_process(code, row)
    process.communicate(timeout=60)
    assert process.returncode == 9
    kept = (cache / "tiny.onnx.part").stat().st_size
    assert fm.models.pull(NAME).read_bytes() == BODY
    assert server.asked == [None, f"bytes={kept}-"]


def test_a_server_without_ranges_sends_it_all_again(known, server):
    known()
    server.ranges = False
    server.cuts = [1_500_000]
    assert fm.models.pull(NAME).read_bytes() == BODY
    assert server.asked == [None, "bytes=1500000-"]


def test_a_server_that_says_no_length_is_believed_by_the_published_one(known, server):
    known()
    server.length = False
    server.cuts = [1_500_000]
    assert fm.models.pull(NAME).read_bytes() == BODY


@pytest.mark.parametrize("length", ["many", "-5", ""])
def test_a_length_that_is_none_is_no_length(known, server, length):
    known()
    server.length = length
    assert fm.models.pull(NAME).read_bytes() == BODY


def test_a_server_that_begins_anew_each_time_is_given_up(known, server):
    known()
    server.ranges = False
    server.cuts = [1_000_000, 1_200_000] * 9
    with pytest.raises(fm.ModelError, match="the connection was cut"):
        fm.models.pull(NAME)
    assert len(server.asked) == 3


def test_an_answer_that_is_not_the_part_asked_for_is_thrown_away(known, server):
    known()
    server.lies = True
    server.cuts = [1_500_000]
    assert fm.models.pull(NAME).read_bytes() == BODY
    assert server.asked == [None, "bytes=1500000-", None]


def test_a_silent_server_is_no_fault_of_the_disks(known, monkeypatch):
    known()
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: broken())

    def broken():
        raise ssl.SSLError(8, "EOF occurred in violation of protocol")

    with pytest.raises(fm.ModelError, match=r"/file: EOF occurred in violation of protocol\.\n"):
        fm.models.pull(NAME)


def test_where_nobody_says_how_long_it_is_the_hash_decides(known, server):
    known(size=None)
    server.length = False
    assert fm.models.pull(NAME).read_bytes() == BODY


@pytest.mark.parametrize("length", [1000, len(BODY), len(BODY) + 1000])
@pytest.mark.parametrize("size", [None, len(BODY)])
def test_a_beginning_of_another_file_is_thrown_away(known, cache, server, length, size):
    known(size=size)
    cache.mkdir(parents=True)
    (cache / "tiny.onnx.part").write_bytes(b"x" * length)
    assert fm.models.pull(NAME).read_bytes() == BODY
    assert server.asked[-1] is None


def test_a_download_that_only_lacked_its_name_is_not_asked_for_again(known, cache, server):
    known()
    cache.mkdir(parents=True)
    (cache / "tiny.onnx.part").write_bytes(BODY)
    assert fm.models.pull(NAME).read_bytes() == BODY
    assert server.asked == []


@pytest.mark.parametrize("which", [0, 1])
def test_of_a_wrong_file_nothing_is_kept(known, cache, which):
    hashes = list(hashes_of(BODY))
    hashes[which] = hashes_of(b"another file")[which]
    known(hashes=tuple(hashes))
    with pytest.raises(fm.ModelError, match="not the file that is published") as error:
        fm.models.pull(NAME)
    assert hashes[which].split(":")[1] in str(error.value)
    assert hashes_of(BODY)[which].split(":")[1] in str(error.value)
    assert names(cache) == ["tiny.onnx.lock"]


def test_a_file_that_does_not_end_is_not_read_to_the_end(known, cache, server):
    known(size=1000)
    server.length = False
    with pytest.raises(fm.ModelError, match="not the file"):
        fm.models.pull(NAME)
    assert names(cache) == ["tiny.onnx.lock"]


@pytest.mark.parametrize("status", [404, 403, 503])
def test_a_server_that_has_nothing_is_quoted(known, cache, server, status):
    row = known()
    server.status = status
    with pytest.raises(fm.ModelError, match=f"the server says {status} ") as error:
        fm.models.pull(NAME)
    assert server.asked == [None]
    assert row.download.url in str(error.value)
    assert names(cache) == ["tiny.onnx.lock"]


def test_without_network_it_says_where_the_file_belongs(known, cache, graph):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        data = graph("modnet").read_bytes()
        known(url=url, hashes=hashes_of(data))
        with pytest.raises(fm.ModelError) as error:
            fm.models.pull(NAME)
        assert url in str(error.value)
        # What it says works.
        [place] = [line for line in str(error.value).splitlines() if line.endswith("tiny.onnx")]
        Path(place.strip()).write_bytes(data)
        assert fm.Matter(NAME).info.model == str(cache / "tiny.onnx")
        assert fm.models.pull(NAME) == cache / "tiny.onnx"


def test_a_host_nobody_knows_is_said_so(known):
    known(url="http://no-such-host.invalid/file")
    with pytest.raises(fm.ModelError, match=r"(?s)http://no-such-host\.invalid/file: .+By hand"):
        fm.models.pull(NAME)


def test_what_speaks_no_http_is_no_server(known):
    with socket.create_server(("127.0.0.1", 0)) as other:
        known(url=f"http://127.0.0.1:{other.getsockname()[1]}/file")

        def answer():
            connection, _ = other.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 smtp ready\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(fm.ModelError, match="220 smtp ready"):
            fm.models.pull(NAME)
        thread.join()


def test_two_processes_download_once(known, server):
    row = known()
    server.pause = 0.7
    first, second = (in_another_process(PULL, row) for _ in range(2))
    told = [process.communicate(timeout=60) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), told
    assert server.asked == [None]
    stages = sorted(out.splitlines()[0] for out, _ in told)
    assert stages == ["downloading", "waiting"]
    assert {out.splitlines()[-1] for out, _ in told} == {str(store.path_of(row))}


def test_threads_download_once(known, server):
    known()
    server.pause = 0.2
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(fm.models.pull(NAME))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4
    assert server.asked == [None]


def test_a_cache_that_is_a_file_is_said_so(known, cache, monkeypatch, tmp_path):
    known()
    monkeypatch.setenv("FASTMATTE_CACHE", str(tmp_path / "file" / "models"))
    (tmp_path / "file").write_text("")
    with pytest.raises(fm.ModelError, match=r"the cache folder cannot be written: .*directory"):
        fm.models.pull(NAME)


def test_a_cache_that_may_not_be_written_is_said_so(known, cache):
    row = known()
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    # root may write anywhere, nobody nowhere.
    nobody = "import os, fcntl\nif os.geteuid() == 0: os.setuid(65534)\n"
    process = in_another_process(nobody + PULL, row)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the cache folder cannot be written: Permission denied" in errors
    assert "FASTMATTE_CACHE" in errors


def test_a_cache_that_may_not_be_written_serves_what_it_has(known, cache, server):
    row = known()
    fm.models.pull(NAME)
    (cache / "tiny.onnx.lock").unlink()
    (cache / "tiny.onnx.lock").mkdir()  # what nobody, root included, can open and lock
    assert fm.models.pull(NAME) == store.path_of(row)
    assert server.asked == [None]


def test_a_full_disk_is_said_so_and_the_beginning_kept(known, cache, server):
    pytest.importorskip("resource", reason="this system has no limits to set")
    row = known()
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (2**21, 2**21))\n"
    process = in_another_process(limit + PULL, row)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the cache folder cannot be written: File too large" in errors
    assert 0 < (cache / "tiny.onnx.part").stat().st_size <= 2**21
    assert fm.models.pull(NAME).read_bytes() == BODY
    assert server.asked[-1].startswith("bytes=")


def test_a_wrong_file_in_the_cache_is_not_used_and_pull_replaces_it(known, cache, server):
    known()
    cache.mkdir(parents=True)
    (cache / "tiny.onnx").write_bytes(b"another file")
    with pytest.raises(fm.ModelError, match="not the file that is published as tiny") as error:
        fm.Matter(NAME)
    assert "`fastmatte pull tiny`" in str(error.value)
    assert fm.models.pull(NAME).read_bytes() == BODY


def test_a_file_is_hashed_once_and_again_when_it_has_changed(known, cache, monkeypatch):
    row = known()
    path = fm.models.pull(NAME)
    with monkeypatch.context() as patch:
        patch.setattr(store, "first_wrong", lambda *_: pytest.fail("hashed again"))
        assert store.require_local(row) == path
    path.write_bytes(BODY[::-1])
    with pytest.raises(fm.ModelError, match="not the file"):
        store.require_local(row)


def test_a_mark_of_another_hash_is_no_mark(known):
    known()
    fm.models.pull(NAME)
    row = known(hashes=hashes_of(b"what is published today"))
    with pytest.raises(fm.ModelError, match="not the file"):
        store.require_local(row)


def test_a_cache_that_takes_no_marks_is_used_all_the_same(known, cache):
    row = known()
    (cache / "tiny.onnx.verified").mkdir(parents=True)
    (cache / "tiny.onnx").write_bytes(BODY)
    assert store.require_local(row) == cache / "tiny.onnx"
    assert fm.models.pull(NAME) == cache / "tiny.onnx"


def run(*arguments):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result
    return result


def test_the_verb_prints_the_path_alone(known, cache, server):
    known()
    result = run("pull", NAME)
    assert result.exit_code == 0
    assert result.stdout == f"{cache / 'tiny.onnx'}\n"
    assert result.stderr == "tiny: downloading\ntiny: verifying\n"
    result = run("pull", NAME, NAME)
    assert result.stdout == 2 * f"{cache / 'tiny.onnx'}\n"
    assert result.stderr == ""


def test_the_verb_says_what_may_not_be_sold(known, monkeypatch):
    from dataclasses import replace

    row = replace(known(), commercial="no", licence="CC BY-NC 4.0", note="For research.")
    monkeypatch.setitem(CATALOGUE, NAME, row)
    assert run("pull", NAME).stderr.endswith(
        "tiny: licence CC BY-NC 4.0, commercial use not allowed. For research.\n"
    )


def test_a_misspelt_name_is_found_before_anything_is_downloaded(known, server):
    known()
    result = run("pull", NAME, "u2nett")
    assert result.exit_code == 1
    assert "did you mean 'u2net'" in result.stderr
    assert server.asked == []


def test_what_cannot_be_pulled_says_where_it_is(cache):
    result = run("pull", "dim-foamliu")
    assert result.exit_code == 1
    assert "https://github.com/foamliu/Deep-Image-Matting-PyTorch" in result.stderr
    assert str(cache / "dim-foamliu.onnx") in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")
def test_a_terminal_sees_a_bar(known, server):
    import pty

    row = known()
    server.pause = 0.5
    ours, theirs = pty.openpty()
    code = (
        "from fastmatte.cli.pull import _progress\n"
        f"with _progress(CATALOGUE[{NAME!r}]) as progress: pull({NAME!r}, progress=progress)"
    )
    start = (
        "from fastmatte.models import *\n"
        "from fastmatte.models.catalogue import CATALOGUE\n"
        f"CATALOGUE[{NAME!r}] = {row!r}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start + code],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stderr=theirs,
    )
    assert process.wait(60) == 0
    os.close(theirs)
    seen = os.read(ours, 65536).decode()
    os.close(ours)
    assert "tiny: downloading" in seen
    assert "3.0 MB" in seen
