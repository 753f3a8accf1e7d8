"""What a frame costs on a GPU: each stage, and host frame in to host composite out.

Run: python bench/bench_gpu.py [--json gpu.json]

Contestants of the whole way, batch 1, with the same network in the middle:

- fastmatte: one graph launch a frame, uploads and downloads beside the computing;
- NumPy and OpenCV before and after the network, as most published wrappers have it;
- PyTorch before and after, on the GPU, in the style of the published scripts;
- the network alone, and the copies alone: the bounds.

The network is a stand-in of PyTorch convolutions in half precision at 512 x 512, whose captured run
is what a TensorRT engine would be. What is not installed is a row that says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter

import fastmatte as fm
import fastmatte.cuda
import numpy as np

SIZES = {"720p": (720, 1280), "1080p": (1080, 1920), "4k": (2160, 3840)}
NETWORK = (512, 512)
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def percentiles(seconds):
    """Milliseconds: the median and the 99th percentile."""
    return [float(np.percentile(np.array(seconds) * 1e3, q)) for q in (50, 99)]


def scene(size):
    """A frame whose alpha lies strictly between 0 and 1 in some tenth of it, and that alpha."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot((x - width / 2) / width, (y - height / 2) / height)
    alpha = np.clip((0.3 - distance) * 10 + 0.5, 0, 1).astype(np.float32)
    waves = np.stack([np.sin(x / 60), np.cos(y / 50), np.sin((x + y) / 80)], -1) * 80 + 128
    noise = np.random.default_rng(0).normal(0, 4, (height, width, 1))
    return np.clip(waves + noise, 0, 255).astype(np.uint8), alpha


def device_times(function, stream, repeats=200):
    """Times of one call each on the device, by events, after some that warm it up."""
    for _ in range(10):
        function()
    events = [(fm.cuda.Event(), fm.cuda.Event()) for _ in range(repeats)]
    for start, end in events:
        start.record(stream)
        function()
        end.record(stream)
    stream.synchronize()
    return [end.milliseconds_since(start) / 1e3 for start, end in events]


def graph_times(function, stream, calls=20, repeats=30):
    """Times of one call each within a graph of many, so that launches cost nothing."""
    function()
    graph = fm.cuda.Graph(lambda: [function() for _ in range(calls)], stream=stream)
    return [t / calls for t in device_times(lambda: graph.launch(stream), stream, repeats)]


def stages(size):
    """(name, bytes moved at least, call) of every kernel at this size."""
    import oracles

    cuda, stream = fm.cuda, fm.cuda.Stream()
    frame, alpha = scene(size)
    small = fm.kernels.resize(alpha, NETWORK, filter="area")
    pixels, h = size[0] * size[1], NETWORK[0] * NETWORK[1]
    image, a, s = (cuda.to_device(x, stream=stream) for x in (frame, alpha, small))
    nv12 = cuda.to_device(np.zeros((size[0] * 3 // 2, size[1]), np.uint8), stream=stream)
    on = {"stream": stream}
    tensor = cuda.empty((1, 3, *NETWORK), "float32")
    half = cuda.empty((1, 3, *NETWORK), "float16")
    grown, levels = cuda.empty(size, "float32"), cuda.empty(size, "uint8")
    colours, rgba = cuda.empty((*size, 3), "uint8"), cuda.empty((*size, 4), "uint8")
    shrunk = cuda.empty((size[0] // 2, size[1] // 2, 3), "uint8")
    refine = {"radius": 3, "eps": 1e-4, "unsure": 8.0}

    # A fast wrong answer is a failure.
    cuda.composite(image, (0, 177, 64), a, out=colours, **on)
    expected = oracles.composite(frame, (0, 177, 64), alpha)
    np.testing.assert_array_equal(colours.numpy(), expected)
    twin = fm.kernels.guided_upsample(frame, small, **refine)
    cuda.guided_upsample(image, s, out=grown, **refine, **on)
    assert np.abs(grown.numpy() - twin).max() < 4e-5
    cuda.estimate_foreground(image, a, out=colours, **on)
    twin = fm.kernels.estimate_foreground(frame, alpha)
    np.testing.assert_array_equal(colours.numpy(), twin)

    rows = [
        (
            "to_tensor area float32",
            3 * pixels + 12 * h,
            lambda: cuda.to_tensor(image, NETWORK, filter="area", out=tensor, **on),
        ),
        (
            "to_tensor bilinear float16",
            min(3 * pixels, 12 * h) + 6 * h,
            lambda: cuda.to_tensor(image, NETWORK, out=half, **on),
        ),
        (
            "to_tensor nv12 area float16",
            pixels * 3 // 2 + 6 * h,
            lambda: cuda.to_tensor(
                nv12, NETWORK, pixel_format="nv12", filter="area", out=half, **on
            ),
        ),
        (
            "resize RGB to half, area",
            3 * pixels + 3 * pixels // 4,
            lambda: cuda.resize(
                image, (size[0] // 2, size[1] // 2), filter="area", out=shrunk, **on
            ),
        ),
        (
            "guided_upsample to uint8",
            7 * pixels + 60 * h,
            lambda: cuda.guided_upsample(image, s, out=levels, **refine, **on),
        ),
        (
            "estimate_foreground",
            7 * pixels,
            lambda: cuda.estimate_foreground(image, levels, out=colours, **on),
        ),
        (
            "composite, float32 alpha",
            10 * pixels,
            lambda: cuda.composite(image, (0, 177, 64), a, out=colours, **on),
        ),
        (
            "composite, uint8 alpha",
            7 * pixels,
            lambda: cuda.composite(image, (0, 177, 64), levels, out=colours, **on),
        ),
        ("cutout, uint8 alpha", 8 * pixels, lambda: cuda.cutout(image, levels, out=rgba, **on)),
        ("blur, sigma 5", 6 * pixels, lambda: cuda.blur(image, sigma=5, out=colours, **on)),
        ("blur, sigma 20", 6 * pixels, lambda: cuda.blur(image, sigma=20, out=colours, **on)),
        ("trimap, radius 7", 2 * pixels, lambda: cuda.trimap(levels, out=levels_out, **on)),
    ]
    levels_out = cuda.empty(size, "uint8")
    return stream, rows


def bandwidth():
    """Bytes a second of a large copy on the device, read and written counted."""
    stream = fm.cuda.Stream()
    # Far more than any second-level cache.
    a, b = (fm.cuda.empty((16384, 8192, 4), "uint8", stream=stream) for _ in range(2))

    def copy():
        fm.cuda.resize(a, (16384, 8192), filter="nearest", out=b, stream=stream)

    kernel = 2 * a.nbytes / percentiles(device_times(copy, stream, 30))[0] * 1e3
    try:
        import torch
    except ImportError:
        return kernel
    x = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    y = torch.empty_like(x)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for _ in range(3):
        y.copy_(x)
    start.record()
    for _ in range(20):
        y.copy_(x)
    end.record()
    torch.cuda.synchronize()
    return max(kernel, 2 * x.numel() * 20 / start.elapsed_time(end) * 1e3)


class TorchNetwork:
    """Convolutions about as heavy as a light matting network's, in half precision."""

    name = "stand-in, PyTorch float16"
    dtype = "float16"

    def __init__(self):
        import torch

        torch.manual_seed(0)
        layers, channels = [], 3
        for width in (16, 32, 64, 64):
            layers += [torch.nn.Conv2d(channels, width, 3, 2, 1), torch.nn.ReLU()]
            channels = width
        layers += [torch.nn.Conv2d(64, 256, 3, 1, 1), torch.nn.PixelShuffle(16), torch.nn.Sigmoid()]
        self.torch = torch
        self.module = torch.nn.Sequential(*layers).half().cuda().eval()
        self.views = {}

    def view(self, array):
        if array.ptr not in self.views:
            self.views[array.ptr] = self.torch.as_tensor(array, device="cuda")
        return self.views[array.ptr]

    def __call__(self, tensor, alpha, stream, slot):
        """Enqueue on a stream, for the pipeline; capture keeps PyTorch's memory for itself."""
        with (
            self.torch.no_grad(),
            self.torch.cuda.stream(self.torch.cuda.ExternalStream(stream)),
        ):
            self.view(alpha).copy_(self.module(self.view(tensor)))

    def run(self, tensor):
        with self.torch.no_grad():
            return self.module(tensor)


def compositing(network, frame, **options):
    return fm.cuda.Pipeline(
        network,
        frame_size=frame.shape[:2],
        size=NETWORK,
        filter="area",
        dtype=network.dtype,
        alpha_dtype=network.dtype,
        result="composite",
        foreground="estimated",
        background=(0, 177, 64),
        **options,
    )


def fastmatte_times(network, frame, overlap, graph, repeats=300):
    pipeline = compositing(network, frame, overlap=overlap, graph=graph)
    out = np.empty_like(frame)
    seconds, last = [], perf_counter()
    for _ in range(repeats + 20):
        if pipeline.waiting == pipeline.depth:
            pipeline.result(out)
            now = perf_counter()
            seconds.append(now - last)
            last = now
        pipeline.submit(frame)
    if graph and pipeline.why_no_graph:
        print(f"  no graph: {pipeline.why_no_graph}")
    return seconds[20:]


def pinned_times(network, frame, repeats=300):
    """The same for a source that writes into pinned memory, as a decoder can."""
    pipeline = compositing(network, frame)
    seconds, last = [], perf_counter()
    for i in range(repeats + 20):
        if pipeline.waiting == pipeline.depth:
            pipeline.peek()
            now = perf_counter()
            seconds.append(now - last)
            last = now
        pinned = pipeline.frame()
        if i < 2:
            pinned[...] = frame
        pipeline.submit()
    return seconds[20:]


def copy_times(frame, repeats=100):
    """Upload and download of one frame at once, pinned, through PyTorch: the other bound."""
    import torch

    up, down = (torch.empty(frame.shape, dtype=torch.uint8).pin_memory() for _ in range(2))
    a, b = (torch.empty(frame.shape, dtype=torch.uint8, device="cuda") for _ in range(2))
    first, second = torch.cuda.Stream(), torch.cuda.Stream()
    seconds = []
    for _ in range(repeats + 10):
        start = perf_counter()
        with torch.cuda.stream(first):
            a.copy_(up, non_blocking=True)
        with torch.cuda.stream(second):
            down.copy_(b, non_blocking=True)
        torch.cuda.synchronize()
        seconds.append(perf_counter() - start)
    return seconds[10:]


def network_times(network, repeats=200):
    import torch

    tensor = torch.rand(1, 3, *NETWORK, device="cuda").half()
    for _ in range(10):
        network.run(tensor)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network.run(tensor)
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        graph.replay()
        torch.cuda.synchronize()
        seconds.append(perf_counter() - start)
    return seconds


def numpy_times(network, frame, repeats=20):
    """OpenCV and NumPy around the network, colours estimated by the paper's formula in OpenCV."""
    import cv2
    import torch

    green = np.float32([0, 177, 64])
    seconds = []
    for _ in range(repeats + 3):
        start = perf_counter()
        small = cv2.resize(frame, NETWORK[::-1], interpolation=cv2.INTER_AREA)
        tensor = (small.astype(np.float32) / 255).transpose(2, 0, 1)[None]
        with torch.no_grad():
            alpha = network.run(torch.from_numpy(tensor).half().cuda())[0, 0].float().cpu().numpy()
        a = cv2.resize(alpha, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
        i = frame.astype(np.float32)
        f = b = i
        for side in (91, 7):
            wa = cv2.blur(a, (side, side))[..., None] + 1e-5
            blurred = cv2.blur(f * a, (side, side)) / wa
            b = cv2.blur(b * (1 - a), (side, side)) / (1 - wa + 2e-5)
            f = np.clip(blurred + a * (i - a * blurred - (1 - a) * b), 0, 255)
        (a * f + (1 - a) * green + 0.5).astype(np.uint8)
        seconds.append(perf_counter() - start)
    return seconds[3:]


def torch_times(network, frame, repeats=100):
    """PyTorch around the network on the GPU, frame by frame, as the published scripts have it."""
    import torch
    from torch.nn import functional

    green = torch.tensor([0.0, 177, 64], device="cuda").view(1, 3, 1, 1) / 255
    seconds = []

    def box(x, side):
        return functional.avg_pool2d(x, side, 1, side // 2, count_include_pad=False)

    for _ in range(repeats + 5):
        start = perf_counter()
        with torch.no_grad():
            i = torch.from_numpy(frame).cuda().permute(2, 0, 1)[None].float() / 255
            tensor = functional.interpolate(i, NETWORK, mode="area").half()
            a = functional.interpolate(
                network.run(tensor).float(), frame.shape[:2], mode="bilinear", align_corners=False
            )
            f = b = i
            for side in (91, 7):
                blurred = box(f * a, side) / (box(a, side) + 1e-5)
                b = box(b * (1 - a), side) / (box(1 - a, side) + 1e-5)
                f = (blurred + a * (i - a * blurred - (1 - a) * b)).clamp(0, 1)
            out = ((a * f + (1 - a) * green) * 255 + 0.5).byte()
            out[0].permute(1, 2, 0).cpu().numpy()
        seconds.append(perf_counter() - start)
    return seconds[5:]


def attempt(rows, name, function, *arguments):
    """Add a row, or what kept it from being measured: the other rows still come."""
    try:
        p50, p99 = percentiles(function(*arguments))
    except Exception as error:
        rows.append({"name": name, "error": f"{type(error).__name__}: {error}"})
        print(f"  {name:34} not measured: {type(error).__name__}: {error}", flush=True)
        return rows[-1]
    rows.append({"name": name, "p50_ms": p50, "p99_ms": p99})
    print(f"  {name:34} p50 {p50:9.4f}  p99 {p99:9.4f} ms  {1e3 / p50:9.1f} a second", flush=True)
    return rows[-1]


def measure_stages(name, rate):
    print(f"\n{name}: stages in a graph, bound by memory", flush=True)
    stream, rows = stages(SIZES[name])
    table = []
    for stage, least, call in rows:
        row = attempt(table, stage, graph_times, call, stream)
        if "p50_ms" in row:
            row["bound_ms"] = least / rate * 1e3
            print(f"{'':36} bound {row['bound_ms']:7.4f} ms, {row['bound_ms'] / row['p50_ms']:.0%}")
    return table


def measure_whole(name):
    print(f"\n{name}: host frame to host composite, colours estimated", flush=True)
    try:
        network = TorchNetwork()
    except ImportError:
        print("  PyTorch is not installed: there is no network to run")
        return []
    print(f"  with {network.name}")
    frame, _ = scene(SIZES[name])
    table = []
    for label, overlap, graph in (
        ("fastmatte", True, True),
        ("fastmatte, one frame at a time", False, True),
        ("fastmatte, no graph", True, False),
    ):
        attempt(table, label, fastmatte_times, network, frame, overlap, graph)
    attempt(table, "fastmatte, pinned frames", pinned_times, network, frame)
    attempt(table, "PyTorch around it", torch_times, network, frame)
    attempt(table, "OpenCV and NumPy around it", numpy_times, network, frame)
    attempt(table, "bound: the network alone", network_times, network)
    attempt(table, "bound: both copies", copy_times, frame)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--size", choices=SIZES, action="append", help="default: all")
    options = parser.parse_args()
    if missing := fm.cuda.missing():
        sys.exit(f"no CUDA device: {missing}")
    device = fm.cuda.devices()[0]
    rate = bandwidth()
    print(f"{device.name}, device-to-device copy {rate / 1e12:.2f} TB/s", flush=True)
    report = {"device": device.name, "bytes_per_second": rate, "sizes": {}}
    for name in options.size or SIZES:
        report["sizes"][name] = {"stages": measure_stages(name, rate), "whole": measure_whole(name)}
        if options.json:
            # After each size, so that a run cut short leaves something.
            options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
