"""Video: files, image sequences and pipes through a network. PyAV does the files, an extra."""

from __future__ import annotations

from fastmatte.video.frames import ColourTags, Format, Frame, Pool, Sink, Source
from fastmatte.video.pipeline import Outcome, run
from fastmatte.video.processing import Summary, process
from fastmatte.video.reader import FileSource
from fastmatte.video.sequence import ImageSink, ImageSource

__all__ = [
    "ColourTags",
    "FileSource",
    "Format",
    "Frame",
    "ImageSink",
    "ImageSource",
    "Outcome",
    "Pool",
    "Sink",
    "Source",
    "Summary",
    "process",
    "run",
]
