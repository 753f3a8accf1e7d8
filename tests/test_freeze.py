"""fm.graph.freeze: what is built in, what is folded, and that not a bit of the results changes."""

from __future__ import annotations

import lzma
import re
import sys

import fastmatte as fm
import numpy as np
import onnx
import onnxruntime
import pytest
from fastmatte.graph.freezing import name_dimensions_apart

SIZE = (40, 64)
SHAPES = {"src": (1, 3, *SIZE), "r1i": (1, 1, 20, 32)}
RATIO = {"downsample_ratio": [0.5]}


def session(path, level="ORT_ENABLE_ALL"):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def noise(shape, seed):
    return np.random.default_rng(seed).random(shape, np.float32)


def operators(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def test_sizes_and_ratio_are_built_in_and_what_follows_is_folded(graph, tmp_path):
    out = tmp_path / "frozen.onnx"
    frozen = fm.graph.freeze(graph("ratio"), out, shapes=SHAPES, values=RATIO)
    assert frozen.path == out
    assert (frozen.nodes_before, frozen.nodes_after) == (11, len(operators(out)))
    assert not {"Shape", "Gather", "Concat"} & set(operators(out))
    assert {t.name: t.shape for t in frozen.signature.inputs} == SHAPES
    assert [t.shape for t in frozen.signature.outputs] == [(1, 1, *SIZE), (1, 1, 20, 32)]
    onnx.checker.check_model(onnx.load(out), full_check=True)
    assert [d.domain for d in onnx.load(out).opset_import] == [""]
    assert onnx.load(out).ir_version == onnx.load(graph("ratio")).ir_version


def test_results_and_states_are_the_same_bits_over_several_frames(graph, tmp_path):
    out = tmp_path / "frozen.onnx"
    fm.graph.freeze(graph("ratio"), out, shapes=SHAPES, values=RATIO)
    original, frozen = session(graph("ratio")), session(out)
    states = [np.zeros((1, 1, 1, 1), np.float32), np.zeros(SHAPES["r1i"], np.float32)]
    for seed in range(3):
        src = noise(SHAPES["src"], seed)
        ratio = np.array(RATIO["downsample_ratio"], np.float32)
        given = {"src": src, "r1i": states[0], "downsample_ratio": ratio}
        first = original.run(None, given)
        second = frozen.run(None, {"src": src, "r1i": states[1]})
        for ours, theirs in zip(second, first, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        states = [first[1], second[1]]


def test_a_part_may_stay_open_under_names_of_its_own(graph, tmp_path):
    out = tmp_path / "part.onnx"
    frozen = fm.graph.freeze(graph("ratio"), out, values=RATIO)
    assert [str(tensor) for tensor in (*frozen.signature.inputs, *frozen.signature.outputs)] == [
        "src float32 [batch, 3, height, width]",
        "r1i float32 [r1i_batch, channels, r1i_height, r1i_width]",
        "pha float32 [pha_0, 1, pha_2, pha_3]",
        "r1o float32 [r1o_0, r1o_1, r1o_2, r1o_3]",
    ]
    frame = noise((1, 3, 30, 50), 0)
    state = np.zeros((1, 1, 15, 25), np.float32)
    assert session(out).run(None, {"src": frame, "r1i": state})[0].shape == (1, 1, 30, 50)


def test_no_two_dimensions_keep_one_name(graph):
    for name in ("rvm", "ratio", "modnet", "softmax"):
        model = onnx.load(graph(name))
        name_dimensions_apart(model)
        names = [
            side.dim_param
            for tensor in (*model.graph.input, *model.graph.output)
            for side in tensor.type.tensor_type.shape.dim
            if not side.HasField("dim_value")
        ]
        assert len(set(names)) == len(names) > 0
        assert "" not in names


def test_a_tensor_may_name_its_own_sides_alike(graph, tmp_path):
    model = onnx.load(graph("modnet"))
    for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_param = "side"
    name_dimensions_apart(model)
    sides = model.graph.input[0].type.tensor_type.shape.dim[2:]
    assert [side.dim_param for side in sides] == ["side", "input_side"]


def test_frozen_graphs_are_known_and_run(graph, tmp_path, engine):
    out = tmp_path / "frozen.onnx"
    fm.graph.freeze(graph("modnet"), out, shapes={"input": (1, 3, 64, 96)})
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    matter = fm.Matter(out, family="modnet", engine=engine)
    assert matter.info.input_shape == (1, 3, 64, 96)
    expected = fm.Matter(graph("modnet"), size=(64, 96), engine=engine).alpha(image)
    np.testing.assert_allclose(matter.alpha(image), expected, atol=1e-6)


def test_weights_in_other_files_come_along(graph, tmp_path):
    model = onnx.load(graph("convolution"))
    source = tmp_path / "apart" / "model.onnx"
    source.parent.mkdir()
    onnx.save(model, source, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (source.parent / "weights.bin").stat().st_size > 0
    out = tmp_path / "frozen.onnx"
    fm.graph.freeze(source, out, shapes={"input": (1, 3, 32, 32)})
    given = {"input": noise((1, 3, 32, 32), 0)}
    np.testing.assert_array_equal(
        session(out).run(None, given)[0], session(graph("convolution")).run(None, given)[0]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shapes": {"image": (1, 3, 8, 8)}}, "shapes: expected inputs of the graph, 'src', 'r1i'"),
        ({"values": {"ratio": [1]}}, "values: expected inputs of the graph, 'src', 'r1i', 'downs"),
        (
            {"shapes": {"src": (1, 4, 8, 8)}},
            "shapes: expected one for src float32 [batch, 3, heigh",
        ),
        ({"shapes": {"src": (3, 8, 8)}}, "got (3, 8, 8)"),
        ({"shapes": {"src": (1, 3, 0, 8)}}, "got (1, 3, 0, 8)"),
        ({"shapes": {"src": (1, 3, 8.5, 8)}}, "got (1, 3, 8.5, 8)"),
        ({"shapes": {"src": 8}}, "width] of positive integers, got 8"),
        ({"values": {"downsample_ratio": 0.5}}, "values: expected one for downsample_ratio float3"),
        ({"values": {"downsample_ratio": [0.5, 1]}}, "got shape (2,)"),
    ],
)
def test_bad_shapes_and_values_are_named(graph, tmp_path, options, message):
    with pytest.raises(ValueError, match=f"^.*{re.escape(message)}"):
        fm.graph.freeze(graph("ratio"), tmp_path / "out.onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_sizes_may_be_numpys_own_integers(graph, tmp_path):
    height, width = np.array(SIZE)
    shapes = {"src": (1, 3, height, width)}
    frozen = fm.graph.freeze(graph("ratio"), tmp_path / "out.onnx", shapes=shapes)
    assert frozen.signature.inputs[0].shape == (1, 3, *SIZE)


def test_sizes_that_contradict_each_other_are_a_model_error(graph, tmp_path):
    with pytest.raises(fm.ModelError, match=r"ratio\.onnx: ONNX Runtime cannot fold it"):
        fm.graph.freeze(
            graph("ratio"),
            tmp_path / "out.onnx",
            shapes={"src": (1, 3, *SIZE), "r1i": (1, 1, 7, 5)},
            values=RATIO,
        )


def test_files_that_are_missing_broken_or_in_the_way(graph, tmp_path):
    out = tmp_path / "out.onnx"
    with pytest.raises(fm.ModelError, match="no such model file"):
        fm.graph.freeze(tmp_path / "none.onnx", out)
    (tmp_path / "text.onnx").write_text("this is not a model")
    with pytest.raises(fm.ModelError, match=r"text\.onnx: not an ONNX file"):
        fm.graph.freeze(tmp_path / "text.onnx", out)
    out.write_text("mine")
    with pytest.raises(FileExistsError):
        fm.graph.freeze(graph("modnet"), out)
    assert out.read_text() == "mine"
    fm.graph.freeze(graph("modnet"), out, overwrite=True)
    assert fm.Matter(out).info.family == "modnet"


def test_without_onnx_it_says_what_to_install(graph, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(fm.FastmatteError, match="needs the package onnx: pip install onnx"):
        fm.graph.freeze(graph("modnet"), tmp_path / "out.onnx")


BGMV2 = {"src": (1, 3, 720, 1280), "bgr": (1, 3, 720, 1280)}


@pytest.mark.parametrize(
    ("name", "shapes", "nodes"),
    [
        ("modnet_random.onnx.xz", {"input": (1, 3, 512, 896)}, (611, 235)),
        ("bgmv2_mobilenetv2_full_random.onnx.xz", BGMV2, (664, 163)),
        ("bgmv2_mobilenetv2_sampling_random.onnx.xz", BGMV2, (1159, 271)),
    ],
)
def test_published_graphs_lose_their_arithmetic_of_sizes(
    shared_data, tmp_path, name, shapes, nodes
):
    source = tmp_path / "source.onnx"
    source.write_bytes(lzma.decompress((shared_data / "models" / name).read_bytes()))
    out = tmp_path / "frozen.onnx"
    frozen = fm.graph.freeze(source, out, shapes=shapes)
    assert (frozen.nodes_before, frozen.nodes_after) == nodes
    if "sampling" not in name:
        assert not {"Shape", "NonZero"} & set(operators(out))
    if "modnet" in name:
        given = {"input": noise(shapes["input"], 0)}
        np.testing.assert_array_equal(
            session(out).run(None, given)[0], session(source).run(None, given)[0]
        )


def test_a_real_rvm_keeps_every_bit_of_its_states(shared_data, tmp_path):
    source = shared_data / "models" / "rvm_mobilenetv3_fgf.onnx"
    out = tmp_path / "frozen.onnx"
    size, ratio = (240, 320), np.array([0.5], np.float32)
    zeros = {
        f"r{k}i": np.zeros((1, channels, -(-120 // 2**k), -(-160 // 2**k)), np.float32)
        for k, channels in enumerate((16, 20, 40, 64), 1)
    }
    shapes = {"src": (1, 3, *size)} | {name: array.shape for name, array in zeros.items()}
    frozen = fm.graph.freeze(source, out, shapes=shapes, values={"downsample_ratio": ratio})
    assert (frozen.nodes_before, frozen.nodes_after) == (373, 342)
    # The last level lays out frozen tensors for other kernels, which round differently.
    first, second = (session(path, "ORT_ENABLE_EXTENDED") for path in (source, out))
    one = np.zeros((1, 1, 1, 1), np.float32)
    states = [dict.fromkeys(zeros, one), zeros]
    for seed in range(3):
        src = noise(shapes["src"], seed)
        results = [
            first.run(None, {"src": src, "downsample_ratio": ratio, **states[0]}),
            second.run(None, {"src": src, **states[1]}),
        ]
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        states = [dict(zip(zeros, found[2:], strict=True)) for found in results]
