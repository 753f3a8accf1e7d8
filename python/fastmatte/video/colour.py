"""Between the YUV of video files and RGB arrays, by each file's own matrix and range."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmatte import kernels
from fastmatte.arrays import Image, Size, YuvMatrix
from fastmatte.errors import VideoError
from fastmatte.video.frames import ColourTags, Pool
from fastmatte.video.library import pyav

#: AVColorSpace: those that are BT.601's matrix, and those that are BT.709's.
BT709 = 1
BT601 = (5, 6)
BT2020 = 9
#: AVColorRange: 0..255.
FULL = 2
#: AVColorTransferCharacteristic: PQ and HLG.
HDR_TRANSFERS = (16, 18)
#: From this many rows on, video that does not say otherwise is BT.709, as players take it.
HIGH_DEFINITION = 720

#: libswscale's flags: bilinear; accurate rounding, chroma interpolated. Without the latter two its
#: shortcut is off by a level in the mean, everywhere.
BILINEAR = 0x2
ACCURATE = BILINEAR | 0x40000 | 0x2000

#: A sample of chroma for two pixels each way.
PLANES = {"yuv420p": "i420", "yuvj420p": "i420", "nv12": "nv12"}


def matrix_of(tags: ColourTags, size: Size) -> int:
    """Return the AVColorSpace that levels of this size are in."""
    if tags.matrix in (BT709, *BT601, BT2020):
        return tags.matrix
    return BT709 if min(size) >= HIGH_DEFINITION else BT601[0]


class ToRgb:
    """Makes RGB arrays of decoded frames.

    8-bit 4:2:0, which most video is, goes through fastmatte's own kernel: 1.2 ms for 1080p on one
    thread where libswscale takes 9.2 as accurately, and 0.7 with all levels too dark by one.
    """

    def __init__(self) -> None:
        self._reformatter = pyav().video.reformatter.VideoReformatter()

    def __call__(self, frame: Any, tags: ColourTags, pool: Pool) -> Image:
        """Return (H, W, 3), as the frame lies in the file."""
        size = frame.height, frame.width
        out = pool.take((*size, 3))
        matrix = matrix_of(tags, size)
        layout = PLANES.get(frame.format.name)
        full = tags.range == FULL or frame.format.name.startswith("yuvj")
        if layout is not None and matrix != BT2020 and not (size[0] % 2 or size[1] % 2):
            return kernels.yuv_to_rgb(
                _planes(frame),
                pixel_format="nv12" if layout == "nv12" else "i420",
                matrix=_name_of(matrix),
                range="full" if full else "limited",
                out=out,
                threads=1,
            )
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24",
            # Grey and RGB have no matrix, and are told none.
            src_colorspace=matrix if frame.format.name.startswith(("yuv", "nv", "p0")) else None,
            src_color_range=FULL if full else None,
            interpolation=ACCURATE,
        )
        np.copyto(out, plane_of(rgb, 0, 3))
        return out


def _name_of(matrix: int) -> YuvMatrix:
    return "bt709" if matrix == BT709 else "bt601"


def _planes(frame: Any) -> Any:
    if frame.format.name == "nv12":
        return plane_of(frame, 0, 1), plane_of(frame, 1, 2)
    return tuple(plane_of(frame, i, 1) for i in range(3))


def plane_of(frame: Any, index: int, channels: int) -> Image:
    """Return a view of one plane: (h, w), or (h, w, channels) for more than one."""
    plane = frame.planes[index]
    rows: Image = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size]
    rows = rows.reshape(plane.height, plane.line_size)
    width = plane.width
    if channels == 1:
        return rows[:, :width]
    return rows[:, : width * channels].reshape(plane.height, width, channels)


class FromRgb:
    """Makes frames for an encoder of arrays, in the colours of the video they came from.

    What becomes 8-bit 4:2:0 goes through fastmatte's own kernel: 0.8 ms for 1080p, all of it one
    thread's, where libswscale takes 5.6 of the processors.
    """

    def __init__(self, pixel_format: str, tags: ColourTags, size: Size) -> None:
        """Make one for frames of this size as they are encoded."""
        av = pyav()
        self._video_frame = av.VideoFrame
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._pixel_format = pixel_format
        self._size = size
        self._matrix = matrix_of(tags, size)
        self._range = FULL if tags.range == FULL else 1
        self._padded: Image | None = None
        self._frame: Any = None

    def __call__(self, pixels: Image) -> Any:
        """Return a frame, good until the next one: encoders copy or keep what they need."""
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        name = {1: "gray", 3: "rgb24", 4: "rgba"}[channels]
        pixels = self._fitted(pixels)
        even = not (self._size[0] % 2 or self._size[1] % 2)
        if even and channels == 3 and self._pixel_format == "yuv420p" and self._matrix != BT2020:
            return self._planar(pixels)
        frame = self._video_frame.from_numpy_buffer(np.ascontiguousarray(pixels), name)
        yuv = self._pixel_format.startswith("yuv")
        return self._reformatter.reformat(
            frame,
            format=self._pixel_format,
            dst_colorspace=self._matrix if yuv else None,
            dst_color_range=self._range if yuv else None,
            interpolation=BILINEAR,
        )

    def _planar(self, pixels: Image) -> Any:
        if self._frame is None:
            height, width = self._size
            self._frame = self._video_frame(width, height, self._pixel_format)
            self._frame.colorspace = self._matrix
            self._frame.color_range = self._range
        # An encoder may still look at the one before.
        self._frame.make_writable()
        kernels.rgb_to_yuv(
            pixels,
            matrix=_name_of(self._matrix),
            range="full" if self._range == FULL else "limited",
            out=_planes(self._frame),
            threads=1,
        )
        return self._frame

    def _fitted(self, pixels: Image) -> Image:
        """Repeat the last row and column where the encoder's size has one more."""
        height, width = pixels.shape[:2]
        if (height, width) == self._size:
            return pixels
        if self._padded is None:
            self._padded = np.empty((*self._size, *pixels.shape[2:]), np.uint8)
        padded = self._padded
        padded[:height, :width] = pixels
        padded[height:, :width] = pixels[-1:]
        padded[:, width:] = padded[:, width - 1 : width]
        return padded


def require_eight_bits(bits: int, tags: ColourTags, name: str, *, allowed: bool) -> None:
    """Raise VideoError for more than 8 bits or for HDR, unless it was allowed to lose them."""
    if allowed or (bits <= 8 and tags.transfer not in HDR_TRANSFERS):
        return
    what = "HDR" if tags.transfer in HDR_TRANSFERS else f"{bits} bits a channel"
    raise VideoError(
        f"{name}: the video is {what}, and results have 8 bits: --eight-bit (eight_bit=True) "
        "writes it with 8, its colour tags kept; an alpha alone loses nothing"
    )


def tags_of_alpha(tags: ColourTags) -> ColourTags:
    """Return the tags of an alpha, whose levels are no light and not to be mapped."""
    return ColourTags(tags.matrix, tags.range) if tags.transfer in HDR_TRANSFERS else tags


def written_tags(tags: ColourTags, size: Size) -> ColourTags:
    """Return the tags of a result: those of what was read, but for RGB, which has to become YUV."""
    if tags.matrix != 0:
        return tags
    return ColourTags(matrix_of(tags, size), 1, tags.primaries, tags.transfer)
