"""From image to alpha, cut-out or composite: fastmatte beside what the networks' authors run.

    python bench/bench_pipeline.py --models ../shared/data/models --threads 1

In each group everybody runs the same ONNX file on the same images with as many threads, in turns,
in one process. ONNX Runtime's own calls are timed as they happen; the rest of a call is everything
but the network. Peak memory is that of a process of its own which imports, loads and runs one
contender. The authors' scripts are restated from images in memory to the result in memory; files,
decoding and encoding are left out. rembg is the package from PyPI with a session of its own.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

PHOTO = Path(__file__).parent.parent / "examples" / "eileen_collins.jpg"
GREEN = (120, 255, 155)
#: At least this many times faster than a peer, all but the network.
AT_LEAST = 5.0

Run = Callable[[np.ndarray], np.ndarray]


def session_of(model: Path, threads: int):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def fastmatte_alpha(refine: str) -> Callable[[Path, int], Run]:
    def make(model: Path, threads: int) -> Run:
        import fastmatte as fm

        matter = fm.Matter(model, engine="onnxruntime", threads=threads, refine=refine)
        return lambda image: matter.alpha(image, out=np.empty(image.shape[:2], np.uint8))

    return make


def fastmatte_cutout(model: Path, threads: int) -> Run:
    import fastmatte as fm

    matter = fm.Matter(model, engine="onnxruntime", threads=threads)
    return lambda image: matter(image).cutout()


def fastmatte_cutout_as_is(model: Path, threads: int) -> Run:
    import fastmatte as fm

    matter = fm.Matter(model, engine="onnxruntime", threads=threads)
    return lambda image: fm.kernels.cutout(image, matter(image).alpha, threads=threads)


def fastmatte_composite(model: Path, threads: int) -> Run:
    import fastmatte as fm

    stream = fm.Matter(model, engine="onnxruntime", threads=threads).stream()
    return lambda image: stream(image).composite(GREEN, out=np.empty_like(image))


def modnet_script(model: Path, threads: int) -> Run:
    """onnx/inference_onnx.py of ZHKKKe/MODNet: float64 at full size, areas, truncation."""
    import cv2

    cv2.setNumThreads(threads)
    session = session_of(model, threads)

    def run(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        rows, columns = height, width
        if max(height, width) < 512 or min(height, width) > 512:
            if width >= height:
                rows, columns = 512, int(width / height * 512)
            else:
                rows, columns = int(height / width * 512), 512
        scaled = (columns - columns % 32, rows - rows % 32)
        pixels = cv2.resize((image - 127.5) / 127.5, scaled, interpolation=cv2.INTER_AREA)
        tensor = pixels.transpose(2, 0, 1)[None].astype("float32")
        [alpha] = session.run(["output"], {"input": tensor})
        levels = (np.squeeze(alpha) * 255).astype("uint8")
        return cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA)

    return run


def rvm_script(model: Path, threads: int) -> Run:
    """documentation/inference.md of RobustVideoMatting, with inference.py's composite."""
    session = session_of(model, threads)
    state = [np.zeros((1, 1, 1, 1), np.float32)] * 4
    background = np.array(GREEN, np.float32)[:, None, None] / 255

    def run(image: np.ndarray) -> np.ndarray:
        ratio = np.array([min(512 / max(image.shape[:2]), 1)], np.float32)
        source = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32)[None] / 255
        names = [f"r{i}i" for i in range(1, 5)]
        feed = {"src": source, "downsample_ratio": ratio, **dict(zip(names, state, strict=True))}
        foreground, alpha, *state[:] = session.run(["fgr", "pha", "r1o", "r2o", "r3o", "r4o"], feed)
        composite = foreground * alpha + background * (1 - alpha)
        return (composite[0] * 255).astype(np.uint8).transpose(1, 2, 0).copy()

    return run


def rembg_script(model: Path, threads: int) -> Run:
    """rembg/sessions/u2net_custom.py without the package around it."""
    from PIL import Image

    session = session_of(model, threads)
    mean, deviation = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))

    def run(image: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(image)
        small = np.array(picture.resize((320, 320), Image.Resampling.LANCZOS))
        pixels = (small / max(small.max(), 1e-6) - mean) / deviation
        tensor = pixels.transpose(2, 0, 1)[None].astype(np.float32)
        alpha = session.run(None, {session.get_inputs()[0].name: tensor})[0][0, 0]
        stretched = (alpha - alpha.min()) / (alpha.max() - alpha.min())
        levels = Image.fromarray((stretched * 255).astype("uint8"), mode=None)
        return np.asarray(levels.resize(picture.size, Image.Resampling.LANCZOS))

    return run


def rembg_package(**options: bool) -> Callable[[Path, int], Run]:
    def make(model: Path, threads: int) -> Run:
        # It looks for models of the user's own in this folder only.
        os.environ["U2NET_HOME"] = str(model.parent)
        os.environ["OMP_NUM_THREADS"] = str(threads)
        import cv2
        import rembg

        cv2.setNumThreads(threads)
        session = rembg.new_session("u2net_custom", model_path=str(model))
        return lambda image: rembg.remove(image, session=session, **options)

    return make


@dataclass(frozen=True)
class Contender:
    name: str
    make: Callable[[Path, int], Run]
    #: The library without which it cannot take part.
    needs: str = "onnxruntime"
    #: Whether it is to find the same alpha; a guided one follows the image's edges instead.
    alike: bool = True


@dataclass(frozen=True)
class Group:
    """Those who make the same of the same file; fastmatte, like for like, is the first.

    tolerance: the largest mean difference of their results, in levels, and why; of cut-outs, their
               alpha, for rembg multiplies colours by it.
    """

    name: str
    file: str
    contenders: tuple[Contender, ...]
    tolerance: tuple[float, str]


UNLIKE = (8.0, "rembg divides by the brightest level and stretches alpha per image")

GROUPS = (
    Group(
        "MODNet, alpha",
        "modnet",
        (
            Contender("fastmatte", fastmatte_alpha("none")),
            Contender("fastmatte, guided", fastmatte_alpha("guided"), alike=False),
            Contender("MODNet's inference_onnx.py", modnet_script, "cv2"),
        ),
        (3.0, "truncation is half a level, and enlarging by area another than bilinear"),
    ),
    Group(
        "Robust Video Matting, composite",
        "rvm",
        (
            Contender("fastmatte", fastmatte_composite),
            Contender("RVM's inference loop", rvm_script),
        ),
        (1.0, "truncation is half a level"),
    ),
    Group(
        "U2-Net's contract, alpha",
        "salient",
        (
            Contender("fastmatte", fastmatte_alpha("none")),
            Contender("fastmatte, guided", fastmatte_alpha("guided"), alike=False),
            Contender("rembg, only_mask", rembg_package(only_mask=True), "rembg"),
            Contender("rembg's session, restated", rembg_script, "PIL"),
        ),
        UNLIKE,
    ),
    Group(
        "U2-Net's contract, cut-out",
        "salient",
        (
            Contender("fastmatte, colours as they are", fastmatte_cutout_as_is),
            Contender("fastmatte, colours estimated", fastmatte_cutout),
            Contender("rembg", rembg_package(), "rembg"),
        ),
        UNLIKE,
    ),
    Group(
        "U2-Net's contract, cut-out with colours estimated",
        "salient",
        (
            Contender("fastmatte", fastmatte_cutout),
            Contender("rembg, decontaminate", rembg_package(decontaminate=True), "rembg"),
        ),
        UNLIKE,
    ),
)


def models(folder: Path, out: Path) -> dict[str, Path]:
    """Make what the groups run: real graphs, at the sizes that everybody in a group takes."""
    import onnx

    modnet = out / "modnet.onnx"
    modnet.write_bytes(lzma.decompress((folder / "modnet_random.onnx.xz").read_bytes()))
    # rembg feeds 320 x 320. CSNet is all convolutions: only the size it was exported at stands in
    # the way, where it is declared and where alpha is brought back to it.
    csnet = onnx.load(folder / "csnet-L-x2.onnx")
    for tensor in (*csnet.graph.input, *csnet.graph.output):
        for side in tensor.type.tensor_type.shape.dim[2:]:
            side.dim_value = 320
    for node in csnet.graph.node:
        if node.op_type == "Constant":
            value = onnx.numpy_helper.to_array(node.attribute[0].t)
            if value.tolist() == [224, 224]:
                sides = onnx.numpy_helper.from_array(np.full(2, 320, value.dtype))
                node.attribute[0].t.CopyFrom(sides)
    onnx.save(csnet, out / "salient.onnx")
    return {
        "modnet": modnet,
        "rvm": folder / "rvm_mobilenetv3_fgf.onnx",
        "salient": out / "salient.onnx",
    }


def tiny(out: Path) -> dict[str, Path]:
    """Make graphs of the same signatures that are small enough to compute by hand."""
    import graphs

    graphs.brightness(out / "s.onnx", shape=(1, 3, 320, 320), out_shape=(1, 1, 320, 320))
    return {
        "modnet": graphs.modnet(out / "m.onnx"),
        "rvm": graphs.rvm(out / "r.onnx"),
        "salient": out / "s.onnx",
    }


@contextmanager
def watched() -> Iterator[list[float]]:
    """Time ONNX Runtime's calls, whoever makes them, into the list's only item."""
    from onnxruntime import InferenceSession

    spent = [0.0]

    def timed(original):
        def run(*arguments, **options):
            start = perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                spent[0] += perf_counter() - start

        return run

    calls = {name: getattr(InferenceSession, name) for name in ("run", "run_with_iobinding")}
    for name, original in calls.items():
        setattr(InferenceSession, name, timed(original))
    try:
        yield spent
    finally:
        for name, original in calls.items():
            setattr(InferenceSession, name, original)


def photos(height: int, width: int) -> list[np.ndarray]:
    import fastmatte as fm
    from PIL import Image

    photo = np.array(Image.open(PHOTO).convert("RGB"))
    frame = fm.kernels.resize(photo, (height, width), filter="bicubic")
    return [frame, np.ascontiguousarray(frame[:, ::-1]), frame]


def machine() -> dict[str, str]:
    """Return what the times depend on."""
    from fastmatte.benchmark import table

    facts = {"processor": table.machine()["processor"]}
    for library in ("onnxruntime", "numpy", "opencv-contrib-python-headless", "pillow", "rembg"):
        with suppress(PackageNotFoundError):
            facts[library] = version(library)
    return facts


def installed(library: str) -> bool:
    from importlib.util import find_spec

    return find_spec(library) is not None


def measure(
    group: Group, model: Path, images: list[np.ndarray], threads: int, rounds: int
) -> dict[str, tuple[float, float, float]]:
    """Return whole call, network and the rest of everybody in a group, medians in milliseconds.

    The rest is that of each call: networks vary by more than all else takes.

    Raises AssertionError where a result is another than fastmatte's.
    """
    runs = {c.name: c.make(model, threads) for c in group.contenders if installed(c.needs)}
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in runs}
    with watched() as spent:
        for i in range(-1, rounds):
            image = images[i % len(images)]
            results = {}
            for name, run in runs.items():
                # Threads of the last one's pool spin for a while after their work.
                sleep(0.02)
                spent[0] = 0.0
                start = perf_counter()
                results[name] = run(image)
                whole = perf_counter() - start
                if i >= 0:
                    times[name].append((whole, spent[0], whole - spent[0]))
            seen = {n: r[..., 3] if r.shape[2:] == (4,) else r for n, r in results.items()}
            reference = next(iter(seen.values())).astype(np.float64)
            most, reason = group.tolerance
            for name in [c.name for c in group.contenders if c.name in seen and c.alike]:
                difference = np.abs(seen[name] - reference).mean()
                assert difference <= most, f"{name} differs by {difference} levels ({reason})"
    return {
        name: tuple(1e3 * median(column) for column in zip(*rows, strict=True))
        for name, rows in times.items()
    }


def peak(pid: str = "self") -> float:
    """Return the most memory a process ever held, in megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e6


def memory(group: Group, contender: Contender, model: Path, images: Path, threads: int) -> float:
    """Return the peak memory of a process that does nothing else than run a contender."""
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "import bench_pipeline as b\n"
        f"[group] = [g for g in b.GROUPS if g.name == {group.name!r}]\n"
        f"[one] = [c for c in group.contenders if c.name == {contender.name!r}]\n"
        f"run = one.make(Path({str(model)!r}), {threads})\n"
        f"for image in np.load({str(images)!r}): run(image)\n"
        "print(b.peak())"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout
    return float(output.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="the folder of real networks")
    parser.add_argument("--size", nargs=2, type=int, default=(1080, 1920))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="groups whose name contains this")
    parser.add_argument("--no-memory", action="store_true", help="leave the processes out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    images = photos(*arguments.size)
    document = []
    with tempfile.TemporaryDirectory() as folder:
        files = models(arguments.models, Path(folder))
        stored = Path(folder) / "images.npy"
        np.save(stored, np.stack(images))
        for group in GROUPS:
            if arguments.only not in group.name:
                continue
            model = files[group.file]
            times = measure(group, model, images, arguments.threads, arguments.rounds)
            rows = [
                {
                    "contender": contender.name,
                    "whole_ms": times[contender.name][0],
                    "network_ms": times[contender.name][1],
                    "rest_ms": times[contender.name][2],
                    "peak_mb": None
                    if arguments.no_memory
                    else memory(group, contender, model, stored, arguments.threads),
                }
                for contender in group.contenders
                if contender.name in times
            ]
            document.append({"group": group.name, "rows": rows})
            if not arguments.json:
                show(group, rows)
    if arguments.json:
        conditions = {"threads": arguments.threads, "size": arguments.size, "machine": machine()}
        print(json.dumps({**conditions, "groups": document}, indent=2))
    elif missing := {c.needs for g in GROUPS for c in g.contenders if not installed(c.needs)}:
        print(f"\nnot installed, left out: {', '.join(sorted(missing))}")


def show(group: Group, rows: list[dict]) -> None:
    first = rows[0]
    width = max(len(row["contender"]) for row in rows)
    print(f"\n{group.name}\n  {'':{width}}   whole ms  network ms  the rest ms       x  peak MB")
    for row in rows:
        memory = "" if row["peak_mb"] is None else f"{row['peak_mb']:7.0f}"
        ratio = row["rest_ms"] / first["rest_ms"]
        print(
            f"  {row['contender']:{width}}  {row['whole_ms']:9.1f} {row['network_ms']:11.1f} "
            f"{row['rest_ms']:12.2f} {ratio:7.2f}  {memory}"
        )


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_contenders_of_a_group_agree(group, tmp_path):
    """On graphs small enough to run by the way; the figures are main()'s."""
    present = [c.name for c in group.contenders if installed(c.needs)]
    if len(present) < len(group.contenders):
        pytest.skip(f"not installed: {', '.join(c.needs for c in group.contenders)}")
    times = measure(group, tiny(tmp_path)[group.file], photos(270, 480), threads=1, rounds=1)
    for whole, network, rest in times.values():
        assert 0 < network < whole
        assert 0 < rest < whole


if __name__ == "__main__":
    main()
