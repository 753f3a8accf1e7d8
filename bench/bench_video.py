"""A 1080p video onto green: fastmatte beside a plain OpenCV loop, and beside its own stages alone.

    python bench/bench_video.py --model portrait.onnx --clip talk.mp4 --threads 2

The loop is what scripts do: VideoCapture, resize and normalise in NumPy, the same ONNX file on ONNX
Runtime with as many threads, alpha resized, a composite in NumPy, VideoWriter; one after the other,
without sound or times. Its colours of soft edges are the frame's own, where fastmatte estimates the
foreground's, and its alpha flickers where fastmatte smooths it. Both run in turns, --rounds times,
and medians are told: milliseconds a frame, and the processors' own time for a frame, which is what
remains to compare where other programs run: on N of them no pipeline takes less than its N-th part.

Each stage is then timed with nothing beside it, on the threads that it has in the pipeline: reading
(decoding, RGB), the network of one frame, matting (all behind the network) and writing (YUV,
encoding). Two frames are in the network at once; what that takes a frame is told too. Clips of
other sizes are enlarged to 1080p first. --memory N watches the memory of a process over N frames.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from collections.abc import Callable
from concurrent.futures import wait
from fractions import Fraction
from pathlib import Path
from time import perf_counter, process_time

import fastmatte as fm
import numpy as np
from fastmatte.clock import StageClock
from fastmatte.stream import Stream
from fastmatte.video.ahead import ahead_of
from fastmatte.video.backgrounds import Still
from fastmatte.video.codecs import choose
from fastmatte.video.matting import Matting
from fastmatte.video.segments import Segments

SIZE = (1080, 1920)
GREEN = (0, 255, 0)
WARM = 5
#: Frames of each stage alone.
ALONE = 40


def enlarged(clip: Path, target: Path, frames: int) -> Path:
    """Make a 1080p H.264 file of so many frames, the clip forwards again and again."""
    import av

    with av.open(str(target), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "18"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        count = 0
        while count < frames:
            with av.open(str(clip)) as source:
                for frame in source.decode(video=0):
                    large = frame.reformat(SIZE[1], SIZE[0], "yuv420p")
                    large.pts, large.time_base = count, Fraction(1, 30)
                    large.pict_type = 0
                    output.mux(stream.encode(large))
                    count += 1
                    if count == frames:
                        break
        output.mux(stream.encode(None))
    return target


def plain_loop(clip: Path, target: Path, matter: fm.Matter, threads: int) -> tuple[int, float]:
    """Run the usual script; return frames and seconds, the first frames left out."""
    import cv2
    import onnxruntime

    cv2.setNumThreads(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        matter.info.model, options, providers=["CPUExecutionProvider"]
    )
    height, width = matter._pipeline.input_size(SIZE)
    normal = matter.info.normalisation
    mean, std = np.float32(normal.mean), np.float32(normal.std)
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    capture = cv2.VideoCapture(str(clip))
    writer = cv2.VideoWriter(str(target), cv2.VideoWriter_fourcc(*"mp4v"), 30, SIZE[::-1])
    green = np.full((*SIZE, 3), GREEN[::-1], np.uint8)
    count, begin = 0, perf_counter()
    while True:
        there, frame = capture.read()
        if not there:
            break
        if count == WARM:
            begin = perf_counter()
        small = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), (width, height))
        tensor = (small.astype(np.float32) * np.float32(normal.scale) - mean) / std
        tensor = np.ascontiguousarray(tensor.transpose(2, 0, 1)[None])
        alpha = session.run([output], {name: tensor})[0][0, 0]
        alpha = cv2.resize(alpha, SIZE[::-1])[..., None]
        writer.write((frame * alpha + green * (1 - alpha)).astype(np.uint8))
        count += 1
    seconds = perf_counter() - begin
    writer.release()
    capture.release()
    return count - WARM, seconds


def stages_alone(clip: Path, folder: Path, matter: fm.Matter) -> dict[str, tuple[float, float]]:
    """Return milliseconds a frame, and the processors', of each stage with nothing beside it."""
    pool = fm.video.Pool()
    source = fm.video.FileSource(clip)
    found = {}

    def timed(name: str, count: int, work: Callable[[], object]) -> None:
        begin, busy = perf_counter(), process_time()
        work()
        found[name] = 1e3 * (perf_counter() - begin) / count, 1e3 * (process_time() - busy) / count

    frames = []

    def read() -> None:
        while len(frames) < ALONE and (frame := source.read(pool)) is not None:
            frames.append(frame)

    timed("read", ALONE, read)
    frames = frames[:ALONE]
    source.close()
    ahead = ahead_of(matter, StageClock())
    stream = matter.stream()
    if ahead is not None:
        stream = Stream(ahead.pipeline, "rgb", None, "reset", smoothing="auto")
        for frame in frames[:WARM]:
            ahead.submit(frame.pixels).result()
        timed("network", len(frames), lambda: [ahead.submit(f.pixels).result() for f in frames])
        timed("two at once", len(frames), lambda: wait([ahead.submit(f.pixels) for f in frames]))
        for frame in frames:
            frame.seen = ahead.submit(frame.pixels)
        wait([frame.seen for frame in frames])
    matting = Matting(
        stream,
        "composite",
        Still(GREEN),
        linear_light=False,
        every=1,
        checkpoint=None,
        origin=0,
        time_base=source.format.time_base,
        threads=stream.threads,
    )
    done = [matting(frame, pool) for frame in frames[:WARM]]
    timed("matte", len(frames) - WARM, lambda: done.extend(matting(f, pool) for f in frames[WARM:]))
    if ahead is not None:
        ahead.close()
    target = folder / "alone.mp4"
    sink = Segments(
        folder / "parts", choose(target, None, None, transparent=False), source.format, {}
    )

    def write() -> None:
        for frame in done:
            sink.write(frame)
        sink.finish()

    timed("write", len(done), write)
    return found


def matter_of(model: str, engine: str, threads: int) -> fm.Matter:
    """Open a model with "openvino" or "openvino:bf16"."""
    name, _, precision = engine.partition(":")
    return fm.Matter(model, engine=name, precision=precision or "auto", threads=threads)


def resident() -> float:
    """Return this process's memory in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def memory(clip: Path, target: Path, matter: fm.Matter, every: int) -> list[float]:
    """Return the memory after each hundred frames."""
    seen: list[float] = []
    count = 0

    def advance(frames: int) -> None:
        nonlocal count
        count += frames
        if count % 100 == 0:
            seen.append(resident())

    fm.video.process(
        clip, target, matter, background=GREEN, overwrite=True, every=every, advance=advance
    )
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--clip", required=True, type=Path)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--engine",
        action="append",
        metavar="NAME[:PRECISION]",
        help="as openvino or openvino:bf16; onnxruntime without it; may be repeated",
    )
    parser.add_argument("--memory", type=int, metavar="FRAMES", help="watch memory instead")
    parser.add_argument("--every", type=int, default=1, help="of --memory, to be sooner there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = enlarged(given.clip, folder / "clip.mp4", given.memory or given.frames)
        print(f"{platform.processor() or platform.machine()}, {given.threads} threads")
        matters = {
            engine: matter_of(given.model, engine, given.threads)
            for engine in given.engine or ["onnxruntime"]
        }
        if given.memory:
            for engine, matter in matters.items():
                seen = memory(clip, folder / "out.mp4", matter, given.every)
                print(f"{engine}: MB after each hundred frames", *(f"{s:.0f}" for s in seen))
            return
        rounds: dict[str, list[tuple[float, float]]] = {}
        for _ in range(given.rounds):
            begin = process_time()
            first = next(iter(matters.values()))
            count, seconds = plain_loop(clip, folder / "loop.mp4", first, given.threads)
            busy = 1e3 * (process_time() - begin) / (count + WARM)
            rounds.setdefault("OpenCV loop", []).append((1e3 * seconds / count, busy))
            for engine, matter in matters.items():
                begin = process_time()
                summary = fm.video.process(
                    clip, folder / "out.mp4", matter, background=GREEN, overwrite=True
                )
                busy = 1e3 * (process_time() - begin) / summary.frames
                assert summary.frames == given.frames
                rounds.setdefault(engine, []).append((1e3 / summary.frames_per_second, busy))
        medians = {name: np.median(rows, 0).tolist() for name, rows in rounds.items()}
        loop, loop_busy = medians.pop("OpenCV loop")
        print(
            f"OpenCV loop: {loop:.1f} ms a frame, {1e3 / loop:.1f} fps, processors {loop_busy:.1f}"
        )
        for engine, (ours, busy) in medians.items():
            print(f"fastmatte, {engine}: {ours:.1f} ms a frame, {1e3 / ours:.1f} fps", end="")
            print(f", processors {busy:.1f}: on {given.threads} {busy / given.threads:.1f} at best")
            print(f"  {loop / ours:.2f} times the loop; {loop_busy / busy:.2f} by processors' time")
            alone = stages_alone(clip, folder, matters[engine])
            said = (f"{name} {ms:.1f} ({used:.1f})" for name, (ms, used) in alone.items())
            print("  alone, ms a frame (processors):", ", ".join(said))
            alone.pop("two at once", None)
            slowest = max(alone, key=lambda name: alone[name][0])
            print(f"  {ours / alone[slowest][0]:.2f} of the slowest single stage, {slowest}")


if __name__ == "__main__":
    main()
