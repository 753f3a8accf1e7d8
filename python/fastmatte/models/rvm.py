"""Robust Video Matting: recurrent, full resolution, with foreground colours of its own."""

from __future__ import annotations

import numpy as np

from fastmatte import kernels
from fastmatte.arrays import Array, Image, PixelFormat, Size
from fastmatte.engines.base import Binding, Engine, Signature
from fastmatte.models.family import ZERO_TO_ONE, input_filter
from fastmatte.models.spec import ModelSpec

STATES_IN = ("r1i", "r2i", "r3i", "r4i")
STATES_OUT = ("r1o", "r2o", "r3o", "r4o")
#: The authors' automatic rule: the coarse pass sees at most 512 pixels a side.
COARSE_SIDE = 512
#: Its coarsest features are a sixteenth of the frame; below this some convolutions have no input.
LEAST_SIDE = 16


class Rvm:
    """src, four states and downsample_ratio in; fgr, pha and four states out."""

    name = "rvm"
    description = "src, r1i..r4i, downsample_ratio -> fgr, pha, r1o..r4o"

    def recognise(self, signature: Signature) -> str | None:
        """Recognise the published export by the names of all its tensors."""
        inputs = {tensor.name for tensor in signature.inputs}
        outputs = {tensor.name for tensor in signature.outputs}
        if inputs != {"src", "downsample_ratio", *STATES_IN}:
            return None
        if not outputs >= {"fgr", "pha", *STATES_OUT}:
            return None
        return "inputs src, r1i..r4i and downsample_ratio"

    def input_size(self, signature: Signature, spec: ModelSpec, frame: Size) -> Size:
        """Return the frame's own size, for the network shrinks it by itself; tiny ones enlarged."""
        size = spec.size or (max(frame[0], LEAST_SIDE), max(frame[1], LEAST_SIDE))
        if min(size) < LEAST_SIDE:
            raise ValueError(f"size: expected sides of at least {LEAST_SIDE}, got {size}")
        return size

    def runner(self, engine: Engine, spec: ModelSpec, size: Size, threads: int | None) -> Runner:
        """Make two bindings that hand the recurrent state back and forth."""
        return Runner(engine, spec, size, threads)


class Runner:
    """Full-size tensors and two sets of states, each the other's successor."""

    def __init__(self, engine: Engine, spec: ModelSpec, size: Size, threads: int | None) -> None:
        self._normalisation = ZERO_TO_ONE.overridden_by(spec)
        self._size = size
        self._threads = threads
        height, width = size
        self._engine = engine
        self._src = np.empty((1, 3, height, width), np.float32)
        self._fixed = {
            "src": self._src,
            "downsample_ratio": np.array([min(COARSE_SIDE / max(size), 1.0)], np.float32),
        }
        self.foreground = np.empty((1, 3, height, width), np.float32)
        self._pha = np.empty((1, 1, height, width), np.float32)
        self.alpha = self._pha[0, 0]
        self._states: tuple[dict[str, Array], ...] = ()
        self._bindings: tuple[Binding, ...] = ()
        self._turn = 0

    def feed(self, image: Image, pixel_format: PixelFormat) -> None:
        """Lay out the frame as it is; the network normalises by itself."""
        size = None if image.shape[:2] == self._size else self._size
        kernels.to_tensor(
            image,
            size,
            filter=input_filter(image, self._size),
            scale=self._normalisation.scale,
            mean=self._normalisation.mean,
            std=self._normalisation.std,
            pixel_format=pixel_format,
            out=self._src,
            threads=self._threads,
        )

    def run(self) -> None:
        """Run the network from the state the last run left."""
        if self._bindings:
            self._bindings[self._turn].run()
            self._turn = 1 - self._turn
        else:
            self._run_first()

    def _run_first(self) -> None:
        # A zero state of one pixel is broadcast, and its results tell the shapes of the real ones.
        seed = {name: np.zeros((1, 1, 1, 1), np.float32) for name in STATES_IN}
        results = self._engine.run({**self._fixed, **seed})
        images = {"fgr": self.foreground, "pha": self._pha}
        for name, array in images.items():
            np.copyto(array, results[name])
        last = {name: results[name] for name in STATES_OUT}
        self._states = (last, {name: np.empty_like(array) for name, array in last.items()})
        self._bindings = tuple(
            self._engine.bind(
                {**self._fixed, **dict(zip(STATES_IN, before.values(), strict=True))},
                {**images, **after},
            )
            for before, after in (self._states, self._states[::-1])
        )

    def reset(self) -> None:
        """Start from the zero state of a first frame: the same bits as one broadcast pixel."""
        if self._states:
            for state in self._states[self._turn].values():
                state.fill(0)


RVM = Rvm()
