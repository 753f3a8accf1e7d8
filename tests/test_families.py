"""Recognition of families, and how each is fed and read, on generated graphs."""

from __future__ import annotations

import fastmatte as fm
import graphs
import numpy as np
import oracles
import pytest
from fastmatte.models import portrait
from fastmatte.models.modnet import dynamic_size

pytestmark = pytest.mark.usefixtures("engine")


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("name", graphs.ALL)
def test_family_is_recognised_with_its_reason(graph, name):
    info = fm.Matter(graph(name)).info
    assert info.family == name.removesuffix("_channels_last")
    assert info.family_reason != "said by hand"


@pytest.mark.parametrize(
    ("name", "size", "mean", "std"),
    [
        ("modnet", (512, 672), 0.5, 0.5),
        ("selfie", (256, 256), 0.0, 1.0),
        ("selfie_channels_last", (256, 256), 0.0, 1.0),
        ("softmax", (192, 192), 0.5, 0.5),
        ("salient", (224, 224), np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])),
    ],
)
@pytest.mark.parametrize("pixel_format", ["rgb", "bgr", "rgba", "bgra"])
def test_network_sees_the_documented_tensor(graph, name, size, mean, std, pixel_format):
    image = photo(600, 800)
    pixels = image if pixel_format.startswith("rgb") else image[..., ::-1]
    if len(pixel_format) == 4:
        pixels = np.dstack([pixels, photo(600, 800, 1)[..., :1]])
    small = oracles.resample(image.astype(float), size, "area")
    centre = 0.5 if name.startswith("selfie") else 0.0
    expected = sigmoid(graphs.SLOPE * (((small / 255 - mean) / std).mean(-1) - centre))
    matter = fm.Matter(graph(name), refine="none")
    alpha = matter.alpha(pixels, pixel_format=pixel_format)
    np.testing.assert_allclose(alpha, oracles.resample(expected, (600, 800), "bilinear"), atol=2e-5)


def test_float16_graph_sees_and_gives_float16(graph):
    image = photo(64, 96)
    matter = fm.Matter(graph("modnet_half"), size=(64, 96), refine="none")
    assert matter.info.family == "modnet"
    assert matter.signature.inputs[0].dtype == "float16"
    seen = (image / 255 - 0.5) / 0.5
    expected = sigmoid(graphs.SLOPE * seen.astype(np.float16).astype(float).mean(-1))
    # Half a step of float16 below 1.
    np.testing.assert_allclose(matter.alpha(image), expected, rtol=0, atol=2.0**-12 + 1e-6)


def test_small_images_are_interpolated_for_the_network(graph):
    image = photo(100, 300)
    grown = oracles.resample(image.astype(float), (256, 256), "bilinear")
    expected = sigmoid(graphs.SLOPE * (grown.mean(-1) / 255 - 0.5))
    alpha = fm.Matter(graph("selfie"), refine="none").alpha(image)
    np.testing.assert_allclose(alpha, oracles.resample(expected, (100, 300), "bilinear"), atol=2e-5)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ((1080, 1920), (512, 896)),  # 910 floored to a multiple of 32
        ((1920, 1080), (896, 512)),
        ((300, 400), (512, 672)),
        ((512, 512), (512, 512)),
        ((600, 500), (576, 480)),  # neither smaller nor larger all over: kept
        ((100, 4000), (96, 4000)),
        ((20, 700), (32, 672)),
        ((1, 37), (512, 2048)),  # enlarged strips are squashed
        ((40, 1), (2048, 512)),
    ],
)
def test_modnet_size_rule(frame, expected):
    assert dynamic_size(frame) == expected


def test_hand_made_spec_overrides_the_family(graph):
    image = photo(64, 96)
    spec = fm.ModelSpec(graph("modnet"), size=(64, 96), mean=(0, 0, 0), std=(1, 1, 1))
    expected = sigmoid(graphs.SLOPE * image.mean(-1) / 255)
    np.testing.assert_allclose(fm.Matter(spec).alpha(image), expected, atol=1e-5)


def test_unknown_signature_says_what_was_found_and_what_to_do(graph):
    with pytest.raises(fm.ModelError) as caught:
        fm.Matter(graph("unknown"))
    for part in (
        "fits no known family",
        "frames float32 [1, 5, 64, 64]",
        "score float32 [1, 1, 64, 64]",
        "r1i..r4i",
        "a ModelSpec where",
    ):
        assert part in str(caught.value)


def test_family_said_by_hand(graph, tmp_path):
    path = graphs.brightness(tmp_path / "odd.onnx", "a", "b", (1, 3, 48, 40), (1, 1, 48, 40))
    with pytest.raises(fm.ModelError, match="fits no known family"):
        fm.Matter(path)
    matter = fm.Matter(path, family="selfie")
    assert matter.info.family_reason == "said by hand"
    image = photo(48, 40)
    expected = sigmoid(graphs.SLOPE * image.mean(-1) / 255)
    np.testing.assert_allclose(matter.alpha(image), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"family: expected one of 'modnet'.*got 'u3net'"):
        fm.Matter(path, family="u3net")
    with pytest.raises(ValueError, match="family: selfie needs one RGB image"):
        fm.Matter(graph("unknown"), family="selfie").alpha(image)


def test_output_that_is_no_alpha_is_an_error(graph):
    with pytest.raises(fm.ModelError, match=r"output is no alpha .* family 'modnet'"):
        fm.Matter(graph("logits")).alpha(np.full((64, 64, 3), 255, np.uint8))


def test_what_rounding_left_beyond_one_is_one(graph):
    alpha = fm.Matter(graph("modnet_rounded")).alpha(np.full((64, 64, 3), 255, np.uint8))
    assert (alpha == 1).all()


def rvm_by_hand(frames, keep_state):
    memory = 0.0
    alphas = []
    for frame in frames:
        grey = frame.mean(-1) / 255
        alphas.append(0.8 * grey + 0.2 * memory)
        # The frames' sides are even, so the mean of the shrunk grey is the mean of grey.
        memory = 0.5 * memory + 0.5 * grey.mean() if keep_state else 0.0
    return alphas


def test_rvm_stream_keeps_its_state_and_single_images_do_not(graph):
    frames = [photo(48, 64, seed) // (seed + 1) for seed in range(5)]
    matter = fm.Matter(graph("rvm"))
    with matter.stream(cuts="ignore") as stream:
        streamed = [stream(frame).alpha.copy() for frame in frames]
        np.testing.assert_allclose(streamed, rvm_by_hand(frames, True), atol=1e-5)
        stream.reset()
        np.testing.assert_allclose(
            stream(frames[1]).alpha, rvm_by_hand(frames[1:], True)[0], atol=1e-5
        )
    single = [matter.alpha(frame) for frame in frames]
    np.testing.assert_allclose(single, rvm_by_hand(frames, False), atol=1e-5)


def test_rvm_state_starts_afresh_when_frames_change_size(graph):
    with fm.Matter(graph("rvm")).stream() as stream:
        stream(photo(48, 64))
        frame = photo(32, 32, 1)
        np.testing.assert_allclose(stream(frame).alpha, 0.8 * frame.mean(-1) / 255, atol=1e-5)


def test_rvm_remembers_over_what_is_no_frame(graph):
    frames = [photo(48, 64, seed) for seed in range(3)]
    with fm.Matter(graph("rvm")).stream(cuts="ignore") as stream:
        stream(frames[0])
        for bad in (frames[1][..., 0], frames[1] / 255, photo(32, 32)[:0], None):
            with pytest.raises((TypeError, ValueError), match="image: expected"):
                stream(bad)
        np.testing.assert_allclose(stream(frames[1]).alpha, rvm_by_hand(frames, True)[1], atol=1e-5)


def test_rvm_sees_tiny_frames_enlarged(graph):
    matter = fm.Matter(graph("rvm"))
    for size in [(1, 1), (1, 40), (40, 1), (5, 7)]:
        frame = np.full((*size, 3), 100, np.uint8)
        np.testing.assert_allclose(matter.alpha(frame), 0.8 * 100 / 255, atol=1e-5)
        assert matter(frame).cutout().shape == (*size, 4)
    with pytest.raises(ValueError, match="size: expected sides of at least 16"):
        fm.Matter(graph("rvm"), size=(8, 64))


def test_rvm_gives_its_own_foreground(graph):
    matter = fm.Matter(graph("rvm"))
    image = photo(40, 56)
    expected = np.floor(image * 0.8 + 0.5)
    for pixel_format, pixels in (("rgb", image), ("bgr", image[..., ::-1])):
        own = matter(pixels, pixel_format=pixel_format).foreground
        with matter.stream(pixel_format=pixel_format) as stream:
            np.testing.assert_array_equal(stream(pixels).foreground, own)
        in_rgb = own if pixel_format == "rgb" else own[..., ::-1]
        assert np.abs(in_rgb - expected).max() <= 1


@pytest.mark.parametrize(
    "frame", [(64, 64), (1080, 1920), (1920, 1080), (480, 640), (2160, 3840), (366, 640)]
)
def test_portrait_sees_every_frame_at_its_aspect_and_at_the_same_cost(frame):
    height, width = portrait.dynamic_size(frame)
    assert height % portrait.MULTIPLE == width % portrait.MULTIPLE == 0
    assert height * width == pytest.approx(portrait.SIDE**2, rel=0.08)
    assert width / height == pytest.approx(frame[1] / frame[0], rel=0.08)


@pytest.mark.parametrize("frame", [(10, 4000), (4000, 10), (1, 1)])
def test_portrait_squashes_strips(frame):
    height, width = portrait.dynamic_size(frame)
    assert max(height / width, width / height) <= portrait.LONGEST_ASPECT * 1.1


def test_portrait_takes_alpha_at_half_its_size(graph):
    matter = fm.Matter(graph("portrait"), refine="none")
    image = photo(512, 512)
    small = oracles.resample(image.astype(float), (256, 256), "area")
    half = sigmoid(graphs.SLOPE * ((small / 255 - 0.5) / 0.5).mean(-1))
    expected = oracles.resample(half, (512, 512), "bilinear")
    np.testing.assert_allclose(matter.alpha(image), expected, atol=2e-5)
