"""The pipeline: every result in order and the same as one kernel after the other, graph or not."""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import pytest
from device import View
from hypothesis import settings

SIZE, FRAME = (24, 32), (50, 70)


def frames(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *FRAME, 3), np.uint8)


class Network:
    """Enqueues what takes the first plane for alpha, and counts how often it was asked to."""

    def __init__(self, cuda):
        self.cuda = cuda
        self.slots = []

    def __call__(self, tensor, alpha, stream, slot):
        self.slots.append(slot)
        interface = tensor.__cuda_array_interface__
        plane = type("Plane", (), {})()
        plane.__cuda_array_interface__ = {**interface, "shape": SIZE, "strides": None}
        out = type("Alpha", (), {})()
        out.__cuda_array_interface__ = {
            **alpha.__cuda_array_interface__,
            "shape": SIZE,
            "strides": None,
        }
        self.cuda.resize(plane, SIZE, filter="nearest", out=out, stream=stream)


def expected(cuda, frame, result, refine, foreground, nv12=None):
    """The same by the free functions; nv12 is how such a frame is meant."""
    on_device = cuda.to_device(frame)
    if nv12 is None:
        tensor = cuda.to_tensor(on_device, SIZE, filter="area").numpy()
    else:
        tensor = cuda.to_tensor(on_device, SIZE, filter="area", pixel_format="nv12", **nv12).numpy()
        on_device = cuda.yuv_to_rgb(on_device, **nv12)
    small = cuda.to_device(np.clip(tensor[0, 0], 0, 1))
    if refine is None:
        alpha = cuda.resize(small, FRAME, dtype="uint8")
    else:
        alpha = cuda.guided_upsample(
            on_device,
            small,
            radius=refine.radius,
            eps=refine.eps,
            unsure=refine.unsure,
            dtype="uint8",
        )
    if result == "alpha":
        return alpha.numpy()
    colours = on_device
    if foreground == "estimated":
        colours = cuda.estimate_foreground(on_device, alpha)
    if result == "cutout":
        return cuda.cutout(colours, alpha).numpy()
    return cuda.composite(colours, (1, 2, 3), alpha).numpy()


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize(
    ("result", "refine", "foreground"),
    [
        ("alpha", fm.Refine(), "image"),
        ("alpha", None, "image"),
        ("cutout", fm.Refine(), "estimated"),
        ("composite", fm.Refine(), "estimated"),
        ("composite", None, "image"),
    ],
)
def test_results_are_those_of_the_kernels(cuda, result, refine, foreground, overlap, graph):
    network = Network(cuda)
    pipeline = cuda.Pipeline(
        network,
        frame_size=FRAME,
        size=SIZE,
        filter="area",
        result=result,
        refine=refine,
        foreground=foreground,
        background=(1, 2, 3),
        overlap=overlap,
        graph=graph,
    )
    assert pipeline.why_no_graph == ""
    assert (pipeline.nodes > 3) == graph
    made = len(network.slots)
    assert set(network.slots) == {0, 1}
    inputs = frames(9)
    results = []
    for frame in inputs:
        if pipeline.waiting == pipeline.depth:
            results.append(pipeline.result())
        pipeline.submit(frame)
    while pipeline.waiting:
        results.append(pipeline.result())
    assert (len(network.slots) == made) == graph
    assert len(results) == len(inputs)
    for frame, got in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(got, expected(cuda, frame, result, refine, foreground))


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize(
    ("result", "refine", "foreground"),
    [
        ("alpha", fm.Refine(), "image"),
        ("alpha", None, "image"),
        ("cutout", fm.Refine(), "estimated"),
        ("composite", None, "image"),
    ],
)
def test_nv12_frames_from_everywhere(cuda, result, refine, foreground, graph):
    meant = {"matrix": "bt709", "range": "full"}
    pipeline = cuda.Pipeline(
        Network(cuda),
        frame_size=FRAME,
        size=SIZE,
        pixel_format="nv12",
        **meant,
        filter="area",
        result=result,
        refine=refine,
        foreground=foreground,
        background=(1, 2, 3),
        graph=graph,
    )
    height, width = FRAME
    inputs = np.random.default_rng(3).integers(0, 256, (6, height * 3 // 2, width), np.uint8)
    results = []
    for i, frame in enumerate(inputs):
        planes = frame[:height], frame[height:].reshape(height // 2, width // 2, 2)
        # Joined and split, on the host and on the device, with rows apart and adjacent.
        padded = cuda.to_device(np.pad(frame, ((0, 0), (0, 10))))
        step = width + 10
        whole = View(padded, frame.shape, (step, 1))
        luma = View(padded, (height, width), (step, 1))
        chroma = View(padded, (height // 2, width // 2, 2), (step, 2, 1), height * step)
        if pipeline.waiting == pipeline.depth:
            results.append(pipeline.result())
        if i == 2:
            assert pipeline.frame().shape == frame.shape
            pipeline.frame()[...] = frame
            pipeline.submit()
        else:
            pipeline.submit([frame, planes, None, whole, (luma, chroma), frame[::-1][::-1]][i])
    while pipeline.waiting:
        results.append(pipeline.result())
    for frame, got in zip(inputs, results, strict=True):
        want = expected(cuda, frame, result, refine, foreground, meant)
        np.testing.assert_array_equal(got, want)


def test_what_nv12_frames_are_not(cuda):
    options = {"frame_size": FRAME, "size": SIZE, "pixel_format": "nv12"}
    for change, message in (
        ({"frame_size": (50, 71)}, "frame_size: expected even height and width for 'nv12'"),
        ({"pixel_format": "i420"}, "pixel_format: expected one of 'rgb', 'bgr', 'nv12'"),
        ({"matrix": "bt2020"}, "matrix: expected one of 'bt601', 'bt709'"),
    ):
        with pytest.raises(ValueError, match=message):
            cuda.Pipeline(Network(cuda), **{**options, **change})
    pipeline = cuda.Pipeline(Network(cuda), **options)
    luma, chroma = np.zeros(FRAME, np.uint8), np.zeros((FRAME[0] // 2, FRAME[1]), np.uint8)
    for frame, error, message in (
        (frames(1)[0], ValueError, r"frame: expected \(H, W\) uint8, got \(50, 70, 3\)"),
        (luma[:48], ValueError, "frame: expected the size of the pipeline's frames, 50 x 70"),
        ((luma, chroma[1:]), ValueError, r"frame\[1\]: expected half the size of luma"),
        ((luma, cuda.to_device(chroma)), TypeError, r"frame\[1\]: expected"),
        ((cuda.to_device(luma), chroma), TypeError, r"frame\[1\]: expected a device array"),
        ((), ValueError, r"frame: expected planes \(y, uv\), got 0 planes"),
    ):
        with pytest.raises(error, match=message):
            pipeline.submit(frame)
    assert pipeline.waiting == 0
    pipeline.submit((luma, chroma))
    assert (pipeline.result() == 0).all()


@pytest.mark.parametrize("overlap", [True, False])
def test_every_way_to_hand_over_a_frame_and_take_a_result(cuda, overlap):
    pipeline = cuda.Pipeline(Network(cuda), frame_size=FRAME, size=SIZE, overlap=overlap)
    inputs = frames(6, 1)
    plain = [None] * len(inputs)
    out = np.empty(FRAME, np.uint8)
    for i, frame in enumerate(inputs):
        if i % 3 == 0:
            pipeline.submit(frame[:, ::-1][:, ::-1])
        elif i % 3 == 1:
            pipeline.frame()[...] = frame
            pipeline.submit()
        else:
            pipeline.submit(cuda.to_device(frame))
        # Taken at once now and then, so that the frames behind have to be started anew.
        plain[i] = pipeline.peek().copy() if i % 2 else pipeline.result(out).copy()
    again = cuda.Pipeline(Network(cuda), frame_size=FRAME, size=SIZE, graph=False, overlap=False)
    for frame, got in zip(inputs, plain, strict=True):
        again.submit(frame)
        np.testing.assert_array_equal(got, again.result())


def test_float16_networks(cuda):
    """Alpha of half precision, from a network that takes it."""
    half = cuda.to_device(np.full((*SIZE, 2), (0, 56), np.uint8))  # 0x3800 is 0.5

    def network(tensor, alpha, stream, slot):
        assert tensor.shape == (1, 3, *SIZE)
        assert tensor.dtype == alpha.dtype == "float16"
        shape = (2 * SIZE[0], SIZE[1])
        out = View(alpha, shape, None, dtype="|u1")
        cuda.resize(View(half, shape, None), shape, filter="nearest", out=out, stream=stream)

    pipeline = cuda.Pipeline(
        network, frame_size=FRAME, size=SIZE, dtype="float16", alpha_dtype="float16", refine=None
    )
    pipeline.submit(frames(1)[0])
    assert (pipeline.result() == 128).all()


def test_what_is_no_alpha_is_refused_and_the_next_is_not(cuda):
    values = iter([2.0, np.nan, 0.25])
    value = cuda.to_device(np.full(SIZE, next(values), np.float32))

    def network(tensor, alpha, stream, slot):
        out = View(alpha, SIZE, None)
        cuda.resize(value, SIZE, filter="nearest", out=out, stream=stream)

    for graph in (True, False):
        pipeline = cuda.Pipeline(network, frame_size=FRAME, size=SIZE, graph=graph)
        for number, message in ((2, "got 2"), (np.nan, "got -?nan"), (0.25, None)):
            value.write(np.full(SIZE, number, np.float32), None)
            pipeline.submit(frames(1)[0])
            if message is None:
                assert (pipeline.result() == 64).all()
                continue
            with pytest.raises(fm.ModelError, match=f"output: expected alpha in .*{message}"):
                pipeline.result()


def test_layouts_channels_and_sides_of_a_network(cuda):
    """nhwc, alpha the second of two channels, as logits, of half the size."""
    half = (SIZE[0] // 2, SIZE[1] // 2)
    logits = np.random.default_rng(2).normal(0, 2, (1, *half, 2)).astype(np.float32)
    made = cuda.to_device(logits)
    seen = []

    def network(tensor, alpha, stream, slot):
        assert tensor.shape == (1, *SIZE, 3)
        assert alpha.shape == (1, *half, 2)
        shape = (half[0], 2 * half[1])
        out = View(alpha, shape, None)
        cuda.resize(View(made, shape, None), shape, filter="nearest", out=out, stream=stream)
        seen.append(tensor)

    pipeline = cuda.Pipeline(
        network,
        frame_size=FRAME,
        size=SIZE,
        layout="nhwc",
        alpha_shape=(1, *half, 2),
        alpha_channel=1,
        activation="sigmoid",
        result_dtype="float32",
        refine=None,
        overlap=False,
    )
    frame = frames(1)[0]
    pipeline.submit(frame)
    result = pipeline.result()
    alpha = 1 / (1 + np.exp(-logits[0, ..., 1].astype(np.float64)))
    expected = np.clip(oracles.resize(alpha.astype(np.float32), FRAME, "bilinear"), 0, 1)
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6)
    tensor = fm.kernels.to_tensor(frame, SIZE, layout="nhwc")
    np.testing.assert_allclose(seen[0].numpy(), tensor, rtol=0, atol=1e-5)


def test_alpha_of_the_frames_size_stays_as_it_is(cuda):
    values = np.random.default_rng(1).random(FRAME, np.float32)
    made = cuda.to_device(values)

    def network(tensor, alpha, stream, slot):
        out = View(alpha, FRAME, None)
        cuda.resize(made, FRAME, filter="nearest", out=out, stream=stream)

    for dtype, expected in (("float32", values), ("uint8", np.floor(values * 255 + 0.5))):
        pipeline = cuda.Pipeline(network, frame_size=FRAME, size=FRAME, result_dtype=dtype)
        pipeline.submit(frames(1)[0])
        np.testing.assert_array_equal(pipeline.result(), expected.astype(dtype))


def test_all_of_it_on_another_device(cuda):
    if len(cuda.devices()) < 2:
        pytest.skip("there is one device")
    options = {"frame_size": FRAME, "size": SIZE, "result": "composite", "foreground": "estimated"}
    here = cuda.Pipeline(Network(cuda), **options)
    there = cuda.Pipeline(Network(cuda), device="cuda:1", **options)
    inputs = list(frames(6))
    expected = list(here.results(inputs))
    with cuda.using(1):
        stream = cuda.Stream()
        on_device = [cuda.to_device(frame) for frame in inputs]
        out = cuda.empty((*FRAME, 3), "uint8")
    for given in (inputs, on_device):
        for got, want in zip(there.results(given), expected, strict=True):
            np.testing.assert_array_equal(got, want)
    there.submit(on_device[0], stream=stream)
    there.result(out, stream=stream)
    np.testing.assert_array_equal(out.numpy(stream=stream), expected[0])
    with pytest.raises(ValueError, match=r"memory of device 1, .*, got that of device 0"):
        there.submit(cuda.to_device(inputs[0]))


def test_states_and_colours_of_a_networks_own(cuda):
    planes = np.random.default_rng(1).random((1, 3, *FRAME), np.float32)
    own, state = cuda.to_device(planes), cuda.to_device(np.full((4, 5), 7, np.float32))
    options = {"frame_size": FRAME, "size": SIZE, "result": "cutout", "foreground": "network"}
    pipeline = cuda.Pipeline(Network(cuda), own_foreground=own, states=[state], **options)
    pipeline.synchronize()
    assert not state.numpy().any()
    frame = np.full((*FRAME, 3), 255, np.uint8)
    pipeline.submit(frame)
    colours = oracles.from_tensor(planes, "rgb")
    np.testing.assert_array_equal(pipeline.result()[..., :3], colours)
    state.write(np.full((4, 5), 9, np.float32), None)
    pipeline.reset()
    pipeline.synchronize()
    assert not state.numpy().any()
    for change, error, message in (
        ({"own_foreground": None}, TypeError, "own_foreground: expected an array of"),
        ({"own_foreground": state}, ValueError, r"own_foreground: expected \(1, 3, 50, 70\)"),
        ({"states": [planes]}, TypeError, "states: expected an array of fastmatte.cuda.empty"),
        ({"alpha_shape": (1, 24, 32)}, ValueError, r"alpha_shape: expected \(1, C, h, w\)"),
        ({"alpha_channel": 1}, ValueError, "alpha_channel: expected an integer from 0 to 0"),
        ({"result_dtype": "float32"}, ValueError, "result_dtype: expected 'uint8'"),
    ):
        arguments = {"own_foreground": own, **options, **change}
        with pytest.raises(error, match=message):
            cuda.Pipeline(Network(cuda), **arguments)


def test_what_a_network_is_told(cuda):
    """A trimap in the tensor's fourth channel; frames fill a part of the tensor."""
    content, seen = (20, 30), []

    def network(tensor, alpha, stream, slot):
        seen.append(tensor)
        Network(cuda)(tensor, alpha, stream, slot)

    options = {
        "frame_size": FRAME,
        "size": SIZE,
        "content": content,
        "guidance": "trimap",
        "refine": None,
        "overlap": False,
    }
    frame = frames(1)[0]
    trimap = np.random.default_rng(4).choice(np.uint8([0, 128, 255]), FRAME)
    plain = fm.kernels.to_tensor(frame, content)[0]
    small = fm.kernels.resize(trimap, content, filter="nearest") / np.float32(255)
    expected = np.concatenate([plain, small[None]])
    around = ((0, 0), (0, SIZE[0] - content[0]), (0, SIZE[1] - content[1]))
    for border, how in (("edge", {"mode": "edge"}), ("zero", {})):
        pipeline = cuda.Pipeline(network, border=border, **options)
        pipeline.tell(trimap)
        for _ in range(2):
            pipeline.submit(frame)
            result = pipeline.result()
            assert seen[-1].shape == (1, 4, *SIZE)
            np.testing.assert_allclose(
                seen[-1].numpy()[0], np.pad(expected, around, **how), rtol=0, atol=1e-6
            )
            grown = fm.kernels.resize(plain[0], FRAME, dtype="uint8")
            wanted = np.where(trimap == 128, grown, trimap)
            assert np.abs(result.astype(int) - wanted).max() <= 1
    for guidance, message in (
        (trimap[1:], "guidance: expected the size of the pipeline's frames, 50 x 70, got 49 x 70"),
        (frame, r"guidance: expected \(H, W\) uint8"),
    ):
        with pytest.raises(ValueError, match=message):
            pipeline.tell(guidance)
    with pytest.raises(ValueError, match="guidance: expected none, for the network needs nothing"):
        cuda.Pipeline(Network(cuda), frame_size=FRAME, size=SIZE).tell(frame)
    guide = cuda.empty((1, 3, *SIZE), "float32")
    for change, error, message in (
        ({"content": (25, 32)}, ValueError, "content: expected at most the size of the tensor"),
        ({"guide": guide}, ValueError, r"guide: expected \(1, 1, 24, 32\) float32 or float16"),
        ({"guidance": "background"}, ValueError, "guide: expected an input for the background"),
        ({"guidance": "depth"}, ValueError, "guidance: expected one of 'trimap', 'background'"),
        ({"border": "wrap"}, ValueError, "border: expected one of 'edge', 'zero', got 'wrap'"),
        ({"layout": "nhwc"}, ValueError, "layout: expected 'nchw', with guidance or content"),
    ):
        with pytest.raises(error, match=message):
            cuda.Pipeline(Network(cuda), **{**options, **change})


@pytest.mark.parametrize("graph", [True, False])
def test_results_stay_as_long_as_is_promised(cuda, graph):
    """Without copies, in every order of taking and submitting."""
    inputs = frames(40)
    options = {"frame_size": FRAME, "size": SIZE, "graph": graph}
    expected = list(cuda.Pipeline(Network(cuda), **options).results(inputs))
    pipeline, taken, sent = cuda.Pipeline(Network(cuda), **options), 0, 0
    held = []
    for turn in np.random.default_rng(1).integers(0, 2, 200):
        if turn and sent < len(inputs) and pipeline.waiting < pipeline.depth:
            pipeline.submit(inputs[sent])
            sent, held = sent + 1, []
        elif pipeline.waiting:
            held = [*held, (pipeline.peek(), taken)][-2:]
            taken += 1
        for result, i in held:
            np.testing.assert_array_equal(result, expected[i])
    assert taken > 30


def test_what_is_told_is_for_the_frames_after_it(cuda):
    options = {"frame_size": FRAME, "size": SIZE, "guidance": "trimap", "refine": None}
    pipeline = cuda.Pipeline(Network(cuda), **options)
    inputs, results = frames(5), []
    levels = [0, 255, 0, 255, 255]
    for frame, level in zip(inputs, levels, strict=True):
        if pipeline.waiting == pipeline.depth:
            results.append(pipeline.result())
        pipeline.tell(np.full(FRAME, level, np.uint8))
        pipeline.submit(frame)
    while pipeline.waiting:
        results.append(pipeline.result())
    assert [set(result.flat) for result in results] == [{level} for level in levels]


@pytest.mark.parametrize("results", ["host", "device"])
@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("overlap", [True, False])
def test_frames_and_results_of_streams_that_nobody_waits_for(cuda, overlap, graph, results):
    """A frame that is still being made, results that are still being copied while others come."""
    options = {"frame_size": FRAME, "size": SIZE, "overlap": overlap, "graph": graph}
    inputs = frames(7)
    expected = list(cuda.Pipeline(Network(cuda), **options).results(inputs))
    sources = [cuda.to_device(frame) for frame in inputs]
    pipeline = cuda.Pipeline(Network(cuda), results=results, **options)
    filled, read = cuda.Stream(), cuda.Stream()
    frame, outs = cuda.empty((*FRAME, 3), "uint8"), []

    def take():
        outs.append(pipeline.result(cuda.empty(FRAME, "uint8"), stream=read))

    for source in sources:
        if pipeline.waiting == pipeline.depth:
            take()
        cuda.resize(source, FRAME, filter="nearest", out=frame, stream=filled)
        pipeline.submit(frame, stream=filled)
    while pipeline.waiting:
        take()
    pipeline.synchronize()
    for out, want in zip(outs, expected, strict=True):
        np.testing.assert_array_equal(out.numpy(), want)


def test_too_many_frames_and_too_few_are_refused(cuda):
    pipeline = cuda.Pipeline(Network(cuda), frame_size=FRAME, size=SIZE)
    with pytest.raises(ValueError, match="result: expected a frame submitted before, got none"):
        pipeline.result()
    for frame in frames(4):
        pipeline.submit(frame)
    with pytest.raises(ValueError, match="at most 4 frames are on their way"):
        pipeline.submit(frames(1)[0])
    pipeline.result()
    with pytest.raises(ValueError, match="frame: expected the size of the pipeline's frames"):
        pipeline.submit(np.zeros((50, 71, 3), np.uint8))
    with pytest.raises(TypeError, match="out: expected"):
        pipeline.result(np.zeros(FRAME, np.float32))
    assert pipeline.result().shape == FRAME


def test_what_a_network_raises_is_raised(cuda):
    def network(*arguments):
        raise RuntimeError("no such layer")

    with pytest.raises(RuntimeError, match="no such layer"):
        cuda.Pipeline(network, frame_size=FRAME, size=SIZE)


def test_a_network_that_cannot_be_captured_is_enqueued(cuda):
    calls = []

    def network(tensor, alpha, stream, slot):
        calls.append(slot)
        if len(calls) == 3:
            raise RuntimeError("data-dependent shapes")
        Network(cuda)(tensor, alpha, stream, slot)

    pipeline = cuda.Pipeline(network, frame_size=FRAME, size=SIZE)
    assert "data-dependent shapes" in pipeline.why_no_graph
    assert pipeline.nodes == 0
    plain = cuda.Pipeline(Network(cuda), frame_size=FRAME, size=SIZE)
    for frame in frames(4):
        for either in (pipeline, plain):
            either.submit(frame)
        np.testing.assert_array_equal(pipeline.result(), plain.result())


def test_ten_thousand_frames_take_no_memory(cuda, request):
    # Few under compute-sanitizer, with the profile that is for sanitizers.
    many = "device" in request.node.name and settings().max_examples > 8
    count = 10_000 if many else 300
    pipeline = cuda.Pipeline(
        Network(cuda), frame_size=FRAME, size=SIZE, result="composite", foreground="estimated"
    )
    inputs, out = frames(4), np.empty((*FRAME, 3), np.uint8)
    firsts = []
    before = None
    for i in range(count):
        if pipeline.waiting == pipeline.depth:
            pipeline.result(out)
            if len(firsts) < 4:
                firsts.append(out.copy())
        pipeline.submit(inputs[i % 4])
        if i == 10:
            before = cuda.free_memory()
    for i in range(count - pipeline.waiting, count):
        np.testing.assert_array_equal(pipeline.result(out), firsts[i % 4])
    assert cuda.free_memory() == before


def test_oracle_of_the_whole_way(cuda):
    """Nothing but oracles: a frame of one colour's alpha, cut out."""
    pipeline = cuda.Pipeline(
        Network(cuda), frame_size=FRAME, size=SIZE, result="cutout", refine=None
    )
    frame = np.full((*FRAME, 3), (51, 7, 200), np.uint8)
    pipeline.submit(frame)
    alpha = np.full(FRAME, 51, np.uint8)
    np.testing.assert_array_equal(pipeline.result(), oracles.cutout(frame, alpha))
