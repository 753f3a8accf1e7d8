"""Pipeline: the way of one frame through a loaded model, from image to alpha of its size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Literal, get_args

import numpy as np

from fastmatte import _core
from fastmatte.alignment import align
from fastmatte.arrays import Alpha, AnyAlpha, Image, PixelFormat, Size, Tensor
from fastmatte.buffers import Buffers
from fastmatte.clock import Clock
from fastmatte.engines import Engine
from fastmatte.errors import EngineError, ModelError
from fastmatte.guidance import chosen_guidance, require_size, require_trimap, set_known
from fastmatte.models import Family, ModelSpec
from fastmatte.models.family import Mode, Runner
from fastmatte.models.tiles import TiledRunner, Tiling
from fastmatte.refine import Refine, enlarge

ColourOrder = Literal["rgb", "bgr"]

_FORMATS = get_args(PixelFormat)


def colour_order(pixel_format: PixelFormat) -> ColourOrder:
    """Return the order of the colours alone.

    Raises ValueError for a pixel format nobody knows.
    """
    if pixel_format not in _FORMATS:
        expected = ", ".join(repr(name) for name in _FORMATS)
        raise ValueError(f"pixel_format: expected one of {expected}, got {pixel_format!r}")
    return "rgb" if pixel_format.startswith("rgb") else "bgr"


def colours_of(
    image: Image,
    pixel_format: PixelFormat,
    buffers: Buffers | None = None,
    name: Literal["image", "background"] = "image",
) -> Image:
    """Return the (H, W, 3) colours of a frame: the frame itself where its pixels lie adjacent.

    A fourth channel is left out and scattered pixels are packed into a copy here, once, because
    several kernels will read them.
    Raises TypeError and ValueError where image is not what pixel_format says.
    """
    _core.require_image(image, name, len(pixel_format))
    colours = image[..., :3]
    if colours.strides[1:] == (3, 1):
        return colours
    buffers = buffers or Buffers(colours.shape[:2])
    packed: Image = buffers.get(f"colours of {name}", np.uint8, 3)
    np.copyto(packed, colours)
    return packed


@dataclass(frozen=True)
class Pipeline:
    """A loaded model and everything that was chosen about how to run it.

    tiling: how large frames are cut into windows; None where the network sees them whole.
    """

    engine: Engine
    family: Family
    spec: ModelSpec
    mode: Mode
    refine: Refine | None
    threads: int
    tiling: Tiling | None = None

    def input_size(self, frame: Size) -> Size:
        """Return the (height, width) at which the network sees frames of this size, or their
        windows.
        """
        if self.tiling is not None:
            return self.tiling.input_size(frame)
        return self.family.input_size(self.engine.signature, self.spec, frame)

    def runner(self, input_size: Size, frame: Size) -> Runner:
        """Make and bind the network's tensors for one frame of this size in flight."""
        if self.tiling is not None:
            return TiledRunner(self.tiling, self.threads)
        try:
            return self.family.runner(self.engine, self.spec, input_size, self.threads, self.mode)
        except EngineError as error:
            raise self._told(error, frame) from error

    def guidance(
        self,
        trimap: Image | None,
        background: Image | None,
        size: Size,
        pixel_format: PixelFormat,
        buffers: Buffers | None = None,
        frame: Image | None = None,
    ) -> Image | None:
        """Return what the network needs besides a frame of this size, once it has been checked.

        frame: the (H, W, 3) one to which a background is aligned, None where it lies as it should.

        Raises TypeError and ValueError where it is missing, unfit, or not for this network.
        """
        chosen = chosen_guidance(self.family.guidance, self.family.name, trimap, background)
        if chosen is None:
            return None
        if self.family.guidance == "trimap":
            require_trimap(chosen, size)
            return chosen
        _core.require_image(chosen, "background", len(pixel_format))
        if frame is not None:
            plate = colours_of(chosen, pixel_format, None, "background")
            return align(plate, frame, colour_order(pixel_format))
        require_size("background", chosen, size)
        return colours_of(chosen, pixel_format, buffers, "background")

    def require_background(self, what: str) -> None:
        """Raise ValueError unless the network takes a background."""
        if self.family.guidance != "background":
            raise ValueError(
                f"{what}: expected False, for family {self.family.name!r} takes no background"
            )

    def run(
        self,
        runner: Runner,
        colours: Image,
        order: ColourOrder,
        guidance: Image | None,
        out: AnyAlpha,
        clock: Clock,
    ) -> None:
        """Fill out, (H, W) float32 or uint8, with the alpha of an (H, W, 3) frame.

        guidance: the frame's trimap or background; None where the runner has it from before.
        """
        start = self.infer(runner, colours, order, guidance, clock)
        self._finish(runner.alpha, colours, guidance, out)
        clock.record("refine", start)

    def lend(
        self,
        runner: Runner,
        colours: Image,
        order: ColourOrder,
        guidance: Image | None,
        buffers: Buffers,
        clock: Clock,
        *,
        skip: bool = False,
    ) -> Alpha:
        """Return the alpha of a frame as run() makes it, good until the runner's next one.

        It is the network's own output where that has the frame's size, else one of buffers.

        skip: whether to refine the runner's last alpha along this frame, without the network.
        """
        if not skip:
            self.infer(runner, colours, order, guidance, clock)
        return self.finish(runner.alpha, colours, guidance, buffers, clock)

    def finish(
        self,
        own: Alpha,
        colours: Image,
        guidance: Image | None,
        buffers: Buffers,
        clock: Clock,
    ) -> Alpha:
        """Return the alpha of a frame from the network's own of it: that itself where it fits."""
        start = perf_counter_ns()
        fits = own.shape == buffers.size and own.flags.c_contiguous
        alpha: Alpha = own if fits else buffers.get("alpha", np.float32)
        self._finish(own, colours, guidance, alpha)
        clock.record("refine", start)
        return alpha

    def own_colours(self, runner: Runner, size: Size) -> Tensor | Callable[[], Tensor] | None:
        """Return the network's own colours of the last frame, or what fetches them, where they have
        the frame's size.
        """
        own = runner.foreground
        return own if own is not None and own.shape[2:] == size else None

    def infer(
        self,
        runner: Runner,
        colours: Image,
        order: ColourOrder,
        guidance: Image | None,
        clock: Clock,
    ) -> int:
        """Leave a checked alpha in the runner; return the time when the network had ended."""
        start = perf_counter_ns()
        runner.feed(colours, order, guidance)
        start = clock.record("input", start)
        try:
            runner.run()
            start = clock.record("network", start)
            # Clamps what an engine's rounding left outside [0, 1], refuses what is further out.
            _core.clamp_alpha(runner.alpha, "output", self.threads)
        except EngineError as error:
            raise self._told(error, (colours.shape[0], colours.shape[1])) from error
        except ValueError as error:
            raise self._no_alpha(error) from error
        return start

    def _finish(self, alpha: Alpha, colours: Image, guidance: Image | None, out: AnyAlpha) -> None:
        enlarge(self.refine, colours, alpha, out, self.threads)
        if self.mode == "fast" and self.family.guidance == "trimap" and guidance is not None:
            set_known(out, guidance)

    def _no_alpha(self, error: Exception) -> ModelError:
        return ModelError(
            f"{self.spec.path}: the network's output is no alpha ({error}). "
            f"Was family {self.family.name!r} the right one to read it?"
        )

    def _told(self, error: EngineError, frame: Size) -> EngineError:
        """Add to what an engine says the frame's size, which is what a caller can change."""
        return EngineError(
            f"{error} (for a frame of {frame[0]} x {frame[1]}; family {self.family.name!r} sees "
            f"{self.family.sizes})"
        )
