"""Arrays on a device for tests: views of any layout, and guards around results."""

from __future__ import annotations

import numpy as np


class View:
    """Device memory as a library would show it: a part of an array, in any layout."""

    def __init__(self, array, shape, strides, offset=0, writable=True, dtype=None):
        interface = array.__cuda_array_interface__
        self.array = array
        self.__cuda_array_interface__ = {
            "shape": tuple(shape),
            "typestr": dtype or interface["typestr"],
            "data": (interface["data"][0] + offset, not writable),
            "strides": None if strides is None else tuple(strides),
            "version": 3,
            "stream": interface["stream"],
        }


def like(cuda, values, stream=None):
    """values on the device in the layout they have here, within a copy of all of their memory."""
    if values.flags.c_contiguous:
        return cuda.to_device(values, stream=stream)
    base = values
    while isinstance(base.base, np.ndarray):
        base = base.base
    if not base.flags.c_contiguous or min(values.strides) < 0:
        return cuda.to_device(np.ascontiguousarray(values), stream=stream)
    offset = values.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return View(cuda.to_device(base, stream=stream), values.shape, values.strides, offset)


class Guarded:
    """A device out= inside a larger array, all of it filled with a sentinel that must survive."""

    def __init__(self, cuda, shape, dtype, stream=None, margin=3):
        height, width, *rest = shape
        # Bytes of 0xa7 are no plausible result in any dtype.
        whole = np.full(
            (height + 4, width + 2 * margin, *rest, np.dtype(dtype).itemsize), 0xA7, np.uint8
        )
        self.whole = whole.view(dtype)[..., 0]
        self.margin = margin
        self.array = cuda.to_device(self.whole, stream=stream)
        inside = self.whole[2:-2, margin : width + margin]
        offset = inside.__array_interface__["data"][0] - self.whole.__array_interface__["data"][0]
        self.out = View(self.array, inside.shape, inside.strides, offset)

    def result(self):
        """What was written, once what was not is seen to be untouched."""
        now = self.array.numpy()
        margin, width = self.margin, self.whole.shape[1]
        inside = np.zeros(now.shape[:2], bool)
        inside[2:-2, margin : width - margin] = True
        outside = ~inside
        assert now[outside].tobytes() == self.whole[outside].tobytes(), "bytes outside out changed"
        return now[2:-2, margin : width - margin]


class GuardedTensor:
    """The same for a tensor: contiguous, with a sentinel before and after it."""

    EDGE = 64

    def __init__(self, cuda, shape, dtype, stream=None):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.bytes = np.full(size + 2 * self.EDGE, 0xA7, np.uint8)
        self.array = cuda.to_device(self.bytes, stream=stream)
        typestr = np.dtype(dtype).str
        self.shape, self.dtype = shape, dtype
        self.out = View(self.array, shape, None, self.EDGE, dtype=typestr)

    def result(self):
        now = self.array.numpy()
        assert (now[: self.EDGE] == 0xA7).all()
        assert (now[-self.EDGE :] == 0xA7).all()
        return now[self.EDGE : -self.EDGE].view(self.dtype).reshape(self.shape)
