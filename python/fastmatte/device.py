"""The way of a frame through a network on a GPU: only the frame goes there, only results come back.

Upload, layout, network, refinement and download are one CUDA graph: fastmatte.cuda.Pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastmatte.arrays import Alpha, AlphaDtype, AnyAlpha, Array, Colour, Image, Size, Tensor
from fastmatte.buffers import Buffers
from fastmatte.clock import Clock
from fastmatte.engines.base import DeviceEngine, Enqueue
from fastmatte.errors import DeviceMemoryError, EngineError, ModelError
from fastmatte.models.family import DevicePlan, input_filter
from fastmatte.pipeline import ColourOrder, Pipeline

if TYPE_CHECKING:
    from fastmatte import cuda

__all__ = ["DevicePipeline", "on_device"]

#: Captures that a runner keeps for sizes of frames to come again: a camera held upright and across,
#: its photographs and their previews. For 12 megapixels each holds 190 MB on the GPU and 170 MB of
#: pinned memory; to make one the network is run four times, and captured four times.
MOST_CAPTURES = 4

ONE_LAUNCH = "one launch for each frame"
NOT_YET = "to be captured with the first frame"
Result = Literal["alpha", "cutout", "composite"]
#: What one capture is for: frames of a size and order of colours, alpha of a type.
Fit = tuple[Size, ColourOrder, AlphaDtype]


@dataclass
class Capture:
    """What became of capturing a graph, for whoever asks."""

    outcome: str = NOT_YET


@dataclass(frozen=True)
class DevicePipeline(Pipeline):
    """A model whose engine has its tensors on a GPU.

    Its runners are of another kind: there is nothing to be seen between a frame and its alpha.

    strict:  whether a frame that no graph runs is an error.
    capture: how frames are run, in words.
    """

    strict: bool = False
    capture: Capture = field(default_factory=Capture)

    def runner(  # type: ignore[override]
        self, input_size: Size, frame: Size
    ) -> DeviceRunner:
        """Make the network's memory for one frame of this size in flight."""
        try:
            return DeviceRunner(self, input_size)
        except EngineError as error:
            raise self._told(error, frame) from error

    def run(  # type: ignore[override]
        self,
        runner: DeviceRunner,
        colours: Image,
        order: ColourOrder,
        guidance: Image | None,
        out: AnyAlpha,
        clock: Clock,
    ) -> None:
        """Fill out, (H, W) float32 or uint8, with the alpha of an (H, W, 3) frame."""
        kind: AlphaDtype = "uint8" if out.dtype == np.uint8 else "float32"
        np.copyto(out, self._alpha(runner, colours, order, kind, guidance, clock))

    def lend(  # type: ignore[override]
        self,
        runner: DeviceRunner,
        colours: Image,
        order: ColourOrder,
        guidance: Image | None,
        buffers: Buffers,
        clock: Clock,
        *,
        skip: bool = False,
    ) -> Alpha:
        """Return the alpha of a frame, good until the runner's next one: pinned memory."""
        return self._alpha(runner, colours, order, "float32", guidance, clock, skip=skip)

    def own_colours(  # type: ignore[override]
        self, runner: DeviceRunner, size: Size
    ) -> Callable[[], Tensor] | None:
        """Return what fetches the network's own colours: most who want alpha do not want them."""
        return runner.fetch if runner.own_size == size else None

    def _alpha(
        self,
        runner: DeviceRunner,
        colours: Image,
        order: ColourOrder,
        dtype: AlphaDtype,
        guidance: Image | None,
        clock: Clock,
        *,
        skip: bool = False,
    ) -> Array:
        start = perf_counter_ns()
        try:
            alpha = runner.alpha_of(colours, order, dtype, guidance, skip=skip)
        except EngineError as error:
            raise self._told(error, (colours.shape[0], colours.shape[1])) from error
        except ModelError as error:
            raise self._no_alpha(error) from error
        clock.record("network", start)
        return alpha

    def open(
        self,
        network: Network,
        frame: Size,
        pixel_format: Literal["rgb", "bgr", "nv12"],
        **options: Any,
    ) -> cuda.Pipeline:
        """Make the pipeline around a network for frames of one size.

        Raises EngineError where it has to be strict and no graph can be had.
        """
        plan, gpu = network.plan, network.gpu
        size, content = plan.size, plan.content_of(frame)
        refused = network.why_no_graph
        pipeline: cuda.Pipeline = gpu.Pipeline(
            network.run,
            frame_size=frame,
            size=size,
            pixel_format=pixel_format,
            layout=plan.layout,
            filter=input_filter(frame, content),
            scale=plan.normalisation.scale,
            mean=plan.normalisation.mean,
            std=plan.normalisation.std,
            dtype=plan.tensors[plan.image].dtype,
            alpha_shape=plan.tensors[plan.alpha].shape,
            alpha_channel=plan.alpha_channel,
            alpha_dtype=plan.tensors[plan.alpha].dtype,
            activation=plan.activation,
            content=content,
            border=plan.border,
            guidance=plan.guidance,
            guide=network.guide,
            trimap_scale=plan.trimap_scale,
            states=network.states,
            refine=self.refine,
            own_foreground=network.foreground,
            device=network.number,
            graph=refused is None,
            **options,
        )
        refused = refused or pipeline.why_no_graph
        self.capture.outcome = (
            f"none, every frame is enqueued: {refused}" if refused else ONE_LAUNCH
        )
        if refused and self.strict:
            raise EngineError(f"strict: no CUDA graph can run a frame: {refused}")
        return pipeline

    def frames(
        self,
        frame_size: Size,
        pixel_format: Literal["rgb", "bgr", "nv12"],
        *,
        result: Result,
        background: Colour | Image,
        foreground: Literal["estimated", "image"],
        **options: Any,
    ) -> cuda.Pipeline:
        """Return what takes frames and gives results of one kind: see Matter.pipeline()."""
        network = self._network(self.input_size(frame_size))
        colours: Literal["image", "estimated", "network"] = foreground
        if foreground == "estimated" and network.plan.foreground is not None:
            fits = network.plan.content_of(frame_size) == tuple(frame_size)
            colours = "network" if fits else "estimated"
        return self.open(
            network,
            frame_size,
            pixel_format,
            result=result,
            background=background,
            foreground=colours,
            **options,
        )

    def _network(self, size: Size) -> Network:
        assert isinstance(self.engine, DeviceEngine)
        return Network(self.engine, self.family.device_plan(self.engine, self.spec, size))


def on_device(pipeline: Pipeline, *, strict: bool) -> Pipeline:
    """Return the same model on its engine's GPU as a whole, as far as that can be.

    Raises EngineError where it cannot and has to be strict.
    """
    if not isinstance(pipeline.engine, DeviceEngine):
        return pipeline
    reason = why_on_processor(pipeline)
    if reason is None:
        values = {name: getattr(pipeline, name) for name in Pipeline.__dataclass_fields__}
        return DevicePipeline(**values, strict=strict)
    if strict:
        raise EngineError(f"strict: frames are fed and read on the processor: {reason}")
    return pipeline


def why_on_processor(pipeline: Pipeline) -> str | None:
    """Return what keeps all but the network from a GPU, None where nothing does."""
    family = pipeline.family
    if pipeline.mode == "reference":
        return "mode 'reference' does what the network's authors do, and they do it there"
    if pipeline.tiling is not None:
        return (
            f"family {family.name!r} sees large frames in tiles, where their trimap is unknown; "
            "with a size, or tile='none', it sees them whole"
        )
    return None


class Network:
    """An engine's run with all memory but the image's and alpha's, as a pipeline enqueues it."""

    def __init__(self, engine: DeviceEngine, plan: DevicePlan) -> None:
        self.plan = plan
        self.gpu, self.number = engine.gpu, engine.number
        self.why_no_graph = engine.why_no_graph
        with self.gpu.using(self.number):
            self._arrays = {
                name: self.gpu.empty(tensor.shape, tensor.dtype)
                for name, tensor in plan.tensors.items()
                if name not in (plan.image, plan.alpha)
            }
            self.run = Run(engine.enqueuer(plan.tensors, plan.constants), plan, self._arrays)

    @property
    def foreground(self) -> Any:
        """Where the network leaves its own colours, None where it has none."""
        return None if self.plan.foreground is None else self._arrays[self.plan.foreground]

    @property
    def guide(self) -> Any:
        """The network's input for a trimap or a background, None where it has none of its own."""
        return None if self.plan.guide is None else self._arrays[self.plan.guide]

    @property
    def states(self) -> list[Any]:
        """What is zero for a first frame."""
        return [self._arrays[name] for pair in self.plan.states for name in pair]

    def read_by(self, slot: int) -> dict[str, Any]:
        """Return the states that a run in this slot goes on from, by the names of outputs."""
        return {pair[1]: self._arrays[pair[slot]] for pair in self.plan.states}


class Run:
    """A network's run as Pipeline has it: what one frame leaves as state, the next one reads.

    It knows nothing of the pipeline, which keeps it: neither would ever go.
    """

    def __init__(self, enqueue: Enqueue, plan: DevicePlan, arrays: Mapping[str, Any]) -> None:
        self._enqueue = enqueue
        self._plan = plan
        self._arrays = arrays  # whose addresses these are
        fixed = {name: array.ptr for name, array in arrays.items()}
        swapped = dict(fixed)
        for before, after in plan.states:
            swapped[before], swapped[after] = fixed[after], fixed[before]
        self._addresses = fixed, swapped

    def __call__(self, tensor: Any, alpha: Any, stream: int, slot: int) -> None:
        """Enqueue it."""
        ends = {self._plan.image: tensor.ptr, self._plan.alpha: alpha.ptr}
        self._enqueue({**self._addresses[slot], **ends}, stream)


class DeviceRunner:
    """One frame in flight on a GPU, and what the network remembers there.

    Pipelines around the network are kept for several sizes of frames. One runs at a time, and ends
    before another begins: they share the network's memory, and what it remembers.
    """

    def __init__(self, pipeline: DevicePipeline, size: Size) -> None:
        self._made = pipeline
        self._network = pipeline._network(size)
        #: By what they are for; the one last used stands last.
        self._captures: dict[Fit, cuda.Pipeline] = {}
        self._pipeline: cuda.Pipeline | None = None
        self._fit: Fit | None = None
        self._recalled: Mapping[str, Array] = {}
        self._afresh = False
        #: What alpha_of() gave last: of the frame's size, for the network's own stays on the GPU.
        self.alpha: Array = np.empty((0, 0), np.float32)

    def alpha_of(
        self,
        colours: Image,
        order: ColourOrder,
        dtype: AlphaDtype,
        guidance: Image | None = None,
        *,
        skip: bool = False,
    ) -> Array:
        """Return the alpha of a frame in pinned memory, good until the next one.

        guidance: its trimap or background; None for those of the last frame, of the same size.
        skip: whether to refine the last alpha along this frame, without the network.
        """
        pipeline = self._made_for(((colours.shape[0], colours.shape[1]), order, dtype))
        if skip:
            np.copyto(pipeline.frame(), colours)
            self.alpha = pipeline.again()
            return self.alpha
        if guidance is not None:
            pipeline.tell(guidance)
        pipeline.submit(colours)
        self.alpha = pipeline.peek()
        return self.alpha

    def _made_for(self, fit: Fit) -> cuda.Pipeline:
        """Return the pipeline for such frames, which goes on from what is remembered."""
        if self._pipeline is None or fit != self._fit:
            # It is the last one's where nobody says otherwise: making another overwrites it.
            self._recalled = self.memory()
            self._afresh = not self._recalled
            self._pipeline = self._captures.pop(fit, None) or self._opened(fit)
            self._captures[fit] = self._pipeline
            self._fit = fit
        pipeline = self._pipeline
        if self._recalled:
            pipeline.synchronize()
            for name, array in self._network.read_by(pipeline.next_slot).items():
                array.write(np.ascontiguousarray(self._recalled[name]), None)
        elif self._afresh and self._network.plan.states:
            pipeline.reset()
        self._recalled, self._afresh = {}, False
        return pipeline

    def _opened(self, fit: Fit) -> cuda.Pipeline:
        """Make a pipeline; those go for it that were not used longest."""
        self._pipeline, self.alpha = None, np.empty((0, 0), np.float32)
        while len(self._captures) >= MOST_CAPTURES:
            del self._captures[next(iter(self._captures))]
        size, order, dtype = fit
        make = partial(
            self._made.open, self._network, size, order, result_dtype=dtype, overlap=False
        )
        try:
            return make()
        except DeviceMemoryError:
            if not self._captures:
                raise
        # It may fit where the others were.
        self._captures.clear()
        return make()

    @property
    def own_size(self) -> Size | None:
        """The size of the network's own colours of the last frame, None where it has none."""
        if self._network.plan.foreground is None or self._fit is None:
            return None
        return self._network.plan.content_of(self._fit[0])

    @property
    def foreground(self) -> Tensor | None:
        """The network's own colours, fetched now."""
        return None if self.own_size is None else self.fetch()

    def fetch(self) -> Tensor:
        """Return a copy of the network's own colours of the last frame."""
        assert self.own_size is not None
        height, width = self.own_size
        tensor: Tensor = self._network.foreground.numpy()
        return np.ascontiguousarray(tensor[..., :height, :width], np.float32)

    def reset(self) -> None:
        """Start from the zero state of a first frame."""
        self._recalled, self._afresh = {}, True

    def memory(self) -> dict[str, Array]:
        """Copy what is remembered; empty before the first frame, and without memory."""
        if self._pipeline is None or self._recalled or self._afresh:
            return dict(self._recalled)
        self._pipeline.synchronize()
        states = self._network.read_by(self._pipeline.next_slot)
        return {name: array.numpy() for name, array in states.items()}

    def remember(self, memory: Mapping[str, Array]) -> None:
        """Go on from what memory() gave."""
        self._recalled, self._afresh = dict(memory), not memory
