"""VirtualCamera: what other programs see as a camera. pyvirtualcam does it, an extra."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from fastmatte.arrays import Size
from fastmatte.errors import VideoError
from fastmatte.video.cameras import virtual_devices
from fastmatte.video.frames import Frame

INSTALL = "pip install 'fastmatte[webcam]'"


class VirtualCamera:
    """Sends frames to a virtual camera: v4l2loopback on Linux, OBS's on macOS and Windows.

    device: its name, as /dev/video10; None for the first there is.
    rate:   frames a second that are told to whoever looks; what is sent is shown at once.

    All frames are of the first one's size and kind. Raises VideoError where pyvirtualcam is not
    installed and, at the first frame, where there is no such virtual camera.
    """

    checkpoint = None

    def __init__(self, device: str | None = None, rate: Fraction = Fraction(30)) -> None:
        try:
            import pyvirtualcam
        except ImportError as error:
            raise VideoError(f"a virtual camera needs pyvirtualcam ({error}): {INSTALL}") from error
        self.notes: list[str] = []
        self._library = pyvirtualcam
        self._device = device
        self._rate = rate
        self._camera: Any = None
        self._shape: tuple[int, ...] = ()
        #: Which one it is, once a frame was sent.
        self.device: str | None = None

    def write(self, frame: Frame) -> None:
        """Send a frame, which is shown until the next."""
        pixels = frame.pixels
        if self._camera is None:
            self._camera = self._open(pixels.shape)
            self.device = str(self._camera.device)
            self._shape = pixels.shape
        if pixels.shape != self._shape:
            raise VideoError(
                f"virtual camera {self.device}: expected frames of {self._shape}, as the first "
                f"one's, got {pixels.shape}"
            )
        try:
            self._camera.send(np.ascontiguousarray(pixels))
        except Exception as error:  # whatever a backend raises
            raise VideoError(f"virtual camera {self.device}: {error}") from error

    def finish(self) -> None:
        """Close it; programs that look see no camera any more."""
        if self._camera is not None:
            self._camera.close()

    def abandon(self) -> None:
        """Close it."""
        self.finish()

    def _open(self, shape: tuple[int, ...]) -> Any:
        kinds = self._library.PixelFormat
        kind = {2: kinds.GRAY}.get(len(shape)) or (kinds.RGB if shape[2] == 3 else kinds.RGBA)
        size: Size = shape[0], shape[1]
        try:
            return self._library.Camera(
                width=size[1], height=size[0], fps=float(self._rate), fmt=kind, device=self._device
            )
        # RuntimeError for what the backends tell, KeyError and others from within them.
        except Exception as error:
            found = ", ".join(f"{device} ({called})" for device, called in virtual_devices())
            there = f"; there are {found}" if found else ""
            asked = "" if self._device is None else f" {self._device}"
            raise VideoError(f"virtual camera{asked}: {error}{there}") from error


__all__ = ["VirtualCamera"]
