"""Work on ONNX graphs before an engine sees them."""

from __future__ import annotations

from fastmatte.graph.external_data import require_external_data_inside
from fastmatte.graph.freezing import Frozen, freeze
from fastmatte.graph.precision import Lowered, lower
from fastmatte.graph.quantising import Quantised, quantise
from fastmatte.graph.signature import read_signature

__all__ = [
    "Frozen",
    "Lowered",
    "Quantised",
    "freeze",
    "lower",
    "quantise",
    "read_signature",
    "require_external_data_inside",
]
