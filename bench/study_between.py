"""What frames have between those that the network sees, `--every N`: how far each way is from all.

    python bench/study_between.py --clips ../shared/data/video --frames 60

For each N and way: the mean difference of alpha to that of the network on every frame, without
smoothing, in thousandths, and the pixels that are off by more than 0.3, in thousandths; frames that
the network saw are left out. "refine" is hold, refined along the frame's own edges. The last column
is what such a frame takes on one thread, where the network's takes as much as is said first.

What came of it, `portrait` on 40 frames of each of 20 clips of people who sign, 640 x 480 (mean):

- N = 2: hold 3.5, refine 2.8, warp 1.6. N = 3: 4.8, 4.0, 2.1. N = 4: 5.9, 5.0, 2.6. warp with every
  fourth frame is nearer than hold with every second, and takes 4.2 ms where the network takes 30.
- OpenCV's DIS flow, ultrafast, in the place of kernels.carry was nearer by another tenth on four
  clips, medium by a third; the alpha of the next frame too, carried back and mixed, by as much.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter

import av
import fastmatte as fm
import numpy as np
from fastmatte.video.matting import Carrier

WAYS = ("hold", "refine", "warp")


def frames_of(clip: Path, first: int, count: int) -> list[np.ndarray]:
    with av.open(str(clip)) as container:
        frames = container.decode(video=0)
        return [
            frame.to_ndarray(format="rgb24")
            for i, frame in zip(range(first + count), frames, strict=False)
            if i >= first
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="portrait")
    parser.add_argument("--clips", required=True, type=Path)
    parser.add_argument("--names", default="asl_*.mkv")
    parser.add_argument("--first", type=int, default=20, help="frames that are left out before")
    parser.add_argument("--frames", type=int, default=60)
    given = parser.parse_args()
    matter = fm.Matter(given.model, threads=1, engine="onnxruntime")
    found: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
    network = []
    for clip in sorted(given.clips.glob(given.names)):
        frames = frames_of(clip, given.first, given.frames)
        with matter.stream(smoothing="none") as stream:
            full, own = [], []
            for frame in frames:
                begin = perf_counter()
                full.append(stream(frame).alpha.copy())
                network.append(perf_counter() - begin)
                own.append(stream.own_alpha)
            for every in (2, 3, 4):
                carrier = Carrier(threads=1)
                for at, frame in enumerate(frames):
                    last = at - at % every
                    if at == last:
                        carrier.keep(frame, own[at])
                        continue
                    for way in WAYS:
                        begin = perf_counter()
                        if way == "hold":
                            alpha = full[last]
                        else:
                            kept = own[last] if way == "refine" else carrier(frame)
                            alpha = stream.finish(frame, kept).alpha
                        seconds = perf_counter() - begin
                        off = np.abs(alpha - full[at])
                        row = 1e3 * off.mean(), 1e3 * (off > 0.3).mean(), 1e3 * seconds
                        found.setdefault((every, way), []).append(row)
    print(f"the network's frames: {1e3 * np.median(network):.1f} ms")
    for (every, way), rows in sorted(found.items()):
        mean, off, _ = np.mean(rows, 0)
        worst, time = np.percentile([r[0] for r in rows], 95), np.median([r[2] for r in rows])
        print(
            f"every {every}, {way:6}: mean {mean:.2f}, 95th percentile {worst:.2f}, "
            f"off by 0.3 {off:.2f}, {time:.1f} ms"
        )


if __name__ == "__main__":
    main()
