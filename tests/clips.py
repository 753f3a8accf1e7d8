"""Tiny video files, each frame told from its neighbours by a moving edge and its own grey."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av", reason="video needs PyAV")


def picture(index, size=(48, 64)):
    """Black on the left, on the right a grey of the frame's own, too little for a cut."""
    height, width = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 4 + index % (width // 2) :] = 176 + index * 7 % 15
    return pixels


def clip(
    path,
    frames=10,
    *,
    size=(48, 64),
    rate=Fraction(30),
    times=None,
    time_base=None,
    codec="libx264",
    pixel_format="yuv420p",
    options=None,
    tone=None,
    turned=None,
    aspect=None,
    tags=None,
    metadata=None,
    chapters=None,
):
    """Write a clip.

    times:  pts of each frame in time_base, None for one after another.
    tone:   codec of a sound of 440 Hz as long as the pictures.
    turned: degrees by which a player turns the pictures counter-clockwise, and whether mirrored.
    tags:   (matrix, range, primaries, transfer) in FFmpeg's numbers.
    """
    time_base = time_base or 1 / rate
    times = list(range(frames)) if times is None else times
    # Else a late beginning is rounded to milliseconds.
    ticks = {"movie_timescale": "90000"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=ticks) as output:
        output.metadata.update(metadata or {})
        stream = output.add_stream(
            codec, rate=rate, options=options or {"crf": "10"} if "x26" in codec else {}
        )
        stream.height, stream.width = size
        stream.pix_fmt = pixel_format
        stream.time_base = stream.codec_context.time_base = time_base
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if tags is not None:
            context = stream.codec_context
            context.colorspace, context.color_range = tags[:2]
            context.color_primaries, context.color_trc = tags[2:]
        if turned is not None:
            stream.set_display_rotation(turned[0], hflip=turned[1])
        sound = None
        if tone is not None:
            sound = output.add_stream(tone, rate=48000, layout="stereo")
        if chapters:
            output.set_chapters(chapters)
        for index, pts in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index, size), "rgb24")
            frame = frame.reformat(
                format=pixel_format,
                dst_colorspace=tags[0] if tags else 5,
                dst_color_range=tags[1] if tags else 1,
            )
            frame.pts, frame.time_base = pts, time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            seconds = float((times[-1] + 1) * time_base)
            wave = np.sin(np.arange(round(seconds * 48000)) * (2 * np.pi * 440 / 48000))
            samples = np.stack([wave, wave]).astype(np.float32) * 0.5
            for begin in range(0, samples.shape[1], 1024):
                block = np.ascontiguousarray(samples[:, begin : begin + 1024])
                heard = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
                heard.sample_rate, heard.pts = 48000, begin
                heard.time_base = Fraction(1, 48000)
                output.mux(sound.encode(heard))
            output.mux(sound.encode(None))
    return path


def times(path):
    """Return when each frame is shown, in exact seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [frame.pts * stream.time_base for frame in container.decode(stream)]


def pictures(path, format="rgb24", codec=None):
    """Return all decoded frames as arrays."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if codec is None:
            return [frame.to_ndarray(format=format) for frame in container.decode(stream)]
        decoder = av.CodecContext.create(codec, "r")
        decoder.extradata = stream.codec_context.extradata
        frames = [f for packet in container.demux(stream) for f in decoder.decode(packet)]
        return [frame.to_ndarray(format=format) for frame in frames]


def sound(path):
    """Return the packets of the sound: (seconds, bytes)."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(stream)
            if packet.size
        ]
