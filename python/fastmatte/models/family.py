"""What a family of networks is: how its graphs are recognised, fed and read.

Families see tensors and sizes, never an engine's own objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from fastmatte.arrays import Alpha, Array, Image, Layout, PixelFormat, Size, Tensor
from fastmatte.engines.base import Engine, Signature, TensorInfo
from fastmatte.guidance import Guidance
from fastmatte.models.spec import ModelSpec

if TYPE_CHECKING:
    from fastmatte.models.tiles import Tiling


@dataclass(frozen=True)
class Normalisation:
    """What happens to each pixel on its way into the network: (pixel * scale - mean) / std."""

    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def overridden_by(self, spec: ModelSpec) -> Normalisation:
        """Return this with whatever the spec says by hand."""
        return Normalisation(
            self.scale if spec.scale is None else spec.scale,
            self.mean if spec.mean is None else spec.mean,
            self.std if spec.std is None else spec.std,
        )


ZERO_TO_ONE = Normalisation()
MINUS_ONE_TO_ONE = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
#: Mean and standard deviation of ImageNet's training set, as torchvision publishes them.
IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


#: The frame whose size decides for a network that is built for one size, where nobody names one:
#: what cameras and films give most.
COMMON_FRAME: Size = (1080, 1920)
#: Strips longer than this many short sides are squashed where they are enlarged: 3 x 700 pixels
#: would become 61 million, and show a network no person all the same.
LONGEST_ASPECT = 4.0

#: "reference" does what the authors' own scripts do, "fast" what serves the alpha best.
Mode = Literal["fast", "reference"]


class Runner(Protocol):
    """The tensors of one frame in flight, bound to an engine for frames of one size."""

    @property
    def alpha(self) -> Alpha:
        """(h, w), a view of the network's output, valid after run() until the next one.

        In [0, 1] but for rounding. A stream clamps it where it lies and, where it has the frame's
        size, hands it out. Of the frame's size where the authors' script brought it there.
        """

    @property
    def foreground(self) -> Tensor | None:
        """(1, 3, h, w) in [0, 1], R, G, B, where the network gives colours of its own."""

    def feed(self, image: Image, pixel_format: PixelFormat, guidance: Image | None = None) -> None:
        """Fill the network's inputs from a frame.

        guidance: the trimap or background of the frame's size that the family takes; None keeps
                  the one before.
        """

    def run(self) -> None:
        """Run the network.

        Raises ValueError where what it gives is no alpha to go on with.
        """

    def reset(self) -> None:
        """Forget earlier frames; nothing to do for a network without memory."""


@runtime_checkable
class Recurrent(Protocol):
    """A runner that remembers earlier frames."""

    def memory(self) -> dict[str, Array]:
        """Copy what is remembered; empty before the first frame."""

    def remember(self, memory: Mapping[str, Array]) -> None:
        """Go on from what memory() gave, of a runner for frames of the same size."""


@dataclass(frozen=True)
class DevicePlan:
    """How a frame becomes a network's tensors, and they alpha, as data: what runs on a GPU.

    tensors:       all that the network is given and asked for, by name, with every side known.
    image:         the input that the frame is laid out in, in this layout.
    alpha:         the output with alpha in it, in the same layout, and the channel that it is.
    activation:    "sigmoid" where that is logits.
    foreground:    the output that has colours of its own, (1, 3, h, w) of the image's size.
    states:        inputs, zero for a first frame, and the outputs that are the next frame's.
    constants:     inputs that stay as they are.
    content:       what a frame of a size fills of that input, from its first pixel on; None for
                   all. Of what is made the same part is the frame's.
    border:        what the rest has: the nearest pixel, or zeros after normalising.
    guidance:      what the network is told besides the frame.
    guide:         the input for that; None for a trimap in the image's fourth channel.
    trimap_scale:  factor of a trimap's levels.
    """

    tensors: Mapping[str, TensorInfo]
    image: str
    layout: Layout
    normalisation: Normalisation
    alpha: str
    alpha_channel: int = 0
    activation: Literal["none", "sigmoid"] = "none"
    foreground: str | None = None
    states: tuple[tuple[str, str], ...] = ()
    constants: Mapping[str, Array] = field(default_factory=dict)
    content: Callable[[Size], Size] | None = None
    border: Literal["edge", "zero"] = "edge"
    guidance: Guidance | None = None
    guide: str | None = None
    trimap_scale: float = 1 / 255

    @property
    def size(self) -> Size:
        """(height, width) of the image."""
        height, width = sides_of(self.tensors[self.image], self.layout)
        assert isinstance(height, int)
        assert isinstance(width, int)
        return height, width

    def content_of(self, frame: Size) -> Size:
        """Return what a frame of this size fills of the image."""
        return self.size if self.content is None else self.content(frame)


class Family(Protocol):
    """One family: the only place that knows its names, sizes and normalisation."""

    @property
    def name(self) -> str:
        """What ModelSpec.family calls it."""

    @property
    def networks(self) -> str:
        """The published networks that are fed and read like this."""

    @property
    def description(self) -> str:
        """The signature in words, for the error that says what is known."""

    @property
    def sizes(self) -> str:
        """The sizes at which the network sees a frame, in words."""

    @property
    def gives(self) -> str:
        """What comes out, in words."""

    @property
    def normalisation(self) -> Normalisation:
        """What happens to each pixel on its way in."""

    @property
    def guidance(self) -> Guidance | None:
        """What the network needs besides the image."""

    @property
    def recurrent(self) -> bool:
        """Whether it remembers earlier frames."""

    def recognise(self, signature: Signature) -> str | None:
        """Return why the graph belongs to this family, None where it does not."""

    def input_size(self, signature: Signature, spec: ModelSpec, frame: Size) -> Size:
        """Return the (height, width) at which the network sees a frame.

        Raises ValueError for a spec the graph cannot take.
        """

    def tiling(
        self, engine: Engine, spec: ModelSpec, tile: int | None, threads: int | None
    ) -> Tiling | None:
        """Return how large frames are cut into windows, None where they are always seen whole.

        tile: the windows' side; None for the family's own.
        Raises ValueError for a tile where there is no choice.
        """

    def runner(
        self, engine: Engine, spec: ModelSpec, size: Size, threads: int | None, mode: Mode
    ) -> Runner:
        """Make the tensors for input of this size.

        Raises ValueError where the graph has not the inputs and outputs of the family.
        """

    def device_plan(self, engine: Engine, spec: ModelSpec, size: Size) -> DevicePlan:
        """Return what a GPU needs to know to do what a runner for input of this size does.

        Raises as runner() does.
        """


def input_filter(frame: Size, size: Size) -> Literal["area", "bilinear"]:
    """Return how a frame is resampled for the network: by area unless a side grows.

    Growing by area repeats pixels, and the network would see the steps.
    """
    grows = size[0] > frame[0] or size[1] > frame[1]
    return "bilinear" if grows else "area"


def image_layout(tensor: TensorInfo, channels: int = 3) -> Layout | None:
    """Return the layout of an image of so many channels, None where the tensor is none.

    float16 is the input of a graph whose precision was lowered, with the rest of its signature.
    """
    if tensor.dtype not in ("float32", "float16") or len(tensor.shape) != 4:
        return None
    if tensor.shape[1] == channels:
        return "nchw"
    return "nhwc" if tensor.shape[3] == channels else None


def sides_of(tensor: TensorInfo, layout: Layout) -> tuple[int | str | None, ...]:
    """Return height and width of a 4-D tensor, each a number, a name or None."""
    return tensor.shape[2:] if layout == "nchw" else tensor.shape[1:3]


def squashed(size: Size, frame: Size, multiple: int) -> Size:
    """Return a size in multiples for a thin frame: no side without pixels, none grown too long."""
    height, width = (max(multiple, side) for side in size)
    most = int(max(*frame, LONGEST_ASPECT * min(height, width)))
    most -= most % multiple
    return min(height, most), min(width, most)


def names_of(tensors: Iterable[TensorInfo]) -> set[str]:
    """Return the names of inputs or outputs."""
    return {tensor.name for tensor in tensors}


def channels_of(tensor: TensorInfo, layout: Layout) -> int | str | None:
    """Return the channels of a 4-D tensor in this layout, None for any other tensor."""
    if len(tensor.shape) != 4:
        return None
    return tensor.shape[1 if layout == "nchw" else 3]


def chosen_size(
    sides: tuple[int | str | None, ...], spec: ModelSpec, multiple: int = 1
) -> Size | Literal["dynamic"]:
    """Return the one size the graph or the spec fixes, "dynamic" where neither does.

    Raises ValueError for a spec.size other than the graph's, or no multiple of what it needs.
    """
    fixed = [side for side in sides if isinstance(side, int)]
    if spec.size is None:
        return (fixed[0], fixed[1]) if len(fixed) == 2 else "dynamic"
    height, width = spec.size
    if len(fixed) == 2 and [height, width] != fixed:
        raise ValueError(f"size: expected {tuple(fixed)}, fixed in the graph, got {spec.size}")
    if height < multiple or width < multiple or height % multiple or width % multiple:
        raise ValueError(f"size: expected positive multiples of {multiple}, got {spec.size}")
    return height, width
