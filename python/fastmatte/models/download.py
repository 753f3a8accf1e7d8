"""Bringing a known model onto this machine.

The standard library does it: pooch, which does the same for many, begins a download that was cut
at its start again, and does not keep two processes out of each other's way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fastmatte._core import __version__
from fastmatte.errors import ModelError
from fastmatte.locks import alone
from fastmatte.models.catalogue import Download, KnownModel, find
from fastmatte.models.store import (
    CHUNK,
    by_hand,
    cache_folder,
    first_wrong,
    how_to_get,
    is_local,
    mark_verified,
    path_of,
    require_local,
)

if TYPE_CHECKING:
    from http.client import HTTPResponse

Stage = Literal["waiting", "downloading", "verifying"]
#: Told of a stage, how many bytes of it are done, and of how many, where that is known.
Progress = Callable[[Stage, int, int | None], None]

#: Seconds a server may stay silent.
TIMEOUT = 30.0


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """Bring a known model onto this machine and return its file.

    name:     one of known().
    progress: called with a stage ("waiting", "downloading" or "verifying"), the bytes it has done,
              and of how many, None where nobody says.

    A file that is there and right is left as it is. A download that was cut is gone on with, by
    the next pull too; it gets its name only when its hash is the published one. Of several that
    pull at once, in threads or processes, one downloads and the others wait for it.

    Raises ModelError for a name nobody knows; where nothing is published to download, with the
    authors' page; where the server cannot be reached or has nothing, with where to put the file by
    hand; where what came is not what was published, of which nothing is kept; and where the cache
    folder cannot be written.
    """
    model = find(name)
    report = progress or (lambda stage, done, total: None)
    if model.comes_along or (model.download is None and is_local(model)):
        return require_local(model)
    if model.download is None:
        raise ModelError(f"{name} cannot be pulled. {how_to_get(model)}")
    path = path_of(model)
    # Where it is here, the folder need not be one that may be written.
    with suppress(ModelError):
        return require_local(model)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path.with_name(f"{path.name}.lock"), lambda: report("waiting", 0, None)):
            # Whoever was waited for has brought it.
            with suppress(ModelError):
                return require_local(model)
            _fetch(model, path, report)
            return path
    except OSError as error:
        raise ModelError(
            f"{cache_folder()}: the cache folder cannot be written: {error.strerror or error}.\n"
            "The environment variable FASTMATTE_CACHE names another."
        ) from error


def _fetch(model: KnownModel, path: Path, report: Progress) -> None:
    """Download, verify and rename. What is left of earlier tries is used if it proves right."""
    assert model.download is not None
    part = path.with_name(f"{path.name}.part")
    resumed = _receive(model, part, report)
    wrong = _first_wrong(model.download, part, report)
    if wrong and resumed:
        # What was there, or came then, may have been of another file.
        part.unlink()
        _receive(model, part, report)
        wrong = _first_wrong(model.download, part, report)
    if wrong:
        part.unlink()
        raise ModelError(
            f"{model.download.url}: not the file that is published as {model.name}: {wrong}.\n"
            "Nothing of it was kept."
        )
    os.replace(part, path)
    mark_verified(path, model.download.hashes)


def _first_wrong(download: Download, part: Path, report: Progress) -> str:
    size = _size(part)
    return first_wrong(part, download.hashes, lambda done: report("verifying", done, size))


def _receive(model: KnownModel, part: Path, report: Progress) -> bool:
    """Go on with a download until it is complete, as long as every try brings more.

    Returns whether some of it had been there before the last answer.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    assert model.download is not None
    while True:
        before = _size(part)
        try:
            if _transfer(model.download, part, report):
                return before > 0
            reason = "the connection was cut"
        except HTTPError as error:
            # Nothing beyond what is there: it is complete, or of another file.
            if error.code == 416 and before:
                part.unlink()
                continue
            reason = f"the server says {error.code} {error.reason}"
        except URLError as error:
            reason = str(getattr(error.reason, "strerror", None) or error.reason)
        except HTTPException as error:
            reason = str(error) or type(error).__name__
        kept = _size(part)
        # Less is of a server that begins anew each time.
        if kept <= before:
            again = f"The next pull goes on after the {kept} bytes that are here.\n" if kept else ""
            raise ModelError(f"{model.download.url}: {reason}.\n{again}{by_hand(model)}")


def _transfer(download: Download, part: Path, report: Progress) -> bool:
    """Append what is missing, in one request; say whether that is all of it."""
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    start = _size(part)
    if start == download.size:
        return True
    headers = {"User-Agent": f"fastmatte/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response: HTTPResponse = urlopen(Request(download.url, headers=headers), timeout=TIMEOUT)
    except URLError:
        raise
    except OSError as error:  # while waiting for the answer; later ones are the disk's
        raise URLError(error) from error
    with response:
        if response.status != 206:
            start = 0  # It knows no ranges, and sends everything once more.
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else download.size
        with part.open("ab" if start else "wb") as file:
            report("downloading", start, total)
            while True:
                try:
                    chunk = response.read1(CHUNK)
                except (OSError, HTTPException):
                    return False
                if not chunk:
                    break
                file.write(chunk)
                report("downloading", file.tell(), total)
                if total is not None and file.tell() > total:
                    break  # Whatever this is, it is not what was published.
            file.flush()
            os.fsync(file.fileno())
            return total is None or file.tell() >= total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
