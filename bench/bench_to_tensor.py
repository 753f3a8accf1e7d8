"""to_tensor against OpenCV with NumPy, blobFromImage, and NumPy alone where nothing is resized."""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import peers
import pytest

PLAIN = {"scale": 1 / 255, "mean": (0, 0, 0), "std": (1, 1, 1)}
NETWORK = (512, 512)
JOBS = [("area", (256, 256)), ("area", NETWORK), ("bilinear", NETWORK)]
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


def test_to_tensor_full_size_peer(race, scene, size_name):
    race(
        f"to_tensor-{size_name}",
        lambda: peers.to_tensor_numpy(scene[0]),
        expected(scene[0], None, "bilinear"),
        1e-6,
    )
