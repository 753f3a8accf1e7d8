"""What an ONNX file says of its own inputs and outputs, read without loading it.

Engines keep less than the file says: OpenVINO forgets the names of dimensions. Only the few bytes
about inputs and outputs are looked at; weights are stepped over.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from fastmatte.engines.base import Signature, TensorInfo
from fastmatte.errors import ModelError

# Field numbers of onnx.proto, by the message they belong to.
MODEL_GRAPH, MODEL_METADATA = 7, 14
ENTRY_KEY, ENTRY_VALUE = 1, 2
GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 5, 11, 12
TENSOR_NAME = 8
VALUE_NAME, VALUE_TYPE = 1, 2
TYPE_TENSOR = 1
TENSOR_ELEMENT, TENSOR_SHAPE = 1, 2
SHAPE_DIMENSION = 1
DIMENSION_VALUE, DIMENSION_NAME = 1, 2

#: onnx.TensorProto.DataType by what NumPy calls it.
DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}

#: A message: where its bytes begin and end.
Span = tuple[int, int]


def read_signature(path: Path) -> Signature:
    """Read the inputs and outputs of an ONNX file as it declares them.

    Constants that old files list among the inputs are left out. A tensor declared without a shape
    has the shape (), an element type that NumPy has no name for is "?".
    Raises OSError for a file that cannot be read, ModelError for one that is not ONNX.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).signature()
    except (IndexError, ValueError) as error:
        raise ModelError(f"{path}: not an ONNX file") from error


def read_metadata(path: Path) -> dict[str, str]:
    """Read what an ONNX file says of itself beside its graph: values by key.

    Raises OSError for a file that cannot be read, ModelError for one that is not ONNX.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).metadata()
    except (IndexError, ValueError) as error:
        raise ModelError(f"{path}: not an ONNX file") from error


class _Reader:
    """Protocol Buffers' wire format, as much of it as ONNX uses."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data

    def signature(self) -> Signature:
        graph = self._only((0, len(self._data)), MODEL_GRAPH)
        constants = set()
        inputs, outputs = [], []
        for field, value in self._fields(graph):
            if field == GRAPH_INITIALIZER:
                constants.add(self._text(value, TENSOR_NAME))
            elif field == GRAPH_INPUT:
                inputs.append(self._tensor(value))
            elif field == GRAPH_OUTPUT:
                outputs.append(self._tensor(value))
        return Signature(tuple(t for t in inputs if t.name not in constants), tuple(outputs))

    def metadata(self) -> dict[str, str]:
        return {
            self._text(entry, ENTRY_KEY): self._text(entry, ENTRY_VALUE)
            for field, entry in self._fields((0, len(self._data)))
            if field == MODEL_METADATA
        }

    def _tensor(self, value: int | Span) -> TensorInfo:
        tensor = self._only(self._only(value, VALUE_TYPE), TYPE_TENSOR)
        dtype, shape = "?", list[int | str | None]()
        for field, content in self._fields(tensor):
            if field == TENSOR_ELEMENT and isinstance(content, int):
                dtype = DTYPES.get(content, "?")
            elif field == TENSOR_SHAPE:
                shape = [
                    self._dimension(side)
                    for kind, side in self._fields(content)
                    if kind == SHAPE_DIMENSION
                ]
        return TensorInfo(self._text(value, VALUE_NAME), dtype, tuple(shape))

    def _dimension(self, value: int | Span) -> int | str | None:
        for field, content in self._fields(value):
            if field == DIMENSION_VALUE and isinstance(content, int):
                # Exporters write -1 where they mean "any": int64, in two's complement.
                return content if content < 1 << 63 else None
            if field == DIMENSION_NAME:
                return self._string(content) or None
        return None

    def _text(self, value: int | Span, wanted: int) -> str:
        return next((self._string(c) for field, c in self._fields(value) if field == wanted), "")

    def _string(self, value: int | Span) -> str:
        begin, end = _span(value)
        return self._data[begin:end].decode("utf-8", "replace")

    def _only(self, value: int | Span, wanted: int) -> Span:
        found = [content for field, content in self._fields(value) if field == wanted]
        if len(found) != 1:
            raise ValueError(f"field {wanted} is there {len(found)} times")
        return _span(found[0])

    def _fields(self, value: int | Span) -> Iterator[tuple[int, int | Span]]:
        """Yield number and content of each field: an integer, or where its bytes lie."""
        at, end = _span(value)
        while at < end:
            key, at = self._varint(at)
            field, kind = key >> 3, key & 7
            if kind == 0:
                number, at = self._varint(at)
                yield field, number
                continue
            if kind == 2:
                length, at = self._varint(at)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
            else:
                raise ValueError(f"wire type {kind}")
            if at + length > end:
                raise ValueError("a field is longer than what holds it")
            yield field, (at, at + length)
            at += length

    def _varint(self, at: int) -> tuple[int, int]:
        number = shift = 0
        while shift < 64:
            byte = self._data[at]
            at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, at
            shift += 7
        raise ValueError("a number of more than 64 bits")


def _span(value: int | Span) -> Span:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value
