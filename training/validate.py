"""The held-out images, always the same, and the figures a checkpoint is chosen by.

As a command: the figures of a checkpoint, of the teacher, and of nothing at all, to compare.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from training.compose import Batch, Composer, Stores
from training.data import load
from training.export import load as load_student
from training.teacher import Teacher

Array = NDArray[np.floating[Any]]
#: Images in [-1, 1] to alphas.
Predict = Callable[[Tensor], Tensor]

#: Images made at a time, so that memory stays small.
CHUNK = 16
SEED = 20_000
SHOWN = 12
#: Of the gradient's Gaussian, as in the matting literature and fastmatte.metrics.grad.
SIGMA = 1.4


@dataclass(frozen=True)
class Figures:
    """Smaller is better.

    mad:   mean absolute difference of alpha, on images with people.
    grad:  gradient error on them, in thousands, as fastmatte.metrics.grad.
    empty: mean alpha on images without anybody.
    """

    mad: float
    grad: float
    empty: float


class Validation:
    """Held-out people over held-out backgrounds, and those backgrounds by themselves."""

    def __init__(
        self, stores: Stores, device: torch.device, *, count: int, size: tuple[int, int]
    ) -> None:
        composer = Composer(stores, seed=SEED)
        chunks = range(-(-count // CHUNK))
        rest = range(len(chunks), len(chunks) + max(1, len(chunks) // 4))

        def made(steps: range, empty: float) -> list[Batch]:
            batches = (composer.batch(i, CHUNK, size, soft=0, empty=empty) for i in steps)
            return [batch.to(device) for batch in batches]

        self._people, self._empty = made(chunks, 0), made(rest, 1)

    def measure(self, predict: Predict) -> tuple[Figures, Batch]:
        """Return the figures, and some images with the predicted alpha to look at."""
        people = [(_run(predict, batch), batch.alpha.cpu()) for batch in self._people]
        mad = np.mean([float((found - truth).abs().mean()) for found, truth in people])
        slopes = [
            gradient_error(one.numpy(), other.numpy())
            for found, truth in people
            for one, other in zip(found[:, 0], truth[:, 0], strict=True)
        ]
        empty = np.mean([float(_run(predict, batch).mean()) for batch in self._empty])
        first = self._people[0]
        shown = Batch(first.image[:SHOWN].cpu(), people[0][0][:SHOWN], first.soft[:SHOWN].cpu())
        return Figures(float(mad), float(np.mean(slopes)), float(empty)), shown


@torch.no_grad()
def _run(predict: Predict, batch: Batch) -> Tensor:
    return predict(batch.image).float().cpu()


def gradient_error(alpha: Array, truth: Array) -> float:
    """Return Grad of two (H, W) alphas in thousands; needs no compiled fastmatte."""
    radius = int(np.ceil(SIGMA * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * SIGMA * 0.01))))
    at = np.arange(-radius, radius + 1)
    smooth = np.exp(-(at**2) / (2 * SIGMA**2)) / (SIGMA * np.sqrt(2 * np.pi))
    slope = -at * smooth / SIGMA**2
    kernel = np.outer(smooth, slope)
    norm = np.sqrt((kernel**2).sum())

    def magnitude(values: Array) -> Array:
        sides = [
            ndimage.correlate1d(
                ndimage.correlate1d(values.astype(np.float64), one, axis=0, mode="nearest"),
                other,
                axis=1,
                mode="nearest",
            )
            for one, other in ((smooth, slope), (slope, smooth))
        ]
        return np.asarray(np.hypot(*sides) / norm)

    return float(((magnitude(alpha) - magnitude(truth)) ** 2).sum() / 1000)


def nobody(images: Tensor) -> Tensor:
    """Find no person anywhere: what a network must beat to have learnt anything."""
    return torch.zeros_like(images[:, :1])


def teachers(data: Path) -> Predict:
    """Return the teacher as a predictor."""
    teacher = Teacher(data)

    def predict(images: Tensor) -> Tensor:
        pixels = ((images.permute(0, 2, 3, 1).cpu().numpy() + 1) * 127.5 + 0.5).astype(np.uint8)
        return torch.from_numpy(np.stack([teacher.label(image) for image in pixels]))[:, None]

    return predict


def main() -> None:
    """Print the held-out figures."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--data", type=Path, help="where the teacher is, to judge it as well")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    judged: dict[str, Predict] = {"nobody": nobody}
    if arguments.data:
        judged["teacher"] = teachers(arguments.data)
    if arguments.checkpoint:
        judged[arguments.checkpoint.name] = load_student(arguments.checkpoint).eval().to(device)
    validation = Validation(
        load(arguments.pack, held_out=True),
        device,
        count=arguments.count,
        size=(arguments.side, arguments.side),
    )
    for name, predict in judged.items():
        figures = asdict(validation.measure(predict)[0])
        print(name, *(f"{key} {value:.4f}" for key, value in figures.items()), sep="  ")


if __name__ == "__main__":
    main()
