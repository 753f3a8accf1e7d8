"""Video: files, image sequences, pipes and cameras through a network. PyAV reads them, an extra."""

from __future__ import annotations

from fastmatte.video.cameras import (
    Camera,
    Device,
    Drawn,
    PacedSource,
    Recording,
    camera_of,
    devices,
)
from fastmatte.video.frames import ColourTags, Format, Frame, Pool, Sink, Source
from fastmatte.video.pipeline import Outcome, run
from fastmatte.video.processing import Summary, process
from fastmatte.video.reader import FileSource
from fastmatte.video.sequence import ImageSink, ImageSource
from fastmatte.video.virtual import VirtualCamera
from fastmatte.video.webcam import LiveSummary, Status, Webcam, live

__all__ = [
    "Camera",
    "ColourTags",
    "Device",
    "Drawn",
    "FileSource",
    "Format",
    "Frame",
    "ImageSink",
    "ImageSource",
    "LiveSummary",
    "Outcome",
    "PacedSource",
    "Pool",
    "Recording",
    "Sink",
    "Source",
    "Status",
    "Summary",
    "VirtualCamera",
    "Webcam",
    "camera_of",
    "devices",
    "live",
    "process",
    "run",
]
