"""Lowered graphs: what is rounded, what must not be, and how far alpha moves."""

from __future__ import annotations

import lzma

import fastmatte as fm
import graphs
import numpy as np
import onnx
import onnxruntime
import pytest
from fastmatte import proof
from fastmatte.engines import onnxruntime as plain
from fastmatte.graph import islands, precision
from fastmatte.graph.islands import Islands
from fastmatte.observation import observe
from onnx import TensorProto, helper, numpy_helper

NOTHING = Islands(frozenset(), frozenset(), box_filters=False, ends=())


def run(path, feed):
    session = plain.open(path, precision="fp32", threads=1)
    return session.run(feed)


def image(height=48, width=64, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    # Smooth, as photographs are: a guided filter divides by its variance.
    small = rng.random((1, 3, height // 8, width // 8), np.float32)
    return scale * np.repeat(np.repeat(small, 8, 2), 8, 3) + np.float32(0.01) * rng.random(
        (1, 3, height, width), np.float32
    )


def deviation(path, folder, kind, form, feed, family=None):
    """The largest difference of each output from the graph as it was; infinite where NaN."""
    low = folder / "low.onnx"
    fm.graph.lower(path, low, precision=kind, family=family, form=form, overwrite=True)
    onnx.checker.check_model(onnx.load(low))
    truth, found = run(path, feed), run(low, feed)
    differences = {name: np.abs(found[name] - truth[name]).max() for name in truth}
    return {
        name: np.inf if np.isnan(value) else float(value) for name, value in differences.items()
    }


@pytest.mark.parametrize("form", ["typed", "rounded"])
@pytest.mark.parametrize("name", ["normalised", "guided", "convolution", "brightness", "portrait"])
def test_alpha_stays_within_a_fiftieth(graph, tmp_path, name, form):
    found = deviation(graph(name), tmp_path, "fp16", form, {"input": image()})
    assert all(value <= 2e-2 for value in found.values()), found


@pytest.mark.parametrize("name", ["normalised", "guided"])
def test_without_islands_it_would_not(graph, tmp_path, name, monkeypatch):
    """What the islands are for: else they could go."""
    monkeypatch.setattr(precision, "islands_of", lambda family: NOTHING)
    [found] = deviation(graph(name), tmp_path, "fp16", "rounded", {"input": image()}).values()
    assert found > 0.1


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [("normalised", "spreading", frozenset()), ("guided", "box_filters", False)],
)
def test_no_part_of_the_row_can_go(graph, tmp_path, name, field, value, monkeypatch):
    """But for single operators, inside which ONNX Runtime rounds nothing, and a GPU may."""
    from dataclasses import replace

    row = replace(islands.DEFAULT, ends=(), **{field: value})
    monkeypatch.setattr(precision, "islands_of", lambda family: row)
    [found] = deviation(graph(name), tmp_path, "fp16", "rounded", {"input": image()}).values()
    assert found > 2e-2


def test_typed_graphs_are_of_the_lower_type_where_they_say(graph, tmp_path):
    report = fm.graph.lower(graph("normalised"), tmp_path / "low.onnx", precision="fp16")
    model = onnx.shape_inference.infer_shapes(onnx.load(report.path), strict_mode=True)
    types = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    produced = {node.op_type: types.get(node.output[0]) for node in model.graph.node}
    assert produced["Relu"] == TensorProto.FLOAT16
    for kind in ("ReduceMean", "Mul", "Sqrt", "Div", "InstanceNormalization"):
        assert produced[kind] == TensorProto.FLOAT, kind
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert weights == {
        "first_low": TensorProto.FLOAT16,
        "second_low": TensorProto.FLOAT16,
        "last_low": TensorProto.FLOAT16,
        "eps": TensorProto.FLOAT,
        "gain": TensorProto.FLOAT,
        "shift": TensorProto.FLOAT,
    }
    assert report.signature == fm.graph.read_signature(graph("normalised"))
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    assert len(casts) == report.casts
    # Into the network, around two normalisations, and before the last sigmoid: one each way.
    assert report.casts == 6
    low = [n for n in model.graph.node if n.op_type in ("Conv", "Relu")]
    assert len(low) == report.low == 5
    assert report.kept == 9


def test_rounded_shows_an_overflow_that_typed_hides_on_a_cpu(tmp_path):
    """ONNX Runtime computes a float16 graph in float32 from end to end."""
    path = tmp_path / "large.onnx"
    nodes = [
        helper.make_node("Conv", ["input", "up"], ["large"]),
        helper.make_node("Relu", ["large"], ["positive"]),
        helper.make_node("Conv", ["positive", "down"], ["output"]),
    ]
    shape = ("batch", 3, "height", "width")
    ones = np.ones((1, 3, 1, 1))
    graphs._save(
        path,
        nodes,
        [("input", shape)],
        [("output", ("batch", 1, "height", "width"))],
        [("up", ones * 6e4), ("down", np.full((1, 1, 1, 1), 1 / 2e5))],
    )
    feed = {"input": image(scale=0.9)}
    [typed] = deviation(path, tmp_path, "fp16", "typed", feed).values()
    [rounded] = deviation(path, tmp_path, "fp16", "rounded", feed).values()
    [wide] = deviation(path, tmp_path, "bf16", "rounded", feed).values()
    assert (typed < 2e-2, rounded, wide < 2e-2) == (True, np.inf, True)


@pytest.mark.parametrize("value", [1e6, 1e-9])
def test_constants_that_float16_cannot_hold_stay(tmp_path, value):
    path = tmp_path / "constant.onnx"
    nodes = [
        helper.make_node("Conv", ["input", "weight"], ["x"]),
        helper.make_node("Mul", ["x", "constant"], ["y"]),
        helper.make_node("Conv", ["y", "weights"], ["output"]),
    ]
    graphs._save(
        path,
        nodes,
        [("input", (1, 3, 8, 8))],
        [("output", (1, 1, 8, 8))],
        [
            ("weight", np.ones((2, 3, 1, 1)) / 3),
            ("constant", [value]),
            ("weights", np.full((1, 2, 1, 1), 0.5)),
        ],
    )
    low = fm.graph.lower(path, tmp_path / "low.onnx", precision="fp16")
    kept = {t.name: t for t in onnx.load(low.path).graph.initializer}
    assert numpy_helper.to_array(kept["constant"]) == np.float32(value)
    # bfloat16 has float32's range.
    low = fm.graph.lower(path, tmp_path / "low.onnx", precision="bf16", overwrite=True)
    assert "constant_low" in {t.name for t in onnx.load(low.path).graph.initializer}


@pytest.mark.parametrize("opset", [11, 13])
def test_resize_keeps_its_scales_and_constants_become_weights(tmp_path, opset):
    path = tmp_path / "resize.onnx"
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32))
    weight = numpy_helper.from_array(np.full((1, 3, 1, 1), 1 / 3, np.float32))
    nodes = [
        helper.make_node("Constant", [], ["scales"], value=scales),
        helper.make_node("Constant", [], ["roi"], value_floats=[0.0] * 8)
        if opset > 11
        else helper.make_node("Constant", [], ["roi"], value=scales),
        helper.make_node("Constant", [], ["weight"], value=weight),
        helper.make_node("Resize", ["input", "roi", "scales"], ["large"], mode="linear"),
        helper.make_node("Conv", ["large", "weight"], ["x"]),
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Conv", ["y", "one"], ["output"]),
    ]
    graphs._save(
        path,
        nodes,
        [("input", (1, 3, 16, 16))],
        [("output", (1, 1, 32, 32))],
        [("one", np.ones((1, 1, 1, 1)))],
    )
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    for kind, form in (("fp16", "typed"), ("fp16", "rounded"), ("bf16", "rounded")):
        found = deviation(path, tmp_path, kind, form, {"input": image(16, 16)})
        assert found["output"] < 1e-2


def test_bfloat16_is_rounded_to_even():
    values = [1, -1, 1 + 2**-8, 1 + 3 * 2**-8, 3e38, 1e-40, np.inf, -np.inf, 0]
    values = np.array(values, np.float32)
    tensor = numpy_helper.from_array(values, "x")
    found = precision.widened(precision.lowered(tensor, TensorProto.BFLOAT16))
    session = onnxruntime.InferenceSession(
        helper.make_model(
            helper.make_graph(
                [
                    helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16),
                    helper.make_node("Cast", ["y"], ["z"], to=TensorProto.FLOAT),
                ],
                "cast",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
                [helper.make_tensor_value_info("z", TensorProto.FLOAT, [None])],
            ),
            opset_imports=[helper.make_opsetid("", 13)],
            ir_version=8,
        ).SerializeToString()
    )
    [expected] = session.run(None, {"x": values})
    np.testing.assert_array_equal(numpy_helper.to_array(found), expected)


def test_what_cannot_be_lowered_is_said(graph, tmp_path):
    path = graph("modnet")
    with pytest.raises(ValueError, match="precision: expected 'fp16' or 'bf16', got 'int4'"):
        fm.graph.lower(path, tmp_path / "x.onnx", precision="int4")
    with pytest.raises(ValueError, match="form: expected 'typed' or 'rounded', got 'flat'"):
        fm.graph.lower(path, tmp_path / "x.onnx", precision="fp16", form="flat")
    with pytest.raises(fm.ModelError, match=r"none\.onnx: no such model file"):
        fm.graph.lower(tmp_path / "none.onnx", tmp_path / "x.onnx", precision="fp16")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(fm.ModelError, match=r"text\.onnx: "):
        fm.graph.lower(tmp_path / "text.onnx", tmp_path / "x.onnx", precision="fp16")
    with pytest.raises(FileExistsError):
        fm.graph.lower(path, tmp_path / "text.onnx", precision="fp16")
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "branch",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)],
            "loops",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
                helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            ],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "if.onnx")
    with pytest.raises(fm.ModelError, match=r"if\.onnx: node 'z' is a If: what has conditions"):
        fm.graph.lower(tmp_path / "if.onnx", tmp_path / "x.onnx", precision="fp16")
    assert not (tmp_path / "x.onnx").exists()


def test_a_recurrent_state_may_be_low_to_its_end(graph, tmp_path):
    low = {
        family: fm.graph.lower(
            graph("rvm"), tmp_path / f"{family}.onnx", precision="fp16", family=family
        ).low
        for family in (None, "rvm")
    }
    assert low == {None: 0, "rvm": 12}  # AveragePool, Add and Mul of four states


@pytest.mark.parametrize("family", islands.ISLANDS)
def test_rows_are_of_families_there_are(family):
    assert family in fm.models.FAMILIES


def frozen(path, folder, samples, size=None):
    """Freeze a network as its family feeds it; return its inputs at the last of several frames."""
    samples = [proof.Sample("", lambda sample=sample: sample) for sample in samples]
    found = observe(fm.ModelSpec(path), samples, threads=1, size=size)
    out = folder / "frozen.onnx"
    shapes = {name: array.shape for name, array in found.feeds[-1].items()}
    fm.graph.freeze(path, out, shapes=shapes, values=found.constants)
    return out, found.feeds[-1]


def photos(folder, count):
    from PIL import Image

    with Image.open(folder / "images" / "eval" / "woman2_image.png") as picture:
        photo = np.asarray(picture.convert("RGB"))
    return [np.ascontiguousarray(np.roll(photo, 5 * i, 1)) for i in range(count)]


@pytest.mark.parametrize("form", ["typed", "rounded"])
def test_rvm_with_its_real_weights(shared_data, tmp_path, form):
    path = shared_data / "models" / "rvm_mobilenetv3_fgf.onnx"
    graph, feed = frozen(path, tmp_path, photos(shared_data, 3), (512, 512))
    assert feed["r1i"].any()
    found = deviation(graph, tmp_path, "fp16", form, feed, "rvm")
    assert max(found["pha"], found["fgr"]) < 2e-2, found


@pytest.mark.parametrize("scale", [1, 1000])
def test_modnet_with_activations_that_overflow(shared_data, tmp_path, scale):
    path = tmp_path / "modnet.onnx"
    source = shared_data / "models" / "modnet_random.onnx.xz"
    path.write_bytes(lzma.decompress(source.read_bytes()))
    graph, feed = frozen(path, tmp_path, photos(shared_data, 1), (256, 256))
    feed = {"input": feed["input"] * np.float32(scale)}
    for form in ("typed", "rounded"):
        [found] = deviation(graph, tmp_path, "fp16", form, feed, "modnet").values()
        assert np.isfinite(found)


def test_int8_is_calibrated_on_what_is_fed(graph, tmp_path):
    feed = [{"input": image(seed=k)} for k in range(4)]
    report = fm.graph.quantise(graph("normalised"), tmp_path / "int8.onnx", feeds=feed)
    assert (report.quantised, report.kept) == (3, 0)
    model = onnx.load(report.path)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("QuantizeLinear") >= 6  # of three weights and what they are multiplied with
    for tensor in model.graph.initializer:
        if tensor.name.endswith("_zero_point"):
            assert not numpy_helper.to_array(tensor).any()
    truth, found = run(graph("normalised"), feed[0]), run(report.path, feed[0])
    assert 0 < np.abs(truth["output"] - found["output"]).mean() < 0.05
    # Ranges come from what is fed: a hundredth of it leaves nothing of the rest.
    poor = [{"input": feed[0]["input"] / 100}]
    fm.graph.quantise(graph("guided"), tmp_path / "a.onnx", feeds=feed)
    fm.graph.quantise(graph("guided"), tmp_path / "b.onnx", feeds=poor)
    truth = run(graph("guided"), feed[0])["output"]
    good, bad = (
        np.abs(run(tmp_path / f"{k}.onnx", feed[0])["output"] - truth).mean() for k in "ab"
    )
    assert good < 0.1 * bad
    kept = fm.graph.quantise(graph("guided"), tmp_path / "c.onnx", feeds=feed).kept
    assert kept == 4  # the box filters


def test_bad_feeds_are_named(graph, tmp_path):
    for feed, message in [([], "expected at least one"), ([{"x": image()}], "got none for input")]:
        with pytest.raises(ValueError, match=f"feeds: .*{message}"):
            fm.graph.quantise(graph("modnet"), tmp_path / "x.onnx", feeds=feed)
    with pytest.raises(fm.ModelError, match=r"none\.onnx: no such model file"):
        fm.graph.quantise(tmp_path / "none.onnx", tmp_path / "x.onnx", feeds=[{}])
    bad = [{"input": np.zeros((1, 5, 8, 8), np.float32)}]
    with pytest.raises(fm.ModelError, match=r"modnet\.onnx: ONNX Runtime cannot quantise it"):
        fm.graph.quantise(graph("modnet"), tmp_path / "x.onnx", feeds=bad)
    assert not (tmp_path / "x.onnx").exists()
