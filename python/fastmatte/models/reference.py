"""Reference: how a network's authors feed and read it in their own script, step by step.

Clarity comes first here, and the same bytes; models/feedforward.py has what is fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fastmatte import _core
from fastmatte.arrays import Alpha, Array, Image, PixelFormat, Size, Tensor
from fastmatte.engines.base import Engine
from fastmatte.guidance import set_known
from fastmatte.models.resampling import Resampling, resample
from fastmatte.models.spec import ModelSpec

if TYPE_CHECKING:
    from fastmatte.models.feedforward import Feedforward

#: A size of a frame, or of what became of it.
SizeRule = Callable[[Size], Size]


@dataclass(frozen=True)
class Reference:
    """The values in which the authors' scripts differ.

    script:         whose it is, for messages and readers.
    sizes:          the sizes the frame goes through, one resize each; none keeps its own.
    resample:       how image and alpha are resized.
    normalise:      "last", the resized uint8 image; "first", the whole frame, in float64.
    brightest:      whether the image's largest level counts as 1 instead of 255.
    padded:         the size to which zeros are added right and below, after normalising.
    trimap:         how the trimap is resized.
    stretch:        whether alpha is spread until it reaches 0 and 1.
    truncate:       when alpha becomes (alpha * 255).astype(uint8): before it is resized back, after
                    it, or "never".
    known:          when the trimap's 0 and 255 are put into alpha: "before" or "after" likewise.
    """

    script: str
    sizes: tuple[SizeRule, ...] = ()
    resample: Resampling = "linear"
    normalise: Literal["first", "last"] = "last"
    brightest: bool = False
    padded: SizeRule | None = None
    trimap: Resampling = "nearest"
    stretch: bool = False
    truncate: Literal["before", "after", "never"] = "after"
    known: Literal["before", "after", "never"] = "never"


class ReferenceRunner:
    """One frame through the authors' own steps; alpha has the frame's size."""

    def __init__(
        self,
        recipe: Feedforward,
        reference: Reference,
        engine: Engine,
        spec: ModelSpec,
        threads: int | None,
    ) -> None:
        self._recipe = recipe
        self._reference = reference
        self._engine = engine
        self._normalisation = recipe.normalisation.overridden_by(spec)
        self._inputs = recipe.tensors(engine.signature)
        self._layout = recipe.layout(engine.signature)
        self._output = recipe.output(engine.signature).name
        self._fixed = recipe.fixed_size(engine.signature, spec)
        self._threads = threads
        self._sizes: list[Size] = []
        self._tensors: dict[str, Array] = {}
        self._guidance: Image | None = None
        self.alpha: Alpha = np.empty((0, 0), np.float32)
        self.foreground: Tensor | None = None

    def feed(self, image: Image, pixel_format: PixelFormat, guidance: Image | None = None) -> None:
        """Bring the frame to the network's size and normalise it, in the authors' order."""
        self._guidance = self._guidance if guidance is None else guidance
        self._sizes = self._steps((image.shape[0], image.shape[1]))
        planes = [self._colours(image, pixel_format)]
        if self._recipe.guidance == "background" and self._guidance is not None:
            planes.append(self._colours(self._guidance, pixel_format))
        if (trimap := self._trimap(self._sizes[1:])) is not None:
            planes.append(trimap[..., None] * self._recipe.trimap_scale)
        if len(self._inputs) < len(planes):
            planes = [np.concatenate(planes, axis=2)]
        self._tensors = {
            tensor.name: self._laid_out(plane, tensor.dtype)
            for tensor, plane in zip(self._inputs, planes, strict=True)
        }

    def run(self) -> None:
        """Run the network, and bring its alpha to the frame's size in the authors' order."""
        results = self._engine.run(self._tensors)
        height, width = self._sizes[-1]
        channel = self._recipe.alpha_channel
        result = results[self._output][0]
        plane = result[channel] if self._layout == "nchw" else result[..., channel]
        self.alpha = self._read(np.array(plane[:height, :width], np.float32))
        if self._recipe.foreground is not None:
            colours = results[self._recipe.foreground][..., :height, :width]
            self.foreground = np.ascontiguousarray(colours, np.float32)

    def reset(self) -> None:
        """Do nothing: there is no memory."""

    def _steps(self, frame: Size) -> list[Size]:
        """Return the frame's size and each one after it; the last is the network's, unpadded."""
        if self._fixed != "dynamic":
            return [frame, self._fixed]
        sizes = [frame]
        for rule in self._reference.sizes:
            sizes.append(rule(sizes[-1]))
        multiple = 1 if self._reference.padded else self._recipe.multiple
        if any(side < 1 or side % multiple for side in sizes[-1]):
            raise ValueError(
                f"image: {self._reference.script} cannot feed {frame[0]} x {frame[1]}, for "
                f"{sizes[-1][0]} x {sizes[-1][1]} would reach a network that takes positive "
                f"multiples of {multiple}; mode='fast' takes any size"
            )
        return sizes

    def _colours(self, image: Image, pixel_format: PixelFormat) -> Array:
        """Return (h, w, 3) of what the network is to see, in float64."""
        colours: Array = image if pixel_format.startswith("rgb") else image[..., ::-1]
        values, first = self._normalisation, self._reference.normalise == "first"
        if first:
            colours = (colours * values.scale - values.mean) / values.std
        for size in self._sizes[1:]:
            colours = resample(np.ascontiguousarray(colours), size, self._reference.resample)
        if first:
            return colours
        # The floor keeps a black image from dividing by zero.
        brightest = max(int(colours.max()), 1e-6)
        scale = 1 / brightest if self._reference.brightest else values.scale
        result: Array = (colours * scale - values.mean) / values.std
        return result

    def _trimap(self, sizes: Sequence[Size]) -> Image | None:
        """Return the trimap brought through these sizes."""
        if self._recipe.guidance != "trimap" or self._guidance is None:
            return None
        trimap = self._guidance
        for size in sizes:
            trimap = resample(trimap, size, self._reference.trimap)
        return trimap

    def _laid_out(self, planes: Array, dtype: str) -> Array:
        """Return the tensor, padded with zeros where the authors do."""
        height, width, _ = planes.shape
        if self._reference.padded is not None and self._fixed == "dynamic":
            rows, columns = self._reference.padded((height, width))
            planes = np.pad(planes, ((0, rows - height), (0, columns - width), (0, 0)))
        planes = planes.transpose(2, 0, 1) if self._layout == "nchw" else planes
        return np.ascontiguousarray(planes[None], dtype)

    def _read(self, output: Alpha) -> Alpha:
        """Return alpha at the frame's size."""
        if not np.isfinite(output).all():
            raise ValueError("output: expected numbers, got nan or inf")
        if self._recipe.activation == "sigmoid":
            output = sigmoid(output)
        if self._reference.stretch:
            output = stretched(output)
        _core.clamp_alpha(output, "output", self._threads)
        alpha = self._settled(output, "before", self._sizes[1:])
        for size in self._sizes[-2::-1]:
            alpha = resample(alpha, size, self._reference.resample)
        alpha = self._settled(alpha, "after", ())
        if alpha.dtype == np.uint8:
            alpha = np.divide(alpha, 255, dtype=np.float32)
        return alpha

    def _settled(self, alpha: Array, now: str, sizes: Sequence[Size]) -> Array:
        """Return alpha once what the authors do before or after resizing it back is done."""
        if self._reference.truncate == now:
            alpha = (alpha * np.float32(255)).astype(np.uint8)
        if self._reference.known == now and (trimap := self._trimap(sizes)) is not None:
            set_known(alpha, trimap)
        return alpha


def sigmoid(alpha: Alpha) -> Alpha:
    """Turn logits into alpha, in place."""
    with np.errstate(over="ignore"):
        np.exp(np.negative(alpha, out=alpha), out=alpha)
    alpha += 1
    return np.reciprocal(alpha, out=alpha)


def stretched(alpha: Alpha) -> Alpha:
    """Spread alpha over [0, 1]; one that is the same everywhere becomes 0."""
    low, high = alpha.min(), alpha.max()
    return (alpha - low) / (high - low) if high > low else np.zeros_like(alpha)
