"""What smoothing does to alpha over time: what the default of matter.stream(smoothing=) came from.

    python bench/study_smoothing.py --data DATA [--portrait portrait.onnx] [--only made|clips]

DATA holds images/eval (photographs with exact alpha and the background behind them), clips of
people who sign, video/asl_*.mkv, and models (MediaPipe Selfie Segmentation, PP-HumanSeg and Robust
Video Matting, which remembers earlier frames). PyAV reads the clips.

- Made: cut-outs that move over their backgrounds, with camera noise and drifting exposure, for 45
  frames each: "sway", slowly; "dash", a third of the time up to 19 pixels a frame; "swing", the
  upper part turns at up to 15 pixels a frame. Alpha is exact: dtSSD x 100 and MAD x 1000 against
  it; "trail", the mean alpha x 100 where the person has just been (within three frames), and
  "late", what is missing x 100 where they have just come. A filter's own share is the difference
  to "none".
- Clips: nobody knows their true alpha, so Robust Video Matting stands in for it, as in
  study_portrait.py: dtSSD and MAD against it, and the longest run of frames in which a connected
  piece of 600 pixels, a hand, is missing.

Networks run once a frame, and the filters that a stream uses on what they gave; skipping runs in a
stream.

What came of it, on man_curly2 and woman_dance made to move, and on six clips:

- motion_adaptive takes 15 to 18 % off dtSSD of each network for 1 % more MAD, and 1 to 2 of 100
  more alpha trail and are late where people move fast. It would do as much for RVM, which flickers
  less than any of them smoothed, and is left alone.
- On the clips, where more moves and noise is less, it takes off 2 to 5 %; no network loses a hand
  for longer than without.
- Weight 0.15 gains another 1 % where things are made, for as much MAD and half as much lag again,
  and loses 1 % on the clips.
- one_frame_delay takes out 1 to 2 % there and adds 1 % here: what flickers does so for longer than
  a frame.
- Smoothing the small alpha before it is refined, with images as small, lost half of the gain:
  refining along a noisy frame makes flicker of its own.
- Nothing that moves with camera noise is ever skipped: skip is for what stands still.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import fastmatte as fm
import numpy as np
from fastmatte.smoothing import OneFrameDelayFilter
from PIL import Image
from study_portrait import REFEREE, UNSEEN, frames, has_disc, longest_loss

NETWORKS = {
    "mediapipe": ("models/mediapipe_selfie_256_nchw.onnx", None),
    "pp-humanseg": ("models/pp_humanseg_lite.onnx", "softmax"),
}
HEIGHT, WIDTH, FRAMES = 480, 640, 45
MOTIONS = ("sway", "dash", "swing")
FILTERS = {
    "none": None,
    "one_frame_delay": fm.OneFrameDelay(),
    "motion_adaptive": fm.MotionAdaptive(),
    "motion_adaptive, weight 0.15": fm.MotionAdaptive(weight=0.15),
    "motion_adaptive, no jump": fm.MotionAdaptive(jump=(0.999, 1)),
}
SKIPS = {"skip": fm.SceneSkip()}

Video = list[np.ndarray]


def made(path: Path, motion: str, seed: int = 0) -> tuple[Video, Video]:
    """Return frames and their alphas, uint8."""
    image, background = (
        np.asarray(Image.open(path.with_name(path.name.replace("_image", part))).convert("RGB"))
        for part in ("_image", "_bg")
    )
    alpha = np.asarray(Image.open(path.with_name(path.name.replace("_image", "_alpha"))))
    alpha = alpha.astype(np.float32) / 255
    light = image - (1 - alpha[..., None]) * background
    light = np.clip(light, 0, 255 * alpha[..., None]).astype(np.float32)
    scale = min(HEIGHT / alpha.shape[0], WIDTH / alpha.shape[1])
    behind = fm.matte.cover(background, np.empty((HEIGHT, WIDTH, 3), np.uint8)).astype(np.float32)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    rng = np.random.default_rng(seed)
    video, truths = [], []
    for i in range(FRAMES):
        t = i / 30
        right, down = 6 * np.sin(0.8 * np.pi * t), 2 * np.sin(1.4 * np.pi * t)
        fast = FRAMES // 3 <= i < 2 * FRAMES // 3
        if motion == "dash" and fast:
            right += 90 * np.sin(2 * np.pi * t)
        turn = np.zeros_like(x)
        if motion == "swing" and fast:
            height = np.clip(1 - y / (0.55 * HEIGHT), 0, 1)
            turn = 0.45 * np.sin(2.4 * np.pi * t) * height**1.5
        across, along = x - WIDTH / 2 - right, y - 0.6 * HEIGHT - down
        columns = np.cos(turn) * across + np.sin(turn) * along
        rows = np.cos(turn) * along - np.sin(turn) * across
        place = (
            (columns / scale + alpha.shape[1] / 2).astype(np.float32),
            ((rows - 0.4 * HEIGHT) / scale + alpha.shape[0]).astype(np.float32),
        )
        moved, truth = (cv2.remap(array, *place, cv2.INTER_LINEAR) for array in (light, alpha))
        truth = np.clip(truth, 0, 1)
        frame = (moved + (1 - truth[..., None]) * behind) * (1 + 0.006 * np.sin(1.8 * np.pi * t))
        frame += rng.normal(0, 3, frame.shape)
        video.append(np.clip(np.rint(frame), 0, 255).astype(np.uint8))
        truths.append(fm.kernels.quantise(truth))
    return video, truths


def changes(truths: Video) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the pixels that truth has just left, and those where it has come, of each frame."""
    found = []
    for i in range(3, len(truths)):
        last = truths[i - 3 : i]
        left = (np.maximum.reduce(last) > 230) & (truths[i] < 13)
        come = (np.minimum.reduce(last) < 13) & (truths[i] > 230)
        found.append((np.flatnonzero(left), np.flatnonzero(come)))
    return found


def ghosts(alphas: Video, moved: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Return the mean alpha x 100 where truth has just left, and what is missing where it came."""
    pairs = list(zip(alphas[3:], moved, strict=True))
    trail = np.concatenate([alpha.ravel()[left] for alpha, (left, _) in pairs])
    late = np.concatenate([255 - alpha.ravel()[come] for alpha, (_, come) in pairs])
    # Slow motion leaves and reaches no pixel within three frames.
    return tuple(float(v.mean()) / 2.55 if v.size else np.nan for v in (trail, late))


def through_stream(matter: fm.Matter, video: Video, **options) -> tuple[list[np.ndarray], float]:
    with matter.stream(**{"smoothing": "none", **options}) as stream:
        alphas = [stream(frame).alpha.copy() for frame in video]
        return alphas, stream.stats.skipped / len(video)


def smoothed(chosen, video: Video, alphas: list[np.ndarray]) -> Video:
    quantise = fm.kernels.quantise
    if chosen is None:
        return [quantise(alpha) for alpha in alphas]
    filter = chosen.filter(threads=1)
    if not isinstance(filter, OneFrameDelayFilter):
        return [quantise(filter(*pair)) for pair in zip(video, alphas, strict=True)]
    results = []
    for pair in zip(video, alphas, strict=True):
        earlier = filter(*pair)
        if earlier is not None:
            results.append(quantise(earlier.alpha))
    return [*results, quantise(filter.flush().alpha)]


def variants(matter: fm.Matter, video: Video) -> Iterator[tuple[str, Video]]:
    raw, _ = through_stream(matter, video)
    recurrent = matter.info.family == "rvm"
    for name, chosen in FILTERS.items():
        if not recurrent or name in ("none", "motion_adaptive"):
            yield name, smoothed(chosen, video, raw)
    for name, skip in SKIPS.items() if not recurrent else ():
        alphas, share = through_stream(matter, video, skip=skip)
        SHARES.setdefault(name, []).append(share)
        yield name, smoothed(None, video, alphas)


#: How many of the frames were skipped, of each video, by variant.
SHARES: dict[str, list[float]] = {}


def table(title: str, heads: list[str], rows: dict[tuple[str, str], list[list[float]]]) -> None:
    print(f"\n{title}\n\n| network | smoothing | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 2) + "|")
    for (network, name), found in rows.items():
        means = np.nanmean(found, 0)
        if name in SHARES:
            name = f"{name}: {np.mean(SHARES[name]):.0%} of frames"
        print(f"| {network} | {name} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |")
    SHARES.clear()


def study_made(matters: dict[str, fm.Matter], paths: list[Path]) -> None:
    heads = ["dtSSD x 100", "MAD x 1000", "trail x 100", "late x 100"]
    everything: dict[tuple[str, str], list[list[float]]] = {}
    for motion in MOTIONS:
        for path in paths:
            video, truths = made(path, motion)
            moved = changes(truths)
            for network, matter in matters.items():
                for name, alphas in variants(matter, video):
                    row = [100 * fm.metrics.dtssd(alphas, truths), mad(alphas, truths)]
                    everything.setdefault((network, name), []).append(
                        [*row, *ghosts(alphas, moved)]
                    )
    names = ", ".join(path.name.removesuffix("_image.png") for path in paths)
    table(f"Made, {len(MOTIONS)} motions of {names}:", heads, everything)


def mad(alphas: Video, truths: Video) -> float:
    pairs = zip(alphas, truths, strict=True)
    return 1000 * float(np.mean([fm.metrics.mad(alpha, truth) for alpha, truth in pairs]))


def study_clips(matters: dict[str, fm.Matter], referee: fm.Matter, paths: list[Path]) -> None:
    heads = ["dtSSD x 100", "MAD x 1000", "frames without a hand, in a row", "most"]
    everything: dict[tuple[str, str], list[list[float]]] = {}
    for path in paths:
        video = list(frames(path))
        truths = smoothed(None, video, through_stream(referee, video)[0])
        for network, matter in matters.items():
            for name, alphas in variants(matter, video):
                lost = longest_loss(alphas, truths, lambda missing: has_disc(missing, 20))
                row = [100 * fm.metrics.dtssd(alphas, truths), mad(alphas, truths), lost, lost]
                everything.setdefault((network, name), []).append(row)
    for found in everything.values():
        most = max(row[3] for row in found)
        for row in found:
            row[3] = most
    table(f"Clips, {len(paths)} of them, against Robust Video Matting:", heads, everything)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--portrait", type=Path, help="a network of training.export, too")
    parser.add_argument("--only", choices=("made", "clips"))
    parser.add_argument("--photographs", nargs="+", default=[""], help="how their names begin")
    parser.add_argument("--clips", nargs="+", default=UNSEEN, help="names")
    arguments = parser.parse_args()
    matters = {
        name: fm.Matter(arguments.data / file, family=family, threads=1)
        for name, (file, family) in NETWORKS.items()
    }
    if arguments.portrait is not None:
        matters["portrait"] = fm.Matter(arguments.portrait, family="portrait", threads=1)
    referee = fm.Matter(arguments.data / REFEREE, threads=1)
    if arguments.only in (None, "made"):
        paths = sorted((arguments.data / "images/eval").glob("*_image.png"))
        paths = [path for path in paths if path.name.startswith(tuple(arguments.photographs))]
        study_made({**matters, "rvm": referee}, paths)
    if arguments.only in (None, "clips"):
        paths = [arguments.data / f"video/asl_{name}.mkv" for name in arguments.clips]
        study_clips(matters, referee, paths)


if __name__ == "__main__":
    main()
