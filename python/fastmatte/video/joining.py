"""Joining: the parts of a result become one file, with the sound and all else of the source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import Any

from fastmatte.errors import VideoError
from fastmatte.video.aside import KINDS, Aside
from fastmatte.video.codecs import Encoding
from fastmatte.video.encoder import mux_options
from fastmatte.video.frames import Format
from fastmatte.video.jobs import Part
from fastmatte.video.library import pyav
from fastmatte.video.reader import Onward, open_input

#: What the muxer writes anew, or what was true of the source's own pictures alone.
STALE = (
    *("major_brand", "minor_version", "compatible_brands", "encoder", "handler_name", "vendor_id"),
    *("duration", "rotate", "alpha_mode"),
)
#: Statistics that mkvmerge leaves, which no longer hold.
STATISTICS = ("BPS", "NUMBER_OF_", "_STATISTICS_")
#: What sound becomes where it cannot stay as it is.
SOUND = {"webm": "libopus", "mp4": "aac", "mov": "aac", "matroska": "flac"}


@dataclass
class Kept:
    """What of the source's other streams comes along.

    source: where they are; None where there are none.
    start:  seconds of the source that become 0.
    end:    seconds of the result after which nothing of them is kept; None for all.
    notes:  what somebody should know, one sentence each.
    broken: how many packets were left out for being damaged.
    """

    source: Path | Aside | None
    start: Fraction = Fraction(0)
    end: Fraction | None = None
    notes: list[str] = field(default_factory=list)
    broken: int = 0


def join(
    parts: list[Part], folder: Path, target: Path, encoding: Encoding, format: Format, kept: Kept
) -> None:
    """Write the result from its parts; nothing is encoded again."""
    av = pyav()
    options = mux_options(encoding, format)
    if not encoding.kind.absolute:
        # The index to the front, so that a player on the network can begin at once.
        options["movflags"] = "+faststart"
    source = open_input(kept.source) if isinstance(kept.source, Path) else kept.source
    try:
        with (
            av.open(f"file:{folder / parts[0].file}") as template,
            av.open(f"file:{target}", "w", format=encoding.kind.format, options=options) as output,
        ):
            stream = output.add_stream_from_template(template.streams.video[0], opaque=True)
            stream.codec_context.framerate = format.rate
            if encoding.codec == "hevc" and not encoding.kind.absolute:
                stream.codec_context.codec_tag = "hvc1"
            others: Iterable[tuple[Fraction, Any]] = ()
            if source is not None:
                _describe(source, output, stream, kept)
                others = _others(source, output, kept)
            else:
                others = ()
            pictures = _pictures(parts, folder, encoding, format, stream)
            for _, packet in merge(pictures, others, key=lambda item: item[0]):
                try:
                    output.mux(packet)
                except (av.error.InvalidDataError, av.error.ArgumentError):
                    if packet.stream is stream:
                        raise
                    kept.broken += 1
            if kept.broken:
                kept.notes.append(f"{kept.broken} broken packets of sound were left out")
    finally:
        if source is not None:
            source.close()


def _pictures(
    parts: list[Part], folder: Path, encoding: Encoding, format: Format, stream: Any
) -> Iterator[tuple[Fraction, Any]]:
    """Yield every packet of every part, at the time it has in the result."""
    av = pyav()
    latest: int | None = None
    before: list[int] = []
    for part in parts:
        path = f"file:{folder / part.file}"
        with av.open(path) as container:
            base = container.streams.video[0].time_base
            origin = 0 if encoding.kind.absolute else round(part.first * format.time_base / base)
            coded = [p.pts + origin for p in container.demux(video=0) if p.pts is not None]
        if len(coded) != part.frames:
            raise VideoError(f"{path}: expected {part.frames} frames, found {len(coded)}")
        decoding = decoding_times(coded, before)
        before = sorted(coded)
        with av.open(path) as container:
            packets = (p for p in container.demux(video=0) if p.pts is not None)
            for packet, pts, dts in zip(packets, coded, decoding, strict=True):
                latest = dts if latest is None else max(dts, latest + 1)
                packet.pts, packet.dts, packet.stream = pts, latest, stream
                yield latest * base, packet


def decoding_times(coded: list[int], before: list[int]) -> list[int]:
    """Return when each picture is decoded: in order, and none after it is shown.

    coded:  when each is shown, in the order in which they are decoded.
    before: when those of the part before are shown, in that order.

    Matroska has no such times, and those of parts made one by one would not fit each other. Each
    picture takes the time of the one that is shown so many places before it as needed.
    """
    shown = sorted(coded)
    place = {time: index for index, time in enumerate(shown)}
    delay = max((index - place[time] for index, time in enumerate(coded)), default=0)
    step = max(1, shown[1] - shown[0]) if len(shown) > 1 else 1
    earlier = before[-delay:] if delay else []
    first = min([*earlier, shown[0]])
    earlier = [first - step * k for k in range(delay - len(earlier), 0, -1)] + earlier
    return [*earlier, *shown][: len(coded)]


def _describe(source: Any, output: Any, stream: Any, kept: Kept) -> None:
    """Take over what the source says about itself: its title, its chapters and so on."""
    output.metadata.update(_lasting(source.metadata))
    pictures = next(iter(source.streams.video), None)
    if pictures is not None:
        stream.metadata.update(_lasting(pictures.metadata))
    chapters = []
    for chapter in source.chapters():
        base = chapter["time_base"]
        begin, end = (chapter[name] * base - kept.start for name in ("start", "end"))
        if kept.end is not None:
            end = min(end, kept.end)
        if end > max(begin, 0):
            chapter["start"], chapter["end"] = round(max(begin, 0) / base), round(end / base)
            chapters.append(chapter)
    output.set_chapters(chapters)


def _lasting(metadata: dict[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in metadata.items()
        if name.lower() not in STALE and not name.startswith(STATISTICS)
    }


def _others(source: Any, output: Any, kept: Kept) -> Iterator[tuple[Fraction, Any]]:
    """Make a stream for each of the source's that can come along; yield their packets."""
    copied: dict[int, Any] = {}
    encoded: dict[int, Transcoder] = {}
    for stream in source.streams:
        if stream.type not in KINDS:
            continue
        try:
            copied[stream.index] = output.add_stream_from_template(stream, opaque=True)
        except (ValueError, pyav().error.FFmpegError):
            if stream.type == "subtitle":
                kept.notes.append(f"{output.format.name} files hold no such subtitles: left out")
                continue
            if stream.codec_context is None:
                kept.notes.append("sound of a kind that this build of PyAV does not know: left out")
                continue
            encoded[stream.index] = Transcoder(stream, output)
            kept.notes.append(
                f"{output.format.name} files hold no {stream.codec_context.name} sound: it was "
                f"encoded anew, as {SOUND[output.format.name]}"
            )
        made = copied.get(stream.index) or encoded[stream.index].stream
        made.metadata.update(_lasting(stream.metadata))
        made.disposition = stream.disposition
    left = [s for s in source.streams if s.type not in (*KINDS, "video")]
    if left:
        kept.notes.append(f"{', '.join(sorted({s.type for s in left}))} streams are left out")
    wanted = [s for s in source.streams if s.index in copied or s.index in encoded]
    # Streams are made now, packets come when they are asked for.
    return _packets(source, wanted, copied, encoded, kept) if wanted else iter(())


def _packets(
    source: Any,
    wanted: list[Any],
    copied: dict[int, Any],
    encoded: dict[int, Transcoder],
    kept: Kept,
) -> Iterator[tuple[Fraction, Any]]:
    av = pyav()
    packets = source.demux(wanted)
    times = {stream.index: Onward(stream.time_base) for stream in wanted}
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            # Cut short: the pictures' reader has said so.
            packet = None
        if packet is None:
            break
        index = packet.stream.index
        if packet.pts is None or packet.dts is None:
            continue
        base = packet.time_base
        onward = times[index](packet.dts, packet.duration or 1)
        shift = onward - packet.dts - round(kept.start / base)
        packet.pts += shift
        packet.dts += shift
        time = packet.pts * base
        if (kept.start and time < 0) or (kept.end is not None and time >= kept.end):
            continue
        if index in copied:
            packet.stream = copied[index]
            yield packet.dts * base, packet
        else:
            yield from encoded[index].packets(packet)
    for transcoder in encoded.values():
        yield from transcoder.packets(None)
        kept.broken += transcoder.broken


class Transcoder:
    """Encodes a stream of sound anew, in a codec that the result's file holds."""

    def __init__(self, source: Any, output: Any) -> None:
        name = SOUND[output.format.name]
        self.broken = 0
        self._source = source
        rate = 48000 if name == "libopus" else source.codec_context.sample_rate
        self.stream = output.add_stream(name, rate=rate, layout=source.codec_context.layout.name)

    def packets(self, packet: Any) -> Iterator[tuple[Fraction, Any]]:
        """Yield what a packet becomes, with its time; None for the end."""
        made = []
        # PyAV brings frames to the encoder's own rate, format and length.
        for frame in [None] if packet is None else self._decoded(packet):
            made += self.stream.encode(frame)
        for one in made:
            yield (one.dts or 0) * one.time_base, one

    def _decoded(self, packet: Any) -> list[Any]:
        try:
            return list(self._source.decode(packet))
        except pyav().error.FFmpegError:
            # A gap: later frames keep their times.
            self.broken += 1
            return []
