"""Training images made on the fly, in batches of tensors on any device.

Every random choice comes from (seed, step), so a batch can be made again: training resumes exactly,
and validation is the same each time.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from training.data import Store, load

#: Shares of the kinds of image in training.
SOFT, EMPTY, SECOND_PERSON, THING, TUFT = 0.3, 0.14, 0.2, 0.25, 0.2
OCCLUDER, HELD = 0.3, 0.08
#: JPEG's own luminance table (ITU-T T.81, table K.1), used for all three planes.
QUANTISATION = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56), (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Images and what is known of their alpha.

    image: (N, 3, side, side) in [-1, 1].
    alpha: (N, 1, side, side) in [0, 1].
    soft:  (N,) bool, alpha is a teacher's word and its edges are not to be trusted.
    """

    image: Tensor
    alpha: Tensor
    soft: Tensor


class Random:
    """Draws on the CPU, so that a seed means the same on every device."""

    def __init__(self, seed: int, step: int, device: torch.device) -> None:
        # A product of odd primes keeps (seed, step) apart from its neighbours.
        self._generator = torch.Generator().manual_seed((seed * 1_000_003 + step) * 7919 + 17)
        self.device = device
        self.pixels = torch.Generator(device).manual_seed(seed * 1_000_003 + step)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Return numbers between low and high."""
        drawn = torch.rand(*shape, generator=self._generator) * (high - low) + low
        return drawn.to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers."""
        return torch.randn(*shape, generator=self._generator).to(self.device)

    def chance(self, probability: float, count: int) -> Tensor:
        """Return which of count happen."""
        return (torch.rand(count, generator=self._generator) < probability).to(self.device)

    def index(self, below: int, count: int) -> Tensor:
        """Return whole numbers in [0, below)."""
        return torch.randint(below, (count,), generator=self._generator).to(self.device)

    def noise(self, *shape: int) -> Tensor:
        """Return standard normal numbers for pixels: the same again on the same kind of device."""
        return torch.randn(*shape, generator=self.pixels, device=self.device)


def grid_of(side: int, device: torch.device) -> Tensor:
    """Return the output's pixel centres, (side, side, 2): x and y in [-1, 1]."""
    steps = (torch.arange(side, device=device) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y], -1)


def sample(store: Store, index: Tensor, grid: Tensor, *, edge: str = "zeros") -> Tensor:
    """Look pictures up through a grid; RGBA comes back premultiplied.

    grid: (N, H, W, 2), where each output pixel lies on the canvas, in [-1, 1].

    Where a picture shrinks it is averaged by halves first: bilinear alone would alias.
    """
    side = store.pixels.shape[1]
    across = (grid[:, :, 1:] - grid[:, :, :-1]).norm(dim=-1).mean((1, 2))
    levels = (across * side / 2).clamp(min=1).log2().round().long()
    out = grid.new_empty(len(index), store.pixels.shape[3], *grid.shape[1:3])
    for level in levels.unique().tolist():
        which = (levels == level).nonzero()[:, 0]
        pictures = store.pixels[index[which]].permute(0, 3, 1, 2).float() / 255
        if pictures.shape[1] == 4 and edge == "zeros":
            pictures[:, :3] *= pictures[:, 3:]
        if level:
            pictures = functional.avg_pool2d(pictures, 2 ** min(level, 4))
        out[which] = functional.grid_sample(
            pictures, grid[which], padding_mode=edge, align_corners=False
        )
    return out


def turned(grid: Tensor, angle: Tensor, scale: Tensor, flip: Tensor) -> Tensor:
    """Return (N, H, W, 2): a centred grid turned, scaled (over 1 shows more) and flipped."""
    cos, sin = angle.cos() * scale, angle.sin() * scale
    sign = 1 - 2 * flip.float()
    matrix = torch.stack(
        [torch.stack([cos * sign, -sin * sign], -1), torch.stack([sin, cos], -1)], -2
    )
    return torch.einsum("nij,nhwj->nhwi", matrix, grid.expand(len(angle), -1, -1, 2))


def warp(random: Random, count: int, side: int, amount: float) -> Tensor:
    """Return a smooth displacement, (N, side, side, 2)."""
    coarse = random.normal(count, 2, 5, 5) * amount * random.uniform(0, 1, count, 1, 1, 1)
    fine = functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=True)
    return fine.permute(0, 2, 3, 1)


def over(front: Tensor, back: Tensor) -> Tensor:
    """Composite premultiplied RGBA over premultiplied RGBA."""
    return front + back * (1 - front[:, 3:])


def recoloured(colours: Tensor, random: Random, strength: float) -> Tensor:
    """Change exposure, contrast and white balance of (N, 3, H, W) in [0, 1]."""
    count = len(colours)
    gain = (random.normal(count, 1, 1, 1) * 0.18 * strength).exp()
    balance = (random.normal(count, 3, 1, 1) * 0.08 * strength).exp()
    gamma = (random.normal(count, 1, 1, 1) * 0.2 * strength).exp()
    grey = colours.mean(1, keepdim=True)
    saturation = 1 + random.uniform(-0.4, 0.3, count, 1, 1, 1) * strength
    colours = grey + (colours - grey) * saturation
    return (colours.clamp(1e-4, 1) ** gamma * gain * balance).clamp(0, 1)


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image by its own Gaussian; sigma in pixels, at most 3."""
    radius = 6
    at = torch.arange(-radius, radius + 1, device=images.device)
    taps = (-(at**2) / (2 * sigma.clamp(min=0.05)[:, None] ** 2)).exp()
    taps = (taps / taps.sum(1, keepdim=True)).to(images.dtype)
    count, channels, height, width = images.shape
    flat = functional.pad(images, [radius] * 4, mode="reflect").reshape(
        1, count * channels, height + 2 * radius, width + 2 * radius
    )
    kernel = taps.repeat_interleave(channels, 0)[:, None]
    flat = functional.conv2d(flat, kernel[..., None], groups=count * channels)
    flat = functional.conv2d(flat, kernel[:, :, None], groups=count * channels)
    return flat.reshape(images.shape)


def jpeg(images: Tensor, scale: Tensor) -> Tensor:
    """Lose what JPEG loses: quantise the 8 x 8 cosine transform; scale 1 is quality 50."""
    device = images.device
    k = torch.arange(8, device=device, dtype=torch.float32)
    basis = ((2 * k[None] + 1) * k[:, None] * math.pi / 16).cos() / 2
    basis[0] /= math.sqrt(2)
    to_ycc = torch.tensor(
        [[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], device=device
    )
    planes = torch.einsum("ij,njhw->nihw", to_ycc, images) * 255
    chroma = functional.avg_pool2d(planes[:, 1:], 2)
    table = torch.tensor(QUANTISATION, device=device, dtype=torch.float32)

    def lossy(plane: Tensor) -> Tensor:
        n, c, h, w = plane.shape
        blocks = plane.reshape(n, c, h // 8, 8, w // 8, 8).transpose(3, 4)
        step = (table * scale.reshape(-1, 1, 1, 1, 1, 1)).clamp(min=1)
        spectrum = (basis @ blocks @ basis.T / step).round() * step
        return (basis.T @ spectrum @ basis).transpose(3, 4).reshape(n, c, h, w)

    luma = lossy(planes[:, :1])
    chroma = functional.interpolate(lossy(chroma), scale_factor=2.0, mode="bilinear")
    back = torch.linalg.inv(to_ycc)
    restored = torch.einsum("ij,njhw->nihw", back, torch.cat([luma, chroma], 1)) / 255
    return restored.clamp(0, 1)


class Composer:
    """Makes batches from the stores of data.load."""

    def __init__(self, stores: dict[str, Store], device: torch.device, *, seed: int) -> None:
        self._stores = {kind: store.to(device) for kind, store in stores.items()}
        self._device = device
        self._seed = seed
        self._heads = _heads(self._stores["person"])

    def batch(
        self, step: int, count: int, side: int, *, soft: float = SOFT, empty: float = EMPTY
    ) -> Batch:
        """Make the batch of a step.

        side:  of the images, a multiple of 32.
        soft:  share of photographs labelled by the teacher.
        empty: share of images without a person.
        """
        random = Random(self._seed, step, self._device)
        soft_count = round(count * soft) if len(self._stores["photo"]) else 0
        colours, alpha = self._composites(random, count - soft_count, side, empty)
        if soft_count:
            photos, labels = self._photos(random, soft_count, side)
            colours, alpha = torch.cat([colours, photos]), torch.cat([alpha, labels])
        is_soft = torch.arange(count, device=self._device) >= count - soft_count
        return Batch(self._camera(random, colours) * 2 - 1, alpha.clamp(0, 1), is_soft)

    def _background(self, random: Random, count: int, side: int) -> Tensor:
        store = self._stores["background"]
        grid = turned(
            grid_of(side, self._device),
            random.normal(count) * 0.05,
            random.uniform(0.35, 0.95, count),
            random.chance(0.5, count),
        )
        room = 1 - grid.abs().amax((1, 2)).clamp(max=1)
        grid = grid + (room * random.uniform(-1, 1, count, 2))[:, None, None]
        found = sample(store, random.index(len(store), count), grid, edge="reflection")
        sharp = random.chance(0.6, count)[:, None, None, None]
        sigma = random.uniform(0.5, 3, count) * side / 320
        found = torch.where(sharp, found, blurred(found, sigma.clamp(max=3)))
        return recoloured(found.clamp(0, 1), random, 1)

    def _layer(
        self, random: Random, kind: str, count: int, side: int, low: float, high: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return a layer, its grid's origin, scale and the pictures chosen."""
        store = self._stores[kind]
        index = random.index(len(store), count)
        height = (random.uniform(math.log(low), math.log(high), count)).exp()
        scale = store.sizes[index, 0] / height
        if kind == "person":
            # These portraits end at the chest: their lower edge stays out of sight.
            sunk = random.uniform(0, 0.8, count) ** 2 * (height - 0.35).clamp(min=0) + 0.06
        else:
            sunk = random.uniform(-0.6, 0.2, count)
        at = torch.stack([random.uniform(-0.75, 0.75, count), 1 - height + 2 * sunk], -1)
        grid = grid_of(side, self._device)[None] - at[:, None, None]
        grid = turned(grid, random.normal(count) * 0.09, scale, random.chance(0.5, count))
        # The picture stands on the canvas's lower edge: its centre is the layer's.
        offset = torch.stack(
            [torch.zeros(count, device=self._device), 1 - store.sizes[index, 0]], -1
        )
        grid = grid + offset[:, None, None] + warp(random, count, side, 0.02)
        layer = sample(store, index, grid)
        if kind == "person":
            layer = layer * self._arms(random, grid, store.sizes[index])
        layer = torch.cat([_relit(layer, random, side), layer[:, 3:]], 1)
        return layer, at, scale, index

    def _arms(self, random: Random, grid: Tensor, sizes: Tensor) -> Tensor:
        """Round off where the portrait's frame cut shoulders, as an arm would end."""
        count = len(grid)
        half = sizes[:, 1].reshape(-1, 1, 1)
        phase, wave = random.uniform(0, 6, count, 1, 1), random.uniform(1, 4, count, 1, 1)
        inset = random.uniform(0.02, 0.1, count, 1, 1) * (
            1 + 0.6 * (grid[..., 1] * wave + phase).sin()
        )
        step = (grid[:, :, 1:] - grid[:, :, :-1]).norm(dim=-1).mean((1, 2)).reshape(-1, 1, 1)
        inside: Tensor = (half * (1 - inset) - grid[..., 0].abs()) / step + 0.5
        return inside.clamp(0, 1)[:, None]

    def _composites(
        self, random: Random, count: int, side: int, empty: float
    ) -> tuple[Tensor, Tensor]:
        """Return colours in [0, 1] and exact alpha."""

        def where(chance: float) -> Tensor:
            return random.chance(chance, count)[:, None, None, None].float()

        colours = self._background(random, count, side)
        if len(self._stores["thing"]):
            thing = self._layer(random, "thing", count, side, 0.2, 1.2)[0] * where(THING)
            colours = thing[:, :3] + colours * (1 - thing[:, 3:])
        person, at, scale, index = self._layer(random, "person", count, side, 0.4, 2.6)
        if len(self._stores["hair"]):
            person = over(person, self._hair(random, at, scale, index, side) * where(TUFT))
        second = self._layer(random, "person", count, side, 0.4, 1.5)[0] * where(SECOND_PERSON)
        people = over(person, second) * (1 - where(empty))
        colours = people[:, :3] + colours * (1 - people[:, 3:])
        alpha = people[:, 3:]
        # A desk, a sill, the back of a chair: what stands before a person is not a person.
        front = self._background(random, count, side)
        grid = grid_of(side, self._device)
        level = random.uniform(0.35, 0.95, count, 1, 1)
        slope = random.uniform(-0.15, 0.15, count, 1, 1)
        desk = ((grid[..., 1] - level - slope * grid[..., 0]) * side / 2 + 0.5).clamp(0, 1)
        desk = desk[:, None] * where(OCCLUDER)
        colours = front * desk + colours * (1 - desk)
        alpha = alpha * (1 - desk)
        if len(self._stores["thing"]):
            held = self._layer(random, "thing", count, side, 0.15, 0.45)[0] * where(HELD)
            colours = held[:, :3] + colours * (1 - held[:, 3:])
            alpha = alpha * (1 - held[:, 3:])
        return colours.clamp(0, 1), alpha

    def _hair(self, random: Random, at: Tensor, scale: Tensor, index: Tensor, side: int) -> Tensor:
        """Return tufts behind the heads of the people placed with these."""
        count = len(at)
        store = self._stores["hair"]
        # Where the head lies on the frame; the layer's small turn and warp are left out, flips are
        # not known, so heads are taken for centred: good enough for hair behind them.
        heads = self._heads[index]
        centre = at + torch.stack(
            [torch.zeros(count, device=self._device), heads[:, 0] / scale], -1
        )
        radius = heads[:, 1] / scale * random.uniform(1.2, 2.2, count)
        grid = grid_of(side, self._device)[None] - centre[:, None, None]
        grid = turned(grid, random.uniform(-3.1, 3.1, count), 1 / radius, random.chance(0.5, count))
        tuft = sample(store, random.index(len(store), count), grid)
        return torch.cat([_relit(tuft, random, side), tuft[:, 3:]], 1)

    def _photos(self, random: Random, count: int, side: int) -> tuple[Tensor, Tensor]:
        """Return photographs, cropped and turned a little, and the teacher's alpha."""
        store = self._stores["photo"]
        index = random.index(len(store), count)
        sizes = store.sizes[index]
        scale = sizes.amin(1) * random.uniform(0.5, 0.97, count)
        grid = turned(
            grid_of(side, self._device),
            random.normal(count) * 0.05,
            scale,
            random.chance(0.5, count),
        )
        reach = torch.stack([sizes[:, 1], sizes[:, 0]], -1)
        room = (reach - scale[:, None]).clamp(min=0)
        shift = room * random.uniform(-1, 1, count, 2)
        shift[:, 1] += 1 - sizes[:, 0]
        grid = grid + shift[:, None, None]
        # Beyond the picture lies black canvas: stay at its edge instead.
        low = torch.stack([-reach[:, 0], 1 - 2 * reach[:, 1]], -1)[:, None, None] + 0.006
        high = torch.stack([reach[:, 0], torch.ones_like(reach[:, 0])], -1)[:, None, None] - 0.006
        found = sample(store, index, torch.minimum(torch.maximum(grid, low), high), edge="border")
        return recoloured(found[:, :3], random, 0.7), found[:, 3:]

    def _camera(self, random: Random, colours: Tensor) -> Tensor:
        """Do to the whole image what cameras and files do."""
        count, _, side, _ = colours.shape

        def where(chance: float) -> Tensor:
            return random.chance(chance, count)[:, None, None, None]

        colours = torch.where(where(0.5), recoloured(colours, random, 0.6), colours)
        grey = colours.mean(1, keepdim=True).expand_as(colours)
        colours = torch.where(where(0.03), grey, colours)
        sigma = random.uniform(0.3, 1.6, count) * side / 320
        colours = torch.where(where(0.35), blurred(colours, sigma), colours)
        noise = self._noise(random, colours)
        colours = torch.where(where(0.5), (colours + noise).clamp(0, 1), colours)
        scale = random.uniform(math.log(0.1), math.log(2.5), count).exp()
        return torch.where(where(0.6), jpeg(colours, scale), colours)

    def _noise(self, random: Random, colours: Tensor) -> Tensor:
        """Return noise as a webcam's: coarse or fine, grey or coloured."""
        count, _, side, _ = colours.shape
        strength = random.uniform(0, 0.05, count, 1, 1, 1)
        fine = random.noise(count, 3, side, side)
        coarse = functional.interpolate(
            random.noise(count, 3, side // 2, side // 2), scale_factor=2.0, mode="bilinear"
        )
        coloured = random.uniform(0, 1, count, 1, 1, 1)
        noise = torch.where(random.chance(0.5, count)[:, None, None, None], coarse, fine)
        return strength * (noise * coloured + noise[:, :1] * (1 - coloured))


def _relit(layer: Tensor, random: Random, side: int) -> Tensor:
    """Return a layer's premultiplied colours under other light, brighter to one side."""
    alpha = layer[:, 3:]
    straight = (layer[:, :3] / alpha.clamp(min=1e-3)).clamp(0, 1)
    count = len(layer)
    direction = random.normal(count, 2) * 0.15
    slope = torch.einsum("nc,hwc->nhw", direction, grid_of(side, layer.device))[:, None].exp()
    return (recoloured(straight, random, 0.8) * slope).clamp(0, 1) * alpha


def _heads(people: Store) -> Tensor:
    """Return (N, 2): how far below the picture's centre its head is, and its radius.

    In halves of the canvas. A head is as wide as the person is a little below the top.
    """
    found = []
    for pixels, (height, _) in zip(people.pixels, people.sizes.tolist(), strict=True):
        opaque = pixels[..., 3] > 128
        side = len(opaque)
        rows = opaque.any(1).nonzero()[:, 0]
        top = int(rows[0]) if len(rows) else 0
        below = opaque[min(top + side // 8, side - 1)].sum().item() / side
        radius = min(max(below, 0.1), 0.5)
        middle = side - height * side / 2
        found.append((2 * (top - middle) / side + radius * 1.2, radius))
    return torch.tensor(found, dtype=torch.float32, device=people.pixels.device).reshape(-1, 2)


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
    stores = load(arguments.pack, held_out=arguments.held_out)
    composer = Composer(stores, torch.device("cpu"), seed=0)
    batch = composer.batch(arguments.step, arguments.count, arguments.side)
    contact_sheet(batch, 4).save(arguments.out)


if __name__ == "__main__":
    main()
