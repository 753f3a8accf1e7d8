"""SingleImage: the families that turn one RGB image into one alpha and remember nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastmatte import kernels
from fastmatte.arrays import AnyTensor, Image, Layout, PixelFormat, Size, Tensor
from fastmatte.engines.base import Engine, Signature
from fastmatte.models.family import (
    Normalisation,
    channels_of,
    chosen_size,
    image_input,
    input_filter,
)
from fastmatte.models.spec import ModelSpec


@dataclass(frozen=True)
class SingleImage:
    """A family whose members differ only by the values here.

    matches:       why a graph is a member, None where it is not; the graph has one RGB input.
    dynamic_size:  the input size for a frame where the graph leaves it open.
    alpha_channel: which channel of the first output is alpha.
    """

    name: str
    description: str
    matches: Callable[[Signature, Layout], str | None]
    normalisation: Normalisation
    dynamic_size: Callable[[Size], Size]
    alpha_channel: int = 0
    multiple: int = 1

    def recognise(self, signature: Signature) -> str | None:
        """Return why the graph belongs to this family, None where it does not."""
        found = image_input(signature)
        return self.matches(signature, found[0]) if found else None

    def input_size(self, signature: Signature, spec: ModelSpec, frame: Size) -> Size:
        """Return the size the graph or the spec fixes, else the family's rule."""
        size = chosen_size(signature, spec, self.multiple)
        return self.dynamic_size(frame) if size == "dynamic" else size

    def runner(self, engine: Engine, spec: ModelSpec, size: Size, threads: int | None) -> Runner:
        """Make and bind one input and one output tensor."""
        return Runner(self, engine, spec, size, threads)


class Runner:
    """One input and one output tensor of the graph's own dtypes, bound once."""

    foreground: Tensor | None = None

    def __init__(
        self, family: SingleImage, engine: Engine, spec: ModelSpec, size: Size, threads: int | None
    ) -> None:
        found = image_input(engine.signature)
        if found is None:
            raise ValueError(
                f"family: {family.name} needs one RGB image (float32 or float16), the graph has\n"
                f"{engine.signature}"
            )
        self._layout = found[0]
        self._normalisation = family.normalisation.overridden_by(spec)
        self._size = size
        self._threads = threads
        height, width = size
        nchw = self._layout == "nchw"
        output = engine.signature.outputs[0]
        depth = channels_of(output, self._layout)
        channels = depth if isinstance(depth, int) else family.alpha_channel + 1
        self._input: AnyTensor = np.empty(
            (1, 3, height, width) if nchw else (1, height, width, 3),
            engine.signature.inputs[0].dtype,
        )
        result = np.empty(
            (1, channels, height, width) if nchw else (1, height, width, channels),
            "float16" if output.dtype == "float16" else "float32",
        )
        self._binding = engine.bind(
            {engine.signature.inputs[0].name: self._input},
            {output.name: result},
        )
        channel = family.alpha_channel
        self._output = result[0, channel] if nchw else result[0, :, :, channel]
        # Itself where it is float32 with adjacent pixels, else a copy made by each run.
        self.alpha = np.ascontiguousarray(self._output, np.float32)

    def feed(self, image: Image, pixel_format: PixelFormat) -> None:
        """Resize, normalise and lay out in one pass."""
        kernels.to_tensor(
            image,
            self._size,
            filter=input_filter(image, self._size),
            scale=self._normalisation.scale,
            mean=self._normalisation.mean,
            std=self._normalisation.std,
            pixel_format=pixel_format,
            layout=self._layout,
            out=self._input,
            threads=self._threads,
        )

    def run(self) -> None:
        """Run the network."""
        self._binding.run()
        if self.alpha is not self._output:
            np.copyto(self.alpha, self._output)

    def reset(self) -> None:
        """Do nothing: there is no memory."""
