"""resize against OpenCV and Pillow, each where it has the filter."""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import peers
import pytest

# What is resized, to what, how: the jobs around a network, a thumbnail, and an enlargement.
JOBS = {
    "alpha-512-to-1080p": ("bilinear", (1080, 1920)),
    "rgb-1080p-to-640": ("bilinear", (360, 640)),
    "rgb-1080p-to-4k": ("bilinear", (2160, 3840)),
    "rgb-1080p-to-512": ("area", (512, 512)),
    "rgb-1080p-to-320-bicubic": ("bicubic", (180, 320)),
    "rgb-1080p-to-320-lanczos3": ("lanczos3", (180, 320)),
    "rgb-1080p-to-4k-nearest": ("nearest", (2160, 3840)),
}


@pytest.fixture(params=JOBS)
def job(request, scene):
    filter, size = JOBS[request.param]
    image, _, alpha = scene
    if request.param.startswith("alpha"):
        image = np.ascontiguousarray(alpha[284:796, 704:1216])
    return f"resize-{filter}-{request.param}", image, size, filter


def test_resize_fastmatte(race, job, isa):
    group, image, size, filter = job
    out = np.empty(size + image.shape[2:], image.dtype)
    race(
        group,
        lambda: fm.kernels.resize(image, size, filter=filter, out=out, threads=1),
        oracles.resize(image, size, filter),
        0 if image.dtype == np.uint8 else 1e-6,
    )


@pytest.mark.parametrize("peer", ["cv2", "pillow"])
def test_resize_peer(race, job, peer):
    group, image, size, filter = job
    if (filter in ("bicubic", "lanczos3")) == (peer == "cv2") and filter != "nearest":
        pytest.skip(f"{peer} has another {filter}, or none")
    function = {"cv2": peers.resize_cv2, "pillow": peers.resize_pillow}[peer]
    function(image, size, filter)
    # uint8: bits dropped between the passes; float32: positions worked out in float32.
    race(
        group,
        lambda: function(image, size, filter),
        oracles.resize(image, size, filter),
        1 if image.dtype == np.uint8 else 1e-4,
    )


def test_resize_memcpy(benchmark, job):
    group, image, _, _ = job
    benchmark.group = group
    benchmark(peers.memcpy(image))
