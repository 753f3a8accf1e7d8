"""Aside: what comes beside the pictures of a video that can be read only once."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from fastmatte.video.library import pyav

#: Streams that can go with pictures into a result.
KINDS = ("audio", "subtitle")
#: Side data that a broadcast has on every packet, and that no other file knows.
OF_BROADCASTS = "mpegts_stream_id"


class Aside:
    """Keeps packets of a container's other streams on disk until the pictures are done.

    Whoever joins them takes it for the container, opened again.
    """

    def __init__(self, container: Any, folder: Path) -> None:
        self.metadata = container.metadata
        self.streams = container.streams
        self.chapters = container.chapters
        self._container = container
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - close() does
        self._count = 0
        # What cuts off a codec's run-in and its last block: on few packets, and not to be pickled.
        self._sides: dict[int, list[Any]] = {}

    def append(self, packet: Any) -> None:
        """Keep a packet."""
        found = [side for side in packet.iter_sidedata() if side.data_type != OF_BROADCASTS]
        if found:
            self._sides[self._count] = found
        self._count += 1
        times = packet.pts, packet.dts, packet.duration
        record = packet.stream_index, times, packet.time_base, packet.is_keyframe, bytes(packet)
        pickle.dump(record, self._file)

    def demux(self, streams: Sequence[Any]) -> Iterator[Any]:
        """Yield the packets of some streams, in the order in which they came."""
        wanted = {stream.index: stream for stream in streams}
        self._file.seek(0)
        for number in range(self._count):
            index, times, time_base, is_keyframe, data = pickle.load(self._file)
            if index not in wanted:
                continue
            packet = pyav().Packet(data)
            packet.stream, packet.time_base = wanted[index], time_base
            packet.pts, packet.dts, packet.duration = times
            packet.is_keyframe = is_keyframe
            for side in self._sides.get(number, ()):
                packet.set_sidedata(side)
            yield packet

    def close(self) -> None:
        """Close the container, and forget what was kept."""
        self._file.close()
        self._container.close()
