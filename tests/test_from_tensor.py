"""from_tensor and composite_tensor: planes of [0, 1] to an image."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Guarded, arrays, images, seeds, sizes, thread_counts

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

formats = st.sampled_from(["rgb", "bgr"])


def planes(size, seed, spread):
    """Noise in [0, 1], or about it with all that is no colour."""
    rng = np.random.default_rng(seed)
    tensor = rng.random((1, 3, *size), np.float32)
    if spread:
        tensor = tensor * 3 - 1
        odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1e38, -1e38, 1e-45], np.float32)
        chosen = rng.integers(0, 8, tensor.shape) == 0
        tensor[chosen] = rng.choice(odd, chosen.sum())
    return tensor


@each_isa
@given(size=sizes, seed=seeds, pixel_format=formats, threads=thread_counts, spread=st.booleans())
def test_equals_oracle(isa, size, seed, pixel_format, threads, spread):
    tensor = planes(size, seed, spread)
    guarded = Guarded((*size, 3), np.uint8)
    result = fm.kernels.from_tensor(
        tensor, pixel_format=pixel_format, out=guarded.out, threads=threads
    )
    assert result is guarded.out
    np.testing.assert_array_equal(result, oracles.from_tensor(tensor, pixel_format))
    guarded.assert_untouched_outside()


@each_isa
@given(
    data=st.data(),
    size=sizes,
    seed=seeds,
    pixel_format=formats,
    threads=thread_counts,
    spread=st.booleans(),
)
def test_composite_equals_oracles(isa, data, size, seed, pixel_format, threads, spread):
    tensor, alpha = planes(size, seed, spread), data.draw(arrays(size, np.float32))
    background = data.draw(st.one_of(images(size), st.tuples(*[st.integers(0, 255)] * 3)))
    expected = oracles.composite(oracles.from_tensor(tensor, pixel_format), background, alpha)
    options = {"pixel_format": pixel_format, "threads": threads}
    guarded = Guarded((*size, 3), np.uint8)
    result = fm.kernels.composite_tensor(tensor, background, alpha, out=guarded.out, **options)
    assert result is guarded.out
    np.testing.assert_array_equal(result, expected)
    guarded.assert_untouched_outside()
    if isinstance(background, np.ndarray):
        guarded.out[:] = background
        fm.kernels.composite_tensor(tensor, guarded.out, alpha, out=guarded.out, **options)
        np.testing.assert_array_equal(guarded.out, expected)
        guarded.assert_untouched_outside()


@pytest.mark.parametrize("pair", [(0, 255), (255, 0), (1, 0), (0, 1), (200, 13), (127, 128)])
def test_composite_is_exact_at_every_step_of_alpha(isa, pair):
    steps = np.arange(65537, dtype=np.float32)[None]
    alpha = np.concatenate([(steps / 65536), ((steps[:, :-1] + 0.5) / 65536)], 1)
    tensor = np.full((1, 3, *alpha.shape), pair[0] / 255, np.float32)
    front, behind = (np.full((*alpha.shape, 3), level, np.uint8) for level in pair)
    np.testing.assert_array_equal(
        fm.kernels.composite_tensor(tensor, behind, alpha),
        oracles.composite(front, behind, alpha),
    )


def test_every_level_and_its_neighbours_round_half_up(isa):
    levels = np.arange(256, dtype=np.float32)
    steps = np.concatenate([levels, levels + np.float32(0.5)]) / np.float32(255)
    near = [steps]
    for direction in (-np.inf, np.inf):
        value = steps
        for _ in range(3):
            value = np.nextafter(value, np.float32(direction))
            near.append(value)
    tensor = np.broadcast_to(np.concatenate(near), (1, 3, 7, 7 * 512)).copy()
    expected = oracles.from_tensor(tensor, "rgb")
    np.testing.assert_array_equal(fm.kernels.from_tensor(tensor), expected)
    opaque = np.ones(tensor.shape[2:], np.float32)
    np.testing.assert_array_equal(fm.kernels.composite_tensor(tensor, (7, 7, 7), opaque), expected)


@given(data=st.data(), size=sizes, pixel_format=formats)
def test_undoes_to_tensor(data, size, pixel_format):
    image = data.draw(images(size))
    tensor = fm.kernels.to_tensor(image, pixel_format=pixel_format)
    np.testing.assert_array_equal(fm.kernels.from_tensor(tensor, pixel_format=pixel_format), image)


@pytest.mark.usefixtures("empty_store")
def test_takes_no_memory():
    tensor = np.zeros((1, 3, 500, 700), np.float32)
    image = np.zeros((500, 700, 3), np.uint8)
    before = fm._core.system_allocations()
    fm.kernels.from_tensor(tensor, threads=2)
    fm.kernels.composite_tensor(tensor, image, tensor[0, 0], threads=2)
    assert fm._core.system_allocations() == before


TENSOR = np.zeros((1, 3, 4, 6), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tensor": [1]}, TypeError, "tensor: expected a NumPy array, (1, 3, H, W) float32"),
        ({"tensor": TENSOR.astype(float)}, TypeError, "tensor: expected (1, 3, H, W) float32, got"),
        ({"tensor": TENSOR[0]}, ValueError, "(1, 3, H, W) float32, got (3, 4, 6) float32"),
        ({"tensor": TENSOR[:, :1]}, ValueError, "(1, 3, H, W) float32, got (1, 1, 4, 6) float32"),
        ({"tensor": TENSOR.repeat(2, 0)}, ValueError, "got (2, 3, 4, 6) float32"),
        ({"tensor": TENSOR[:, :, :0]}, ValueError, "tensor: expected at least 1 x 1 pixels"),
        ({"tensor": TENSOR[..., ::2]}, ValueError, "tensor: expected a C-contiguous array, got"),
        ({"pixel_format": "rgba"}, ValueError, "pixel_format: expected one of 'rgb', 'bgr', got"),
        ({"out": np.zeros((4, 6), np.uint8)}, ValueError, "out: expected (4, 6, 3) uint8, got"),
        ({"threads": 2000}, ValueError, "threads: expected an integer from 1 to 1024, got 2000"),
    ],
)
def test_bad_argument_is_named(change, error, message):
    with pytest.raises(error) as caught:
        fm.kernels.from_tensor(**{"tensor": TENSOR, **change})
    assert message in str(caught.value)


IMAGE, ALPHA = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"tensor": IMAGE},
            TypeError,
            "tensor: expected (1, 3, H, W) float32, got (4, 6, 3) uint8",
        ),
        ({"tensor": TENSOR[..., ::2]}, ValueError, "tensor: expected a C-contiguous array, got"),
        ({"background": IMAGE[:3]}, ValueError, "background: expected the size of tensor, 4 x 6"),
        ({"background": (0, 0, 256)}, ValueError, "an integer from 0 to 255, got 256"),
        ({"alpha": ALPHA[:, :5]}, ValueError, "alpha: expected the size of tensor, 4 x 6, got"),
        ({"alpha": IMAGE[..., 0]}, TypeError, "alpha: expected (H, W) float32, got (4, 6) uint8"),
        ({"alpha": ALPHA + np.float32(np.nan)}, ValueError, "values in [0, 1], got nan at row 0"),
        ({"pixel_format": "rgba"}, ValueError, "pixel_format: expected one of 'rgb', 'bgr', got"),
        ({"out": IMAGE[:3]}, ValueError, "out: expected (4, 6, 3) uint8, got (3, 6, 3) uint8"),
        ({"threads": 0}, ValueError, "threads: expected an integer from 1 to 1024, got 0"),
    ],
)
def test_bad_argument_of_composite_is_named(change, error, message):
    arguments = {"tensor": TENSOR, "background": (0, 0, 0), "alpha": ALPHA, **change}
    with pytest.raises(error) as caught:
        fm.kernels.composite_tensor(**arguments)
    assert message in str(caught.value)


def test_refused_composite_leaves_out_untouched():
    out, alpha = np.full((4, 6, 3), 7, np.uint8), ALPHA.copy()
    alpha[3, 5] = 2
    with pytest.raises(ValueError, match=r"got 2\.0+ at row 3, column 5"):
        fm.kernels.composite_tensor(TENSOR, (0, 0, 0), alpha, out=out)
    assert (out == 7).all()


def test_overlap_and_huge_tensors_are_refused():
    tensor = TENSOR.copy()
    inside = tensor.view(np.uint8).reshape(-1)[-72:].reshape(4, 6, 3)
    with pytest.raises(ValueError, match="out: expected memory apart from tensor"):
        fm.kernels.from_tensor(tensor, out=inside)
    with pytest.raises(ValueError, match="out: expected memory apart from tensor"):
        fm.kernels.composite_tensor(tensor, (0, 0, 0), ALPHA, out=inside)
    with pytest.raises(ValueError, match="out: expected memory apart from alpha"):
        fm.kernels.composite_tensor(TENSOR, (0, 0, 0), tensor[0, 2], out=inside)
    tall = np.zeros((5, 6, 3), np.uint8)
    with pytest.raises(ValueError, match="out: expected the memory of background itself or apart"):
        fm.kernels.composite_tensor(TENSOR, tall[:4], ALPHA, out=tall[1:])
    huge = np.broadcast_to(np.zeros((1, 1, 1, 1), np.float32), (1, 3, 20_000, 20_000))
    with pytest.raises(ValueError, match="at most 268435456 pixels, got 20000 x 20000"):
        fm.kernels.from_tensor(huge)
