"""Training images made on the fly: people over rooms, among things, through a camera.

Every random choice comes from (seed, step, place in the batch), so a batch can be made again by any
process: training resumes exactly, and validation is the same each time.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.data import Picture, load

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Size = tuple[int, int]
Stores = dict[str, list[Picture]]

#: Shares of the kinds of image: photographs labelled by the teacher, and images without anybody.
SOFT, EMPTY = 0.15, 0.15
#: The share of people who are cut out of photographs by the teacher's word.
BUSTS = 0.5
SECOND_PERSON, THIRD_PERSON, TUFT = 0.2, 0.25, 0.08
#: Clothes of another stuff, others below the waist, and patches of sunlight on a room.
COSTUME, TROUSERS, SUNLIGHT = 0.25, 0.35, 0.25
#: The share of clothes that have one colour.
PLAIN = 0.5
#: The share of the few cut-outs among people of exact outline: the widest variety of hair, the
#: sharpest edges, and no blue.
CUTOUTS = 0.3
#: And of whole people, who alone have legs.
WHOLE = 0.25
#: Of arms that are added to a person, and of those the share before and not behind them.
ARM, SECOND_ARM, BEFORE = 0.4, 0.4, 0.5
FURNITURE, THING = 0.6, 0.3
#: Rooms shown larger than they are, and of the others those made sharper.
ENLARGED, SHARPENED = 0.3, 0.7
#: People whose outline is made steeper, and furniture with the grain of a photograph.
CRISP, TEXTURED = 0.35, 0.7
DESK, IN_FRONT, HELD = 0.1, 0.06, 0.06


@dataclass(frozen=True)
class Batch:
    """Images and what is known of their alpha.

    image: (N, 3, H, W) in [-1, 1].
    alpha: (N, 1, H, W) in [0, 1].
    soft:  (N,) bool, alpha is a teacher's word and its edges are not to be trusted.
    """

    image: Tensor
    alpha: Tensor
    soft: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(self.image.to(device), self.alpha.to(device), self.soft.to(device))


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in the image.

    Positions are of pixel edges, not centres: a picture spans [0, width].

    matrix: (2, 2), from a place in the image, relative to centre, to one in the picture, relative
            to its own centre.
    centre: x and y in the image of the picture's centre.
    """

    matrix: Floats
    centre: tuple[float, float]

    @classmethod
    def of(
        cls, centre: tuple[float, float], scale: float, angle: float = 0.0, *, flip: bool = False
    ) -> Placement:
        """Place a picture scaled, turned by radians, and perhaps mirrored."""
        cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
        sign = -1 if flip else 1
        return cls(np.array([[sign * cos, -sign * sin], [sin, cos]], np.float32), centre)

    @property
    def scale(self) -> float:
        """How many pixels of the image a pixel of the picture takes."""
        return 1 / math.sqrt(abs(float(np.linalg.det(self.matrix))))

    def image_point(self, x: float, y: float) -> tuple[float, float]:
        """Return where a place of the picture, relative to its centre, lies in the image."""
        dx, dy = np.linalg.solve(self.matrix, np.array([x, y], np.float32))
        return self.centre[0] + float(dx), self.centre[1] + float(dy)


def warped(
    picture: Picture, placement: Placement, size: Size, *, border: int = cv2.BORDER_CONSTANT
) -> Floats:
    """Return the picture in an image of this size, float32 in [0, 1]."""
    # Bilinear over a level that still shrinks by at most 1.4 does not alias to speak of.
    level = min(max(round(-math.log2(placement.scale)), 0), len(picture.levels) - 1)
    height, width = picture.size
    matrix = placement.matrix / 2**level
    offset = np.array([width, height]) / 2 ** (level + 1) - 0.5
    offset = offset + matrix @ (0.5 - np.array(placement.centre))
    full = np.concatenate([matrix, offset[:, None]], 1)
    found = cv2.warpAffine(
        picture.levels[level],
        full,
        (size[1], size[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
    return np.asarray(found, np.float32) / np.float32(255)


def bent(layer: Floats, random: np.random.Generator, amount: float) -> Floats:
    """Bend a layer smoothly, by up to about this share of its side."""
    height, width = layer.shape[:2]
    shift = random.standard_normal((2, 5, 5)).astype(np.float32) * amount * max(height, width)
    x, y = (cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in shift)
    grid_y, grid_x = np.mgrid[:height, :width].astype(np.float32)
    return np.asarray(cv2.remap(layer, grid_x + x, grid_y + y, cv2.INTER_LINEAR), np.float32)


def over(front: Floats, back: Floats) -> Floats:
    """Composite premultiplied RGBA over colours, or over premultiplied RGBA."""
    # OpenCV's arithmetic is several times faster here than NumPy's over three of four channels.
    channels = back.shape[2]
    colours = front if channels == 4 else cv2.cvtColor(front, cv2.COLOR_RGBA2RGB)
    through = cv2.merge([1 - front[..., 3]] * channels)
    return np.asarray(cv2.add(colours, cv2.multiply(back, through)), np.float32)


def relit(layer: Floats, random: np.random.Generator, strength: float = 1.0) -> Floats:
    """Return premultiplied RGBA under other light: what is linear needs no division by alpha."""
    gain = math.exp(random.normal(0, 0.2 * strength))
    balance = np.exp(random.normal(0, 0.09 * strength, 3)) * gain
    saturation = 1 + random.uniform(-0.4, 0.3) * strength
    lift = random.normal(0, 0.04 * strength)
    mix = np.eye(3) * saturation + (1 - saturation) / 3
    matrix = np.eye(4)
    matrix[:3, :3] = balance[:, None] * mix
    matrix[:3, 3] = lift
    found = cv2.transform(layer, matrix)
    height, width = layer.shape[:2]
    slope = random.normal(0, 0.2 * strength, 2)
    across = np.exp(np.linspace(-slope[0], slope[0], width, dtype=np.float32))
    down = np.exp(np.linspace(-slope[1], slope[1], height, dtype=np.float32))
    light = down[:, None] * across
    found = cv2.multiply(found, cv2.merge([light, light, light, np.ones_like(light)]), dst=found)
    # Between nothing and alpha, and alpha between nothing and itself.
    limit = cv2.merge([layer[..., 3]] * 4)
    return np.asarray(cv2.min(cv2.max(found, 0, dst=found), limit, dst=found), np.float32)


def opaque(colours: Floats) -> Floats:
    """Return colours with an alpha of 1."""
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2RGBA), np.float32)


class Composer:
    """Makes batches from the pictures of data.load."""

    def __init__(self, stores: Stores, *, seed: int, busts: float = BUSTS) -> None:
        # Every process composes on one thread; a pool started here would hang in forked ones.
        cv2.setNumThreads(1)
        self._stores = stores
        self._seed = seed
        self._busts = busts
        self._heads = {
            kind: [_head(picture) for picture in stores[kind]] for kind in ("person", "bust")
        }
        # Each kind of picture gets its share of the draws, however few there are of it.
        kinds = [one.name.split("_")[0] for one in stores["person"]]
        wanted = {"person": CUTOUTS, "walk": WHOLE}
        few = {kind: share / kinds.count(kind) for kind, share in wanted.items() if kind in kinds}
        rest = 1 - sum(share for kind, share in wanted.items() if kind in kinds)
        others = sum(kind not in few for kind in kinds)
        self._shares = {"person": _shares([few.get(kind, rest / max(others, 1)) for kind in kinds])}
        # The people who sign have the only hands in the photographs.
        # Soft rooms are many and sharp ones are few.
        self._shares["background"] = _shares(
            [min(max(_sharpness(picture) / 6, 0.5), 2.5) for picture in stores["background"]]
        )
        for kind in ("bust", "photo"):
            self._shares[kind] = _shares(
                [4.0 if one.name.startswith("asl/") else 1.0 for one in stores[kind]]
            )
        self._noise = np.random.default_rng(0).standard_normal((512, 512, 3)).astype(np.float32)

    def batch(
        self, step: int, count: int, size: Size, *, soft: float = SOFT, empty: float = EMPTY
    ) -> Batch:
        """Make the batch of a step.

        size:  height and width of the images, multiples of 32.
        soft:  share of photographs labelled by the teacher.
        empty: share of images without a person.
        """
        images = np.empty((count, *size, 3), np.uint8)
        alphas = np.empty((count, *size), np.float32)
        is_soft = np.zeros(count, bool)
        for index in range(count):
            random = np.random.default_rng((self._seed, step, index))
            kind = random.random()
            if kind < soft and self._stores["photo"]:
                colours, alphas[index] = self._photo(random, size)
                is_soft[index] = True
            else:
                nobody = random.random() < empty
                colours, alphas[index] = self._composite(random, size, nobody)
            images[index] = self._camera(random, colours)
        image = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        alpha = torch.from_numpy(alphas)[:, None].clamp(0, 1)
        return Batch(image, alpha, torch.from_numpy(is_soft))

    def _pick(self, random: np.random.Generator, kind: str) -> Picture:
        store = self._stores[kind]
        return store[int(random.integers(len(store)))]

    def _room(self, random: np.random.Generator, size: Size) -> Floats:
        """Return a background, in [0, 1]."""
        index = int(random.choice(len(self._stores["background"]), p=self._shares["background"]))
        picture = self._stores["background"][index]
        if random.random() < ENLARGED:
            # The longer side of the image shows between a third and nearly all of the picture.
            scale = max(size) / (min(picture.size) * random.uniform(0.35, 0.97))
        else:
            # As sharp as the picture is; what it does not fill is filled by its reflections.
            scale = random.uniform(0.6, 1.15)
        reach = [max(0.0, length * scale - shown) / 2 for length, shown in zip(
            picture.size[::-1], size[::-1], strict=True)]  # fmt: skip
        centre = (
            size[1] / 2 + random.uniform(-1, 1) * reach[0],
            size[0] / 2 + random.uniform(-1, 1) * reach[1],
        )
        placement = Placement.of(
            centre, scale, random.normal(0, 0.04), flip=bool(random.random() < 0.5)
        )
        room = warped(picture, placement, size, border=cv2.BORDER_REFLECT_101)
        if random.random() < 0.2:
            sigma = random.uniform(0.5, 4) * max(size) / 320
            room = np.asarray(cv2.GaussianBlur(room, (0, 0), sigma), np.float32)
        elif random.random() < SHARPENED:
            # Half of these photographs are softer than any person, and who is sharp would be one.
            room = _sharpened(room, random.uniform(0.3, 4.0))
        room = room * np.float32(math.exp(random.normal(-0.15, 0.35)))
        return relit(opaque(room), random)[..., :3]

    def _person(self, random: np.random.Generator, size: Size, least: float, most: float) -> Floats:
        """Return somebody as premultiplied RGBA."""
        kind = "bust" if self._stores["bust"] and random.random() < self._busts else "person"
        index = int(random.choice(len(self._stores[kind]), p=self._shares[kind]))
        picture = self._stores[kind][index]
        height = picture.size[0]
        tall = math.exp(random.uniform(math.log(least), math.log(most)))
        scale = tall * min(size) / height
        if random.random() < 0.8:
            # Enlarged pictures have blurred edges, and photographs shrunk for a network do not.
            scale = min(scale, random.uniform(0.9, 1.2))
        cut = _is_cut_above(picture)
        if cut:
            # Heads that the picture's frame cut end at the image's frame, not in mid-air.
            scale = max(scale, 1.05 * size[0] / height)
        shown = height * scale
        # Portraits end at the chest: their lower edge stays out of sight.
        lowest = size[0] - shown
        if not _is_cut_below(picture):
            # Somebody whole stands anywhere, or is cut by the frame at any height.
            top = random.uniform(min(lowest, 0), max(lowest, 0))
        elif cut:
            top = random.uniform(lowest, 0)
        elif shown > size[0]:
            top = random.uniform(max(lowest, -0.2 * shown), 0.3 * size[0])
        else:
            top = lowest + random.uniform(0, 0.12) * shown
        where = 0.5 + random.normal(0, 0.2)
        centre = (min(max(where, 0.05), 0.95) * size[1], top + shown / 2)
        angle = random.normal(0, 0.08)
        flip = bool(random.random() < 0.5)
        placement = Placement.of(centre, scale, angle, flip=flip)
        layer = warped(picture, placement, size)
        layer *= _arms(random, picture, placement, size)[..., None]
        if random.random() < CRISP:
            layer = _crisp(layer, random.uniform(1.2, 3.0))
        layer = relit(layer, random)
        below, radius = self._heads[kind][index]
        if random.random() < COSTUME:
            collar = placement.image_point(0, below + random.uniform(2.0, 3.0) * radius)[1]
            layer = self._costume(random, layer, collar, radius * scale)
        if random.random() < TROUSERS:
            # Else a person ends where the first garment does.
            waist = placement.image_point(0, below + random.uniform(2.8, 5.5) * radius)[1]
            layer = self._costume(random, layer, waist, radius * scale * random.uniform(0, 0.5))
        if self._stores["limb"] and random.random() < ARM:
            for _ in range(2 if random.random() < SECOND_ARM else 1):
                arm = self._arm(random, picture, placement, (below, radius), size)
                layer = over(arm, layer) if random.random() < BEFORE else over(layer, arm)
        if self._stores["hair"] and random.random() < TUFT:
            tuft = self._pick(random, "hair")
            around = Placement.of(
                placement.image_point(0, below),
                radius * scale * random.uniform(1.2, 2.2) / (tuft.size[0] / 2),
                random.uniform(-3.1, 3.1),
            )
            layer = over(layer, relit(warped(tuft, around, size), random))
        if random.random() < 0.3:
            layer = bent(layer, random, 0.02)
        return layer

    def _costume(
        self, random: np.random.Generator, layer: Floats, collar: float, soft: float
    ) -> Floats:
        """Dress a person in any stuff below a line, folds and shadows kept."""
        alpha = layer[..., 3:]
        if random.random() < PLAIN:
            stuff = (random.uniform(0, 1) * random.uniform(0.3, 1, 3)).astype(np.float32)
        else:
            stuff = self._room(random, (layer.shape[0], layer.shape[1]))
        y = np.arange(len(layer), dtype=np.float32)[:, None, None]
        dressed = ((y - collar) / max(0.3 * soft, 1) + 0.5).clip(0, 1) * random.uniform(0.5, 0.95)
        folds = layer[..., :3].mean(2, keepdims=True) / np.maximum(alpha, 1e-3)
        colours = stuff * (0.5 + folds) * alpha
        found = layer.copy()
        found[..., :3] += (np.minimum(colours, alpha) - layer[..., :3]) * dressed
        return found

    def _arm(
        self,
        random: np.random.Generator,
        picture: Picture,
        placement: Placement,
        head: tuple[float, float],
        size: Size,
    ) -> Floats:
        """Return an arm at a person's shoulder, of the colours of their face and clothes."""
        below, radius = head
        limb = self._pick(random, "limb")
        side = random.choice([-1, 1])
        shoulder = placement.image_point(
            side * random.uniform(1.0, 2.2) * radius, below + random.uniform(1.6, 3.2) * radius
        )
        scale = placement.scale * radius * random.uniform(4.5, 7.5) / limb.size[0]
        angle = -side * random.uniform(-0.4, 2.2)
        turned = Placement.of((0, 0), scale, angle, flip=bool(random.random() < 0.5))
        root = turned.image_point(0, limb.size[0] / 2)
        where = Placement(turned.matrix, (shoulder[0] - root[0], shoulder[1] - root[1]))
        layer = warped(limb, where, size)
        skin = _colour(picture, below, radius * 0.6)
        cloth = _colour(picture, picture.size[0] / 2 - radius * 0.5, radius * 0.4)
        light, sleeve, _, alpha = cv2.split(layer)
        # Light and sleeve came premultiplied: so does the colour.
        part = sleeve / np.maximum(alpha, 1e-3)
        bare, dressed = light * (1 - part) * (255 / 160), light * part * (255 / 160)
        colours = [
            np.minimum(bare * float(one) + dressed * float(other), alpha)
            for one, other in zip(skin, cloth, strict=True)
        ]
        return relit(cv2.merge([*colours, alpha]), random, 0.5)

    def _object(
        self, random: np.random.Generator, kind: str, size: Size, least: float, most: float
    ) -> Floats:
        """Return a thing or a piece of furniture anywhere, as premultiplied RGBA."""
        picture = self._pick(random, kind)
        scale = math.exp(random.uniform(math.log(least), math.log(most)))
        scale *= max(size) / max(picture.size)
        shown = picture.size[0] * scale
        low = 0.5 if kind == "furniture" else 0.1
        bottom = random.uniform(low, 1.2) * size[0] + 0.2 * shown
        placement = Placement.of(
            (random.uniform(-0.05, 1.05) * size[1], bottom - shown / 2),
            scale,
            random.normal(0, 0.06),
            flip=bool(random.random() < 0.5),
        )
        layer = warped(picture, placement, size)
        if kind == "furniture":
            layer = _crisp(layer, max(scale, 1.0))
            if random.random() < TEXTURED:
                grain = cv2.cvtColor(self._room(random, size), cv2.COLOR_RGB2GRAY)
                grain = grain / max(float(grain.mean()), 0.02)
                layer[..., :3] *= (1 + (grain - 1) * random.uniform(0.2, 1.0))[..., None]
        return relit(layer, random)

    def _composite(
        self, random: np.random.Generator, size: Size, nobody: bool
    ) -> tuple[Floats, Floats]:
        """Return colours and exact alpha in [0, 1]."""
        colours = self._room(random, size)
        if self._stores["furniture"] and random.random() < FURNITURE:
            for _ in range(int(random.integers(1, 4))):
                colours = over(self._object(random, "furniture", size, 0.25, 1.3), colours)
        if self._stores["thing"] and random.random() < THING:
            colours = over(self._object(random, "thing", size, 0.2, 1.1), colours)
        if random.random() < SUNLIGHT:
            colours = _sunlit(colours, random)
        if random.random() < 0.15:
            # What stands in a room is as sharp, and as lit, as the room.
            sigma = random.uniform(0.4, 2.5) * max(size) / 320
            colours = np.asarray(cv2.GaussianBlur(colours, (0, 0), sigma), np.float32)
        alpha = np.zeros(size, np.float32)
        if not nobody:
            people = self._person(random, size, 0.5, 2.0)
            if random.random() < SECOND_PERSON:
                for _ in range(2 if random.random() < THIRD_PERSON else 1):
                    people = over(people, self._person(random, size, 0.4, 1.4))
            colours, alpha = over(people, colours), people[..., 3]
        # A desk, a sill, the back of a chair: what stands before a person is not a person.
        if random.random() < DESK:
            desk = opaque(self._room(random, size))
            y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
            level = random.uniform(0.65, 0.97) * size[0] + random.uniform(-0.15, 0.15) * (
                x - size[1] / 2
            )
            colours, alpha = _in_front(
                desk * (y - level + 0.5).clip(0, 1)[..., None], colours, alpha
            )
        for chance, kind, least, most in (
            (IN_FRONT, "furniture", 0.2, 0.6),
            (HELD, "thing", 0.15, 0.45),
        ):
            if self._stores[kind] and random.random() < chance:
                front = self._object(random, kind, size, least, most)
                colours, alpha = _in_front(front, colours, alpha)
        return colours, alpha

    def _photo(self, random: np.random.Generator, size: Size) -> tuple[Floats, Floats]:
        """Return a photograph, cropped and turned a little, and the teacher's alpha."""
        store = self._stores["photo"]
        picture = store[int(random.choice(len(store), p=self._shares["photo"]))]
        height, width = picture.size
        fits = min(width / size[1], height / size[0])
        scale = 1 / (fits * random.uniform(0.6, 0.98))
        angle = random.normal(0, 0.04)
        centre = []
        for length, shown in ((width, size[1]), (height, size[0])):
            room = max(0.0, length * scale - shown) / 2
            centre.append(shown / 2 + random.uniform(-1, 1) * room)
        placement = Placement.of(
            (centre[0], centre[1]), scale, angle, flip=bool(random.random() < 0.5)
        )
        found = warped(picture, placement, size, border=cv2.BORDER_REPLICATE)
        return relit(opaque(found[..., :3]), random, 0.7)[..., :3], found[..., 3]

    def _camera(self, random: np.random.Generator, colours: Floats) -> Bytes:
        """Do to the whole image what cameras and files do; returns (H, W, 3) uint8."""
        height, width = colours.shape[:2]
        if random.random() < 0.5:
            colours = relit(opaque(colours), random, 0.6)[..., :3]
            colours = np.asarray(cv2.pow(colours, math.exp(random.normal(0, 0.2))), np.float32)
        if random.random() < 0.03:
            colours = np.repeat(colours.mean(2, keepdims=True), 3, 2)
        # A photograph that was shrunk for the network is nearly clean: half of the images are.
        if random.random() < 0.5:
            return (colours * 255 + 0.5).clip(0, 255).astype(np.uint8)
        if random.random() < 0.3:
            sigma = random.uniform(0.3, 1.2) * max(height, width) / 320
            colours = np.asarray(cv2.GaussianBlur(colours, (0, 0), sigma), np.float32)
        elif random.random() < 0.25:
            colours = _sharpened(colours, random.uniform(0.2, 1.0))
        if random.random() < 0.5:
            top, left = random.integers(0, 128, 2)
            noise = self._noise[top : top + height, left : left + width]
            if noise.shape[:2] != (height, width):
                noise = np.resize(self._noise, (height, width, 3))
            if random.random() < 0.5:
                half = noise[: (height + 1) // 2, : (width + 1) // 2]
                noise = np.asarray(cv2.resize(half, (width, height)), np.float32)
            coloured = random.uniform(0, 1)
            noise = noise * coloured + noise[..., :1] * (1 - coloured)
            colours = colours + random.uniform(0, 0.04) * noise
        pixels = (colours * 255 + 0.5).clip(0, 255).astype(np.uint8)
        if random.random() < 0.6:
            quality = int(random.uniform(30, 96))
            _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
            return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED), np.uint8)
        return pixels


def _sharpness(picture: Picture) -> float:
    """Return how much a picture's levels change from pixel to pixel."""
    grey = cv2.cvtColor(picture.levels[0][..., :3], cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean())


def _sharpened(colours: Floats, amount: float) -> Floats:
    """Return colours with this much more of what a blur would take, in [0, 1]."""
    smooth = cv2.GaussianBlur(colours, (0, 0), 1.2)
    found = cv2.addWeighted(colours, 1 + amount, smooth, -amount, 0)
    return np.asarray(found.clip(0, 1), np.float32)


def _crisp(layer: Floats, steepness: float) -> Floats:
    """Return premultiplied RGBA whose outline is steeper by a factor; its colours stay."""
    alpha = layer[..., 3]
    steep = ((alpha - 0.5) * np.float32(steepness) + 0.5).clip(0, 1)
    return np.asarray(layer * (steep / np.maximum(alpha, 1e-3))[..., None], np.float32)


def _sunlit(room: Floats, random: np.random.Generator) -> Floats:
    """Let the sun fall through a window on a room."""
    height, width = room.shape[:2]
    light = np.zeros((height, width), np.float32)
    for _ in range(int(random.integers(1, 4))):
        corner = random.uniform(-0.1, 0.9, 2) * (width, height)
        along = random.uniform(0.1, 0.6) * width * np.array([1, random.normal(0, 0.4)])
        down = random.uniform(0.1, 0.6) * height * np.array([random.normal(0, 0.5), 1])
        patch = np.array([corner, corner + along, corner + along + down, corner + down])
        cv2.fillConvexPoly(light, patch.astype(np.int32), 1.0)
    sigma = random.uniform(0.5, 6) * max(height, width) / 320
    light = np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), np.float32)
    gain = np.array([1.0, random.uniform(0.75, 1), random.uniform(0.5, 0.9)], np.float32)
    lit = room * (1 + light[..., None] * random.uniform(0.5, 2.5) * gain)
    return np.asarray(np.minimum(lit, 1), np.float32)


def _in_front(front: Floats, colours: Floats, alpha: Floats) -> tuple[Floats, Floats]:
    return over(front, colours), alpha * (1 - front[..., 3])


def _arms(
    random: np.random.Generator, picture: Picture, placement: Placement, size: Size
) -> Floats:
    """Round off where the picture's frame cut shoulders, as an arm would end."""
    y, x = np.ogrid[: np.float32(size[0]), : np.float32(size[1])]
    dx, dy = x + 0.5 - placement.centre[0], y + 0.5 - placement.centre[1]
    (xx, xy), (yx, yy) = placement.matrix
    across, down = xx * dx + xy * dy, yx * dx + yy * dy
    height, width = picture.size
    phase, wave = random.uniform(0, 6), random.uniform(2, 8) / height
    inset = random.uniform(0.02, 0.1) * (1 + 0.6 * np.sin(down * wave + phase))
    step = math.hypot(xx, yx)
    inside = (width / 2 * (1 - inset) - np.abs(across)) / step + 0.5
    return np.asarray(inside.clip(0, 1), np.float32)


def _is_cut_above(picture: Picture) -> bool:
    return bool((picture.levels[0][0, :, 3] > 128).mean() > 0.05)


def _is_cut_below(picture: Picture) -> bool:
    return bool((picture.levels[0][-1, :, 3] > 128).mean() > 0.05)


def _shares(weights: list[float]) -> NDArray[np.float64]:
    return np.array(weights) / (sum(weights) or 1)


def _colour(picture: Picture, below: float, reach: float) -> Floats:
    """Return the mean straight colour around a place below the picture's centre, in [0, 1]."""
    height, width = picture.size
    top = min(max(int(height / 2 + below - reach), 0), height - 2)
    left = max(int(width / 2 - reach), 0)
    patch = picture.levels[0][top : top + max(int(2 * reach), 2), left : left + int(2 * reach) + 1]
    total = patch.reshape(-1, 4).sum(0, dtype=np.float32)
    return np.asarray(total[:3] / max(float(total[3]), 1.0), np.float32)


def _head(picture: Picture) -> tuple[float, float]:
    """Return how far below the picture's centre its head is, and its radius, in pixels.

    A head is as wide as the person is a little below the top.
    """
    opaque_ = picture.levels[0][..., 3] > 128
    rows = np.flatnonzero(opaque_.any(1))
    height = len(opaque_)
    top = int(rows[0]) if len(rows) else 0
    below = int(opaque_[min(top + height // 8, height - 1)].sum())
    radius = min(max(below, 0.1 * height), 0.5 * height) / 2
    return top - height / 2 + radius * 1.2, radius


class Steps(torch.utils.data.Dataset[Batch]):
    """The batches of a run by their step, for as many processes as there are cores."""

    def __init__(self, composer: Composer, batch: int, sizes: tuple[Size, ...], last: int) -> None:
        self._composer, self._batch, self._sizes, self._last = composer, batch, sizes, last

    def __len__(self) -> int:
        return self._last

    def __getitem__(self, step: int) -> Batch:
        # A step's size follows from its number alone, as its images do: resuming changes nothing.
        size = self._sizes[(step * 7 + step // 5) % len(self._sizes)]
        return self._composer.batch(step, self._batch, size)


def contact_sheet(batch: Batch, columns: int) -> Image.Image:
    """Show each image beside itself over green by its alpha."""
    image = (batch.image + 1) / 2
    green = torch.tensor([0.1, 0.8, 0.2], device=image.device).reshape(1, 3, 1, 1)
    pairs = torch.cat([image, image * batch.alpha + green * (1 - batch.alpha)], 3)
    count, _, height, width = pairs.shape
    rows = -(-count // columns)
    page = np.zeros((rows * height, columns * width, 3), np.uint8)
    pixels = (pairs.permute(0, 2, 3, 1).cpu().numpy() * 255 + 0.5).astype(np.uint8)
    for index, cell in enumerate(pixels):
        y, x = index // columns * height, index % columns * width
        page[y : y + height, x : x + width] = cell
    return Image.fromarray(page)


def main() -> None:
    """Write a contact sheet of training images beside what their alpha keeps."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--step", type=int, default=0)
    parser.add_argument("--held-out", action="store_true")
    arguments = parser.parse_args()
    composer = Composer(load(arguments.pack, held_out=arguments.held_out), seed=0)
    batch = composer.batch(arguments.step, arguments.count, (arguments.side, arguments.side))
    contact_sheet(batch, 4).save(arguments.out)


if __name__ == "__main__":
    main()
