"""Tiny ONNX graphs with the signatures of real families, small enough to compute by hand."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: Steep enough that black becomes alpha 0.018 and white 0.982.
SLOPE = 8.0


def _save(path, nodes, inputs, outputs, constants=()):
    def value(name, shape, dtype=TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, dtype, shape)

    graph = helper.make_graph(
        nodes,
        "tiny",
        [value(*i) for i in inputs],
        [value(*o) for o in outputs],
        [
            helper.make_tensor(name, TensorProto.FLOAT, np.shape(values), np.ravel(values))
            for name, values in constants
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def brightness(
    path,
    source="input",
    result="output",
    shape=("batch_size", 3, "height", "width"),
    out_shape=("batch_size", 1, "height", "width"),
    centre=0.0,
    slope=SLOPE,
):
    """alpha = sigmoid(slope * (mean of the channels - centre)); channels first or last."""
    axis = 3 if shape[3] == 3 else 1
    nodes = [
        helper.make_node("ReduceMean", [source], ["mean"], axes=[axis], keepdims=1),
        helper.make_node("Sub", ["mean", "centre"], ["centred"]),
        helper.make_node("Mul", ["centred", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], [result]),
    ]
    constants = [("centre", [centre]), ("slope", [slope])]
    return _save(path, nodes, [(source, shape)], [(result, out_shape)], constants)


def modnet(path, **options):
    return brightness(path, **options)


def halved(path, keep=()):
    """Give a graph float16 inputs and outputs but for keep, and compute in float32 between them."""
    model = onnx.load(path)
    graph = model.graph
    wide = {}
    for value in (*graph.input, *graph.output):
        if value.name not in keep:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
            wide[value.name] = f"{value.name}_wide"
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = wide.get(name, name)
    for i, value in enumerate(graph.input):
        if value.name in wide:
            cast = helper.make_node("Cast", [value.name], [wide[value.name]], to=TensorProto.FLOAT)
            graph.node.insert(i, cast)
    for value in graph.output:
        cast = helper.make_node("Cast", [wide[value.name]], [value.name], to=TensorProto.FLOAT16)
        graph.node.append(cast)
    onnx.save(model, path)
    return path


def modnet_half(path):
    return halved(brightness(path))


def rvm_half(path):
    """States and images are float16, downsample_ratio stays float32."""
    return halved(rvm(path), keep=("downsample_ratio",))


def rvm_states(path, height, width):
    """States of a coarse frame of this size, fixed; frames are of any."""
    model = onnx.load(rvm(path))
    for k, value in enumerate(model.graph.input[1:5], 1):
        for axis, side in enumerate((1, 1, -(-height // 2**k), -(-width // 2**k))):
            value.type.tensor_type.shape.dim[axis].dim_value = side
    onnx.save(model, path)
    return path


def rvm_frozen(path):
    """Made ready by constants: no downsample_ratio, every size fixed."""
    model = onnx.load(rvm(path))
    graph = model.graph
    del graph.input[-1]
    sizes = {"src": (3, 48, 64)} | {f"r{k}i": (1, 48 >> k, 64 >> k) for k in range(1, 5)}
    for value in graph.input:
        for axis, side in enumerate((1, *sizes[value.name])):
            value.type.tensor_type.shape.dim[axis].dim_value = side
    onnx.save(model, path)
    return path


def not_numbers(path):
    """A MODNet signature whose output is not a number wherever the image is black."""
    brightness(path, slope=-SLOPE)
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "alpha"
    model.graph.node.extend(
        [
            helper.make_node("Sub", ["alpha", "alpha"], ["nothing"]),
            helper.make_node("Div", ["nothing", "nothing"], ["output"]),
        ]
    )
    onnx.save(model, path)
    return path


def broken_by_black(path, source="src"):
    """Make a graph of its input's squares over itself: not numbers where that is 0."""
    model = onnx.load(path)
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = "itself" if name == source else name
    model.graph.node.insert(0, helper.make_node("Mul", [source, source], ["square"]))
    model.graph.node.insert(1, helper.make_node("Div", ["square", source], ["itself"]))
    onnx.save(model, path)
    return path


def modnet_rounded(path):
    """The same, reaching half a thousandth beyond 1, as engines' own sigmoids do by rounding."""
    brightness(path)
    model = onnx.load(path)
    graph = model.graph
    graph.node[-1].output[0] = "alpha"
    graph.initializer.append(helper.make_tensor("beyond", TensorProto.FLOAT, [1], [1.0005]))
    graph.node.append(helper.make_node("Mul", ["alpha", "beyond"], ["output"]))
    onnx.save(model, path)
    return path


def portrait(path):
    """A MODNet with the same found at half the size, the means of 2 x 2 pixels, as well."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["mean"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    for seen, result in (("mean", "output"), ("small", "half")):
        nodes += [
            helper.make_node("Mul", [seen, "slope"], [f"{seen}_logit"]),
            helper.make_node("Sigmoid", [f"{seen}_logit"], [result]),
        ]
    return _save(
        path,
        nodes,
        [("input", ("batch_size", 3, "height", "width"))],
        [
            ("output", ("batch_size", 1, "height", "width")),
            ("half", ("batch_size", 1, "half_height", "half_width")),
        ],
        [("slope", [SLOPE])],
    )


def selfie(path):
    return brightness(
        path,
        "pixel_values",
        "alphas",
        ("batch_size", 3, 256, 256),
        ("batch_size", 1, 256, 256),
        centre=0.5,
    )


def selfie_channels_last(path):
    return brightness(
        path, "input_1:0", "activation_10", (1, 256, 256, 3), (1, 256, 256, 1), centre=0.5
    )


def salient(path):
    return brightness(path, shape=(1, 3, 224, 224), out_shape=(1, 1, 224, 224))


def softmax(path):
    """Two channels, 1 - alpha and alpha, of a graph that leaves the size open."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "slope"], ["logit"]),
        helper.make_node("Neg", ["logit"], ["other"]),
        helper.make_node("Concat", ["other", "logit"], ["logits"], axis=1),
        helper.make_node("Softmax", ["logits"], ["save_infer_model/scale_0.tmp_1"], axis=1),
    ]
    return _save(
        path,
        nodes,
        [("x", (None, 3, None, None))],
        [("save_infer_model/scale_0.tmp_1", (None, 2, None, None))],
        [("slope", [SLOPE / 2])],
    )


def rvm(path):
    """pha = 0.8 grey + 0.2 mean(r1i); each state moves half way to the shrunk grey of src."""
    states = ["r1", "r2", "r3", "r4"]
    nodes = [
        helper.make_node("ReduceMean", ["src"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("GlobalAveragePool", ["r1i"], ["memory"]),
        helper.make_node("Mul", ["grey", "most"], ["now"]),
        helper.make_node("Mul", ["memory", "rest"], ["before"]),
        helper.make_node("Add", ["now", "before"], ["pha"]),
        helper.make_node("Mul", ["src", "most"], ["fgr"]),
    ]
    for k, state in enumerate(states, 1):
        nodes += [
            helper.make_node(
                "AveragePool",
                ["grey"],
                [f"{state}s"],
                kernel_shape=[2**k] * 2,
                strides=[2**k] * 2,
                ceil_mode=1,
            ),
            helper.make_node("Add", [f"{state}i", f"{state}s"], [f"{state}sum"]),
            helper.make_node("Mul", [f"{state}sum", "half"], [f"{state}o"]),
        ]
    return _save(
        path,
        nodes,
        [("src", ("batch", 3, "height", "width"))]
        + [(f"{s}i", ("b", f"c{s}", f"h{s}", f"w{s}")) for s in states]
        + [("downsample_ratio", (1,))],
        [("fgr", ("batch", 3, "height", "width")), ("pha", ("batch", 1, "height", "width"))]
        + [(f"{s}o", ("b", 1, f"oh{s}", f"ow{s}")) for s in states],
        [("most", [0.8]), ("rest", [0.2]), ("half", [0.5])],
    )


def rvm_ratio(path):
    """pha is downsample_ratio everywhere."""
    model = onnx.load(rvm(path))
    nodes = model.graph.node
    found = next(node for node in nodes if node.output[0] == "pha")
    found.output[0] = "unused"
    nodes.extend(
        [
            helper.make_node("Sub", ["unused", "unused"], ["zero"]),
            helper.make_node("Add", ["zero", "downsample_ratio"], ["pha"]),
        ]
    )
    onnx.save(model, path)
    return path


def contract(path, inputs, outputs, *, logits=False, levels=None, channel=0, foreground=None):
    """alpha = sigmoid of a 3 x 3 convolution over all inputs, and its mean: neighbours, borders and
    what is added to them count.

    inputs:     name -> shape, in the order in which they are concatenated.
    outputs:    names; alpha is the first but for "pha", and every other but foreground is junk.
    levels:     an input of 0..255 that the graph divides by itself.
    channel:    of the output that is alpha; those before it hold 1 - alpha.
    """
    depth = sum(shape[3 if shape[3] == 3 else 1] for shape in inputs.values())
    kernel = np.random.default_rng(depth).normal(0, 1, (1, depth, 3, 3)) / np.sqrt(9 * depth)
    nodes, parts = [], []
    for name, shape in inputs.items():
        part = name
        if shape[3] == 3:
            nodes.append(helper.make_node("Transpose", [name], [f"{name}_t"], perm=[0, 3, 1, 2]))
            part = f"{name}_t"
        if name == levels:
            nodes.append(helper.make_node("Div", [name, "white"], [f"{name}_s"]))
            part = f"{name}_s"
        parts.append(part)
    last = next(iter(inputs.values()))[3] == 3
    alpha = "pha" if "pha" in outputs else outputs[0]
    nodes += [
        helper.make_node("Concat", parts, ["all"], axis=1),
        helper.make_node("Conv", ["all", "kernel"], ["near"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["near"], ["mean"]),
        helper.make_node("Add", ["near", "mean"], ["logit"]),
        helper.make_node("Identity" if logits else "Sigmoid", ["logit"], ["plane"]),
    ]
    if channel:
        nodes += [
            helper.make_node("Sub", ["one", "plane"], ["rest"]),
            helper.make_node("Concat", ["rest"] * channel + ["plane"], [alpha], axis=1),
        ]
    elif last:
        nodes.append(helper.make_node("Transpose", ["plane"], [alpha], perm=[0, 2, 3, 1]))
    else:
        nodes.append(helper.make_node("Identity", ["plane"], [alpha]))
    sides = ("oh", "ow")
    shapes = dict.fromkeys(outputs, (None, None, *sides))
    shapes[alpha] = (None, *sides, 1) if last else (None, channel + 1, *sides)
    for name in outputs:
        if name == foreground:
            nodes.append(helper.make_node("Mul", [next(iter(inputs)), "most"], [name]))
        elif name != alpha:
            nodes.append(helper.make_node("Neg", ["logit"], [name]))
    used = {name for node in nodes for name in node.input}
    constants = [("kernel", kernel), ("white", [255.0]), ("one", [1.0]), ("most", [0.8])]
    constants = [(name, values) for name, values in constants if name in used]
    return _save(path, nodes, inputs.items(), [(n, shapes[n]) for n in outputs], constants)


OPEN = ("batch", 3, "height", "width")
OPEN_FOUR = ("batch", 4, "height", "width")
SMALL, LARGE = (1, 3, 320, 320), (1, 3, 1024, 1024)
PAIR = {"src": OPEN, "bgr": OPEN}
#: Keyword arguments of contract() for each published signature.
CONTRACTS = {
    "modnet": {"inputs": {"input": OPEN}, "outputs": ["output"]},
    "paddle": {"inputs": {"img": OPEN}, "outputs": ["sigmoid_5.tmp_0", "sigmoid_3.tmp_0"]},
    "dim": {
        "inputs": {"img": OPEN, "trimap": ("batch", 1, "height", "width")},
        "outputs": ["clip_0.tmp_0"],
        "levels": "trimap",
    },
    "four": {"inputs": {"x": OPEN_FOUR}, "outputs": ["y"]},
    "vitmatte": {"inputs": {"x": OPEN_FOUR}, "outputs": ["phas"]},
    "vitmatte-hf": {"inputs": {"pixel_values": OPEN_FOUR}, "outputs": ["alphas"]},
    "bgmv2-refine": {
        "inputs": PAIR,
        "outputs": ["pha", "fgr", "pha_sm", "fgr_sm", "err_sm", "ref_sm"],
        "foreground": "fgr",
    },
    "bgmv2-base": {"inputs": PAIR, "outputs": ["pha", "fgr", "err", "hid"], "foreground": "fgr"},
    "salient": {"inputs": {"input.1": SMALL}, "outputs": ["1959", "1960", "1961"]},
    "large": {"inputs": {"x": LARGE}, "outputs": ["y"]},
    "birefnet": {
        "inputs": {"input_image": LARGE},
        "outputs": ["output_image"],
        "logits": True,
    },
    "selfie": {"inputs": {"pixel_values": ("batch", 3, 256, 256)}, "outputs": ["alphas"]},
    "selfie-nhwc": {"inputs": {"input_1:0": (1, 256, 256, 3)}, "outputs": ["activation_10"]},
    "mmnet": {"inputs": {"input": (1, 3, 256, 256)}, "outputs": ["output"]},
    "softmax": {
        "inputs": {"x": (None, 3, None, None)},
        "outputs": ["save_infer_model/scale_0.tmp_1"],
        "channel": 1,
    },
}


def weighted(path):
    """A selfie network to which red means more than blue."""
    brightness(path, "pixel_values", "alphas", (1, 3, 256, 256), (1, 1, 256, 256), centre=0.5)
    model = onnx.load(path)
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [1, 3, 1, 1], [2.0, 0.8, 0.2])
    model.graph.initializer.append(weights)
    model.graph.node[0].input[0] = "weighed"
    model.graph.node.insert(0, helper.make_node("Mul", ["pixel_values", "weights"], ["weighed"]))
    onnx.save(model, path)
    return path


def dim(path):
    return contract(path, **CONTRACTS["dim"])


def bgmv2(path):
    return contract(path, **CONTRACTS["bgmv2-refine"])


def local(path, signature="vitmatte-hf", pool=32, dilation=8, side=None, channels=2):
    """A network with a known receptive field, the signature of one that takes a trimap.

    alpha = sigmoid of convolutions over what is within dilation pixels, and of the largest values
    of the pool x pool squares that the pixel lies in: it looks as far as the larger of the two.
    side:     of a graph that takes no other size.
    channels: of its widest layer.
    """
    contract_of = CONTRACTS[signature]
    inputs = {
        name: shape if side is None else (1, shape[1], side, side)
        for name, shape in contract_of["inputs"].items()
    }
    [alpha] = contract_of["outputs"]
    rng = np.random.default_rng(4)
    parts = [f"{name}_s" if name == "trimap" else name for name in inputs]
    nodes = [helper.make_node("Div", ["trimap", "white"], ["trimap_s"])] * ("trimap" in inputs)
    nodes += [
        helper.make_node("Concat", parts, ["all"], axis=1),
        helper.make_node(
            "Conv",
            ["all", "wide"],
            ["near"],
            kernel_shape=[3, 3],
            dilations=[dilation] * 2,
            pads=[dilation] * 4,
        ),
        helper.make_node("Conv", ["near", "narrow"], ["detail"]),
        helper.make_node("Conv", ["all", "mix"], ["grey"]),
        helper.make_node(
            "MaxPool", ["grey"], ["small"], kernel_shape=[pool] * 2, strides=[pool] * 2
        ),
        helper.make_node(
            "Resize",
            ["small", "", "scales"],
            ["coarse"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        helper.make_node("Add", ["detail", "coarse"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], [alpha]),
    ]
    constants = [
        ("white", [255.0]),
        ("wide", rng.normal(0, 0.5, (channels, 4, 3, 3))),
        ("narrow", rng.normal(0, 0.5, (1, channels, 1, 1))),
        ("mix", rng.normal(0, 0.5, (1, 4, 1, 1))),
        ("scales", [1.0, 1.0, pool, pool]),
    ]
    used = {name for node in nodes for name in node.input}
    constants = [(name, values) for name, values in constants if name in used]
    return _save(path, nodes, inputs.items(), [(alpha, (None, 1, "oh", "ow"))], constants)


def unknown(path):
    return brightness(path, "frames", "score", (1, 5, 64, 64), (1, 1, 64, 64))


def logits(path):
    """A MODNet signature whose output leaves [0, 1]: no alpha at all."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "slope"], ["output"]),
    ]
    shape = ("batch_size", 3, "height", "width")
    out_shape = ("batch_size", 1, "height", "width")
    return _save(path, nodes, [("input", shape)], [("output", out_shape)], [("slope", [SLOPE])])


def convolution(path):
    """The same with the mean taken by a convolution, which engines compute in less than fp32."""
    _save(
        path,
        [
            helper.make_node("Conv", ["input", "weight"], ["logit"], kernel_shape=[1, 1]),
            helper.make_node("Sigmoid", ["logit"], ["output"]),
        ],
        [("input", ("batch_size", 3, "height", "width"))],
        [("output", ("batch_size", 1, "height", "width"))],
    )
    model = onnx.load(path)
    weight = np.full((1, 3, 1, 1), SLOPE / 3, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "weight"))
    onnx.save(model, path)
    return path


def normalised(path, large=300.0):
    """A MODNet whose convolution gives large values, normalised twice: by mean and deviation as
    exporters take InstanceNormalization apart, and by the operator. Squares leave float16's range.
    """
    rng = np.random.default_rng(5)
    nodes = [
        helper.make_node("Conv", ["input", "first"], ["x"], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3]),
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "centred"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["variance"], axes=[2, 3]),
        helper.make_node("Add", ["variance", "eps"], ["safe"]),
        helper.make_node("Sqrt", ["safe"], ["deviation"]),
        helper.make_node("Div", ["centred", "deviation"], ["normal"]),
        helper.make_node("Relu", ["normal"], ["positive"]),
        helper.make_node("Conv", ["positive", "second"], ["y"], pads=[1, 1, 1, 1]),
        helper.make_node("InstanceNormalization", ["y", "gain", "shift"], ["again"]),
        helper.make_node("Relu", ["again"], ["features"]),
        helper.make_node("Conv", ["features", "last"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["output"]),
    ]
    return _save(
        path,
        nodes,
        [("input", ("batch_size", 3, "height", "width"))],
        [("output", ("batch_size", 1, "height", "width"))],
        [
            ("first", rng.normal(0, large, (4, 3, 3, 3))),
            ("second", rng.normal(0, large, (4, 4, 3, 3))),
            ("last", rng.normal(0, 1, (1, 4, 1, 1))),
            ("eps", [1e-5]),
            ("gain", np.ones(4)),
            ("shift", np.zeros(4)),
        ],
    )


def guided(path):
    """A MODNet that ends in a guided filter: alpha = a * guide + b along the guide's own edges, a
    and b from means over 3 x 3 pixels, as RVM's refiner has them.
    """

    def box(source, result):
        return helper.make_node("Conv", [source, "box"], [result], pads=[1, 1, 1, 1])

    nodes = [
        helper.make_node("Conv", ["input", "grey"], ["guide"]),
        helper.make_node("Conv", ["input", "net"], ["features"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["features"], ["positive"]),
        helper.make_node("Conv", ["positive", "mix"], ["coarse"]),
        helper.make_node("Mul", ["guide", "coarse"], ["products"]),
        helper.make_node("Mul", ["guide", "guide"], ["squares"]),
        box("guide", "mean_x"),
        box("coarse", "mean_y"),
        box("products", "mean_xy"),
        box("squares", "mean_xx"),
        helper.make_node("Mul", ["mean_x", "mean_y"], ["xy"]),
        helper.make_node("Sub", ["mean_xy", "xy"], ["covariance"]),
        helper.make_node("Mul", ["mean_x", "mean_x"], ["xx"]),
        helper.make_node("Sub", ["mean_xx", "xx"], ["variance"]),
        helper.make_node("Add", ["variance", "eps"], ["safe"]),
        helper.make_node("Div", ["covariance", "safe"], ["a"]),
        helper.make_node("Mul", ["a", "mean_x"], ["ax"]),
        helper.make_node("Sub", ["mean_y", "ax"], ["b"]),
        helper.make_node("Mul", ["a", "guide"], ["ag"]),
        helper.make_node("Add", ["ag", "b"], ["alpha"]),
        helper.make_node("Clip", ["alpha", "none", "all"], ["output"]),
    ]
    rng = np.random.default_rng(6)
    _save(
        path,
        nodes,
        [("input", ("batch_size", 3, "height", "width"))],
        [("output", ("batch_size", 1, "height", "width"))],
        [
            ("grey", np.full((1, 3, 1, 1), 1 / 3)),
            ("net", rng.normal(0, 0.3, (8, 3, 3, 3))),
            ("mix", np.abs(rng.normal(0, 0.2, (1, 8, 1, 1)))),
            ("box", np.full((1, 1, 3, 3), 1 / 9)),
            ("eps", [1e-5]),
        ],
    )
    model = onnx.load(path)
    for name, value in (("none", 0.0), ("all", 1.0)):
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [], [value]))
    onnx.save(model, path)
    return path


def quantised(path):
    """A MODNet that rounds its input to bytes at every run."""
    brightness(path)
    model = onnx.load(path)
    graph = model.graph
    graph.node[0].input[0] = "rough"
    graph.node.insert(
        0, helper.make_node("DynamicQuantizeLinear", ["input"], ["bytes", "scale", "zero"])
    )
    graph.node.insert(
        1, helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["rough"])
    )
    onnx.save(model, path)
    return path


def ratio(path):
    """As published exporters leave RVM: sizes computed inside at every run, from a ratio that is an
    input, and one name for dimensions that differ. The state is broadcast, as theirs is.
    """
    nodes = [
        helper.make_node("Concat", ["one", "one", "downsample_ratio", "downsample_ratio"], ["s"]),
        helper.make_node("Resize", ["src", "", "s"], ["small"], mode="linear"),
        helper.make_node("ReduceMean", ["small"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Shape", ["grey"], ["size"]),
        helper.make_node("Expand", ["r1i", "size"], ["before"]),
        helper.make_node("Add", ["grey", "before"], ["sum"]),
        helper.make_node("Mul", ["sum", "half"], ["r1o"]),
        helper.make_node("Shape", ["src"], ["full"]),
        helper.make_node("Gather", ["full", "sides"], ["frame"]),
        helper.make_node("Concat", ["first", "frame"], ["target"]),
        helper.make_node("Resize", ["r1o", "", "", "target"], ["pha"], mode="linear"),
    ]
    for node in nodes:
        if node.op_type == "Concat":
            node.attribute.append(helper.make_attribute("axis", 0))
    _save(
        path,
        nodes,
        [
            ("src", ("batch", 3, "height", "width")),
            ("r1i", ("batch", "channels", "height", "width")),
            ("downsample_ratio", (1,)),
        ],
        [
            ("pha", ("batch", 1, "height", "width")),
            ("r1o", ("batch", "channels", "height", "width")),
        ],
        [("one", [1.0]), ("half", [0.5])],
    )
    model = onnx.load(path)
    for name, values in (("sides", [2, 3]), ("first", [1, 1])):
        tensor = helper.make_tensor(name, TensorProto.INT64, [2], values)
        model.graph.initializer.append(tensor)
    onnx.save(model, path)
    return path


ALL = {
    "modnet": modnet,
    "portrait": portrait,
    "rvm": rvm,
    "salient": salient,
    "selfie": selfie,
    "selfie_channels_last": selfie_channels_last,
    "softmax": softmax,
}


def sampling(path, count, refiner="modnet"):
    """A MODNet that looks at its count largest values, as a sampling refiner does."""
    brightness(path)
    model = onnx.load(path)
    graph = model.graph
    graph.node[-1].output[0] = "alpha"
    for name, values in (("all", [-1]), ("count", [count]), ("axes", [0])):
        graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [1], values))
    graph.initializer.append(helper.make_tensor("nothing", TensorProto.FLOAT, [1], [0.0]))
    graph.node.extend(
        [
            helper.make_node("Reshape", ["alpha", "all"], ["flat"]),
            helper.make_node("TopK", ["flat", "count"], ["most", "places"], name="select"),
            helper.make_node("ReduceMean", ["most"], ["mean of most"], axes=[0]),
            helper.make_node("Mul", ["mean of most", "nothing"], ["zero"]),
            helper.make_node("Add", ["alpha", "zero"], ["output"]),
        ]
    )
    onnx.save(model, path)
    return path
