"""The kernels and the pipeline on an NVIDIA GPU: device arrays in, device arrays out, on a stream.

What holds for every kernel here:

- It is the twin of its namesake in fastmatte.kernels: the same results, but for what is said.
- Arrays lie on one device and come from any library: __cuda_array_interface__ (CuPy, Numba,
  PyTorch) or DLPack. They are used where they lie, and must have rows of adjacent pixels.
- stream is where the work is enqueued: None for the default stream of the current device, an
  address, or a stream of CuPy, PyTorch or this module. The call returns at once; whoever reads the
  result on another stream waits for it.
- out, where given, has the shape and dtype of the result and may not overlap an input unless the
  processor's kernel says that it may. Else the result is a new array on the stream's device.
- Nobody can look at values without waiting for them, so that alpha outside [0, 1] is clamped, NaN
  to 0, where fastmatte.kernels refuses it.
- What a call needs besides, it keeps for the next on the same stream: calls of the same sizes
  allocate nothing but their results. release_memory() gives it back.
- A wrong type is a TypeError, a wrong shape, range, overlap or device a ValueError, naming the
  argument, what was expected and what came; without a driver or a GPU every function is a
  DeviceError that says what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, Protocol

from fastmatte.arrays import (
    AlphaDtype,
    Array,
    Colour,
    Filter,
    Image,
    Layout,
    Size,
    TensorDtype,
    YuvMatrix,
    YuvRange,
)
from fastmatte.errors import DeviceError
from fastmatte.refine import Refine

try:
    from fastmatte import _cuda
except ImportError as error:  # pragma: no cover - depends on the build
    if "_cuda" not in str(error):
        raise
    _cuda = None  # type: ignore[assignment]

__all__ = [
    "Device",
    "DeviceArray",
    "Event",
    "Graph",
    "Pipeline",
    "Stream",
    "blur",
    "composite",
    "current_device",
    "cutout",
    "devices",
    "empty",
    "estimate_foreground",
    "free_memory",
    "from_tensor",
    "guided_upsample",
    "missing",
    "release_memory",
    "resize",
    "to_device",
    "to_tensor",
    "trimap",
    "using",
    "yuv_to_rgb",
]

#: A GPU: "cuda:1" as PyTorch has it, or its number, as CuPy and CUDA itself have it.
DeviceLike = int | str
#: A stream of any library, its address, or None for the default stream.
StreamLike = Any


class DeviceArray(Protocol):
    """Memory on a device; what this module makes has shape, dtype, device and numpy() besides."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...


#: A frame on the host or on a device; the planes (y, uv) of "nv12".
AnyFrame = Image | DeviceArray | tuple[Image, Image] | tuple[DeviceArray, DeviceArray]


@dataclass(frozen=True)
class Device:
    """One GPU."""

    name: str
    capability: tuple[int, int]
    memory: int
    multiprocessors: int


def _module() -> ModuleType:
    if _cuda is None:
        raise DeviceError(f"no CUDA device: {missing()}")
    return _cuda


def missing() -> str | None:
    """Return what keeps this module from running here, None where nothing does."""
    if _cuda is None:
        return "this fastmatte was built without nvcc, and so without its GPU module"
    return _cuda.missing_driver() or None


def devices() -> list[Device]:
    """Return the GPUs the driver shows, by their numbers.

    Raises DeviceError naming what is missing.
    """
    module = _module()
    return [
        Device(name, (major, minor), memory, multiprocessors)
        for name, major, minor, memory, multiprocessors in (
            module.device_info(i) for i in range(module.device_count())
        )
    ]


def current_device() -> int:
    """Return the number of the device that this thread works on where nobody names one."""
    return int(_module().current_device())


@contextmanager
def using(device: DeviceLike) -> Iterator[int]:
    """Make a device this thread's current one for a while, for CUDA's other users too; as its
    number.

    Raises ValueError for one that there is not.
    """
    module = _module()
    number, before = _number(device), module.current_device()
    module.set_device(number)
    try:
        yield number
    finally:
        module.set_device(before)


def _number(device: DeviceLike | None) -> int:
    """Return a device's number, the current one's for None."""
    module = _module()
    if device is None:
        return int(module.current_device())
    number: object = device
    if isinstance(device, str):
        name, _, digits = device.partition(":")
        number = int(digits) if name == "cuda" and digits.isdecimal() else None
    count = module.device_count()
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < count:
        return number
    expected = " or ".join(f"'cuda:{i}'" for i in range(count))
    raise ValueError(f"device: expected {expected}, or its number, got {device!r}")


def free_memory() -> int:
    """Return the bytes of the current device that nobody holds."""
    return int(_module().free_memory())


def release_memory() -> None:
    """Give back what calls keep for the next ones, except what graphs need."""
    _module().release_workspaces()


def empty(shape: Sequence[int], dtype: str, *, stream: StreamLike = None) -> Any:
    """Return a new device array, uninitialised.

    dtype: "uint8", "float16" or "float32".

    Raises DeviceMemoryError with the bytes wanted and free.
    """
    return _module().empty(list(shape), dtype, stream)


def to_device(values: Array, *, stream: StreamLike = None) -> Any:
    """Return a copy of a NumPy array on the stream's device, once it is there.

    values: uint8, float16 or float32.
    """
    return _module().upload(values, stream)


def Stream(device: DeviceLike | None = None) -> Any:  # noqa: N802
    """Make a stream of a device, None for the current one: ptr, device, synchronize()."""
    return _module().Stream(_number(device))


def Event(device: DeviceLike | None = None) -> Any:  # noqa: N802
    """Make a point in the work of a stream of a device, None for the current one.

    record(stream), synchronize(), milliseconds_since(event); hold(stream), of any device, makes
    what that one is given from now on wait for it.
    """
    return _module().Event(_number(device))


def Graph(function: Callable[[], object], *, stream: StreamLike) -> Any:  # noqa: N802
    """Capture what function() enqueues on stream: launch(stream) does it all again.

    function: calls kernels of this module with out= and this stream, which is not the default one.
              Each must have been called once before on it, with the same sizes.

    Arrays must outlive the graph, which keeps function alive and so what it refers to.
    """
    return _module().Graph(function, stream)


def blur(
    image: DeviceArray,
    *,
    sigma: float,
    weight: DeviceArray | None = None,
    out: DeviceArray | None = None,
    stream: StreamLike = None,
) -> Any:
    """Blur every channel with a Gaussian, as fastmatte.kernels.blur does.

    Agrees with oracles.blur within a level where sigma is below 8 (4.8 with weights), to 45 dB
    beyond; not with the processor's kernel bit for bit, whose narrow Gaussians have 16 bits.
    """
    return _module().blur(image, sigma, weight, out, stream)


def composite(
    foreground: DeviceArray,
    background: DeviceArray | Colour,
    alpha: DeviceArray,
    *,
    out: DeviceArray | None = None,
    stream: StreamLike = None,
) -> Any:
    """Lay foreground over background, as fastmatte.kernels.composite does, bit for bit."""
    return _module().composite(foreground, background, alpha, out, stream)


def cutout(
    foreground: DeviceArray,
    alpha: DeviceArray,
    *,
    out: DeviceArray | None = None,
    stream: StreamLike = None,
) -> Any:
    """Join colours and alpha into RGBA, as fastmatte.kernels.cutout does, bit for bit."""
    return _module().cutout(foreground, alpha, out, stream)


def estimate_foreground(
    image: DeviceArray,
    alpha: DeviceArray,
    *,
    out: DeviceArray | None = None,
    stream: StreamLike = None,
) -> Any:
    """Estimate foreground colours by blur fusion, as fastmatte.kernels does, bit for bit."""
    return _module().estimate_foreground(image, alpha, out, stream)


def from_tensor(
    tensor: DeviceArray,
    *,
    pixel_format: Literal["rgb", "bgr"] = "rgb",
    out: DeviceArray | None = None,
    stream: StreamLike = None,
) -> Any:
    """Make an image of the colours a network made, as fastmatte.kernels.from_tensor, bit for bit.

    tensor: (1, 3, H, W) float32 or float16.
    """
    return _module().from_tensor(tensor, pixel_format, out, stream)


def guided_upsample(
    guide: DeviceArray,
    alpha: DeviceArray,
    *,
    radius: int,
    eps: float,
    unsure: float | None = None,
    dtype: AlphaDtype | None = None,
    out: DeviceArray | None = None,
    stream: StreamLike = None,
) -> Any:
    """Bring a small alpha to the size of guide, as fastmatte.kernels.guided_upsample does.

    Agrees with oracles.guided_upsample within 2e-5 for eps of at least 1e-5.
    """
    return _module().guided_upsample(guide, alpha, radius, eps, unsure, dtype, out, stream)


def resize(
    image: DeviceArray,
    size: Size,
    *,
    filter: Filter = "bilinear",
    dtype: AlphaDtype | None = None,
    out: DeviceArray | None = None,
    stream: StreamLike = None,
) -> Any:
    """Resample an image or alpha, as fastmatte.kernels.resize does, bit for bit."""
    return _module().resize(image, size, filter, dtype, out, stream)


def to_tensor(
    image: DeviceArray | tuple[DeviceArray, DeviceArray],
    size: Size | None = None,
    *,
    letterbox: Colour | None = None,
    filter: Filter = "bilinear",
    scale: float = 1 / 255,
    mean: Sequence[float] = (0, 0, 0),
    std: Sequence[float] = (1, 1, 1),
    pixel_format: Literal["rgb", "bgr", "rgba", "bgra", "nv12"] = "rgb",
    matrix: YuvMatrix = "bt601",
    range: YuvRange = "limited",
    layout: Layout = "nchw",
    dtype: TensorDtype | None = None,
    out: DeviceArray | None = None,
    stream: StreamLike = None,
) -> Any:
    """Make the tensor a network takes, as fastmatte.kernels.to_tensor does.

    "nv12" is one (H * 3 / 2, W) array or (y, uv), as decoders have them; "i420" is not taken.
    Agrees with oracles.to_tensor within what the processor's kernel keeps; "bilinear" and full-size
    RGB with that kernel bit for bit.
    """
    return _module().to_tensor(
        image,
        size,
        letterbox,
        filter,
        scale,
        mean,
        std,
        pixel_format,
        matrix,
        range,
        layout,
        dtype,
        out,
        stream,
    )


def trimap(
    alpha: DeviceArray,
    *,
    radius: int = 7,
    low: float = 0.05,
    high: float = 0.95,
    out: DeviceArray | None = None,
    stream: StreamLike = None,
) -> Any:
    """Mark background, foreground and unknown, as fastmatte.kernels.trimap does, bit for bit."""
    return _module().trimap(alpha, radius, low, high, out, stream)


def yuv_to_rgb(
    image: DeviceArray | tuple[DeviceArray, DeviceArray],
    *,
    matrix: YuvMatrix = "bt601",
    range: YuvRange = "limited",
    out: DeviceArray | None = None,
    stream: StreamLike = None,
) -> Any:
    """Make an image of an NV12 frame, as fastmatte.kernels.yuv_to_rgb does, bit for bit.

    image: as to_tensor takes "nv12".
    """
    return _module().yuv_to_rgb(image, matrix, range, out, stream)


class Pipeline:
    """Frames from host memory to results in host memory, one graph launch each.

    network:      network(tensor, alpha, stream, slot) enqueues a network on a stream, from tensor,
                  (1, 3, h, w) on the device, to alpha, (1, 1, h, w). It is called a few times while
                  the pipeline is made, and then never again: a CUDA graph repeats it. slot, 0 or 1,
                  alternates from frame to frame, for state that one leaves to the next.
    frame_size:   (H, W) of the (H, W, 3) uint8 frames, in the order of pixel_format. "nv12" frames
                  are one (H * 3 / 2, W) array or (y, uv), as decoders have them: the network sees
                  what to_tensor makes of them, and all else, results too, what yuv_to_rgb does.
    matrix, range: of "nv12", as to_tensor has them.
    size:         (h, w) of the network.
    layout, filter, scale, mean, std, dtype: of tensor, as to_tensor has them.
    alpha_shape:  of what the network makes, (1, C, h, w) in layout "nchw", else (1, h, w, C); None
                  for (1, 1, h, w). Its sides may differ from the tensor's.
    alpha_channel, alpha_dtype: which of its channels is alpha, and "float32" or "float16".
    activation:   "sigmoid" where that is logits.
    content:      (h, w) that a frame fills of tensor, from its first pixel on; None for all. It
                  has as much of the alpha; the rest has its last pixels again, or zeros, by border.
    guidance:     what the network is told besides frames, by tell(): a "trimap", times trimap_scale
                  in guide, (1, 1, h, w) of empty(), else in a fourth channel of tensor; or a
                  "background", laid out in guide, (1, 3, h, w), as frames are in tensor.
    states:       arrays of empty() that are zero for the network's first frame.
    refine:       how alpha grows to the frame's size, None for bilinear growth alone; what has the
                  frame's size already stays as it is.
    result:       "alpha", (H, W); "cutout", (H, W, 4); or "composite" over background, (H, W, 3).
    result_dtype: "uint8", or "float32" for "alpha".
    background:   a colour, or an (H, W, 3) uint8 image in host memory, which is copied.
    foreground:   "image", the frame's colours; "estimated", by blur fusion; or "network", what the
                  network leaves in own_foreground, (1, 3, H, W) of empty().
    overlap:      True uploads one frame, computes another and downloads a third at once while the
                  host takes a fourth, so that results come three frames later (two where they stay
                  on the device); False is done with one before it takes the next.
    graph:        False enqueues every frame anew: for comparison, or what cannot be captured.
    results:      "host", or "device" for results that stay there.
    device:       on which all of it is; None for the current one.

    Belongs to one thread at a time. Raises what network raises, and DeviceMemoryError. Where the
    network cannot be captured, every frame is enqueued, and why_no_graph says why.
    """

    def __init__(
        self,
        network: Callable[[Any, Any, int, int], object],
        *,
        frame_size: Size,
        size: Size,
        pixel_format: Literal["rgb", "bgr", "nv12"] = "rgb",
        matrix: YuvMatrix = "bt601",
        range: YuvRange = "limited",
        layout: Layout = "nchw",
        filter: Filter = "bilinear",
        scale: float = 1 / 255,
        mean: Sequence[float] = (0, 0, 0),
        std: Sequence[float] = (1, 1, 1),
        dtype: TensorDtype = "float32",
        alpha_shape: Sequence[int] | None = None,
        alpha_channel: int = 0,
        alpha_dtype: TensorDtype = "float32",
        activation: Literal["none", "sigmoid"] = "none",
        content: Size | None = None,
        border: Literal["edge", "zero"] = "edge",
        guidance: Literal["trimap", "background"] | None = None,
        guide: DeviceArray | None = None,
        trimap_scale: float = 1 / 255,
        states: Sequence[DeviceArray] = (),
        refine: Refine | None = Refine(),  # noqa: B008 - frozen
        result: Literal["alpha", "cutout", "composite"] = "alpha",
        result_dtype: AlphaDtype = "uint8",
        background: Colour | Image = (0, 0, 0),
        foreground: Literal["image", "estimated", "network"] = "image",
        own_foreground: DeviceArray | None = None,
        overlap: bool = True,
        graph: bool = True,
        results: Literal["host", "device"] = "host",
        device: DeviceLike | None = None,
    ) -> None:
        self._pipeline = _module().Pipeline(
            network,
            frame_size=frame_size,
            size=size,
            pixel_format=pixel_format,
            matrix=matrix,
            range=range,
            layout=layout,
            filter=filter,
            scale=scale,
            mean=mean,
            std=std,
            dtype=dtype,
            alpha_shape=alpha_shape,
            alpha_channel=alpha_channel,
            alpha_dtype=alpha_dtype,
            activation=activation,
            content=content,
            border=border,
            guidance=guidance,
            guide=guide,
            trimap_scale=trimap_scale,
            states=states,
            refine=None if refine is None else (refine.radius, refine.eps, refine.unsure),
            result=result,
            result_dtype=result_dtype,
            background=background,
            foreground=foreground,
            own_foreground=own_foreground,
            overlap=overlap,
            graph=graph,
            results=results,
            device=_number(device),
        )

    @property
    def depth(self) -> int:
        """The most frames that may wait: take a result before the next frame is submitted."""
        return int(self._pipeline.depth)

    @property
    def waiting(self) -> int:
        """The frames submitted whose results nobody took."""
        return int(self._pipeline.waiting)

    @property
    def nodes(self) -> int:
        """Nodes of the graph that a frame launches, 0 where every frame is enqueued."""
        return int(self._pipeline.nodes)

    @property
    def why_no_graph(self) -> str:
        """What the capture failed on; empty where there is a graph or none was wanted."""
        return str(self._pipeline.why_no_graph)

    @property
    def device_bytes(self) -> int:
        """Device memory held, besides the network's."""
        return int(self._pipeline.device_bytes)

    @property
    def next_slot(self) -> int:
        """The slot that the network is called with for the next frame, while nothing waits."""
        return int(self._pipeline.next_slot)

    def tell(self, guidance: Image) -> None:
        """Tell the network the trimap or the background of the frames submitted from now on.

        guidance: (H, W) uint8 of 0, 128 and 255, after which alpha is 0 and 1 where the trimap is
                  sure; or (H, W, 3) in the frames' order of channels. It is copied.
        """
        self._pipeline.tell(guidance)

    def frame(self) -> Image:
        """Return pinned memory for the next frame, to be filled before submit() without one."""
        frame: Image = self._pipeline.frame()
        return frame

    def submit(self, frame: AnyFrame | None = None, *, stream: StreamLike = None) -> None:
        """Send a frame on its way: a NumPy array, a device array, or what frame() returned.

        stream: on which a device array is filled, and may be filled anew.
        """
        self._pipeline.submit(frame, stream)

    def result(self, out: Any = None, *, stream: StreamLike = None) -> Any:
        """Return the oldest result, once it is there.

        out: a NumPy array, or a device array, filled in the order of stream's work; nobody waits.
             None for a new array, where results= says.

        Raises ModelError where the network's output is no alpha, except for device arrays.
        """
        return self._pipeline.result(out, stream)

    def peek(self) -> Array:
        """Return the oldest result in pinned memory: valid until one more frame is submitted, or
        two more results are taken.
        """
        result: Array = self._pipeline.peek()
        return result

    def again(self) -> Array:
        """Return what the frame in frame() and the alpha that the network made last give.

        The network is not run, and the frame is none of the sequence; nothing may wait. The result
        is in pinned memory, valid until one more frame is submitted.
        """
        result: Array = self._pipeline.again()
        return result

    def results(self, frames: Iterable[AnyFrame]) -> Iterator[Any]:
        """Return the results of frames, one for each and in order, in new arrays."""
        for frame in frames:
            if self.waiting == self.depth:
                yield self.result()
            self.submit(frame)
        while self.waiting:
            yield self.result()

    def reset(self) -> None:
        """Make the next frame a first one: states are zero for it."""
        self._pipeline.reset()

    def synchronize(self) -> None:
        """Wait until the device has done all that it was given."""
        self._pipeline.synchronize()
