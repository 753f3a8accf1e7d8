"""What a network is really fed: its family's inputs for given images, states and all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fastmatte.arrays import Array, Size
from fastmatte.clock import Clock
from fastmatte.engines import ENGINES
from fastmatte.engines.recording import Recording
from fastmatte.models import Family, ModelSpec, choose_family
from fastmatte.models.family import COMMON_FRAME
from fastmatte.pipeline import Pipeline, colours_of
from fastmatte.proof import Sample


@dataclass(frozen=True)
class Observation:
    """One network fed with images of one size after its family's rules.

    size:      (height, width) of the network's input.
    constants: inputs that stay as they are, by name, such as a ratio.
    feeds:     all other inputs by name, one for each of the latest images.
    """

    family: Family
    size: Size
    constants: Mapping[str, Array]
    feeds: Sequence[Mapping[str, Array]]


def observe(
    spec: ModelSpec,
    samples: Sequence[Sample],
    *,
    threads: int,
    size: Size | None = None,
    kept: int = 1,
) -> Observation:
    """Feed a network with samples, as the frames of one video, in ONNX Runtime.

    spec: as for a Matter, of a file that is there.
    size: (height, width) of the network's input; None for what it sees of a 1080p frame.
    kept: how many feeds are kept: at full resolution each is tens of megabytes.

    Raises what a Matter raises for the model, and what the samples' readers raise.
    """
    path = Path(spec.path)
    engine = Recording(ENGINES["onnxruntime"].open(path, precision="fp32", threads=threads), kept)
    family, _ = choose_family(spec, engine.signature)
    size = size or family.input_size(engine.signature, spec, COMMON_FRAME)
    pipeline = Pipeline(engine, family, replace(spec, size=size), "fast", None, threads)
    size = pipeline.input_size(COMMON_FRAME)
    runner = pipeline.runner(size, COMMON_FRAME)
    # Once more, for the first run of a recurrent network has no state of full size yet.
    for sample in (*samples, samples[-1]):
        image = colours_of(sample.read(), "rgb")
        reader = sample.guides.get(family.guidance or "")
        trimap = reader() if reader and family.guidance == "trimap" else None
        plate = reader() if reader and family.guidance == "background" else None
        guidance = pipeline.guidance(trimap, plate, image.shape[:2], "rgb")
        pipeline.infer(runner, image, "rgb", guidance, Clock())
    last = engine.feeds[-1]
    return Observation(
        family,
        size,
        {name: last[name] for name in sorted(engine.constants)},
        # A recurrent network's first state may be of one pixel, which no other is.
        [
            {name: array for name, array in feed.items() if name not in engine.constants}
            for feed in engine.feeds
            if all(array.shape == last[name].shape for name, array in feed.items())
        ],
    )


__all__ = ["Observation", "observe"]
