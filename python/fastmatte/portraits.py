"""Portraits made of arithmetic: what a network is checked on where nobody brings photographs.

They look enough like people for networks of people to find them, and are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastmatte import kernels
from fastmatte.arrays import Alpha, Image, Size

Plane = NDArray[np.float32]

SKIN = np.array([232, 190, 165], np.float32)
HAIR = np.array([1, 0.8, 0.6], np.float32)
EYE = np.array([235, 235, 235], np.float32)
PUPIL = np.array([40, 25, 20], np.float32)
LIPS = np.array([150, 70, 70], np.float32)


@dataclass(frozen=True)
class Portrait:
    """One frame of a person, and what it was put together from.

    image:      (H, W, 3) uint8.
    alpha:      (H, W) float32.
    background: (H, W, 3) uint8: the same place without the person.
    """

    image: Image
    alpha: Alpha
    background: Image


class Sitter:
    """A person before a background, who sways from frame to frame.

    size: (height, width) of the frames.
    seed: who it is, and where.
    """

    def __init__(self, size: Size, *, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.size = size
        self._seed = seed
        self._skin = SKIN * np.float32(rng.uniform(0.45, 1))
        self._hair = HAIR * rng.uniform(15, 70, 3).astype(np.float32)
        self._clothes = rng.uniform(30, 210, 3).astype(np.float32)
        self._stripe = np.float32(rng.uniform(60, 120))
        self._background_seed = int(rng.integers(2**31))

    @cached_property
    def background(self) -> Image:
        """(H, W, 3) uint8: the same place without the person."""
        return _background(self.size, np.random.default_rng(self._background_seed))

    def frame(self, i: int) -> Portrait:
        """Return the frame of this number, with a camera's noise."""
        sway = 0.03 * np.sin(1.3 * i + self._seed)
        image = self.background.astype(np.float32)
        alpha = np.zeros(self.size, np.float32)
        for cover, colour in self._layers(np.float32(sway)):
            image += cover[..., None] * (colour - image)
            alpha += cover * (1 - alpha)
        rng = np.random.default_rng((self._seed, i))
        image += rng.normal(0, 3, image.shape).astype(np.float32)
        pixels: Image = np.clip(image + 0.5, 0, 255).astype(np.uint8)
        return Portrait(pixels, alpha, self.background)

    def _layers(self, sway: np.float32) -> Iterator[tuple[Plane, Plane]]:
        """Yield what is painted, from behind: how far it covers each pixel, and its colour."""
        y, x = _grid(self.size)
        pixel = 1 / min(self.size)
        head = x - sway
        skin, hair = self._skin, self._hair
        shade = (1 + 0.25 * head - 0.15 * y)[..., None]
        strands = (1 + 0.5 * np.sin(90 * head + 30 * y))[..., None]
        waves = 0.012 * np.sin(19 * np.arctan2(y + 0.15, head)) + 0.006 * np.sin(61 * head + 47 * y)
        yield _soft(_ellipse(y + 0.15, head, 0.22, 0.185) + waves, 6 * pixel), hair * strands
        neck = np.minimum(0.075 - np.abs(x - np.float32(0.6) * sway), np.minimum(y, 0.3 - y))
        yield _soft(neck, pixel), skin * np.float32(0.8) * shade
        shoulders = _ellipse(y - 0.62, x - np.float32(0.3) * sway, 0.40, 0.42)
        folds = (1 + 0.15 * np.sin(self._stripe * y))[..., None]
        yield _soft(shoulders, pixel), self._clothes * folds
        yield _soft(_ellipse(y + 0.10, head, 0.20, 0.15), pixel), skin * shade
        brow = -0.17 - y + np.float32(0.3) * np.abs(head)
        fringe = np.minimum(_ellipse(y + 0.15, head, 0.21, 0.175), brow)
        yield _soft(fringe, 2 * pixel), hair
        for side in (-0.06, 0.06):
            eye = head - np.float32(side)
            yield _soft(_ellipse(y + 0.115, eye, 0.014, 0.028), pixel), EYE
            yield _soft(_ellipse(y + 0.115, eye, 0.013, 0.013), pixel), PUPIL
            yield _soft(_ellipse(y + 0.15, eye, 0.007, 0.035), pixel), PUPIL
        nose = _soft(_ellipse(y + 0.06, head, 0.03, 0.016), 12 * pixel)
        yield nose, skin * np.float32(0.8)
        yield _soft(_ellipse(y + 0.005, head, 0.012, 0.045), 2 * pixel), LIPS


def _background(size: Size, rng: np.random.Generator) -> Image:
    """A wall with light on it and things out of focus before it."""
    height, width = size
    y, x = _grid(size)
    wall = rng.uniform(110, 190, 3)[None, None] + 30 * (x + 0.6 * y)[..., None]
    for _ in range(12):
        top, left = rng.uniform(0, height), rng.uniform(0, width)
        rows, columns = rng.uniform(0.1, 0.5, 2) * min(size)
        area = (slice(int(top), int(top + rows)), slice(int(left), int(left + columns)))
        wall[area] = rng.uniform(30, 230, 3)
    image: Image = np.clip(wall, 0, 255).astype(np.uint8)
    return kernels.blur(image, sigma=max(0.5, min(size) / 60))


def _grid(size: Size) -> tuple[Plane, Plane]:
    """Return y and x of each pixel from the centre, in units of the short side."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return (y + 0.5 - height / 2) / min(size), (x + 0.5 - width / 2) / min(size)


def _ellipse(y: Plane, x: Plane, height: float, width: float) -> Plane:
    """Return about how far inside an ellipse each pixel is."""
    distance: Plane = (1 - np.hypot(y / height, x / width)) * np.float32(min(height, width))
    return distance


def _soft(inside: Plane, width: float) -> Plane:
    cover: Plane = np.clip(inside / np.float32(width) + 0.5, 0, 1).astype(np.float32)
    return cover
