"""What the benchmark works on: a frame much like a portrait, made of arithmetic alone."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from fastmatte.arrays import Alpha, Image, Size, Tensor

#: Rows and columns by the name that the command line and the tables use.
SIZES: dict[str, Size] = {"512": (512, 512), "1080p": (1080, 1920), "4k": (2160, 3840)}


class Scene:
    """A frame with what kernels take beside it, each made when it is first asked for.

    About 7 % of alpha lies strictly between 0 and 1, as around a person.
    """

    def __init__(self, size: Size) -> None:
        self.size = size

    @cached_property
    def image(self) -> Image:
        """(H, W, 3): one pattern where alpha is 1 and a darker one behind it, with noise."""
        height, width = self.size
        y, x = np.mgrid[:height, :width].astype(np.float32)
        waves = np.stack([np.sin(x / 37), np.sin(y / 23), np.cos((x + y) / 51)], -1)
        noise = np.random.default_rng(7).integers(-12, 13, waves.shape, np.int8)
        levels = 70 + 35 * waves[..., ::-1] + self.alpha[..., None] * (100 + 15 * waves)
        image: Image = np.clip(levels + noise, 0, 255).astype(np.uint8)
        return image

    @cached_property
    def other(self) -> Image:
        """Another one."""
        return np.ascontiguousarray(self.image[::-1])

    @cached_property
    def later(self) -> Image:
        """The frame after it: the left half stands still but for noise, the right half moved."""
        noise = np.random.default_rng(8).integers(-3, 4, self.image.shape, np.int8)
        image: Image = np.clip(self.image + noise.astype(np.int16), 0, 255).astype(np.uint8)
        half = self.size[1] // 2
        image[:, half:] = np.roll(self.image[:, half:], 9, 1)
        return image

    @cached_property
    def alpha_later(self) -> Alpha:
        """(H, W) float32: a little off everywhere, and flickering here and there."""
        rng = np.random.default_rng(9)
        off = rng.normal(0, 0.02, self.size) + 0.5 * (rng.random(self.size) < 0.02)
        alpha: Alpha = np.clip(self.alpha + off, 0, 1).astype(np.float32)
        return alpha

    @cached_property
    def grey(self) -> Image:
        """(H, W) uint8."""
        return np.ascontiguousarray(self.image[..., 1])

    @cached_property
    def alpha(self) -> Alpha:
        """(H, W) float32: an ellipse with a soft edge."""
        return _ellipse(self.size)

    @cached_property
    def alpha_bytes(self) -> Image:
        """(H, W) uint8."""
        alpha: Image = np.floor(self.alpha * 255 + 0.5).astype(np.uint8)
        return alpha

    @cached_property
    def opaque(self) -> Alpha:
        """(H, W) float32: 1 everywhere."""
        return np.ones(self.size, np.float32)

    @cached_property
    def small_alpha(self) -> Alpha:
        """(512, 512) float32: what a network gives for the frame."""
        return _ellipse((512, 512))

    @cached_property
    def rgba(self) -> Image:
        """(H, W, 4) uint8, straight alpha."""
        return np.dstack([self.image, self.alpha_bytes])

    @cached_property
    def premultiplied(self) -> Image:
        """(H, W, 4) uint8."""
        colours = np.floor(self.image * self.alpha[..., None] + 0.5).astype(np.uint8)
        return np.dstack([np.minimum(colours, self.alpha_bytes[..., None]), self.alpha_bytes])

    @cached_property
    def nv12(self) -> Image:
        """(H * 3 / 2, W) uint8: BT.601, limited range, as a camera gives it."""
        height, width = self.size
        weights = np.array(
            [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]],
            np.float32,
        )
        planes = self.image @ (weights * np.array([[219], [224], [224]], np.float32) / 255).T
        chroma = planes[..., 1:].reshape(height // 2, 2, width // 2, 2, 2).mean((1, 3))
        rows = [planes[..., 0] + 16, chroma.reshape(height // 2, width) + 128]
        frame: Image = np.floor(np.concatenate(rows) + 0.5).astype(np.uint8)
        return frame

    @cached_property
    def tensor(self) -> Tensor:
        """(1, 3, H, W) float32 in [0, 1]."""
        planes = self.image.transpose(2, 0, 1)[None] * np.float32(1 / 255)
        return np.ascontiguousarray(planes, np.float32)


def _ellipse(size: Size) -> Alpha:
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot((x + 0.5) / width - 0.5, (y + 0.5) / height - 0.5)
    alpha: Alpha = np.clip((0.33 - distance) * 30 + 0.5, 0, 1).astype(np.float32)
    return alpha
