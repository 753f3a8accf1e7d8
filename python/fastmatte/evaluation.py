"""Predictions held against the truth: files paired by name, and their scores.

A file's name for pairing is its stem without an ending of ENDINGS, so that one folder may hold all
that belongs to a photograph: dog_image.png, dog_alpha.png and dog_trimap.png are of one name, dog.
Where a folder has files with the ending that is looked for, they are the ones meant, and all other
files must have another of these endings; a folder without any is read whole. Hidden files are
passed over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import fmean, median
from typing import TypeVar

from fastmatte import images, metrics
from fastmatte.arrays import AnyAlpha, Image
from fastmatte.errors import FastmatteError, ImageError
from fastmatte.matter import Matter

__all__ = [
    "ENDINGS",
    "Comparison",
    "Pair",
    "Scores",
    "compare",
    "files_of",
    "pair_files",
    "summarise",
]

#: What names within one folder end in, by what the file holds.
ENDINGS = {
    "alpha": "_alpha",
    "image": "_image",
    "trimap": "_trimap",
    "background": "_bg",
    "foreground": "_fg",
}
#: How many names an error message lists.
LISTED = 5

Path_ = str | os.PathLike[str]
Read = TypeVar("Read")


@dataclass(frozen=True)
class Pair:
    """The files of one name.

    alpha: what was predicted; None where a network is still to do so.
    """

    name: str
    truth: Path
    alpha: Path | None = None
    image: Path | None = None
    trimap: Path | None = None


@dataclass(frozen=True)
class Scores:
    """fastmatte.metrics of one alpha, in their units; smaller is better."""

    sad: float
    mse: float
    mad: float
    grad: float
    conn: float


@dataclass(frozen=True)
class Comparison:
    """A prediction, what it should have been, and how far off it is.

    alpha:  (H, W) uint8 from a file, float32 from a network.
    truth:  (H, W) uint8.
    image:  (H, W, 3) uint8, or None.
    trimap: (H, W) uint8, or None; with it only its unknown region was scored.
    """

    name: str
    alpha: AnyAlpha
    truth: Image
    image: Image | None
    trimap: Image | None
    scores: Scores


def pair_files(
    truths: Path_,
    *,
    predictions: Path_ | None = None,
    images: Path_ | None = None,
    trimaps: Path_ | None = None,
) -> list[Pair]:
    """Pair the files of folders by name.

    truths:      folder of true alphas.
    predictions: folder of alphas to judge, or None where a network predicts from images.
    images, trimaps: folders of what belongs to them. All may be the same folder.

    Returns the pairs, by name. Raises OSError for a folder that cannot be read, and FastmatteError
    for one without files, two files of one name, and names that not every folder has.
    """
    found = {"truth": files_of(Path(truths), "alpha")}
    others = (
        ("alpha", predictions, "alpha"),
        ("image", images, "image"),
        ("trimap", trimaps, "trimap"),
    )
    folders = {"truth": Path(truths)}
    for role, folder, ending in others:
        if folder is not None:
            folders[role] = Path(folder)
            found[role] = files_of(Path(folder), ending)
    for role, files in found.items():
        _require_same_names(files, folders[role], found["truth"], folders["truth"])
    return [
        Pair(name, **{role: files[name] for role, files in found.items()})
        for name in sorted(found["truth"])
    ]


def files_of(folder: Path, content: str) -> dict[str, Path]:
    """Return the files of a folder that hold this content, one of ENDINGS, by name for pairing.

    Raises OSError and FastmatteError as pair_files() does for a single folder.
    """
    files = sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in images.READABLE_SUFFIXES
        and not entry.name.startswith(".")
        and entry.is_file()
    )
    ending = ENDINGS[content]
    if any(file.stem.endswith(ending) for file in files):
        strays = [f for f in files if not f.stem.endswith(tuple(ENDINGS.values()))]
        if strays:
            raise FastmatteError(
                f"{folder}: some names end in {ending}, and these in none of "
                f"{' '.join(ENDINGS.values())}: {_list([f.name for f in strays])}"
            )
        files = [file for file in files if file.stem.endswith(ending)]
    if not files:
        raise FastmatteError(f"{folder}: no images in this folder")
    found: dict[str, Path] = {}
    for file in files:
        name = _name(file)
        if name in found:
            raise FastmatteError(f"{folder}: {found[name].name} and {file.name} are of one name")
        found[name] = file
    return found


def _name(file: Path) -> str:
    for ending in ENDINGS.values():
        if file.stem.endswith(ending):
            return file.stem.removesuffix(ending)
    return file.stem


def _require_same_names(
    files: dict[str, Path], folder: Path, truths: dict[str, Path], truth_folder: Path
) -> None:
    missing, extra = sorted(truths.keys() - files.keys()), sorted(files.keys() - truths.keys())
    if missing:
        raise FastmatteError(
            f"{folder}: nothing of the name of {_list([truths[n].name for n in missing])} "
            f"in {truth_folder}"
        )
    if extra:
        raise FastmatteError(
            f"{truth_folder}: nothing of the name of {_list([files[n].name for n in extra])} "
            f"in {folder}"
        )


def _list(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def compare(pair: Pair, *, matter: Matter | None = None, threads: int | None = None) -> Comparison:
    """Read the files of a pair and score its prediction.

    matter: predicts from the image where the pair has no alpha, and from the trimap where it needs
            one. A transparent image is laid over white for it, and its result lets through no more
            than the image does.

    Raises OSError, and FastmatteError, naming the file, for one that is no image or holds no alpha,
    sizes that differ, and a trimap of other values than 0, 128 and 255 or without any 128.
    """
    truth = _read(pair.truth, images.read_alpha)
    photo = None if pair.image is None else _read(pair.image, images.read)
    trimap = None if pair.trimap is None else _read(pair.trimap, images.read_alpha)
    alpha: AnyAlpha
    if pair.alpha is not None:
        alpha = _read(pair.alpha, images.read_alpha)
    elif photo is not None and matter is not None:
        needed = trimap if matter.guidance == "trimap" else None
        alpha = photo.matte(matter, trimap=needed).alpha
    else:
        raise ValueError("pair: expected an alpha, or an image and a matter, got neither")
    shown = None if photo is None else photo.over(images.WHITE)
    for path, array in ((pair.alpha, alpha), (pair.image, shown), (pair.trimap, trimap)):
        if path is not None and array is not None and array.shape[:2] != truth.shape:
            raise ImageError(
                f"{path}: {array.shape[0]} x {array.shape[1]}, "
                f"but {pair.truth} is {truth.shape[0]} x {truth.shape[1]}"
            )
    try:
        scores = Scores(
            *(
                getattr(metrics, field.name)(alpha, truth, trimap=trimap, threads=threads)
                for field in fields(Scores)
            )
        )
    except ValueError as error:
        # Everything else has been seen to: what is left is what the trimap holds.
        raise ImageError(f"{pair.trimap}: {error}") from error
    return Comparison(pair.name, alpha, truth, shown, trimap, scores)


def _read(path: Path, read: Callable[[Path], Read]) -> Read:
    try:
        return read(path)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def summarise(scores: Iterable[Scores]) -> dict[str, Scores]:
    """Return mean and median of each metric over at least one image."""
    columns = list(zip(*map(astuple, scores), strict=True))
    return {
        "mean": Scores(*map(fmean, columns)),
        "median": Scores(*map(median, columns)),
    }
