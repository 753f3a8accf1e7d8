"""Segments: a result written in parts that stand alone, so that a job can go on where it stopped.

Beside OUT.mp4 a folder .OUT.mp4.parts holds the parts, each a playable file that begins with a key
frame of an encoder of its own, and job.json, which names those that are whole. What a recurrent
network remembers at the end of the last one lies next to it. A part that is not in job.json yet is
worth nothing: it is encoded again, from the same frames to the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastmatte.video.codecs import Encoding
from fastmatte.video.encoder import Encoder, encoded_size
from fastmatte.video.frames import Format, Frame
from fastmatte.video.jobs import Part, Progress, Record, checkpoint_of


class Segments:
    """A sink that writes parts of LENGTH frames; join them when it has finished.

    progress: what is there already, and stays.
    stride:   how many frames share one alpha: parts are a multiple of it long.
    """

    def __init__(
        self,
        folder: Path,
        encoding: Encoding,
        format: Format,
        job: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        stride: int = 1,
    ) -> None:
        progress = progress or Progress()
        self.notes: list[str] = []
        self.checkpoint: int | None = checkpoint_of(stride)
        self.folder = folder
        self.parts = list(progress.parts)
        self._encoding = encoding
        self._format = format
        self._record = Record(folder, job, progress)
        self._encoder: Encoder | None = None
        self._path = folder
        self._written = self._first_pts = self._last_pts = self._end = 0
        if encoded_size(format.size, encoding) != format.size:
            self.notes.append(
                f"{encoding.codec} with 4:2:0 needs even sides: the last row or column is there "
                "twice"
            )

    def write(self, frame: Frame) -> None:
        """Encode a frame, in a new part where one is due."""
        assert self.checkpoint is not None
        if frame.index % self.checkpoint == 0 and self._encoder is not None:
            self._close_part()
            self._record.write(self.parts, frame.memory)
        if self._encoder is None:
            self._path = self.folder / f"part-{len(self.parts):05}{self._suffix()}"
            origin = 0 if self._encoding.kind.absolute else frame.pts
            self._encoder = Encoder(self._path, self._encoding, self._format, origin)
            self._written, self._first_pts = 0, frame.pts
        self._encoder.write(frame)
        self._written += 1
        self._last_pts = frame.pts
        self._end = frame.pts + (frame.duration or self._format.step)

    def finish(self) -> None:
        """Complete the last part."""
        if self._encoder is not None:
            self._close_part()

    def abandon(self) -> None:
        """Drop the part that is not whole; --resume goes on from those that are."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.drop()
            self._path.unlink(missing_ok=True)

    def _suffix(self) -> str:
        format = self._encoding.kind.format
        return ".mkv" if format == "matroska" else f".{format}"

    def _close_part(self) -> None:
        encoder, self._encoder = self._encoder, None
        assert encoder is not None
        encoder.close()
        part = Part(self._path.name, self._written, self._first_pts, self._last_pts, self._end)
        self.parts.append(part)
