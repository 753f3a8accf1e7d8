"""A Matter whose network has its tensors on a device, against the same one on the processor.

On the emulated device ONNX Runtime is the network, on a GPU PyTorch: whole frames are one graph
launch on both.
"""

from __future__ import annotations

import gc
import threading

import fastmatte as fm
import graphs
import numpy as np
import pytest
from device_engines import Emulated, Kind, Torch
from fastmatte.engines import ENGINES

rng = np.random.default_rng(3)
#: Smooth enough for a guided filter to be well conditioned.
PHOTO = np.clip(
    np.add.outer(np.linspace(0, 200, 90), np.linspace(0, 40, 130))[..., None]
    + rng.normal(0, 8, (90, 130, 3)),
    0,
    255,
).astype(np.uint8)
FRAMES = [np.ascontiguousarray(np.roll(PHOTO[:64, :96], 7 * i, 1)) for i in range(6)]
#: to_tensor's "area" may sum in another order (3e-5); slopes of 8 and a guided filter follow it.
ALPHA = 2e-4


@pytest.fixture
def kind(cuda, monkeypatch):
    """Let engine="cuda" be a network on the device under test."""
    engine = Emulated
    if cuda.devices()[0].name != "emulated":
        pytest.importorskip("torch", reason="torch is not installed")
        engine = Torch
    kind = Kind(engine, cuda)
    monkeypatch.setitem(ENGINES, "cuda", kind)
    return kind


def pair(path, **options):
    """The same network on the device and on the processor."""
    on_device = fm.Matter(path, engine="cuda", **options)
    return on_device, fm.Matter(path, engine="onnxruntime", **options)


@pytest.mark.parametrize("refine", ["guided", "none"])
@pytest.mark.parametrize(
    "name", ["modnet", "modnet_half", "portrait", "selfie", "selfie_channels_last", "softmax"]
)
def test_alpha_is_that_of_the_processor(kind, graph, name, refine):
    matter, right = pair(graph(name), refine=refine, threads=1)
    tolerance = 4e-3 if name.endswith("half") else ALPHA
    for image in (PHOTO, PHOTO[:61, :47].copy(), PHOTO):
        for order in ("rgb", "bgr"):
            alpha = matter.alpha(image, pixel_format=order)
            expected = right.alpha(image, pixel_format=order)
            np.testing.assert_allclose(alpha, expected, rtol=0, atol=tolerance)
            levels = np.empty(image.shape[:2], np.uint8)
            matter.alpha(image, pixel_format=order, out=levels)
            assert np.abs(levels - 255 * expected).max() <= 0.5 + 255 * tolerance
    assert matter(PHOTO).cutout().shape == (90, 130, 4)
    assert matter.info.graph == "one launch for each frame"


def test_logits_become_alpha(kind, tmp_path):
    path = graphs.contract(tmp_path / "x.onnx", **graphs.CONTRACTS["birefnet"])
    matter, right = pair(path, refine="none")
    np.testing.assert_allclose(matter.alpha(PHOTO), right.alpha(PHOTO), rtol=0, atol=ALPHA)


def test_four_channels_and_strided_frames(kind, graph):
    matter, right = pair(graph("modnet"))
    rgba = np.dstack([PHOTO, PHOTO[..., 0]])
    for frame, order in ((rgba, "rgba"), (PHOTO[:, 10:60], "rgb"), (rgba[3:50], "bgra")):
        alpha = matter.alpha(frame, pixel_format=order)
        expected = right.alpha(frame, pixel_format=order)
        np.testing.assert_allclose(alpha, expected, rtol=0, atol=ALPHA)


@pytest.mark.parametrize("make", [graphs.rvm, graphs.rvm_half])
def test_recurrent_state_stays_on_the_device(kind, tmp_path, make):
    matter, right = pair(make(tmp_path / "rvm.onnx"))
    tolerance = 2e-3 if make is graphs.rvm_half else ALPHA
    with matter.stream(cuts="ignore") as stream, right.stream(cuts="ignore") as other:
        for i, frame in enumerate(FRAMES + FRAMES):
            if i == 7:
                stream.reset()
                other.reset()
            matte, expected = stream(frame), other(frame)
            np.testing.assert_allclose(matte.alpha, expected.alpha, rtol=0, atol=tolerance)
            ours, theirs = matte.foreground.astype(int), expected.foreground
            assert np.abs(ours - theirs).max() <= 1
    # Single images start without memory.
    for frame in FRAMES[:2]:
        alpha, expected = matter.alpha(frame), right.alpha(frame)
        np.testing.assert_allclose(alpha, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("there", [False, True], ids=["from a device", "to a device"])
def test_memory_goes_on_elsewhere(kind, tmp_path, there):
    matter, right = pair(graphs.rvm(tmp_path / "rvm.onnx"))
    first, second = (right, matter) if there else (matter, right)
    with first.stream(cuts="ignore") as whole:
        expected = [whole(frame).alpha.copy() for frame in FRAMES]
    with first.stream(cuts="ignore") as before, second.stream(cuts="ignore") as after:
        assert before.memory() == {}
        for frame in FRAMES[:3]:
            before(frame)
        after.remember(before.memory())
        for frame, alpha in zip(FRAMES[3:], expected[3:], strict=True):
            np.testing.assert_allclose(after(frame).alpha, alpha, rtol=0, atol=ALPHA)


@pytest.mark.parametrize("name", ["modnet", "rvm"])
def test_frames_of_a_still_scene_skip_the_network(kind, tmp_path, name):
    matter, right = pair(getattr(graphs, name)(tmp_path / "x.onnx"))
    options = {"skip": fm.SceneSkip(), "smoothing": "none"}
    still = [*FRAMES[:2], FRAMES[1], FRAMES[1], *FRAMES[2:4]]
    with matter.stream(**options) as stream, right.stream(**options) as other:
        for frame in still:
            alpha, expected = stream(frame).alpha, other(frame).alpha
            np.testing.assert_allclose(alpha, expected, rtol=0, atol=ALPHA)
        assert stream.stats.skipped == other.stats.skipped > 0


def close(result, expected, most=2, mean=0.3):
    """Alpha in 255ths where the processor has floats: a level, and one of rounding."""
    difference = np.abs(result.astype(int) - expected)
    assert difference.max() <= most
    assert difference.mean() < mean


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("name", ["modnet", "rvm"])
def test_a_pipeline_gives_what_mattes_give(kind, tmp_path, name, overlap):
    matter, right = pair(getattr(graphs, name)(tmp_path / "x.onnx"))
    size, behind = FRAMES[0].shape[:2], np.ascontiguousarray(FRAMES[0][::-1])
    for result, make, options in (
        ("alpha", lambda m: np.floor(m.alpha * 255 + 0.5), {}),
        ("cutout", lambda m: m.cutout(), {}),
        ("composite", lambda m: m.composite((0, 177, 64)), {"background": (0, 177, 64)}),
        ("composite", lambda m: m.composite(behind), {"background": behind}),
        (
            "composite",
            lambda m: m.composite((9, 8, 7), foreground="image"),
            {"background": (9, 8, 7), "foreground": "image"},
        ),
    ):
        options = {"result": result, "pixel_format": "bgr", "overlap": overlap, **options}
        pipeline = matter.pipeline(size, **options)
        with right.stream(pixel_format="bgr", cuts="ignore", smoothing="none") as stream:
            expected = [make(stream(frame)).copy() for frame in FRAMES]
        assert pipeline.nodes > 3
        for got, want in zip(pipeline.results(FRAMES), expected, strict=True):
            close(got, want)
        # The same again from the start.
        pipeline.reset()
        for got, want in zip(pipeline.results(FRAMES[:3]), expected, strict=False):
            close(got, want)
    assert matter.info.graph == "one launch for each frame"


@pytest.mark.parametrize("name", ["modnet", "rvm"])
def test_a_decoders_frames_become_what_their_rgb_does(kind, cuda, tmp_path, name):
    matter, right = pair(getattr(graphs, name)(tmp_path / "x.onnx"))
    meant = {"matrix": "bt709", "range": "limited"}
    joined = []
    for frame in FRAMES:
        y, u, v = fm.kernels.rgb_to_yuv(frame, **meant)
        joined.append(np.concatenate([y, np.stack([u, v], -1).reshape(u.shape[0], -1)]))
    colours = [fm.kernels.yuv_to_rgb(f, pixel_format="nv12", **meant) for f in joined]
    with right.stream(cuts="ignore", smoothing="none") as stream:
        expected = [stream(frame).composite((0, 177, 64)).copy() for frame in colours]
    pipeline = matter.pipeline((64, 96), pixel_format="nv12", background=(0, 177, 64), **meant)
    assert pipeline.nodes > 3
    inputs = [frame if i % 2 else cuda.to_device(frame) for i, frame in enumerate(joined)]
    for got, want in zip(pipeline.results(inputs), expected, strict=True):
        # The network sees colours that were not rounded to levels; RVM remembers and returns them.
        close(got, want, most=5, mean=0.6 if name == "rvm" else 0.3)


def test_reset_counts_from_the_next_frame(kind, tmp_path):
    matter = fm.Matter(graphs.rvm(tmp_path / "x.onnx"), engine="cuda")
    size = FRAMES[0].shape[:2]
    plain = matter.pipeline(size, overlap=False)
    expected = list(plain.results(FRAMES[:2]))
    plain.reset()
    expected += plain.results(FRAMES[2:])
    pipeline = matter.pipeline(size)
    results = []
    for i, frame in enumerate(FRAMES):
        if i == 2:
            pipeline.reset()
        if pipeline.waiting == pipeline.depth:
            results.append(pipeline.result())
        pipeline.submit(frame)
    while pipeline.waiting:
        results.append(pipeline.result())
    for got, want in zip(results, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("overlap", [True, False])
def test_frames_and_results_on_the_callers_stream(kind, cuda, graph, overlap):
    matter = fm.Matter(graph("modnet"), engine="cuda")
    size = FRAMES[0].shape[:2]
    expected = list(matter.pipeline(size, overlap=False).results(FRAMES))
    stream = cuda.Stream()
    pipeline = matter.pipeline(size, results="device", overlap=overlap)
    frame, got = cuda.to_device(FRAMES[0], stream=stream), []
    out = cuda.empty((*size, 3), "uint8")
    for image in FRAMES:
        if pipeline.waiting == pipeline.depth:
            got.append(pipeline.result(out, stream=stream).numpy(stream=stream))
        frame.write(image, stream)
        pipeline.submit(frame, stream=stream)
    while pipeline.waiting:
        got.append(pipeline.result(stream=stream).numpy())
    for result, want in zip(got, expected, strict=True):
        np.testing.assert_array_equal(result, want)
    # From a pipeline of host results too.
    host = matter.pipeline(size)
    host.submit(FRAMES[0])
    assert host.result(out, stream=stream) is out
    np.testing.assert_array_equal(out.numpy(stream=stream), expected[0])
    with pytest.raises(ValueError, match="results: expected 'host', got 'device'"):
        pipeline.peek()


def test_streams_and_frames_of_another_device_are_refused(kind, cuda, graph):
    if len(cuda.devices()) < 2:
        pytest.skip("there is one device")
    pipeline = fm.Matter(graph("modnet"), engine="cuda").pipeline((64, 96))
    elsewhere = cuda.Stream(1)
    frame = cuda.to_device(FRAMES[0], stream=elsewhere)
    with pytest.raises(ValueError, match="stream: expected one of device 0, got one of device 1"):
        pipeline.submit(frame, stream=elsewhere)
    with pytest.raises(ValueError, match="frame: expected memory of device 0"):
        pipeline.submit(frame)
    pipeline.submit(FRAMES[0])
    with pytest.raises(ValueError, match="stream: expected one of device 0, got one of device 1"):
        pipeline.result(cuda.empty((64, 96, 3), "uint8"), stream=elsewhere)
    with pytest.raises(ValueError, match="out: expected memory of device 0"):
        pipeline.result(cuda.empty((64, 96, 3), "uint8", stream=elsewhere))
    assert pipeline.result().shape == (64, 96, 3)


@pytest.mark.parametrize("name", ["modnet", "rvm"])
def test_a_matter_on_another_gpu(kind, cuda, tmp_path, name):
    if len(cuda.devices()) < 2:
        pytest.skip("there is one device")
    path = getattr(graphs, name)(tmp_path / "x.onnx")
    first, second = (fm.Matter(path, engine="cuda", device=at) for at in (0, "cuda:1"))
    assert [m.info.device.split()[-1] for m in (first, second)] == ["(cuda:0)", "(cuda:1)"]
    free = []
    for matter in (first, second):
        before = [free_on(cuda, i) for i in (0, 1)]
        matter.alpha(PHOTO)
        free.append([free_on(cuda, i) < was for i, was in enumerate(before)])
    assert free == [[True, False], [False, True]]
    np.testing.assert_array_equal(first.alpha(PHOTO), second.alpha(PHOTO))
    with first.stream(cuts="ignore") as stream, second.stream(cuts="ignore") as other:
        for frame in FRAMES[:3]:
            np.testing.assert_array_equal(stream(frame).alpha, other(frame).alpha)
            np.testing.assert_array_equal(stream(frame).foreground, other(frame).foreground)
        other.remember(stream.memory())
        np.testing.assert_array_equal(stream(FRAMES[3]).alpha, other(FRAMES[3]).alpha)
    # In a thread whose current device is another one.
    found = []
    thread = threading.Thread(target=lambda: found.append(second.alpha(PHOTO)))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0], first.alpha(PHOTO))
    size = FRAMES[0].shape[:2]
    results = (m.pipeline(size).results(FRAMES) for m in (first, second))
    for got, want in zip(*results, strict=True):
        np.testing.assert_array_equal(got, want)
    pipeline = second.pipeline(size)
    with pytest.raises(ValueError, match=r"frame: expected memory of device 1, .* device 0"):
        pipeline.submit(cuda.to_device(FRAMES[0]), stream=cuda.Stream(1))
    with cuda.using(1):
        assert fm.Matter(path, engine="cuda").info.device == second.info.device


def free_on(cuda, device):
    """Bytes of a device that nobody holds."""
    with cuda.using(device):
        return cuda.free_memory()


def test_what_is_no_device_of_an_engine_is_refused(kind, cuda, graph):
    count = len(cuda.devices())
    for device in (count, "cuda", f"cuda:{count}"):
        with pytest.raises(ValueError, match="device: expected 'cuda:0'"):
            fm.Matter(graph("modnet"), engine="cuda", device=device)


def test_engines_are_built_on_the_gpu_that_is_named(
    cuda, graph, tensorrt_role, tmp_path, monkeypatch
):
    if len(cuda.devices()) < 2:
        pytest.skip("there is one device")
    # It is not the proof that is tested here.
    monkeypatch.setattr(fm.proof, "BUILT_IN", (((96, 128), 1),))
    seen = []

    def watched(function):
        def call(*arguments, **options):
            seen.append(cuda.current_device())
            return function(*arguments, **options)

        return call

    for name in ("machine", "compile", "open"):
        setattr(tensorrt_role, name, watched(getattr(tensorrt_role, name)))
    fm.build(graph("modnet"), tmp_path / "x.engine", sizes=[(64, 96)], device="cuda:1")
    assert set(seen) == {1}
    assert len(seen) > 3
    for background in (None, "onnxruntime"):
        seen.clear()
        # Named by hand, and by being the current one of the thread that asks.
        with cuda.using(1):
            matter = fm.Matter(graph("modnet"), engine="tensorrt", while_building=background)
        assert matter.wait_for_engine(60)
        assert set(seen) == {1}
    fm.check(tmp_path / "x.engine", reference=graph("modnet"), device=1, size=(64, 96))
    assert seen[-1] == 1
    with pytest.raises(ValueError, match="device: expected None, for onnxruntime runs on the proc"):
        fm.build(graph("modnet"), tmp_path / "x.onnx", engine="onnxruntime", device=0)


def test_what_is_no_alpha_is_refused(kind, tmp_path):
    matter = fm.Matter(graphs.not_numbers(tmp_path / "x.onnx"), engine="cuda")
    with pytest.raises(fm.ModelError, match=r"no alpha .* Was family 'modnet' the right"):
        matter.alpha(PHOTO)
    with matter.stream() as stream, pytest.raises(fm.ModelError, match="output is no alpha"):
        stream(PHOTO)


#: Sides that a network takes as they are, that are padded, that are shrunk, and some again.
GUIDED = [(64, 96), (61, 47), (90, 130), (61, 47)]


def trimap_of(size, turn=0):
    """All three levels, in shapes that are no part of the picture."""
    y, x = np.mgrid[: size[0], : size[1]]
    place = (x + 2 * y + 13 * turn) // 11 % 3
    return np.ascontiguousarray(np.uint8([0, 128, 255])[place])


@pytest.mark.parametrize("size", [None, (64, 96)])
@pytest.mark.parametrize("family", ["dim", "dim-4channel", "vitmatte", "vitmatte-hf"])
def test_networks_that_take_a_trimap(kind, tmp_path, family, size):
    contract = graphs.CONTRACTS["four" if family == "dim-4channel" else family]
    path = graphs.contract(tmp_path / "x.onnx", **contract)
    matter, right = pair(path, family=family, size=size, tile="none")
    for i, frame in enumerate(GUIDED):
        image, trimap = photo(frame), trimap_of(frame, i)
        for order in ("rgb", "bgr"):
            given = {"trimap": trimap, "pixel_format": order}
            alpha, expected = (m.alpha(image, **given) for m in (matter, right))
            np.testing.assert_allclose(alpha, expected, rtol=0, atol=ALPHA)
            assert (alpha[trimap == 0] == 0).all()
            assert (alpha[trimap == 255] == 1).all()
            levels = np.empty(frame, np.uint8)
            matter.alpha(image, **given, out=levels)
            assert np.abs(levels - 255 * expected).max() <= 0.5 + 255 * ALPHA
    assert matter.info.graph == "one launch for each frame"
    with matter.stream() as stream, right.stream() as other:
        for i, frame in enumerate(FRAMES[:3]):
            trimap = trimap_of(frame.shape[:2], i)
            alpha, expected = (s(frame, trimap=trimap).alpha for s in (stream, other))
            np.testing.assert_allclose(alpha, expected, rtol=0, atol=ALPHA)


@pytest.mark.parametrize("size", [None, (64, 96)])
@pytest.mark.parametrize("name", ["bgmv2-refine", "bgmv2-base"])
def test_networks_that_take_a_background(kind, tmp_path, name, size):
    path = graphs.contract(tmp_path / "x.onnx", **graphs.CONTRACTS[name])
    matter, right = pair(path, size=size)
    for frame in GUIDED:
        image = photo(frame)
        scene = np.ascontiguousarray(image[::-1])
        for order in ("rgb", "bgr"):
            given = {"background": scene, "pixel_format": order}
            matte, expected = (m(image, **given) for m in (matter, right))
            np.testing.assert_allclose(matte.alpha, expected.alpha, rtol=0, atol=ALPHA)
            close(matte.foreground, expected.foreground)
            close(matte.composite((0, 177, 64)), expected.composite((0, 177, 64)))
    assert matter.info.graph == "one launch for each frame"


@pytest.mark.parametrize("rows", [64, 61])
def test_a_streams_background_is_told_once(kind, cuda, tmp_path, rows, monkeypatch):
    path = graphs.bgmv2(tmp_path / "x.onnx")
    matter, right = pair(path)
    told = []
    plain = cuda.Pipeline.tell
    monkeypatch.setattr(
        cuda.Pipeline, "tell", lambda self, scene: told.append(1) or plain(self, scene)
    )
    frames = [np.ascontiguousarray(frame[:rows]) for frame in FRAMES]
    scenes = [np.ascontiguousarray(frame[::-1]) for frame in frames]
    with (
        matter.stream(background=scenes[0], smoothing="none") as stream,
        right.stream(background=scenes[0], smoothing="none") as other,
    ):
        for i, frame in enumerate(frames):
            newer = scenes[1] if i == 3 else None
            matte, expected = (s(frame, background=newer) for s in (stream, other))
            np.testing.assert_allclose(matte.alpha, expected.alpha, rtol=0, atol=ALPHA)
            close(matte.foreground, expected.foreground)
            # Calls in between tell their own.
            matter.alpha(frame, background=scenes[2])
    assert len(told) == 2 + len(frames)


def test_guidance_that_does_not_fit_is_refused(kind, cuda, tmp_path):
    matter = fm.Matter(graphs.bgmv2(tmp_path / "x.onnx"), engine="cuda")
    with pytest.raises(ValueError, match="background: expected the scene without its subject"):
        matter.alpha(PHOTO)
    with pytest.raises(ValueError, match="background: expected the image's size"):
        matter.alpha(PHOTO, background=PHOTO[1:])
    with pytest.raises(fm.EngineError, match="needs a background: calls and streams take it"):
        matter.pipeline((64, 96))


def test_what_the_processor_feeds_and_reads_says_why(kind, tmp_path, graph):
    path = graphs.dim(tmp_path / "dim.onnx")
    matter, right = pair(path)
    trimap = np.full(PHOTO.shape[:2], 128, np.uint8)
    alpha, expected = (m.alpha(PHOTO, trimap=trimap) for m in (matter, right))
    np.testing.assert_allclose(alpha, expected, rtol=0, atol=ALPHA)
    why = "frames are fed and read on the processor: family 'dim' sees large frames in tiles, where"
    assert matter.info.graph.startswith(f"none, {why}")
    with pytest.raises(fm.EngineError, match=f"strict: {why}"):
        fm.Matter(path, engine="cuda", strict=True)
    for whole in ({"tile": "none"}, {"size": (64, 96)}):
        fm.Matter(path, engine="cuda", strict=True, **whole).alpha(PHOTO, trimap=trimap)
    with pytest.raises(fm.EngineError, match="a network on a GPU as a whole: family 'dim' sees"):
        matter.pipeline((64, 96))
    plain = fm.Matter(graph("modnet"), engine="onnxruntime")
    assert plain.info.graph is None
    with pytest.raises(fm.EngineError, match="as a whole: onnxruntime runs on cpu"):
        plain.pipeline((64, 96))
    authors = fm.Matter(graph("modnet"), engine="cuda", mode="reference")
    assert "mode 'reference' does what" in authors.info.graph


def test_a_network_that_cannot_be_captured_is_enqueued_and_told(kind, graph, monkeypatch):
    why = "its shapes depend on the data"
    monkeypatch.setattr(kind.engine, "why_no_graph", why)
    matter, right = pair(graph("modnet"))
    assert matter.info.graph == "to be captured with the first frame"
    np.testing.assert_allclose(matter.alpha(PHOTO), right.alpha(PHOTO), rtol=0, atol=ALPHA)
    assert matter.info.graph == f"none, every frame is enqueued: {why}"
    strict = fm.Matter(graph("modnet"), engine="cuda", strict=True)
    with pytest.raises(fm.EngineError, match=f"strict: no CUDA graph can run a frame: {why}"):
        strict.alpha(PHOTO)
    monkeypatch.setattr(kind.engine, "why_no_graph", None)
    assert strict.alpha(PHOTO).shape == PHOTO.shape[:2]


def test_a_capture_that_fails_is_told(kind, graph, monkeypatch):
    plain, calls = kind.engine.enqueuer, []

    def enqueuer(*arguments):
        run = plain(*arguments)

        def enqueue(addresses, stream):
            calls.append(stream)
            if len(calls) == 4:  # two that warm up, one before the capture
                raise RuntimeError("cudaErrorStreamCaptureUnsupported")
            run(addresses, stream)

        return enqueue

    monkeypatch.setattr(kind.engine, "enqueuer", enqueuer)
    matter, right = pair(graph("modnet"))
    np.testing.assert_allclose(matter.alpha(PHOTO), right.alpha(PHOTO), rtol=0, atol=ALPHA)
    assert matter.info.graph.endswith(
        "is enqueued: RuntimeError: cudaErrorStreamCaptureUnsupported"
    )


def test_wrong_arguments_are_named(kind, graph):
    matter = fm.Matter(graph("modnet"), engine="cuda")
    for options, error, message in (
        ({"result": "matte"}, ValueError, "result: expected one of 'alpha', 'cutout', 'composite'"),
        ({"foreground": "own"}, ValueError, "foreground: expected 'estimated' or 'image'"),
        ({"background": PHOTO}, ValueError, "background: expected the size of the frames, 64 x 96"),
        ({"background": "green"}, TypeError, "background: expected a colour"),
        ({"results": "gpu"}, ValueError, "results: expected one of 'host', 'device'"),
    ):
        with pytest.raises(error, match=message):
            matter.pipeline((64, 96), **options)
    pipeline = matter.pipeline((64, 96))
    with pytest.raises(ValueError, match="frame: expected the size of the pipeline's frames"):
        pipeline.submit(PHOTO)
    with pytest.raises(ValueError, match="strict: expected False while onnxruntime serves"):
        fm.Matter(graph("modnet"), engine="tensorrt", while_building="onnxruntime", strict=True)


def test_out_of_memory_leaves_nothing(kind, cuda, emulated, graph):
    matter = fm.Matter(graph("modnet"), engine="cuda")
    matter.alpha(PHOTO)
    gc.collect()
    held = emulated.live_bytes()
    emulated.set_memory(held + 100_000)
    try:
        with pytest.raises(fm.errors.DeviceMemoryError, match=r"\d+ bytes wanted, \d+ free"):
            matter.pipeline((640, 960))
    finally:
        emulated.set_memory(1 << 33)
    gc.collect()
    assert emulated.live_bytes() == held
    del matter
    gc.collect()
    cuda.release_memory()
    assert emulated.live_bytes() < held


@pytest.fixture
def opened(monkeypatch):
    """The sizes of frames for which a pipeline was made, in order."""
    sizes = []
    plain = fm.device.DevicePipeline.open

    def counting(pipeline, network, frame, *arguments, **options):
        sizes.append(frame)
        return plain(pipeline, network, frame, *arguments, **options)

    monkeypatch.setattr(fm.device.DevicePipeline, "open", counting)
    return sizes


def photo(size):
    """A photograph of another size, with no size's edges."""
    return np.ascontiguousarray(PHOTO[: size[0], : size[1]])


def test_captures_are_kept_for_photographs_of_changing_size(kind, graph, opened):
    matter, right = pair(graph("modnet"), size=(64, 96))
    sizes = [(90 - 3 * k, 100 + 5 * k) for k in range(fm.device.MOST_CAPTURES + 1)]
    for size in sizes[:-1] * 2 + sizes[-2::-1]:
        alpha = matter.alpha(photo(size))
        np.testing.assert_allclose(alpha, right.alpha(photo(size)), rtol=0, atol=ALPHA)
    assert opened == sizes[:-1]
    # Backwards, so that the last one was used longest ago.
    matter.alpha(photo(sizes[-1]))
    for size in sizes[:-2]:
        matter.alpha(photo(size))
    assert opened == sizes
    matter.alpha(photo(sizes[-2]))
    assert opened == [*sizes, sizes[-2]]
    assert matter.info.graph == "one launch for each frame"


def test_captures_leave_nothing(kind, emulated, graph):
    def held():
        gc.collect()
        return emulated.live_bytes(), emulated.live_handles()

    before = held()
    matter = fm.Matter(graph("modnet"), engine="cuda", size=(64, 96))
    counts, bytes_held = [], []
    for k in range(3 * fm.device.MOST_CAPTURES):
        # Rows move round, so that all are of one number of pixels.
        size = (60, 90) if k % 2 else (90, 60)
        matter.alpha(photo((size[0] - k // 2, size[1] - k // 2)))
        held_bytes, handles = held()
        bytes_held.append(held_bytes)
        counts.append(handles)
    most = fm.device.MOST_CAPTURES
    assert len(set(counts[most - 1 :])) == 1
    assert counts[0] < counts[most - 1]
    assert max(bytes_held[most:]) <= bytes_held[most - 1]
    del matter
    fm.cuda.release_memory()
    assert held() == before


def test_what_has_no_room_beside_others_takes_theirs(kind, emulated, graph, opened):
    matter, right = pair(graph("modnet"), size=(64, 96))
    large, larger = photo((80, 120)), photo((90, 130))
    matter.alpha(photo((60, 90)))
    matter.alpha(large)
    try:
        emulated.set_memory(emulated.live_bytes() + 10_000)
        alpha = matter.alpha(larger)
    finally:
        emulated.set_memory(1 << 33)
    np.testing.assert_allclose(alpha, right.alpha(larger), rtol=0, atol=ALPHA)
    assert opened == [(60, 90), (80, 120), (90, 130), (90, 130)]
    matter.alpha(large)
    assert opened[4:] == [(80, 120)]


@pytest.mark.parametrize("name", ["modnet", "rvm"])
def test_streams_of_several_sizes_at_once(kind, tmp_path, name, opened):
    matter, right = pair(getattr(graphs, name)(tmp_path / "x.onnx"))
    sizes = [(64, 96), (90, 130), (64, 64), (48, 96), (90, 60), (61, 47)]

    def clip(size):
        return [photo(size)[:, ::step].copy() for step in (1, -1, 1, -1)]

    expected = []
    for size in sizes:
        with right.stream(cuts="ignore", smoothing="none") as stream:
            expected.append([stream(frame).alpha.copy() for frame in clip(size)])
    streams = [matter.stream(cuts="ignore", smoothing="none") for _ in sizes]
    for i in range(4):
        for stream, size, alphas in zip(streams, sizes, expected, strict=True):
            alpha = stream(clip(size)[i]).alpha
            np.testing.assert_allclose(alpha, alphas[i], rtol=0, atol=ALPHA)
            # Calls between a stream's frames are nothing to it.
            matter.alpha(photo(sizes[0]), pixel_format="bgr")
    assert opened.count((64, 96)) == 2
    assert len(opened) == len(sizes) + 1
    found = [[] for _ in sizes]

    def work(k):
        with matter.stream(cuts="ignore", smoothing="none") as stream:
            found[k].extend(stream(frame).alpha.copy() for frame in clip(sizes[k]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(sizes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for alphas, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(alphas, wanted, rtol=0, atol=ALPHA)


def test_single_images_remember_nothing_of_other_captures(kind, tmp_path, opened):
    """Both orders of colours and both types of alpha go through one network's memory."""
    matter, right = pair(graphs.rvm(tmp_path / "x.onnx"))
    for i, frame in enumerate(FRAMES * 2):
        order = "bgr" if i % 2 else "rgb"
        expected = right.alpha(frame, pixel_format=order)
        levels = np.empty(frame.shape[:2], np.uint8)
        alpha = matter.alpha(frame, pixel_format=order)
        np.testing.assert_allclose(alpha, expected, rtol=0, atol=ALPHA)
        matter.alpha(frame, pixel_format=order, out=levels)
        assert np.abs(levels - 255 * expected).max() <= 0.5 + 255 * ALPHA
    assert len(opened) == 4


def test_alpha_can_be_carried_to_frames_that_the_network_does_not_see(kind, graph):
    matter = fm.Matter(graph("modnet"), engine="cuda")
    with matter.stream(smoothing="none") as stream:
        alpha = stream(FRAMES[0]).alpha.copy()
        own = stream.own_alpha
        np.testing.assert_array_equal(own, alpha)
        np.testing.assert_array_equal(stream.finish(FRAMES[1], own).alpha, alpha)


def test_a_memory_goes_on_in_another_capture(kind, tmp_path):
    """What a stream keeps though it has no use for it yet: its frames are all of one kind."""
    path = graphs.rvm(tmp_path / "x.onnx")
    right = fm.Matter(path, engine="onnxruntime")
    with right.stream(cuts="ignore", smoothing="none") as stream:
        expected = [stream(frame).alpha.copy() for frame in FRAMES]
    pipeline = fm.Matter(path, engine="cuda")._pipeline
    runner = pipeline.runner(FRAMES[0].shape[:2], FRAMES[0].shape[:2])
    for i, (frame, alpha) in enumerate(zip(FRAMES, expected, strict=True)):
        order = "rgb" if i in (0, 3, 4) else "bgr"
        given = frame if order == "rgb" else np.ascontiguousarray(frame[..., ::-1])
        found = runner.alpha_of(given, order, "float32")
        np.testing.assert_allclose(found, alpha, rtol=0, atol=ALPHA)


def test_many_frames_take_no_memory(kind, cuda, tmp_path):
    matter = fm.Matter(graphs.rvm(tmp_path / "x.onnx"), engine="cuda")
    with matter.stream() as stream:
        for frame in FRAMES:
            stream(frame)
        before = cuda.free_memory()
        for _ in range(20):
            for frame in FRAMES:
                stream(frame)
        assert cuda.free_memory() == before


def test_both_kinds_of_runs_are_the_same(kind, graph):
    """The engine as the host sees it: what fm.build times, and what reference modes use."""
    engine = kind.open(graph("modnet"), precision="fp32", threads=1)
    source = rng.random((1, 3, 64, 96), np.float32)
    out = np.empty((1, 1, 64, 96), np.float32)
    binding = engine.bind({"input": source}, {"output": out})
    for _ in range(2):
        source[:] = rng.random(source.shape, np.float32)
        binding.run()
        np.testing.assert_allclose(out, engine.run({"input": source})["output"], atol=1e-5)
    out[:] = -1
    binding.run_there()
    assert (out == -1).all()


def test_colours_are_fetched_when_they_are_wanted(kind, tmp_path, monkeypatch):
    matter, right = pair(graphs.rvm(tmp_path / "x.onnx"))
    fetched = []
    plain = fm.device.DeviceRunner.fetch

    def fetch(runner):
        fetched.append(1)
        return plain(runner)

    monkeypatch.setattr(fm.device.DeviceRunner, "fetch", fetch)
    with matter.stream() as stream, right.stream() as other:
        for frame in FRAMES[:3]:
            matte, expected = stream(frame), other(frame)
            assert matte.alpha.shape == frame.shape[:2]
            matte.composite((1, 2, 3), foreground="image")
        assert not fetched
        np.testing.assert_allclose(matte.foreground, expected.foreground, atol=1)
        close(matte.composite((1, 2, 3)), expected.composite((1, 2, 3)))
        assert fetched == [1]
