"""The proof of an engine and a precision: its alpha against ONNX Runtime's in fp32."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from glob import escape
from pathlib import Path
from typing import Literal

import numpy as np

from fastmatte import kernels, metrics
from fastmatte.arrays import Image, Size
from fastmatte.engines import COMPILERS, EngineName, Precision
from fastmatte.engines.engine_file import SUFFIX
from fastmatte.errors import FastmatteError, ImageError, ModelError
from fastmatte.matter import Matter, MatterInfo
from fastmatte.models import ModelSpec
from fastmatte.models.family import COMMON_FRAME, Mode
from fastmatte.models.store import resolve
from fastmatte.origin import origin_of, sha256_of
from fastmatte.portraits import Sitter
from fastmatte.refine import Refine

__all__ = ["TOLERANCE", "CheckReport", "Deviation", "Sample", "check", "samples_of"]

#: Sizes and frames of what is drawn where nobody brings samples: landscape, portrait, large, odd.
BUILT_IN: tuple[tuple[Size, int], ...] = (
    ((480, 640), 3),
    ((640, 360), 2),
    ((720, 1280), 1),
    ((251, 333), 2),
)
#: One level of 255 on average. On photographs of people the worst sample of real networks was ten
#: thousand times below it in OpenVINO's fp32. In its bf16 MediaPipe's, PP-HumanSeg and MMNet were
#: within, CSNet was twice above, and RVM, which solves for lines along edges, four times.
TOLERANCE = 1 / 255
#: A network that finds nothing gives alpha that varies less than this.
LEAST_CONTRAST = 0.1

_REFERENCE: tuple[EngineName, Precision] = ("onnxruntime", "fp32")

Path_ = str | os.PathLike[str]


@dataclass(frozen=True)
class Sample:
    """An image to check on; read() gives (H, W, 3) uint8.

    guides: read what else there is of it, by what a network may need: "trimap" and "background".
    """

    name: str
    read: Callable[[], Image]
    guides: Mapping[str, Callable[[], Image]] = field(default_factory=dict)


Samples = Path_ | Sequence[Path_ | Image | Sample] | None


@dataclass(frozen=True)
class Deviation:
    """How far the alpha of one sample is from ONNX Runtime's.

    maximum, mean: of the absolute difference, alpha in [0, 1].
    sad:           its sum, in thousands.
    """

    sample: str
    size: Size
    maximum: float
    mean: float
    sad: float


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    matter, reference:   what really ran, and what it was held against.
    deviations: of each sample, in their order, up to one whose output was no alpha.
    failure:    what was wrong with that output, or None.
    """

    matter: MatterInfo
    reference: MatterInfo
    deviations: tuple[Deviation, ...]
    tolerance: float
    failure: str | None

    @property
    def maximum(self) -> float:
        """The largest difference at any pixel."""
        return max((d.maximum for d in self.deviations), default=0.0)

    @property
    def mean(self) -> float:
        """The mean difference of the worst sample: what the tolerance is for."""
        return max((d.mean for d in self.deviations), default=0.0)

    @property
    def sad(self) -> float:
        """The largest sum of differences of any sample, in thousands."""
        return max((d.sad for d in self.deviations), default=0.0)

    @property
    def passed(self) -> bool:
        """Whether every output was an alpha and no sample's mean is above the tolerance."""
        return self.failure is None and self.mean <= self.tolerance


def check(
    model: str | Path | ModelSpec,
    *,
    engine: EngineName = "auto",
    precision: Precision = "auto",
    samples: Samples = None,
    tolerance: float = TOLERANCE,
    family: str | None = None,
    mode: Mode = "fast",
    size: Size | None = None,
    refine: Literal["guided", "none"] | Refine = "guided",
    threads: int | None = None,
    device: int | str | None = None,
    reference: str | Path | ModelSpec | None = None,
    advance: Callable[[], None] = lambda: None,
) -> CheckReport:
    """Hold the alpha of an engine and precision against that of ONNX Runtime in fp32.

    model, engine, precision, family, mode, size, refine, threads, device: as for a Matter.
    samples:   a folder of images, or images: paths or (H, W, 3) uint8. They are the frames of one
               video, for networks that remember. None for portraits drawn by fastmatte, moving, of
               several sizes. A network that needs a trimap or the background is given the file
               beside each that ends in _trimap or _bg instead of _image.
    tolerance: the largest mean deviation of a sample that passes, in [0, 1].
    reference: the network it is held against, where model was made of another; None for itself,
               which an engine file cannot be.
    advance:   called after each sample.

    Returns the report. Raises what a Matter raises; ValueError for a bad tolerance; OSError, and
    ImageError naming the file, for a sample that cannot be read; FastmatteError for no samples, and
    for samples that prove nothing because ONNX Runtime's alpha is the same all over each.
    """
    if not 0 <= tolerance <= 1:
        raise ValueError(f"tolerance: expected 0 to 1, got {tolerance!r}")
    found = samples_of(samples)
    _require_reference(model, reference)

    def load(
        network: str | Path | ModelSpec,
        name: EngineName,
        kind: Precision,
        where: int | str | None = None,
    ) -> Matter:
        return Matter(
            network,
            engine=name,
            precision=kind,
            family=family,
            mode=mode,
            size=size,
            refine=refine,
            threads=threads,
            device=where,
        )

    matter = load(model, engine, precision, device)
    if matter.info.engine in COMPILERS:
        # Built for one size, at which the other has to see frames as well.
        size = matter.input_size(COMMON_FRAME)
    right = load(model if reference is None else reference, *_REFERENCE)
    deviations: list[Deviation] = []
    failure, contrast = None, 0.0
    with matter.stream() as stream, right.stream() as truths:
        for sample in found:
            image = sample.read()
            guide = sample.guides.get(matter.guidance or "")
            guidance = {} if guide is None else {str(matter.guidance): guide()}
            truth = truths(image, **guidance).alpha
            contrast = max(contrast, float(truth.max() - truth.min()))
            try:
                alpha = stream(image, **guidance).alpha
            except ModelError as error:
                failure = f"{sample.name}: {error}"
                break
            deviations.append(
                Deviation(
                    sample.name,
                    truth.shape,
                    maximum=float(np.abs(alpha - truth).max()),
                    mean=metrics.mad(alpha, truth, threads=threads),
                    sad=metrics.sad(alpha, truth, threads=threads),
                )
            )
            advance()
    if failure is None and contrast < LEAST_CONTRAST:
        raise FastmatteError(
            f"{right.info.model}: these samples prove nothing, for ONNX Runtime's alpha is the "
            f"same all over each of them: name photographs of what the network is for"
        )
    return CheckReport(
        matter.info,
        right.info,
        tuple(deviations),
        tolerance,
        failure,
    )


def _require_reference(
    model: str | Path | ModelSpec, reference: str | Path | ModelSpec | None
) -> None:
    """Raise ValueError where a built file would not be held against what it was built of."""
    path = Path(model.path if isinstance(model, ModelSpec) else model)
    if reference is None and path.suffix == SUFFIX:
        raise ValueError(f"reference: expected the ONNX file that {path} was built of, got none")
    if reference is None or not path.is_file():
        return
    origin, right = origin_of(path), Path(resolve(reference)[0].path)
    if origin is not None and sha256_of(right) != origin.model_sha256:
        raise ValueError(f"reference: expected the file that {path} was built of, got {right}")


def samples_of(samples: Samples) -> list[Sample]:
    """Return what check() would check on; no file is read.

    Raises OSError for a folder that is not there, FastmatteError for one without images.
    """
    if samples is None:
        return [
            Sample(f"portrait {k}.{i}", partial(_drawn, sitter, i), _drawn_guides(sitter, i))
            for k, (sitter, count) in enumerate(
                (Sitter(size, seed=k), count) for k, (size, count) in enumerate(BUILT_IN)
            )
            for i in range(count)
        ]
    if isinstance(samples, (str, os.PathLike)):
        path = Path(samples)
        if not path.is_dir():
            return [_of_file(path)]
        from fastmatte import evaluation  # loads Pillow

        return [_of_file(file) for file in evaluation.files_of(path, "image").values()]
    if not len(samples):
        raise FastmatteError("samples: expected at least one image, got none")
    return [_sample(item, i) for i, item in enumerate(samples)]


def _sample(item: Path_ | Image | Sample, i: int) -> Sample:
    if isinstance(item, Sample):
        return item
    if isinstance(item, (str, os.PathLike)):
        return _of_file(Path(item))
    return Sample(f"image {i}", lambda: item)


def _of_file(path: Path) -> Sample:
    from fastmatte import evaluation, images  # loads Pillow

    name = path.stem.removesuffix(evaluation.ENDINGS["image"])
    readers = {"trimap": _read_trimap, "background": _read}
    guides = {
        kind: partial(read, file)
        for kind, read in readers.items()
        for file in path.parent.glob(f"{escape(name + evaluation.ENDINGS[kind])}.*")
        if file.suffix.lower() in images.READABLE_SUFFIXES
    }
    return Sample(str(path), partial(_read, path), guides)


def _read(path: Path) -> Image:
    from fastmatte import images  # loads Pillow

    try:
        return images.read(path).over(images.WHITE)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def _read_trimap(path: Path) -> Image:
    from fastmatte import images  # loads Pillow

    try:
        return images.read_alpha(path)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def _drawn_guides(sitter: Sitter, i: int) -> dict[str, Callable[[], Image]]:
    def trimap() -> Image:
        return kernels.trimap(sitter.frame(i).alpha, radius=max(1, min(sitter.size) // 50))

    return {"trimap": trimap, "background": lambda: sitter.background}


def _drawn(sitter: Sitter, i: int) -> Image:
    return sitter.frame(i).image
