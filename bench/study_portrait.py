"""A portrait network beside MediaPipe's, through the same pipeline: is it good enough to ship?

    python bench/study_portrait.py --data DATA --model portrait.onnx

DATA holds images/eval (photographs with exact alpha), video/asl_*.mkv (people who sign),
video/one-by-one-person-detection.mp4 (a corridor, empty for seconds at a time) and models
(MediaPipe Selfie Segmentation and Robust Video Matting). PyAV reads the clips (pip install av).

- Photographs: MAD x 1000 and Grad of both networks, and whether the bar is met: mean MAD at least
  15 % and Grad at least 30 % below MediaPipe's, no photograph worse by more than 0.010.
- Nobody: mean alpha of the corridor's empty frames; at most 0.010.
- Clips: nobody knows their true alpha, so Robust Video Matting stands in for it, a network that
  remembers earlier frames. dtSSD x 100 against it; the longest run of frames in which something
  that it is sure of is missing, into which a disc of --hand pixels fits; and the longest in which
  any connected piece of --piece pixels is: a strip of trousers along the lower border is no hand.
- Whole bodies: photographs from the street with rough masks, train/ccp. Whose they are is not
  proven, so nothing is trained on them and none is shown, but they tell who loses legs: MAD x 1000,
  and on how many a fifth of the person is missing.
- Latency: the bare networks on one thread, interleaved.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import fastmatte as fm
import numpy as np
import onnxruntime
from PIL import Image

MEDIAPIPE = "models/mediapipe_selfie_256_nchw.onnx"
REFEREE = "models/rvm_mobilenetv3_fgf.onnx"
CORRIDOR = "video/one-by-one-person-detection.mp4"
#: First and last frames between which the corridor is empty.
EMPTY = ((0, 59), (203, 226), (453, 501), (705, 744), (874, 920), (1207, 1233), (1367, 1390))
#: Clips of the people whom training never saw; the others signed for it.
UNSEEN = ("book", "eat", "hungry", "learn", "night", "school", "sister", "walk", "want")


def photographs(folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for path in sorted(folder.glob("*_image.png")):
        alpha = Image.open(path.with_name(path.name.replace("_image", "_alpha"))).convert("L")
        image = np.array(Image.open(path).convert("RGB"))
        yield path.name.removesuffix("_image.png"), image, np.asarray(alpha)


def frames(path: Path) -> Iterator[np.ndarray]:
    import av

    with av.open(path) as video:
        for frame in video.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def judge_photographs(matters: dict[str, fm.Matter], folder: Path) -> None:
    scores: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in matters}
    for photo, image, truth in photographs(folder):
        for name, matter in matters.items():
            alpha = matter.alpha(image, out=np.empty(image.shape[:2], np.uint8))
            scores[name][photo] = (
                fm.metrics.mad(alpha, truth) * 1000,
                fm.metrics.grad(alpha, truth),
            )
    names = list(matters)
    print("| photograph | " + " | ".join(f"{name}: MAD x 1000, Grad" for name in names) + " |")
    print("|---" * (len(names) + 1) + "|")
    means = {}
    for name in names:
        means[name] = np.mean(list(scores[name].values()), axis=0)
    for photo in [*scores[names[0]], "mean"]:
        cells = []
        for name in names:
            mad, grad = means[name] if photo == "mean" else scores[name][photo]
            cells.append(f"{mad:.2f}, {grad:.2f}")
        print(f"| {photo} | " + " | ".join(cells) + " |")
    ours, peer = (means[name] for name in names[:2])
    worst = max(
        scores[names[0]][photo][0] - scores[names[1]][photo][0] for photo in scores[names[0]]
    )
    print(f"\nmean MAD  {ours[0] / peer[0] - 1:+.1%} against MediaPipe's (bar -15 %)")
    print(f"mean Grad {ours[1] / peer[1] - 1:+.1%} (bar -30 %)")
    print(f"worst photograph: MAD {worst / 1000:+.4f} (bar +0.010)")


def judge_corridor(matters: dict[str, fm.Matter], path: Path, every: int) -> None:
    sums: dict[str, list[float]] = {name: [] for name in matters}
    for index, frame in enumerate(frames(path)):
        if index % every or not any(first <= index <= last for first, last in EMPTY):
            continue
        for name, matter in matters.items():
            sums[name].append(float(matter.alpha(frame).mean()))
    print("\n| nobody there | frames | mean alpha | worst frame |\n|---|---|---|---|")
    for name, found in sums.items():
        print(f"| {name} | {len(found)} | {np.mean(found):.4f} | {max(found):.4f} |")


def longest_loss(
    alphas: list[np.ndarray], truths: list[np.ndarray], lost: Callable[[np.ndarray], bool]
) -> int:
    longest = run = 0
    for alpha, truth in zip(alphas, truths, strict=True):
        run = run + 1 if lost(((truth > 230) & (alpha < 128)).astype(np.uint8)) else 0
        longest = max(longest, run)
    return longest


def has_disc(missing: np.ndarray, across: int) -> bool:
    # What is outside of the frame is not missing.
    padded = cv2.copyMakeBorder(missing, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return bool(cv2.distanceTransform(padded, cv2.DIST_L2, 5).max() >= across / 2)


def has_piece(missing: np.ndarray, pixels: int) -> bool:
    _, _, areas, _ = cv2.connectedComponentsWithStats(missing)
    return bool(areas[1:, cv2.CC_STAT_AREA].max(initial=0) >= pixels)


def judge_clips(
    matters: dict[str, fm.Matter], referee: Path, paths: list[Path], hand: int, piece: int
) -> None:
    heads = [f"{name}: dtSSD x 100, MAD x 1000, hand lost, piece lost" for name in matters]
    print("\n| clip | " + " | ".join(heads) + " |")
    print("|---" * (len(matters) + 1) + "|")
    totals: dict[str, list[tuple[float, float, int, int]]] = {name: [] for name in matters}
    rvm = fm.Matter(referee)
    for path in paths:
        images = list(frames(path))
        with rvm.stream() as stream:
            truths = [(stream(image).alpha * 255 + 0.5).astype(np.uint8) for image in images]
        cells = []
        for name, matter in matters.items():
            alphas = [
                matter.alpha(image, out=np.empty(image.shape[:2], np.uint8)) for image in images
            ]
            found = (
                100 * fm.metrics.dtssd(alphas, truths),
                1000
                * float(
                    np.mean([fm.metrics.mad(a, t) for a, t in zip(alphas, truths, strict=True)])
                ),
                longest_loss(alphas, truths, partial(has_disc, across=hand)),
                longest_loss(alphas, truths, partial(has_piece, pixels=piece)),
            )
            totals[name].append(found)
            cells.append("{:.2f}, {:.1f}, {}, {}".format(*found))
        print(f"| {path.stem} | " + " | ".join(cells) + " |", flush=True)
    cells = []
    for found in totals.values():
        dtssd, mad, *_ = np.mean(found, axis=0)
        _, _, hand_lost, piece_lost = np.max(found, axis=0)
        cells.append(f"{dtssd:.2f}, {mad:.1f}, at most {hand_lost:.0f} and {piece_lost:.0f}")
    print("| all | " + " | ".join(cells) + " |")


def judge_bodies(matters: dict[str, fm.Matter], folder: Path) -> None:
    found: dict[str, list[tuple[float, bool]]] = {name: [] for name in matters}
    for path in sorted((folder / "images").glob("*.jpg")):
        image = np.array(Image.open(path).convert("RGB"))
        mask = Image.open(folder / "masks" / f"{path.stem}.png").convert("L")
        truth = np.asarray(np.asarray(mask) > 127, np.uint8) * np.uint8(255)
        for name, matter in matters.items():
            alpha = matter.alpha(image, out=np.empty(image.shape[:2], np.uint8))
            missing = ((truth > 0) & (alpha < 128)).sum() > 0.2 * (truth > 0).sum()
            found[name].append((fm.metrics.mad(alpha, truth) * 1000, bool(missing)))
    print("\n| whole bodies | photographs | MAD x 1000 | a fifth missing |\n|---|---|---|---|")
    for name, rows in found.items():
        mad, missing = np.mean(rows, axis=0)
        print(f"| {name} | {len(rows)} | {mad:.1f} | {missing:.0%} |")


def judge_latency(files: dict[str, tuple[Path, str]], rounds: int) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    runs = {}
    for name, (path, source) in files.items():
        for side in (256, 512) if source == "input" else (256,):
            session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            tensor = np.random.default_rng(0).random((1, 3, side, side), np.float32)
            runs[name, side] = lambda s=session, i=source, t=tensor: s.run(None, {i: t})
    times: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            start = time.perf_counter()
            run()
            times[key].append((time.perf_counter() - start) * 1e3)
    ruler = statistics.median(times["mediapipe", 256])
    print("\n| network | side | median, ms | / MediaPipe |\n|---|---|---|---|")
    for (name, side), found in times.items():
        median = statistics.median(found)
        print(f"| {name} | {side} | {median:.1f} | {median / ruler:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="from training.export")
    parser.add_argument("--size", type=int, nargs=2, help="height and width that it sees")
    parser.add_argument("--hand", type=int, default=20, help="pixels across, of 640 x 480")
    parser.add_argument("--piece", type=int, default=600, help="pixels of 640 x 480")
    parser.add_argument("--every", type=int, default=3, help="of the corridor's frames, one in")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only", choices=("photographs", "corridor", "clips", "bodies", "latency"))
    arguments = parser.parse_args()
    size = tuple(arguments.size) if arguments.size else None
    matters = {
        "portrait": fm.Matter(arguments.model, family="portrait", size=size, threads=1),
        "mediapipe": fm.Matter(arguments.data / MEDIAPIPE, threads=1),
    }

    def wanted(part: str) -> bool:
        return arguments.only in (None, part)

    if wanted("photographs"):
        judge_photographs(matters, arguments.data / "images/eval")
    if wanted("corridor"):
        judge_corridor(matters, arguments.data / CORRIDOR, arguments.every)
    if wanted("clips"):
        clips = sorted((arguments.data / "video").glob("asl_*.mkv"))
        for title, seen in (("never seen in training", False), ("seen in training", True)):
            print(f"\nPeople {title}:")
            paths = [path for path in clips if (path.stem[4:] not in UNSEEN) == seen]
            judge_clips(matters, arguments.data / REFEREE, paths, arguments.hand, arguments.piece)
    if wanted("bodies"):
        judge_bodies(matters, arguments.data / "train/ccp")
    if wanted("latency"):
        files = {
            "mediapipe": (arguments.data / MEDIAPIPE, "pixel_values"),
            "portrait": (arguments.model, "input"),
        }
        judge_latency(files, arguments.rounds)


if __name__ == "__main__":
    main()
