"""int8 made in the ONNX graph: quantise and dequantise around what is worth it.

ONNX Runtime's own quantiser does it. What it is told here is what TensorRT takes, in all versions:
zero points of zero, weights that the graph itself quantises, biases in float32.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastmatte.arrays import Array
from fastmatte.engines.base import Signature
from fastmatte.errors import ModelError
from fastmatte.graph.external_data import require_external_data_inside
from fastmatte.graph.freezing import require_onnx
from fastmatte.graph.precision import DENSE, at_opset, nodes_of_islands
from fastmatte.graph.signature import read_signature

if TYPE_CHECKING:
    import onnx


#: The operator set whose QuantizeLinear was the first to have a scale for each channel.
FIRST_OPSET_WITH_AXIS = 13


@dataclass(frozen=True)
class Quantised:
    """A graph that was quantised.

    quantised, kept: how many convolutions and products compute in int8, and how many do not.
    """

    path: Path
    quantised: int
    kept: int
    signature: Signature


def quantise(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    feeds: Sequence[Mapping[str, Array]],
    family: str | None = None,
    overwrite: bool = False,
) -> Quantised:
    """Write an ONNX file whose convolutions and products compute in int8.

    model:  an ONNX file, best one that freeze() wrote, for then what is folded is not quantised.
    out:    the file to write, which holds all weights.
    feeds:  what the network is really given, a few dozen of it: the ranges of its values are taken
            from these, so that what is not like them is cut off.
    family: as for lower(): what stays in float32 there does here.

    Returns what became of it. Raises ValueError for no feeds and for one that lacks an input,
    FileExistsError, ModelError for a file that is missing or no usable ONNX, and FastmatteError
    where the package onnx is not installed.
    """
    path, goal = Path(model), Path(out)
    onnx = require_onnx()
    from fastmatte.images import refuse_occupied, replacing  # loads Pillow

    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    refuse_occupied(goal, overwrite=overwrite)
    require_external_data_inside(path)
    names = [tensor.name for tensor in read_signature(path).inputs]
    if not feeds:
        raise ValueError("feeds: expected at least one, got none")
    for feed in feeds:
        missing = [name for name in names if name not in feed]
        if missing:
            expected = ", ".join(names)
            raise ValueError(f"feeds: expected {expected} in each, got none for {missing[0]}")
    try:
        graph = at_opset(onnx.load(path), FIRST_OPSET_WITH_AXIS)
        _name_nodes(graph)
        dense = {node.name for node in graph.graph.node if node.op_type in DENSE}
        kept = nodes_of_islands(graph, family) & dense
        result = _quantised(graph, [{n: f[n] for n in names} for f in feeds], kept)
    except Exception as error:  # of Protocol Buffers, of onnx, of ONNX Runtime's quantiser
        raise ModelError(f"{path}: ONNX Runtime cannot quantise it: {error}") from error
    with replacing(goal, overwrite=overwrite) as file:
        file.write(result.SerializeToString())
    return Quantised(goal, len(dense) - len(kept), len(kept), read_signature(goal))


def _quantised(
    graph: onnx.ModelProto, feeds: Sequence[dict[str, Array]], kept: set[str]
) -> onnx.ModelProto:
    import logging

    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds: Iterator[Any] = iter(feeds)

        def get_next(self) -> Any:
            return next(self._feeds, None)

    logger = logging.getLogger()
    level = logger.level
    # It advises on standard error, through the root logger, to prepare graphs as freeze() does.
    logger.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory(prefix="fastmatte-") as folder:
            source, result = Path(folder, "source.onnx"), Path(folder, "quantised.onnx")
            onnx.save(graph, source)
            quantization.quantize_static(
                source,
                result,
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=sorted(DENSE),
                nodes_to_exclude=sorted(kept),
                per_channel=True,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                extra_options={
                    "ActivationSymmetric": True,
                    "WeightSymmetric": True,
                    "AddQDQPairToWeight": True,
                    "QuantizeBias": False,
                },
            )
            return onnx.load(result)
    finally:
        logger.setLevel(level)


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give each node a name of its own: the quantiser knows them by nothing else."""
    for i, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{i}"


__all__ = ["Quantised", "quantise"]
