"""Work on ONNX graphs before an engine sees them."""

from __future__ import annotations

from fastmatte.graph.external_data import require_external_data_inside

__all__ = ["require_external_data_inside"]
