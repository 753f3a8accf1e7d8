"""ModelSpec: a model file, and what to say by hand where its family's own rules do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastmatte.arrays import Size


@dataclass(frozen=True)
class ModelSpec:
    """A model, and how to feed and read it. None leaves a choice to the family.

    path:   the ONNX file.
    family: one of fastmatte.models.FAMILIES, None to recognise it from the graph.
    size:   (height, width) of the network's input.
    scale, mean, std: the input is (pixel * scale - mean) / std; mean and std per R, G, B.
    downsample_ratio: how much smaller the coarse pass of rvm sees a frame, in (0, 1].
    """

    path: str | Path
    family: str | None = None
    size: Size | None = None
    scale: float | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    downsample_ratio: float | None = None
