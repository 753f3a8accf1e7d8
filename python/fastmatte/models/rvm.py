"""Robust Video Matting: recurrent, full resolution, with foreground colours of its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastmatte import kernels
from fastmatte.arrays import AnyTensor, Array, Image, PixelFormat, Size
from fastmatte.engines.base import Binding, Engine, Signature, TensorInfo
from fastmatte.models.family import (
    ZERO_TO_ONE,
    DevicePlan,
    Mode,
    chosen_size,
    input_filter,
    names_of,
    sides_of,
)
from fastmatte.models.spec import ModelSpec

STATES_IN = ("r1i", "r2i", "r3i", "r4i")
STATES_OUT = ("r1o", "r2o", "r3o", "r4o")
#: The authors' automatic rule: the coarse pass sees at most 512 pixels a side.
COARSE_SIDE = 512
#: Its coarsest features are a sixteenth of the frame; below this some convolutions have no input.
LEAST_SIDE = 16


class Rvm:
    """src, four states and perhaps downsample_ratio in; fgr, pha and four states out."""

    name = "rvm"
    networks = "Robust Video Matting: MobileNetV3, ResNet50; float32, float16"
    description = "src, r1i..r4i, downsample_ratio -> fgr, pha, r1o..r4o"
    sizes = "the frame's own; the coarse pass at most 512 a side, or as downsample_ratio says"
    gives = "alpha and foreground"
    normalisation = ZERO_TO_ONE
    guidance = None
    recurrent = True

    def recognise(self, signature: Signature) -> str | None:
        """Recognise the published export by the names of all its tensors.

        A graph whose downsample_ratio was made a constant has lost that input.
        """
        inputs = names_of(signature.inputs)
        if not inputs >= {"src", *STATES_IN} or inputs - {"src", "downsample_ratio", *STATES_IN}:
            return None
        if not names_of(signature.outputs) >= {"fgr", "pha", *STATES_OUT}:
            return None
        return f"inputs src, r1i..r4i{' and downsample_ratio' * ('downsample_ratio' in inputs)}"

    def input_size(self, signature: Signature, spec: ModelSpec, frame: Size) -> Size:
        """Return the frame's own size, for the network shrinks it by itself; tiny ones enlarged."""
        if self.recognise(signature) is None:
            raise ValueError(f"family: rvm needs {self.description}, the graph has\n{signature}")
        ratio = spec.downsample_ratio
        if ratio is not None and "downsample_ratio" not in names_of(signature.inputs):
            raise ValueError(f"downsample_ratio: expected None, fixed in the graph, got {ratio}")
        if ratio is not None and not 0 < ratio <= 1:
            raise ValueError(f"downsample_ratio: expected above 0 and at most 1, got {ratio}")
        [sides] = [sides_of(t, "nchw") for t in signature.inputs if t.name == "src"]
        size = chosen_size(sides, spec)
        if size == "dynamic":
            size = max(frame[0], LEAST_SIDE), max(frame[1], LEAST_SIDE)
        if min(size) < LEAST_SIDE:
            raise ValueError(f"size: expected sides of at least {LEAST_SIDE}, got {size}")
        return size

    def tiling(
        self, engine: Engine, spec: ModelSpec, tile: int | None, threads: int | None
    ) -> None:
        """See frames whole: the recurrent state is of one size."""
        if tile is not None:
            raise ValueError(
                f"tile: expected 'auto' or 'none', for family {self.name!r} sees frames whole; "
                f"got {tile}"
            )

    def runner(
        self, engine: Engine, spec: ModelSpec, size: Size, threads: int | None, mode: Mode
    ) -> Runner:
        """Make two bindings that hand the recurrent state back and forth.

        The authors' script does nothing to a frame but divide it by 255: both modes are this.
        Raises ValueError where the graph has states of another size than the frame's.
        """
        require_states(engine.signature, size, ratio_of(spec, size))
        return Runner(engine, spec, size, threads)

    def device_plan(self, engine: Engine, spec: ModelSpec, size: Size) -> DevicePlan:
        """Return it; where the graph leaves the states' sizes open, a first run tells them."""
        signature = engine.signature
        require_states(signature, size, ratio_of(spec, size))
        known = {tensor.name: tensor for tensor in (*signature.inputs, *signature.outputs)}
        sides: dict[str, tuple[int | str | None, ...]] = {
            "src": (1, 3, *size),
            "fgr": (1, 3, *size),
            "pha": (1, 1, *size),
        }
        constants: dict[str, Array] = {}
        if "downsample_ratio" in known:
            constants["downsample_ratio"] = np.array([ratio_of(spec, size)], np.float32)
        shapes = {name: known[name].shape for name in STATES_OUT}
        if not all(isinstance(side, int) for shape in shapes.values() for side in shape):
            src = np.zeros((1, 3, *size), known["src"].dtype)
            given = {"src": src, **constants, **seeds(signature)}
            results = engine.run(given, constants=constants.keys())
            shapes = {name: results[name].shape for name in STATES_OUT}
        for before, after in zip(STATES_IN, STATES_OUT, strict=True):
            sides[before] = sides[after] = shapes[after]
        return DevicePlan(
            {name: TensorInfo(name, known[name].dtype, shape) for name, shape in sides.items()},
            "src",
            "nchw",
            ZERO_TO_ONE.overridden_by(spec),
            "pha",
            foreground="fgr",
            states=tuple(zip(STATES_IN, STATES_OUT, strict=True)),
            constants=constants,
        )


def seeds(signature: Signature) -> dict[str, Array]:
    """Return the states of a first frame.

    A zero state of one pixel is broadcast, and its results tell the shapes of the real ones.
    """
    known = {tensor.name: tensor for tensor in signature.inputs}
    return {
        name: np.zeros(
            [side if isinstance(side, int) else 1 for side in known[name].shape], known[name].dtype
        )
        for name in STATES_IN
    }


def ratio_of(spec: ModelSpec, size: Size) -> float:
    """Return the downsample_ratio for frames of this size: the user's, else the authors' rule."""
    return spec.downsample_ratio or min(COARSE_SIDE / max(size), 1.0)


def require_states(signature: Signature, size: Size, ratio: float) -> None:
    """Raise ValueError where a graph fixes states to a size that these frames do not have.

    The k-th has a 2^k-th of the coarse frame's sides, rounded up.
    """
    if "downsample_ratio" not in names_of(signature.inputs):
        return  # Then it is in the graph, and only the engine knows it.
    coarse = [int(np.float32(side) * np.float32(ratio)) for side in size]
    states = {t.name: sides_of(t, "nchw") for t in signature.inputs if t.name in STATES_IN}
    for k, name in enumerate(STATES_IN, 1):
        own = tuple(-(-side // 2**k) for side in coarse)
        if any(isinstance(a, int) and a != b for a, b in zip(states[name], own, strict=True)):
            fixed = " x ".join(map(str, states[name]))
            raise ValueError(
                f"image: expected one whose state {name} is {fixed}, fixed in the graph, got "
                f"{size[0]} x {size[1]}, whose is {own[0]} x {own[1]} at a downsample_ratio of "
                f"{ratio:.4g}"
            )


class Runner:
    """Full-size tensors and two sets of states, each the other's successor."""

    def __init__(self, engine: Engine, spec: ModelSpec, size: Size, threads: int | None) -> None:
        self._normalisation = ZERO_TO_ONE.overridden_by(spec)
        self._size = size
        self._threads = threads
        height, width = size
        self._engine = engine
        dtypes = {tensor.name: tensor.dtype for tensor in engine.signature.inputs}
        #: States and images are of the network's own dtype; the ratio is always float32.
        self._dtype = dtypes["src"]
        self._src: AnyTensor = np.empty((1, 3, height, width), self._dtype)
        self._fixed: dict[str, Array] = {"src": self._src}
        if "downsample_ratio" in dtypes:
            self._fixed["downsample_ratio"] = np.array([ratio_of(spec, size)], np.float32)
        self._fgr: AnyTensor = np.empty((1, 3, height, width), self._dtype)
        self._pha: AnyTensor = np.empty((1, 1, height, width), self._dtype)
        # Themselves where they are float32, else copies made by each run.
        self.foreground = np.asarray(self._fgr, np.float32)
        self.alpha = np.asarray(self._pha[0, 0], np.float32)
        self._states: tuple[dict[str, Array], ...] = ()
        self._bindings: tuple[Binding, ...] = ()
        self._turn = 0
        # The ratio stays as it is, and decides the sizes of all that is inside.
        self._constants = self._fixed.keys() - {"src"}

    def feed(self, image: Image, pixel_format: PixelFormat, guidance: Image | None = None) -> None:
        """Lay out the frame as it is; the network normalises by itself."""
        size = None if image.shape[:2] == self._size else self._size
        kernels.to_tensor(
            image,
            size,
            filter=input_filter(image.shape[:2], self._size),
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
        if self._dtype != "float32":
            np.copyto(self.foreground, self._fgr)
            np.copyto(self.alpha, self._pha[0, 0])

    def _run_first(self) -> None:
        given = {**self._fixed, **seeds(self._engine.signature)}
        results = self._engine.run(given, constants=self._constants)
        for name, array in (("fgr", self._fgr), ("pha", self._pha)):
            np.copyto(array, results[name])
        self._bind({name: results[name] for name in STATES_OUT})

    def _bind(self, last: dict[str, Array]) -> None:
        """Make the tensors of every frame but the first, last being the state it goes on from."""
        images: dict[str, Array] = {"fgr": self._fgr, "pha": self._pha}
        self._turn = 0
        self._states = (last, {name: np.empty_like(array) for name, array in last.items()})
        self._bindings = tuple(
            self._engine.bind(
                {**self._fixed, **dict(zip(STATES_IN, before.values(), strict=True))},
                {**images, **after},
                constants=self._constants,
            )
            for before, after in (self._states, self._states[::-1])
        )

    def memory(self) -> dict[str, Array]:
        """Copy the state that the last run left."""
        if not self._states:
            return {}
        return {name: array.copy() for name, array in self._states[self._turn].items()}

    def remember(self, memory: Mapping[str, Array]) -> None:
        """Go on from a state that memory() gave."""
        if memory:
            self._bind({name: memory[name].copy() for name in STATES_OUT})

    def reset(self) -> None:
        """Start from the zero state of a first frame: the same bits as one broadcast pixel."""
        if self._states:
            for state in self._states[self._turn].values():
                state.fill(0)


RVM = Rvm()
