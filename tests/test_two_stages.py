"""Two networks, one after the other: the first one's alpha becomes the second one's trimap."""

from __future__ import annotations

import hashlib
from pathlib import Path

import fastmatte as fm
import numpy as np
import pytest
from fastmatte.models import Download, KnownModel, ModelSpec
from fastmatte.models.catalogue import CATALOGUE
from PIL import Image


def scene(height=120, width=200, seed=0):
    """Dark on the left, bright on the right, some noise: every coarse network sees an edge."""
    rng = np.random.default_rng(seed)
    levels = 5 + 245 * (np.arange(width) > width / 2 + 5 * seed)
    noise = rng.integers(-20, 21, (height, width, 3))
    return (levels[:, None] + noise).clip(0, 255).astype(np.uint8)


def trimap_by_hand(coarse, image, radius):
    alpha = coarse.alpha(image, out=np.empty(image.shape[:2], np.uint8))
    return fm.kernels.trimap(alpha, radius=radius)


@pytest.mark.parametrize("mode", ["fast", "reference"])
@pytest.mark.parametrize(
    ("size", "options", "radius"),
    [
        ((120, 200), {}, 3),  # 0.02 * sqrt(24000) = 3.1
        ((20, 30), {}, 1),
        ((1100, 1300), {}, 24),
        ((120, 200), {"trimap_radius": 0.1}, 15),
        ((120, 200), {"trimap_radius": 0}, 1),
    ],
)
def test_the_second_network_gets_the_trimap_of_the_firsts_alpha(graph, mode, size, options, radius):
    image, coarse = scene(*size), fm.Matter(graph("selfie"))
    trimap = trimap_by_hand(coarse, image, radius)
    assert set(np.unique(trimap)) == {0, 128, 255}
    expected = fm.Matter(graph("dim"), mode=mode).alpha(image, trimap=trimap)
    for model in (graph("selfie"), str(graph("selfie")), fm.ModelSpec(graph("selfie")), coarse):
        matter = fm.Matter(graph("dim"), mode=mode, trimap_from=model, **options)
        np.testing.assert_array_equal(matter.alpha(image), expected)
    np.testing.assert_array_equal(matter(image).alpha, expected)
    with matter.stream() as stream:
        for _ in range(2):
            np.testing.assert_array_equal(stream(image).alpha, expected)
        assert {"trimap", "input", "network", "refine"} <= set(stream.stats.stages)


def test_the_first_network_is_smoothed_as_it_would_be_alone(graph):
    # Light grows from left to right: where a trimap's parts meet noise alone decides.
    light = np.linspace(0, 255, 200)[:, None]
    noises = np.random.default_rng(0).normal(0, 4, (4, 120, 200, 3))
    frames = [np.clip(light + noise, 0, 255).astype(np.uint8) for noise in noises]
    matter = fm.Matter(graph("dim"), trimap_from=graph("selfie"))
    dim = fm.Matter(graph("dim"))
    found = {}
    for smoothing in ("auto", "none"):
        with (
            matter.stream(smoothing=smoothing) as stream,
            fm.Matter(graph("selfie")).stream(smoothing=smoothing) as coarse,
        ):
            for frame in frames:
                levels = fm.kernels.quantise(coarse(frame).alpha)
                expected = dim.alpha(frame, trimap=fm.kernels.trimap(levels, radius=3))
                np.testing.assert_array_equal(stream(frame).alpha, expected)
        found[smoothing] = expected
    assert (found["auto"] != found["none"]).any()


def test_a_trimap_that_is_given_goes_before(graph):
    image = scene()
    trimap = np.zeros((120, 200), np.uint8)
    trimap[:, 100:] = 255
    trimap[30:60, 80:120] = 128
    expected = fm.Matter(graph("dim")).alpha(image, trimap=trimap)
    matter = fm.Matter(graph("dim"), trimap_from=graph("selfie"))
    np.testing.assert_array_equal(matter.alpha(image, trimap=trimap), expected)
    np.testing.assert_array_equal(matter(image, trimap=trimap).alpha, expected)
    with matter.stream() as stream:
        assert (stream(image).alpha != expected).any()
        np.testing.assert_array_equal(stream(image, trimap=trimap).alpha, expected)
        assert (stream(image).alpha != expected).any()


@pytest.mark.parametrize("pixel_format", ["bgr", "rgba", "bgra"])
def test_pixel_formats_reach_both_networks(graph, pixel_format):
    image = scene()
    image[..., 0] //= 2
    order = slice(None, None, -1) if pixel_format.startswith("bgr") else slice(None)
    pixels = image[..., order]
    if len(pixel_format) == 4:
        pixels = np.dstack([pixels, np.zeros((120, 200), np.uint8)])
    matter = fm.Matter(graph("dim"), trimap_from=graph("weighted"))
    expected = matter.alpha(image)
    np.testing.assert_allclose(matter.alpha(pixels, pixel_format=pixel_format), expected, atol=1e-6)
    with matter.stream(pixel_format=pixel_format) as stream:
        np.testing.assert_allclose(stream(pixels).alpha, expected, atol=1e-6)


def test_a_recurrent_first_network_remembers_in_a_stream(graph):
    matter = fm.Matter(graph("dim"), trimap_from=graph("rvm"), trimap_radius=0.01)
    coarse, fine = fm.Matter(graph("rvm")).stream(cuts="ignore"), fm.Matter(graph("dim"))
    first = None
    with matter.stream(cuts="ignore") as stream:
        for seed in (0, 1, 2, 0):
            frame = scene(seed=seed)
            rough = fm.kernels.quantise(coarse(frame).alpha)
            expected = fine.alpha(frame, trimap=fm.kernels.trimap(rough, radius=2))
            np.testing.assert_array_equal(stream(frame).alpha, expected)
            first = expected if first is None else first
        stream.reset()
        np.testing.assert_array_equal(stream(scene(seed=0)).alpha, first)
        assert stream(scene(90, 160)).alpha.shape == (90, 160)


def test_only_what_the_first_leaves_open_is_run(graph):
    """All background: the second network, which would say otherwise, has nothing to do."""
    matter = fm.Matter(graph("dim"), trimap_from=graph("selfie"))
    assert (matter.alpha(np.zeros((300, 400, 3), np.uint8)) == 0).all()


def test_info_tells_of_both(graph):
    coarse = fm.Matter(graph("selfie"), threads=1)
    info = fm.Matter(graph("dim"), trimap_from=coarse, threads=2).info
    assert (info.family, info.threads) == ("dim", 2)
    assert info.trimap_from == coarse.info
    own = fm.Matter(graph("dim"), trimap_from=graph("selfie"), threads=1).info
    assert own.trimap_from == coarse.info
    assert fm.Matter(graph("dim")).info.trimap_from is None


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        ("modnet", {"trimap_from": "selfie"}, ValueError, "expected None, for family 'modnet'"),
        ("dim", {"trimap_from": "dim"}, ValueError, "and family 'dim' needs a trimap"),
        ("dim", {"trimap_from": "bgmv2"}, ValueError, "'bgmv2-refine' needs a background"),
        ("dim", {"trimap_from": 7}, TypeError, "trimap_from: expected a name, a path, a"),
        ("dim", {"trimap_radius": 0.01}, ValueError, "trimap_radius: expected None, for there"),
        (
            "dim",
            {"trimap_from": "selfie", "trimap_radius": 7},
            ValueError,
            "trimap_radius: expected 0 to 0.25 of the square root of the image's pixels, got 7",
        ),
        (
            "dim",
            {"trimap_from": "selfie", "trimap_radius": float("nan")},
            ValueError,
            "got nan",
        ),
    ],
)
def test_what_cannot_be_is_named(graph, model, options, error, message):
    if isinstance(name := options.get("trimap_from"), str):
        options = options | {"trimap_from": graph(name)}
    with pytest.raises(error) as caught:
        fm.Matter(graph(model), **options)
    assert message in str(caught.value)


def test_a_first_network_that_is_missing_is_named(graph):
    with pytest.raises(fm.ModelError, match=r"portrait\.onnx: no such model file"):
        fm.Matter(graph("dim"), trimap_from="portrait.onnx")


def test_the_default_network_makes_trimaps(graph):
    sample = Path(__file__).parent.parent / "examples" / "eileen_collins.jpg"
    image = np.asarray(Image.open(sample).convert("RGB"))
    trimap = trimap_by_hand(fm.Matter(), image, 10)  # 0.02 * 512 = 10.2
    expected = fm.Matter(graph("dim")).alpha(image, trimap=trimap)
    matter = fm.Matter(graph("dim"), trimap_from="portrait")
    np.testing.assert_array_equal(matter.alpha(image), expected)


def test_weights_of_both_must_be_free_where_that_is_asked(graph, monkeypatch):
    for name in ("dim", "selfie"):
        digest = hashlib.sha256(graph(name).read_bytes()).hexdigest()
        row = KnownModel(
            f"tiny-{name}",
            ModelSpec(f"{name}.onnx"),
            licence="MIT",
            commercial="yes",
            source="https://example.org/tiny",
            download=Download("https://example.org/tiny.onnx", (f"sha256:{digest}",), "here"),
        )
        monkeypatch.setitem(CATALOGUE, row.name, row)
    unknown, free = graph("modnet"), graph("selfie")
    for model in (unknown, fm.Matter(unknown)):
        with pytest.raises(fm.ModelError, match=r"modnet\.onnx"):
            fm.Matter(graph("dim"), trimap_from=model, commercial_only=True)
    for model in (free, fm.Matter(free)):
        matter = fm.Matter(graph("dim"), trimap_from=model, commercial_only=True)
        assert matter.info.trimap_from.licence == "MIT"


def test_engine_and_precision_are_for_both(graph):
    matter = fm.Matter(
        graph("dim"), trimap_from=graph("selfie"), engine="onnxruntime", precision="fp32"
    )
    both = matter.info, matter.info.trimap_from
    assert {(info.engine, info.precision) for info in both} == {("onnxruntime", "fp32")}


def test_a_background_is_still_refused(graph):
    matter = fm.Matter(graph("dim"), trimap_from=graph("selfie"))
    with pytest.raises(ValueError, match="background: expected none, for family 'dim' takes a"):
        matter.alpha(scene(), background=scene())
    with pytest.raises(ValueError, match="align: expected False, for family 'dim' takes no backg"):
        matter.alpha(scene(), align=True)
