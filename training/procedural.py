"""Pictures that no photograph gave, with exact alpha: tufts of hair, and furniture.

Hair is drawn strand by strand at four times its size.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Plane = NDArray[np.float32]

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


#: Upholstery, wood, and above all the colours that cushions share with skin.
FABRICS = (
    (205, 150, 125),
    (222, 178, 150),
    (160, 105, 80),
    (190, 120, 110),
    (120, 78, 58),
    (92, 44, 40),
    (210, 200, 185),
    (128, 128, 130),
    (60, 62, 70),
    (70, 90, 120),
    (90, 110, 80),
    (150, 40, 45),
)


def _rounded(side: int, box: tuple[float, float, float, float], radius: float) -> Plane:
    """Return how deep inside a rounded box each pixel lies, in pixels; negative outside."""
    left, top, right, bottom = box
    y, x = np.mgrid[:side, :side].astype(np.float32) + 0.5
    across = np.abs(x - (left + right) / 2) - ((right - left) / 2 - radius)
    down = np.abs(y - (top + bottom) / 2) - ((bottom - top) / 2 - radius)
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
    return np.asarray(radius - outside - np.minimum(np.maximum(across, down), 0), np.float32)


def _cloud(random: np.random.Generator, side: int, cells: int) -> Plane:
    """Return smooth noise, about standard normal."""
    coarse = random.standard_normal((cells, cells)).astype(np.float32)
    image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def furniture(random: np.random.Generator) -> NDArray[np.uint8]:
    """Return something a room holds and a person does not, (SIDE, SIDE, 4) uint8.

    A sofa of cushions, one cushion, a cupboard or screen, or a draped cloth, padded, shaded and
    patterned. It stands on the lower edge.
    """
    side = SIDE
    parts: list[tuple[tuple[float, float, float, float], float]] = []
    kind = random.choice(["sofa", "cushion", "box", "drape"], p=[0.45, 0.2, 0.15, 0.2])
    if kind == "sofa":
        seat = random.uniform(0.5, 0.7)
        top = random.uniform(0.05, 0.3)
        arm = random.uniform(0.08, 0.16)
        backs = int(random.integers(1, 4))
        width = (1 - 2 * arm) / backs
        for index in range(backs):
            left = arm + index * width
            parts.append(((left, top, left + width, seat + 0.1), random.uniform(0.03, 0.1)))
        for index in range(backs):
            left = arm + index * width
            parts.append(((left, seat, left + width, seat + 0.2), random.uniform(0.02, 0.07)))
        parts.append(((0.03, seat + 0.17, 0.97, 1.0), 0.02))
        high = random.uniform(top, seat)
        parts.append(((0.0, high, arm * 1.3, 1.0), arm * 0.6))
        parts.append(((1 - arm * 1.3, high, 1.0, 1.0), arm * 0.6))
    elif kind == "cushion":
        top = random.uniform(0.2, 0.5)
        inset = random.uniform(0.02, 0.2)
        parts.append(((inset, top, 1 - inset, 0.99), random.uniform(0.1, 0.25)))
    else:
        inset = random.uniform(0.02, 0.25)
        radius = random.uniform(0.005, 0.03) if kind == "box" else random.uniform(0.05, 0.2)
        parts.append(((inset, random.uniform(0.02, 0.3), 1 - inset, 1.2), radius))
    colour = np.array(FABRICS[random.integers(len(FABRICS))]) * random.uniform(0.6, 1.2)
    light = random.uniform(-1, 1, 2)
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    pattern = 1 + random.uniform(0.02, 0.12) * _cloud(random, side, int(random.integers(4, 40)))
    if kind == "drape" or random.random() < 0.3:
        waves = x * random.uniform(20, 90) + 2 * _cloud(random, side, 4)
        pattern += random.uniform(0.03, 0.2) * np.sin(waves + y * random.uniform(-10, 10))
    canvas = np.zeros((side, side, 3), np.float32)
    alpha = np.zeros((side, side), np.float32)
    for box, radius in parts:
        wobble = 0.012 * side * _cloud(random, side, 5)
        scaled = (box[0] * side, box[1] * side, box[2] * side, box[3] * side)
        depth = _rounded(side, scaled, radius * side) + wobble * (kind != "box")
        cover = (depth + 0.5).clip(0, 1)
        # Padding is round: darker towards its edge, lighter where it faces the light.
        padding = (depth / (0.25 * radius * side + 6)).clip(0, 1) ** 0.5
        slope_y, slope_x = np.gradient(np.minimum(depth, 0.12 * side) / side)
        shade = (0.45 + 0.55 * padding) * (1 + 25 * (light[0] * slope_x + light[1] * slope_y))
        shade = shade * (1 + 0.25 * light[0] * (x - 0.5) + 0.25 * light[1] * (y - 0.5)) * pattern
        canvas = colour * shade[..., None] * cover[..., None] + canvas * (1 - cover[..., None])
        alpha = cover + alpha * (1 - cover)
    straight = canvas / np.maximum(alpha, 1e-3)[..., None]
    rgba = np.dstack([straight.clip(0, 255), alpha * 255])
    return (rgba + 0.5).clip(0, 255).astype(np.uint8)


def limb(random: np.random.Generator) -> NDArray[np.uint8]:
    """Return an arm with its hand, (SIDE, SIDE, 4) uint8, its shoulder at the bottom's middle.

    Not yet coloured: red is how light it is, 160 for as it is, green is 255 for sleeve, 0 for skin.
    """
    side = SIDE
    y, x = np.mgrid[:side, :side].astype(np.float32) + 0.5
    depth = np.full((side, side), -1e3, np.float32)
    shade = np.zeros((side, side), np.float32)
    sleeve = np.zeros((side, side), np.float32)
    length = random.uniform(0.75, 1.0) * side
    upper, fore, palm = 0.42 * length, 0.38 * length, 0.09 * length
    light = random.uniform(-1, 1)
    bare = random.choice([0.0, random.uniform(0, 2), 2.0])

    def part(
        start: tuple[float, float], end: tuple[float, float], thick: float, thin: float, at: float
    ) -> None:
        """Draw a tapering tube; `at` is how far from the shoulder it begins, in parts."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        span = max(dx * dx + dy * dy, 1e-3)
        along = (((x - start[0]) * dx + (y - start[1]) * dy) / span).clip(0, 1)
        radius = thick + (thin - thick) * along
        away = np.hypot(x - start[0] - along * dx, y - start[1] - along * dy)
        inside = radius - away
        front = inside > depth
        # A tube is darker towards its edge, and on the side away from the light.
        across = ((x - start[0]) * -dy + (y - start[1]) * dx) / math.sqrt(span) / radius
        round_ = 0.6 + 0.4 * np.sqrt((inside / radius).clip(0, 1)) + 0.15 * light * across
        shade[front] = round_[front]
        sleeve[front] = (at + along[front] < bare).astype(np.float32)
        depth[front] = inside[front]

    heading = random.normal(0, 0.15)
    thick = random.uniform(0.055, 0.085) * length
    shoulder = (side / 2, side - 2.0)

    def onward(start: tuple[float, float], reach: float) -> tuple[float, float]:
        return start[0] + math.sin(heading) * reach, start[1] - math.cos(heading) * reach

    elbow = onward(shoulder, upper)
    part(shoulder, elbow, thick, 0.72 * thick, 0)
    bend = random.choice([-1, 1]) * random.uniform(0, 2.3) * random.random()
    heading += bend
    wrist = onward(elbow, fore)
    part(elbow, wrist, 0.75 * thick, 0.48 * thick, 1)
    heading += random.normal(0, 0.3)
    knuckles = onward(wrist, palm)
    part(wrist, knuckles, 0.5 * thick, 0.72 * thick, 2)
    spread, curl = random.uniform(0.03, 0.3), random.uniform(0.1, 1.0)
    middle = heading
    for finger in range(5):
        heading = middle + spread * (finger - 2) + (0.7 if finger == 4 else 0)
        base = onward(knuckles, 0.02 * length if finger < 4 else -0.6 * palm)
        offset = (finger - 1.5) * 0.33 * thick
        base = (base[0] + math.cos(middle) * offset, base[1] + math.sin(middle) * offset)
        part(
            base,
            onward(base, curl * random.uniform(0.07, 0.11) * length),
            0.2 * thick,
            0.15 * thick,
            2,
        )
    texture = 1 + 0.04 * _cloud(random, side, 30) + 0.06 * _cloud(random, side, 6)
    alpha = (depth + 0.5).clip(0, 1)
    rgba = np.dstack([shade * texture * 160, sleeve * 255, np.zeros_like(shade), alpha * 255])
    return (rgba + 0.5).clip(0, 255).astype(np.uint8)
