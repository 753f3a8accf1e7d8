"""Plates: the scene without its subject, made of a video's own frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from fastmatte.arrays import Image
from fastmatte.errors import VideoError
from fastmatte.video.frames import Pool
from fastmatte.video.reader import FileSource
from fastmatte.video.sequence import ImageSource, is_sequence

#: Frames that a median is taken of: more hardly change it, and all are in memory at once.
MOST = 31
#: Of images, whose times nobody asks for here.
RATE = Fraction(30)


def plate_from(source: str | Path, first: int, last: int) -> Image:
    """Return the median of frames first to last, both counted from 0: what stays where it is.

    Of more than 31 that many are taken, evenly. Somebody who stands in a place for less than half
    of them is not seen.

    Raises VideoError where the video ends before them.
    """
    wanted = set(np.linspace(first, last, min(MOST, last - first + 1)).round().astype(int).tolist())
    found = []
    pool = Pool()
    path = Path(source)
    video = ImageSource(path, RATE) if is_sequence(path) else FileSource(path, eight_bit=True)
    try:
        while (frame := video.read(pool)) is not None and frame.index <= last:
            if frame.index in wanted:
                found.append(frame.pixels)
            else:
                pool.give(frame.pixels)
    finally:
        video.close()
    if len(found) < len(wanted):
        raise VideoError(f"{source}: it ends before frame {last}, and cannot give a plate of it")
    out = np.empty_like(found[0])
    # Row by row, for a median of all at once takes eight times their memory.
    for row in range(out.shape[0]):
        out[row] = np.median([image[row] for image in found], axis=0) + 0.5
    return out
