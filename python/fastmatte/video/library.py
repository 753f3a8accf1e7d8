"""PyAV, which reads and writes video: an extra, loaded when it is first needed."""

from __future__ import annotations

from typing import Any

from fastmatte.errors import VideoError

INSTALL = "pip install 'fastmatte[video]'"


def pyav() -> Any:
    """Return the module av.

    Raises VideoError where it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise VideoError(f"video needs PyAV ({error}): {INSTALL}") from error
    return av
