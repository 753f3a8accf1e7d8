"""FileSource: the frames of a video file, upright, in RGB, each with its time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from io import BufferedReader
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from fastmatte._core import MAX_PIXELS
from fastmatte.arrays import Image, Size
from fastmatte.errors import VideoError
from fastmatte.video.aside import KINDS, Aside
from fastmatte.video.colour import ToRgb, require_eight_bits
from fastmatte.video.fields import Deinterlacer
from fastmatte.video.frames import TRANSPARENCY, ColourTags, Format, Frame, Pool
from fastmatte.video.library import pyav

#: A display matrix has 16 binary digits behind the point.
ONE = 1 << 16
#: Broken packets after which a file counts as no video: a damaged one has a few.
MOST_BROKEN = 100


class FileSource:
    """Decodes one video stream of a file, or of a binary stream open for reading.

    start, end: seconds from the file's own beginning; frames from start on and before end.
    eight_bit:  whether more than 8 bits may become 8.
    after:      resume behind the frame that was returned with this pts: the first is the next one.
    index:      that the first frame gets.

    Raises VideoError for what is no video, OSError for what cannot be opened.
    """

    def __init__(
        self,
        file: Any,
        *,
        start: float | None = None,
        end: float | None = None,
        eight_bit: bool = False,
        after: int | None = None,
        index: int = 0,
    ) -> None:
        self.name = str(file) if isinstance(file, str | Path) else "standard input"
        self.notes: list[str] = []
        self._after = after
        self._index = index
        #: None for a stream, which can be read only once.
        self.path = Path(file) if isinstance(file, str | Path) else None
        self._file = file
        self._container = open_input(file)
        # Where others of a stream's packets go: none that come before the first frame may be lost.
        self._beside: list[Any] | Aside | None = []
        try:
            self._stream = self._pictures()
            self._to_rgb = ToRgb()
            self._eight_bit = eight_bit
            self._kind: tuple[str, int] | None = None
            self._broken = 0
            self._rotation = 0
            self._turn = (0, False)
            self._last: int | None = None
            self._first: Any = None
            time_base = self._stream.time_base
            self._onward = Onward(time_base)
            origin = self._stream.start_time or 0
            self._start: int | None = None if start is None else origin + ceil(start / time_base)
            if after is not None:
                self._after = after + self.offset
            self._end = None if end is None else origin + ceil(end / time_base)
            self._decoded = self._in_time()
            # Everything that can be wrong with a file shows here, before anything is written.
            self._first = next(self._decoded, None)
            if self._first is None:
                raise VideoError(f"{self.name}: {self._why_empty(start, end)}")
            self.format = self._format_of(self._first)
            if any(component.is_alpha for component in self._first.format.components):
                self._note(TRANSPARENCY)
            self._require_eight_bits(self._first)
        except BaseException:
            self._container.close()
            raise

    @property
    def offset(self) -> int:
        """The pts that becomes 0 where a start was asked for; 0 without."""
        return self._start or 0

    def read(self, pool: Pool) -> Frame | None:
        """Return the next frame; None at the end."""
        if not isinstance(self._beside, Aside):
            self._beside = None
        raw = self._first if self._first is not None else next(self._decoded, None)
        self._first = None
        if raw is None:
            self._conclude()
            return None
        self._require_eight_bits(raw)
        if raw.rotation != self._rotation:
            self._rotation, self._turn = raw.rotation, _turn_of(raw)
        turn = self._turn
        if _upright_size(raw, turn) != self.format.size:
            raise VideoError(
                f"{self.name}: at {float(raw.pts * self.format.time_base):.3f} s frames change "
                f"from {_by(self.format.size)} to {_by(_upright_size(raw, turn))}, which one file "
                "cannot hold: cut it there, with --end and --start"
            )
        pixels = self._to_rgb(raw, _tags_of(raw), pool)
        if turn != (0, False):
            turned = pool.take((*self.format.size, 3))
            np.copyto(turned, _turned(pixels, turn))
            pool.give(pixels)
            pixels = turned
        frame = Frame(pixels, self._index, raw.pts - self.offset, raw.duration or 0)
        self._index += 1
        return frame

    @property
    def has_end(self) -> bool:
        """Whether frames end before the file does."""
        return self._end is not None

    def lay_aside(self, folder: Path) -> Aside:
        """Keep in a folder what comes beside the pictures of a stream; the caller closes it.

        To be called before the first frame is read, for nothing of it comes again.
        """
        early, aside = self._beside, Aside(self._container, folder)
        assert not isinstance(early, Aside)
        for packet in early or ():
            aside.append(packet)
        self._beside = aside
        return aside

    def close(self) -> None:
        """Close the file; what was laid aside of it stays."""
        if not isinstance(self._beside, Aside):
            self._container.close()

    def _in_time(self) -> Iterator[Any]:
        """Yield the decoded frames that are asked for, each with a pts above the one before."""
        wanted = self._after if self._after is not None else self._start
        late = wanted is not None and wanted > (self._stream.start_time or 0)
        found = self._after is None
        for raw in self._sought(wanted or 0) if late else self._monotonic():
            if not found:
                found = raw.pts == self._after
                if raw.pts > (self._after or 0):
                    raise VideoError(
                        f"{self.name}: the frame at {self._after} ticks, where the job stopped, is "
                        "not found again: start it anew, without --resume"
                    )
                continue
            if self._start is not None and raw.pts < self._start:
                continue
            if self._end is not None and raw.pts >= self._end:
                return
            yield raw

    def _sought(self, wanted: int) -> Iterator[Any]:
        """Decode from the keyframe before a moment: all up to there is for others to drop."""
        try:
            self._container.seek(wanted, stream=self._stream)
        except pyav().error.FFmpegError as error:
            self._note(f"the file cannot be searched, and is read from its beginning: {error}")
        frames = self._monotonic()
        first = next(frames, None)
        if first is not None and first.pts <= wanted:
            yield first
            yield from frames
            return
        # Broadcasts have no index, and a search may end behind its goal.
        self._container.close()
        self._container = open_input(self._file)
        self._stream = self._pictures()
        self._last, self._onward = None, Onward(self._stream.time_base)
        yield from self._monotonic()

    def _pictures(self) -> Any:
        stream = video_stream(self._container, self.name)
        stream.thread_type = "AUTO"
        return stream

    def _monotonic(self) -> Iterator[Any]:
        step = self._step()
        for raw in Deinterlacer(self._stream, self._note)(self._frames()):
            if raw.pts is None:
                # Raw streams have no times: as many as their rate says.
                raw.pts = 0 if self._last is None else self._last + step
            else:
                onward = self._onward(raw.pts, step)
                if onward != raw.pts:
                    self._note("times run backwards in places, and go on there instead")
                raw.pts = onward
            self._last = raw.pts
            yield raw

    def _frames(self) -> Iterator[Any]:
        """Yield what can be decoded, and count what cannot."""
        av = pyav()
        wanted = [self._stream]
        if self.path is None:
            wanted += [s for s in self._container.streams if s.type in KINDS]
        packets = self._container.demux(wanted)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self._note(f"the file is broken or cut short: {_said(error)}")
                packet = None
            if packet is not None and packet.stream_index != self._stream.index:
                if packet.size and self._beside is not None:
                    self._beside.append(packet)
                continue
            try:
                yield from self._stream.decode(packet)
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                self._broken += 1
                if self._broken > MOST_BROKEN:
                    raise VideoError(f"{self.name}: too much of it is broken: {error}") from error
            if packet is None or (packet.dts is None and packet.size == 0):
                return

    def _conclude(self) -> None:
        if self._broken:
            self._note(f"{self._broken} broken packets were left out")
        duration, last = self._stream.duration, self._last
        if duration is None and self._container.duration is not None:
            duration = int(self._container.duration / 10**6 / self._stream.time_base)
        if self._end is None and duration and last is not None:
            missing = float(
                (duration - (last - (self._stream.start_time or 0))) * self._stream.time_base
            )
            if missing > 0.5 + 2 / float(self.format.rate):
                self._note(f"the file is cut short: its last {missing:.1f} s have no frames")

    def _require_eight_bits(self, raw: Any) -> None:
        """Look at frames that are of another kind than the one before: it may change on the way."""
        kind = raw.format.name, raw.color_trc
        if kind != self._kind:
            self._kind = kind
            bits = max(int(component.bits) for component in raw.format.components)
            require_eight_bits(bits, _tags_of(raw), self.name, allowed=self._eight_bit)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _why_empty(self, start: float | None, end: float | None) -> str:
        if self._last is None:
            late = self.path is None and "mp4" in self._container.format.name
            hint = "; a pipe needs a file whose index comes first: give the file" if late else ""
            return f"no frame of its video stream can be decoded{hint}"
        return f"no frame lies between {start or 0:g} s and {'its end' if end is None else end}"

    def _step(self) -> int:
        rate = _rate_of(self._stream)
        time_base: Fraction = self._stream.time_base
        return max(1, round(1 / (rate * time_base)))

    def _format_of(self, raw: Any) -> Format:
        # Once, not with each frame: one whose side data was asked for stays until Python's
        # collector comes round, three megabytes each at 1080p.
        self._rotation, self._turn = raw.rotation, _turn_of(raw)
        turn = self._turn
        size = _upright_size(raw, turn)
        if size[0] * size[1] > MAX_PIXELS:
            raise VideoError(f"{self.name}: {_by(size)} are more than {MAX_PIXELS} pixels")
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        return Format(
            size=size,
            time_base=self._stream.time_base,
            rate=_rate_of(self._stream),
            frames=self._expected(),
            colour=_tags_of(raw),
            pixel_aspect=1 / aspect if turn[0] % 2 else aspect,
        )

    def _expected(self) -> int | None:
        """Guess how many frames are to come, for whoever waits for them."""
        rate, stream = _rate_of(self._stream), self._stream
        total = stream.frames
        if not total:
            duration = stream.duration and stream.duration * stream.time_base
            duration = duration or (self._container.duration or 0) / Fraction(10**6)
            total = round(duration * rate)
        if not total:
            return None
        begin = self._start or stream.start_time or 0
        skipped = (begin - (stream.start_time or 0)) * stream.time_base * rate
        total -= round(skipped)
        if self._end is not None:
            total = min(total, round((self._end - begin) * stream.time_base * rate))
        return max(int(total), 1)


class Onward:
    """Makes times of a stream go on where its own run backwards.

    By a tick where a few are out of order; where they are more than a second back another recording
    has begun, as in files that were joined byte by byte, and all that follow move with the first.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._second = 1 / time_base
        self._shift = 0
        self._last: int | None = None

    def __call__(self, time: int, step: int) -> int:
        """Return a time behind those before; step ticks behind the last where all begins anew."""
        time += self._shift
        if self._last is not None and time <= self._last:
            if self._last - time > self._second:
                self._shift += self._last + step - time
                time = self._last + step
            else:
                time = self._last + 1
        self._last = time
        return time


def open_input(file: Any, format: str | None = None) -> Any:
    """Open a container. Raises VideoError for what is none, OSError for no file."""
    av = pyav()
    name = str(file) if isinstance(file, str | Path) else "standard input"
    if isinstance(file, str | Path):
        # A plain path, whatever it looks like: no pattern, no protocol of FFmpeg's.
        if Path(file).is_fifo():
            raise VideoError(f"{name}: a pipe can be read once: give it as standard input, -")
        with open(file, "rb") as probe:
            if not probe.read(1):
                raise VideoError(f"{name}: the file is empty")
        file = f"file:{file}"
    elif isinstance(file, BufferedReader) and not file.peek(1):
        raise VideoError(f"{name}: it is empty")
    try:
        return av.open(file, format=format, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise VideoError(f"{name}: no video, or a broken one: {_said(error)}") from error


def video_stream(container: Any, name: str) -> Any:
    """Return the first stream of moving pictures; the cover of a song is none."""
    cover = pyav().stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & cover:
            if stream.codec_context is None:
                raise VideoError(f"{name}: this build of PyAV has no decoder for its video")
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise VideoError(f"{name}: expected a video stream, found {kinds}")


def _said(error: Any) -> str:
    return str(error.strerror or error)


def _rate_of(stream: Any) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate:
            return Fraction(rate)
    return Fraction(25)


def _tags_of(raw: Any) -> ColourTags:
    return ColourTags(raw.colorspace, raw.color_range, raw.color_primaries, raw.color_trc)


def _turn_of(raw: Any) -> tuple[int, bool]:
    """Return (quarter turns clockwise, whether mirrored left to right first) to be upright."""
    side = raw.side_data.get("DISPLAYMATRIX")
    if side is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(side, np.int32)[:5] / ONE
    # (x, y) of the file goes to (a x + c y, b x + d y) of the screen.
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(np.degrees(np.arctan2(b, a)) / 90) % 4, bool(mirrored)


def _turned(pixels: Image, turn: tuple[int, bool]) -> Image:
    quarters, mirrored = turn
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, -quarters)


def _upright_size(raw: Any, turn: tuple[int, bool]) -> Size:
    return (raw.width, raw.height) if turn[0] % 2 else (raw.height, raw.width)


def _by(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
