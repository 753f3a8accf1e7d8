"""resize against OpenCV and Pillow, each where it has the filter.

What memory allows: the image read and the result written once, each at the speed of memcpy. Alpha
to 1080p is bound by its 8 MB of float32 (a fill of them is the floor), the halves by reading.
"""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import peers
import pytest

# What is resized, to what, how: the jobs around a network, a thumbnail, and an enlargement.
JOBS = {
    "alpha-512-to-1080p": ("bilinear", (1080, 1920)),
    "alpha-512-to-1080p-uint8": ("bilinear", (1080, 1920)),
    "grey-512-to-1080p": ("bilinear", (1080, 1920)),
    "rgb-1080p-to-half": ("area", (540, 960)),
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
    if request.param.startswith(("alpha", "grey")):
        image = np.ascontiguousarray(alpha[284:796, 704:1216])
    if request.param.startswith("grey"):
        image = fm.kernels.quantise(image)
    dtype = np.uint8 if request.param.endswith("uint8") else image.dtype
    return f"resize-{filter}-{request.param}", image, size, filter, dtype


def expected(image, size, filter, dtype):
    result = oracles.resize(image, size, filter)
    return oracles.quantise(result.astype(np.float32), 255) if dtype != image.dtype else result


def test_resize_fastmatte(race, job, isa):
    group, image, size, filter, dtype = job
    out = np.empty(size + image.shape[2:], dtype)
    race(
        group,
        lambda: fm.kernels.resize(image, size, filter=filter, out=out, threads=1),
        expected(image, size, filter, dtype),
        # float32 on either side of a half rounds to either level.
        0 if image.dtype == np.uint8 else 1e-6 if dtype == np.float32 else 1,
    )


@pytest.mark.parametrize("peer", ["cv2", "pillow"])
def test_resize_peer(race, job, peer):
    group, image, size, filter, dtype = job
    if (filter in ("bicubic", "lanczos3")) == (peer == "cv2") and filter != "nearest":
        pytest.skip(f"{peer} has another {filter}, or none")
    function = {"cv2": peers.resize_cv2, "pillow": peers.resize_pillow}[peer]
    if dtype != image.dtype:
        if peer == "pillow":
            pytest.skip("Pillow is not used for alpha")
        function = peers.resize_to_levels_cv2
    # uint8: bits dropped between the passes; float32: positions worked out in float32.
    race(
        group,
        lambda: function(image, size, filter),
        expected(image, size, filter, dtype),
        1 if dtype == np.uint8 else 1e-4,
    )


def test_resize_memcpy(benchmark, job):
    group, image, *_ = job
    benchmark.group = group
    benchmark(peers.memcpy(image))
