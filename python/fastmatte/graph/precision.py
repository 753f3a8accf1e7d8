"""Mixed precision made in the ONNX graph, for engines that compute what the graph says.

TensorRT 11 knows no other way, and before it a flag decided for each layer anew, and silently.

ONNX Runtime ships a converter to float16. It is not used here because it casts to float16 and back
between two nodes that are kept in float32, so that a mean of squares is infinite in spite of both;
because it also rounds constants that only float32 nodes should see and clips large ones in silence;
and because it knows no bfloat16.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from fastmatte.engines.base import Signature
from fastmatte.errors import ModelError
from fastmatte.graph.external_data import require_external_data_inside
from fastmatte.graph.freezing import require_onnx
from fastmatte.graph.islands import Islands, islands_of
from fastmatte.graph.signature import read_signature

if TYPE_CHECKING:
    import onnx

LowPrecision = Literal["fp16", "bf16"]
Form = Literal["typed", "rounded"]

#: Largest number and least one with all its digits, by IEEE 754.
HALF_MOST, HALF_LEAST = 65504.0, 2.0**-14

#: The operator set whose Cast was the first to know bfloat16.
FIRST_OPSET_WITH_BFLOAT16 = 13

#: Arithmetic that an island spreads through: it takes as long in float32 where it is memory-bound,
#: and there is hardly any of it between two convolutions.
ELEMENTWISE = frozenset(
    {"Abs", "Add", "Div", "Mean", "Mul", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub", "Sum"}
)
#: Convolutions and products end an island: this is where the time goes.
DENSE = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True)
class Lowered:
    """A graph whose precision was lowered.

    low, kept: how many nodes of those that give float32 compute in less, and how many do not.
    casts:     how many were put between them.
    """

    path: Path
    low: int
    kept: int
    casts: int
    signature: Signature


def lower(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    precision: LowPrecision,
    family: str | None = None,
    form: Form = "typed",
    overwrite: bool = False,
) -> Lowered:
    """Write an ONNX file that computes in a lower precision, but where its family needs float32.

    model:     an ONNX file, best one that freeze() wrote.
    out:       the file to write, which holds all weights.
    precision: "fp16" or "bf16".
    family:    one of fastmatte.models.FAMILIES, which says what stays in float32; None for what
               does in every network. Inputs and outputs stay float32 in all of them.
    form:      "typed" for tensors of that type, as engines on a GPU take them. "rounded" for a
               graph of float32 whose values are rounded wherever the typed one's are: ONNX Runtime
               on a CPU runs typed graphs in float32 from end to end, and so hides an overflow.

    Returns what became of it. Raises ValueError for a bad precision or form, FileExistsError,
    ModelError for a file that is missing, no usable ONNX, or has conditions or loops, and
    FastmatteError where the package onnx is not installed.
    """
    path, goal = Path(model), Path(out)
    onnx = require_onnx()
    from fastmatte.images import refuse_occupied, replacing  # loads Pillow

    for name, value, known in (("precision", precision, LowPrecision), ("form", form, Form)):
        if value not in get_args(known):
            expected = " or ".join(map(repr, get_args(known)))
            raise ValueError(f"{name}: expected {expected}, got {value!r}")
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    refuse_occupied(goal, overwrite=overwrite)
    require_external_data_inside(path)
    try:
        least = FIRST_OPSET_WITH_BFLOAT16 if precision == "bf16" else 0
        graph = at_opset(onnx.load(path), least)
        graph = onnx.shape_inference.infer_shapes(graph)
    except Exception as error:  # of Protocol Buffers, of onnx, of the file system
        raise ModelError(f"{path}: onnx cannot load it: {error}") from error
    try:
        low, kept, casts = _Lowering(graph, precision, islands_of(family), form).run()
    except _UnfitError as error:
        raise ModelError(f"{path}: {error}") from error
    with replacing(goal, overwrite=overwrite) as file:
        file.write(graph.SerializeToString())
    return Lowered(goal, low, kept, casts, read_signature(goal))


def nodes_of_islands(model: onnx.ModelProto, family: str | None) -> set[str]:
    """Return the names of the nodes that lower() would leave in float32."""
    import onnx

    copy = onnx.shape_inference.infer_shapes(model)
    return _Lowering(copy, "fp16", islands_of(family), "typed").names_kept()


def at_opset(model: onnx.ModelProto, least: int) -> onnx.ModelProto:
    """Return a model in an operator set that is new enough."""
    from onnx import version_converter

    return model if _opset_of(model) >= least else version_converter.convert_version(model, least)


def _opset_of(model: onnx.ModelProto) -> int:
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)


class _UnfitError(Exception):
    """A graph that cannot be lowered, and why."""


class _Lowering:
    """One graph on its way."""

    def __init__(
        self, model: onnx.ModelProto, precision: LowPrecision, islands: Islands, form: Form
    ) -> None:
        import onnx

        self._onnx = onnx
        self._graph = model.graph
        self._islands = islands
        self._form = form
        self._float = onnx.TensorProto.FLOAT
        self._half = precision == "fp16"
        self._low = onnx.TensorProto.FLOAT16 if self._half else onnx.TensorProto.BFLOAT16
        self._opset = _opset_of(model)
        self._constants_to_initializers()
        self._constants = {tensor.name: tensor for tensor in self._graph.initializer}
        self._types: dict[str, int] = {
            value.name: value.type.tensor_type.elem_type
            for value in (*self._graph.value_info, *self._graph.input, *self._graph.output)
        } | {name: tensor.data_type for name, tensor in self._constants.items()}
        self._makers = {name: node for node in self._graph.node for name in node.output}
        self._users: dict[str, list[Any]] = defaultdict(list)
        for node in self._graph.node:
            for name in node.input:
                self._users[name].append(node)

    def run(self) -> tuple[int, int, int]:
        """Lower the graph; return how many nodes are low and kept, and how many casts there are."""
        kept = self._kept()
        low, choices, casts = 0, 0, 0
        nodes: list[Any] = []
        made: dict[tuple[str, int], str] = {}
        # What a low node makes goes by another name, so that outputs keep theirs and their type.
        lowered: set[str] = set()

        def cast(name: str, source: str, to: int) -> str:
            nonlocal casts
            key = (name, to)
            if key not in made:
                made[key] = f"{name}_{'low' if to == self._low else 'wide'}"
                nodes.append(self._node("Cast", source, made[key], to=to))
                casts += 1
            return made[key]

        results = {value.name for value in self._graph.output}
        for node in self._graph.node:
            is_low = id(node) not in kept
            choices += any(self._types.get(name) == self._float for name in node.output)
            low += is_low
            wants = self._wants(node) if is_low else ()
            for i, name in enumerate(list(node.input)):
                if self._types.get(name) != self._float:
                    continue
                if is_low and i in wants:
                    if name in self._constants:
                        node.input[i] = self._constant(name)
                    elif self._form == "typed":
                        node.input[i] = (
                            f"{name}_low" if name in lowered else cast(name, name, self._low)
                        )
                    elif name not in lowered:
                        node.input[i] = self._rounded(name, name, f"{name}_r", nodes, made)
                elif name in lowered and self._form == "typed":
                    node.input[i] = cast(name, f"{name}_low", self._float)
            nodes.append(node)
            if not is_low:
                continue
            for i, name in enumerate(list(node.output)):
                if self._types.get(name) != self._float:
                    continue
                lowered.add(name)
                if self._form == "rounded":
                    node.output[i] = f"{name}_exact"
                    self._rounded(name, f"{name}_exact", name, nodes, made)
                else:
                    node.output[i] = f"{name}_low"
                    if name in results:
                        nodes.append(self._node("Cast", f"{name}_low", name, to=self._float))
                        casts += 1
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        self._forget_unused()
        return low, choices - low, casts

    def names_kept(self) -> set[str]:
        """Return the names of the nodes that compute as they are."""
        kept = self._kept()
        return {node.name for node in self._graph.node if id(node) in kept}

    def _kept(self) -> set[int]:
        """Return which nodes compute as they are, by identity."""
        kept: set[int] = set()
        spreading: list[Any] = []
        for node in self._graph.node:
            if any(a.HasField("g") or len(a.graphs) for a in node.attribute):
                raise _UnfitError(
                    f"node {node.name or node.output[0]!r} is a {node.op_type}: what has "
                    "conditions or loops cannot be lowered"
                )
            box = self._islands.box_filters and self._is_box_filter(node)
            if box or node.op_type in self._islands.spreading:
                spreading.append(node)
            elif node.op_type in self._islands.operators or not self._can_be_low(node):
                kept.add(id(node))
        for node in spreading:
            kept.add(id(node))
            kept.update(id(near) for near in self._spread(node))
        kept.update(id(node) for node in self._ends())
        return kept

    def _spread(self, start: Any) -> Iterator[Any]:
        """Yield the squares before a reduction, and the arithmetic after it."""
        makers = [self._makers[name] for name in start.input if name in self._makers]
        for maker in makers:
            # A box filter's mean of products is a covariance; a reduction's, mostly a weight.
            square = maker.op_type == "Pow" or (
                maker.op_type == "Mul" and len(set(maker.input)) == 1
            )
            if square or (maker.op_type == "Mul" and start.op_type == "Conv"):
                yield maker
        waiting, seen = [start], {id(start)}
        while waiting:
            for name in waiting.pop().output:
                for user in self._users[name]:
                    if id(user) not in seen and user.op_type in ELEMENTWISE:
                        seen.add(id(user))
                        waiting.append(user)
                        yield user

    def _ends(self) -> Iterator[Any]:
        """Yield what lies between the last dense convolutions and the outputs."""
        ends = self._islands.ends
        waiting = [v.name for v in self._graph.output if ends is None or v.name in ends]
        seen: set[int] = set()
        while waiting:
            node = self._makers.get(waiting.pop())
            if node is None or id(node) in seen or self._is_dense(node):
                continue
            seen.add(id(node))
            yield node
            waiting += node.input

    def _is_dense(self, node: Any) -> bool:
        if node.op_type not in DENSE:
            return False
        if node.op_type != "Conv" or node.input[1] not in self._constants:
            return True
        # Channel by channel: a filter, cheap, as box filters and the first half of MobileNet's are.
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        return list(self._constants[node.input[1]].dims[:2]) != [groups, 1]

    def _is_box_filter(self, node: Any) -> bool:
        if node.op_type != "Conv" or self._is_dense(node) or node.input[1] not in self._constants:
            return False
        weights = self._array(node.input[1])
        return weights.size > weights.shape[0] and bool((weights == weights.flat[0]).all())

    def _can_be_low(self, node: Any) -> bool:
        """Tell whether a node has float32 tensors that may be of the lower type, none too large."""
        wants = self._wants(node)
        if not wants:
            return False
        constants = [node.input[i] for i in wants if node.input[i] in self._constants]
        return not self._half or all(_fits_half(self._array(name)) for name in constants)

    def _wants(self, node: Any) -> tuple[int, ...]:
        """Return which inputs of a low node are low; none where the operator cannot be."""
        if node.domain not in ("", "ai.onnx"):
            return ()
        try:
            schema = self._onnx.defs.get_schema(node.op_type, self._opset)
        except self._onnx.defs.SchemaError:
            return ()
        allowed = {c.type_param_str: set(c.allowed_type_strs) for c in schema.type_constraints}
        variadic = self._onnx.defs.OpSchema.FormalParameterOption.Variadic

        def may(parameters: Any, i: int) -> bool:
            last = parameters[-1]
            parameter = parameters[i] if i < len(parameters) else last
            if i >= len(parameters) and last.option != variadic:
                return False
            # Operators take bfloat16 formally only since late operator sets, engines before.
            return "tensor(float16)" in allowed.get(parameter.type_str, {parameter.type_str})

        if not all(
            may(schema.outputs, i)
            for i, name in enumerate(node.output)
            if self._types.get(name) == self._float
        ):
            return ()
        return tuple(
            i
            for i, name in enumerate(node.input)
            if self._types.get(name) == self._float and may(schema.inputs, i)
        )

    def _constant(self, name: str) -> str:
        """Return the name of a constant of the lower type, made where it is not there yet."""
        other = f"{name}_low"
        if other not in self._constants:
            tensor = lowered(self._constants[name], self._low)
            if self._form == "rounded":
                tensor = widened(tensor)
            tensor.name = other
            self._graph.initializer.append(tensor)
            self._constants[other] = tensor
        return other

    def _rounded(
        self, name: str, source: str, goal: str, nodes: list[Any], made: dict[tuple[str, int], str]
    ) -> str:
        """Return the name of a value rounded to the lower type and back."""
        if (goal, self._float) not in made:
            nodes.append(self._node("Cast", source, f"{name}_low", to=self._low))
            nodes.append(self._node("Cast", f"{name}_low", goal, to=self._float))
            made[goal, self._float] = goal
        return goal

    def _node(self, kind: str, source: str, result: str, **attributes: Any) -> Any:
        return self._onnx.helper.make_node(kind, [source], [result], name=result, **attributes)

    def _array(self, name: str) -> Any:
        return self._onnx.numpy_helper.to_array(self._constants[name])

    def _constants_to_initializers(self) -> None:
        found = [node for node in self._graph.node if node.op_type == "Constant"]
        for node in found:
            [attribute] = node.attribute
            if attribute.name == "value":
                tensor = attribute.t
            else:
                values = self._onnx.helper.get_attribute_value(attribute)
                kind = np.float32 if "float" in attribute.name else np.int64
                tensor = self._onnx.numpy_helper.from_array(np.asarray(values, kind))
            tensor.name = node.output[0]
            self._graph.initializer.append(tensor)
            self._graph.node.remove(node)

    def _forget_unused(self) -> None:
        # Types of inner tensors, which have changed, follow from the rest.
        del self._graph.value_info[:]
        used = {name for node in self._graph.node for name in node.input}
        used |= {value.name for value in self._graph.output}
        for tensor in [t for t in self._graph.initializer if t.name not in used]:
            self._graph.initializer.remove(tensor)


def lowered(tensor: onnx.TensorProto, to: int) -> onnx.TensorProto:
    """Return a float32 constant rounded to float16 or bfloat16."""
    from onnx import TensorProto, numpy_helper

    array = numpy_helper.to_array(tensor)
    if to == TensorProto.FLOAT16:
        return numpy_helper.from_array(array.astype(np.float16))
    # The upper half of a float32, rounded to even; infinities and NaN are as they are.
    bits = np.ascontiguousarray(array).view(np.uint32)
    high = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    high = np.where(np.isfinite(array), high, (bits >> 16).astype(np.uint16))
    return TensorProto(data_type=to, dims=array.shape, raw_data=high.astype("<u2").tobytes())


def widened(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """Return what lowered() gave as float32."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_type == TensorProto.FLOAT16:
        return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32))
    high = np.frombuffer(tensor.raw_data, "<u2").astype(np.uint32) << 16
    return numpy_helper.from_array(high.view(np.float32).reshape(tuple(tensor.dims)))


def _fits_half(array: Any) -> bool:
    """Tell whether float16 holds a constant: nothing too large, and not all of it vanishing."""
    sizes = np.abs(array[np.isfinite(array) & (array != 0)])
    return not sizes.size or bool(sizes.max() <= HALF_MOST and sizes.max() >= HALF_LEAST)


__all__ = ["DENSE", "Form", "LowPrecision", "Lowered", "at_opset", "lower", "nodes_of_islands"]
