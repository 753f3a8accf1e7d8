"""Fields: interlaced video, whose frames are two half pictures of different moments."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from fastmatte.errors import VideoError
from fastmatte.video.library import pyav

NOTE = "it is interlaced: whole frames are made of its fields, by FFmpeg's bwdif"


class Deinterlacer:
    """Makes a whole frame of each interlaced one; the others pass as they are.

    A subject that moves is a comb in an interlaced frame: no network finds its edge, and its alpha
    would be a comb too. One frame of each frame, not of each field, so that count and times, which
    sound and resuming rely on, stay as they are. Until the first interlaced frame nothing is done.
    """

    def __init__(self, stream: Any, note: Callable[[str], None]) -> None:
        """Make one for a stream; note hears of it, once there is something to do."""
        self._note = note
        self._stream = stream
        self._graph: Any = None
        #: Of the frames that are in the filter, which counts in other ticks.
        self._times: deque[tuple[int | None, Any, int]] = deque()

    def __call__(self, frames: Iterator[Any]) -> Iterator[Any]:
        """Yield as many frames as there are, with their times; each waits for its successor."""
        for raw in frames:
            if self._graph is None and not raw.interlaced_frame:
                yield raw
                continue
            if self._graph is None:
                self._graph = self._made()
                self._note(NOTE)
            self._times.append((raw.pts, raw.time_base, raw.duration))
            yield from self._through(raw)
        if self._graph is not None:
            yield from self._through(None)

    def _made(self) -> Any:
        av = pyav()
        graph = av.filter.Graph()
        try:
            begin = graph.add_buffer(template=self._stream)
            filter = graph.add("bwdif", "mode=send_frame:deint=interlaced")
            end = graph.add("buffersink")
        except (ValueError, av.error.FFmpegError) as error:
            raise VideoError(f"interlaced video needs FFmpeg's bwdif ({error})") from error
        begin.link_to(filter)
        filter.link_to(end)
        graph.configure()
        return graph

    def _through(self, raw: Any) -> Iterator[Any]:
        error = pyav().error
        self._graph.push(raw)
        while self._times:
            try:
                whole = self._graph.pull()
            except (error.BlockingIOError, error.EOFError):
                return
            whole.pts, whole.time_base, whole.duration = self._times.popleft()
            yield whole
