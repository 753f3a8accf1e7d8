"""Cameras: a device, a recording that is shown at its own pace, or a drawn sitter.

Each can be opened again and again, for a camera that was unplugged may come back.
"""

from __future__ import annotations

import errno
import re
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import perf_counter_ns, sleep
from typing import Any, Protocol

import numpy as np

from fastmatte._core import MAX_PIXELS
from fastmatte.arrays import Size
from fastmatte.errors import VideoError
from fastmatte.video.colour import ToRgb
from fastmatte.video.frames import ColourTags, Format, Frame, Pool, Source
from fastmatte.video.library import pyav
from fastmatte.video.reader import FileSource

#: FFmpeg's name for what reads cameras on each platform.
APIS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
#: Broken pictures in a row after which a camera counts as gone: a loose plug makes a few.
MOST_BROKEN = 30
#: Frames that a paced source leaves out in a row: one that never keeps up is shown late instead.
MOST_SKIPPED = 30
#: Pictures of a drawn sitter from one side to the other, each shown twice. Drawing one takes longer
#: than a frame may.
DRAWN = 10


class Camera(Protocol):
    """Where live frames come from; open() may be called again after what it gave has ended."""

    @property
    def name(self) -> str:
        """What it is called where somebody is told of it."""

    @property
    def returns(self) -> bool:
        """Whether the end of its frames is a camera that is gone, and may come back."""

    def open(self) -> Source:
        """Return its frames, each with the time when it was taken.

        Raises VideoError and OSError where that cannot be, saying why.
        """


@dataclass(frozen=True)
class Device:
    """A camera of this machine.

    device:       its number, counted from 0, or its name: /dev/video0, "FaceTime HD Camera".
    size:         (height, width) to ask of it; None for its own choice. Another one is an error.
    rate:         frames a second to ask of it, of which it gives the nearest.
    input_format: how it encodes frames, as it calls that: "mjpeg", "yuyv422", "nv12". Many give
                  their large sizes at full rate as "mjpeg" only.
    api:          FFmpeg's name of what reads it; None for the platform's own.
    """

    device: str | int = 0
    size: Size | None = None
    rate: Fraction | None = None
    input_format: str | None = None
    api: str | None = None
    returns = True

    @property
    def name(self) -> str:
        """The device's name."""
        if isinstance(self.device, str):
            return self.device
        return f"/dev/video{self.device}" if self._api == "v4l2" else f"camera {self.device}"

    def open(self) -> Source:
        """Open the device and wait for its first picture."""
        return _DeviceSource(self.name, self._container(), self.size)

    @property
    def _api(self) -> str:
        return self.api or APIS.get(sys.platform, "v4l2")

    def _container(self) -> Any:
        av, api = pyav(), self._api
        options = {}
        if self.size is not None:
            options["video_size"] = f"{self.size[1]}x{self.size[0]}"
        if self.rate is not None or api == "avfoundation":
            # Left alone, FFmpeg asks a Mac's camera for 29.97, which none has.
            options["framerate"] = str(self.rate or 30)
        if self.input_format is not None:
            options.update(_format_options(api, self.input_format))
        try:
            return av.open(self._file(api), format=api, options=options)
        except av.error.FFmpegError as error:
            raise VideoError(f"{self.name}: {self._why(error)}") from error
        except ValueError as error:
            raise VideoError(f"{self.name}: this build of PyAV has no {api!r} ({error})") from error

    def _file(self, api: str) -> str:
        if api == "avfoundation":
            return f"{self.device}:none"
        if api == "dshow":
            if isinstance(self.device, str):
                return f"video={self.device}"
            found = list(devices())
            if self.device >= len(found):
                raise VideoError(f"{self.name}: there is no such camera{_which_there_are()}")
            return f"video={found[self.device][0]}"
        return self.name

    def _why(self, error: Any) -> str:
        """Say what FFmpeg's error means to somebody who wants to be seen."""
        number = error.errno
        if number == errno.ENOENT:
            return f"there is no such camera{_which_there_are()}"
        if number in (errno.EACCES, errno.EPERM):
            hint = "; on Linux the group video may: sudo usermod -aG video $USER, and log in anew"
            return f"you have no right to use it{hint if self._api == 'v4l2' else ''}"
        if number == errno.EBUSY:
            return "another program uses it: close that first"
        if number in (errno.ENOTTY, errno.ENODEV, errno.EISDIR):
            return f"it is no camera that gives pictures{_which_there_are()}"
        asked = [
            self.size and f"{self.size[1]}x{self.size[0]}",
            self.rate and f"{float(self.rate):g} frames a second",
            self.input_format,
        ]
        words = ", ".join(part for part in asked if part)
        said = str(error.strerror or error)
        if number in (errno.EINVAL, errno.EIO) and words:
            return f"it does not do what was asked for ({words}): {said}"
        return f"it cannot be opened: {said}"


class _DeviceSource:
    """The pictures of a device as they come, without FFmpeg's threads: those work ahead."""

    def __init__(self, name: str, container: Any, size: Size | None) -> None:
        self.name = name
        self.notes: list[str] = []
        self._container = container
        self._to_rgb = ToRgb()
        self._index = 0
        try:
            if not container.streams.video:
                raise VideoError(f"{name}: it gives no pictures")
            self._stream = container.streams.video[0]
            # Threads that share pictures out among them would be frames behind.
            self._stream.thread_type = "SLICE"
            self._raws = self._pictures()
            first = self._decoded()
            if first is None:
                raise VideoError(f"{name}: it gives no pictures")
            self._first: tuple[Any, int] | None = first
            self.format = self._format_of(first[0])
            found = self.format.size
            if size is not None and found != size:
                raise VideoError(
                    f"{name}: expected pictures of {size[1]}x{size[0]}, as asked for, and it gives "
                    f"{found[1]}x{found[0]}: take that, or leave the choice to it"
                )
        except BaseException:
            container.close()
            raise

    def read(self, pool: Pool) -> Frame | None:
        """Wait for the next frame; None where there will be none."""
        decoded = self._first or self._decoded()
        self._first = None
        if decoded is None:
            return None
        raw, taken = decoded
        tags = ColourTags(raw.colorspace, raw.color_range, raw.color_primaries, raw.color_trc)
        pixels = self._to_rgb(raw, tags, pool)
        frame = Frame(pixels, self._index, raw.pts or 0, taken=taken)
        self._index += 1
        return frame

    def close(self) -> None:
        """Let go of the device."""
        self._container.close()

    def _decoded(self) -> tuple[Any, int] | None:
        return next(self._raws, None)

    def _pictures(self) -> Iterator[tuple[Any, int]]:
        """Yield pictures, each with the time when its data came."""
        av = pyav()
        broken = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                raise VideoError(f"{self.name}: {error.strerror or error}") from error
            if packet is None:
                return
            taken = perf_counter_ns()
            try:
                raws = self._stream.decode(packet)
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                broken += 1
                if broken > MOST_BROKEN:
                    raise VideoError(f"{self.name}: its pictures are broken: {error}") from error
                continue
            for raw in raws:
                broken = 0
                yield raw, taken

    def _format_of(self, raw: Any) -> Format:
        size = raw.height, raw.width
        if size[0] * size[1] > MAX_PIXELS:
            raise VideoError(f"{self.name}: {size[0]} x {size[1]} are more than {MAX_PIXELS}")
        rate = self._stream.average_rate or self._stream.base_rate
        return Format(size, self._stream.time_base, Fraction(rate) if rate else Fraction(30))


@dataclass(frozen=True)
class Recording:
    """A video file that is shown as a camera would: at its own pace, and what is late not at all.

    loop: whether it begins anew at its end, for ever.
    """

    path: str | Path
    loop: bool = True
    returns = False

    @property
    def name(self) -> str:
        """The file's."""
        return str(self.path)

    def open(self) -> Source:
        """Open the file."""
        return PacedSource(FileSource(self.path, eight_bit=True), self._again)

    def _again(self) -> Source | None:
        return FileSource(self.path, eight_bit=True) if self.loop else None


@dataclass(frozen=True)
class Drawn:
    """A sitter made of arithmetic, who sways before a wall: for trying things with no camera."""

    size: Size = (480, 640)
    rate: Fraction = Fraction(30)
    name = "a drawn sitter"
    returns = False

    def open(self) -> Source:
        """Draw the frames, once."""
        return PacedSource(_DrawnSource(self.size, self.rate), lambda: None)


class _DrawnSource:
    """A few frames for ever."""

    def __init__(self, size: Size, rate: Fraction) -> None:
        from fastmatte.portraits import Sitter

        self.notes: list[str] = []
        self.format = Format(size, 1 / rate, rate)
        sitter = Sitter(size)
        # A sitter's frames are far apart: of many those that are nearest to steps of one sway.
        sways = np.sin(1.3 * np.arange(200))
        steps = np.sin(np.linspace(-np.pi / 2, np.pi / 2, DRAWN))
        there = [sitter.frame(int(np.abs(sways - step).argmin())).image for step in steps]
        self._frames = [*there, *there[-2:0:-1]]
        self._index = 0

    def read(self, pool: Pool) -> Frame:
        """Return the next frame, which there always is."""
        pixels = pool.take((*self.format.size, 3))
        np.copyto(pixels, self._frames[self._index // 2 % len(self._frames)])
        frame = Frame(pixels, self._index, self._index, 1)
        self._index += 1
        return frame

    def close(self) -> None:
        """Nothing is open."""


class PacedSource:
    """The frames of another source, each when its time has come.

    again: gives the source anew where it ends, or None to end.

    What is more than a frame late is left out, as by a camera that nobody reads in time.
    """

    def __init__(self, source: Source, again: Callable[[], Source | None] = lambda: None) -> None:
        self.notes = source.notes
        self.format = source.format
        self._source = source
        self._again = again
        self._index = 0
        self._period = round(1e9 / float(self.format.rate))
        #: When a frame of pts 0 would be due; None before the first.
        self._begin: int | None = None
        self._due = 0

    def read(self, pool: Pool) -> Frame | None:
        """Wait for the next frame's time; None at the end."""
        for _ in range(MOST_SKIPPED):
            frame = self._next(pool)
            if frame is None:
                return None
            late = perf_counter_ns() - self._due
            if late <= self._period:
                break
            pool.give(frame.pixels)
        else:
            self._begin = None
            frame = self._next(pool)
            if frame is None:
                return None
        while (left := self._due - perf_counter_ns()) > 0:
            sleep(left / 1e9)
        frame.index, frame.taken = self._index, self._due
        self._index += 1
        return frame

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _next(self, pool: Pool) -> Frame | None:
        """Return the next frame, and set when it is due."""
        frame = self._source.read(pool)
        if frame is None:
            source = self._again()
            if source is None:
                return None
            self._source.close()
            self._source = source
            frame = source.read(pool)
            if frame is None:
                return None
            # The last frame of a round is shown as long as any.
            self._begin = self._due + self._period - self._ticks(frame)
        if self._begin is None:
            self._begin = perf_counter_ns() - self._ticks(frame)
        self._due = self._begin + self._ticks(frame)
        return frame

    def _ticks(self, frame: Frame) -> int:
        return round(frame.pts * self.format.time_base * 10**9)


def camera_of(
    text: str,
    *,
    size: Size | None = None,
    rate: Fraction | None = None,
    input_format: str | None = None,
    loop: bool = True,
) -> Camera:
    """Return the camera that somebody named.

    text: a number or a name of a device; the path of a video file, to play it as a camera; or
          "test" for a drawn sitter.
    size, rate, input_format: as Device takes them; a file has its own.
    loop: whether a file begins anew at its end.

    Raises ValueError for what a file has itself, VideoError for what is neither.
    """
    if text == "test":
        if input_format is not None:
            raise ValueError("input_format: expected None, for it is drawn")
        return Drawn(size or Drawn.size, rate or Drawn.rate)
    path = Path(text)
    if not text.isdecimal() and path.exists() and not stat.S_ISCHR(path.stat().st_mode):
        if (size, rate, input_format) != (None, None, None):
            raise ValueError("size, rate, input_format: expected None, for a file has its own")
        return Recording(path, loop)
    device: str | int = int(text) if text.isdecimal() else text
    if isinstance(device, str) and APIS.get(sys.platform) == "v4l2" and not path.exists():
        raise VideoError(f"{text}: there is no such camera or file{_which_there_are()}")
    return Device(device, size, rate, input_format)


def devices() -> Iterator[tuple[str, str]]:
    """Name the cameras of this machine: what to open them by, and what they are called."""
    for device, called, virtual in _v4l2() if sys.platform == "linux" else _enumerated():
        if not virtual:
            yield device, called


def virtual_devices() -> Iterator[tuple[str, str]]:
    """Name the virtual cameras of a Linux machine, which is where they have names of their own."""
    for device, called, virtual in _v4l2() if sys.platform == "linux" else ():
        if virtual:
            yield device, called


def _v4l2() -> Iterator[tuple[str, str, bool]]:
    """Yield device, name and whether it is a virtual camera."""
    nodes = Path("/sys/class/video4linux").glob("video*")
    for node in sorted(nodes, key=lambda n: int(re.sub(r"\D", "", n.name) or 0)):
        try:
            # A camera's second node is for its settings.
            if (node / "index").read_text().strip() != "0":
                continue
            called = (node / "name").read_text().strip()
        except OSError:
            continue
        yield f"/dev/{node.name}", called, "/devices/virtual/" in str(node.resolve())


def _enumerated() -> Iterator[tuple[str, str, bool]]:
    av = pyav()
    enumerate_devices = getattr(av, "enumerate_input_devices", None)
    if enumerate_devices is None:
        return
    try:
        found = enumerate_devices(APIS.get(sys.platform, "v4l2"))
    except (av.error.FFmpegError, ValueError):
        return
    for device in found:
        if "video" in device.media_types or not device.media_types:
            yield device.name, device.description, False


def _which_there_are() -> str:
    found = ", ".join(f"{device} ({called})" for device, called in devices())
    return f"; there are {found}" if found else "; none is connected"


def _format_options(api: str, name: str) -> dict[str, str]:
    """Tell a device how to encode, in its own api's words."""
    if api == "v4l2":
        return {"input_format": name}
    if api == "dshow" and name in ("mjpeg", "h264"):
        return {"vcodec": name}
    return {"pixel_format": name}


__all__ = [
    "Camera",
    "Device",
    "Drawn",
    "PacedSource",
    "Recording",
    "camera_of",
    "devices",
    "virtual_devices",
]
