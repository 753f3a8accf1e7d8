"""Tiles: large images through trimap networks, piece by piece, as if they were one."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import fastmatte as fm
import graphs
import numpy as np
import onnx
import pytest
from fastmatte.models.tiles import overlap_of, spans
from hypothesis import given
from hypothesis import strategies as st

#: Where each signature's family is said by hand.
FAMILIES = {"dim": "dim", "four": "dim-4channel", "vitmatte": "vitmatte", "vitmatte-hf": None}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Make a network of a known receptive field, once."""
    folder = tmp_path_factory.mktemp("local")

    def make(**options):
        path = folder / f"{'-'.join(map(str, options.values()))}.onnx"
        return path if path.exists() else graphs.local(path, **options)

    return make


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def trimap_of(kind, height, width):
    """What can be unknown: a band, a few spots, everything, or nothing."""
    rows, columns = np.mgrid[:height, :width]
    if kind == "band":
        place = 2 * columns / width + rows / height
        return np.where(place < 1.2, 0, np.where(place > 1.5, 255, 128)).astype(np.uint8)
    trimap = np.full((height, width), 128 if kind == "all" else 255, np.uint8)
    if kind == "spots":
        for row, column in ((0, 0), (height - 1, width - 1), (height // 3, width - 2)):
            trimap[row, column] = 128
    return trimap


@pytest.mark.parametrize("kind", ["band", "spots", "all", "nothing"])
@pytest.mark.parametrize("size", [(700, 901), (385, 384), (1300, 97), (33, 1591)])
def test_tiles_are_the_whole_image_where_the_network_looks_no_further(local, size, kind):
    """It looks 31 pixels far; three eighths of a quarter of 384 are 36."""
    image, trimap = noise(*size), trimap_of(kind, *size)
    tiled, whole = (fm.Matter(local(pool=32), tile=tile) for tile in (384, "none"))
    expected = whole.alpha(image, trimap=trimap)
    np.testing.assert_allclose(tiled.alpha(image, trimap=trimap), expected, rtol=0, atol=2e-6)
    as_bytes = tiled.alpha(image, trimap=trimap, out=np.empty(size, np.uint8))
    np.testing.assert_array_less(np.abs(as_bytes - 255 * expected), 0.502)


@pytest.mark.parametrize("signature", FAMILIES)
def test_every_family_with_a_trimap_has_tiles(local, signature):
    # DIM's own takes frames of any size, which are not padded for its pooling.
    size = (640, 512) if signature == "dim" else (641, 510)
    image, trimap = noise(*size), trimap_of("band", *size)
    path, family = local(signature=signature, pool=8), FAMILIES[signature]
    tiled, whole = (
        fm.Matter(path, family=family, tile=tile).alpha(image, trimap=trimap)
        for tile in (128, "none")
    )
    assert np.ptp(whole[trimap == 128]) > 0.5
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-6)


def test_odd_sizes_of_a_network_that_takes_any(local):
    image, trimap = noise(531, 607), trimap_of("band", 531, 607)
    path = local(signature="dim", pool=1, dilation=12)
    tiled, whole = (
        fm.Matter(path, tile=tile).alpha(image, trimap=trimap) for tile in (128, "none")
    )
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-6)


def test_seams_of_a_network_that_looks_everywhere_are_no_edges(graph):
    """Each tile has its own mean here, which the alpha follows: it may drift, but not jump."""
    rows, columns = np.mgrid[:1300, :1400]
    image = np.stack([rows // 12, columns // 12, rows // 20], 2).astype(np.uint8)
    trimap = np.full((1300, 1400), 128, np.uint8)
    tiled, whole = (
        fm.Matter(graph("dim"), tile=tile).alpha(image, trimap=trimap) for tile in ("auto", "none")
    )
    apart = tiled - whole
    assert np.abs(apart).max() > 4 / 255
    for axis in (0, 1):
        assert np.abs(np.diff(apart, axis=axis)).max() < 1 / 255


def test_small_images_are_run_whole_as_ever(graph):
    for size in ((1024, 1024), (512, 2000)):
        image, trimap = noise(*size), trimap_of("band", *size)
        plain, whole = (
            fm.Matter(graph("dim"), tile=tile).alpha(image, trimap=trimap)
            for tile in ("auto", "none")
        )
        np.testing.assert_array_equal(plain, whole)
    image, trimap = noise(1032, 1024), trimap_of("band", 1032, 1024)
    trimap[trimap == 128] = np.where(np.arange((trimap == 128).sum()) % 2, 0, 128)
    plain, whole = (
        fm.Matter(graph("dim"), tile=tile).alpha(image, trimap=trimap) for tile in ("auto", "none")
    )
    assert (plain != whole).any()


@pytest.fixture(scope="module")
def picky(tmp_path_factory):
    """A network whose alpha is no number where it sees black."""
    path = graphs.local(tmp_path_factory.mktemp("picky") / "picky.onnx", pool=1, dilation=1)
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "alpha"
    helper = onnx.helper
    model.graph.node.extend(
        [
            helper.make_node("ReduceMin", ["pixel_values"], ["least"], axes=[1], keepdims=1),
            helper.make_node("Add", ["least", "one"], ["level"]),
            helper.make_node("Sub", ["level", "level"], ["zero"]),
            helper.make_node("Sign", ["level"], ["sign"]),
            helper.make_node("Div", ["zero", "sign"], ["nothing"]),
            helper.make_node("Add", ["alpha", "nothing"], ["alphas"]),
        ]
    )
    model.graph.initializer.append(helper.make_tensor("one", onnx.TensorProto.FLOAT, [1], [1.0]))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("size", [(900, 1000), (100, 90)])
def test_nothing_is_run_where_alpha_is_known(picky, size):
    matter = fm.Matter(picky, tile=256)
    image, trimap = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)
    trimap[:, 70:] = 255
    np.testing.assert_array_equal(matter.alpha(image, trimap=trimap), trimap / 255)
    trimap[50, 60] = 128
    with pytest.raises(fm.ModelError, match=r"output is no alpha \(output: .*nan"):
        matter.alpha(image, trimap=trimap)
    # A spot and what is around it: 32 pixels, in steps of 32.
    image[:128, :128] = 9
    assert 0 < matter.alpha(image, trimap=trimap)[50, 60] < 1


@pytest.mark.parametrize("size", [(900, 1001), (321, 100), (320, 320), (50, 70)])
def test_graphs_of_one_size_see_pixels_as_they_are(local, size):
    image, trimap = noise(*size), trimap_of("band", *size)
    options = {"signature": "vitmatte-hf", "pool": 1, "dilation": 20}
    fixed = fm.Matter(local(**options, side=320))
    assert fixed.info.tile == (320, 320)
    assert fixed.info.sizes == "320 x 320"
    expected = fm.Matter(local(**options), tile="none").alpha(image, trimap=trimap)
    alpha = fixed.alpha(image, trimap=trimap)
    np.testing.assert_allclose(alpha, expected, rtol=0, atol=2e-6)
    squeezed = fm.Matter(local(**options, side=320), tile="none").alpha(image, trimap=trimap)
    assert (np.abs(squeezed - expected).max() < 1e-5) == (size == (320, 320))


def test_one_matter_takes_every_size_and_trimap_in_turn(local):
    matter = fm.Matter(local(pool=32), tile=384)
    cases = [
        (noise(*size), trimap_of(kind, *size))
        for size in ((500, 600), (384, 384), (90, 1700), (600, 500))
        for kind in ("band", "nothing", "spots")
    ]
    expected = [fm.Matter(local(pool=32), tile=384).alpha(i, trimap=t) for i, t in cases]
    with matter.stream() as stream, ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda case: matter.alpha(case[0], trimap=case[1]), cases)
        for case, alpha, wanted in zip(cases, found, expected, strict=True):
            np.testing.assert_array_equal(alpha, wanted)
            np.testing.assert_array_equal(stream(case[0], trimap=case[1]).alpha, wanted)


PEAK = """
import sys, resource
import numpy as np
import fastmatte as fm
matter = fm.Matter(sys.argv[1], threads=1, tile=int(sys.argv[2]) or "none")
image = np.random.default_rng(0).integers(0, 256, (4000, 6000, 3), dtype=np.uint8)
trimap = np.zeros((4000, 6000), np.uint8)
for row in range(4000):
    trimap[row, row + 500 : row + 900] = 128
    trimap[row, row + 900 :] = 255
warm = np.zeros((64, 64), np.uint8)
matter.alpha(image[:64, :64].copy(), trimap=warm + 128)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
matter.alpha(image, trimap=trimap, out=np.empty((4000, 6000), np.uint8))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_24_megapixels_fit_in_bounded_memory(local):
    """Sixteen floats a pixel in the widest layer: 1.5 GB for the whole, 67 MB for a window."""
    path = local(pool=32, dilation=8, channels=16)
    result = subprocess.run(
        [sys.executable, "-c", PEAK, path, "1024"], capture_output=True, text=True, check=True
    )
    # 120 MB are alpha in float32 and in bytes, some 50 masks of the trimap; the whole image at once
    # takes 4320 with ONNX Runtime, 3170 with OpenVINO.
    assert int(result.stdout) < 600, result.stdout


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dim", {"tile": 100}, "'none' or a multiple of 32 of at least 128, got 100"),
        ("dim", {"tile": 96}, "at least 128, got 96"),
        ("dim", {"tile": 2**20}, "got 1048576"),
        ("dim", {"tile": "large"}, "got 'large'"),
        ("dim", {"tile": 256, "mode": "reference"}, "for mode 'reference' sees frames as"),
        ("dim", {"tile": 256, "size": (64, 64)}, "for size says at which size"),
        ("modnet", {"tile": 256}, "for family 'modnet' sees frames whole; got 256"),
        ("rvm", {"tile": 256}, "for family 'rvm' sees frames whole; got 256"),
    ],
)
def test_a_tile_that_cannot_be_is_an_error(graph, name, options, message):
    with pytest.raises(ValueError, match="tile: expected 'auto'") as caught:
        fm.Matter(graph(name), **options)
    assert message in str(caught.value)


def test_a_graph_of_one_size_has_no_choice(local):
    with pytest.raises(ValueError, match="for the graph takes nothing but 320 x 320; got 256"):
        fm.Matter(local(signature="vitmatte-hf", pool=1, dilation=20, side=320), tile=256)


def test_a_graph_too_small_for_joints_sees_frames_whole(local):
    small = local(signature="vitmatte-hf", pool=1, dilation=3, side=64)
    matter = fm.Matter(small)
    assert matter.info.tile is None
    image, trimap = noise(200, 300), trimap_of("band", 200, 300)
    assert matter.alpha(image, trimap=trimap).shape == (200, 300)


@given(
    start=st.integers(0, 40),
    length=st.integers(1, 5000),
    sizes=st.one_of(
        st.tuples(st.integers(4, 40).map(lambda n: 32 * n), st.just(32)),
        st.tuples(st.integers(128, 1300), st.just(1)),
    ),
)
def test_weights_of_neighbours_add_up_to_one(start, length, sizes):
    window, align = sizes
    start *= align
    found = spans(start, start + length, window, align)
    total = np.zeros(length)
    for span in found:
        assert span.stop - span.start == len(span.weights) == min(window, length)
        assert (span.weights >= 0).all()
        total[span.start - start : span.stop - start] += span.weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert (found[0].start, found[-1].stop) == (start, start + length)
    assert all((span.start - start) % align == 0 for span in found[:-1])
    # No more windows than it takes, and nothing counts near where one was cut.
    overlap = overlap_of(window)
    assert (len(found) - 1) * (window - overlap) < max(length - overlap, 1)
    zeros = int(overlap * 3 / 8)
    for before, after in pairwise(found):
        assert before.stop - after.start >= overlap
        assert not before.weights[window - zeros :].any()
        assert not after.weights[:zeros].any()


def test_info_tells_of_tiles(graph):
    assert fm.Matter(graph("dim")).info.tile == (1024, 1024)
    assert fm.Matter(graph("dim"), tile=256).info.tile == (256, 256)
    for options in ({"tile": "none"}, {"mode": "reference"}, {"size": (64, 64)}):
        assert fm.Matter(graph("dim"), **options).info.tile is None
    assert fm.Matter(graph("modnet")).info.tile is None
