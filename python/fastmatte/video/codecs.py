"""Which codecs and files there are for results, and how each codec is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastmatte.errors import VideoError
from fastmatte.video.library import pyav


@dataclass(frozen=True)
class Codec:
    """One way to encode video.

    encoders:    FFmpeg's names, the first that is there is taken.
    opaque:      pixel format of pictures; None where it is for transparency alone.
    transparent: pixel format of pictures with alpha; None where it has none.
    options:     of quality: a number like x264's crf.
    quality:     the default.
    even:        whether 4:2:0 needs even sides.
    """

    encoders: tuple[str, ...]
    opaque: str | None
    transparent: str | None
    options: Callable[[str, int], dict[str, str]]
    quality: int
    even: bool = False


def _x264(encoder: str, quality: int) -> dict[str, str]:
    # What a processor spends here the network lacks. Of its quickest preset, with arithmetic coding
    # and deblocking, 1080p takes 10 ms, superfast 20 and veryfast 28; at one crf files
    # are half to twice superfast's, and closer to what went in: PSNR, SSIM.
    options = {"preset": "ultrafast", "crf": str(quality)}
    if encoder == "libx264":
        # The macroblock tree is off in this preset, and to stay so: it reads memory it never wrote,
        # with AVX-512, and the same frames gave other bytes from run to run. A job that goes on has
        # to give the same.
        options["x264-params"] = "cabac=1:deblock=1:mbtree=0"
    return options


def _x265(encoder: str, quality: int) -> dict[str, str]:
    # Its own lines on stderr are nobody's business.
    params = "log-level=error:open-gop=0"
    return {"preset": "superfast", "crf": str(quality), "x265-params": params}


def _vp9(encoder: str, quality: int) -> dict[str, str]:
    return {
        **{"crf": str(quality), "b": "0", "deadline": "realtime", "cpu-used": "6"},
        **{"row-mt": "1", "auto-alt-ref": "0"},
    }


def _av1(encoder: str, quality: int) -> dict[str, str]:
    if encoder == "libsvtav1":
        # As x265's lines: it has no other way to be told.
        os.environ.setdefault("SVT_LOG", "1")
    speed = {"libsvtav1": ("preset", "10"), "libaom-av1": ("cpu-used", "8")}.get(encoder)
    return {"crf": str(quality), **({} if speed is None else {speed[0]: speed[1]})}


def _prores(encoder: str, quality: int) -> dict[str, str]:
    return {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}


def _lossless(encoder: str, quality: int) -> dict[str, str]:
    return {"level": "3", "slicecrc": "1", "slices": "4", "g": "1"}


CODECS: Mapping[str, Codec] = {
    "h264": Codec(("libx264", "h264_videotoolbox"), "yuv420p", None, _x264, 20, even=True),
    "hevc": Codec(("libx265",), "yuv420p", None, _x265, 22, even=True),
    "vp9": Codec(("libvpx-vp9",), "yuv420p", "yuva420p", _vp9, 28),
    "av1": Codec(("libsvtav1", "libaom-av1"), "yuv420p", None, _av1, 30, even=True),
    "prores": Codec(("prores_ks",), "yuv444p10le", "yuva444p10le", _prores, 0),
    "ffv1": Codec(("ffv1",), "yuv420p", "bgra", _lossless, 0),
}


@dataclass(frozen=True)
class FileKind:
    """One kind of file.

    format:      FFmpeg's name of its muxer.
    codecs:      what it holds, the default first.
    transparent: the default for pictures with alpha; None where it holds none.
    absolute:    whether frames keep their times in a part of a file; the others count from 0 there,
                 because their muxer rounds a late beginning.
    """

    format: str
    codecs: tuple[str, ...]
    transparent: str | None
    absolute: bool = False


FILES: Mapping[str, FileKind] = {
    ".mp4": FileKind("mp4", ("h264", "hevc", "av1", "vp9"), None),
    ".m4v": FileKind("mp4", ("h264", "hevc"), None),
    ".mov": FileKind("mov", ("h264", "hevc", "prores"), "prores"),
    ".mkv": FileKind("matroska", ("h264", "hevc", "vp9", "av1", "ffv1"), "ffv1", absolute=True),
    ".webm": FileKind("webm", ("vp9", "av1"), "vp9", absolute=True),
}


@dataclass(frozen=True)
class Encoding:
    """How a result is encoded, worked out.

    codec, encoder: names, ours and FFmpeg's.
    pixel_format:   FFmpeg's name.
    """

    kind: FileKind
    codec: str
    encoder: str
    pixel_format: str
    options: dict[str, str]
    even: bool


def choose(path: Path, codec: str | None, quality: int | None, *, transparent: bool) -> Encoding:
    """Work out how a file of this name is encoded.

    Raises ValueError for a suffix or codec that does not fit, VideoError for one that is missing.
    """
    kind = FILES.get(path.suffix.lower())
    if kind is None:
        raise ValueError(
            f"output: expected a name that ends in {', '.join(FILES)}, or .png for a sequence of "
            f"images, got {path.name!r}"
        )
    if codec is None:
        codec = kind.transparent if transparent else kind.codecs[0]
    if codec is None or (transparent and CODECS[codec].transparent is None):
        raise ValueError(
            f"output: {path.suffix} with {codec or ' or '.join(kind.codecs)} holds no "
            "transparency: write .mov (ProRes 4444), .webm (VP9), .mkv (FFV1) or a sequence of "
            ".png, or put something behind it"
        )
    if codec not in kind.codecs and codec != kind.transparent:
        raise ValueError(
            f"codec: expected one of {', '.join(kind.codecs)} for {path.suffix}, got {codec!r}"
        )
    chosen = CODECS[codec]
    there = pyav().codecs_available
    encoder = next((name for name in chosen.encoders if _encodes(name)), None)
    if encoder is None:
        have = [name for name, c in CODECS.items() if any(_encodes(e) for e in c.encoders)]
        raise VideoError(
            f"this build of PyAV encodes no {codec} (it lacks {' and '.join(chosen.encoders)}); "
            f"it has {', '.join(have) or f'none of ours among its {len(there)}'}"
        )
    pixel_format = chosen.transparent if transparent else chosen.opaque
    return Encoding(
        kind,
        codec,
        encoder,
        str(pixel_format),
        chosen.options(encoder, chosen.quality if quality is None else quality),
        chosen.even,
    )


def _encodes(name: str) -> bool:
    av = pyav()
    try:
        return bool(av.Codec(name, "w").is_encoder)
    except av.codec.codec.UnknownCodecError:
        return False
