"""Where two graphs of one network part: the first node whose values are not those of the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmatte.arrays import Array
from fastmatte.graph.freezing import require_onnx

if TYPE_CHECKING:
    import onnx

#: A layer is off where its mean deviation is above this share of its values' spread.
SHARE = 0.05
#: Bytes of activations looked at in one run.
AT_ONCE = 1 << 28


@dataclass(frozen=True)
class Layer:
    """One node of a graph.

    deviation: mean of the absolute difference, in standard deviations of the values; None where
               some are infinite or no numbers.
    """

    node: str
    operator: str
    deviation: float | None


def first_divergence(right: Path, other: Path, feed: Mapping[str, Array]) -> Layer | None:
    """Return the first node of a frozen graph whose values differ in another graph made of it.

    feed: inputs of both.

    Where none is off by itself, that is the node that is off most; None where both give the same.
    Both are run by ONNX Runtime in float32, the other best in the form "rounded".
    """
    onnx = require_onnx()
    graphs = [onnx.shape_inference.infer_shapes(onnx.load(path)) for path in (right, other)]
    floats = [_floats(graph) for graph in graphs]
    makers = {name: node for node in graphs[0].graph.node for name in node.output}
    shared = [name for name in makers if name in floats[0] and name in floats[1]]
    worst, most = None, 0.0
    for names in _portions(shared, floats[0]):
        values = [_values(graph, names, feed) for graph in graphs]
        for name in names:
            deviation = _deviation(values[0][name], values[1][name])
            node = makers[name]
            layer = Layer(node.name or name, node.op_type, deviation)
            if deviation is None or deviation > SHARE:
                return layer
            if deviation > most:
                worst, most = layer, deviation
    return worst


def _floats(model: onnx.ModelProto) -> dict[str, int]:
    """Return the bytes of each float32 tensor that the nodes of a graph make, by name."""
    import onnx

    made = {name for node in model.graph.node for name in node.output}
    return {
        value.name: 4 * int(np.prod([d.dim_value or 1 for d in value.type.tensor_type.shape.dim]))
        for value in (*model.graph.value_info, *model.graph.output)
        if value.name in made and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }


def _portions(names: list[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    portion: list[str] = []
    for name in names:
        if portion and sum(sizes[n] for n in portion) + sizes[name] > AT_ONCE:
            yield portion
            portion = []
        portion.append(name)
    if portion:
        yield portion


def _values(model: onnx.ModelProto, names: list[str], feed: Mapping[str, Array]) -> dict[str, Any]:
    import onnx
    import onnxruntime

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    wanted = {value.name for value in session.get_inputs()}
    inputs = {name: array for name, array in feed.items() if name in wanted}
    return dict(zip(names, session.run(names, inputs), strict=True))


def _deviation(right: Any, other: Any) -> float | None:
    if not np.isfinite(other).all():
        return None
    spread = float(np.std(right, dtype=np.float64)) or float(np.abs(right).max(initial=0)) or 1.0
    return float(np.abs(right - other).mean(dtype=np.float64)) / spread if right.size else 0.0


__all__ = ["Layer", "first_divergence"]
