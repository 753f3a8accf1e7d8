"""Matter, Matte and Stream: arguments, threads, memory, and what a matte makes."""

from __future__ import annotations

import gc
import hashlib
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import fastmatte as fm
import numpy as np
import onnx
import oracles
import pytest

pytestmark = pytest.mark.usefixtures("engine")


def photo(height, width, seed=0):
    """Bright on the left, dark on the right, with noise: a matte with both ends and an edge."""
    rng = np.random.default_rng(seed)
    ramp = 255 / (1 + np.exp((np.arange(width) - width / 2) / (width / 20)))
    noise = rng.integers(-20, 21, (height, width, 3))
    return np.clip(ramp[None, :, None] + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def matter(graph, engine):
    return fm.Matter(graph("selfie"), threads=1)


def test_info_tells_what_really_runs(graph, matter, engine):
    info = matter.info
    assert info.model_sha256 == hashlib.sha256(graph("selfie").read_bytes()).hexdigest()
    assert (info.engine, info.device, info.precision) == (engine, "cpu", "fp32")
    assert info.engine_version == fm.engines.ENGINES[engine].version()
    assert info.input_shape == (None, 3, 256, 256)
    assert info.isa == fm.cpu.active()
    assert info.threads == 1
    assert f"selfie on {engine}" in repr(matter)


def test_alpha_has_the_size_of_the_image_at_every_size(matter):
    for size in [(1, 1), (1, 300), (300, 1), (2, 3), (256, 256), (300, 200), (200, 700)]:
        image = photo(*size)
        alpha = matter.alpha(image)
        assert alpha.shape == size
        assert alpha.min() >= 0
        assert alpha.max() <= 1
        as_bytes = matter.alpha(image, out=np.empty(size, np.uint8))
        np.testing.assert_array_equal(as_bytes, oracles.quantise(alpha, 255))


def test_refine_none_interpolates_and_guided_follows_the_image(graph, matter):
    image = photo(400, 500)
    plain = fm.Matter(graph("selfie"), refine="none").alpha(image)
    assert np.abs(plain - matter.alpha(image)).max() > 1e-3
    flat = fm.Matter(graph("selfie"), refine=fm.Refine(radius=2, eps=1e6)).alpha(image)
    assert np.abs(flat - plain).mean() < np.abs(matter.alpha(image) - plain).mean()


def test_matte_makes_what_the_kernels_make(matter):
    image, plate = photo(300, 200), photo(300, 200, 1)[:, ::-1].copy()
    matte = matter(image)
    np.testing.assert_array_equal(matte.alpha, matter.alpha(image))
    foreground = fm.kernels.estimate_foreground(image, matte.alpha)
    np.testing.assert_array_equal(matte.foreground, foreground)
    assert matte.foreground is matte.foreground
    np.testing.assert_array_equal(matte.cutout(), oracles.cutout(foreground, matte.alpha))
    np.testing.assert_array_equal(
        matte.composite(plate), oracles.composite(foreground, plate, matte.alpha)
    )
    np.testing.assert_array_equal(
        matte.composite(plate, linear_light=True),
        oracles.composite(foreground, plate, matte.alpha, linear_light=True),
    )
    np.testing.assert_array_equal(
        matte.composite((1, 2, 3), foreground="image"),
        oracles.composite(image, (1, 2, 3), matte.alpha),
    )


def test_within_lets_through_no_more_than_either(matter):
    matte, image = matter(photo(300, 200)), photo(300, 200)
    limit = np.random.default_rng(0).integers(0, 256, (300, 200), dtype=np.uint8)
    for alpha in (limit, limit / np.float32(255)):
        inner = matte.within(alpha)
        np.testing.assert_allclose(inner.alpha, matte.alpha * (limit / 255), atol=1e-7)
        np.testing.assert_array_equal(
            inner.foreground, fm.kernels.estimate_foreground(image, inner.alpha)
        )
    with pytest.raises(ValueError, match="alpha: expected the size of the frame, 300 x 200, got 2"):
        matte.within(limit[:2])
    with pytest.raises(TypeError, match="alpha: expected"):
        matte.within(limit.astype(float))
    with pytest.raises(ValueError, match="nan"):
        matte.within(np.full((300, 200), np.nan, np.float32))


def test_within_keeps_the_networks_own_colours(graph):
    own = fm.Matter(graph("rvm"))
    frame, limit = photo(60, 40), np.full((60, 40), 51, np.uint8)
    matte = own(frame)
    np.testing.assert_array_equal(matte.within(limit).foreground, matte.foreground)
    with own.stream() as stream:
        matte = stream(frame)
        inner = matte.within(limit)
        colours = matte.foreground.copy()
        stream(photo(60, 40, 1))
        np.testing.assert_array_equal(inner.foreground, colours)


@pytest.mark.parametrize("pixel_format", ["rgb", "bgr"])
def test_composite_mixes_the_networks_own_colours(graph, engine, pixel_format):
    own = fm.Matter(graph("rvm"), engine=engine)
    frame, plate = photo(60, 40), photo(60, 40, 1)
    with own.stream(pixel_format=pixel_format) as stream:
        matte = stream(frame)
        first = [
            matte.composite(plate),
            matte.composite((1, 2, 3), out=frame.copy()),
            matte.composite(photo(30, 50)),
        ]
        assert "foreground" not in stream.stats.stages
        lit = matte.composite(plate, linear_light=True)
        assert "foreground" in stream.stats.stages
        again = [matte.composite(b) for b in (plate, (1, 2, 3), photo(30, 50))]
        image = matte.composite(plate, foreground="image")
        alpha, colours = matte.alpha, matte.foreground
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(again[0], oracles.composite(colours, plate, alpha))
    np.testing.assert_array_equal(again[1], oracles.composite(colours, (1, 2, 3), alpha))
    np.testing.assert_array_equal(lit, oracles.composite(colours, plate, alpha, True))
    np.testing.assert_array_equal(image, oracles.composite(frame, plate, alpha))


def test_stream_lends_the_networks_own_alpha_and_a_call_gives_it_away(graph, engine):
    own = fm.Matter(graph("rvm"), engine=engine)
    frames = [photo(60, 40, seed) for seed in range(2)]
    with own.stream() as stream:
        lent = stream(frames[0]).alpha
        np.testing.assert_array_equal(lent, own(frames[0]).alpha)
        assert stream(frames[1]).alpha is lent
    given = own(frames[0]).alpha
    kept = given.copy()
    assert not np.shares_memory(given, own(frames[1]).alpha)
    np.testing.assert_array_equal(given, kept)


def test_signature_is_the_graphs(matter):
    [source], [result] = matter.signature.inputs, matter.signature.outputs
    assert (source.name, source.dtype, source.shape[1:]) == (
        "pixel_values",
        "float32",
        (3, 256, 256),
    )
    assert result.name == "alphas"


def test_background_of_another_size_covers_the_frame(matter):
    matte = matter(photo(300, 200))
    # Twice too wide: only the middle half, which is white, may be seen.
    plate = np.zeros((90, 120, 3), np.uint8)
    plate[:, 30:90] = 255
    expected = oracles.composite(matte.foreground, (255, 255, 255), matte.alpha)
    np.testing.assert_array_equal(matte.composite(plate), expected)
    for size in [(1, 1), (1, 999), (999, 1), (2000, 100)]:
        grey = np.full((*size, 3), 99, np.uint8)
        np.testing.assert_array_equal(
            matte.composite(grey), oracles.composite(matte.foreground, (99,) * 3, matte.alpha)
        )


def test_blurred_background_keeps_the_person_out(matter):
    image = np.zeros((300, 400, 3), np.uint8)
    image[:, 200:] = (0, 0, 90)
    image[:, :200] = (255, 255, 255)
    matte = matter(image)
    result = matte.composite(fm.Blur(20.0))
    beside = result[:, 205:215, 0]
    through = fm.kernels.blur(image, sigma=20.0)[:, 205:215, 0]
    # What is left comes from alpha, which is 0.98 in the white and 0.04 in the blue.
    assert through.min() > 50
    assert beside.max() < 20


@pytest.mark.parametrize("pixel_format", ["bgr", "rgba", "bgra"])
def test_pixel_formats_give_the_same_matte(matter, pixel_format):
    image = photo(300, 280)
    image[..., 1] //= 2
    matte = matter(image)
    order = slice(None, None, -1) if pixel_format.startswith("bgr") else slice(None)
    pixels = image[..., order]
    if len(pixel_format) == 4:
        pixels = np.dstack([pixels, np.zeros((300, 280), np.uint8)])
    other = matter(pixels, pixel_format=pixel_format)
    np.testing.assert_allclose(other.alpha, matte.alpha, atol=1e-6)
    difference = other.foreground[..., order].astype(int) - matte.foreground
    assert np.abs(difference).max() <= 1
    with matter.stream(pixel_format=pixel_format) as stream:
        np.testing.assert_array_equal(stream(pixels).alpha, other.alpha)


def test_several_threads_may_call_one_matter(graph):
    matter = fm.Matter(graph("modnet"), threads=2)
    images = [photo(70 + 40 * (i % 3), 90, i) for i in range(24)]
    expected = [matter.alpha(image) for image in images]
    with ThreadPoolExecutor(6) as pool:
        for alpha, wanted in zip(pool.map(matter.alpha, images), expected, strict=True):
            np.testing.assert_array_equal(alpha, wanted)


def peak_of(function):
    """Bytes newly held by NumPy and Python at the worst moment of a call."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.usefixtures("empty_store")
def test_hot_path_allocates_nothing_after_its_first_frame(matter, dtype):
    image = photo(480, 640)
    out = np.empty((480, 640), dtype)
    matter.alpha(image, out=out)
    before = fm._core.system_allocations()
    # The bookkeeping of a call is far below one row of alpha.
    assert peak_of(lambda: [matter.alpha(image, out=out) for _ in range(5)]) < 20_000
    assert fm._core.system_allocations() == before


@pytest.mark.usefixtures("empty_store")
def test_stream_allocates_nothing_after_its_first_frame(matter):
    frames = [photo(480, 640, seed) for seed in range(3)]
    canvas = np.empty((480, 640, 3), np.uint8)
    plate = photo(200, 300)

    def run():
        for frame in frames:
            matte = stream(frame)
            matte.composite(plate, out=canvas)
            matte.composite(fm.Blur(5.0), out=canvas)

    with matter.stream() as stream:
        run()
        before = fm._core.system_allocations()
        assert peak_of(run) < 20_000
        assert fm._core.system_allocations() == before


def living():
    """What there is of a Matter's inside, by its address."""
    made = [item for item in gc.get_objects() if type(item).__name__ in ("Runner", "Bound")]
    return {id(item): item for item in made}


@pytest.mark.parametrize("name", ["modnet", "bgmv2", "dim", "rvm"])
def test_tensors_of_a_size_go_with_it_and_wait_for_no_collector(graph, name):
    """They are hundreds of megabytes for each size, and the collector counts objects."""
    gc.collect()
    before = living()
    gc.disable()
    try:
        matter = fm.Matter(graph(name))
        with matter.stream() as stream:
            for size in ((64, 96), (96, 64)):
                image = photo(*size)
                trimap = np.full(size, 128, np.uint8)
                guides = {"trimap": trimap, "background": image}
                guidance = {matter.guidance: guides[matter.guidance]} if matter.guidance else {}
                matter.alpha(image, **guidance)
                stream(image, **guidance)
        del matter, stream
        left = [type(item) for key, item in living().items() if key not in before]
    finally:
        gc.enable()
    assert not left


def test_stream_equals_single_calls_and_counts_its_stages(matter):
    frames = [photo(100, 120, seed) for seed in range(4)] + [photo(80, 60)]
    with matter.stream(smoothing="none") as stream:
        for frame in frames:
            matte = stream(frame)
            np.testing.assert_array_equal(matte.alpha, matter.alpha(frame))
            np.testing.assert_array_equal(
                matte.composite((9, 9, 9)), matter(frame).composite((9, 9, 9))
            )
    stats = stream.stats
    assert (stats.frames, stats.dropped) == (5, 0)
    assert set(stats.stages) == {"input", "network", "refine", "foreground", "composite"}
    assert all(0 < s.p50 <= s.p95 <= s.p99 for s in stats.stages.values())


def test_matte_of_an_earlier_frame_refuses(matter):
    with matter.stream() as stream:
        first = stream(photo(50, 50))
        stream(photo(50, 50, 1))
        for use in (lambda: first.alpha, lambda: first.foreground, lambda: first.cutout()):
            with pytest.raises(fm.FastmatteError, match="gone on to its next frame"):
                use()


GOOD = photo(20, 30)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        ("photo.jpg", TypeError, "image: expected a NumPy array, (H, W, 3) uint8, got str"),
        (GOOD.astype(np.float32), TypeError, "got (20, 30, 3) float32"),
        (GOOD[..., 0], ValueError, "image: expected (H, W, 3) uint8, got (20, 30) uint8"),
        (GOOD[:0], ValueError, "image: expected at least 1 x 1 pixels, got 0 x 30"),
        (np.dstack([GOOD, GOOD[..., :1]]), ValueError, "got (20, 30, 4) uint8"),
        (
            np.broadcast_to(np.uint8(0), (20_000, 20_000, 3)),
            ValueError,
            "at most 268435456 pixels, got 20000 x 20000",
        ),
    ],
)
def test_bad_image_is_named(matter, image, error, message):
    for call in (matter, matter.alpha, matter.stream()):
        with pytest.raises(error) as caught:
            call(image)
        assert message in str(caught.value)


def test_read_only_and_scattered_images_are_read(matter):
    frozen = GOOD.copy()
    frozen.flags.writeable = False
    expected = matter.alpha(GOOD)
    np.testing.assert_array_equal(matter.alpha(frozen), expected)
    wide = np.repeat(GOOD, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(matter.alpha(wide), expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"engine": "tensorflow"}, ValueError, "engine: expected one of 'auto', 'openvino', 'onnx"),
        ({"precision": "fp8"}, ValueError, "precision: expected one of 'auto', 'fp32'"),
        ({"refine": "sharp"}, ValueError, "refine: expected 'guided', 'none' or a Refine"),
        ({"threads": 0}, ValueError, "threads: expected an integer from 1 to 1024, got 0"),
        ({"threads": "2"}, ValueError, "threads: expected an integer"),
        ({"size": (100, 100)}, ValueError, "size: expected (256, 256), fixed in the graph"),
        ({"size": 256}, ValueError, "size: expected (height, width), a tuple of two p"),
        ({"size": [256, 256]}, ValueError, "a tuple of two positive integers, of at most"),
        ({"family": "nothing"}, ValueError, "family: expected one of"),
    ],
)
def test_bad_option_is_named(graph, options, error, message):
    with pytest.raises(error) as caught:
        fm.Matter(graph("selfie"), **options)
    assert message in str(caught.value)


def test_size_must_be_a_multiple_the_network_takes(graph):
    assert fm.Matter(graph("modnet"), size=(64, 96)).alpha(GOOD).shape == (20, 30)
    with pytest.raises(
        ValueError, match=r"size: expected positive multiples of 32, got \(65, 96\)"
    ):
        fm.Matter(graph("modnet"), size=(65, 96))


@pytest.mark.parametrize("out", [np.empty((3, 3), np.float32), np.empty((20, 30)), [1, 2]])
def test_bad_out_is_named(matter, out):
    with pytest.raises((ValueError, TypeError), match=r"^out: expected"):
        matter.alpha(GOOD, out=out)


def test_bad_background_and_pixel_format_are_named(matter):
    matte = matter(GOOD)
    for background in ("red", (1, 2), (1, 2, 300), GOOD[:0], GOOD.astype(float)):
        with pytest.raises((ValueError, TypeError), match=r"^background: expected"):
            matte.composite(background)
    for radius in (0, -1, 501, float("nan")):
        with pytest.raises(ValueError, match=r"radius: expected 0\.1 to 500 pixels, got"):
            fm.Blur(radius)
    with pytest.raises(ValueError, match="foreground: expected 'estimated' or 'image'"):
        matte.composite((0, 0, 0), foreground="guess")
    with pytest.raises(ValueError, match="pixel_format: expected one of 'rgb', 'bgr'"):
        matter(GOOD, pixel_format="yuv")


def test_broken_model_files_are_model_errors(graph, tmp_path):
    cases = {
        "missing.onnx": None,
        "empty.onnx": b"",
        "text.onnx": b"this is not a model",
        "truncated.onnx": graph("selfie").read_bytes()[:200],
    }
    for name, content in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(fm.ModelError, match=name):
            fm.Matter(path)
    with pytest.raises(fm.ModelError, match="no such model file"):
        fm.Matter(tmp_path)
    with pytest.raises(TypeError, match="model: expected a name, a path or a ModelSpec, got int"):
        fm.Matter(7)


def with_external_data(graph, path, place):
    """Save a graph whose first constant lies in another file."""
    model = onnx.load(graph("selfie"))
    tensor = model.graph.initializer[0]
    content = tensor.float_data[0]
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": place, "offset": "0", "length": "4"}.items():
        tensor.external_data.add(key=key, value=value)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return np.float32(content).tobytes()


@pytest.mark.parametrize("place", ["../secret.bin", "deep/" * 40 + "../" * 41 + "secret.bin", "/x"])
def test_external_data_outside_the_models_folder_is_refused(graph, tmp_path, place):
    path = tmp_path / "inside" / "outside.onnx"
    (tmp_path / "secret.bin").write_bytes(with_external_data(graph, path, place))
    with pytest.raises(fm.ModelError, match=r"outside\.onnx: a tensor's data is outside"):
        fm.Matter(path)


def test_linked_external_data_is_refused_and_data_inside_is_read(graph, tmp_path):
    path = tmp_path / "inside" / "model.onnx"
    content = with_external_data(graph, path, "weights.bin")
    (tmp_path / "secret.bin").write_bytes(content)
    (path.parent / "weights.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(fm.ModelError, match="outside the model's folder"):
        fm.Matter(path)
    (path.parent / "weights.bin").unlink()
    (path.parent / "weights.bin").write_bytes(content)
    np.testing.assert_array_equal(
        fm.Matter(path).alpha(GOOD), fm.Matter(graph("selfie")).alpha(GOOD)
    )
