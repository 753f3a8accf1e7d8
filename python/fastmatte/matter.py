"""Matter: a matting network made ready, from image to Matte."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from fastmatte import _core, cpu, kernels
from fastmatte.arrays import Alpha, AnyAlpha, Image, PixelFormat, Size
from fastmatte.buffers import Buffers
from fastmatte.clock import Clock
from fastmatte.engines import EngineName, Precision, Signature, open_engine
from fastmatte.graph import require_external_data_inside
from fastmatte.guidance import Guidance
from fastmatte.matte import Matte
from fastmatte.models import Commercial, KnownModel, ModelSpec, choose_family
from fastmatte.models.family import Mode, Normalisation, Runner
from fastmatte.models.store import recognised, require_commercial, resolve
from fastmatte.pipeline import Pipeline, colour_order, colours_of
from fastmatte.refine import Refine
from fastmatte.stream import Stream

#: Runners kept for the next call. Each holds the tensors of one input size; photographs of ever new
#: sizes through a network that takes any size would otherwise keep memory for all of them.
MAX_IDLE_RUNNERS = 8


@dataclass(frozen=True)
class MatterInfo:
    """What really runs.

    licence:       of the weights, None for a file that the catalogue does not know.
    commercial:    whether they may be used commercially: "yes", "no" or "unclear".
    family_reason: what in the graph showed its family.
    guidance:      what the network needs besides an image: "trimap", "background" or None.
    sizes:         at which it sees frames, in words.
    normalisation: what becomes of pixels: (pixel * scale - mean) / std.
    engine_reason: why it is this engine: what those said that "auto" prefers.
    input_shape:   of the graph's first input; None where it follows the frame.
    notes:         what one should know who expected something else, one sentence each.
    """

    model: str
    model_sha256: str
    licence: str | None
    commercial: Commercial | None
    family: str
    family_reason: str
    guidance: Guidance | None
    sizes: str
    normalisation: Normalisation
    mode: Mode
    engine: str
    engine_reason: str
    engine_version: str
    device: str
    precision: str
    input_shape: tuple[int | None, ...]
    refine: Refine | None
    threads: int
    isa: str
    notes: tuple[str, ...]


class Matter:
    """A matting network made ready. One Matter may be called from several threads at once.

    model:     path of an ONNX file, the name of a known model that is on this machine
               (fastmatte.models.known(), pull()), or a ModelSpec that says by hand how to feed it.
    family:    one of fastmatte.models.FAMILIES; None recognises it from the graph.
    engine:    "onnxruntime" or "openvino"; "auto" for the first that is installed and can load the
               model: OpenVINO, then ONNX Runtime.
    precision: "fp32", also for "auto"; "bf16" or "fp16" for what fm.check proved good enough, on
               OpenVINO and where the processor has instructions for it.
    size:      (height, width) of the network's input; None for the family's own rule.
    refine:    "guided" for full-resolution edges along the frame's own, "none" for plain
               interpolation, or a Refine with its parameters. Nothing is refined where the network
               gives alpha of the frame's size.
    threads:   how many threads network and kernels may use; None for one per processor.
    commercial_only: refuse weights that are not known to be free for commercial use. A file of the
               user's own is known by its hash.
    mode:      "fast" for what serves the alpha best; "reference" for what the network's authors do
               in their own script, to the last rounding, refine left aside.

    Nothing is ever downloaded here. Raises ValueError and TypeError for bad arguments, ModelError
    for a file that is missing, broken, refused or of no known family, EngineError for an engine
    that is not installed.
    """

    def __init__(
        self,
        model: str | Path | ModelSpec,
        *,
        family: str | None = None,
        engine: EngineName = "auto",
        precision: Precision = "auto",
        size: Size | None = None,
        refine: Literal["guided", "none"] | Refine = "guided",
        threads: int | None = None,
        commercial_only: bool = False,
        mode: Mode = "fast",
    ) -> None:
        chosen_refine = _refine_of(refine)
        if mode not in ("fast", "reference"):
            raise ValueError(f"mode: expected 'fast' or 'reference', got {mode!r}")
        threads = _threads_of(threads)
        spec, self._known = _spec_of(model, family, size)
        path = Path(spec.path)
        if commercial_only:
            require_commercial(path, self._known or recognised(_sha256_of(path)))
        require_external_data_inside(path)
        opened, self._engine_reason = open_engine(
            path, engine=engine, precision=precision, threads=threads
        )
        family_found, self._reason = choose_family(spec, opened.signature)
        if mode == "reference":
            chosen_refine = None
        self._pipeline = Pipeline(opened, family_found, spec, mode, chosen_refine, threads)
        # A size the graph cannot take is reported here, not by the first frame.
        self._pipeline.input_size((1, 1))
        self._idle: list[tuple[Size, Runner]] = []
        self._lock = threading.Lock()
        if self._known is not None and family is None:
            along = self._known.comes_along
            self._reason = "comes with fastmatte" if along else "from the catalogue"

    def __repr__(self) -> str:
        engine, pipeline = self._pipeline.engine, self._pipeline
        return (
            f"<Matter {Path(pipeline.spec.path).name}: {pipeline.family.name} on {engine.name} "
            f"{engine.version}, {engine.device}, {engine.precision}>"
        )

    @cached_property
    def _sha256(self) -> str:
        return _sha256_of(Path(self._pipeline.spec.path))

    @property
    def signature(self) -> Signature:
        """All inputs and outputs of the graph."""
        return self._pipeline.engine.signature

    @property
    def guidance(self) -> Guidance | None:
        """What the network needs besides an image: "trimap", "background" or None."""
        return self._pipeline.family.guidance

    @property
    def info(self) -> MatterInfo:
        """What really runs: engine, device, precision, input shape, family, hash of the file."""
        pipeline, engine = self._pipeline, self._pipeline.engine
        shape = engine.signature.inputs[0].shape
        known = self._known or recognised(self._sha256)
        return MatterInfo(
            model=str(pipeline.spec.path),
            model_sha256=self._sha256,
            licence=None if known is None else known.licence,
            commercial=None if known is None else known.commercial,
            family=pipeline.family.name,
            family_reason=self._reason,
            guidance=self.guidance,
            sizes=_sizes_of(pipeline),
            normalisation=pipeline.family.normalisation.overridden_by(pipeline.spec),
            mode=pipeline.mode,
            engine=engine.name,
            engine_reason=self._engine_reason,
            engine_version=engine.version,
            device=engine.device,
            precision=engine.precision,
            input_shape=tuple(side if isinstance(side, int) else None for side in shape),
            refine=pipeline.refine,
            threads=pipeline.threads,
            isa=cpu.active(),
            notes=tuple(_notes_on(pipeline)),
        )

    def __call__(
        self,
        image: Image,
        *,
        trimap: Image | None = None,
        background: Image | None = None,
        pixel_format: PixelFormat = "rgb",
    ) -> Matte:
        """Return the matte of one image.

        image:        (H, W, 3) uint8, or (H, W, 4) for "rgba" and "bgra", whose fourth channel is
                      left out. The Matte keeps it, so do not change it while the Matte is in use.
        trimap:       (H, W) uint8 of 0 (background), 128 (unknown) and 255 (foreground), for
                      networks that need one; alpha is 0 and 1 where it says so.
        background:   the scene without its subject, like image, for networks that need it.
        pixel_format: order of the image's channels, and of all colours the Matte takes and gives.

        Raises TypeError and ValueError where image is not what pixel_format says, or where trimap
        or background is missing, unfit or not for this network; ModelError where the network's
        output is no alpha, EngineError where the engine failed.
        """
        order = colour_order(pixel_format)
        colours = colours_of(image, pixel_format)
        buffers = Buffers(colours.shape[:2])
        guidance = self._pipeline.guidance(trimap, background, buffers.size, pixel_format)
        alpha: Alpha = buffers.get("alpha", np.float32)
        with self._runner(buffers.size) as runner:
            self._pipeline.run(runner, colours, order, guidance, alpha, Clock())
            own, tensor = None, runner.foreground
            if tensor is not None and tensor.shape[2:] == alpha.shape:
                # Taken now: the runner's tensors serve the next call.
                own = kernels.from_tensor(
                    tensor, pixel_format=order, threads=self._pipeline.threads
                )
        return Matte(colours, alpha, buffers, foreground=own, threads=self._pipeline.threads)

    def alpha(
        self,
        image: Image,
        *,
        trimap: Image | None = None,
        background: Image | None = None,
        pixel_format: PixelFormat = "rgb",
        out: AnyAlpha | None = None,
    ) -> AnyAlpha:
        """Return the alpha of one image: the shortest way, without memory of its own.

        image, trimap, background, pixel_format: as for calling the Matter.
        out: (H, W) float32 for alpha in [0, 1] or uint8 for 255ths, rounded half up; None for a
             new float32 array.

        After the first image of a size nothing of an image's size is allocated where out is given,
        but for guidance, and not in mode "reference".
        Raises as calling the Matter does, and ValueError or TypeError for an out that does not fit.
        """
        order = colour_order(pixel_format)
        colours = colours_of(image, pixel_format)
        size = colours.shape[:2]
        guidance = self._pipeline.guidance(trimap, background, size, pixel_format)
        if out is None:
            out = np.empty(size, np.float32)
        else:
            _core.require_alpha_out(out, *size)
        with self._runner(size) as runner:
            self._pipeline.run(runner, colours, order, guidance, out, Clock())
        return out

    def stream(
        self,
        *,
        background: Image | None = None,
        pixel_format: PixelFormat = "rgb",
        cuts: Literal["reset", "ignore"] = "reset",
    ) -> Stream:
        """Return a Stream for the frames of one video or camera, in order.

        background:   the scene without its subject, for networks that need it, kept and not copied;
                      a frame may bring a newer one.
        pixel_format: order of the frames' channels, and of all colours their mattes take and give.
        cuts:         "reset" makes networks with recurrent state forget earlier frames where a shot
                      ends, as seen in how levels are spread; "ignore" leaves that to reset().
        """
        return Stream(self._pipeline, pixel_format, background, cuts)

    @contextmanager
    def _runner(self, frame: Size) -> Iterator[Runner]:
        """Lend a runner that nobody else is using, without memory of earlier images."""
        size = self._pipeline.input_size(frame)
        with self._lock:
            found = next((i for i, (s, _) in enumerate(self._idle) if s == size), None)
            runner = None if found is None else self._idle.pop(found)[1]
        runner = runner or self._pipeline.runner(size, frame)
        runner.reset()
        yield runner
        # One that failed is not reached here: whatever state it is in goes with it.
        with self._lock:
            self._idle.append((size, runner))
            latest_first = dict.fromkeys(size for size, _ in reversed(self._idle))
            kept = list(latest_first)[: self._pipeline.engine.sizes_kept]
            self._idle = [item for item in self._idle if item[0] in kept][-MAX_IDLE_RUNNERS:]


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _spec_of(
    model: str | Path | ModelSpec, family: str | None, size: Size | None
) -> tuple[ModelSpec, KnownModel | None]:
    if not isinstance(model, (str, Path, ModelSpec)):
        raise TypeError(
            f"model: expected a name, a path or a ModelSpec, got {type(model).__name__}: {model!r}"
        )
    spec, known = resolve(model)
    if family is not None:
        spec = replace(spec, family=family)
    if size is not None:
        spec = replace(spec, size=size)
    if spec.size is not None and not (
        isinstance(spec.size, tuple)
        and len(spec.size) == 2
        and all(isinstance(side, int) and side > 0 for side in spec.size)
        and spec.size[0] * spec.size[1] <= _core.MAX_PIXELS
    ):
        raise ValueError(
            f"size: expected (height, width) of at most {_core.MAX_PIXELS} pixels, "
            f"got {spec.size!r}"
        )
    return spec, known


def _sizes_of(pipeline: Pipeline) -> str:
    """Return the one size there is, else the family's rule in words."""
    sizes = {pipeline.input_size(frame) for frame in ((300, 400), (1080, 1920), (1920, 1080))}
    if len(sizes) > 1:
        return pipeline.family.sizes
    [(height, width)] = sizes
    return f"{height} x {width}"


def _notes_on(pipeline: Pipeline) -> Iterator[str]:
    if pipeline.family.recurrent:
        yield "it remembers earlier frames, in a stream(); single images start without memory"
    halves = any(tensor.dtype == "float16" for tensor in pipeline.engine.signature.inputs)
    if halves and pipeline.engine.device == "cpu":
        yield "a float16 graph saves no time on a CPU, which has to widen its numbers first"


def _refine_of(refine: Literal["guided", "none"] | Refine) -> Refine | None:
    if isinstance(refine, Refine):
        return refine
    if refine == "guided":
        return Refine()
    if refine == "none":
        return None
    raise ValueError(f"refine: expected 'guided', 'none' or a Refine, got {refine!r}")


def _threads_of(threads: int | None) -> int:
    if threads is None:
        return _core.default_threads()
    if not isinstance(threads, int) or not 1 <= threads <= 1024:
        raise ValueError(f"threads: expected an integer from 1 to 1024, got {threads!r}")
    return threads
