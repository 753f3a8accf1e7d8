"""from_tensor: planes of [0, 1] to an image."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Guarded, images, seeds, sizes, thread_counts

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

formats = st.sampled_from(["rgb", "bgr"])


@each_isa
@given(size=sizes, seed=seeds, pixel_format=formats, threads=thread_counts, spread=st.booleans())
def test_equals_oracle(isa, size, seed, pixel_format, threads, spread):
    rng = np.random.default_rng(seed)
    tensor = rng.random((1, 3, *size), np.float32)
    if spread:
        tensor = tensor * 3 - 1
        odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1e38, -1e38, 1e-45], np.float32)
        chosen = rng.integers(0, 8, tensor.shape) == 0
        tensor[chosen] = rng.choice(odd, chosen.sum())
    guarded = Guarded((*size, 3), np.uint8)
    result = fm.kernels.from_tensor(
        tensor, pixel_format=pixel_format, out=guarded.out, threads=threads
    )
    assert result is guarded.out
    np.testing.assert_array_equal(result, oracles.from_tensor(tensor, pixel_format))
    guarded.assert_untouched_outside()


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
    np.testing.assert_array_equal(
        fm.kernels.from_tensor(tensor), oracles.from_tensor(tensor, "rgb")
    )


@given(data=st.data(), size=sizes, pixel_format=formats)
def test_undoes_to_tensor(data, size, pixel_format):
    image = data.draw(images(size))
    tensor = fm.kernels.to_tensor(image, pixel_format=pixel_format)
    np.testing.assert_array_equal(fm.kernels.from_tensor(tensor, pixel_format=pixel_format), image)


@pytest.mark.usefixtures("empty_store")
def test_takes_no_memory():
    tensor = np.zeros((1, 3, 500, 700), np.float32)
    before = fm._core.system_allocations()
    fm.kernels.from_tensor(tensor, threads=2)
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


def test_overlap_and_huge_tensors_are_refused():
    tensor = TENSOR.copy()
    with pytest.raises(ValueError, match="out: expected memory apart from tensor"):
        fm.kernels.from_tensor(tensor, out=tensor.view(np.uint8).reshape(-1)[-72:].reshape(4, 6, 3))
    huge = np.broadcast_to(np.zeros((1, 1, 1, 1), np.float32), (1, 3, 20_000, 20_000))
    with pytest.raises(ValueError, match="at most 268435456 pixels, got 20000 x 20000"):
        fm.kernels.from_tensor(huge)
