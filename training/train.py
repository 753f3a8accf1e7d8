"""Train the student: one command, resumable to the step, on a CPU or a GPU."""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from training.compose import BUSTS, Batch, Composer, Steps, contact_sheet
from training.data import load
from training.export import load as load_network
from training.losses import Weights, loss
from training.network import NAMES, Network, Portrait, build
from training.selfie import load_published
from training.validate import Predict, Validation

CHECKPOINT = "last.pt"
BEST = "best.pt"
LOG = "log.csv"
CURVES = "curves.png"
PARTS = ("trunk", "detail", "whole")
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Settings:
    """What a run is; stored in its checkpoints, and a resumed run keeps it.

    part: what of a Portrait is trained. "trunk" alone, by images of the size that the trunk sees;
          "detail" with the trunk as it is; or the "whole".
    published_rate: the rate of weights that were published, relative to that of new ones; 0 leaves
          them as they are.
    precision: of forward and backward passes. "bf16" takes six tenths of the time on a processor
          with bfloat16 instructions, and is much slower on one without.
    """

    network: str = "portrait"
    part: str = "whole"
    precision: str = "bf16" if torch.cuda.is_available() else "fp32"
    steps: int = 60_000
    batch: int = 32
    sizes: tuple[tuple[int, int], ...] = ((256, 256), (192, 320), (320, 224))
    rate: float = 1e-3
    published_rate: float = 0.2
    weight_decay: float = 0.01
    warmup: int = 500
    #: Weight of the newest student in the average, once the average has warmed up.
    average: float = 0.001
    #: The share of people who are cut out by the teacher's word.
    busts: float = BUSTS
    certainty: float = Weights.certainty
    pyramid: float = Weights.pyramid
    gradient: float = Weights.gradient
    magnitude: float = Weights.magnitude
    soft: float = Weights.soft
    seed: int = 1


def rate_at(step: int, settings: Settings) -> float:
    """Return the learning rate: a linear rise, then half a cosine down to a hundredth."""
    if step < settings.warmup:
        return settings.rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return settings.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1))))


def loss_of(network: Network, batch: Batch, settings: Settings) -> Tensor:
    """Return the whole loss of a batch."""
    weights = Weights(
        settings.certainty,
        settings.pyramid,
        settings.gradient,
        settings.magnitude,
        settings.soft,
    )
    image = batch.image.contiguous(memory_format=torch.channels_last)
    if isinstance(network, Portrait) and settings.part == "trunk":
        return loss(network.look(image)[2].float(), batch.alpha, batch.soft, weights)
    if isinstance(network, Portrait) and settings.part == "detail":
        with torch.no_grad():
            seen = network.look(functional.avg_pool2d(image, 2))
        return _loss(network.correct(image, seen), batch, weights)
    found, coarse = network.logits(image)
    return _loss(found, batch, weights) + 0.5 * _loss(coarse, batch, weights)


def _loss(logits: Tensor, batch: Batch, weights: Weights) -> Tensor:
    """Return the loss of alpha at the size at which a network finds it."""
    ratio = batch.alpha.shape[3] // logits.shape[3]
    alpha = functional.avg_pool2d(batch.alpha, ratio) if ratio > 1 else batch.alpha
    return loss(logits.float(), alpha, batch.soft, weights)


def predictor(network: Network, settings: Settings) -> Predict:
    """Return what the trained part of a network predicts."""
    if isinstance(network, Portrait) and settings.part == "trunk":
        return lambda image: torch.sigmoid(network.look(image)[2])
    return network


def groups_of(network: Network, settings: Settings) -> list[dict[str, object]]:
    """Return the optimiser's groups: new weights, and published ones, which move less."""
    if not isinstance(network, Portrait):
        return [{"params": list(network.parameters()), "share": 1.0}]
    trunk = dict(network.trunk.named_parameters())
    added = [weight for name, weight in trunk.items() if name.startswith("added.")]
    published = [weight for name, weight in trunk.items() if not name.startswith("added.")]
    inside = {id(weight) for weight in trunk.values()}
    detail = [weight for weight in network.parameters() if id(weight) not in inside]
    if settings.part == "detail":
        return [{"params": detail, "share": 1.0}]
    new = added if settings.part == "trunk" else added + detail
    if not settings.published_rate:
        for weight in published:
            weight.requires_grad_(False)
        return [{"params": new, "share": 1.0}]
    return [
        {"params": new, "share": 1.0},
        {"params": published, "share": settings.published_rate},
    ]


class Run:
    """A training run in a folder."""

    def __init__(self, folder: Path, settings: Settings, device: torch.device) -> None:
        self.folder, self.settings, self.device = folder, settings, device
        torch.manual_seed(settings.seed)
        self.student = build(settings.network).to(device)
        # On a CPU a step takes two thirds of the time in this layout.
        self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = build(settings.network).to(device)
        self.average.load_state_dict(self.student.state_dict())
        self.average.eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            groups_of(self.student, settings), lr=settings.rate, weight_decay=settings.weight_decay
        )
        self.step = 0
        self.best = math.inf

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Start with these weights instead of random ones."""
        for network in (self.student, self.average):
            network.load_state_dict(weights)

    def advance(self, batch: Batch) -> float:
        """Make one step; returns the loss."""
        settings = self.settings
        batch = batch.to(self.device)
        self.student.train()
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.step, settings) * group["share"]
        narrow = settings.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=narrow):
            total = loss_of(self.student, batch, settings)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
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
        return float(total.detach())

    def save(self, name: str = CHECKPOINT) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            "settings": asdict(self.settings),
            "network": self.settings.network,
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
    run: Run,
    pack: Path,
    *,
    minutes: float,
    until: int,
    every: int,
    validation_count: int,
    validation_side: int,
    workers: int,
) -> None:
    """Train until a step or the time is over, validating and saving every so often."""
    settings = run.settings
    last = min(until, settings.steps)
    composer = Composer(load(pack, held_out=False), seed=settings.seed, busts=settings.busts)
    steps = Steps(composer, settings.batch, settings.sizes, settings.steps)
    batches = iter(
        DataLoader(
            steps,
            batch_size=None,
            sampler=range(run.step, last),
            num_workers=workers,
            prefetch_factor=8 if workers else None,
        )
    )
    size = (validation_side, validation_side)
    validation = Validation(
        load(pack, held_out=True), run.device, count=validation_count, size=size
    )
    run.folder.mkdir(parents=True, exist_ok=True)
    start, losses = time.monotonic(), []
    while run.step < last:
        losses.append(run.advance(next(batches)))
        over = time.monotonic() - start > minutes * 60
        if run.step % every and run.step < last and not over:
            continue
        figures, shown = validation.measure(predictor(run.average, settings))
        row = {
            "step": run.step,
            "seconds": round(time.monotonic() - start, 1),
            "rate": rate_at(run.step - 1, settings),
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


def size_of(text: str) -> tuple[int, int]:
    """Parse HxW."""
    height, width = text.split("x")
    return int(height), int(width)


def main() -> None:
    """Train, or go on where the run in the folder stopped."""
    parser = argparse.ArgumentParser(
        description=main.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--pack", type=Path, required=True, help="from training.prepare")
    parser.add_argument("--run", type=Path, required=True, help="folder; resumed where it exists")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this long")
    parser.add_argument("--until", type=int, default=sys.maxsize, help="stop after this step")
    parser.add_argument("--every", type=int, default=1000, help="steps between validations")
    parser.add_argument("--validation-count", type=int, default=256)
    parser.add_argument("--validation-side", type=int, default=256)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--threads", type=int, default=1, help="of torch, on a CPU")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--data", type=Path, help="start a portrait's trunk as published")
    start.add_argument("--start", type=Path, help="start from this checkpoint's average")
    for field in fields(Settings):
        choices = {"network": NAMES, "part": PARTS, "precision": PRECISIONS}.get(field.name)
        if field.name == "sizes":
            parser.add_argument(
                "--sizes", type=size_of, nargs="+", default=Settings.sizes, metavar="HxW"
            )
        else:
            value = getattr(Settings, field.name)
            parser.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=type(value),
                default=value,
                choices=choices,
            )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    if (arguments.run / CHECKPOINT).exists():
        run = Run.resumed(arguments.run, device)
        print(f"resumed at step {run.step} with {run.settings}")
    else:
        given = {field.name: getattr(arguments, field.name) for field in fields(Settings)}
        given["sizes"] = tuple(given["sizes"])
        run = Run(arguments.run, Settings(**given), device)
        if arguments.start:
            run.start_from(load_network(arguments.start).state_dict())
        elif arguments.data and isinstance(run.student, Portrait):
            load_published(run.student.trunk, arguments.data)
            run.start_from(run.student.state_dict())
    train(
        run,
        arguments.pack,
        minutes=arguments.minutes,
        until=arguments.until,
        every=arguments.every,
        validation_count=arguments.validation_count,
        validation_side=arguments.validation_side,
        workers=arguments.workers,
    )


if __name__ == "__main__":
    main()
