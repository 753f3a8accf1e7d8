"""process(): a video in, a video out, with everything else that the first one had."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from fastmatte._core import __version__
from fastmatte.arrays import Image
from fastmatte.clock import Percentiles, StageClock
from fastmatte.errors import VideoError
from fastmatte.matte import Background
from fastmatte.matter import Matter
from fastmatte.stream import Stream
from fastmatte.video.ahead import Ahead, ahead_of
from fastmatte.video.backgrounds import Scene, scene_of
from fastmatte.video.codecs import choose
from fastmatte.video.colour import tags_of_alpha
from fastmatte.video.frames import Format, Sink, Source
from fastmatte.video.jobs import Progress, folder_of, resumed
from fastmatte.video.joining import Kept, join
from fastmatte.video.library import pyav
from fastmatte.video.matting import Between, Matting, What
from fastmatte.video.pipeline import Outcome, run
from fastmatte.video.reader import FileSource
from fastmatte.video.segments import Segments
from fastmatte.video.sequence import ImageSink, ImageSource, is_sequence

#: What of Matter.stream()'s gives each matte with its frame.
Smoothed = Literal["auto", "none", "motion_adaptive"]


@dataclass(frozen=True)
class Summary:
    """What became of a video.

    output:       the file or folder that was written; None where frames went elsewhere, or where
                  nothing was.
    frames:       how many it has.
    resumed:      how many of them were there from an interrupted job.
    seconds:      that it took.
    frames_per_second: of those that were made now.
    interrupted:  whether it was stopped; what was done so far is written, and can be resumed.
    slowest:      the stage that set the pace: "read", "network", "matte" or "write".
    stages:       milliseconds: read, matte and write take place at the same time, and network too,
                  with two frames at once, where the network has no memory; what else there is
                  belongs to matte.
    notes:        what somebody should know, one sentence each.
    """

    output: str | None
    frames: int
    resumed: int
    seconds: float
    frames_per_second: float
    interrupted: bool
    slowest: str | None
    stages: dict[str, Percentiles]
    notes: tuple[str, ...]


def process(
    source: str | Path | Source,
    output: str | Path | Sink,
    matter: Matter,
    *,
    what: What = "composite",
    background: Background | str | Path | None = None,
    linear_light: bool = False,
    codec: str | None = None,
    quality: int | None = None,
    start: float | None = None,
    end: float | None = None,
    every: int = 1,
    between: Between = "warp",
    plate: Image | None = None,
    align: bool = False,
    smoothing: Smoothed = "auto",
    rate: Fraction | None = None,
    eight_bit: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    expect: Callable[[Format], None] | None = None,
    advance: Callable[[int], None] | None = None,
    stop: threading.Event | None = None,
) -> Summary:
    """Cut the subject out of a video, frame by frame.

    source:       a video file; a folder or pattern (shot-%04d.png) of images; or a Source.
    output:       a file to write, .mp4, .m4v, .mov, .mkv or .webm; a pattern of images, or a name
                  that ends in a slash for a folder of .png; or a Sink for frames.
    what:         "composite" over background; "alpha", in grey; "foreground", the subject's true
                  colours; "cutout", colours with transparency.
    background:   of a composite: a colour, an image, Blur(), "green", or the path of an image or a
                  video, which begins anew where it is shorter and keeps its own pace.
    linear_light: mix light rather than levels, as Matte.composite() does.
    codec:        "h264", "hevc", "vp9", "av1", "prores" or "ffv1"; None for the file's usual one.
    quality:      the encoder's constant quality, lower is better; None for 20 with h264.
    start, end:   seconds: from start on, before end.
    every:        the network sees each so many-th frame.
    between:      the alpha of the others: "warp" for one that goes along with what moves, "hold"
                  for that of the frame before them, which networks that take a trimap have anyway.
    plate:        (H, W, 3) the scene without its subject, for networks that need it.
    align:        the camera moves: the plate is aligned to every frame.
    smoothing:    "auto", "none" or "motion_adaptive", as Matter.stream() has them.
    rate:         frames a second of a sequence of images; None for 30.
    eight_bit:    whether more than 8 bits may become 8.
    resume:       go on with a job that was interrupted, as if it had not been.
    overwrite:    whether output may be replaced.
    expect:       called once with the format, before the first frame.
    advance:      called with the number of frames written, each time there are more; with those of
                  an interrupted job at the beginning.
    stop:         set it to end early; what is done so far is then written.

    Sound and subtitles are copied as they are where the file can hold them, those of a stream too,
    which is read once; chapters, metadata, times (variable rates too), colour tags and the pixel's
    aspect are kept, and sideways pictures are turned upright. The result takes its place when it is
    whole. Until then its parts lie in a hidden folder beside it, from which a job that was stopped,
    or killed, goes on with resume.

    Raises ValueError and TypeError for bad arguments, FileExistsError, VideoError for what cannot
    be read or written, saying in which stage, and OSError.
    """
    plan = Plan(
        what,
        background,
        linear_light,
        every,
        between,
        plate,
        align,
        smoothing,
        eight_bit or what == "alpha",
    )
    plan.check(start, end)
    watch = Watch(expect, advance, stop or threading.Event())
    if not isinstance(output, str | Path):
        if resume:
            raise ValueError("resume: expected False, for only a file's job goes on")
        opened = _opened(source, plan, start, end, rate)
        return _summary(None, *_run(opened, output, matter, plan, Progress(), watch))
    target = Path(output)
    if resume and not isinstance(source, str | Path):
        raise ValueError("resume: expected False, for only a file can be read again")
    if is_sequence(target):
        return _into_images(
            source, target, matter, plan, watch, start, end, rate, resume, overwrite
        )
    return _into_file(
        source, target, matter, plan, watch, codec, quality, start, end, rate, resume, overwrite
    )


@dataclass(frozen=True)
class Plan:
    """What becomes of each frame; process() says what the parts mean."""

    what: What
    background: Background | str | Path | None
    linear_light: bool
    every: int
    between: Between
    plate: Image | None
    align: bool
    smoothing: Smoothed
    eight_bit: bool

    def check(self, start: float | None, end: float | None) -> None:
        """Raise ValueError for what cannot be."""
        if self.what not in get_args(What):
            expected = ", ".join(map(repr, get_args(What)))
            raise ValueError(f"what: expected one of {expected}, got {self.what!r}")
        if (self.what == "composite") != (self.background is not None):
            raise ValueError(
                "background: expected a colour, an image, a video or blur for a composite, "
                f"and None for all else; got {self.background!r} with what={self.what!r}"
            )
        if self.linear_light and self.what != "composite":
            raise ValueError("linear_light: expected False, for it is about a composite")
        if self.smoothing not in get_args(Smoothed):
            expected = ", ".join(map(repr, get_args(Smoothed)))
            raise ValueError(f"smoothing: expected one of {expected}, got {self.smoothing!r}")
        if self.between not in get_args(Between):
            expected = ", ".join(map(repr, get_args(Between)))
            raise ValueError(f"between: expected one of {expected}, got {self.between!r}")
        if not isinstance(self.every, int) or self.every < 1:
            raise ValueError(f"every: expected an integer of at least 1, got {self.every!r}")
        if start is not None and start < 0:
            raise ValueError(f"start: expected seconds from 0 on, got {start!r}")
        if end is not None and end <= (start or 0):
            raise ValueError(f"end: expected seconds after the start, {start or 0:g}, got {end!r}")


@dataclass(frozen=True)
class Watch:
    """Who looks on, and may end it."""

    expect: Callable[[Format], None] | None
    advance: Callable[[int], None] | None
    stop: threading.Event


def _into_images(
    source: str | Path | Source,
    target: Path,
    matter: Matter,
    plan: Plan,
    watch: Watch,
    start: float | None,
    end: float | None,
    rate: Fraction | None,
    resume: bool,
    overwrite: bool,
) -> Summary:
    sink = ImageSink(target, overwrite=overwrite)
    if (
        isinstance(source, str | Path)
        and is_sequence(Path(source))
        and sink.writes_to(Path(source))
    ):
        raise ValueError(f"output: expected another folder than the source's, got {target}")
    job = _job(source, matter, plan, start, end, rate)
    progress = resumed(sink.folder, job) if resume else Progress()
    if not resume or not sink.folder.is_dir():
        sink.require_free()
    opened = _opened(source, plan, start, end, rate, progress)
    with _left(sink.folder, job), closing(opened):
        sink.begin(job, progress, plan.every)
        outcome, notes, stages, slowest = _run(opened, sink, matter, plan, progress, watch)
    if not (outcome.interrupted and _goes_on(job)):
        shutil.rmtree(sink.folder, ignore_errors=True)
    return _summary(str(target), outcome, notes, stages, slowest, progress.frames)


def _into_file(
    source: str | Path | Source,
    target: Path,
    matter: Matter,
    plan: Plan,
    watch: Watch,
    codec: str | None,
    quality: int | None,
    start: float | None,
    end: float | None,
    rate: Fraction | None,
    resume: bool,
    overwrite: bool,
) -> Summary:
    from fastmatte import images

    folder = folder_of(target)
    _refuse_same(target, "source", source)
    _refuse_same(target, "background", plan.background)
    images.refuse_occupied(target, overwrite=overwrite or (resume and folder.is_dir()))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(target.parent))
    encoding = choose(target, codec, quality, transparent=plan.what == "cutout")
    job = _job(source, matter, plan, start, end, rate)
    job["encoding"] = [encoding.encoder, encoding.pixel_format, encoding.options]
    progress = resumed(folder, job) if resume else Progress()
    opened = _opened(source, plan, start, end, rate, progress)
    format = opened.format
    if plan.what == "alpha":
        format = replace(format, colour=tags_of_alpha(format.colour))
    with ExitStack() as stack:
        stack.enter_context(_left(folder, job))
        stack.enter_context(closing(opened))
        sink = Segments(folder, encoding, format, job, progress=progress, stride=plan.every)
        kept = Kept(None)
        if isinstance(opened, FileSource):
            beside = opened.path or stack.enter_context(closing(opened.lay_aside(folder)))
            kept = Kept(beside, opened.offset * format.time_base)
        outcome, notes, stages, slowest = _run(opened, sink, matter, plan, progress, watch)
        if sink.parts:
            if outcome.interrupted or (isinstance(opened, FileSource) and opened.has_end):
                kept.end = sink.parts[-1].end * format.time_base
            try:
                with images.replacing(target, overwrite=overwrite or resume) as temporary:
                    join(sink.parts, folder, Path(temporary.name), encoding, format, kept)
            except pyav().error.FFmpegError as error:
                raise VideoError(f"joining the parts: {error}") from error
    if not (outcome.interrupted and _goes_on(job)):
        shutil.rmtree(folder, ignore_errors=True)
    notes = [*notes, *kept.notes]
    written = str(target) if sink.parts else None
    return _summary(written, outcome, notes, stages, slowest, progress.frames)


def _opened(
    source: str | Path | Source,
    plan: Plan,
    start: float | None,
    end: float | None,
    rate: Fraction | None,
    progress: Progress | None = None,
) -> Source:
    if not isinstance(source, str | Path):
        if start is not None or end is not None:
            raise ValueError("start, end: expected None, for only a file has a beginning to count")
        return source
    path = Path(source)
    if is_sequence(path):
        return ImageSource(path, rate or Fraction(30), start, end, progress)
    if rate is not None:
        raise ValueError("rate: expected None, for a video has its own times")
    return FileSource(
        path,
        start=start,
        end=end,
        eight_bit=plan.eight_bit,
        after=progress.parts[-1].last if progress and progress.parts else None,
        index=progress.frames if progress else 0,
    )


def _run(
    source: Source, sink: Sink, matter: Matter, plan: Plan, progress: Progress, watch: Watch
) -> tuple[Outcome, list[str], dict[str, Percentiles], str | None]:
    """Bring all frames through; return what was done, what is to be known, all stages and the
    slowest.
    """
    scene: Scene | None = None
    try:
        if plan.background is not None:
            scene = scene_of(plan.background, source.format.size, eight_bit=plan.eight_bit)
        if watch.expect is not None:
            watch.expect(source.format)
        if watch.advance is not None and progress.frames:
            watch.advance(progress.frames)
        with _streaming(matter, plan) as (stream, ahead):
            if progress.memory is not None:
                stream.remember(progress.memory)
            worker = Matting(
                stream,
                plan.what,
                scene,
                linear_light=plan.linear_light,
                every=plan.every,
                between=plan.between,
                checkpoint=sink.checkpoint,
                origin=progress.parts[0].first if progress.parts else None,
                time_base=source.format.time_base,
                threads=stream.threads,
                ahead=ahead,
            )
            outcome = run(
                source, worker, sink, begin=worker.begin, advance=watch.advance, stop=watch.stop
            )
            stages = {**outcome.stages.stages, **stream.stats.stages}
            slowest = _slowest(stages, 1 if ahead is None else ahead.lanes)
    finally:
        if scene is not None:
            scene.close()
        source.close()
    notes = [*source.notes, *([] if scene is None else scene.notes), *sink.notes]
    return outcome, notes, stages, slowest


def _slowest(stages: Mapping[str, Percentiles], lanes: int) -> str | None:
    """Return the stage that set the pace; of one that is part of matting, matting."""
    pace = {name: stages[name].p50 for name in ("read", "matte", "write") if name in stages}
    if lanes > 1 and "network" in stages:
        pace["network"] = stages["network"].p50 / lanes
    return max(pace, key=pace.__getitem__, default=None)


@contextmanager
def _streaming(matter: Matter, plan: Plan) -> Iterator[tuple[Stream, Ahead | None]]:
    """Return a stream, and what runs the network ahead of it where that may be."""
    clock = StageClock()
    ahead = ahead_of(matter, clock)
    if ahead is None or plan.plate is not None or plan.align:
        # What does not fit the network is said here.
        with matter.stream(
            background=plan.plate, align=plan.align, smoothing=plan.smoothing
        ) as stream:
            yield stream, None
        return
    try:
        with Stream(ahead.pipeline, "rgb", None, "reset", smoothing=plan.smoothing) as stream:
            stream.clock = clock
            yield stream, ahead
    finally:
        ahead.close()


def _summary(
    output: str | None,
    outcome: Outcome,
    notes: list[str],
    stages: dict[str, Percentiles],
    slowest: str | None,
    before: int = 0,
) -> Summary:
    return Summary(
        output=output,
        frames=before + outcome.frames,
        resumed=before,
        seconds=outcome.seconds,
        frames_per_second=outcome.frames / outcome.seconds if outcome.seconds else 0.0,
        interrupted=outcome.interrupted,
        slowest=slowest,
        stages=stages,
        notes=tuple(notes),
    )


def _job(
    source: str | Path | Source,
    matter: Matter,
    plan: Plan,
    start: float | None,
    end: float | None,
    rate: Fraction | None,
) -> dict[str, Any]:
    """Describe a job so that another one is told from it."""
    return {
        "fastmatte": __version__,
        "source": _identity(source) if isinstance(source, str | Path) else None,
        "matter": json.loads(json.dumps(asdict(matter.info), default=str)),
        "what": plan.what,
        "background": _identity(plan.background),
        "linear_light": plan.linear_light,
        "every": plan.every,
        "between": plan.between,
        "plate": _identity(plan.plate),
        "align": plan.align,
        "smoothing": plan.smoothing,
        "eight_bit": plan.eight_bit,
        "start": start,
        "end": end,
        "rate": None if rate is None else str(rate),
    }


def _identity(thing: object) -> object:
    if isinstance(thing, np.ndarray):
        return hashlib.sha256(thing.tobytes()).hexdigest()
    if isinstance(thing, str | Path) and Path(thing).exists():
        path = Path(thing).resolve()
        state = path.stat()
        return [str(path), state.st_size, state.st_mtime_ns]
    return None if thing is None else repr(thing)


def _refuse_same(target: Path, name: str, other: object) -> None:
    if not isinstance(other, str | Path) or not target.exists() or not Path(other).exists():
        return
    if target.samefile(other):
        raise ValueError(f"output: expected another file than the {name}, got {target}")


@contextmanager
def _left(folder: Path, job: Mapping[str, Any]) -> Iterator[None]:
    """Say what is left to go on with where something fails; leave nothing where nothing is."""
    try:
        yield
    except BaseException as error:
        frames = resumed(folder, job).frames
        # A part may be whole and not on record: on a full disk there was no place to say so.
        if not frames and not any(folder.glob("part-*")):
            shutil.rmtree(folder, ignore_errors=True)
        elif isinstance(error, VideoError):
            done = f"{frames} frames are done" if frames else "What was done is whole"
            goes_on = frames and _goes_on(job)
            hint = "; --resume (resume=True) goes on from there" if goes_on else ""
            raise VideoError(
                f"{error}. {done} and can be played, in {folder} or beside it{hint}"
            ) from error
        raise


def _goes_on(job: Mapping[str, Any]) -> bool:
    """Tell whether a job's source can be read again."""
    return job["source"] is not None
