"""composite, cutout, premultiply and unpremultiply against NumPy and OpenCV.

What memory allows: each input is read once and the result written once; the memcpy row of a group
copies what its kernel reads. float32 alpha is read once more, to be refused before anything is
written.
"""

from __future__ import annotations

import fastmatte as fm
import numpy as np
import oracles
import peers
import pytest

COMPOSITE_PEERS = {"numpy": peers.composite_numpy, "cv2.blendLinear": peers.composite_cv2}

PREMULTIPLICATION_PEERS = {
    "premultiply": peers.premultiply_numpy,
    "unpremultiply": peers.unpremultiply_numpy,
}


def test_composite_fastmatte(race, scene, size_name, isa):
    image, background, alpha = scene
    out = np.empty_like(image)
    race(
        f"composite-{size_name}",
        lambda: fm.kernels.composite(image, background, alpha, out=out, threads=1),
        oracles.composite(image, background, alpha),
        0,
    )


@pytest.mark.parametrize("peer", COMPOSITE_PEERS)
def test_composite_peer(race, scene, size_name, peer):
    function = COMPOSITE_PEERS[peer]
    function(*scene)  # a missing library skips here
    # blendLinear divides by the sum of weights plus 1e-5 and may round the other way.
    race(f"composite-{size_name}", lambda: function(*scene), oracles.composite(*scene), 1)


def test_composite_in_place_fastmatte(race, scene, size_name, isa):
    image, background, alpha = scene
    # Full alpha leaves image as it is for the next round; the work does not depend on alpha.
    opaque = np.ones_like(alpha)
    race(
        f"composite-in-place-{size_name}",
        lambda: fm.kernels.composite(image, background, opaque, out=image, threads=1),
        image.copy(),
        0,
    )


def test_composite_colour_fastmatte(race, scene, size_name, isa):
    image, _, alpha = scene
    out = np.empty_like(image)
    race(
        f"composite-colour-{size_name}",
        lambda: fm.kernels.composite(image, (0, 177, 64), alpha, out=out, threads=1),
        oracles.composite(image, (0, 177, 64), alpha),
        0,
    )


def test_composite_light_fastmatte(race, scene, size_name, isa):
    image, background, alpha = scene
    out = np.empty_like(image)
    race(
        f"composite-light-{size_name}",
        lambda: fm.kernels.composite(
            image, background, alpha, linear_light=True, out=out, threads=1
        ),
        oracles.composite(image, background, alpha, linear_light=True),
        0,
    )


def test_composite_light_peer(race, scene, size_name):
    expected = oracles.composite(*scene, linear_light=True)
    race(f"composite-light-{size_name}", lambda: peers.composite_light_numpy(*scene), expected, 1)


def test_composite_memcpy(benchmark, scene, size_name):
    benchmark.group = f"composite-{size_name}"
    benchmark(peers.memcpy(*scene))


def test_cutout_fastmatte(race, scene, size_name, isa):
    image, _, alpha = scene
    out = np.empty((*alpha.shape, 4), np.uint8)
    race(
        f"cutout-{size_name}",
        lambda: fm.kernels.cutout(image, alpha, out=out, threads=1),
        oracles.cutout(image, alpha),
        0,
    )


def test_cutout_peer(benchmark, scene, size_name):
    image, _, alpha = scene
    benchmark.group = f"cutout-{size_name}"
    result = benchmark(peers.cutout_numpy, image, alpha)
    # NumPy keeps the colours under alpha 0.
    np.testing.assert_array_equal(result[..., 3], oracles.cutout(image, alpha)[..., 3])


def test_cutout_memcpy(benchmark, scene, size_name):
    benchmark.group = f"cutout-{size_name}"
    benchmark(peers.memcpy(scene[0], scene[2]))


@pytest.mark.parametrize("kernel", PREMULTIPLICATION_PEERS)
def test_premultiplication_fastmatte(race, scene, size_name, isa, kernel):
    rgba = fm.kernels.cutout(scene[0], scene[2])
    out = np.empty_like(rgba)
    race(
        f"{kernel}-{size_name}",
        lambda: getattr(fm.kernels, kernel)(rgba, out=out, threads=1),
        getattr(oracles, kernel)(rgba),
        0,
    )


@pytest.mark.parametrize("kernel", PREMULTIPLICATION_PEERS)
def test_premultiplication_peer(race, scene, size_name, kernel):
    rgba = fm.kernels.cutout(scene[0], scene[2])
    race(
        f"{kernel}-{size_name}",
        lambda: PREMULTIPLICATION_PEERS[kernel](rgba),
        getattr(oracles, kernel)(rgba),
        0,
    )


@pytest.mark.parametrize("kernel", PREMULTIPLICATION_PEERS)
def test_premultiplication_memcpy(benchmark, scene, size_name, kernel):
    benchmark.group = f"{kernel}-{size_name}"
    benchmark(peers.memcpy(fm.kernels.cutout(scene[0], scene[2])))
