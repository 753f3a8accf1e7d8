"""Sizes and values built into an ONNX graph, and everything folded that follows from them.

Exporters leave sizes open, and compute inside the graph, at every run, what would follow from them:
RVM and BGMv2 spend most of their nodes on that. TensorRT needs it gone: it refuses a ratio as an
input, and takes dimensions of one name for equal, which published exporters give to unequal ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastmatte.engines.base import Signature, TensorInfo
from fastmatte.errors import FastmatteError, ModelError
from fastmatte.graph.external_data import require_external_data_inside
from fastmatte.graph.signature import read_signature

if TYPE_CHECKING:
    import onnx

requirement = "pip install onnx"

#: Before this version of ONNX's format all constants had to be listed among the inputs.
FIRST_IR_WITH_CONSTANTS_APART = 4


@dataclass(frozen=True)
class Frozen:
    """A graph that was frozen.

    nodes_before, nodes_after: how many it had, and has.
    signature: what is left to give it, and what it gives.
    """

    path: Path
    nodes_before: int
    nodes_after: int
    signature: Signature


def freeze(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, ArrayLike] | None = None,
    overwrite: bool = False,
) -> Frozen:
    """Write an ONNX file with sizes and values built in, and with what follows from them folded.

    model:     an ONNX file.
    out:       the file to write, which holds all weights.
    shapes:    the shape of each input whose sizes are to be fixed, by name.
    values:    what inputs always are, by name; these are inputs no more.
    overwrite: whether a file that is there may be replaced.

    An RVM for frames of 1080p, for instance:

        fm.graph.freeze("rvm.onnx", "rvm-1080p.onnx", values={"downsample_ratio": [0.25]}, shapes={
            "src": (1, 3, 1080, 1920), "r1i": (1, 16, 135, 240), "r2i": (1, 20, 68, 120),
            "r3i": (1, 40, 34, 60), "r4i": (1, 64, 17, 30)})

    Dimensions that stay open get names of their own, for exporters give one name to several that
    differ. Folding is ONNX Runtime's basic optimisation, for no particular processor. The new graph
    gives the bits of the old one, and of all its states, as long as both are computed by the same
    kernels: ONNX Runtime's last level of optimisation, its default, finds faster ones where sizes
    are known, which round differently in the seventh digit.

    Returns what became of it. Raises ValueError for an input the graph does not have and a shape or
    value it cannot take, FileExistsError, ModelError for a file that is missing or no usable ONNX,
    and FastmatteError where the package onnx is not installed.
    """
    path, goal = Path(model), Path(out)
    onnx = require_onnx()
    from fastmatte.images import refuse_occupied, replacing  # loads Pillow

    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    refuse_occupied(goal, overwrite=overwrite)
    require_external_data_inside(path)
    inputs = {tensor.name: tensor for tensor in read_signature(path).inputs}
    shapes, values = dict(shapes or {}), dict(values or {})
    _require_inputs("shapes", shapes, inputs)
    _require_inputs("values", values, inputs)
    for name, shape in shapes.items():
        if not _fits(inputs[name], shape):
            raise ValueError(
                f"shapes: expected one for {inputs[name]} of positive integers, got {shape!r}"
            )
    try:
        graph = onnx.load(path)
    except Exception as error:  # of Protocol Buffers, of onnx, of the file system
        raise ModelError(f"{path}: onnx cannot load it: {error}") from error
    before = len(graph.graph.node)
    for name, value in values.items():
        _make_constant(graph, inputs[name], value)
    for source in graph.graph.input:
        sides = source.type.tensor_type.shape.dim
        for side, length in zip(sides, shapes.get(source.name, ()), strict=False):
            side.dim_value = length
    _forget_inner_shapes(graph)
    name_dimensions_apart(graph)
    folded = _folded(graph, path)
    with replacing(goal, overwrite=overwrite) as file:
        file.write(folded.SerializeToString())
    return Frozen(goal, before, len(folded.graph.node), read_signature(goal))


def name_dimensions_apart(model: onnx.ModelProto) -> None:
    """Give each open dimension of an ONNX model's inputs and outputs a name that no other has.

    A name stays with the first tensor that has it, and elsewhere gets the tensor's name before it.
    """
    taken: set[str] = set()
    for tensor in (*model.graph.input, *model.graph.output):
        for i, side in enumerate(tensor.type.tensor_type.shape.dim):
            if side.HasField("dim_value"):
                continue
            wanted = side.dim_param or str(i)
            if not side.dim_param or wanted in taken:
                wanted = f"{tensor.name}_{wanted}"
            # A tensor that names two of its own sides alike.
            side.dim_param = f"{wanted}_{i}" if wanted in taken else wanted
            taken.add(side.dim_param)


def require_onnx() -> Any:
    """Return the package onnx; raise FastmatteError where it is not installed."""
    try:
        import onnx
    except ImportError as error:
        raise FastmatteError(f"work on graphs needs the package onnx: {requirement}") from error
    return onnx


def _require_inputs(
    argument: str, given: Mapping[str, object], inputs: Mapping[str, TensorInfo]
) -> None:
    for name in given:
        if name not in inputs:
            names = ", ".join(map(repr, inputs))
            raise ValueError(f"{argument}: expected inputs of the graph, {names}, got {name!r}")


def _fits(tensor: TensorInfo, shape: Sequence[int]) -> bool:
    return (
        isinstance(shape, Sequence)
        and len(shape) == len(tensor.shape)
        and all(isinstance(side, (int, np.integer)) and side > 0 for side in shape)
        and all(
            not isinstance(known, int) or known == side
            for known, side in zip(tensor.shape, shape, strict=True)
        )
    )


def _make_constant(model: onnx.ModelProto, tensor: TensorInfo, value: ArrayLike) -> None:
    from onnx import numpy_helper

    array = np.asarray(value, tensor.dtype)
    if not _fits(tensor, array.shape):
        raise ValueError(f"values: expected one for {tensor}, got shape {array.shape}")
    [source] = [source for source in model.graph.input if source.name == tensor.name]
    model.graph.input.remove(source)
    model.graph.initializer.append(numpy_helper.from_array(array, tensor.name))


def _forget_inner_shapes(model: onnx.ModelProto) -> None:
    """Leave it to inference what follows from the inputs: the old names would contradict it."""
    del model.graph.value_info[:]
    for result in model.graph.output:
        for side in result.type.tensor_type.shape.dim:
            if side.HasField("dim_param"):
                side.ClearField("dim_param")


def _folded(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Return what ONNX Runtime makes of a model without looking at the processor."""
    import tempfile

    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory(prefix="fastmatte-") as folder:
        options.optimized_model_filepath = str(Path(folder, "folded.onnx"))
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own kinds, and Protocol Buffers' 2 GB
            raise ModelError(f"{path}: ONNX Runtime cannot fold it: {error}") from error
        folded = onnx.load(options.optimized_model_filepath)
    # It claims every operator set it knows and its own newest version of the format, which older
    # readers refuse.
    used = {node.domain for node in folded.graph.node}
    for domain in [d for d in folded.opset_import if d.domain not in used]:
        folded.opset_import.remove(domain)
    folded.ir_version = max(model.ir_version, FIRST_IR_WITH_CONSTANTS_APART)
    name_dimensions_apart(folded)
    return folded
