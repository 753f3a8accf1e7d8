"""The packed pictures that training reads, and which of them it never sees.

A pack is a folder of pieces small enough to be carried one at a time. A piece holds encoded
pictures of these kinds:

- person:     a cut-out, RGBA with true alpha;
- thing:      a cut-out of an animal or an object, RGBA with true alpha, a distractor;
- hair:       a procedural tuft, RGBA with exact alpha;
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

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

KINDS = ("person", "thing", "hair", "background", "photo")
#: The side of the square canvas of each kind, in pixels.
SIDES = {"person": 448, "thing": 448, "hair": 256, "background": 384, "photo": 384}
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


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """Encode RGB or RGBA; alpha is kept exactly, and so are the colours beneath a clear one."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=92, exact=True)
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
class Store:
    """Decoded pictures of one kind, bottom centred on square canvases.

    pixels: (N, side, side, 3 or 4) uint8.
    sizes:  (N, 2) float32, height and width of each picture, in canvas sides.
    """

    pixels: Tensor
    sizes: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def to(self, device: torch.device) -> Store:
        """Return the store on a device."""
        return Store(self.pixels.to(device), self.sizes.to(device), self.names)


def decode(records: list[Record], kind: str) -> Store:
    """Decode the records of one kind."""
    side = SIDES[kind]
    channels = 3 if kind == "background" else 4
    chosen = [record for record in records if record.kind == kind]
    pixels = np.zeros((len(chosen), side, side, channels), np.uint8)
    sizes = np.zeros((len(chosen), 2), np.float32)

    def place(index: int) -> None:
        encoded = io.BytesIO(chosen[index].encoded)
        image = Image.open(encoded).convert("RGB" if channels == 3 else "RGBA")
        if max(image.size) > side:
            raise ValueError(f"{chosen[index].name}: {image.size}, a {kind} has sides up to {side}")
        height, width = image.height, image.width
        left = (side - width) // 2
        pixels[index, side - height :, left : left + width] = np.asarray(image)
        sizes[index] = height / side, width / side

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(place, range(len(chosen))))
    return Store(torch.from_numpy(pixels), torch.from_numpy(sizes), tuple(r.name for r in chosen))


def load(folder: Path, *, held_out: bool) -> dict[str, Store]:
    """Return the stores to train on, or those held out, by kind."""
    records = [record for record in read_pack(folder) if record.held_out == held_out]
    return {kind: decode(records, kind) for kind in KINDS}
