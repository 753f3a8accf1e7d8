"""to_tensor against OpenCV with NumPy, blobFromImage, and NumPy alone where nothing is resized.

What memory allows: at full size 3 bytes are read and 12 written a pixel, 31 MB at 1080p, and no
plain store is faster than filling those 25 MB with anything but zeros; test_to_tensor_fill measures
that. Streaming past the caches was slower. Area to 512 reads the 6 MB once and is bound by its
arithmetic; bilinear to 512 reads a quarter of it, pixel by pixel.
"""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import peers
import pytest

PLAIN = {"scale": 1 / 255, "mean": (0, 0, 0), "std": (1, 1, 1)}
NETWORK = (512, 512)
JOBS = [("area", (256, 256)), ("area", NETWORK), ("bilinear", NETWORK)]
YUV_JOBS = [("area", NETWORK), ("bilinear", NETWORK), ("area", None)]
YUV = {"matrix": "bt601", "range": "limited", "layout": "nchw"}
PEERS = {
    "cv2.resize+numpy": peers.to_tensor_cv2_resize,
    "cv2.dnn.blobFromImage": peers.to_tensor_cv2_blob,
}


def expected(image, size, filter):
    return oracles.to_tensor(image, size, filter, **PLAIN, pixel_format="rgb", layout="nchw")


@pytest.mark.parametrize(("filter", "size"), JOBS)
def test_to_tensor_fastmatte(race, scene, size_name, filter, size, isa):
    out = np.empty((1, 3, *size), np.float32)
    race(
        f"to_tensor-{filter}-{size_name}-to-{size[0]}",
        lambda: fm.kernels.to_tensor(scene[0], size, filter=filter, out=out, threads=1),
        expected(scene[0], size, filter),
        1e-5,
    )


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize(("filter", "size"), JOBS)
def test_to_tensor_peer(race, scene, size_name, filter, size, peer):
    if filter == "area" and "blob" in peer:
        pytest.skip("blobFromImage has no area filter")
    # Peers round to uint8 after resizing, OpenCV's bilinear with weights in 2^-11.
    race(
        f"to_tensor-{filter}-{size_name}-to-{size[0]}",
        lambda: PEERS[peer](scene[0], size, filter),
        expected(scene[0], size, filter),
        1.01 / 255,
    )


def test_to_tensor_full_size_fastmatte(race, scene, size_name, isa):
    out = np.empty((1, 3, *scene[0].shape[:2]), np.float32)
    race(
        f"to_tensor-{size_name}",
        lambda: fm.kernels.to_tensor(scene[0], out=out, threads=1),
        expected(scene[0], None, "bilinear"),
        1e-6,
    )


@pytest.mark.parametrize("peer", [peers.to_tensor_numpy, peers.to_tensor_numpy_divided])
def test_to_tensor_full_size_peer(race, scene, size_name, peer):
    race(
        f"to_tensor-{size_name}",
        lambda: peer(scene[0]),
        expected(scene[0], None, "bilinear"),
        1e-6,
    )


def test_to_tensor_full_size_fill(benchmark, scene, size_name):
    benchmark.group = f"to_tensor-{size_name}"
    out = np.empty((1, 3, *scene[0].shape[:2]), np.float32)
    benchmark(lambda: out.fill(0.5))


def test_to_tensor_float16(race, scene, size_name, isa):
    out = np.empty((1, 3, *scene[0].shape[:2]), np.float16)
    race(
        f"to_tensor-float16-{size_name}",
        lambda: fm.kernels.to_tensor(scene[0], out=out, threads=1),
        expected(scene[0], None, "bilinear"),
        2.0**-12 + 1e-6,
    )


def test_to_tensor_float16_peer(race, scene, size_name):
    race(
        f"to_tensor-float16-{size_name}",
        lambda: peers.to_tensor_numpy(scene[0]).astype(np.float16),
        expected(scene[0], None, "bilinear"),
        2.0**-12 + 1e-6,
    )


def nv12_of(image):
    """A frame whose planes are channels of image, in a range that no conversion clamps."""
    chroma = image[: image.shape[0] // 2, :, 1] // 8 + 112
    return np.ascontiguousarray(np.concatenate([image[..., 0] // 2 + 64, chroma]))


def expected_nv12(frame, size, filter):
    planes = oracles.yuv_planes(frame, "nv12")
    return oracles.yuv_to_tensor(planes, size, filter, **PLAIN, **YUV)


@pytest.mark.parametrize(("filter", "size"), YUV_JOBS)
def test_to_tensor_nv12_fastmatte(race, scene, size_name, filter, size, isa):
    frame = nv12_of(scene[0])
    out = np.empty((1, 3, *(size or scene[0].shape[:2])), np.float32)
    race(
        f"to_tensor-nv12-{filter}-{size_name}-to-{size[0] if size else 'full'}",
        lambda: fm.kernels.to_tensor(
            frame, size, filter=filter, pixel_format="nv12", out=out, threads=1
        ),
        expected_nv12(frame, size, filter),
        2e-5,
    )


@pytest.mark.parametrize(("filter", "size"), YUV_JOBS)
def test_to_tensor_nv12_peer(race, scene, size_name, filter, size):
    frame = nv12_of(scene[0])
    # cvtColor rounds before the resize does again, and repeats chroma before it is interpolated.
    race(
        f"to_tensor-nv12-{filter}-{size_name}-to-{size[0] if size else 'full'}",
        lambda: peers.to_tensor_cv2_nv12(frame, size, filter),
        expected_nv12(frame, size, filter),
        1.6 / 255 if filter == "area" else 0.25,
    )
