"""Engines for tests that have their tensors on a device, where TensorRT is not.

They stand for no figure of TensorRT's: they run the same graph, from and to the same memory.
"""

from __future__ import annotations

import ctypes
import math

import numpy as np
from fastmatte.engines import ENGINES
from fastmatte.engines.gpu import Bound, name_of


class OnDevice:
    """ONNX Runtime's engine of the processor, but for where its tensors lie."""

    name = "cuda"
    why_no_graph = None
    sizes_kept = 2

    def __init__(self, path, gpu, threads):
        self.path, self.gpu = path, gpu
        self.plain = ENGINES["onnxruntime"].open(path, precision="fp32", threads=threads)
        self.signature, self.version = self.plain.signature, self.plain.version
        self.number = gpu.current_device()
        self.device, self.precision, self.threads = name_of(gpu, self.number), "fp32", threads

    def bind(self, inputs, outputs, *, constants=()):
        fixed = {name: inputs[name] for name in constants}
        moved = {name: array for name, array in inputs.items() if name not in fixed}
        tensors = {
            name: type(self.signature.inputs[0])(name, array.dtype.name, array.shape)
            for name, array in {**moved, **outputs}.items()
        }
        with self.gpu.using(self.number):
            return Bound(self.gpu, self.enqueuer(tensors, fixed), moved, outputs)

    def run(self, inputs, *, constants=()):
        return self.plain.run(inputs, constants=constants)


class Emulated(OnDevice):
    """ONNX Runtime on emulated memory: a run is enqueued, and captured, as a kernel would be."""

    def enqueuer(self, tensors, constants):
        inputs = {tensor.name for tensor in self.signature.inputs}

        def array_at(name, address):
            tensor = tensors[name]
            count = math.prod(tensor.shape)
            memory = ctypes.c_uint8 * (count * np.dtype(tensor.dtype).itemsize)
            values = np.frombuffer(memory.from_address(address), tensor.dtype)
            return values.reshape(tensor.shape)

        def enqueue(addresses, stream):
            arrays = {name: array_at(name, at) for name, at in addresses.items()}
            given = {name: array for name, array in arrays.items() if name in inputs}
            made = {name: array for name, array in arrays.items() if name not in inputs}
            binding = self.plain.bind({**given, **constants}, made)
            self.gpu._cuda.enqueue(stream, binding.run)

        return enqueue


class Torch(OnDevice):
    """The graph in PyTorch on a real GPU."""

    def enqueuer(self, tensors, constants):
        from onnx_in_torch import OnnxInTorch

        graph = OnnxInTorch(self.path, precision=self.precision)
        return graph.enqueuer(self.gpu, tensors, constants)


class TorchInHalf(Torch):
    """The same with what float16 is good enough for in it."""

    def __init__(self, path, gpu, threads):
        super().__init__(path, gpu, threads)
        self.precision = "fp16"


class Kind:
    """What fastmatte.engines lists, for engine="cuda"."""

    requirement = "nothing"

    def __init__(self, engine, gpu):
        self.engine, self.gpu = engine, gpu

    def version(self):
        return "1"

    def reservation(self, path):
        return "cuda is asked for by name"

    def open(self, path, *, precision, threads, strict=False):
        return self.engine(path, self.gpu, threads)
