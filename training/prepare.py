"""Pack the data folder once: key the portraits, label the photographs, draw the rest."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data import SIDES, Record, encode, is_held_out, write_pack
from training.keying import keyed_people
from training.procedural import furniture, limb, tuft
from training.teacher import Teacher, cutout
from training.walkers import walkers

TUFTS = 64
FURNITURE = 300
LIMBS = 200
#: Generators whose terms are said to bar training from what they made.
EXCLUDED_GENERATORS = ("flux1dev", "flux1pro")
PHOTOS = ("sfhq_t2i", "us_pif_fellows", "us_18f_team")
#: Clips of two of the five people who sign in them; the other three are never seen in training.
CLIPS = (
    "again",
    "bird",
    "brother",
    "help",
    "milk",
    "no",
    "please",
    "sorry",
    "student",
    "thanks",
    "yes",
)
FRAMES_APART = 5
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def shrunk(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Return an image's pixels, its longer side at most this."""
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    return np.asarray(image, np.uint8)


def people(data: Path) -> Iterator[Record]:
    """Yield people with true alpha: those keyed, and the cut-outs."""
    kept, refused = keyed_people(data)
    print(f"keyed {len(kept)}, refused {len(refused)}")
    for name, keyed in kept.items():
        pixels = shrunk(Image.fromarray(keyed.rgba), SIDES["person"])
        yield Record("person", name, is_held_out(name), encode(pixels))


def cutouts(data: Path) -> Iterator[Record]:
    """Yield the cut-outs of people and of things."""
    for path in sorted((data / "train/cutouts").glob("*.png")):
        kind = "person" if path.stem.startswith("person_") else "thing"
        pixels = shrunk(Image.open(path).convert("RGBA"), SIDES[kind])
        yield Record(kind, path.stem, is_held_out(path.stem), encode(pixels))


def composited(data: Path) -> Iterator[Record]:
    """Yield the people of the composites for training, taken off their rooms again."""
    for path in sorted((data / "images/train").glob("*_image.png")):
        name = path.stem.removesuffix("_image")
        if not name.startswith(("woman", "man")) or any(
            name in other.stem for other in (data / "train/cutouts").glob("person_*.png")
        ):
            continue
        image, alpha, room = (
            np.asarray(Image.open(path.with_name(f"{name}_{part}.png")).convert(mode), np.float32)
            for part, mode in (("image", "RGB"), ("alpha", "L"), ("bg", "RGB"))
        )
        alpha = alpha[..., None] / 255
        colours = ((image - (1 - alpha) * room) / np.maximum(alpha, 1e-3)).clip(0, 255)
        rgba = np.dstack([colours, alpha * 255]).astype(np.uint8)
        pixels = shrunk(Image.fromarray(rgba), SIDES["person"])
        yield Record("person", f"person_{name}", is_held_out(name), encode(pixels))


def whole(data: Path) -> Iterator[Record]:
    """Yield whole people, held out one by one."""
    for name, rgba in walkers(data).items():
        pixels = shrunk(Image.fromarray(rgba), SIDES["person"])
        yield Record("person", name, is_held_out(name.split("/")[0]), encode(pixels))


def drawn() -> Iterator[Record]:
    """Yield procedural furniture and arms."""
    random = np.random.default_rng(1)
    for index in range(FURNITURE):
        name = f"furniture_{index}"
        yield Record("furniture", name, is_held_out(name), encode(furniture(random)))
    random = np.random.default_rng(2)
    for index in range(LIMBS):
        name = f"limb_{index}"
        yield Record("limb", name, is_held_out(name), encode(limb(random), lossless=True))


def hair() -> Iterator[Record]:
    """Yield procedural tufts."""
    random = np.random.default_rng(0)
    for index in range(TUFTS):
        name = f"tuft_{index}"
        yield Record("hair", name, is_held_out(name), encode(tuft(random)))


def backgrounds(data: Path) -> Iterator[Record]:
    """Yield squares of the photographs without people, two of a wide one."""
    side = SIDES["background"]
    for path in sorted((data / "train/backgrounds").rglob("*")):
        if path.suffix.lower() not in SUFFIXES:
            continue
        # Views of one room are numbered: they are held out together.
        room = path.stem.rstrip("0123456789").rstrip("_")
        image = Image.open(path).convert("RGB")
        scale = side / min(image.size)
        width, height = (max(side, round(length * scale)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
        ends = max(width, height) - side
        for index, start in enumerate((0, ends) if ends > side // 3 else (ends // 2,)):
            left, top = (start, 0) if width > height else (0, start)
            square = np.asarray(image.crop((left, top, left + side, top + side)))
            name = f"{path.parent.name}/{path.stem}#{index}"
            yield Record("background", name, is_held_out(room), encode(square))


def pictures(data: Path) -> Iterator[tuple[str, Image.Image]]:
    """Yield photographs of people and frames of the clips, with their names."""
    for folder in PHOTOS:
        for path in sorted((data / "train/portraits" / folder).iterdir()):
            if path.suffix.lower() in SUFFIXES and not path.stem.endswith(EXCLUDED_GENERATORS):
                yield f"{folder}/{path.stem}", Image.open(path).convert("RGB")
    for clip in CLIPS:
        with av.open(data / f"video/asl_{clip}.mkv") as video:
            for index, frame in enumerate(video.decode(video=0)):
                if index % FRAMES_APART == 0:
                    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
                    yield f"asl/{clip}_{index}", image


def photos(data: Path) -> Iterator[Record]:
    """Yield photographs with what the teacher says of them, and cut-outs by its word."""
    teacher = Teacher(data)
    for name, image in pictures(data):
        large = shrunk(image, SIDES["bust"])
        colours = shrunk(image, SIDES["photo"])
        label = teacher.label(colours)
        # Other people of the clips are held out, in the clips that are not in CLIPS.
        held_out = not name.startswith("asl/") and is_held_out(name)
        rgba = np.dstack([colours, (label * 255 + 0.5).astype(np.uint8)])
        yield Record("photo", name, held_out, encode(rgba))
        bust = cutout(large, teacher.label(large))
        if bust is not None:
            yield Record("bust", name, held_out, encode(bust))


def main() -> None:
    """Write the pack."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    def records() -> Iterator[Record]:
        counts: dict[tuple[str, bool], int] = {}
        data = arguments.data
        for source in (
            people(data),
            cutouts(data),
            composited(data),
            whole(data),
            drawn(),
            hair(),
            backgrounds(data),
            photos(data),
        ):
            for record in source:
                counts[record.kind, record.held_out] = (
                    counts.get((record.kind, record.held_out), 0) + 1
                )
                yield record
        for (kind, held_out), count in sorted(counts.items()):
            print(f"{kind:10} {'held out' if held_out else 'training':8} {count}")

    for path in write_pack(records(), arguments.out):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
