"""Tufts of hair with exact alpha, drawn strand by strand at four times their size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE = 256
OVERSAMPLED = 4
#: Hair from black over brown, red and blond to grey and white.
COLOURS = (
    (18, 15, 14),
    (52, 33, 22),
    (96, 60, 36),
    (150, 84, 46),
    (196, 158, 104),
    (208, 204, 198),
)


def tuft(random: np.random.Generator) -> NDArray[np.uint8]:
    """Return one tuft, (SIDE, SIDE, 4) uint8: a full middle and strands that leave it."""
    side = SIDE * OVERSAMPLED
    image = Image.new("RGBA", (side, side))
    colour = np.array(COLOURS[random.integers(len(COLOURS))]) * random.uniform(0.8, 1.2)
    image.paste((*(int(c) for c in colour.clip(0, 255)), 0), (0, 0, side, side))
    draw = ImageDraw.Draw(image)
    inner = side * random.uniform(0.2, 0.3)
    longest = side * 0.48 - inner
    curl = random.uniform(0, 2.5)
    count = int(random.uniform(250, 900))
    for _ in range(count):
        angle = random.uniform(0, 2 * math.pi)
        bend = random.normal(0, 0.4 + curl)
        length = longest * random.uniform(0.15, 1) ** 1.5
        steps = 14
        x = side / 2 + inner * 0.7 * math.cos(angle)
        y = side / 2 + inner * 0.7 * math.sin(angle)
        points = [(x, y)]
        heading = angle + random.normal(0, 0.25)
        for _ in range(steps):
            heading += bend / steps
            x += math.cos(heading) * (length + 0.3 * inner) / steps
            y += math.sin(heading) * (length + 0.3 * inner) / steps
            points.append((x, y))
        shade = (colour * random.uniform(0.6, 1.35)).clip(0, 255).astype(int)
        draw.line(points, fill=(*(int(c) for c in shade), 255), width=int(random.integers(1, 6)))
    box = [side / 2 - inner, side / 2 - inner, side / 2 + inner, side / 2 + inner]
    draw.ellipse(box, fill=(*(int(c) for c in colour.clip(0, 255)), 255))
    pixels = np.asarray(image, np.float32)
    blocks = pixels.reshape(SIDE, OVERSAMPLED, SIDE, OVERSAMPLED, 4)
    alpha = blocks[..., 3:].mean((1, 3)) / 255
    premultiplied = (blocks[..., :3] * blocks[..., 3:] / 255).mean((1, 3))
    straight = np.where(alpha > 0, premultiplied / np.maximum(alpha, 1e-3), colour)
    rgba = np.concatenate([straight, alpha * 255], 2)
    return (rgba + 0.5).clip(0, 255).astype(np.uint8)
