"""What a frame costs on a GPU: each stage, and host frame in to host composite out.

Run: python bench/bench_gpu.py [--json gpu.json] [--model modnet.onnx] [--engine tensorrt]

Contestants of the whole way, batch 1, with the same network in the middle:

- fastmatte, Matter.pipeline(): one graph launch a frame, uploads and downloads beside computing;
- NumPy and OpenCV before and after the network, as most published wrappers have it;
- PyTorch before and after, on the GPU, in the style of the published scripts;
- the network alone, and the copies alone: the bounds.

The network is an ONNX file, the one that comes along unless --model names others. What runs it is
TensorRT where it is installed, ONNX Runtime where it has a GPU, and PyTorch in half precision, each
where it is there or asked for by --engine: the tables say which, and what is not there is a row
that says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import lzma
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import fastmatte as fm
import fastmatte.cuda
import numpy as np
from fastmatte.engines import ENGINES
from fastmatte.portraits import Sitter

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import device_engines

SIZES = {"720p": (720, 1280), "1080p": (1080, 1920), "4k": (2160, 3840)}
NETWORK = (512, 512)
GREEN = (0, 177, 64)
#: Of each contestant: long enough for a 99th percentile of what is quick, short of a lease's end.
SECONDS, FEWEST, MOST = 2.5, 8, 400


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


def nv12_of(frame):
    """The frame as a decoder gives it."""
    y, u, v = fm.kernels.rgb_to_yuv(frame)
    return np.concatenate([y, np.stack([u, v], -1).reshape(u.shape[0], -1)])


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
    joined = nv12_of(frame)
    nv12 = cuda.to_device(joined, stream=stream)
    on = {"stream": stream}
    tensor = cuda.empty((1, 3, *NETWORK), "float32")
    half = cuda.empty((1, 3, *NETWORK), "float16")
    grown, levels = cuda.empty(size, "float32"), cuda.empty(size, "uint8")
    colours, rgba = cuda.empty((*size, 3), "uint8"), cuda.empty((*size, 4), "uint8")
    shrunk = cuda.empty((size[0] // 2, size[1] // 2, 3), "uint8")
    refine = {"radius": 3, "eps": 1e-4, "unsure": 8.0}

    # A fast wrong answer is a failure.
    cuda.composite(image, GREEN, a, out=colours, **on)
    expected = oracles.composite(frame, GREEN, alpha)
    np.testing.assert_array_equal(colours.numpy(), expected)
    twin = fm.kernels.guided_upsample(frame, small, **refine)
    cuda.guided_upsample(image, s, out=grown, **refine, **on)
    assert np.abs(grown.numpy() - twin).max() < 4e-5
    cuda.yuv_to_rgb(nv12, out=colours, **on)
    twin = fm.kernels.yuv_to_rgb(joined, pixel_format="nv12")
    np.testing.assert_array_equal(colours.numpy(), twin)
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
            "yuv_to_rgb",
            pixels * 9 // 2,
            lambda: cuda.yuv_to_rgb(nv12, out=colours, **on),
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
            lambda: cuda.composite(image, GREEN, a, out=colours, **on),
        ),
        (
            "composite, uint8 alpha",
            7 * pixels,
            lambda: cuda.composite(image, GREEN, levels, out=colours, **on),
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


def repeated(step):
    """Seconds between the ends of steps that follow one another."""
    for _ in range(3):
        step()
    seconds, start = [], perf_counter()
    last = start
    while len(seconds) < FEWEST or (last - start < SECONDS and len(seconds) < MOST):
        step()
        now = perf_counter()
        seconds.append(now - last)
        last = now
    return seconds


def pipeline_of(matter, frame, graph, **options):
    """The pipeline of a matter, with every frame enqueued anew where there shall be no graph."""
    if graph:
        return matter.pipeline(frame.shape[:2], background=GREEN, **options)
    serving = matter._pipeline
    outcome = serving.capture.outcome
    network = serving._network(matter.input_size(frame.shape[:2]))
    network.why_no_graph = "left out to compare"
    pipeline = serving.open(
        network,
        frame.shape[:2],
        "rgb",
        result="composite",
        background=GREEN,
        foreground="estimated",
    )
    serving.capture.outcome = outcome
    return pipeline


def fastmatte_times(matter, frame, *, graph=True, pinned=False, there=False, **options):
    """Frame after frame: host to host, from pinned memory, or on the device all along."""
    options |= {"results": "device"} if there else {}
    pipeline = pipeline_of(matter, frame, graph, **options)
    if graph and pipeline.why_no_graph:
        print(f"  no graph: {pipeline.why_no_graph}")
    out, stream = np.empty_like(frame), fm.cuda.Stream()
    if there:
        out = fm.cuda.empty(frame.shape, "uint8", stream=stream)
        nv12 = options.get("pixel_format") == "nv12"
        frame = fm.cuda.to_device(nv12_of(frame) if nv12 else frame, stream=stream)
    elif pinned:
        for _ in range(2):
            pipeline.frame()[...] = frame
            pipeline.submit()
            pipeline.peek()

    def step():
        if pinned:
            pipeline.submit()
        else:
            pipeline.submit(frame, stream=stream)
        if pipeline.waiting == pipeline.depth:
            pipeline.peek() if pinned else pipeline.result(out, stream=stream)
            if there:
                stream.synchronize()

    return repeated(step)


def stream_times(matter, frame):
    """A stream's mattes, alpha on the GPU and all else on the processor."""
    out = np.empty_like(frame)
    with matter.stream(smoothing="none", cuts="ignore") as stream:
        return repeated(lambda: stream(frame).composite(GREEN, out=out))


def network_of(matter, frame):
    """The network with memory of its own: a stream, its tensors, and what enqueues it."""
    network = matter._pipeline._network(matter.input_size(frame.shape[:2]))
    plan, stream = network.plan, fm.cuda.Stream()
    ends = [
        fm.cuda.empty(plan.tensors[n].shape, plan.tensors[n].dtype, stream=stream)
        for n in (plan.image, plan.alpha)
    ]
    ends[0].write(np.random.default_rng(0).random(ends[0].shape).astype(ends[0].dtype), stream)
    return network, stream, *ends


def network_times(matter, frame):
    """By events on the device; in a graph where it can be in one."""
    network, stream, tensor, alpha = network_of(matter, frame)

    def run():
        network.run(tensor, alpha, stream.ptr, 0)

    run()
    stream.synchronize()
    if network.why_no_graph is None:
        graph = fm.cuda.Graph(run, stream=stream)
        return device_times(lambda: graph.launch(stream), stream)
    return device_times(run, stream)


def copy_times(frame):
    """Upload and download of one frame at once, pinned, through PyTorch: the other bound."""
    import torch

    up, down = (torch.empty(frame.shape, dtype=torch.uint8).pin_memory() for _ in range(2))
    a, b = (torch.empty(frame.shape, dtype=torch.uint8, device="cuda") for _ in range(2))
    first, second = torch.cuda.Stream(), torch.cuda.Stream()

    def step():
        with torch.cuda.stream(first):
            a.copy_(up, non_blocking=True)
        with torch.cuda.stream(second):
            down.copy_(b, non_blocking=True)
        torch.cuda.synchronize()

    return repeated(step)


def levels_of(matter):
    values = matter.info.normalisation
    return [np.float32(x) for x in (values.scale, values.mean, values.std)]


def numpy_times(matter, frame):
    """OpenCV and NumPy around the network, colours estimated by the paper's formula in OpenCV."""
    import cv2

    network, stream, tensor, alpha = network_of(matter, frame)
    scale, mean, std = levels_of(matter)
    green = np.float32(GREEN)

    def step():
        small = cv2.resize(frame, NETWORK[::-1], interpolation=cv2.INTER_AREA)
        values = ((small.astype(np.float32) * scale - mean) / std).transpose(2, 0, 1)[None]
        tensor.write(np.ascontiguousarray(values).astype(tensor.dtype), stream)
        network.run(tensor, alpha, stream.ptr, 0)
        found = alpha.numpy(stream=stream)[0, 0].astype(np.float32)
        a = cv2.resize(found, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
        i = frame.astype(np.float32)
        f = b = i
        for side in (91, 7):
            wa = cv2.blur(a, (side, side))[..., None] + 1e-5
            blurred = cv2.blur(f * a, (side, side)) / wa
            b = cv2.blur(b * (1 - a), (side, side)) / (1 - wa + 2e-5)
            f = np.clip(blurred + a * (i - a * blurred - (1 - a) * b), 0, 255)
        return (a * f + (1 - a) * green + 0.5).astype(np.uint8)

    return repeated(step)


def torch_times(matter, frame):
    """PyTorch around the network on the GPU, frame by frame, as the published scripts have it."""
    import torch
    from torch.nn import functional

    network, stream, tensor, alpha = network_of(matter, frame)
    there = torch.cuda.ExternalStream(stream.ptr)
    given, made = (torch.as_tensor(x, device="cuda") for x in (tensor, alpha))
    scale, mean, std = levels_of(matter)
    mean, std = (torch.from_numpy(x.reshape(1, 3, 1, 1)).cuda() for x in (mean, std))
    green = torch.tensor(GREEN, dtype=torch.float32, device="cuda").view(1, 3, 1, 1) / 255

    def box(x, side):
        return functional.avg_pool2d(x, side, 1, side // 2, count_include_pad=False)

    def step():
        with torch.no_grad(), torch.cuda.stream(there):
            i = torch.from_numpy(frame).cuda().permute(2, 0, 1)[None].float() / 255
            small = functional.interpolate(i, NETWORK, mode="area") * 255
            given.copy_((small * float(scale) - mean) / std)
            network.run(tensor, alpha, stream.ptr, 0)
            a = functional.interpolate(
                made.float(), frame.shape[:2], mode="bilinear", align_corners=False
            )
            f = b = i
            for side in (91, 7):
                blurred = box(f * a, side) / (box(a, side) + 1e-5)
                b = box(b * (1 - a), side) / (box(1 - a, side) + 1e-5)
                f = (blurred + a * (i - a * blurred - (1 - a) * b)).clamp(0, 1)
            out = ((a * f + (1 - a) * green) * 255 + 0.5).byte()
            return out[0].permute(1, 2, 0).cpu().numpy()

    return repeated(step)


def deviation(made, expected):
    """Mean and largest difference in levels."""
    difference = np.abs(made.astype(np.int16) - expected)
    return float(difference.mean()), int(difference.max())


def attempt(rows, name, function, *arguments, **options):
    """Add a row, or what kept it from being measured: the other rows still come."""
    try:
        p50, p99 = percentiles(function(*arguments, **options))
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


def measure_whole(name, matter, right):
    height, width = SIZES[name]
    print(f"\n{name}: host frame to host composite, colours estimated", flush=True)
    frame = Sitter((height, width), seed=1).frame(0).image
    [made] = matter.pipeline(frame.shape[:2], background=GREEN).results([frame])
    # A fast wrong answer is a failure: of what is around the network here, of the network there.
    mean, most = deviation(made, matter(frame).composite(GREEN))
    assert mean < 0.5, f"{mean:.3f} levels from what the processor makes of the same alpha"
    print(f"  from the processor's composite of this alpha: {mean:.3f} levels, {most} at most")
    mean, most = deviation(made, right(frame).composite(GREEN))
    print(f"  from the processor's in fp32: {mean:.3f} levels on average, {most} at most")
    table, decoded = [], {"there": True, "pixel_format": "nv12"}
    rows = [
        attempt(table, "fastmatte", fastmatte_times, matter, frame),
        attempt(table, "fastmatte, pinned frames", fastmatte_times, matter, frame, pinned=True),
        attempt(table, "fastmatte, frames on the GPU", fastmatte_times, matter, frame, there=True),
        attempt(table, "fastmatte, NV12 on the GPU", fastmatte_times, matter, frame, **decoded),
        attempt(table, "fastmatte, one at a time", fastmatte_times, matter, frame, overlap=False),
        attempt(table, "fastmatte, no graph", fastmatte_times, matter, frame, graph=False),
        attempt(table, "fastmatte, a stream's mattes", stream_times, matter, frame),
        attempt(table, "PyTorch around it", torch_times, matter, frame),
        attempt(table, "OpenCV and NumPy around it", numpy_times, matter, frame),
        attempt(table, "bound: the network alone", network_times, matter, frame),
        attempt(table, "bound: both copies", copy_times, frame),
    ]
    found = {row["name"]: row["p50_ms"] for row in rows if "p50_ms" in row}
    bounds = {name: t for name, t in found.items() if name.startswith("bound")}
    if "fastmatte" in found and len(bounds) == 2:
        larger = max(bounds, key=bounds.get)
        best = min(found["fastmatte"], found.get("fastmatte, pinned frames", np.inf))
        print(
            f"  of the larger bound, {larger.removeprefix('bound: ')}: {bounds[larger] / best:.0%}"
        )
        for peer in ("OpenCV and NumPy around it", "PyTorch around it"):
            if peer in found:
                print(f"  {peer}: {found[peer] / found['fastmatte']:.1f} times as long")
    return table


def engines_of(asked):
    """Name of each engine that is here, how it is opened, and words for those that are not."""
    have = {}
    if importlib.util.find_spec("torch") is None:
        print("engine torch: PyTorch is not installed")
    else:
        ENGINES["torch"] = device_engines.Kind(device_engines.TorchInHalf, fm.cuda)
        have["torch"] = "auto"
    for name in ("cuda", "tensorrt"):
        if ENGINES[name].version() is None:
            print(f"engine {name}: not installed, {ENGINES[name].requirement}")
        else:
            have[name] = "fp16" if name == "tensorrt" else "auto"
    return {name: kind for name, kind in have.items() if not asked or name in asked}


def opened(path, engine, precision, folder):
    """The network in the middle, of one size, and the same on the processor."""
    path = Path(path)
    if path.suffix == ".xz":
        unpacked = folder / path.stem
        if not unpacked.exists():
            unpacked.write_bytes(lzma.decompress(path.read_bytes()))
        path = unpacked
    name = path if path.exists() else str(path)
    start = perf_counter()
    matter = fm.Matter(name, engine=engine, precision=precision, size=NETWORK)
    right = fm.Matter(name, engine="onnxruntime", size=NETWORK)
    info = matter.info
    print(
        f"\n{Path(info.model).name} at {NETWORK[0]} x {NETWORK[1]} on {info.engine} "
        f"{info.engine_version if engine != 'torch' else ''} {info.precision}, run by {engine}, "
        f"ready in {perf_counter() - start:.0f} s",
        flush=True,
    )
    return matter, right


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--size", choices=SIZES, action="append", help="default: all")
    parser.add_argument("--model", action="append", help="ONNX file or name; default: portrait")
    parser.add_argument("--engine", action="append", help="torch, cuda, tensorrt; default: all")
    parser.add_argument("--no-stages", action="store_true", help="whole frames alone")
    options = parser.parse_args()
    if missing := fm.cuda.missing():
        sys.exit(f"no CUDA device: {missing}")
    device = fm.cuda.devices()[0]
    rate = bandwidth()
    print(f"{device.name}, device-to-device copy {rate / 1e12:.2f} TB/s", flush=True)
    report = {"device": device.name, "bytes_per_second": rate, "stages": {}, "whole": []}

    def keep():
        # After each table, so that a run cut short leaves something.
        if options.json:
            options.json.write_text(json.dumps(report, indent=1))

    sizes = options.size or SIZES
    with tempfile.TemporaryDirectory() as folder:
        for model in options.model or ["portrait"]:
            for engine, precision in engines_of(options.engine).items():
                try:
                    matter, right = opened(model, engine, precision, Path(folder))
                except Exception as error:
                    print(f"{model} on {engine}: {type(error).__name__}: {error}", flush=True)
                    continue
                for name in sizes:
                    try:
                        rows = measure_whole(name, matter, right)
                    except Exception as error:
                        print(f"  not measured: {type(error).__name__}: {error}", flush=True)
                        continue
                    graph = matter.info.graph
                    report["whole"].append(
                        {"model": model, "engine": engine, "size": name, "rows": rows}
                        | {"graph": graph}
                    )
                    print(f"  graph: {graph}")
                    keep()
    for name in () if options.no_stages else sizes:
        try:
            report["stages"][name] = measure_stages(name, rate)
        except Exception as error:
            print(f"  not measured: {type(error).__name__}: {error}", flush=True)
        keep()


if __name__ == "__main__":
    main()
