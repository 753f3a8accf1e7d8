"""Encoder: one file of video alone, frames in, playable when it is closed."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

from fastmatte.arrays import Size
from fastmatte.video.codecs import Encoding
from fastmatte.video.colour import FromRgb, written_tags
from fastmatte.video.frames import Format, Frame
from fastmatte.video.library import pyav

#: More do not help a picture, and each holds several.
MOST_THREADS = 4
#: Of a rate, as encoders take it: 30000/1001 is fine, an average of odd times may not be.
LARGEST_RATE_PART = 65535


class Encoder:
    """Encodes frames into a file, the first of which is a key frame.

    origin: pts that becomes 0 in the file.
    """

    def __init__(self, path: Path, encoding: Encoding, format: Format, origin: int) -> None:
        av = pyav()
        self._origin = origin
        self._format = format
        size = encoded_size(format.size, encoding)
        tags = written_tags(format.colour, format.size)
        self._convert = FromRgb(encoding.pixel_format, tags, size)
        self._container = av.open(
            f"file:{path}", "w", format=encoding.kind.format, options=mux_options(encoding, format)
        )
        stream = self._container.add_stream(
            encoding.encoder,
            rate=format.rate.limit_denominator(LARGEST_RATE_PART),
            options=encoding.options,
        )
        stream.height, stream.width = size
        stream.pix_fmt = encoding.pixel_format
        stream.time_base = format.time_base
        context = stream.codec_context
        context.time_base = format.time_base
        context.sample_aspect_ratio = format.pixel_aspect
        context.colorspace = tags.matrix
        context.color_range = tags.range
        context.color_primaries = tags.primaries
        context.color_trc = tags.transfer
        context.thread_count = min(MOST_THREADS, os.cpu_count() or 1)
        context.thread_type = "AUTO"
        # So that every frame keeps its own duration, the last one too.
        context.flags |= av.codec.context.Flags.frame_duration
        if encoding.codec == "hevc" and encoding.kind.format in ("mp4", "mov"):
            # What Apple's players know it by.
            context.codec_tag = "hvc1"
        self._stream: Any = stream

    def write(self, frame: Frame) -> None:
        """Encode a frame."""
        picture = self._convert(frame.pixels)
        picture.pts = frame.pts - self._origin
        picture.time_base = self._format.time_base
        picture.duration = frame.duration or self._format.step
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def close(self) -> None:
        """Write what the encoder holds back, and complete the file."""
        try:
            for packet in self._stream.encode(None):
                self._container.mux(packet)
        finally:
            self._container.close()

    def drop(self) -> None:
        """Close the file as it is, whatever becomes of it."""
        try:
            self._container.close()
        except pyav().error.FFmpegError:
            pass


def encoded_size(size: Size, encoding: Encoding) -> Size:
    """Return the size of encoded pictures: sides that must be even and are not are one longer."""
    if not encoding.even:
        return size
    return size[0] + size[0] % 2, size[1] + size[1] % 2


def mux_options(encoding: Encoding, format: Format) -> dict[str, str]:
    """Return what a muxer has to be told."""
    if encoding.kind.absolute:
        return {}
    # Where pictures do not begin at 0 their beginning is in ticks of the whole file, 1000 a second
    # unless told.
    ticks = Fraction(1) / format.time_base
    while ticks < 1000:
        ticks *= 10
    return {"movie_timescale": str(round(ticks))}
