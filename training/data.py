"""The packed pictures that training reads, and which of them it never sees.

A pack is a folder of pieces small enough to be carried one at a time. A piece holds encoded
pictures of these kinds:

- person:     a cut-out, RGBA with true alpha;
- bust:       a cut-out of a photograph by the teacher's word and closed-form matting;
- thing:      a cut-out of an animal or an object, RGBA with true alpha, a distractor;
- furniture:  procedural cushions, boxes and drapes, RGBA with exact alpha, distractors;
- hair:       a procedural tuft, RGBA with exact alpha;
- limb:       a procedural arm, its colours still to be chosen;
- background: a photograph without people, RGB;
- photo:      a photograph, its alpha a soft label of the teacher.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: The longest side of each kind, in pixels.
SIDES = {
    "person": 448,
    "bust": 448,
    "thing": 448,
    "furniture": 256,
    "hair": 256,
    "limb": 256,
    "background": 512,
    "photo": 384,
}
KINDS = tuple(SIDES)
#: Pieces stay below what one transfer to another machine may hold.
PIECE_BYTES = 50_000_000
HELD_OUT_TENTHS = 1


@dataclass(frozen=True)
class Record:
    """One encoded picture."""

    kind: str
    name: str
    held_out: bool
    encoded: bytes


def is_held_out(identity: str) -> bool:
    """Say whether a person or a room is kept for validation: one in ten, by the name's hash."""
    return hashlib.sha256(identity.encode()).digest()[0] * 10 // 256 < HELD_OUT_TENTHS


def encode(pixels: NDArray[np.uint8], *, lossless: bool = False) -> bytes:
    """Encode RGB or RGBA; alpha is kept exactly, and so are the colours beneath a clear one."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=92, exact=True, lossless=lossless)
    return file.getvalue()


def write_pack(records: Iterable[Record], folder: Path) -> list[Path]:
    """Write records as pieces; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("piece_*.npz"):
        stale.unlink()
    pieces: list[Path] = []
    waiting: list[Record] = []

    def flush() -> None:
        if not waiting:
            return
        path = folder / f"piece_{len(pieces):02d}.npz"
        np.savez(
            path,
            blob=np.frombuffer(b"".join(record.encoded for record in waiting), np.uint8),
            ends=np.cumsum([len(record.encoded) for record in waiting]),
            kinds=np.array([record.kind for record in waiting]),
            names=np.array([record.name for record in waiting]),
            held_out=np.array([record.held_out for record in waiting]),
        )
        pieces.append(path)
        waiting.clear()

    for record in records:
        if sum(len(other.encoded) for other in waiting) + len(record.encoded) > PIECE_BYTES:
            flush()
        waiting.append(record)
    flush()
    return pieces


def read_pack(folder: Path) -> list[Record]:
    """Return the records of every piece in the folder."""
    paths = sorted(folder.glob("piece_*.npz"))
    if not paths:
        raise FileNotFoundError(f"{folder}: no piece_*.npz; make them with training.prepare")
    records = []
    for path in paths:
        with np.load(path) as piece:
            blob = piece["blob"].tobytes()
            start = 0
            rows = zip(
                piece["kinds"], piece["names"], piece["held_out"], piece["ends"], strict=True
            )
            for kind, name, held_out, end in rows:
                records.append(Record(str(kind), str(name), bool(held_out), blob[start:end]))
                start = int(end)
    return records


@dataclass(frozen=True)
class Picture:
    """A decoded picture and its halves, so that shrinking it does not alias.

    levels: (H, W, 3 or 4) uint8 and halves of it; RGBA is premultiplied, a photo's is not.
    """

    name: str
    levels: tuple[NDArray[np.uint8], ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the largest level."""
        height, width = self.levels[0].shape[:2]
        return height, width


def halves(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
    """Return an image and its halves down to 32 pixels."""
    levels = [pixels]
    while min(levels[-1].shape[:2]) >= 64:
        # Odd sides lose their last line, so that a pixel of a half is always four of the whole.
        height, width = (side // 2 * 2 for side in levels[-1].shape[:2])
        whole = levels[-1][:height, :width]
        half = cv2.resize(whole, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, np.uint8))
    return tuple(levels)


def decode(record: Record) -> Picture:
    """Decode a record."""
    image = Image.open(io.BytesIO(record.encoded))
    if max(image.size) > SIDES[record.kind]:
        raise ValueError(
            f"{record.name}: {image.size}, a {record.kind} has sides up to {SIDES[record.kind]}"
        )
    pixels = np.array(image.convert("RGB" if record.kind == "background" else "RGBA"))
    if record.kind not in ("background", "photo"):
        colours = pixels[..., :3].astype(np.uint16) * pixels[..., 3:] + 127
        pixels[..., :3] = colours // 255
    return Picture(record.name, halves(pixels))


def load(folder: Path, *, held_out: bool) -> dict[str, list[Picture]]:
    """Return the pictures to train on, or those held out, by kind."""
    records = [record for record in read_pack(folder) if record.held_out == held_out]
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(decode, records))
    stores: dict[str, list[Picture]] = {kind: [] for kind in KINDS}
    for record, picture in zip(records, pictures, strict=True):
        stores[record.kind].append(picture)
    return stores
