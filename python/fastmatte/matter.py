"""Matter: a matting network made ready, from image to Matte."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from fastmatte import _core, cpu, kernels
from fastmatte.arrays import (
    Alpha,
    AnyAlpha,
    Colour,
    Image,
    PixelFormat,
    Size,
    YuvMatrix,
    YuvRange,
)
from fastmatte.buffers import Buffers
from fastmatte.clock import Clock
from fastmatte.device import DevicePipeline, on_device, why_on_processor
from fastmatte.engines import (
    COMPILERS,
    ENGINES,
    ON_GPU,
    DeviceEngine,
    Engine,
    EngineName,
    Precision,
    Signature,
    open_engine,
)
from fastmatte.engines.engine_file import SUFFIX
from fastmatte.engines.gpu import current_gpu, on_gpu
from fastmatte.errors import EngineError
from fastmatte.graph import read_signature, require_external_data_inside
from fastmatte.guidance import BAND, MOST_BAND, Guidance, make_trimap
from fastmatte.live import LiveStream
from fastmatte.matte import ForegroundSource, Matte
from fastmatte.models import Commercial, Family, KnownModel, ModelSpec, choose_family
from fastmatte.models.family import COMMON_FRAME, Mode, Normalisation, Runner
from fastmatte.models.store import recognised, require_commercial, resolve
from fastmatte.models.tiles import LEAST_SIDE, STEP, Tiling
from fastmatte.origin import origin_of, sha256_of
from fastmatte.pipeline import ColourOrder, Pipeline, colour_order, colours_of
from fastmatte.refine import Refine
from fastmatte.serving import Progress, Serving
from fastmatte.shots import SceneSkip
from fastmatte.smoothing import Smoothing, SmoothingName
from fastmatte.stream import Stream

if TYPE_CHECKING:
    from fastmatte import cuda

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
    tile:          (height, width) of the windows that large frames are cut into; None where frames
                   are seen whole.
    trimap_from:   what really runs to make a trimap where none is given.
    normalisation: what becomes of pixels: (pixel * scale - mean) / std.
    engine_reason: why it is this engine: what those said that "auto" prefers.
    graph:         how frames are run on a GPU: by one launch each, or why not; None for engines on
                   a processor.
    building:      what is being built in the background to take over, or why it could not be; None
                   for nothing.
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
    tile: Size | None
    normalisation: Normalisation
    mode: Mode
    engine: str
    engine_reason: str
    engine_version: str
    graph: str | None
    building: str | None
    device: str
    precision: str
    input_shape: tuple[int | None, ...]
    refine: Refine | None
    threads: int
    isa: str
    notes: tuple[str, ...]
    trimap_from: MatterInfo | None


class Matter:
    """A matting network made ready. One Matter may be called from several threads at once.

    model:     "portrait", for people, which comes with fastmatte; path of an ONNX file, or of an
               engine that fm.build made, which is code: load none from where you would not run a
               program from; the name of a known model that is on this machine
               (fastmatte.models.known(), pull()); or a ModelSpec that says by hand how to feed it.
    family:    one of fastmatte.models.FAMILIES; None recognises it from the graph.
    engine:    "onnxruntime" or "openvino"; "auto" for the first that is installed and can load the
               model: OpenVINO, then ONNX Runtime. "tensorrt" builds an engine of an ONNX file, for
               one input size, proves it as fm.build does, and keeps it for the next time. "cuda"
               is ONNX Runtime's on an NVIDIA GPU.
    precision: "fp32", also for "auto"; "bf16" or "fp16" for what fm.check proved good enough, on
               OpenVINO and where the processor has instructions for it. For "tensorrt" "auto" is
               the fastest that passes the proof.
    while_building: "onnxruntime", "openvino" or "cuda" to serve while an engine is built in the
               background, which takes minutes the first time, and then switch; None to wait for it.
               Streams switch at their next frame, those with recurrent state where it starts
               afresh.
               info.building says how it goes, wait_for_engine() waits.
    device:    which GPU "tensorrt" and "cuda" are on, "cuda:1" or its number, by the order of
               fastmatte.cuda.devices(); None for the current one, which is the first unless
               somebody changed that.
    strict:    refuse what would run otherwise than it should: on "tensorrt" and "cuda" frames that
               are fed and read on the processor, frames that no CUDA graph runs, and, on "cuda",
               parts of the network that are left to the processor.
    size:      (height, width) of the network's input; None for the family's own rule.
    refine:    "guided" for full-resolution edges along the frame's own, "none" for plain
               interpolation, or a Refine with its parameters. Nothing is refined where the network
               gives alpha of the frame's size.
    threads:   how many threads network and kernels may use; None for one per processor.
    commercial_only: refuse weights that are not known to be free for commercial use. A file of the
               user's own is known by its hash.
    mode:      "fast" for what serves the alpha best; "reference" for what the network's authors do
               in their own script, to the last rounding, refine and tiles left aside.
    tile:      how networks that take a trimap see large frames: at full resolution, in overlapping
               windows of this side, a multiple of 32 of at least 128, and only where the trimap is
               unknown. "auto" for 1024, or what a graph of one size takes; "none" for the whole
               frame at the family's own size, in as much memory as that needs. A seam cannot be
               seen where a network looks no further than three eighths of the overlap, which is a
               quarter of the side, and hardly where it looks further. Frames of no more pixels than
               a window are run whole.
    trimap_from: for networks that take a trimap, the model, or a Matter made ready, whose alpha
               makes one where none is given: a first network finds the subject, the second does
               its edges. Engine, precision, device, threads and commercial_only are for both.
    trimap_radius: of that trimap's unknown band, in parts of the square root of the image's
               pixels, so that it suits images of every size; None for 0.02, which is 29 pixels at
               1080p.

    Nothing is ever downloaded here. Raises ValueError and TypeError for bad arguments, ModelError
    for a file that is missing, broken, refused or of no known family, EngineError for an engine
    that is not installed.
    """

    def __init__(
        self,
        model: str | Path | ModelSpec = "portrait",
        *,
        family: str | None = None,
        engine: EngineName = "auto",
        precision: Precision = "auto",
        size: Size | None = None,
        refine: Literal["guided", "none"] | Refine = "guided",
        threads: int | None = None,
        commercial_only: bool = False,
        mode: Mode = "fast",
        tile: int | Literal["auto", "none"] = "auto",
        trimap_from: str | Path | ModelSpec | Matter | None = None,
        trimap_radius: float | None = None,
        while_building: Literal["onnxruntime", "openvino", "cuda"] | None = None,
        device: int | str | None = None,
        strict: bool = False,
    ) -> None:
        chosen_refine = _refine_of(refine)
        if mode not in ("fast", "reference"):
            raise ValueError(f"mode: expected 'fast' or 'reference', got {mode!r}")
        threads = _threads_of(threads)
        tile = _tile_of(tile)
        self._band = _band_of(trimap_radius, trimap_from)
        spec, self._known = _spec_of(model, family, size)
        path = Path(spec.path)
        if commercial_only:
            require_commercial(path, self._known or recognised(sha256_of(path)))
        require_external_data_inside(path)
        builds = engine in COMPILERS and path.suffix != SUFFIX
        _require_while_building(while_building, builds=builds)
        if device is not None and engine not in ON_GPU and path.suffix != SUFFIX:
            gpus = " or ".join(map(repr, ON_GPU))
            raise ValueError(
                f"device: expected None, for engine {engine!r} runs on the processor and not on a "
                f"GPU, as {gpus} would; got {device!r}"
            )
        if strict and while_building is not None:
            raise ValueError(f"strict: expected False while {while_building} serves, got True")
        recognised_by = ""
        if device is None and while_building is not None:
            device = current_gpu()  # In the thread that builds it may be another.
        if builds:
            # What is missing is said now, and both engines see frames at one size.
            with on_gpu(device):
                COMPILERS[engine].machine()
            spec, recognised_by = _sized(spec)

        def load(progress: Progress | None) -> tuple[Pipeline, str, str]:
            """Open the engine; one that is built, where somebody is told of its progress.

            In whichever thread: which GPU is current is each thread's own.
            """
            with on_gpu(device):
                return load_there(progress)

        def load_there(progress: Progress | None) -> tuple[Pipeline, str, str]:
            name, file, kind, seen = engine, path, precision, spec
            if progress is None and while_building is not None:
                name, kind = while_building, "auto"
            elif builds:
                from fastmatte.building import engine_for  # which proves, with a Matter

                told = progress or (lambda stage, share: None)
                file = engine_for(
                    spec, engine=engine, precision=precision, threads=threads, progress=told
                )
                kind, seen = "auto", replace(spec, downsample_ratio=None)
            opened, reason = open_engine(
                file, engine=name, precision=kind, threads=threads, strict=strict
            )
            family_found, why = choose_family(seen, opened.signature)
            tiling = _tiling_of(family_found, opened, seen, tile, threads, mode)
            refined = None if mode == "reference" else chosen_refine
            pipeline = on_device(
                Pipeline(opened, family_found, seen, mode, refined, threads, tiling), strict=strict
            )
            return pipeline, reason, recognised_by if builds else why

        pipeline, self._engine_reason, self._reason = load(None)
        self._serving = Serving(pipeline)
        self._coarse = self._coarse_of(
            trimap_from, engine, precision, commercial_only, while_building, device
        )
        # A size the graph cannot take is reported here, not by the first frame.
        self._pipeline.input_size((1, 1))
        self._idle: list[tuple[Pipeline, Size, Runner]] = []
        self._lock = threading.Lock()
        if self._known is not None and family is None:
            along = self._known.comes_along
            self._reason = "comes with fastmatte" if along else "from the catalogue"
        if while_building is not None:
            self._serving.replace_by(engine, lambda progress: load(progress)[0])

    @property
    def _pipeline(self) -> Pipeline:
        return self._serving.pipeline

    def __repr__(self) -> str:
        engine, pipeline = self._pipeline.engine, self._pipeline
        return (
            f"<Matter {Path(pipeline.spec.path).name}: {pipeline.family.name} on {engine.name} "
            f"{engine.version}, {engine.device}, {engine.precision}>"
        )

    def _coarse_of(
        self,
        model: str | Path | ModelSpec | Matter | None,
        engine: EngineName,
        precision: Precision,
        commercial_only: bool,
        while_building: Literal["onnxruntime", "openvino", "cuda"] | None,
        device: int | str | None,
    ) -> Matter | None:
        """Return the network that makes trimaps, run as this one where it is not ready."""
        if model is None:
            return None
        if self.guidance != "trimap":
            family = self._pipeline.family.name
            raise ValueError(f"trimap_from: expected None, for family {family!r} takes no trimap")
        if not isinstance(model, (str, Path, ModelSpec, Matter)):
            raise TypeError(
                f"trimap_from: expected a name, a path, a ModelSpec or a Matter, "
                f"got {type(model).__name__}: {model!r}"
            )
        if not isinstance(model, Matter):
            model = Matter(
                model,
                engine=engine,
                precision=precision,
                threads=self._pipeline.threads,
                commercial_only=commercial_only,
                while_building=while_building,
                device=device,
            )
        elif commercial_only:
            path = model._pipeline.spec.path
            require_commercial(path, model._known or recognised(model._sha256))
        if model.guidance is not None:
            raise ValueError(
                f"trimap_from: expected a network that needs nothing but an image, and family "
                f"{model.info.family!r} needs a {model.guidance}"
            )
        return model

    @cached_property
    def _sha256(self) -> str:
        return sha256_of(Path(self._pipeline.spec.path))

    @property
    def signature(self) -> Signature:
        """All inputs and outputs of the graph."""
        return self._pipeline.engine.signature

    @property
    def guidance(self) -> Guidance | None:
        """What the network needs besides an image: "trimap", "background" or None."""
        return self._pipeline.family.guidance

    def input_size(self, frame: Size) -> Size:
        """Return the (height, width) at which the network sees frames of this size."""
        return self._pipeline.input_size(frame)

    def wait_for_engine(self, timeout: float | None = None) -> bool:
        """Wait until what is built in the background serves; say whether it does within timeout.

        timeout: in seconds; None to wait as long as it takes.

        Raises EngineError where it could not be built; what serves goes on serving.
        """
        return self._serving.wait(timeout)

    @property
    def info(self) -> MatterInfo:
        """What really runs: engine, device, precision, input shape, family, hash of the file."""
        pipeline = self._pipeline
        engine = pipeline.engine
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
            tile=None if pipeline.tiling is None else pipeline.tiling.window,
            normalisation=pipeline.family.normalisation.overridden_by(pipeline.spec),
            mode=pipeline.mode,
            engine=engine.name,
            engine_reason=self._engine_reason,
            engine_version=engine.version,
            graph=_graph_of(pipeline),
            building=self._serving.state,
            device=engine.device,
            precision=engine.precision,
            input_shape=tuple(side if isinstance(side, int) else None for side in shape),
            refine=pipeline.refine,
            threads=pipeline.threads,
            isa=cpu.active(),
            notes=tuple(_notes_on(pipeline)),
            trimap_from=None if self._coarse is None else self._coarse.info,
        )

    def __call__(
        self,
        image: Image,
        *,
        trimap: Image | None = None,
        background: Image | None = None,
        align: bool = False,
        pixel_format: PixelFormat = "rgb",
    ) -> Matte:
        """Return the matte of one image.

        image:        (H, W, 3) uint8, or (H, W, 4) for "rgba" and "bgra", whose fourth channel is
                      left out. The Matte keeps it, so do not change it while the Matte is in use.
        trimap:       (H, W) uint8 of 0 (background), 128 (unknown) and 255 (foreground), for
                      networks that need one; alpha is 0 and 1 where it says so. None for one made
                      from another network's alpha, where the Matter has trimap_from.
        background:   the scene without its subject, like image, for networks that need it.
        align:        whether the camera has moved since: the background, of any size, is brought
                      to where it shows the same as the image, which needs OpenCV.
        pixel_format: order of the image's channels, and of all colours the Matte takes and gives.

        Raises TypeError and ValueError where image is not what pixel_format says, or where trimap
        or background is missing, unfit or not for this network, or where too little of the
        background is found again in the image; ModelError where the network's
        output is no alpha, EngineError where the engine failed.
        """
        order = colour_order(pixel_format)
        colours = colours_of(image, pixel_format)
        buffers = Buffers(colours.shape[:2])
        guidance = self._guidance(colours, order, trimap, background, pixel_format, align)
        alpha: Alpha = buffers.get("alpha", np.float32)
        with self._runner(buffers.size) as (pipeline, runner):
            pipeline.run(runner, colours, order, guidance, alpha, Clock())
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
        align: bool = False,
        pixel_format: PixelFormat = "rgb",
        out: AnyAlpha | None = None,
    ) -> AnyAlpha:
        """Return the alpha of one image: the shortest way, without memory of its own.

        image, trimap, background, align, pixel_format: as for calling the Matter.
        out: (H, W) float32 for alpha in [0, 1] or uint8 for 255ths, rounded half up; None for a
             new float32 array.

        After the first image of a size nothing of an image's size is allocated where out is given,
        but for guidance, and not in mode "reference".
        Raises as calling the Matter does, and ValueError or TypeError for an out that does not fit.
        """
        order = colour_order(pixel_format)
        colours = colours_of(image, pixel_format)
        size = colours.shape[:2]
        guidance = self._guidance(colours, order, trimap, background, pixel_format, align)
        if out is None:
            out = np.empty(size, np.float32)
        else:
            _core.require_alpha_out(out, *size)
        with self._runner(size) as (pipeline, runner):
            pipeline.run(runner, colours, order, guidance, out, Clock())
        return out

    @overload
    def stream(
        self,
        *,
        background: Image | None = None,
        align: bool = False,
        pixel_format: PixelFormat = "rgb",
        cuts: Literal["reset", "ignore"] = "reset",
        smoothing: SmoothingName | Smoothing = "auto",
        skip: SceneSkip | None = None,
        deadline_ms: None = None,
    ) -> Stream: ...

    @overload
    def stream(
        self,
        *,
        background: Image | None = None,
        align: bool = False,
        pixel_format: PixelFormat = "rgb",
        cuts: Literal["reset", "ignore"] = "reset",
        smoothing: SmoothingName | Smoothing = "auto",
        skip: SceneSkip | None = None,
        deadline_ms: float,
    ) -> LiveStream: ...

    def stream(
        self,
        *,
        background: Image | None = None,
        align: bool = False,
        pixel_format: PixelFormat = "rgb",
        cuts: Literal["reset", "ignore"] = "reset",
        smoothing: SmoothingName | Smoothing = "auto",
        skip: SceneSkip | None = None,
        deadline_ms: float | None = None,
    ) -> Stream | LiveStream:
        """Return a Stream for the frames of one video or camera, in order.

        background:   the scene without its subject, for networks that need it, kept and not copied;
                      a frame may bring a newer one.
        align:        whether the camera moves: the background is aligned to every frame, as calling
                      the Matter does. A frame in which it is not found again raises, and the next
                      may be given.
        pixel_format: order of the frames' channels, and of all colours their mattes take and give.
        cuts:         "reset" forgets earlier frames where a shot ends, as seen in how levels are
                      spread; "ignore" leaves that to reset().
        smoothing:    what takes the flicker out of alpha: "motion_adaptive", "one_frame_delay",
                      either with its parameters, MotionAdaptive() or OneFrameDelay(), or "none".
                      "auto" is motion_adaptive, by the figures of bench/study_smoothing.py; but
                      none for networks that remember earlier frames, for those that are told a
                      trimap, and in mode "reference". With trimap_from the network that trimaps
                      are made of is smoothed as it would be alone, by "auto" only.
        skip:         when not to run the network and keep its alpha, refined along each frame;
                      None for never.
        deadline_ms:  None for a Stream, which works through every frame it is called with. For a
                      camera, the age at which a matte is of no use any more: a LiveStream, which
                      works in a thread of its own and drops what comes too late.

        Several streams of one Matter may run at once, each in a thread of its own.
        """
        coarse = None
        if self._coarse is not None:
            order = colour_order(pixel_format)
            # A trimap that flickers makes an alpha that does. By itself no network sees that it is
            # one: smoothed, it changes a third less where people sway, and is wrong as seldom.
            auto = smoothing == "auto" and self._pipeline.mode == "fast"
            coarse_stream = self._coarse.stream(
                pixel_format=order, cuts=cuts, smoothing="auto" if auto else "none"
            )
            coarse = coarse_stream, self._band
        stream = Stream(
            self._pipeline,
            pixel_format,
            background,
            cuts,
            coarse,
            align=align,
            newest=lambda: self._pipeline,
            smoothing=smoothing,
            skip=skip,
        )
        return stream if deadline_ms is None else LiveStream(stream, deadline_ms)

    def pipeline(
        self,
        frame_size: Size,
        *,
        result: Literal["alpha", "cutout", "composite"] = "composite",
        background: Colour | Image = (0, 0, 0),
        foreground: ForegroundSource = "estimated",
        pixel_format: Literal["rgb", "bgr", "nv12"] = "rgb",
        matrix: YuvMatrix = "bt601",
        range: YuvRange = "limited",
        overlap: bool = True,
        results: Literal["host", "device"] = "host",
    ) -> cuda.Pipeline:
        """Return the shortest way on a GPU: frames in, finished results out, in order.

        Nothing but frames and results moves: one CUDA graph uploads a frame, computes the one
        before and downloads an older result, all at once. It keeps recurrent state; there is no
        smoothing, and no shots are looked for: reset() where one ends.

        frame_size:   (H, W) of all frames, (H, W, 3) uint8 in the order of pixel_format: NumPy
                      arrays, or arrays of any library on the GPU. "nv12" is what a GPU's decoder
                      gives, (H * 3 / 2, W) or (y, uv): colours are made of it there, and composites
                      and cut-outs are RGB.
        matrix, range: of "nv12", as fastmatte.kernels.yuv_to_rgb has them.
        result:       "alpha", (H, W) uint8; "cutout", (H, W, 4); "composite", (H, W, 3).
        background:   of composites, a colour or an (H, W, 3) uint8 image.
        foreground:   "estimated", the network's own where it gives any, or "image", the frame's.
        overlap:      False is done with a frame before it takes the next: less delay, fewer frames.
        results:      "device" leaves them there.

        Raises EngineError for an engine that is not on a GPU, for a network that the processor
        feeds and reads or that needs a trimap or a background, and where a strict Matter gets no
        graph; DeviceMemoryError.
        """
        serving = self._pipeline
        if not isinstance(serving, DevicePipeline):
            reason = f"{serving.engine.name} runs on {serving.engine.device}"
            if isinstance(serving.engine, DeviceEngine):
                reason = str(why_on_processor(serving))
            raise EngineError(f"pipeline: expected a network on a GPU as a whole: {reason}")
        if self.guidance is not None:
            raise EngineError(
                f"pipeline: expected a network that needs nothing but frames, and family "
                f"{serving.family.name!r} needs a {self.guidance}: calls and streams take it"
            )
        if foreground not in ("estimated", "image"):
            raise ValueError(f"foreground: expected 'estimated' or 'image', got {foreground!r}")
        return serving.frames(
            frame_size,
            pixel_format,
            result=result,
            background=background,
            foreground=foreground,
            matrix=matrix,
            range=range,
            overlap=overlap,
            results=results,
        )

    def _guidance(
        self,
        colours: Image,
        order: ColourOrder,
        trimap: Image | None,
        background: Image | None,
        pixel_format: PixelFormat,
        align: bool,
    ) -> Image | None:
        """Return what the network is told besides an image, made here where it can be."""
        size = colours.shape[:2]
        if self._coarse is not None and trimap is None and background is None:
            # In 255ths: for large images that is a quarter of the memory.
            alpha = np.empty(size, np.uint8)
            self._coarse.alpha(colours, pixel_format=order, out=alpha)
            trimap = make_trimap(alpha, self._band, self._pipeline.threads)
        if align:
            self._pipeline.require_background("align")
        return self._pipeline.guidance(
            trimap, background, size, pixel_format, frame=colours if align else None
        )

    @contextmanager
    def _runner(self, frame: Size) -> Iterator[tuple[Pipeline, Runner]]:
        """Lend a runner that nobody else is using, without memory of earlier images."""
        pipeline = self._pipeline
        size = pipeline.input_size(frame)
        with self._lock:
            fits = ((p is pipeline and s == size) for p, s, _ in self._idle)
            found = next((i for i, fit in enumerate(fits) if fit), None)
            runner = None if found is None else self._idle.pop(found)[2]
        runner = runner or pipeline.runner(size, frame)
        runner.reset()
        yield pipeline, runner
        # One that failed is not reached here: whatever state it is in goes with it.
        with self._lock:
            self._idle.append((pipeline, size, runner))
            # Nor does anybody want those of an engine that has been taken over from.
            serving = self._pipeline
            own = [item for item in self._idle if item[0] is serving]
            latest_first = dict.fromkeys(size for _, size, _ in reversed(own))
            kept = list(latest_first)[: serving.engine.sizes_kept]
            self._idle = [item for item in own if item[1] in kept][-MAX_IDLE_RUNNERS:]


def _spec_of(
    model: str | Path | ModelSpec, family: str | None, size: Size | None
) -> tuple[ModelSpec, KnownModel | None]:
    if not isinstance(model, (str, Path, ModelSpec)):
        raise TypeError(
            f"model: expected a name, a path or a ModelSpec, got {type(model).__name__}: {model!r}"
        )
    spec, known = resolve(model)
    origin = origin_of(Path(spec.path))
    family = family or (None if origin is None else spec.family or origin.family)
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
            f"size: expected (height, width), a tuple of two positive integers, of at most "
            f"{_core.MAX_PIXELS} pixels, got {spec.size!r}"
        )
    return spec, known


def _sized(spec: ModelSpec) -> tuple[ModelSpec, str]:
    """Return the spec of an ONNX file with its family, which a frozen graph may not show any more,
    and with the one size that an engine is built for; and why it is this family.
    """
    signature = read_signature(Path(spec.path))
    family, reason = choose_family(spec, signature)
    size = spec.size or family.input_size(signature, spec, COMMON_FRAME)
    return replace(spec, family=family.name, size=size), reason


def _require_while_building(name: str | None, *, builds: bool) -> None:
    if name is None:
        return
    names = [known for known in ENGINES if known not in COMPILERS]
    if name not in names:
        expected = ", ".join(map(repr, names))
        raise ValueError(f"while_building: expected one of {expected} or None, got {name!r}")
    if not builds:
        raise ValueError("while_building: expected None, for no engine has to be built")


def _sizes_of(pipeline: Pipeline) -> str:
    """Return the one size there is, else the family's rule in words."""
    sizes = {pipeline.input_size(frame) for frame in ((300, 400), (1080, 1920), (1920, 1080))}
    if len(sizes) > 1:
        return pipeline.family.sizes
    [(height, width)] = sizes
    return f"{height} x {width}"


def _graph_of(pipeline: Pipeline) -> str | None:
    if isinstance(pipeline, DevicePipeline):
        return pipeline.capture.outcome
    if not isinstance(pipeline.engine, DeviceEngine):
        return None
    return f"none, frames are fed and read on the processor: {why_on_processor(pipeline)}"


def _notes_on(pipeline: Pipeline) -> Iterator[str]:
    origin = origin_of(Path(pipeline.spec.path))
    if origin is not None and pipeline.engine.precision != origin.precision:
        yield f"fastmatte build made its graph one of {origin.precision}"
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


def _tile_of(tile: int | Literal["auto", "none"]) -> int | Literal["auto", "none"]:
    if tile in ("auto", "none"):
        return tile
    if not isinstance(tile, int) or tile < LEAST_SIDE or tile % STEP or tile**2 > _core.MAX_PIXELS:
        raise ValueError(
            f"tile: expected 'auto', 'none' or a multiple of {STEP} of at least {LEAST_SIDE}, "
            f"got {tile!r}"
        )
    return tile


def _tiling_of(
    family: Family,
    engine: Engine,
    spec: ModelSpec,
    tile: int | Literal["auto", "none"],
    threads: int,
    mode: Mode,
) -> Tiling | None:
    if tile == "none" or (mode == "reference" and tile == "auto"):
        return None
    if mode == "reference":
        raise ValueError(
            f"tile: expected 'auto' or 'none', for mode 'reference' sees frames as the network's "
            f"authors do; got {tile}"
        )
    return family.tiling(engine, spec, None if tile == "auto" else int(tile), threads)


def _band_of(radius: float | None, coarse: object) -> float:
    if radius is None:
        return BAND
    if coarse is None:
        raise ValueError("trimap_radius: expected None, for there is no trimap_from to make one")
    if not isinstance(radius, (int, float)) or not 0 <= radius <= MOST_BAND:
        raise ValueError(
            f"trimap_radius: expected 0 to {MOST_BAND} of the square root of the image's pixels, "
            f"got {radius!r}"
        )
    return radius


def _threads_of(threads: int | None) -> int:
    if threads is None:
        return _core.default_threads()
    if not isinstance(threads, int) or not 1 <= threads <= 1024:
        raise ValueError(f"threads: expected an integer from 1 to 1024, got {threads!r}")
    return threads
