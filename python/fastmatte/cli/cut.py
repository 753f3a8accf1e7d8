"""fastmatte cut: stills, one or a folder of them."""

from __future__ import annotations

import json
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from glob import escape
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import click

from fastmatte.cli import INTERRUPTED, one_line, reason
from fastmatte.cli.colours import background_of
from fastmatte.cli.files import (
    STREAM,
    Missing,
    Naming,
    Source,
    find,
    make_folder,
    named,
    output_folder,
    read_opaque,
    standard_input,
    standard_output,
    targets,
)
from fastmatte.cli.options import matter_options
from fastmatte.cli.progress import progress

if TYPE_CHECKING:
    from fastmatte.arrays import Image, Size
    from fastmatte.matte import Background, Matte
    from fastmatte.matter import Matter

What = Literal["cutout", "alpha", "composite"]

TRANSPARENT = (".png", ".webp", ".tif", ".tiff")
OPAQUE = (*TRANSPARENT, ".jpg", ".jpeg")
NAMINGS: dict[str, Naming] = {
    "cutout": Naming("-cutout", TRANSPARENT),
    "alpha": Naming("-alpha", OPAQUE),
    "composite": Naming("-composite", OPAQUE, keeps=True),
}


# Reading and writing take one processor each, a PNG longer than most networks: several images at
# once keep the processors busy, at the price of memory for each. On two processors, 24 frames of
# 1080p took 21 s one by one and 12 s two at a time.
MOST_WORKERS = 4
#: Pixels of an image that is worked on alone, for the memory it takes: some twenty bytes each.
LARGE = 2**25


@dataclass
class Outcome:
    """What became of one input; a row of --json."""

    input: str
    output: str | None = None
    size: Size | None = None
    milliseconds: float | None = None
    warnings: list[str] = field(default_factory=list)
    error: str | None = None


@click.command()
@click.argument("inputs", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="A file for one image, a folder for several, or - for standard output. Without it, "
    "results lie beside their images.",
)
@click.option(
    "--what",
    type=click.Choice(list(NAMINGS)),
    help="What to write: the cut-out (the default), its alpha as a grey image, or a composite.",
)
@click.option(
    "--background",
    metavar="COLOUR|IMAGE|blur[:RADIUS]",
    help="What to put behind, for a composite: a colour by name, as #rrggbb or as r,g,b; an image "
    "file; or the photo's own background, blurred.",
)
@click.option(
    "--linear-light",
    is_flag=True,
    help="Mix a composite's light instead of its sRGB levels: soft edges as a lens makes them.",
)
@matter_options
@click.option(
    "--trimap",
    metavar="PATH",
    help="For networks that need one: a grey image of 0, 128 (unknown) and 255, or a folder of "
    "them with the photos' names.",
)
@click.option(
    "--background-plate",
    metavar="IMAGE",
    help="For networks that need one: the same scene without the subject, of the photos' size.",
)
@click.option(
    "--align",
    is_flag=True,
    help="The camera has moved since the --background-plate, which may be of any size: find its "
    "place in each photo.",
)
@click.option("-r", "--recursive", is_flag=True, help="Look into the folders of a folder, too.")
@click.option("--overwrite", is_flag=True, help="Replace results that are already there.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document of what was done.")
def cut(
    inputs: tuple[str, ...],
    output: str | None,
    what: What | None,
    background: str | None,
    linear_light: bool,
    trimap: str | None,
    background_plate: str | None,
    align: bool,
    recursive: bool,
    overwrite: bool,
    as_json: bool,
    **network: Any,
) -> None:
    """Cut the subject out of photos.

    INPUTS are image files, folders, patterns such as 'holiday/*.jpg', or - for standard input.
    In a folder, hidden files and results of an earlier run are passed over.

    A cut-out is a PNG, WebP or TIFF with true edge colours and transparency. The colour profile,
    EXIF data, resolution and remarks of a photo go with it; thumbnails of the uncut photo do not.
    An input is never replaced.

    \b
    Examples:
      fastmatte cut photo.jpg
      fastmatte cut photo.jpg -o cut.webp
      fastmatte cut holiday/ -o cut/ --what alpha
      fastmatte cut photo.jpg --background white -o white.jpg
      fastmatte cut talk.png --background blur:20
      fastmatte cut photo.jpg --model modnet.onnx
      fastmatte cut talk.png --model bgmv2.onnx --background-plate empty.png
      fastmatte cut photo.jpg --model dim.onnx --trimap-from portrait
      curl -s https://example.org/photo.jpg | fastmatte cut - > cut.png
    """
    what = _what(what, background)
    if linear_light and what != "composite":
        raise click.UsageError("--linear-light is for a composite: name a --background")
    naming = NAMINGS[what]
    besides = None if output in (None, STREAM) else Path(str(output))
    found = list(
        find(
            inputs,
            suffixes=_readable(),
            recursive=recursive,
            endings=tuple(n.ending for n in NAMINGS.values()),
            besides=besides,
        )
    )
    sources = [item for item in found if isinstance(item, Source)]
    if sum(source.path is None for source in sources) > 1:
        raise click.UsageError("standard input can be read once")
    folder = output_folder(output, sources)
    _check_suffix(output, folder, what)
    goals = targets(sources, output, naming)
    if None in goals and as_json:
        raise click.UsageError("--json and the result would both go to standard output: use -o")
    if None in goals:
        standard_output("result")

    behind = None if background is None else background_of(background)
    make = _maker(what, behind, linear_light=linear_light)
    guides = _guides(trimap, background_plate, sources, align=align)
    import fastmatte as fm

    matter = fm.Matter(**network)
    if folder is not None and sources:
        make_folder(folder)
    goal_of = dict(zip(sources, goals, strict=True))
    cutter = Cutter(matter, make, guides, overwrite)
    workers = min(matter.info.threads, MOST_WORKERS)
    start = perf_counter()
    with progress(len(found)) as lines, _quiet_pillow(cutter), ThreadPoolExecutor(workers) as pool:
        work = [
            pool.submit(cutter.missing, item)
            if isinstance(item, Missing)
            else pool.submit(cutter.cut, item, goal_of[item])
            for item in found
        ]
        try:
            for future in work:
                outcome = future.result()
                # What decoders remark on the way to an error explains nothing.
                for text in outcome.warnings if outcome.error is None else ():
                    lines.say(f"Warning: {outcome.input}: {text}")
                if outcome.error is not None:
                    lines.say(f"Error: {outcome.input}: {outcome.error}")
                lines.advance()
        # Whatever ends the loop, a reader that is gone included, ends the work.
        except BaseException as error:
            cutter.stop.set()
            pool.shutdown(cancel_futures=True)
            if not isinstance(error, KeyboardInterrupt):
                raise
            finished = [f.result() for f in work if not f.cancelled() and f.exception() is None]
            lines.say(f"Interrupted: {_summary(finished, len(found), perf_counter() - start)}")
            raise click.exceptions.Exit(INTERRUPTED) from None
    outcomes = [future.result() for future in work]
    seconds = perf_counter() - start
    if as_json:
        document = {
            "files": [asdict(outcome) for outcome in outcomes],
            "milliseconds": round(1e3 * seconds, 3),
            "matter": asdict(matter.info),
        }
        click.echo(json.dumps(document, indent=2))
    elif len(outcomes) > 1 or (None not in goals and outcomes[0].error is None):
        click.echo(_summary(outcomes, len(found), seconds), err=True)
    if any(outcome.error is not None for outcome in outcomes):
        raise click.exceptions.Exit(1)


def _what(what: What | None, background: str | None) -> What:
    if background is not None:
        if what not in (None, "composite"):
            raise click.UsageError(f"--what {what} has no background: leave one of both out")
        return "composite"
    if what == "composite":
        raise click.UsageError("a composite needs a --background: a colour, an image or blur")
    return what or "cutout"


def _readable() -> frozenset[str]:
    from fastmatte.images import READABLE_SUFFIXES

    return READABLE_SUFFIXES


def _check_suffix(output: str | None, folder: Path | None, what: What) -> None:
    if output in (None, STREAM) or folder is not None:
        return
    suffix = Path(str(output)).suffix
    if suffix.lower() in NAMINGS[what].suffixes:
        return
    if suffix.lower() in OPAQUE:
        raise click.UsageError(
            f"{suffix} files hold no transparency, which a cut-out needs: write a .png, .webp or "
            ".tif file, or put something behind it with --background"
        )
    raise click.UsageError(
        f"-o {output}: expected one of {' '.join(NAMINGS[what].suffixes)}, got {suffix}; "
        "a folder ends in a slash"
    )


def _maker(
    what: What, background: Background | None, *, linear_light: bool
) -> Callable[[Matte], Image]:
    from fastmatte import kernels

    if what == "alpha":
        return lambda matte: kernels.quantise(matte.alpha)
    if background is None:
        return lambda matte: matte.cutout()
    return lambda matte: matte.composite(background, linear_light=linear_light)


@dataclass(frozen=True)
class Guides:
    """What the network is told besides each photo.

    trimap: a file, or a folder of files that have the photos' names.
    plate:  the scene without its subject.
    align:  whether the plate's place in each photo has to be found.
    """

    trimap: Path | None
    plate: Image | None
    align: bool

    def trimap_of(self, source: Source) -> Image | None:
        """Read a photo's trimap.

        Raises OSError and ImageError naming the file.
        """
        from fastmatte import images

        if self.trimap is None:
            return None
        path = self.trimap
        if path.is_dir():
            stem = source.kept.stem
            files = sorted(path.glob(f"{escape(stem)}.*"))
            found = [file for file in files if file.suffix.lower() in _readable()]
            if len(found) != 1:
                raise FileNotFoundError(
                    f"{path}: expected one trimap called {stem}, got {len(found)}"
                )
            [path] = found
        return named(path, images.read_alpha)


def _guides(trimap: str | None, plate: str | None, sources: list[Source], *, align: bool) -> Guides:
    if align and plate is None:
        raise click.UsageError("--align is about a --background-plate: name one")
    for hint, path in (("--trimap", trimap), ("--background-plate", plate)):
        if path is not None and not Path(path).exists():
            raise click.BadParameter(f"{path}: no such file", param_hint=hint)
    if trimap is not None and len(sources) > 1 and not Path(trimap).is_dir():
        raise click.UsageError(
            f"--trimap {trimap} is one file for {len(sources)} photos: name a folder of trimaps"
        )
    return Guides(
        None if trimap is None else Path(trimap),
        None if plate is None else read_opaque(plate),
        align,
    )


class StoppedError(Exception):
    """The run is over: what this image would come to is wanted by nobody."""


class Cutter:
    """Cuts one image after another, in several threads at once."""

    def __init__(
        self, matter: Matter, make: Callable[[Matte], Image], guides: Guides, overwrite: bool
    ) -> None:
        self._matter = matter
        self._make = make
        self._guides = guides
        self._overwrite = overwrite
        self._one_large = threading.Lock()
        self._current = threading.local()
        #: Set to give up before the next step of each image that is being worked on.
        self.stop = threading.Event()

    def missing(self, item: Missing) -> Outcome:
        """Answer for an input that is no file."""
        return Outcome(item.name, error=item.reason)

    def cut(self, source: Source, goal: Path | None) -> Outcome:
        """Read, cut and write one image; what is wrong with it is said in the outcome."""
        from fastmatte.errors import FastmatteError

        outcome = Outcome(str(source), None if goal is None else str(goal))
        self._current.outcome = outcome
        start = perf_counter()
        try:
            self._transform(source, goal, outcome)
        except BrokenPipeError:
            raise
        except (FastmatteError, ValueError, OSError, MemoryError) as error:
            outcome.error = one_line(reason(error).removeprefix(f"{source}: "))
        outcome.milliseconds = round(1e3 * (perf_counter() - start), 3)
        return outcome

    def remark(self, message: Warning | str, *_: Any, **__: Any) -> None:
        """Put what Pillow remarks on a damaged file where its name is known."""
        outcome = getattr(self._current, "outcome", None)
        text = one_line(str(message))
        if outcome is not None and text not in outcome.warnings:
            outcome.warnings.append(text)

    def _transform(self, source: Source, goal: Path | None, outcome: Outcome) -> None:
        from fastmatte import images

        self._go_on()
        if goal is not None:
            # Said before the work is done; write() makes sure again after it.
            images.refuse_occupied(goal, overwrite=self._overwrite)
        if source.path is None:
            photo = images.read(BytesIO(standard_input().read()))
        else:
            photo = images.read(source.path)
        outcome.size = photo.size
        outcome.warnings += photo.notes
        self._go_on()
        trimap = self._guides.trimap_of(source)
        large = photo.size[0] * photo.size[1] > LARGE
        with self._one_large if large else nullcontext():
            matte = photo.matte(
                self._matter,
                trimap=trimap,
                background=self._guides.plate,
                align=self._guides.align,
            )
            pixels = self._make(matte)
            self._go_on()
            if goal is None:
                _pour(images.encode(pixels, "PNG", like=photo).getvalue())
            else:
                make_folder(goal.parent)
                images.write(goal, pixels, like=photo, overwrite=self._overwrite)

    def _go_on(self) -> None:
        if self.stop.is_set():
            raise StoppedError


def _pour(data: bytes) -> None:
    """Write to standard output."""
    rest = memoryview(data)
    # Unbuffered, as under PYTHONUNBUFFERED, a pipe takes no more at a time than it holds.
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()


@contextmanager
def _quiet_pillow(cutter: Cutter) -> Iterator[None]:
    """Send the warnings of image decoders to the image that they are about."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = cutter.remark
        yield


def _summary(outcomes: list[Outcome], total: int, seconds: float) -> str:
    done = sum(outcome.error is None for outcome in outcomes)
    count = f"{total} image{'s' if total != 1 else ''}"
    text = f"{count if done == total else f'{done} of {count}'} in {seconds:.1f} s"
    return f"{text}, {1e3 * seconds / done:.0f} ms each" if done else text
