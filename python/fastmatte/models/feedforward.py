"""Feedforward: the families without memory. An image, and perhaps guidance, becomes alpha."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fastmatte import kernels
from fastmatte.arrays import Alpha, AnyTensor, Array, Image, Layout, PixelFormat, Size, Tensor
from fastmatte.engines.base import Engine, Signature, TensorInfo
from fastmatte.guidance import Guidance
from fastmatte.models import family
from fastmatte.models.family import (
    DevicePlan,
    Mode,
    Normalisation,
    channels_of,
    chosen_size,
    image_layout,
    input_filter,
    sides_of,
)
from fastmatte.models.reference import Reference, ReferenceRunner, sigmoid
from fastmatte.models.spec import ModelSpec
from fastmatte.models.tiles import LEAST_SIDE, SIDE, Tiling


@dataclass(frozen=True)
class Feedforward:
    """A family whose members differ only by the values here.

    matches:       why a graph is a member, None where it is not; its inputs have been looked at.
    sizes:         dynamic_size in words.
    dynamic_size:  the size a frame is resized to where the graph leaves it open.
    multiple:      of what the network's input sides must be.
    fit:           "stretch" where dynamic_size sees to that, "pad" where pixels are added right and
                   below and alpha is cut to the frame again.
    fill:          what is added: the nearest pixel, or zeros after normalising.
    inputs:        names of the inputs, the image's first; () for the only one, whatever its name.
    trimap_scale:  factor of the trimap's levels. With one input it is the image's fourth channel.
    alpha:         name of the output, or its place among them.
    alpha_channel: which channel of that output is alpha.
    stride:        how many times smaller than the image that output is.
    activation:    "sigmoid" where the graph ends in logits.
    foreground:    name of the output that has colours of its own.
    reference:     the authors' script; None where fastmatte is it.
    """

    name: str
    networks: str
    description: str
    matches: Callable[[Signature, Layout], str | None]
    normalisation: Normalisation
    sizes: str
    dynamic_size: Callable[[Size], Size]
    reference: Reference | None
    multiple: int = 1
    fit: Literal["stretch", "pad"] = "stretch"
    fill: Literal["edge", "zero"] = "edge"
    guidance: Guidance | None = None
    inputs: tuple[str, ...] = ()
    trimap_scale: float = 1 / 255
    alpha: int | str = 0
    alpha_channel: int = 0
    stride: int = 1
    activation: Literal["none", "sigmoid"] = "none"
    foreground: str | None = None

    recurrent: ClassVar[bool] = False

    @property
    def gives(self) -> str:
        """Alpha, and colours where an output has them."""
        return "alpha" if self.foreground is None else "alpha and foreground"

    def recognise(self, signature: Signature) -> str | None:
        """Return why the graph belongs to this family, None where it does not."""
        layout = self.layout(signature)
        return self.matches(signature, layout) if layout else None

    def input_size(self, signature: Signature, spec: ModelSpec, frame: Size) -> Size:
        """Return the size the graph or the spec fixes, else the family's rule, padded."""
        if spec.downsample_ratio is not None:
            raise ValueError(f"downsample_ratio: expected None, for family {self.name!r} has none")
        fixed = self.fixed_size(signature, spec)
        if fixed != "dynamic":
            return fixed
        content = self.dynamic_size(frame)
        return padded(self.multiple)(content) if self.fit == "pad" else content

    def tiling(
        self, engine: Engine, spec: ModelSpec, tile: int | None, threads: int | None
    ) -> Tiling | None:
        """Cut frames for networks that take a trimap, to the graph's own size where it has one."""
        if not self.layout(engine.signature):
            return None  # runner() says what is wrong.
        fixed = self.fixed_size(engine.signature, spec)
        whole = None
        if self.guidance != "trimap":
            whole = f"family {self.name!r} sees frames whole"
        elif spec.size is not None:
            whole = "size says at which size the network sees frames"
        elif tile is not None and fixed != "dynamic":
            whole = f"the graph takes nothing but {fixed[0]} x {fixed[1]}"
        if whole is not None and tile is not None:
            raise ValueError(f"tile: expected 'auto' or 'none', for {whole}; got {tile}")
        # A joint needs some pixels.
        if whole is not None or (fixed != "dynamic" and min(fixed) < LEAST_SIDE):
            return None
        side = tile or SIDE
        return Tiling(
            (side, side) if fixed == "dynamic" else fixed,
            fixed != "dynamic",
            self.multiple if self.fit == "pad" else 1,
            self.dynamic_size,
            lambda size: self.runner(engine, spec, size, threads, "fast", whole=False),
        )

    def runner(
        self,
        engine: Engine,
        spec: ModelSpec,
        size: Size,
        threads: int | None,
        mode: Mode,
        *,
        whole: bool = True,
    ) -> family.Runner:
        """Make the tensors, or what goes through the authors' steps.

        whole: False for windows of a frame, whose pixels are taken as they are.
        """
        self._require_layout(engine.signature)
        if mode == "reference" and self.reference is not None:
            return ReferenceRunner(self, self.reference, engine, spec, threads)
        return Runner(self, engine, spec, size, threads, whole=whole)

    def device_plan(self, engine: Engine, spec: ModelSpec, size: Size) -> DevicePlan:
        """Return the image, what the network is told besides, alpha, and colours of its own."""
        signature = engine.signature
        layout = self._require_layout(signature)
        (image, *guides), alpha = self.tensors(signature), self.output(signature)
        channels = channels_of(alpha, layout)
        depth = channels if isinstance(channels, int) else self.alpha_channel + 1
        half = tuple(side // self.stride for side in size)
        sides = {image: (4 if self.takes_channel else 3, *size), alpha: (depth, *half)}
        for guide in guides:
            sides[guide] = (1 if self.guidance == "trimap" else 3, *size)
        own = [tensor for tensor in signature.outputs if tensor.name == self.foreground]
        sides.update(dict.fromkeys(own, (3, *size)))
        tensors = {
            tensor.name: TensorInfo(
                tensor.name,
                tensor.dtype,
                (1, first, *rest) if layout == "nchw" else (1, *rest, first),
            )
            for tensor, (first, *rest) in sides.items()
        }
        return DevicePlan(
            tensors,
            image.name,
            layout,
            self.normalisation.overridden_by(spec),
            alpha.name,
            self.alpha_channel,
            self.activation,
            foreground=own[0].name if own else None,
            content=self.dynamic_size if self.fixed_size(signature, spec) == "dynamic" else None,
            border=self.fill,
            guidance=self.guidance,
            guide=guides[0].name if guides else None,
            trimap_scale=self.trimap_scale,
        )

    def _require_layout(self, signature: Signature) -> Layout:
        layout = self.layout(signature)
        if layout:
            return layout
        wanted = "one image of RGB and trimap" if self.takes_channel else "one RGB image"
        if self.inputs:
            wanted = f"inputs {' and '.join(self.inputs)}"
        raise ValueError(
            f"family: {self.name} needs {wanted} (float32 or float16), the graph has\n{signature}"
        )

    @property
    def takes_channel(self) -> bool:
        """Whether the trimap is the image's fourth channel."""
        return self.guidance == "trimap" and len(self.inputs) < 2

    def tensors(self, signature: Signature) -> tuple[TensorInfo, ...]:
        """Return the inputs, the image's first; none where they are not the family's."""
        if not self.inputs:
            return signature.inputs if len(signature.inputs) == 1 else ()
        by_name = {tensor.name: tensor for tensor in signature.inputs}
        if set(by_name) != set(self.inputs):
            return ()
        return tuple(by_name[name] for name in self.inputs)

    def layout(self, signature: Signature) -> Layout | None:
        """Return the image's layout, None where the inputs are not the family's."""
        tensors = self.tensors(signature)
        if not tensors:
            return None
        shape = tensors[0].shape
        if self.inputs and len(shape) == 4 and not isinstance(shape[1], int):
            return "nchw"  # Some exporters leave the channels open; then the names have to do.
        return image_layout(tensors[0], 4 if self.takes_channel else 3)

    def output(self, signature: Signature) -> TensorInfo:
        """Return the output that is alpha.

        Raises ValueError where there is none of its name.
        """
        if isinstance(self.alpha, int):
            return signature.outputs[self.alpha]
        for tensor in signature.outputs:
            if tensor.name == self.alpha:
                return tensor
        raise ValueError(
            f"family: {self.name} needs output {self.alpha}, the graph has\n{signature}"
        )

    def fixed_size(self, signature: Signature, spec: ModelSpec) -> Size | Literal["dynamic"]:
        """Return the one size the graph or the spec fixes, "dynamic" where neither does."""
        layout = self.layout(signature)
        sides = sides_of(self.tensors(signature)[0], layout) if layout else ()
        return chosen_size(sides, spec, self.multiple)


class Runner:
    """Input and output tensors of the graph's own dtypes, bound once."""

    def __init__(
        self,
        recipe: Feedforward,
        engine: Engine,
        spec: ModelSpec,
        size: Size,
        threads: int | None,
        *,
        whole: bool = True,
    ) -> None:
        signature = engine.signature
        self._recipe = recipe
        self._sees_pixels = not whole
        self._fixed = recipe.fixed_size(signature, spec)
        self._layout: Layout = recipe.layout(signature) or "nchw"
        self._normalisation = recipe.normalisation.overridden_by(spec)
        self._size = self._content = size
        self._threads = threads
        tensors = recipe.tensors(signature)
        channels = (4 if recipe.takes_channel else 3, 1 if recipe.guidance == "trimap" else 3)
        inputs = [
            np.zeros(self._shape(depth), tensor.dtype)
            for tensor, depth in zip(tensors, channels, strict=False)
        ]
        self._image: AnyTensor = inputs[0][:, :3] if recipe.takes_channel else inputs[0]
        self._guide: AnyTensor = inputs[0][:, 3:] if recipe.takes_channel else inputs[-1]
        alpha, channel = recipe.output(signature), recipe.alpha_channel
        depth = channels_of(alpha, self._layout)
        depth = depth if isinstance(depth, int) else channel + 1
        result = self._output_like(alpha, depth, recipe.stride)
        outputs: dict[str, Array] = {alpha.name: result}
        self._own: Array | None = None
        for tensor in signature.outputs:
            if tensor.name == recipe.foreground:
                self._own = outputs[tensor.name] = self._output_like(tensor, 3)
        names = [tensor.name for tensor in tensors]
        self._binding = engine.bind(dict(zip(names, inputs, strict=True)), outputs)
        self._output = result[0, channel] if self._layout == "nchw" else result[0, :, :, channel]
        # Itself where it is float32 with adjacent pixels, else a copy made by each run.
        self._whole = np.ascontiguousarray(self._output, np.float32)
        self._unpadded: AnyTensor = np.empty((1, 3, 0, 0), self._image.dtype)

    @property
    def alpha(self) -> Alpha:
        """The part of the output that is the frame's."""
        height, width = (side // self._recipe.stride for side in self._content)
        return self._whole[:height, :width]

    @property
    def foreground(self) -> Tensor | None:
        """The network's own colours, cut to the frame."""
        height, width = self._content
        if self._own is None:
            return None
        return np.ascontiguousarray(self._own[..., :height, :width], np.float32)

    def feed(self, image: Image, pixel_format: PixelFormat, guidance: Image | None = None) -> None:
        """Resize, normalise and lay out in one pass; pad what needs it."""
        self._content = self._content_of((image.shape[0], image.shape[1]))
        self._lay(image, pixel_format, self._image)
        if guidance is None:
            return
        if self._recipe.guidance == "background":
            self._lay(guidance, pixel_format, self._guide)
        else:
            self._lay_trimap(guidance)

    def run(self) -> None:
        """Run the network."""
        self._binding.run()
        if self._whole is not self._output:
            np.copyto(self._whole, self._output)
        if self._recipe.activation == "sigmoid":
            sigmoid(self._whole)

    def reset(self) -> None:
        """Do nothing: there is no memory."""

    def _content_of(self, frame: Size) -> Size:
        if self._sees_pixels:
            return frame
        return self._recipe.dynamic_size(frame) if self._fixed == "dynamic" else self._fixed

    def _shape(self, channels: int, stride: int = 1) -> tuple[int, int, int, int]:
        height, width = (side // stride for side in self._size)
        nchw = self._layout == "nchw"
        return (1, channels, height, width) if nchw else (1, height, width, channels)

    def _output_like(self, tensor: TensorInfo, channels: int, stride: int = 1) -> Array:
        dtype = "float16" if tensor.dtype == "float16" else "float32"
        return np.empty(self._shape(channels, stride), dtype)

    def _lay(self, image: Image, pixel_format: PixelFormat, tensor: AnyTensor) -> None:
        fits = self._content == self._size
        if not fits and self._unpadded.shape[2:] != self._content:
            self._unpadded = np.empty((1, 3, *self._content), tensor.dtype)
        kernels.to_tensor(
            image,
            None if image.shape[:2] == self._content else self._content,
            filter=input_filter(image.shape[:2], self._content),
            scale=self._normalisation.scale,
            mean=self._normalisation.mean,
            std=self._normalisation.std,
            pixel_format=pixel_format,
            layout=self._layout,
            out=tensor if fits else self._unpadded,
            threads=self._threads,
        )
        if not fits:
            height, width = self._content
            tensor[..., :height, :width] = self._unpadded
            self._fill(tensor)

    def _lay_trimap(self, trimap: Image) -> None:
        height, width = self._content
        if trimap.shape != self._content:
            trimap = kernels.resize(trimap, self._content, filter="nearest", threads=self._threads)
        inside = self._guide[0, 0, :height, :width]
        np.multiply(trimap, self._recipe.trimap_scale, out=inside, casting="same_kind")
        self._fill(self._guide)

    def _fill(self, tensor: AnyTensor) -> None:
        """Fill what is right of the frame and below it."""
        height, width = self._content
        edge = self._recipe.fill == "edge"
        tensor[..., :height, width:] = tensor[..., :height, width - 1 : width] if edge else 0
        tensor[..., height:, :] = tensor[..., height - 1 : height, :] if edge else 0


def padded(multiple: int) -> Callable[[Size], Size]:
    """Return the rule that enlarges both sides to the next multiple."""

    def rule(size: Size) -> Size:
        height, width = (-(-side // multiple) * multiple for side in size)
        return height, width

    return rule


def own_size(size: Size) -> Size:
    """Keep the frame's size."""
    return size
