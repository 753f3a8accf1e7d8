"""The files an ONNX graph keeps tensors in must lie in its own folder.

A graph may name any file as the place of a tensor's bytes. ONNX Runtime refuses paths that lead out
of the folder only since 1.24; before, opening somebody's graph could read any file of the user's.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from fastmatte.errors import ModelError

# onnx.StringStringEntryProto on the wire: field 1, "location", then field 2 with a length in one or
# two bytes of seven bits. Weights that spell this out by chance are harmless: their path would have
# to lead out of the folder as well.
LOCATION = re.compile(rb"\x0a\x08location\x12(?:([\x00-\x7f])|([\x80-\xff])([\x01-\x7f]))")


def require_external_data_inside(path: Path) -> None:
    """Check the places of all tensors a graph keeps in other files, without loading any.

    Raises ModelError naming the first that is outside the graph's folder, links followed.
    """
    if path.stat().st_size == 0:
        return
    folder = path.parent.resolve()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for match in LOCATION.finditer(data):
            short, low, high = match.groups()
            length = short[0] if short else (low[0] & 0x7F) | high[0] << 7
            place = data[match.end() : match.end() + length].decode("utf-8", "replace")
            if "\0" in place or not (folder / place).resolve().is_relative_to(folder):
                raise ModelError(
                    f"{path}: a tensor's data is outside the model's folder: {place!r}"
                )
