"""composite, cutout, premultiply and unpremultiply."""

from __future__ import annotations

import fastmatte as fm
import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Guarded, alphas, images, sizes, thread_counts

each_isa = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@each_isa
@given(data=st.data(), size=sizes, threads=thread_counts)
def test_composite_equals_oracle(isa, data, size, threads):
    foreground, alpha = data.draw(images(size)), data.draw(alphas(size))
    background = data.draw(st.one_of(images(size), st.tuples(*[st.integers(0, 255)] * 3)))
    linear_light = data.draw(st.booleans())
    guarded = Guarded((*size, 3), np.uint8)
    result = fm.kernels.composite(
        foreground,
        background,
        alpha,
        linear_light=linear_light,
        out=guarded.out,
        threads=threads,
    )
    assert result is guarded.out
    expected = oracles.composite(foreground, background, alpha, linear_light)
    np.testing.assert_array_equal(result, expected)
    guarded.assert_untouched_outside()


@each_isa
@given(data=st.data(), size=sizes, threads=thread_counts)
def test_cutout_equals_oracle(isa, data, size, threads):
    foreground, alpha = data.draw(images(size)), data.draw(alphas(size))
    guarded = Guarded((*size, 4), np.uint8)
    result = fm.kernels.cutout(foreground, alpha, out=guarded.out, threads=threads)
    np.testing.assert_array_equal(result, oracles.cutout(foreground, alpha))
    guarded.assert_untouched_outside()


@each_isa
@given(data=st.data(), size=sizes, threads=thread_counts)
@pytest.mark.parametrize("name", ["premultiply", "unpremultiply"])
def test_premultiplication_equals_oracle(isa, name, data, size, threads):
    rgba = data.draw(images(size, 4))
    guarded = Guarded((*size, 4), np.uint8)
    result = getattr(fm.kernels, name)(rgba, out=guarded.out, threads=threads)
    np.testing.assert_array_equal(result, getattr(oracles, name)(rgba))
    guarded.assert_untouched_outside()


def test_every_product_is_rounded_exactly(isa):
    colour, alpha = (g.astype(np.uint8) for g in np.meshgrid(np.arange(256), np.arange(256)))
    rgba = np.dstack([colour, colour, colour, alpha])
    np.testing.assert_array_equal(fm.kernels.premultiply(rgba), oracles.premultiply(rgba))
    np.testing.assert_array_equal(fm.kernels.unpremultiply(rgba), oracles.unpremultiply(rgba))
    background = np.ascontiguousarray(rgba[::-1, ::-1, :3])
    for light in (False, True):
        np.testing.assert_array_equal(
            fm.kernels.composite(rgba[..., :3], background, alpha, linear_light=light),
            oracles.composite(rgba[..., :3], background, alpha, light),
        )


@pytest.mark.parametrize("pair", [(0, 255), (255, 0), (1, 0), (0, 1), (200, 13), (127, 128)])
def test_every_step_of_float_alpha_is_exact(isa, pair):
    steps = np.arange(65537, dtype=np.float32)[None]
    alpha = np.concatenate([(steps / 65536), ((steps[:, :-1] + 0.5) / 65536)], 1)
    images = (np.full((*alpha.shape, 3), level, np.uint8) for level in pair)
    foreground, background = images
    np.testing.assert_array_equal(
        fm.kernels.composite(foreground, background, alpha),
        oracles.composite(foreground, background, alpha),
    )


@pytest.mark.parametrize("width", [511, 512, 513, 1029, 1536])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_long_rows_equal_oracle(isa, width, dtype):
    rng = np.random.default_rng(width)
    foreground, background = rng.integers(0, 256, (2, 3, width, 3), np.uint8)
    alpha = rng.integers(0, 256, (3, width), np.uint8)
    alpha = alpha if dtype == np.uint8 else alpha / np.float32(255)
    for kernel, inputs in (
        ("composite", (foreground, background, alpha)),
        ("cutout", (foreground, alpha)),
        ("premultiply", (np.dstack([foreground, background[..., 0]]),)),
        ("unpremultiply", (np.dstack([foreground, background[..., 0]]),)),
    ):
        np.testing.assert_array_equal(
            getattr(fm.kernels, kernel)(*inputs), getattr(oracles, kernel)(*inputs)
        )


def test_light_keeps_every_level_at_every_alpha(isa):
    level, alpha = np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2)
    image = np.dstack([level] * 3)
    for a in (alpha, alpha / np.float32(255)):
        result = fm.kernels.composite(image, image.copy(), a, linear_light=True)
        np.testing.assert_array_equal(result, image)


def test_half_of_black_and_white_light_is_level_188():
    """What photographs of a fine checkerboard show from afar."""
    white, half = np.full((1, 20, 3), 255, np.uint8), np.full((1, 20), 0.5, np.float32)
    mixed = fm.kernels.composite(white, (0, 0, 0), half, linear_light=True)
    assert (mixed == 188).all()
    assert (fm.kernels.composite(white, (0, 0, 0), half) == 128).all()


def test_light_is_within_a_level_of_real_numbers():
    """Light is rounded once as input and once as mixture, each by a fortieth of a level at most."""
    rng = np.random.default_rng(3)
    f, b = rng.integers(0, 256, (2, 200, 200, 3), np.uint8)
    alpha = rng.random((200, 200), np.float32)

    def linear(v):
        return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)

    mixed = linear(f / 255) * alpha[..., None] + linear(b / 255) * (1 - alpha[..., None])
    back = np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055)
    result = fm.kernels.composite(f, b, alpha, linear_light=True)
    assert np.abs(result - 255 * back).max() < 0.55


def test_float_alpha_just_below_a_half_step_rounds_down(isa):
    alpha = np.full((1, 1), np.float32(0.49999997) / 65536, np.float32)
    white = np.full((1, 1, 3), 255, np.uint8)
    assert fm.kernels.composite(white, (0, 0, 0), alpha).max() == 0


@given(data=st.data(), size=sizes)
@pytest.mark.parametrize("light", [False, True])
def test_alpha_of_one_and_zero_choose_an_image(light, data, size):
    foreground, background = data.draw(images(size)), data.draw(images(size))
    for one in (np.ones(size, np.float32), np.full(size, 255, np.uint8)):
        for alpha, chosen in ((one, foreground), (np.zeros_like(one), background)):
            result = fm.kernels.composite(foreground, background, alpha, linear_light=light)
            np.testing.assert_array_equal(result, chosen)


@given(data=st.data(), size=sizes)
def test_unpremultiply_undoes_premultiply_within_the_lost_bits(data, size):
    rgba = data.draw(images(size, 4))
    back = fm.kernels.unpremultiply(fm.kernels.premultiply(rgba)).astype(float)
    # Half a level of rounding at alpha a is 255 / (2 a) levels of straight colour, then half more.
    a = rgba[..., 3:].astype(float)
    bound = np.where(a > 0, 255 / (2 * np.maximum(a, 1)) + 0.5, 255)
    assert (np.abs(back - rgba)[..., :3] <= bound).all()
    np.testing.assert_array_equal(back[..., 3], rgba[..., 3])


@each_isa
@given(data=st.data(), size=sizes)
def test_in_place_equals_apart(isa, data, size):
    foreground, background = data.draw(images(size)), data.draw(images(size))
    alpha, light = data.draw(alphas(size)), {"linear_light": data.draw(st.booleans())}
    expected = fm.kernels.composite(foreground, background, alpha, **light)
    for target in ("foreground", "background"):
        pair = {"foreground": foreground.copy(), "background": background.copy()}
        np.testing.assert_array_equal(
            fm.kernels.composite(**pair, alpha=alpha, out=pair[target], **light), expected
        )
    rgba = data.draw(images(size, 4))
    for kernel in (fm.kernels.premultiply, fm.kernels.unpremultiply):
        target = rgba.copy()
        np.testing.assert_array_equal(kernel(target, out=target), kernel(rgba))


IMAGE = np.zeros((4, 6, 3), np.uint8)
ALPHA = np.zeros((4, 6), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"foreground": [[1]]}, TypeError, "foreground: expected a NumPy array, (H, W, 3) uint8"),
        ({"foreground": IMAGE.astype(np.float32)}, TypeError, "got (4, 6, 3) float32"),
        ({"foreground": IMAGE[..., :2]}, ValueError, "foreground: expected (H, W, 3) uint8"),
        ({"foreground": IMAGE[:0]}, ValueError, "at least 1 x 1 pixels, got 0 x 6"),
        ({"background": IMAGE[:3]}, ValueError, "background: expected the size of foreground"),
        ({"background": "red"}, TypeError, "background: expected an (H, W, 3) uint8 array or"),
        ({"background": (0, 0, 256)}, ValueError, "an integer from 0 to 255, got 256"),
        ({"alpha": ALPHA.astype(float)}, TypeError, "alpha: expected (H, W) float32"),
        ({"alpha": ALPHA[:, :5]}, ValueError, "alpha: expected the size of foreground, 4 x 6"),
        ({"alpha": ALPHA + np.float32(np.nan)}, ValueError, "values in [0, 1], got nan at row 0"),
        ({"alpha": ALPHA + np.float32(1.5)}, ValueError, "alpha: expected values in [0, 1]"),
        ({"linear_light": 1}, TypeError, "linear_light: expected True or False, got int"),
        ({"out": IMAGE[:3]}, ValueError, "out: expected (4, 6, 3) uint8, got (3, 6, 3) uint8"),
        ({"out": ALPHA}, TypeError, "out: expected (4, 6, 3) uint8, got (4, 6) float32"),
        ({"out": np.zeros((4, 6, 3), np.uint8)[:, ::-1]}, ValueError, "rows of adjacent pixels"),
        ({"threads": 0}, ValueError, "threads: expected an integer from 1 to 1024, got 0"),
        ({"threads": 1.5}, TypeError, "threads: expected an integer from 1 to 1024, got float"),
    ],
)
def test_bad_argument_is_named(change, error, message):
    arguments = {"foreground": IMAGE, "background": (0, 0, 0), "alpha": ALPHA, **change}
    with pytest.raises(error) as caught:
        fm.kernels.composite(**arguments)
    assert message in str(caught.value)


def test_refused_call_leaves_out_untouched():
    out = np.full((4, 6, 3), 7, np.uint8)
    alpha = ALPHA.copy()
    alpha[3, 5] = 2
    with pytest.raises(ValueError, match=r"got 2\.0+ at row 3, column 5"):
        fm.kernels.composite(IMAGE, (0, 0, 0), alpha, out=out)
    assert (out == 7).all()


def test_read_only_out_and_overlap_are_refused():
    frozen = IMAGE.copy()
    frozen.flags.writeable = False
    fm.kernels.composite(frozen, (1, 2, 3), ALPHA)
    with pytest.raises(ValueError, match="out: expected a writable array"):
        fm.kernels.composite(IMAGE, (0, 0, 0), ALPHA, out=frozen)
    tall = np.zeros((5, 6, 3), np.uint8)
    with pytest.raises(ValueError, match="out: expected the memory of foreground itself or apart"):
        fm.kernels.composite(tall[:4], (0, 0, 0), ALPHA, out=tall[1:])
    rgba = np.zeros((4, 6, 4), np.uint8)
    with pytest.raises(ValueError, match="out: expected memory apart from alpha"):
        fm.kernels.cutout(IMAGE, rgba.reshape(4, 24)[:, :6], out=rgba)


def test_too_many_pixels_are_refused_before_memory_is_taken():
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (20_000, 20_000, 3))
    with pytest.raises(ValueError, match="at most 268435456 pixels, got 20000 x 20000"):
        fm.kernels.composite(huge, (0, 0, 0), ALPHA)
