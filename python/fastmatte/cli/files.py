"""Which files a verb reads, and which it writes: worked out before any work starts."""

from __future__ import annotations

import errno
import glob
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import click

if TYPE_CHECKING:
    from fastmatte.arrays import Image

Read = TypeVar("Read")

#: Stands for standard input among the inputs, and for standard output as the output.
STREAM = "-"


@dataclass(frozen=True)
class Source:
    """One file to read.

    path:   None for standard input.
    kept:   the name that its result keeps in another folder: relative to the folder that was given.
    listed: whether it was found in a folder rather than named.
    """

    path: Path | None
    kept: Path
    listed: bool = False

    def __str__(self) -> str:
        return "standard input" if self.path is None else str(self.path)


@dataclass(frozen=True)
class Missing:
    """Something given as an input that stands for no file, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Naming:
    """How results are called.

    ending:   what a result beside its input adds to the input's name, as "-cutout".
    suffixes: those that this kind of result can be written as.
    default:  the suffix of a result whose input's own is not kept.
    keeps:    whether a result keeps its input's suffix, where that is among suffixes.
    """

    ending: str
    suffixes: Collection[str]
    default: str = ".png"
    keeps: bool = False

    def suffix(self, source: Source) -> str:
        """Return the suffix of a source's result."""
        own = source.kept.suffix
        return own if self.keeps and own.lower() in self.suffixes else self.default


def find(
    inputs: Iterable[str],
    *,
    suffixes: Collection[str],
    recursive: bool,
    endings: tuple[str, ...],
    besides: Path | None,
) -> Iterator[Source | Missing]:
    """Turn what was typed into files: folders into what they hold, patterns into what they match.

    suffixes:  what counts as a file to read inside a folder.
    recursive: whether to look into a folder's own folders.
    endings:   of names in a folder that are results of an earlier run, and passed over.
    besides:   a folder that results go to, passed over where it lies inside another.
    """
    seen: set[Path] = set()
    for name in inputs:
        for found in _expand(name):
            if isinstance(found, Path) and found.is_dir():
                sources = _in_folder(found, suffixes, recursive, endings, besides)
            elif isinstance(found, Path):
                sources = iter([Source(found, Path(found.name))])
            else:
                sources = iter([found])
            for source in sources:
                # A file that two patterns match is meant once.
                if isinstance(source, Source) and source.path is not None:
                    real = source.path.resolve()
                    if real in seen:
                        continue
                    seen.add(real)
                yield source


def _expand(name: str) -> list[Path | Source | Missing]:
    if name == STREAM:
        return [Source(None, Path("stdin"))]
    if not os.path.lexists(name) and glob.has_magic(name):
        # A quoted pattern, or a shell that leaves patterns to its programs.
        matches = sorted(glob.glob(name, recursive=True))
        return [Path(match) for match in matches] or [Missing(name, "no file matches")]
    return [Path(name)]


def _in_folder(
    folder: Path,
    suffixes: Collection[str],
    recursive: bool,
    endings: tuple[str, ...],
    besides: Path | None,
) -> Iterator[Source | Missing]:
    avoid = besides.resolve() if besides is not None else None
    count = 0
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            entries = sorted(here.iterdir())
        except OSError as error:
            yield Missing(str(here), error.strerror or str(error))
            count += 1
            continue
        files = [e for e in entries if e.suffix.lower() in suffixes and e.is_file()]
        stems = {file.stem for file in files}
        for file in files:
            is_result = any(
                file.stem.endswith(ending) and file.stem.removesuffix(ending) in stems
                for ending in endings
            )
            # A leading dot hides a file: previews of other programs, mostly.
            if not is_result and not file.name.startswith("."):
                count += 1
                yield Source(file, file.relative_to(folder), listed=True)
        if recursive:
            folders = [e for e in entries if e.is_dir() and not e.is_symlink()]
            waiting += [f for f in reversed(folders) if f.resolve() != avoid]
    if not count:
        deeper = "" if recursive else "; --recursive looks into its folders"
        yield Missing(str(folder), f"no images in this folder{deeper}")


def output_folder(output: str | None, sources: list[Source]) -> Path | None:
    """Return the folder that output names, or None where it names one file or nothing.

    It is a folder if it exists as one, ends in a slash, or has no suffix; and where there are
    several sources to write.
    """
    if output is None or output == STREAM:
        return None
    path = Path(output)
    many = len(sources) > 1 or any(source.listed for source in sources)
    if path.is_dir() or output.endswith(("/", os.sep)) or not path.suffix or many:
        return path
    return None


def targets(sources: list[Source], output: str | None, naming: Naming) -> list[Path | None]:
    """Say where each source's result goes; None is standard output.

    Raises click.UsageError where two results would be one file, a result would replace one of the
    inputs, or output is of the wrong kind.
    """
    if not sources:
        return []
    folder = output_folder(output, sources)
    found: list[Path | None]
    if output == STREAM or (output is None and [s.path for s in sources] == [None]):
        if len(sources) != 1:
            raise click.UsageError(
                f"standard output takes one result, and there are {len(sources)}: "
                "name a folder with -o"
            )
        found = [None]
    elif folder is not None:
        if folder.suffix.lower() in naming.suffixes and not folder.is_dir():
            raise click.UsageError(
                f"-o {output} names one file, and there are {len(sources)} images: name a folder"
            )
        found = [folder / s.kept.with_suffix(naming.suffix(s)) for s in sources]
    elif output is not None:
        found = [Path(output)]
    else:
        found = []
        for source in sources:
            if source.path is None:
                raise click.UsageError("standard input has no name: name a folder with -o")
            name = f"{source.path.stem}{naming.ending}{naming.suffix(source)}"
            found.append(source.path.with_name(name))
    _refuse_collisions(sources, found)
    return found


def _refuse_collisions(sources: list[Source], found: list[Path | None]) -> None:
    inputs = {s.path.resolve(): s for s in sources if s.path is not None}
    writers: dict[Path, Source] = {}
    for source, target in zip(sources, found, strict=True):
        if target is None:
            continue
        real = target.resolve()
        if real in inputs:
            raise click.UsageError(
                f"the result of {source} would replace the input {inputs[real]}: "
                "name another output with -o"
            )
        if real in writers:
            raise click.UsageError(
                f"{writers[real]} and {source} would both be written to {target}: "
                "cut them one after the other, or from folders of their own"
            )
        writers[real] = source


def standard_output(what: str, instead: str = "name a file with -o") -> BinaryIO:
    """Return standard output for bytes.

    Raises click.UsageError, which says what they are and what to do instead, for a terminal.
    """
    if sys.stdout is None:
        raise click.UsageError(f"standard output is closed, where the {what} would go")
    if sys.stdout.isatty():
        raise click.UsageError(f"the {what} would fill the terminal: {instead}")
    return sys.stdout.buffer


def standard_input() -> BinaryIO:
    """Return standard input for bytes."""
    if sys.stdin is None:
        raise click.UsageError("standard input is closed")
    return sys.stdin.buffer


def make_folder(path: Path) -> None:
    """Make a folder and those it lies in, where they are not there yet."""
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    path.mkdir(parents=True, exist_ok=True)


def read_opaque(path: str | Path) -> Image:
    """Read an image that stands for what is behind: no transparency, white there."""
    from fastmatte import images

    return named(Path(path), images.read).over(images.WHITE)


def named(path: Path, read: Callable[[Path], Read]) -> Read:
    """Read an image file; what is wrong with it is said with its name."""
    from fastmatte.errors import ImageError

    try:
        return read(path)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
