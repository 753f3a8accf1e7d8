"""Serving on one engine while another is built, and the switch: ONNX Runtime in both roles."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import fastmatte as fm
import graphs
import numpy as np
import pytest
from fastmatte import proof
from fastmatte.engines.engine_file import facts_of

SIZE = (64, 96)
PHOTO = np.random.default_rng(1).integers(0, 256, (90, 130, 3), dtype=np.uint8)
FRAME = np.ascontiguousarray(PHOTO[:64, :96])


@pytest.fixture(autouse=True)
def brief_proof(monkeypatch):
    """The drawn portraits of one small size: what is proved here is the way there."""
    monkeypatch.setattr(proof, "BUILT_IN", ((SIZE, 2),))


@pytest.fixture
def paused(tensorrt_role):
    """A build that waits until it is told to go on."""
    tensorrt_role.delay.clear()
    yield tensorrt_role
    tensorrt_role.delay.set()


def matter_of(path, **options):
    options = {"size": SIZE, "refine": "none", "threads": 1, "precision": "fp32"} | options
    return fm.Matter(path, engine="tensorrt", **options)


def waiting(path, **options):
    return matter_of(path, while_building="onnxruntime", **options)


def expected(path):
    return fm.Matter(path, engine="onnxruntime", size=SIZE, refine="none")


def until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to that")


def test_without_while_building_the_engine_is_waited_for(graph, tensorrt_role):
    matter = matter_of(graph("modnet"))
    info = matter.info
    assert (info.engine, info.precision, info.building) == ("tensorrt", "fp32", None)
    assert info.model == str(graph("modnet"))
    assert info.input_shape == (1, 3, *SIZE)
    assert matter.wait_for_engine(0)
    np.testing.assert_array_equal(matter.alpha(PHOTO), expected(graph("modnet")).alpha(PHOTO))
    matter_of(graph("modnet"))
    assert tensorrt_role.compiled == ["fp32"]  # the second came from the cache


def test_one_serves_until_the_other_is_there(graph, paused):
    matter = waiting(graph("modnet"))
    right = expected(graph("modnet")).alpha(PHOTO)
    np.testing.assert_array_equal(matter.alpha(PHOTO), right)
    info = matter.info
    assert (info.engine, info.input_shape) == ("onnxruntime", (None, 3, None, None))
    assert info.sizes == "64 x 96"
    assert info.building.startswith("tensorrt is being built, onnxruntime serves: ")
    until(lambda: "building fp32" in matter.info.building)
    assert not matter.wait_for_engine(0.01)
    paused.delay.set()
    assert matter.wait_for_engine(60)
    info = matter.info
    assert (info.engine, info.building) == ("tensorrt", None)
    assert info.input_shape == (1, 3, *SIZE)
    np.testing.assert_array_equal(matter.alpha(PHOTO), right)
    assert all(pipeline.engine.name == "tensorrt" for pipeline, _, _ in matter._idle)


def test_threads_that_call_all_the_time_see_nothing_of_the_switch(graph, paused):
    matter = waiting(graph("modnet"))
    right = expected(graph("modnet")).alpha(PHOTO)
    stop = threading.Event()

    def work(_):
        calls, out = 0, np.empty(PHOTO.shape[:2], np.float32)
        while not stop.is_set() or not calls:
            np.testing.assert_array_equal(matter.alpha(PHOTO, out=out), right)
            calls += 1
        return calls

    with ThreadPoolExecutor(3) as pool:
        results = pool.map(work, range(3))
        try:
            time.sleep(0.1)
            paused.delay.set()
            assert matter.wait_for_engine(60)
            time.sleep(0.1)
        finally:
            stop.set()
        assert min(results) > 1
    assert matter.info.engine == "tensorrt"


def test_a_stream_switches_at_its_next_frame(graph, paused):
    matter = waiting(graph("modnet"))
    right = expected(graph("modnet")).alpha(PHOTO)
    with matter.stream() as stream:
        for _ in range(2):
            np.testing.assert_array_equal(stream(PHOTO).alpha, right)
        before = stream._runner
        paused.delay.set()
        assert matter.wait_for_engine(60)
        np.testing.assert_array_equal(stream(PHOTO).alpha, right)
        assert stream._runner is not before
        assert stream._pipeline.engine.name == "tensorrt"


def test_a_stream_that_remembers_switches_where_it_starts_afresh(tmp_path, paused):
    path = graphs.rvm(tmp_path / "rvm.onnx")
    matter, right = waiting(path), expected(path)
    with matter.stream(cuts="ignore") as stream, right.stream(cuts="ignore") as other:
        for frame in (FRAME, FRAME, FRAME):
            np.testing.assert_allclose(stream(frame).alpha, other(frame).alpha, atol=1e-5)
        paused.delay.set()
        assert matter.wait_for_engine(60)
        # Its state would be lost, and alpha would jump.
        np.testing.assert_allclose(stream(FRAME).alpha, other(FRAME).alpha, atol=1e-5)
        assert stream._pipeline.engine.name == "onnxruntime"
        for each in (stream, other):
            each.reset()
        for _ in range(3):
            np.testing.assert_allclose(stream(FRAME).alpha, other(FRAME).alpha, atol=1e-5)
        assert stream._pipeline.engine.name == "tensorrt"
    with matter.stream() as late:
        late(FRAME)
        assert late._pipeline.engine.name == "tensorrt"


def test_a_shot_that_ends_is_where_it_starts_afresh(tmp_path, paused):
    matter = waiting(graphs.rvm(tmp_path / "rvm.onnx"))
    dark, light = np.zeros_like(FRAME), np.full_like(FRAME, 255)
    with matter.stream() as stream:
        stream(dark)
        paused.delay.set()
        assert matter.wait_for_engine(60)
        stream(dark)
        assert stream._pipeline.engine.name == "onnxruntime"
        stream(light)
        assert stream._pipeline.engine.name == "tensorrt"


def test_a_background_is_given_to_the_one_that_takes_over(tmp_path, paused):
    path = graphs.bgmv2(tmp_path / "bgmv2.onnx")
    matter = waiting(path)
    right = expected(path)(FRAME, background=FRAME[::-1].copy()).alpha
    with matter.stream(background=FRAME[::-1].copy()) as stream:
        np.testing.assert_allclose(stream(FRAME).alpha, right, atol=1e-6)
        paused.delay.set()
        assert matter.wait_for_engine(60)
        np.testing.assert_allclose(stream(FRAME).alpha, right, atol=1e-6)
        assert stream._pipeline.engine.name == "tensorrt"


def test_a_build_that_fails_is_told_and_the_first_serves_on(graph, tensorrt_role, monkeypatch):
    def compile(*arguments, **options):
        raise fm.EngineError("tensorrt: the build failed: out of memory")

    monkeypatch.setattr(tensorrt_role, "compile", compile)
    matter = waiting(graph("modnet"))
    with pytest.raises(fm.EngineError, match=r"tensorrt could not be built: .* out of memory"):
        matter.wait_for_engine(60)
    info = matter.info
    assert info.engine == "onnxruntime"
    assert info.building.startswith("tensorrt could not be built, onnxruntime serves on: ")
    assert info.building.endswith("out of memory")
    right = expected(graph("modnet")).alpha(PHOTO)
    np.testing.assert_array_equal(matter.alpha(PHOTO), right)


def test_one_that_does_not_pass_its_proof_does_not_take_over(graph, tensorrt_role):
    tensorrt_role.gain = 0.5
    matter = waiting(graph("modnet"))
    with pytest.raises(fm.EngineError, match=r"no engine of .* passes: fp32: a mean deviation of"):
        matter.wait_for_engine(60)
    with pytest.raises(fm.EngineError, match="passes: fp32: a mean deviation of"):
        matter_of(graph("modnet"))
    assert not list(tensorrt_role.folder.parent.glob("cache/engines/*.engine"))


def test_auto_precision_is_the_fastest_that_passes(graph, tensorrt_role, cache):
    matter = matter_of(graph("normalised"), precision="auto")
    assert matter.info.precision in ("fp32", "fp16")
    [path] = (cache.parent / "models" / "engines").glob("*.engine")
    assert facts_of(path).precision == matter.info.precision


def test_a_trimap_network_and_the_one_that_makes_its_trimaps(graph, tmp_path, paused):
    path = graphs.dim(tmp_path / "dim.onnx")
    matter = waiting(path, trimap_from=graph("selfie"), size=SIZE)
    assert matter.info.trimap_from.engine == "onnxruntime"
    paused.delay.set()
    assert matter.wait_for_engine(60)
    assert matter._coarse.wait_for_engine(60)
    assert matter.info.trimap_from.engine == "tensorrt"
    assert matter.alpha(PHOTO).shape == PHOTO.shape[:2]


def test_bad_choices_are_named(graph, tensorrt_role, tmp_path):
    for options, message in [
        ({"while_building": "tensorrt"}, "while_building: expected one of .* got 'tensorrt'"),
        ({"while_building": "auto"}, "while_building: expected one of 'openvino', 'onnxruntime', "),
        ({"precision": "int8"}, "precision: expected one that needs no calibration, got 'int8'"),
        ({"size": (65, 96)}, "size: expected positive multiples of 32"),
    ]:
        with pytest.raises(ValueError, match=message):
            matter_of(graph("modnet"), **options)
    with pytest.raises(ValueError, match="while_building: expected None, for no engine has to be"):
        fm.Matter(graph("modnet"), engine="onnxruntime", while_building="onnxruntime")
    fm.build(graph("modnet"), tmp_path / "x.engine", sizes=[SIZE])
    with pytest.raises(ValueError, match="while_building: expected None, for no engine has to be"):
        fm.Matter(tmp_path / "x.engine", engine="tensorrt", while_building="onnxruntime")
