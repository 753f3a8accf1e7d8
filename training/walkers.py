"""Whole people cut out of a clip whose scene is also seen without anybody.

As a command: a contact sheet of them, to look at.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from pymatting import estimate_alpha_cf, estimate_foreground_ml

CLIP = Path("video/one-by-one-person-detection.mp4")
#: Frames in which nobody is, first and last.
NOBODY = (
    (0, 59),
    (203, 226),
    (453, 501),
    (705, 744),
    (874, 920),
    (1207, 1233),
    (1367, 1390),
)
#: One frame in so many is looked at, and kept where this share of the outline's place has changed.
APART, CHANGED = 5, 0.01
#: Levels of 255 by which a person differs from the wall behind.
DIFFERENT = 24.0
#: The row at which the wall ends: only the floor, of warm wood, shows shadows and reflections.
FLOOR = 235
#: A person is at least this tall, in pixels, and is not cut by the frame at the sides.
TALLEST_CUT, MARGIN = 150, 16
#: A cut-out with more in doubt than this share of its opaque pixels is refused.
DOUBT = 0.1

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]


def walkers(data: Path) -> dict[str, Bytes]:
    """Return whole people as RGBA cut-outs, by name: walk_PERSON/FRAME."""
    with av.open(data / CLIP) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    empty = {index for first, last in NOBODY for index in range(first, last + 1)}
    plate = np.median([frames[index] for index in sorted(empty)[::6]], 0).astype(np.float32)
    found: dict[str, Bytes] = {}
    last: Bytes | None = None
    for index in range(0, len(frames), APART):
        if index in empty:
            continue
        mask = outline(frames[index], plate)
        if mask is None or (last is not None and (mask != last).mean() < CHANGED):
            continue
        last = mask
        rgba = cutout(frames[index], mask)
        if rgba is not None:
            person = sum(index > until for _, until in NOBODY)
            found[f"walk_{person}/{index}"] = rgba
    return found


def outline(frame: Bytes, plate: Floats) -> Bytes | None:
    """Return where a person stands, 0 or 1, or None where nobody is large enough."""
    smooth = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 1)
    behind = cv2.GaussianBlur(plate, (0, 0), 1).astype(np.float32)
    mask = np.zeros(frame.shape[:2], np.uint8)
    for _ in range(3):
        # The camera's exposure follows who walks in: light is compared where nobody stands.
        free = 1 - cv2.dilate(mask, np.ones((25, 25), np.uint8)).astype(np.float32)[..., None]
        light = _spread(smooth * free) / _spread(behind * free)
        mask = _largest(_differs(smooth, behind * light))
    return mask if mask.sum() > TALLEST_CUT * 40 else None


def _spread(colours: Floats) -> Floats:
    """Return colours blurred over some 60 pixels around, and never nothing."""
    height, width = colours.shape[:2]
    small = cv2.resize(colours, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), 7.5) + np.float32(1e-3)
    return np.asarray(cv2.resize(blurred, (width, height)), np.float32)


def _differs(smooth: Floats, expected: Floats) -> Bytes:
    differs = np.abs(smooth - expected).max(2) > DIFFERENT

    def warmth(colours: Floats) -> Floats:
        return np.asarray((colours[..., 0] - colours[..., 2]) / (colours.sum(2) + 12))

    # Wood in a shadow is still of warm wood's colour, and black trousers are darker than it.
    share = (smooth.mean(2) + 4) / (expected.mean(2) + 4)
    wood = (share > 0.33) & (warmth(smooth) > 0.5 * warmth(expected)) & (warmth(smooth) > 0.1)
    wood[:FLOOR] = False
    return np.asarray(differs & ~wood, np.uint8)


def _largest(mask: Bytes) -> Bytes:
    """Return the largest piece without specks and with small holes closed."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc), np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc), np.uint8)
    count, parts, areas, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return mask
    mask = np.asarray(parts == 1 + int(areas[1:, cv2.CC_STAT_AREA].argmax()), np.uint8)
    count, holes, areas, _ = cv2.connectedComponentsWithStats(1 - mask)
    for hole in range(1, count):
        if areas[hole, cv2.CC_STAT_AREA] < 400:
            mask[holes == hole] = 1
    return mask


def cutout(frame: Bytes, mask: Bytes) -> Bytes | None:
    """Return a person as RGBA by the outline, None where too little or too much is seen."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    height, width = mask.shape
    if rows[-1] - rows[0] < TALLEST_CUT or columns[0] < 2 or columns[-1] > width - 3:
        return None
    top, bottom = max(rows[0] - MARGIN, 0), min(rows[-1] + MARGIN, height)
    left, right = max(columns[0] - MARGIN, 0), min(columns[-1] + MARGIN, width)
    part, colours = mask[top:bottom, left:right], frame[top:bottom, left:right] / 255
    known = np.full(part.shape, 0.5)
    for value, where, reach in ((1, part, 3), (0, 1 - part, 4)):
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        known[cv2.erode(where, disc, borderValue=1) > 0] = value
    with warnings.catch_warnings():
        # A poorer preconditioner than it would like only makes it slower.
        warnings.simplefilter("ignore")
        alpha = estimate_alpha_cf(colours, known)
    alpha = ((alpha - 0.03) / 0.94).clip(0, 1)
    if ((alpha > 0.1) & (alpha < 0.9)).sum() > DOUBT * (alpha > 0.9).sum():
        return None
    rgba = np.dstack([estimate_foreground_ml(colours, alpha), alpha])
    return np.asarray((rgba * 255 + 0.5).clip(0, 255), np.uint8)


def main() -> None:
    """Write a contact sheet of the cut-outs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = list(walkers(arguments.data).values())
    side = 224
    page = np.full((-(-len(found) // 8) * side, 8 * side, 3), (255, 0, 255), np.uint8)
    for index, rgba in enumerate(found):
        scale = side / max(rgba.shape)
        small = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        alpha = small[..., 3:] / 255
        top, left = index // 8 * side, index % 8 * side
        cell = page[top : top + small.shape[0], left : left + small.shape[1]]
        cell[:] = small[..., :3] * alpha + cell * (1 - alpha) + 0.5
    cv2.imwrite(str(arguments.out), page[..., ::-1])
    print(f"{len(found)} cut-outs")


if __name__ == "__main__":
    main()
