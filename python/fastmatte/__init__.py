"""fastmatte: alpha and true foreground colour of a person or thing, fast."""

from __future__ import annotations

from fastmatte import cpu, graph, kernels, metrics, models, video
from fastmatte._core import MAX_PIXELS, __version__
from fastmatte.building import BuildReport, build
from fastmatte.errors import EngineError, FastmatteError, ImageError, ModelError, VideoError
from fastmatte.live import LiveStream
from fastmatte.matte import Blur, Matte
from fastmatte.matter import Matter, MatterInfo
from fastmatte.models import ModelSpec
from fastmatte.proof import CheckReport, check
from fastmatte.refine import Refine
from fastmatte.shots import SceneSkip
from fastmatte.smoothing import MotionAdaptive, OneFrameDelay
from fastmatte.stream import Stream

__all__ = [
    "MAX_PIXELS",
    "Blur",
    "BuildReport",
    "CheckReport",
    "EngineError",
    "FastmatteError",
    "ImageError",
    "LiveStream",
    "Matte",
    "Matter",
    "MatterInfo",
    "ModelError",
    "ModelSpec",
    "MotionAdaptive",
    "OneFrameDelay",
    "Refine",
    "SceneSkip",
    "Stream",
    "VideoError",
    "__version__",
    "build",
    "check",
    "cpu",
    "graph",
    "kernels",
    "metrics",
    "models",
    "video",
]
