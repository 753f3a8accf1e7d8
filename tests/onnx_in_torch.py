"""An ONNX graph run by PyTorch: a real network for tests on a GPU where TensorRT is not.

The graph is frozen first, so that what is left is arithmetic on tensors of known shapes: all of it
is enqueued on a stream, and can be captured into anybody's CUDA graph.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import fastmatte as fm
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

# A product in TF32 has ten bits, float16's: fp32 would not be.
torch.backends.cudnn.allow_tf32 = False
torch.backends.cuda.matmul.allow_tf32 = False

TYPES = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.INT64: torch.int64,
    TensorProto.INT32: torch.int32,
    TensorProto.BOOL: torch.bool,
}


def spatial(node, attributes, sides, kernel, strides, dilations):
    """Pads of both axes, before and after."""
    pads = attributes.get("pads", [0] * 4)
    if attributes.get("auto_pad", b"NOTSET") == b"SAME_UPPER":
        pads = [0] * 4
        for axis in (0, 1):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            steps = -(-sides[axis] // strides[axis])
            most = max((steps - 1) * strides[axis] + reach - sides[axis], 0)
            pads[axis], pads[axis + 2] = most // 2, most - most // 2
    return pads


def padded(x, pads, value=0.0):
    """Return x, and what its own padding cannot do done."""
    if pads[0] == pads[2] and pads[1] == pads[3]:
        return x, tuple(pads[:2])
    return functional.pad(x, (pads[1], pads[3], pads[0], pads[2]), value=value), (0, 0)


class OnnxInTorch:
    """One graph, frozen for its inputs' shapes when it is first run."""

    def __init__(self, path, *, precision="fp32", family=None, device="cuda"):
        self.path, self.precision, self.family = Path(path), precision, family
        self.device = torch.device(device)

    def prepare(self, shapes, values):
        """Freeze the graph, lower it where that is wanted, and bring its constants to the device.

        shapes: of all inputs by name but for those in values, which become constants.
        """
        with tempfile.TemporaryDirectory() as folder:
            frozen = Path(folder) / "frozen.onnx"
            fm.graph.freeze(self.path, frozen, shapes=shapes, values=values)
            if self.precision != "fp32":
                typed = Path(folder) / "typed.onnx"
                fm.graph.lower(frozen, typed, precision=self.precision, family=self.family)
                frozen = typed
            model = onnx.load(frozen)
        self.graph = model.graph
        self.inputs = {i.name: i.type.tensor_type.elem_type for i in self.graph.input}
        self.host = {t.name: numpy_helper.to_array(t) for t in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant":
                [value] = [a.t for a in node.attribute if a.name == "value"]
                self.host[node.output[0]] = numpy_helper.to_array(value)
        self.steps = []
        for node in self.graph.node:
            if node.op_type == "Constant":
                continue
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            run = getattr(self, f"run_{node.op_type.lower()}", None)
            if run is None:
                raise NotImplementedError(f"{node.op_type}, {node.name}")
            self.steps.append((run, node, attributes))
        self.constants = {
            # A copy, for protobuf's memory is read-only.
            name: torch.from_numpy(np.array(value)).to(self.device)
            for name, value in self.host.items()
        }
        self.last = {}
        for at, (_, node, _) in enumerate(self.steps):
            for name in node.input:
                self.last[name] = at
        return self

    def __call__(self, feeds):
        """Return every output by name."""
        outputs = {o.name for o in self.graph.output}
        values = dict(self.constants) | feeds
        kept = outputs | set(values)
        with torch.no_grad():
            for at, (run, node, attributes) in enumerate(self.steps):
                given = [values[name] if name else None for name in node.input]
                made = run(node, attributes, *given)
                made = made if isinstance(made, (tuple, list)) else (made,)
                values.update(zip(node.output, made, strict=False))
                # As short-lived as they can be: a captured run keeps what it held at once.
                for name in {n for n in node.input if self.last[n] == at} - kept:
                    values.pop(name, None)
        return {name: values[name] for name in outputs}

    def enqueuer(self, gpu, tensors, constants):
        """Return what fastmatte's engines for a GPU return."""
        inputs = {i.name for i in onnx.load(self.path).graph.input}
        shapes = {name: t.shape for name, t in tensors.items() if name in inputs}
        self.prepare(shapes, constants)
        views, pool = {}, _pool()

        def view(name, address):
            key = name, address
            if key not in views:
                tensor = tensors[name]
                views[key] = torch.as_tensor(_At(tensor, address), device="cuda")
            return views[key]

        def enqueue(addresses, stream):
            with torch.cuda.stream(torch.cuda.ExternalStream(stream)), pool():
                # What a frozen graph has no use for it has no input for.
                feeds = {
                    n: view(n, at).to(TYPES[self.inputs[n]])
                    for n, at in addresses.items()
                    if n in self.inputs
                }
                made = self(feeds)
                for name, at in addresses.items():
                    if name not in inputs:
                        view(name, at).copy_(made[name].reshape(view(name, at).shape))

        return enqueue

    def array(self, name):
        """A small constant that decides shapes, on the host."""
        return self.host[name]

    # What follows is ONNX's own definition of each operator, in its order of arguments.

    def run_conv(self, node, a, x, weight, bias=None):
        kernel = weight.shape[2:]
        strides, dilations = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
        pads = spatial(node, a, x.shape[2:], kernel, strides, dilations)
        x, inside = padded(x, pads)
        return functional.conv2d(x, weight, bias, strides, inside, dilations, a.get("group", 1))

    def run_convtranspose(self, node, a, x, weight, bias=None):
        strides, pads = a.get("strides", [1, 1]), a.get("pads", [0] * 4)
        if "output_shape" in a or a.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise NotImplementedError("ConvTranspose of a given shape")
        more = a.get("output_padding", [0, 0])
        assert pads[:2] == pads[2:]
        return functional.conv_transpose2d(
            x, weight, bias, strides, tuple(pads[:2]), tuple(more), a.get("group", 1)
        )

    def run_batchnormalization(self, node, a, x, scale, bias, mean, variance):
        return functional.batch_norm(
            x, mean, variance, scale, bias, False, 0.0, a.get("epsilon", 1e-5)
        )

    def run_instancenormalization(self, node, a, x, scale, bias):
        return functional.instance_norm(x, weight=scale, bias=bias, eps=a.get("epsilon", 1e-5))

    def run_relu(self, node, a, x):
        return functional.relu(x)

    def run_prelu(self, node, a, x, slope):
        return torch.where(x > 0, x, x * slope)

    def run_sigmoid(self, node, a, x):
        return torch.sigmoid(x)

    def run_tanh(self, node, a, x):
        return torch.tanh(x)

    def run_exp(self, node, a, x):
        return torch.exp(x)

    def run_neg(self, node, a, x):
        return -x

    def run_sqrt(self, node, a, x):
        return torch.sqrt(x)

    def run_reciprocal(self, node, a, x):
        return 1 / x

    def run_hardswish(self, node, a, x):
        return functional.hardswish(x)

    def run_hardsigmoid(self, node, a, x):
        return torch.clamp(a.get("alpha", 0.2) * x + a.get("beta", 0.5), 0, 1)

    def run_softmax(self, node, a, x):
        return torch.softmax(x, a.get("axis", -1))

    def run_clip(self, node, a, x, low=None, high=None):
        ends = [a.get("min"), a.get("max")]
        for i, name in enumerate(node.input[1:3]):
            if name:
                ends[i] = float(self.array(name).reshape(-1)[0])
        return torch.clamp(x, *ends)

    def run_add(self, node, a, x, y):
        return x + y

    def run_sub(self, node, a, x, y):
        return x - y

    def run_mul(self, node, a, x, y):
        return x * y

    def run_div(self, node, a, x, y):
        return x / y

    def run_min(self, node, a, x, y):
        return torch.minimum(x, y)

    def run_max(self, node, a, x, y):
        return torch.maximum(x, y)

    def run_identity(self, node, a, x):
        return x

    def run_cast(self, node, a, x):
        return x.to(TYPES[a["to"]])

    def run_concat(self, node, a, *parts):
        return torch.cat(parts, a["axis"])

    def run_split(self, node, a, x, sizes=None):
        counts = a.get("split")
        if len(node.input) > 1 and node.input[1]:
            counts = self.array(node.input[1]).tolist()
        axis = a.get("axis", 0)
        return torch.split(x, counts or x.shape[axis] // len(node.output), axis)

    def run_slice(self, node, a, x, *rest):
        starts, ends, *more = [self.array(n).tolist() if n else None for n in node.input[1:]]
        axes = more[0] if more and more[0] is not None else range(len(starts))
        steps = more[1] if len(more) > 1 else [1] * len(starts)
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            whole = range(x.shape[axis])[slice(start, end if abs(end) < 2**31 else None, step)]
            if step < 0:
                x = torch.flip(x.narrow(axis, whole[-1], whole[0] - whole[-1] + 1), [axis])
                whole = whole[::-1]
                step = -step
                x = x[(slice(None),) * (axis % x.ndim) + (slice(None, None, step),)]
            else:
                x = x[(slice(None),) * (axis % x.ndim) + (slice(whole.start, whole.stop, step),)]
        return x

    def run_pad(self, node, a, x, pads=None, value=None, axes=None):
        pads = self.array(node.input[1]).tolist() if len(node.input) > 1 else a["pads"]
        level = 0.0
        if len(node.input) > 2 and node.input[2]:
            level = float(self.array(node.input[2]).reshape(-1)[0])
        half = len(pads) // 2
        flat = [p for i in reversed(range(half)) for p in (pads[i], pads[half + i])]
        modes = {b"constant": "constant", b"reflect": "reflect", b"edge": "replicate"}
        mode = modes[a.get("mode", b"constant")]
        if mode == "constant":
            return functional.pad(x, flat, mode, level)
        return functional.pad(x, flat[: 2 * (x.ndim - 2)], mode)

    def run_reshape(self, node, a, x, shape):
        sides = [
            x.shape[i] if s == 0 else s for i, s in enumerate(self.array(node.input[1]).tolist())
        ]
        return x.reshape(sides)

    def run_transpose(self, node, a, x):
        return x.permute(a.get("perm", list(reversed(range(x.ndim)))))

    def run_expand(self, node, a, x, shape):
        sides = self.array(node.input[1]).tolist()
        return x.expand(torch.broadcast_shapes(tuple(x.shape), tuple(sides)))

    def run_squeeze(self, node, a, x, axes=None):
        axes = self.array(node.input[1]).tolist() if len(node.input) > 1 else a["axes"]
        return x.squeeze(tuple(axes))

    def run_unsqueeze(self, node, a, x, axes=None):
        axes = self.array(node.input[1]).tolist() if len(node.input) > 1 else a["axes"]
        for axis in sorted(axes):
            x = x.unsqueeze(axis)
        return x

    def run_depthtospace(self, node, a, x):
        if a.get("mode", b"DCR") == b"CRD":
            return functional.pixel_shuffle(x, a["blocksize"])
        n, c, h, w = x.shape
        b = a["blocksize"]
        x = x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(n, c // b**2, h * b, w * b)

    def run_spacetodepth(self, node, a, x):
        n, c, h, w = x.shape
        b = a["blocksize"]
        x = x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
        return x.reshape(n, c * b**2, h // b, w // b)

    def run_matmul(self, node, a, x, y):
        return torch.matmul(x, y)

    def run_gemm(self, node, a, x, y, z=None):
        x = x.T if a.get("transA") else x
        y = y.T if a.get("transB") else y
        product = a.get("alpha", 1.0) * (x @ y)
        return product if z is None else product + a.get("beta", 1.0) * z

    def run_globalaveragepool(self, node, a, x):
        return x.mean((2, 3), keepdim=True)

    def run_reducemean(self, node, a, x, axes=None):
        axes = a.get("axes")
        if len(node.input) > 1 and node.input[1]:
            axes = self.array(node.input[1]).tolist()
        return x.mean(tuple(axes), keepdim=bool(a.get("keepdims", 1)))

    def run_averagepool(self, node, a, x):
        kernel, strides = a["kernel_shape"], a.get("strides", [1, 1])
        pads = spatial(node, a, x.shape[2:], kernel, strides, [1, 1])
        x, inside = padded(x, pads)
        return functional.avg_pool2d(
            x,
            kernel,
            strides,
            inside,
            bool(a.get("ceil_mode", 0)),
            bool(a.get("count_include_pad", 0)),
        )

    def run_maxpool(self, node, a, x):
        kernel, strides = a["kernel_shape"], a.get("strides", [1, 1])
        pads = spatial(node, a, x.shape[2:], kernel, strides, [1, 1])
        x, inside = padded(x, pads, float("-inf"))
        return functional.max_pool2d(x, kernel, strides, inside, 1, bool(a.get("ceil_mode", 0)))

    def run_resize(self, node, a, x, *rest):
        names = list(node.input) + [""] * 4
        if names[3]:
            size = self.array(names[3]).tolist()[2:]
        else:
            scales = self.array(names[2]).tolist()[2:]
            size = [int(np.floor(s * f)) for s, f in zip(x.shape[2:], scales, strict=True)]
        kind = a.get("mode", b"nearest")
        place = a.get("coordinate_transformation_mode", b"half_pixel")
        if kind == b"nearest":
            if place == b"asymmetric" and a.get("nearest_mode") == b"floor":
                return functional.interpolate(x, size, mode="nearest")
            return functional.interpolate(x, size, mode="nearest-exact")
        assert kind == b"linear"
        aligned = place == b"align_corners"
        if place == b"asymmetric":
            raise NotImplementedError("Resize of asymmetric lines")
        return functional.interpolate(x, size, mode="bilinear", align_corners=aligned)


class _At:
    """Memory on a GPU as PyTorch takes it."""

    def __init__(self, tensor, address):
        self.__cuda_array_interface__ = {
            "shape": tuple(tensor.shape),
            "typestr": np.dtype(tensor.dtype).str,
            "data": (address, False),
            "strides": None,
            "version": 2,
        }


def _pool():
    """Return a context in which PyTorch's memory is nobody else's: a captured run goes on using it
    when PyTorch believes that it is free.
    """
    with contextlib.suppress(AttributeError, RuntimeError, TypeError):
        pool = torch.cuda.MemPool()
        return lambda: torch.cuda.use_mem_pool(pool)
    return contextlib.nullcontext
