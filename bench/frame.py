"""Frame to composite through one stream: every stage by the stream's own clock, and from outside.

    python bench/frame.py --model selfie.onnx --size 1080 1920 --threads 1

The outside figure times whole calls and, in a second session, the network alone, so it owes nothing
to the stream's clock. The last line runs frames of 32 x 32 through a network of no size worth
mentioning: what is left is Python, the bindings and tiny kernels, an upper bound of what Python
costs between the kernels of a frame.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import fastmatte as fm
import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import graphs


def milliseconds(function: Callable[[], object]) -> float:
    start = perf_counter()
    function()
    return (perf_counter() - start) * 1e3


def scene(height: int, width: int, seed: int) -> np.ndarray:
    """Something bright in the middle of noise: enough of an edge for every stage to do its work."""
    y, x = np.mgrid[:height, :width]
    inside = np.hypot((y - height / 2) / height, (x - width / 2) / width) < 0.3
    noise = np.random.default_rng(seed).integers(0, 120, (height, width, 3))
    return (noise + inside[..., None] * 120).astype(np.uint8)


def bare_network(model: str, threads: int) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    [source] = session.get_inputs()
    shape = [side if isinstance(side, int) else 1 for side in source.shape]
    feed = {source.name: np.random.default_rng(0).random(shape, np.float32)}
    return lambda: session.run(None, feed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="ONNX file of fixed input size")
    parser.add_argument("--image", type=Path, help="a photograph, enlarged to the frame's size")
    parser.add_argument("--size", nargs=2, type=int, default=(1080, 1920))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=60)
    arguments = parser.parse_args()

    height, width = arguments.size
    frames = [scene(height, width, seed) for seed in range(3)]
    if arguments.image:
        from PIL import Image

        photo = np.asarray(Image.open(arguments.image).convert("RGB"))
        frames = [fm.kernels.resize(photo, (height, width), filter="bicubic")]
    plate = np.full((height, width, 3), (30, 90, 160), np.uint8)
    canvas = np.empty_like(plate)
    network = bare_network(arguments.model, arguments.threads)
    matter = fm.Matter(arguments.model, threads=arguments.threads)
    print(f"{matter!r}, {fm.cpu.active()}, {arguments.threads} thread(s), {width} x {height}")
    for foreground in ("image", "estimated"):
        # Smoothing is another kernel, which fastmatte bench has.
        with matter.stream(smoothing="none") as stream:
            totals, alone = [], []
            for i in range(arguments.frames + 5):
                frame = frames[i % len(frames)]
                alone.append(milliseconds(network))
                start = perf_counter()
                stream(frame).composite(plate, foreground=foreground, out=canvas)
                totals.append((perf_counter() - start) * 1e3)
            unknown = ((stream(frames[0]).alpha > 0) & (stream(frames[0]).alpha < 1)).mean()
        stages = stream.stats.stages
        outside = np.median(np.array(totals[5:]) - np.array(alone[5:]))
        inside = sum(stage.p50 for name, stage in stages.items() if name != "network")
        print(f"\nforeground={foreground!r}, alpha strictly between 0 and 1 in {unknown:.0%}")
        for name, stage in stages.items():
            print(
                f"  {name:11} p50 {stage.p50:7.3f}   p95 {stage.p95:7.3f}   p99 {stage.p99:7.3f} ms"
            )
        print(f"  all but the network: {inside:.2f} ms by the stages' p50")
        print(f"  from outside:        {outside:.2f} ms (whole call less the bare network's run)")

    with tempfile.TemporaryDirectory() as folder:
        tiny = fm.Matter(graphs.modnet(Path(folder) / "tiny.onnx"), size=(32, 32), threads=1)
        frame, out = scene(32, 32, 0), np.empty((32, 32, 3), np.uint8)
        with tiny.stream(smoothing="none") as stream:
            runs = [
                milliseconds(
                    lambda: stream(frame).composite((0, 0, 0), foreground="image", out=out)
                )
                for _ in range(2000)
            ]
        spent = np.median(runs[100:]) - stream.stats.stages["network"].p50
        print(f"\nPython and bindings per frame: at most {spent * 1e3:.0f} µs")


if __name__ == "__main__":
    main()
