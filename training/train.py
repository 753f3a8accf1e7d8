"""Train the student: one command, resumable to the step, on a CPU or a GPU."""

from __future__ import annotations

import argparse
import csv
import math
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.compose import Batch, Composer, contact_sheet
from training.data import load
from training.network import SHAPES, Student
from training.validate import Validation

CHECKPOINT = "last.pt"
BEST = "best.pt"
LOG = "log.csv"
CURVES = "curves.png"


@dataclass(frozen=True)
class Settings:
    """What a run is; stored in its checkpoints, and a resumed run keeps it."""

    shape: str = "large"
    steps: int = 60_000
    batch: int = 32
    sides: tuple[int, ...] = (192, 256, 320)
    rate: float = 2e-3
    weight_decay: float = 0.01
    warmup: int = 1000
    #: Weight of the newest student in the average, once the average has warmed up.
    average: float = 0.001
    #: What the loss adds up, relative to the distance of alpha itself.
    pyramid: float = 0.5
    gradient: float = 1.0
    coarse: float = 0.5
    soft: float = 0.5
    flip: float = 0.1
    seed: int = 1


def rate_at(step: int, settings: Settings) -> float:
    """Return the learning rate: a linear rise, then half a cosine down to a hundredth."""
    if step < settings.warmup:
        return settings.rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return settings.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1))))


def edges(alpha: Tensor) -> Tensor:
    """Return 1 where alpha changes nearby, (N, 1, H, W): the unknown band."""
    side = max(3, alpha.shape[-1] // 24) | 1
    high = functional.max_pool2d(alpha, side, 1, side // 2)
    low = -functional.max_pool2d(-alpha, side, 1, side // 2)
    return (high - low > 0.05).float()


def _weighted(error: Tensor, weight: Tensor) -> Tensor:
    return (error * weight).sum() / weight.sum().clamp(min=1)


def exact_loss(alpha: Tensor, truth: Tensor, settings: Settings) -> Tensor:
    """Return the loss where alpha is known: all over, more at edges, at all scales, in slopes."""
    band = edges(truth)
    loss = _weighted((alpha - truth).abs(), 1 + 2 * band)
    error, pyramid = alpha - truth, alpha.new_zeros(())
    for level in range(4):
        smaller = functional.avg_pool2d(error, 2)
        detail = error - functional.interpolate(smaller, scale_factor=2.0, mode="nearest")
        pyramid = pyramid + 2**level * detail.abs().mean()
        error = smaller
    slopes = sum(
        _weighted((alpha - truth).diff(dim=dim).abs(), band.narrow(dim, 1, band.shape[dim] - 1))
        for dim in (2, 3)
    )
    return loss + settings.pyramid * pyramid + settings.gradient * slopes


def soft_loss(alpha: Tensor, label: Tensor) -> Tensor:
    """Return the loss against the teacher, away from its edges and where it is sure."""
    sure = (2 * label - 1).abs() * (1 - edges((label > 0.5).float()))
    return _weighted((alpha - label).abs(), sure)


def loss_of(student: Student, batch: Batch, settings: Settings, *, flip: bool) -> Tensor:
    """Return the whole loss of a batch."""
    image = batch.image.contiguous(memory_format=torch.channels_last)
    full, coarse = student.logits(image)
    alpha, coarse = torch.sigmoid(full.float()), torch.sigmoid(coarse.float())
    small = functional.avg_pool2d(batch.alpha, 4)
    exact, soft = ~batch.soft, batch.soft
    loss = alpha.new_zeros(())
    if exact.any():
        loss = loss + exact_loss(alpha[exact], batch.alpha[exact], settings)
        loss = loss + settings.coarse * (coarse[exact] - small[exact]).abs().mean()
    if soft.any():
        loss = loss + settings.soft * soft_loss(alpha[soft], batch.alpha[soft])
        loss = loss + settings.soft * settings.coarse * soft_loss(coarse[soft], small[soft])
    if flip and settings.flip:
        mirrored, _ = student.logits(image.flip(3))
        loss = loss + settings.flip * (alpha - torch.sigmoid(mirrored.float()).flip(3)).abs().mean()
    return loss


class Run:
    """A training run in a folder."""

    def __init__(self, folder: Path, settings: Settings, device: torch.device) -> None:
        self.folder, self.settings, self.device = folder, settings, device
        torch.manual_seed(settings.seed)
        # A step takes 0.26 s in this layout, 0.37 s in the other (batch 12, 160 px, one thread).
        self.student = Student(SHAPES[settings.shape]).to(device)
        # A step on a CPU takes 0.26 s in this layout, 0.37 s in the other.
        self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Student(SHAPES[settings.shape]).to(device)
        self.average.load_state_dict(self.student.state_dict())
        self.average.eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self.student.parameters(), lr=settings.rate, weight_decay=settings.weight_decay
        )
        self.step = 0
        self.best = math.inf

    def advance(self, composer: Composer) -> float:
        """Make one step; returns the loss."""
        settings = self.settings
        # A step's size follows from its number alone, as its images do: resuming changes nothing.
        side = settings.sides[(self.step * 7 + self.step // 5) % len(settings.sides)]
        batch = composer.batch(self.step, settings.batch, side)
        self.student.train()
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.step, settings)
        on_gpu = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=on_gpu):
            loss = loss_of(self.student, batch, settings, flip=self.step % 4 == 0)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimiser.step()
        # Young averages forget faster: the first students are not worth remembering.
        share = max(settings.average, 1 / (self.step / 4 + 1))
        with torch.no_grad():
            pairs = zip(
                self.average.state_dict().values(), self.student.state_dict().values(), strict=True
            )
            for mean, newest in pairs:
                if mean.is_floating_point():
                    mean.lerp_(newest, share)
                else:
                    mean.copy_(newest)
        self.step += 1
        return float(loss.detach())

    def save(self, name: str = CHECKPOINT) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            "settings": asdict(self.settings),
            "shape": self.settings.shape,
            "step": self.step,
            "best": self.best,
            "student": self.student.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f"{name}.part"
        torch.save(state, unfinished)
        unfinished.replace(self.folder / name)

    @classmethod
    def resumed(cls, folder: Path, device: torch.device) -> Run:
        """Return the run as its last checkpoint left it."""
        state = torch.load(folder / CHECKPOINT, map_location=device, weights_only=True)
        run = cls(folder, Settings(**state["settings"]), device)
        run.student.load_state_dict(state["student"])
        run.average.load_state_dict(state["average"])
        run.optimiser.load_state_dict(state["optimiser"])
        run.step, run.best = state["step"], state["best"]
        return run


def write_row(path: Path, row: dict[str, float]) -> None:
    """Append a row to the log, dropping rows of steps that a resumed run does again."""
    rows: list[dict[str, str]] = []
    if path.exists():
        with path.open(newline="") as file:
            rows = [old for old in csv.DictReader(file) if int(old["step"]) < row["step"]]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerows([*rows, row])


def draw_curves(log: Path, out: Path) -> None:
    """Draw every column of the log over the steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("step", "seconds")]
    figure, axes = pyplot.subplots(1, len(names), figsize=(4 * len(names), 3))
    for name, axis in zip(names, axes, strict=True):
        axis.plot([int(row["step"]) for row in rows], [float(row[name]) for row in rows])
        axis.set_title(name)
        axis.set_yscale("log" if name != "rate" else "linear")
    figure.tight_layout()
    figure.savefig(out, dpi=100)
    pyplot.close(figure)


def train(
    run: Run, pack: Path, *, minutes: float, every: int, validation_count: int, validation_side: int
) -> None:
    """Train until the last step or the time is over, validating and saving every so often."""
    composer = Composer(load(pack, held_out=False), run.device, seed=run.settings.seed)
    validation = Validation(
        load(pack, held_out=True), run.device, count=validation_count, side=validation_side
    )
    run.folder.mkdir(parents=True, exist_ok=True)
    start, losses = time.monotonic(), []
    while run.step < run.settings.steps:
        losses.append(run.advance(composer))
        over = time.monotonic() - start > minutes * 60
        if run.step % every and run.step < run.settings.steps and not over:
            continue
        figures, shown = validation.measure(run.average)
        row = {
            "step": run.step,
            "seconds": round(time.monotonic() - start, 1),
            "rate": rate_at(run.step - 1, run.settings),
            "loss": sum(losses) / len(losses),
            **asdict(figures),
        }
        print("  ".join(f"{name} {value:.5g}" for name, value in row.items()), flush=True)
        write_row(run.folder / LOG, row)
        draw_curves(run.folder / LOG, run.folder / CURVES)
        contact_sheet(shown, 4).save(run.folder / "validation.png")
        if figures.mad < run.best:
            run.best = figures.mad
            run.save(BEST)
        run.save()
        losses.clear()
        if over:
            break


def main() -> None:
    """Train, or go on where the run in the folder stopped."""
    parser = argparse.ArgumentParser(
        description=main.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--pack", type=Path, required=True, help="from training.prepare")
    parser.add_argument("--run", type=Path, required=True, help="folder; resumed where it exists")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this long")
    parser.add_argument("--every", type=int, default=1000, help="steps between validations")
    parser.add_argument("--validation-count", type=int, default=256)
    parser.add_argument("--validation-side", type=int, default=256)
    for field in fields(Settings):
        if field.name == "sides":
            parser.add_argument("--sides", type=int, nargs="+", default=list(Settings.sides))
        else:
            value = getattr(Settings, field.name)
            parser.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=type(value),
                default=value,
                choices=sorted(SHAPES) if field.name == "shape" else None,
            )
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if (arguments.run / CHECKPOINT).exists():
        run = Run.resumed(arguments.run, device)
        print(f"resumed at step {run.step} with {run.settings}")
    else:
        given = {field.name: getattr(arguments, field.name) for field in fields(Settings)}
        given["sides"] = tuple(given["sides"])
        run = Run(arguments.run, Settings(**given), device)
    train(
        run,
        arguments.pack,
        minutes=arguments.minutes,
        every=arguments.every,
        validation_count=arguments.validation_count,
        validation_side=arguments.validation_side,
    )


if __name__ == "__main__":
    main()
