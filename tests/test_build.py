"""fm.build and fastmatte build: frozen, lowered, proved, and written only where it is right."""

from __future__ import annotations

import json
import lzma

import fastmatte as fm
import graphs
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from fastmatte import building, engine_cache, proof
from fastmatte.cli import main
from fastmatte.engines import tensorrt
from fastmatte.engines.engine_file import facts_of
from fastmatte.graph import islands, precision
from fastmatte.graph.divergence import first_divergence
from fastmatte.graph.islands import Islands
from PIL import Image

RNG = np.random.default_rng(3)
PHOTOS = [
    np.asarray(Image.fromarray(RNG.integers(0, 256, (9, 12, 3), np.uint8)).resize((96 + 8 * k, 64)))
    for k in range(3)
]
SIZE = (64, 96)


def build(path, out, **options):
    options = {"samples": PHOTOS, "sizes": [SIZE], "threads": 1} | options
    return fm.build(path, out, **options)


@pytest.mark.parametrize("kind", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("engine", ["onnxruntime", "tensorrt"])
def test_what_is_built_is_frozen_and_right(graph, tmp_path, tensorrt_role, engine, kind):
    out = tmp_path / ("x.engine" if engine == "tensorrt" else "x.onnx")
    report = build(graph("normalised"), out, engine=engine, precision=kind, tolerance=0.05)
    assert report.passed, report
    [built] = report.built
    assert (built.path, built.precision, built.size) == (str(out), kind, SIZE)
    assert built.bytes == out.stat().st_size
    [attempt] = built.attempts
    assert attempt.milliseconds > 0
    assert attempt.check.matter.model == str(out)
    assert attempt.check.reference.model == str(graph("normalised"))
    assert (attempt.check.mean == 0) == (kind == "fp32")
    matter = fm.Matter(out, refine="none")
    assert matter.signature.inputs[0].shape == (1, 3, *SIZE)
    expected = fm.Matter(graph("normalised"), engine="onnxruntime", size=SIZE, refine="none")
    difference = np.abs(matter.alpha(PHOTOS[0]) - expected.alpha(PHOTOS[0]))
    assert difference.mean() <= 0.05
    if engine == "tensorrt":
        assert matter.info.engine == "tensorrt"
        assert matter.info.engine_reason == "what the file is for"
        assert matter.info.precision == kind
        assert matter.info.model_sha256 == report.model_sha256
        assert matter.info.model_sha256 == expected.info.model_sha256
        assert tensorrt_role.compiled == [kind]


def test_above_the_tolerance_nothing_is_written_and_the_layer_is_named(
    graph, tmp_path, tensorrt_role, monkeypatch
):
    nothing = Islands(frozenset(), frozenset(), box_filters=False, ends=())
    monkeypatch.setattr(precision, "islands_of", lambda family: nothing)
    out = tmp_path / "x.engine"
    report = build(graph("normalised"), out, precision="fp16")
    assert not report.passed
    assert not out.exists()
    [built] = report.built
    assert (built.path, built.precision) == (None, None)
    [attempt] = built.attempts
    assert attempt.diverges.operator == "Mul"
    assert attempt.diverges.deviation is None  # its squares are infinite
    assert "no alpha" in attempt.failure or "above 0.0039" in attempt.failure
    # Seen by rounding alike in ONNX Runtime, before an engine was built.
    assert tensorrt_role.compiled == []


def test_what_only_the_engine_does_wrong_is_said_to_be_its_own(graph, tmp_path, tensorrt_role):
    tensorrt_role.gain = 0.9
    report = build(graph("normalised"), tmp_path / "x.engine", precision="fp16", tolerance=0.02)
    [attempt] = report.built[0].attempts
    assert attempt.diverges is None
    assert attempt.failure.endswith("rounding alike is right, so that it is tensorrt's own")
    assert not (tmp_path / "x.engine").exists()


def test_auto_takes_the_fastest_that_passes(graph, tmp_path, tensorrt_role, monkeypatch):
    times = {"fp32": 4.0, "bf16": 1.0, "fp16": 2.0, "int8": 1.5}
    monkeypatch.setattr(building._Job, "time", lambda self, path, feed: times[path.stem])
    attempted = building._Job.attempt

    def attempt(self, frozen, place, seen, kind):
        if kind == "bf16":
            raise fm.EngineError("it has no bf16")
        if kind == "int8":
            return building.Attempt(kind, None, "too far off", None, 1.5)
        return attempted(self, frozen, place, seen, kind)

    monkeypatch.setattr(building._Job, "attempt", attempt)
    out = tmp_path / "x.engine"
    [built] = build(graph("normalised"), out, precision="auto", tolerance=0.02).built
    assert [a.precision for a in built.attempts] == ["fp32", "bf16", "fp16", "int8"]
    assert [a.failure for a in built.attempts] == [None, "it has no bf16", None, "too far off"]
    assert built.precision == "fp16" == facts_of(out).precision
    times["fp16"] = 3.9
    report = build(graph("normalised"), out, precision="auto", tolerance=0.02, overwrite=True)
    assert report.built[0].precision == "fp32"
    # Drawn portraits are nobody's photographs to calibrate on.
    monkeypatch.setattr(proof, "BUILT_IN", (((64, 96), 1),))
    [built] = build(
        graph("normalised"), tmp_path / "y.engine", precision="auto", samples=None
    ).built
    assert "int8" not in [a.precision for a in built.attempts]


@pytest.mark.parametrize(
    ("kind", "given", "fed"), [("fp32", True, 1), ("int8", True, 2), ("auto", False, 1)]
)
def test_no_more_feeds_are_kept_than_are_calibrated_on(
    graph, tmp_path, monkeypatch, kind, given, fed
):
    observing, seen = building.observe, []
    monkeypatch.setattr(building, "CALIBRATED_ON", 2)
    monkeypatch.setattr(proof, "BUILT_IN", ((SIZE, 1),))

    def observe(*arguments, **options):
        seen.append(observing(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(building, "observe", observe)
    samples = PHOTOS if given else None
    out = tmp_path / "x.onnx"
    build(graph("normalised"), out, engine="onnxruntime", precision=kind, samples=samples)
    assert [len(each.feeds) for each in seen] == [fed]


def test_a_precision_that_was_asked_for_is_not_another(graph, tmp_path):
    with pytest.raises(fm.ModelError, match="ONNX Runtime cannot load it"):
        build(graph("normalised"), tmp_path / "x.onnx", engine="onnxruntime", precision="bf16")
    assert not list(tmp_path.iterdir())


def test_several_sizes_are_several_files(graph, tmp_path):
    report = build(
        graph("modnet"), tmp_path / "m.onnx", engine="onnxruntime", sizes=[(64, 96), (96, 64)]
    )
    assert [b.path for b in report.built] == [
        str(tmp_path / f"m-{name}.onnx") for name in ("64x96", "96x64")
    ]
    assert fm.Matter(tmp_path / "m-96x64.onnx").signature.inputs[0].shape == (1, 3, 96, 64)
    assert not (tmp_path / "m.onnx").exists()


def test_without_a_size_it_is_what_the_family_sees_of_1080p(graph, tmp_path):
    report = build(graph("modnet"), tmp_path / "m.onnx", engine="onnxruntime", sizes=None)
    assert report.built[0].size == (512, 896)


def test_a_recurrent_network_keeps_its_state(tmp_path):
    path = graphs.rvm(tmp_path / "rvm.onnx")
    out = tmp_path / "frozen.onnx"
    report = build(path, out, engine="onnxruntime", samples=PHOTOS[:1])
    assert report.passed, report
    shapes = {t.name: t.shape for t in fm.graph.read_signature(out).inputs}
    assert shapes["r4i"] == (1, 1, 4, 6)
    assert "downsample_ratio" not in shapes
    frozen, original = fm.Matter(out), fm.Matter(path, engine="onnxruntime", size=SIZE)
    frame = np.ascontiguousarray(PHOTOS[0][:64, :96])
    with frozen.stream() as one, original.stream() as two:
        for _ in range(3):
            np.testing.assert_allclose(one(frame).alpha, two(frame).alpha, atol=1e-5)


def test_a_family_that_cannot_be_recognised_is_in_the_header(tmp_path, tensorrt_role):
    path = graphs.contract(tmp_path / "p.onnx", **graphs.CONTRACTS["paddle"])
    out = tmp_path / "p.engine"
    assert build(path, out, family="pp-matting-512").passed
    assert fm.Matter(out).info.family == "pp-matting-512"


def test_trimap_networks_are_built_and_proved_with_trimaps(tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "BUILT_IN", (((64, 96), 2),))
    path = graphs.dim(tmp_path / "dim.onnx")
    report = build(path, tmp_path / "x.onnx", engine="onnxruntime", samples=None)
    assert report.passed, report


def test_a_sampling_refiner_is_refused_and_full_named(tmp_path, tensorrt_role, monkeypatch):
    monkeypatch.setattr(tensorrt_role, "refusal", tensorrt.refusal)
    path = graphs.sampling(tmp_path / "s.onnx", 3841)
    with pytest.raises(fm.ModelError) as caught:
        build(path, tmp_path / "s.engine")
    for part in ("s.onnx: node ", "a TopK, selects 3841 values", "at most 3840", "'full'"):
        assert part in str(caught.value)
    assert not (tmp_path / "s.engine").exists()
    # ONNX Runtime has no such limit, and TensorRT none below it.
    assert build(path, tmp_path / "s-frozen.onnx", engine="onnxruntime").passed
    assert build(graphs.sampling(tmp_path / "t.onnx", 3840), tmp_path / "t.engine").passed


def test_bgmv2s_real_sampling_refiner_is_refused(shared_data, tmp_path):
    source = shared_data / "models" / "bgmv2_mobilenetv2_sampling_random.onnx.xz"
    path = tmp_path / "bgmv2.onnx"
    path.write_bytes(lzma.decompress(source.read_bytes()))
    frozen = tmp_path / "frozen.onnx"
    shapes = {"src": (1, 3, 720, 1280), "bgr": (1, 3, 720, 1280)}
    fm.graph.freeze(path, frozen, shapes=shapes)
    assert "selects 5000 values" in tensorrt.refusal(frozen)


def test_an_interrupted_build_leaves_no_file(graph, tmp_path, tensorrt_role):
    def stop(stage, share):
        if stage.startswith("building fp32: "):
            raise KeyboardInterrupt

    out = tmp_path / "x.engine"
    out.write_bytes(b"the one there was")
    with pytest.raises(KeyboardInterrupt):
        build(graph("modnet"), out, progress=stop, overwrite=True)
    assert out.read_bytes() == b"the one there was"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["role", "x.engine"]


def test_what_a_build_learnt_is_there_for_the_next(graph, tmp_path, tensorrt_role):
    assert engine_cache.timing(tensorrt_role.here) == b""
    for k in range(2):
        build(graph("modnet"), tmp_path / f"{k}.engine")
    assert engine_cache.timing(tensorrt_role.here) == b"fp32fp32"


def test_an_engine_file_of_another_machine_is_refused(graph, tmp_path, tensorrt_role):
    from dataclasses import replace

    build(graph("modnet"), tmp_path / "x.engine")
    tensorrt_role.here = replace(tensorrt_role.here, gpu="another processor")
    with pytest.raises(fm.EngineError, match="built for GPU a processor, and here is another"):
        fm.Matter(tmp_path / "x.engine")


def test_check_holds_an_engine_against_what_it_was_built_of(graph, tmp_path, tensorrt_role):
    path, out = graph("normalised"), tmp_path / "x.engine"
    build(path, out, precision="fp16", tolerance=0.05)
    report = fm.check(out, samples=PHOTOS, reference=path, tolerance=0.05)
    assert report.passed
    assert (report.matter.engine, report.matter.precision) == ("tensorrt", "fp16")
    assert (report.reference.engine, report.reference.sizes) == ("onnxruntime", "64 x 96")
    assert 0 < report.mean < 0.05
    with pytest.raises(ValueError, match=r"reference: expected the ONNX file that .*x\.engine was"):
        fm.check(out, samples=PHOTOS)
    with pytest.raises(ValueError, match=r"reference: expected the file that .*x\.engine was"):
        fm.check(out, samples=PHOTOS, reference=graph("modnet"))
    arguments = ["check", str(out), "--reference", str(path), "--tolerance", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result
    assert "tensorrt 10.0.1 fp16 against onnxruntime" in result.stdout
    # Built on the spot, both see frames at the engine's one size.
    report = fm.check(graph("modnet"), engine="tensorrt", precision="fp32", samples=PHOTOS)
    assert (report.mean, report.reference.sizes) == (0, "512 x 896")


def test_bad_arguments_are_named(graph, tmp_path, tensorrt_role):
    path, out = graph("modnet"), tmp_path / "x.engine"
    for options, message in [
        ({"engine": "cuda"}, "engine: expected one of 'tensorrt', 'onnxruntime', 'openvino', got"),
        ({"precision": "fp8"}, "precision: expected one of 'auto', 'fp32', .* got 'fp8'"),
        ({"precision": "int8", "samples": None}, "samples: expected images of what the network"),
        ({"tolerance": 2}, "tolerance: expected 0 to 1, got 2"),
        ({"engine": "onnxruntime"}, r"out: expected a name that ends in \.onnx, got 'x\.engine'"),
        ({"sizes": []}, "sizes: expected at least one, got none"),
        ({"sizes": [(65, 96)]}, r"size: expected positive multiples of 32, got \(65, 96\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            build(path, out, **options)
    with pytest.raises(fm.ModelError, match=r"none\.onnx: no such model file"):
        build(tmp_path / "none.onnx", out)
    out.write_bytes(b"")
    with pytest.raises(FileExistsError):
        build(path, out)
    assert tensorrt_role.compiled == []


def test_without_tensorrt_it_says_what_adds_it(graph, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setattr(tensorrt, "version", lambda: None)
    for call in (lambda: build(graph("modnet"), tmp_path / "x.engine"),):
        with pytest.raises(fm.EngineError, match=r"tensorrt is not installed .*pip install tens"):
            call()


@pytest.mark.parametrize("name", ["normalised", "guided"])
def test_divergence_finds_the_layer_that_was_changed(graph, tmp_path, name):
    right = tmp_path / "right.onnx"
    feed = {"input": np.random.default_rng(0).random((1, 3, 48, 64), np.float32)}
    fm.graph.freeze(graph(name), right, shapes={"input": (1, 3, 48, 64)})
    assert first_divergence(right, right, feed) is None
    model = onnx.load(right)
    changed = model.graph.node[4]
    result = changed.output[0]
    changed.output[0] = "before"
    model.graph.initializer.append(
        onnx.helper.make_tensor("most", onnx.TensorProto.FLOAT, [1], [0.8])
    )
    model.graph.node.insert(5, onnx.helper.make_node("Mul", ["before", "most"], [result]))
    onnx.save(model, tmp_path / "other.onnx")
    layer = first_divergence(right, tmp_path / "other.onnx", feed)
    assert (layer.operator, layer.node) == (changed.op_type, changed.name or result)
    assert 0.05 < layer.deviation < 2


def test_a_layer_that_is_a_little_off_is_named_where_none_is_more(graph, tmp_path):
    right, low = tmp_path / "right.onnx", tmp_path / "low.onnx"
    feed = {"input": np.random.default_rng(0).random((1, 3, 48, 64), np.float32)}
    fm.graph.freeze(graph("normalised"), right, shapes={"input": (1, 3, 48, 64)})
    fm.graph.lower(right, low, precision="fp16", form="rounded")
    assert 0 < first_divergence(right, low, feed).deviation < 0.05


def test_every_family_with_a_row_has_its_ends(shared_data):
    names = {
        t.name
        for t in fm.graph.read_signature(
            shared_data / "models" / "rvm_mobilenetv3_fgf.onnx"
        ).outputs
    }
    assert set(islands.ISLANDS["rvm"].ends) <= names


def run(*arguments):
    result = CliRunner().invoke(main, ["build", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result
    return result


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for k, photo in enumerate(PHOTOS):
        Image.fromarray(photo).save(folder / f"{k}.png")
    return folder


def test_command_prints_a_line_a_precision_and_the_verdict(graph, tmp_path, photos):
    arguments = (graph("normalised"), "--engine", "onnxruntime", "--size", "64x96")
    out = tmp_path / "x.onnx"
    result = run(*arguments, "-o", out, "--precision", "auto", "--samples", photos)
    assert result.exit_code == 0, result
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["size", "precision", "max", "mean", "ms"]
    assert [line.split()[3] for line in lines[1:4]] == ["fp32", "fp16", "int8"]
    assert sum(line.endswith("written") for line in lines[1:4]) == 1
    assert lines[4].startswith("for onnxruntime ")
    assert lines[-1].startswith(f"written: {out}, 0.0 MB, in ")
    assert "proving fp16" in result.stderr.splitlines()
    failing = run(
        *arguments,
        *("-o", tmp_path / "y.onnx", "--precision", "fp16", "--samples", photos),
        *("--tolerance", "0"),
    )
    assert failing.exit_code == 1
    lines = failing.stdout.splitlines()
    assert lines[1].endswith("failed")
    assert "is above 0; the first layer that diverges is " in lines[3]
    assert lines[-1] == "failed: nothing is written for 64 x 96"
    assert not (tmp_path / "y.onnx").exists()
    result = run(*arguments, "-o", tmp_path / "y.onnx", "--device", "cuda:1")
    assert "device: expected None, for onnxruntime runs on the processor" in result.stderr


def test_command_prints_json(graph, tmp_path, photos):
    out = tmp_path / "x.onnx"
    arguments = ("--engine", "onnxruntime", "--size", "64x96", "--samples", photos, "--json")
    result = run(graph("normalised"), "-o", out, *arguments)
    document = json.loads(result.stdout)
    assert document["passed"] is True
    assert document["machine"] is None
    [built] = document["built"]
    assert (built["path"], built["size"]) == (str(out), [64, 96])
    [attempt] = built["attempts"]
    assert attempt["check"]["matter"]["model"] == str(out)
    assert run(graph("normalised"), "-o", out, *arguments).exit_code == 1  # it is there
    assert run(graph("normalised"), "-o", out, *arguments, "--overwrite").exit_code == 0
    assert run(graph("normalised"), "-o", out, "--size", "axb").exit_code == 2
