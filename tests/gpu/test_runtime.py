"""Arrays, streams, graphs and memory on a device, and what is refused."""

from __future__ import annotations

import ctypes
import gc
import threading

import fastmatte as fm
import numpy as np
import oracles
import pytest
from device import View

rng = np.random.default_rng(7)
IMAGE = rng.integers(0, 256, (40, 60, 3), np.uint8)
ALPHA = rng.random((40, 60), np.float32)


def test_devices_are_named(cuda):
    devices = cuda.devices()
    assert devices
    assert devices[0].name
    assert cuda.missing() is None
    assert cuda.free_memory() > 0


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_arrays_come_back_as_they_went(cuda, dtype):
    values = rng.integers(0, 200, (3, 5, 7)).astype(dtype)
    array = cuda.to_device(values)
    assert array.shape == (3, 5, 7)
    assert array.dtype == dtype
    assert array.nbytes == values.nbytes
    assert repr(array) == f"<fastmatte device array (3, 5, 7) {dtype}, device 0>"
    np.testing.assert_array_equal(array.numpy(), values)
    np.testing.assert_array_equal(array.numpy(stream=cuda.Stream()), values)
    assert cuda.empty((4, 2), dtype).shape == (4, 2)


class OnlyDlpack:
    """A device array of a library that speaks no other protocol."""

    def __init__(self, array):
        self.array = array
        self.dtype = f"library.{array.dtype}"

    def __dlpack__(self, stream=None):
        self.stream = stream
        return self.array.__dlpack__(stream=stream)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class LikePyTorch(OnlyDlpack):
    """One whose other protocol is of a version that names no stream."""

    @property
    def __cuda_array_interface__(self):
        interface = self.array.__cuda_array_interface__
        return {k: v for k, v in interface.items() if k != "stream"} | {"version": 2}


def test_dlpack_in(cuda):
    stream = cuda.Stream()
    image, alpha = (OnlyDlpack(cuda.to_device(x)) for x in (IMAGE, ALPHA))
    out = OnlyDlpack(cuda.empty((40, 60, 4), "uint8"))
    assert cuda.cutout(image, alpha, out=out, stream=stream) is out
    assert image.stream == stream.ptr
    np.testing.assert_array_equal(out.array.numpy(stream=stream), oracles.cutout(IMAGE, ALPHA))
    capsule = image.array.__dlpack__()
    del image, capsule
    gc.collect()


def test_streams_of_every_kind(cuda):
    stream = cuda.Stream()

    class Torch:
        cuda_stream = stream.ptr

    class CuPy:
        ptr = stream.ptr

    image, alpha = cuda.to_device(IMAGE), cuda.to_device(ALPHA)
    for kind in (None, 0, stream, stream.ptr, Torch(), CuPy()):
        result = cuda.cutout(image, alpha, stream=kind)
        np.testing.assert_array_equal(result.numpy(), oracles.cutout(IMAGE, ALPHA))


def every_kernel(cuda, stream):
    """Calls of every kernel into arrays of their own, and those arrays."""
    image, alpha = cuda.to_device(IMAGE, stream=stream), cuda.to_device(ALPHA, stream=stream)
    small = cuda.to_device(ALPHA[::4, ::4].copy(), stream=stream)
    on = {"stream": stream}
    outs = {
        "blur": cuda.empty((40, 60, 3), "uint8"),
        "wide blur": cuda.empty((40, 60, 3), "uint8"),
        "composite": cuda.empty((40, 60, 3), "uint8"),
        "cutout": cuda.empty((40, 60, 4), "uint8"),
        "estimate_foreground": cuda.empty((40, 60, 3), "uint8"),
        "guided_upsample": cuda.empty((40, 60), "float32"),
        "resize": cuda.empty((90, 33, 3), "uint8"),
        "to_tensor": cuda.empty((1, 3, 32, 32), "float16"),
        "trimap": cuda.empty((40, 60), "uint8"),
    }

    def call():
        cuda.blur(image, sigma=3, out=outs["blur"], **on)
        cuda.blur(image, sigma=12, weight=alpha, out=outs["wide blur"], **on)
        cuda.composite(image, (9, 8, 7), alpha, out=outs["composite"], **on)
        cuda.cutout(image, alpha, out=outs["cutout"], **on)
        cuda.estimate_foreground(image, alpha, out=outs["estimate_foreground"], **on)
        guided = outs["guided_upsample"]
        cuda.guided_upsample(image, small, radius=2, eps=1e-4, unsure=8, out=guided, **on)
        cuda.resize(image, (90, 33), filter="lanczos3", out=outs["resize"], **on)
        cuda.to_tensor(image, (32, 32), filter="area", out=outs["to_tensor"], **on)
        cuda.trimap(alpha, radius=3, out=outs["trimap"], **on)

    return call, outs


def test_graph_replay_equals_the_direct_run(cuda):
    stream = cuda.Stream()
    call, outs = every_kernel(cuda, stream)
    call()
    direct = {name: out.numpy(stream=stream) for name, out in outs.items()}
    graph = cuda.Graph(call, stream=stream)
    assert graph.nodes >= len(outs)
    for out in outs.values():
        if len(out.shape) < 4:
            poison = cuda.to_device(np.full(out.shape, 113, out.dtype), stream=stream)
            cuda.resize(poison, out.shape[:2], filter="nearest", out=out, stream=stream)
    # A graph outlives what other calls make of its stream's scratch.
    big = cuda.to_device(np.zeros((300, 400, 3), np.uint8), stream=stream)
    cuda.estimate_foreground(big, cuda.to_device(np.full((300, 400), 99, np.uint8)), stream=stream)
    cuda.release_memory()
    for _ in range(3):
        graph.launch(stream)
    for name, out in outs.items():
        np.testing.assert_array_equal(out.numpy(stream=stream), direct[name], name)


def test_a_call_that_needs_memory_cannot_be_captured(cuda):
    stream = cuda.Stream()
    call, _ = every_kernel(cuda, stream)
    cuda.release_memory()
    with pytest.raises(fm.errors.DeviceError, match="make it once before"):
        cuda.Graph(call, stream=stream)
    # The stream is as good as before.
    call()
    cuda.Graph(call, stream=stream).launch(stream)
    stream.synchronize()


def test_two_streams_in_two_threads(cuda):
    failures = []

    def work(seed):
        try:
            local = np.random.default_rng(seed)
            stream = cuda.Stream()
            for _ in range(20):
                shape = tuple(int(side) for side in local.integers(20, 90, 2))
                image = local.integers(0, 256, (*shape, 3), np.uint8)
                alpha = local.random(shape, np.float32)
                on_device = [cuda.to_device(x, stream=stream) for x in (image, alpha)]
                result = cuda.estimate_foreground(*on_device, stream=stream)
                np.testing.assert_array_equal(
                    result.numpy(stream=stream), oracles.estimate_foreground(image, alpha)
                )
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def test_memory_stays_flat(cuda):
    stream = cuda.Stream()
    call, _ = every_kernel(cuda, stream)
    call()
    stream.synchronize()
    before = cuda.free_memory()
    for _ in range(50):
        call()
    stream.synchronize()
    assert cuda.free_memory() == before


def test_nothing_is_left(cuda, emulated):
    gc.collect()
    cuda.release_memory()
    before = emulated.live_bytes()
    stream = cuda.Stream()
    call, outs = every_kernel(cuda, stream)
    call()
    graph = cuda.Graph(call, stream=stream)
    assert emulated.live_bytes() > before
    del call, outs, graph, stream
    cuda.release_memory()
    gc.collect()
    assert emulated.live_bytes() == before


def test_out_of_memory_says_what_was_wanted_and_what_is_free(cuda, emulated):
    image, alpha = cuda.to_device(IMAGE), cuda.to_device(ALPHA)
    held = emulated.live_bytes()
    emulated.set_memory(held + 1000)
    try:
        with pytest.raises(
            fm.errors.DeviceMemoryError,
            match=r"out of device memory: 9600 bytes wanted, 1000 free",
        ):
            cuda.cutout(image, alpha)
    finally:
        emulated.set_memory(1 << 33)
    assert cuda.cutout(image, alpha).shape == (40, 60, 4)


@pytest.mark.parametrize(
    ("driver", "devices", "message"),
    [
        (0, 0, "no NVIDIA driver is installed (libcuda.so.1 was not found)"),
        (
            12040,
            2,
            "the NVIDIA driver is for CUDA 12.4 and fastmatte for CUDA 13.0: update the driver",
        ),
        (13000, 0, "the NVIDIA driver finds no GPU (is CUDA_VISIBLE_DEVICES set?)"),
    ],
)
def test_what_is_missing_is_said(cuda, emulated, driver, devices, message):
    emulated.set_driver(driver, devices)
    try:
        assert cuda.missing() == message
        with pytest.raises(fm.errors.DeviceError) as caught:
            cuda.to_device(IMAGE)
        assert str(caught.value) == f"no CUDA device: {message}"
    finally:
        emulated.set_driver(13000, 2)
    assert cuda.to_device(IMAGE).shape == IMAGE.shape


def test_arrays_are_written_in_place(cuda):
    array = cuda.empty((40, 60), "float32")
    array.write(ALPHA, None)
    np.testing.assert_array_equal(array.numpy(), ALPHA)
    for values in (IMAGE, ALPHA.astype(np.float16), ALPHA[:, ::-1], ALPHA[1:]):
        with pytest.raises(ValueError, match="values: expected a C-contiguous array like this one"):
            array.write(values, None)


def test_one_stream_waits_for_another(cuda):
    first, second = cuda.Stream(), cuda.Stream()
    event = cuda.Event()
    image = cuda.to_device(IMAGE, stream=first)
    out = cuda.empty((40, 60, 3), "uint8")
    cuda.resize(image, (40, 60), filter="nearest", out=out, stream=first)
    event.record(first)
    event.hold(second)
    np.testing.assert_array_equal(out.numpy(stream=second), IMAGE)


def test_what_is_filled_is_waited_for_on_every_stream(cuda):
    first, second = cuda.Stream(), cuda.Stream()
    image, alpha = cuda.to_device(IMAGE), cuda.to_device(ALPHA)
    expected = oracles.cutout(IMAGE, ALPHA)
    for read in (
        lambda out: out.numpy(),
        lambda out: out.numpy(stream=second),
        lambda out: cuda.resize(out, (40, 60), stream=second).numpy(),
        lambda out: cuda.resize(OnlyDlpack(out), (40, 60), stream=second).numpy(),
        lambda out: cuda.resize(LikePyTorch(out), (40, 60), stream=second).numpy(),
    ):
        # Made on the default stream, filled on another.
        out = cuda.empty((40, 60, 4), "uint8")
        cuda.cutout(image, alpha, out=out, stream=first)
        np.testing.assert_array_equal(read(out), expected)


def test_a_stream_stays_while_an_array_names_it(cuda):
    image, alpha = cuda.to_device(IMAGE), cuda.to_device(ALPHA)
    out = cuda.empty((40, 60, 4), "uint8")
    results = [
        cuda.cutout(image, alpha, stream=cuda.Stream()),
        cuda.cutout(image, alpha, out=out, stream=cuda.Stream()),
        cuda.resize(cuda.cutout(image, alpha, stream=cuda.Stream()), (40, 60)),
    ]
    gc.collect()
    for result in results:
        np.testing.assert_array_equal(result.numpy(), oracles.cutout(IMAGE, ALPHA))


def test_scratch_goes_with_its_stream(cuda, emulated):
    image, alpha = cuda.to_device(IMAGE), cuda.to_device(ALPHA)
    gc.collect()
    before = emulated.live_bytes()
    for _ in range(3):
        stream = cuda.Stream()
        cuda.estimate_foreground(image, alpha, stream=stream)
        assert emulated.live_bytes() > before
        del stream
        gc.collect()
        assert emulated.live_bytes() == before


def test_work_is_done_when_it_is_waited_for_and_not_before(cuda, emulated):
    """What the emulated device is for: a GPU may be late, and reads what was not kept for it."""
    first, second = cuda.Stream(), cuda.Stream()
    image = cuda.to_device(IMAGE)
    out, copy = (cuda.empty(IMAGE.shape, "uint8") for _ in range(2))
    seen = np.ctypeslib.as_array((ctypes.c_uint8 * copy.nbytes).from_address(copy.ptr))
    plain = View(out, IMAGE.shape, None)
    plain.__cuda_array_interface__["stream"] = None
    cuda.resize(image, (40, 60), filter="nearest", out=out, stream=first)
    cuda.resize(plain, (40, 60), filter="nearest", out=copy, stream=second)
    assert (seen == 0xCD).all()
    second.synchronize()
    assert (seen == 0xCD).all()
    first.synchronize()
    cuda.resize(plain, (40, 60), filter="nearest", out=copy, stream=second)
    event = cuda.Event()
    event.record(second)
    assert (seen == 0xCD).all()
    event.synchronize()
    np.testing.assert_array_equal(seen, IMAGE.reshape(-1))


def test_garbage_may_be_collected_during_a_capture(cuda):
    stream = cuda.Stream()
    image, alpha = cuda.to_device(IMAGE), cuda.to_device(ALPHA)
    out, unrelated = cuda.empty((40, 60, 4), "uint8"), []

    def call():
        unrelated.clear()
        cuda.cutout(image, alpha, out=out, stream=stream)

    call()
    unrelated.append(cuda.empty((9, 9), "uint8"))
    graph = cuda.Graph(call, stream=stream)
    graph.launch(stream)
    np.testing.assert_array_equal(out.numpy(stream=stream), oracles.cutout(IMAGE, ALPHA))


def test_a_graph_on_another_stream_is_in_the_order_of_its_own(cuda):
    home, other = cuda.Stream(), cuda.Stream()
    image, alpha = cuda.to_device(IMAGE), cuda.to_device(ALPHA)
    out = cuda.empty(IMAGE.shape, "uint8")

    def call():
        cuda.estimate_foreground(image, alpha, out=out, stream=home)

    call()
    graph = cuda.Graph(call, stream=home)
    home.synchronize()
    graph.launch(other)
    result = cuda.resize(out, (40, 60), filter="nearest", stream=home)
    np.testing.assert_array_equal(result.numpy(), oracles.estimate_foreground(IMAGE, ALPHA))


def test_what_cannot_be_captured_is_said(cuda):
    stream, other, event = cuda.Stream(), cuda.Stream(), cuda.Event()
    image, alpha = cuda.to_device(IMAGE), cuda.to_device(ALPHA)
    out = cuda.cutout(image, alpha)

    def makes_memory():
        cuda.cutout(image, alpha, stream=stream)

    def waits():
        stream.synchronize()

    def leaves_a_stream_behind():
        event.record(stream)
        event.hold(other)
        cuda.cutout(image, alpha, out=out, stream=other)

    for function, message in (
        (makes_memory, "cudaMalloc: cudaErrorStreamCapture"),
        (waits, "cudaStreamSynchronize: cudaErrorStreamCapture"),
        (leaves_a_stream_behind, "cudaStreamEndCapture: cudaErrorStreamCaptureUnjoined"),
    ):
        with pytest.raises(fm.errors.DeviceError, match=message):
            cuda.Graph(function, stream=stream)
        # Both streams are as good as before.
        for one in (stream, other):
            result = cuda.cutout(image, alpha, stream=one).numpy()
            np.testing.assert_array_equal(result, oracles.cutout(IMAGE, ALPHA))


def test_more_memory_than_there_is(cuda):
    shape = (16 * fm.MAX_PIXELS // 4, 4)

    def fill():
        return [cuda.empty(shape, "float32") for _ in range(64)]

    with pytest.raises(fm.errors.DeviceMemoryError, match=r"\d+ bytes wanted, \d+ free"):
        fill()
    gc.collect()
    assert cuda.to_device(IMAGE).shape == IMAGE.shape


def test_bad_arguments_are_named(cuda):
    image, alpha = cuda.to_device(IMAGE), cuda.to_device(ALPHA)
    flipped = View(image, (40, 60, 3), (180, -3, 1), 3 * 59)
    frozen = View(cuda.to_device(IMAGE), (40, 60, 3), None, writable=False)

    on_the_host = View(image, (40, 60, 3), None)
    on_the_host.__cuda_array_interface__["data"] = (IMAGE.ctypes.data, False)

    for change, error, message in (
        ({"foreground": IMAGE}, TypeError, "foreground: expected a device array, (H, W, 3) uint8"),
        ({"foreground": alpha}, TypeError, "foreground: expected (H, W, 3) uint8, got (40, 60)"),
        ({"foreground": flipped}, ValueError, "foreground: expected rows of adjacent pixels, got"),
        ({"foreground": on_the_host}, ValueError, "got memory that no device reads"),
        ({"background": "red"}, TypeError, "background: expected a device array"),
        ({"background": (0, 0, 256)}, ValueError, "an integer from 0 to 255, got 256"),
        ({"alpha": image}, ValueError, "alpha: expected (H, W) uint8, got (40, 60, 3) uint8"),
        ({"alpha": View(alpha, (39, 60), None)}, ValueError, "alpha: expected the size of"),
        ({"out": alpha}, TypeError, "out: expected (40, 60, 3) uint8, got (40, 60) float32"),
        ({"out": frozen}, ValueError, "out: expected a writable array, got a read-only one"),
        ({"out": View(image, (40, 60, 3), (0, 3, 1))}, ValueError, "out: expected"),
        ({"stream": -1}, ValueError, "stream: expected an integer from 0 to"),
        ({"stream": "default"}, TypeError, "stream: expected an integer from 0 to"),
    ):
        arguments = {"foreground": image, "background": (0, 0, 0), "alpha": alpha, **change}
        with pytest.raises(error) as caught:
            cuda.composite(**arguments)
        assert message in str(caught.value)
    with pytest.raises(ValueError, match="'bgra' or 'nv12' on a device, got 'i420'"):
        cuda.to_tensor(alpha, pixel_format="i420")
    with pytest.raises(ValueError, match="low: expected less than high"):
        cuda.trimap(alpha, low=0.5, high=0.5)
    large = cuda.to_device(np.zeros((41, 60), np.float32))
    with pytest.raises(ValueError, match="alpha: expected at most the size of guide, 40 x 60"):
        cuda.guided_upsample(image, large, radius=1, eps=1e-3)


def test_a_frame_on_another_device_is_refused(cuda):
    if len(cuda.devices()) < 2:
        pytest.skip("there is one device")
    elsewhere = cuda.Stream(1)
    image = cuda.to_device(IMAGE, stream=elsewhere)
    assert image.device == 1
    alpha = cuda.to_device(ALPHA, stream=elsewhere)
    with pytest.raises(ValueError, match="memory of device 0, on which the stream runs, got that"):
        cuda.cutout(image, alpha, stream=cuda.Stream(0))
    result = cuda.cutout(image, alpha, stream=elsewhere)
    np.testing.assert_array_equal(result.numpy(stream=elsewhere), oracles.cutout(IMAGE, ALPHA))


def test_every_kernel_on_another_device(cuda):
    if len(cuda.devices()) < 2:
        pytest.skip("there is one device")
    call, outs = every_kernel(cuda, cuda.Stream())
    call()
    expected = {name: out.numpy() for name, out in outs.items()}
    with cuda.using("cuda:1") as number:
        assert number == cuda.current_device() == 1
        stream = cuda.Stream()
        call, outs = every_kernel(cuda, stream)
        # Its default stream, to whom another one is current.
        image = cuda.to_device(IMAGE)
    assert cuda.current_device() == 0
    call()
    graph = cuda.Graph(call, stream=stream)
    for out in outs.values():
        out.write(np.zeros(out.shape, out.dtype), None)
    graph.launch(stream)
    for name, out in outs.items():
        assert out.device == 1
        np.testing.assert_array_equal(out.numpy(stream=stream), expected[name], name)
    result = cuda.resize(image, (40, 60), stream=stream)
    np.testing.assert_array_equal(result.numpy(), IMAGE)
    with pytest.raises(ValueError, match="stream: expected one of device 1, got one of device 0"):
        graph.launch(cuda.Stream(0))


def test_events_of_one_device_hold_streams_of_another(cuda):
    if len(cuda.devices()) < 2:
        pytest.skip("there is one device")
    event, here, there = cuda.Event("cuda:1"), cuda.Stream(0), cuda.Stream(1)
    assert (event.device, here.device, there.device) == (1, 0, 1)
    event.record(there)
    event.hold(here)
    with pytest.raises(ValueError, match="stream: expected one of device 1, got one of device 0"):
        event.record(here)


def test_devices_are_named_by_number_or_as_elsewhere(cuda):
    for device in (0, "cuda:0"):
        assert cuda.Stream(device).device == 0
    count = len(cuda.devices())
    for device in (-1, count, True, "cuda", f"cuda:{count}", "cuda:-1", "gpu:0", 0.0):
        with pytest.raises(ValueError, match=r"device: expected 'cuda:0'.*, or its number, got"):
            cuda.Stream(device)
    with pytest.raises(ZeroDivisionError), cuda.using(count - 1):
        raise ZeroDivisionError
    assert cuda.current_device() == 0


@pytest.mark.parametrize("library", ["torch", "cupy"])
def test_arrays_of_other_libraries_are_used_in_place(cuda, library):
    if cuda.devices()[0].name == "emulated":
        pytest.skip("other libraries have no emulated device")
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    if library == "torch":
        image, alpha = (module.from_numpy(x).cuda() for x in (IMAGE, ALPHA))
        out = module.empty((40, 60, 4), dtype=module.uint8, device="cuda")
        stream = module.cuda.Stream()
        stream.wait_stream(module.cuda.current_stream())
        back = module.from_dlpack
        to_numpy = lambda x: x.cpu().numpy()  # noqa: E731
    else:
        image, alpha = module.asarray(IMAGE), module.asarray(ALPHA)
        out = module.empty((40, 60, 4), module.uint8)
        stream = module.cuda.Stream(non_blocking=True)
        back = module.from_dlpack
        to_numpy = module.asnumpy
    expected = oracles.cutout(IMAGE, ALPHA)
    assert cuda.cutout(image, alpha, out=out, stream=stream) is out
    stream.synchronize()
    np.testing.assert_array_equal(to_numpy(out), expected)
    ours = cuda.cutout(image, alpha)
    np.testing.assert_array_equal(to_numpy(back(ours)), expected)
    if library == "cupy":
        np.testing.assert_array_equal(to_numpy(module.asarray(ours)), expected)
    else:
        np.testing.assert_array_equal(to_numpy(module.as_tensor(ours, device="cuda")), expected)
