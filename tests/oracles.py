"""What each kernel computes, in the shortest NumPy that says it; shares nothing with the C++."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def quantise(alpha, steps):
    """Alpha of either dtype as int64 in 0..steps, float32 rounded half up after one product."""
    if alpha.dtype == np.uint8:
        assert steps == 255
        return alpha.astype(np.int64)
    return np.floor((alpha * np.float32(steps)).astype(np.float64) + 0.5).astype(np.int64)


def light(level):
    """The light of an sRGB level in 0..255, in 65535ths rounded half up."""
    v = level / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    return np.floor(65535 * linear + 0.5).astype(np.int64)


def level(light):
    linear = light / 65535
    v = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.floor(255 * v + 0.5).astype(np.int64)


def composite(foreground, background, alpha, linear_light=False):
    steps = 255 if alpha.dtype == np.uint8 else 65536
    a = quantise(alpha, steps)[..., None]
    f, b = (np.asarray(image, np.int64) for image in (foreground, background))
    if linear_light:
        f, b = light(f), light(b)
    mixed = (2 * (a * f + (steps - a) * b) + steps) // (2 * steps)
    return (level(mixed) if linear_light else mixed).astype(np.uint8)


def cutout(foreground, alpha):
    a = quantise(alpha, 255).astype(np.uint8)
    return np.dstack([np.where(a[..., None] == 0, 0, foreground), a]).astype(np.uint8)


def premultiply(rgba):
    c = rgba.astype(np.int64)
    c[..., :3] = (2 * c[..., :3] * c[..., 3:] + 255) // 510
    return c.astype(np.uint8)


def unpremultiply(rgba):
    c = rgba.astype(np.int64)
    a = c[..., 3:]
    straight = (2 * 255 * c[..., :3] + a) // np.maximum(2 * a, 1)
    c[..., :3] = np.where(a == 0, 0, np.minimum(straight, 255))
    return c.astype(np.uint8)


def window_extreme(values, radius, extreme, outside):
    """extreme, np.min or np.max, of the square around each pixel; outside is never the extreme."""
    for axis in (0, 1):
        width = [(radius, radius) if axis == side else (0, 0) for side in (0, 1)]
        padded = np.pad(values, width, constant_values=outside)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis)
        values = extreme(windows, axis=-1)
    return values


def erode(alpha, radius):
    return window_extreme(alpha, radius, np.min, 255)


def dilate(alpha, radius):
    return window_extreme(alpha, radius, np.max, 0)


def trimap(alpha, radius, low, high):
    alpha = as_float32(alpha)
    background = window_extreme(alpha <= np.float32(low), radius, np.min, True)
    foreground = window_extreme(alpha >= np.float32(high), radius, np.min, True)
    return np.select([background, foreground], [0, 255], 128).astype(np.uint8)


def motion_adaptive_filter(before, image, alpha_before, alpha, weight, radius, motion, jump):
    """In float64; differences of the channel that differs most, averaged with edges repeated."""
    differences = np.abs(image.astype(np.int64) - before).max(-1)
    side = 2 * radius + 1
    padded = np.pad(differences, radius, mode="edge")
    means = np.lib.stride_tricks.sliding_window_view(padded, (side, side)).mean((-2, -1))
    then, now = alpha_before.astype(float), alpha.astype(float)
    gates = [
        np.clip((value - low) / (high - low), 0, 1)
        for value, (low, high) in ((means, motion), (np.abs(now - then), jump))
    ]
    return then + (weight + (1 - weight) * np.maximum(*gates)) * (now - then)


def one_frame_delay(before, alpha, after, threshold):
    most = np.float32(threshold)
    alike = np.abs(before - after) <= most
    alone = alike & (np.abs(alpha - before) > most) & (np.abs(alpha - after) > most)
    return np.where(alone, (before + after) / 2, alpha)


def windowed_sinc(x):
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


def keys_cubic(x):
    x = np.abs(x)
    return np.select(
        [x < 1, x < 2], [1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2]
    )


def filter_weights(name, input, output):
    """(output, input): the part of each input pixel in each output, up to a factor per output."""
    i, j = np.arange(output)[:, None], np.arange(input)[None]
    if name == "area":
        overlap = np.minimum((i + 1) * input, (j + 1) * output) - np.maximum(i * input, j * output)
        return np.maximum(overlap, 0).astype(float)
    if name == "bilinear":
        centre = np.clip((2 * i + 1) * input, output, (2 * input - 1) * output)
        return np.maximum(2 * output - np.abs((2 * j + 1) * output - centre), 0).astype(float)
    scale = input / output
    kernel = {"bicubic": keys_cubic, "lanczos3": windowed_sinc}[name]
    return kernel((j + 0.5 - (i + 0.5) * scale) / max(scale, 1))


def resample(image, size, filter):
    """image in float64, weights summing to 1, no rounding."""
    down, across = (
        w / w.sum(1, keepdims=True)
        for w in (filter_weights(filter, n, m) for n, m in zip(image.shape, size, strict=False))
    )
    return np.einsum("yj,jk...,xk->yx...", down, image.astype(float), across, optimize=True)


def to_tensor(image, size, filter, scale, mean, std, pixel_format, layout):
    rgb = image[..., {"r": [0, 1, 2], "b": [2, 1, 0]}[pixel_format[0]]]
    levels = resample(rgb, size or rgb.shape[:2], filter)
    pixels = (levels * scale - np.array(mean)) / np.array(std)
    return (pixels if layout == "nhwc" else pixels.transpose(2, 0, 1))[None]


def letterbox(image_size, size):
    """(x, y, width, height) of the largest image of the same aspect ratio, in the middle."""
    scale = min(Fraction(n, m) for n, m in zip(size, image_size, strict=True))
    height, width = (max(int(m * scale + Fraction(1, 2)), 1) for m in image_size)
    return (size[1] - width) // 2, (size[0] - height) // 2, width, height


def yuv_planes(frame, pixel_format):
    """Y, U and V of a (H * 3 / 2, W) frame."""
    height, width = frame.shape[0] // 3 * 2, frame.shape[1]
    chroma = frame[height:].reshape(-1)
    if pixel_format == "nv12":
        u, v = chroma[::2], chroma[1::2]
    else:
        u, v = np.split(chroma, 2)
    return frame[:height], *(c.reshape(height // 2, width // 2) for c in (u, v))


def yuv_to_tensor(planes, size, filter, scale, mean, std, matrix, range, layout):
    kr, kb = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[matrix]
    luma = np.array([kr, 1 - kr - kb, kb])
    cb, cr = (
        (np.array([0, 0, 1]) - luma) / (2 - 2 * kb),
        (np.array([1, 0, 0]) - luma) / (2 - 2 * kr),
    )
    y, u, v = (resample(plane, size or planes[0].shape, filter) for plane in planes)
    if range == "limited":
        y, u, v = (y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
    else:
        u, v = u - 128, v - 128
    rgb = np.stack([y, u, v], -1) @ np.linalg.inv(np.stack([luma, cb, cr])).T
    pixels = (np.clip(rgb, 0, 255) * scale - np.array(mean)) / np.array(std)
    return (pixels if layout == "nhwc" else pixels.transpose(2, 0, 1))[None]


def yuv_weights(matrix, range):
    """R, G, B as a sum of Y, U, V and 1, in 2^-20 and, for chroma, of sixteenths; and back."""
    kr, kb = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[matrix]
    full = range == "full"
    luma, chroma, black = (1, 1, 0) if full else (219 / 255, 224 / 255, 16)
    steps = lambda w: int(np.floor(w * 2**20 + 0.5))  # noqa: E731
    half, one = steps(chroma / 2), steps(luma)
    cb, cr = (2 - 2 * kb) / chroma / 16, (2 - 2 * kr) / chroma / 16
    kg = 1 - kr - kb
    to_rgb = [(0, steps(cr)), (steps(-kb / kg * cb), steps(-kr / kg * cr)), (steps(cb), 0)]
    red, blue = steps(kr * luma), steps(kb * luma)
    u_red, v_blue = steps(-kr / (2 - 2 * kb) * chroma), steps(-kb / (2 - 2 * kr) * chroma)
    from_rgb = [
        (red, one - red - blue, blue),
        (u_red, -half - u_red, half),
        (half, -half - v_blue, v_blue),
    ]
    return steps(1 / luma), black, np.array(to_rgb), np.array(from_rgb)


def yuv_to_rgb(planes, matrix, range):
    luma, black, to_rgb, _ = yuv_weights(matrix, range)
    y = luma * (planes[0].astype(np.int64) - black)
    fine = []
    for plane in planes[1:]:
        for axis in (0, 1):
            i = np.arange(2 * plane.shape[axis])
            far = np.clip(i // 2 + i % 2 * 2 - 1, 0, plane.shape[axis] - 1)
            plane = 3 * np.take(plane.astype(np.int64), i // 2, axis) + np.take(plane, far, axis)
        fine.append(plane - 16 * 128)
    rgb = y[..., None] + np.stack(fine, -1) @ to_rgb.T
    return np.clip((rgb + 2**19) >> 20, 0, 255).astype(np.uint8)


def rgb_to_yuv(image, matrix, range):
    _, black, _, from_rgb = yuv_weights(matrix, range)
    rgb = image.astype(np.int64)
    y = (rgb @ from_rgb[0] + (black << 20) + 2**19) >> 20
    four = rgb[::2, ::2] + rgb[1::2, ::2] + rgb[::2, 1::2] + rgb[1::2, 1::2]
    chroma = [np.minimum((four @ w + (128 << 22) + 2**21) >> 22, 255) for w in from_rgb[1:]]
    return tuple(plane.astype(np.uint8) for plane in (y, *chroma))


def box_sum(values, radius):
    """Sums of int64 over (2 * radius + 1)-wide windows of both axes, what lies outside left out."""
    for axis in (0, 1):
        size = values.shape[axis]
        sums = np.insert(np.cumsum(values, axis), 0, 0, axis)
        at = np.arange(size)
        values = np.take(sums, np.minimum(at + radius + 1, size), axis) - np.take(
            sums, np.maximum(at - radius, 0), axis
        )
    return values


def estimate_foreground(image, alpha):
    """Blur fusion twice: exact sums, then the paper's formula in float32, a step at a time."""
    one, full = np.float32(1), np.float32(255)
    a = quantise(alpha, 255)[..., None]
    i, opacity = image.astype(np.float32), a.astype(np.float32) * (one / full)
    front, behind = a * image, (255 - a) * image
    for radius in (45, 3):
        weights = [one / np.maximum(box_sum(w, radius), 1).astype(np.float32) for w in (a, 255 - a)]
        f = box_sum(front, radius).astype(np.float32) * weights[0]
        b = box_sum(behind, radius).astype(np.float32) * weights[1]
        fused = np.clip(f + opacity * (i - (opacity * f + (one - opacity) * b)), 0, full)
        # The second pass reads products rounded to integers, the result colours.
        front = (a.astype(np.float32) * fused + np.float32(0.5)).astype(np.int64)
        behind = ((full - a.astype(np.float32)) * b + np.float32(0.5)).astype(np.int64)
    colours = (fused + np.float32(0.5)).astype(np.uint8)
    return np.where((a == 0) | (a == 255), image, colours)


def carry(before, image, alpha):
    """Every movement tried on whole images; each block keeps the best, the shortest first."""
    block, margin, reach = 8, 4, 6
    height, width = image.shape
    down, across = -(-height // block), -(-width // block)
    moves = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    moves.sort(key=lambda move: abs(move[0]) + abs(move[1]))
    wide = np.pad(before.astype(np.int64), reach, "edge")
    costs = np.empty((len(moves), down, across), np.int64)
    for i, (dy, dx) in enumerate(moves):
        there = wide[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
        cost = 10 * np.abs(image - there) + abs(dy) + abs(dx)
        sums = np.pad(cost.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        (top, bottom), (left, right) = (
            np.clip([np.arange(n) * block - margin, np.arange(1, n + 1) * block + margin], 0, m)
            for n, m in ((down, height), (across, width))
        )
        lower, upper = (sums[y][:, right] - sums[y][:, left] for y in (bottom, top))
        costs[i] = lower - upper
    found = np.array(moves)[costs.argmin(0)]
    nine = [
        np.pad(found, ((1, 1), (1, 1), (0, 0)), "edge")[y : y + down, x : x + across]
        for y in range(3)
        for x in range(3)
    ]
    found = np.median(nine, 0)
    at = []
    for axis, (n, m, blocks) in enumerate(zip(alpha.shape, image.shape, found.shape, strict=False)):
        place = np.clip(((np.arange(n) + 0.5) * m / n - block / 2) / block, 0, blocks - 1)
        low = place.astype(int)
        share = (place - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        high = np.minimum(low + 1, blocks - 1)
        found = np.take(found, low, axis) * (1 - share) + np.take(found, high, axis) * share
        at.append(np.arange(n))
    values = alpha.astype(float)
    scale = [n / m for n, m in zip(alpha.shape, image.shape, strict=True)]
    y, x = (
        np.clip(grid + found[..., axis] * scale[axis], 0, alpha.shape[axis] - 1)
        for axis, grid in enumerate(np.meshgrid(*at, indexing="ij"))
    )
    top, left = y.astype(int), x.astype(int)
    bottom, right = (
        np.minimum(i + 1, n - 1) for i, n in zip((top, left), alpha.shape, strict=True)
    )
    ty, tx = y - top, x - left
    upper = values[top, left] * (1 - tx) + values[top, right] * tx
    return upper * (1 - ty) + (values[bottom, left] * (1 - tx) + values[bottom, right] * tx) * ty


def sweep(pairs, image, a):
    """One sweep in place, row by row from the left: along each diagonal at once, which is the same
    because a pixel and its neighbours lie on three different ones."""
    height, width = a.shape
    for d in range(height + width - 1):
        y = np.arange(max(0, d - width + 1), min(height, d + 1))
        x = d - y
        around = [
            (np.clip(y + i, 0, height - 1), np.clip(x + j, 0, width - 1))
            for i, j in ((0, -1), (0, 1), (-1, 0), (1, 0))
        ]
        weights = [1e-5 + np.abs(a[y, x] - a[at]) for at in around]
        total = sum(weights)
        mean = sum(w[:, None, None] * pairs[at] for w, at in zip(weights, around, strict=True))
        mean /= total[:, None, None]
        shares = np.stack([a[y, x], 1 - a[y, x]], -1)
        rest = image[y, x] - np.einsum("nk,nkc->nc", shares, mean)
        step = rest / ((shares**2).sum(-1) + total)[:, None]
        pairs[y, x] = np.clip(mean + shares[..., None] * step[:, None], 0, 255)


def multilevel(image, alpha):
    """The foreground in float64 levels, not rounded, each sweep one of the whole image."""
    a = as_float32(alpha).astype(float)
    image = image.astype(float)
    pairs = np.stack([image[:1, :1]] * 2, 2)
    levels = int(np.ceil(np.log2(max(a.shape))))
    for i in range(levels + 1):
        size = [round(side ** (i / max(levels, 1))) if levels else 1 for side in a.shape]

        def nearest(values, size=size):
            y, x = (np.arange(m) * n // m for m, n in zip(size, values.shape, strict=False))
            return values[y[:, None], x]

        pairs = nearest(pairs)
        for _ in range(10 if max(size) <= 32 else 2):
            sweep(pairs, nearest(image), nearest(a))
    return pairs[:, :, 0]


def window_mean(values, radius):
    """The mean over the window of each pixel, of the pixels inside the image."""
    height, width = values.shape[:2]
    down, across = (
        (abs(np.arange(n)[:, None] - np.arange(n)) <= radius).astype(float) for n in (height, width)
    )
    total = np.einsum("yj,jk...,xk->yx...", down, values, across, optimize=True)
    count = np.outer(down.sum(1), across.sum(1))
    return total / count.reshape(*count.shape, *[1] * (values.ndim - 2))


def guided_upsample(guide, alpha, radius, eps, unsure=None):
    guide = (guide.astype(float) / 255).reshape(*guide.shape[:2], -1)
    alpha = alpha.astype(float)
    small = resample(guide, alpha.shape, "area")
    mean_alpha, mean_guide = window_mean(alpha, radius), window_mean(small, radius)
    # Second moments about the mean of the whole image cancel less than those about 0.
    centred, middle = small - small.mean((0, 1)), mean_guide - small.mean((0, 1))
    covariance = window_mean(centred * alpha[..., None], radius) - middle * mean_alpha[..., None]
    variance = window_mean(centred[..., None] * centred[..., None, :], radius)
    variance += eps * np.eye(small.shape[2]) - middle[..., None] * middle[..., None, :]
    a = np.linalg.solve(variance, covariance[..., None])[..., 0]
    b = mean_alpha - (a * mean_guide).sum(-1)
    a, b = window_mean(a, radius), window_mean(b, radius)
    if unsure is not None:
        weight = np.clip(unsure * mean_alpha * (1 - mean_alpha), 0, 1)
        a, b = weight[..., None] * a, weight * b + (1 - weight) * alpha
    a, b = (resample(c, guide.shape[:2], "bilinear") for c in (a, b))
    return np.clip((a * guide).sum(-1) + b, 0, 1)


def guided_filter(guide, alpha, radius, eps, subsample=1):
    if subsample > 1:
        alpha = resample(alpha, [-(-side // subsample) for side in alpha.shape], "area")
        radius = max((2 * radius + subsample) // (2 * subsample), 1)
    return guided_upsample(guide, alpha, radius, eps)


def integer_weights(filter, input, output):
    """filter_weights in 2^-14: the steps of the running sum, rounded half up."""
    running = np.cumsum(filter_weights(filter, input, output), 1)
    rounded = np.floor(running / running[:, -1:] * 2**14 + 0.5)
    return np.diff(rounded, axis=1, prepend=0).astype(np.int64)


def resize(image, size, filter):
    if filter == "nearest":
        y, x = (
            (2 * np.arange(m) + 1) * n // (2 * m) for n, m in zip(image.shape, size, strict=False)
        )
        return image[y[:, None], x]
    if image.dtype != np.uint8:
        return resample(image, size, filter)
    down, across = (integer_weights(filter, n, m) for n, m in zip(image.shape, size, strict=False))
    # The pass that leaves fewer rows for the other comes first; 6 of 14 bits stay between them.
    # float64 holds every integer here exactly, and has a fast product.
    levels = image.astype(float)
    shrinks = size[0] <= image.shape[0]
    passes = [(0, down), (1, across)] if shrinks else [(1, across), (0, down)]
    for (axis, weights), shift in zip(passes, (8, 20), strict=True):
        summed = np.moveaxis(np.tensordot(weights.astype(float), levels, (1, axis)), 0, axis)
        levels = np.floor((summed + 2 ** (shift - 1)) / 2**shift)
        assert np.abs(levels).max() < 2**15
    return np.clip(levels, 0, 255).astype(np.uint8)


def from_tensor(tensor, pixel_format):
    levels = quantise(np.clip(np.nan_to_num(tensor[0], nan=0), 0, 1), 255).astype(np.uint8)
    return levels.transpose(1, 2, 0)[
        ..., {"rgb": slice(None), "bgr": slice(None, None, -1)}[pixel_format]
    ]


def gaussian(values, sigma):
    """values of float64, its first two axes convolved with a sampled Gaussian; zeros outside."""
    reach = int(np.ceil(6 * sigma))
    at = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (at / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        distance = np.subtract.outer(np.arange(values.shape[axis]), np.arange(values.shape[axis]))
        matrix = np.where(
            abs(distance) <= reach, kernel[np.clip(distance + reach, 0, 2 * reach)], 0
        )
        values = np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)
    return values


def blur(image, sigma, weight=None):
    """The exact normalised convolution in float64, not rounded; image where no weight reaches."""
    w = np.ones(image.shape[:2]) if weight is None else quantise(weight, 255)
    w = w.reshape(*w.shape, *[1] * (image.ndim - 2)).astype(np.float64)
    below = gaussian(w, sigma)
    return np.where(below > 0, gaussian(w * image, sigma) / np.where(below > 0, below, 1), image)


def as_float32(alpha):
    return alpha / np.float32(255) if alpha.dtype == np.uint8 else alpha


def differences(alpha, truth, trimap=None):
    """alpha - truth in float64 where it counts, in one row."""
    d = as_float32(alpha).astype(float) - as_float32(truth).astype(float)
    return d[np.full(d.shape, True) if trimap is None else trimap == 128]


def sad(alpha, truth, trimap=None):
    return np.abs(differences(alpha, truth, trimap)).sum() / 1000


def mad(alpha, truth, trimap=None):
    return np.abs(differences(alpha, truth, trimap)).mean()


def mse(alpha, truth, trimap=None):
    return (differences(alpha, truth, trimap) ** 2).mean()


def dtssd(alphas, truths, trimaps=None):
    means = []
    for i in range(1, len(alphas)):
        counted = None if trimaps is None else trimaps[i]
        now, before = (differences(alphas[k], truths[k], counted) for k in (i, i - 1))
        means.append(np.sqrt(((now - before) ** 2).mean()))
    return np.mean(means)


def gradient_magnitude(alpha):
    """Both derivatives as 2-D filters of the published size and norm, in float64."""
    sigma, eps = 1.4, 1e-2
    half = int(np.ceil(sigma * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * sigma * eps))))
    x = np.arange(-half, half + 1)
    g = np.exp(-(x**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    across = np.outer(g, -x * g / sigma**2)
    across /= np.sqrt((across**2).sum())
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(as_float32(alpha).astype(float), half, mode="edge"), across.shape
    )
    return np.hypot(*(np.einsum("yxij,ij->yx", windows, f) for f in (across, across.T)))


def grad(alpha, truth, trimap=None):
    d = (gradient_magnitude(alpha) - gradient_magnitude(truth)) ** 2
    return (d if trimap is None else d[trimap == 128]).sum() / 1000


def largest_region(inside):
    """The largest 4-connected region of a boolean array, the first of several, by flooding."""
    seen, best = np.zeros_like(inside), np.zeros_like(inside)
    for start in zip(*np.nonzero(inside), strict=True):
        if seen[start]:
            continue
        region, waiting = np.zeros_like(inside), [start]
        while waiting:
            y, x = waiting.pop()
            inside_image = 0 <= y < inside.shape[0] and 0 <= x < inside.shape[1]
            if inside_image and inside[y, x] and not region[y, x]:
                region[y, x] = True
                waiting += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        seen |= region
        best = region if region.sum() > best.sum() else best
    return best


def conn(alpha, truth, trimap=None, largest_region=largest_region):
    """The evaluation code's loop over thresholds: -1 marks the pixels never yet outside."""
    a, t = as_float32(alpha), as_float32(truth)
    steps = (np.arange(11) / 10).astype(np.float32)
    connected = np.full(a.shape, -1, np.float32)
    for i in range(1, 11):
        source = largest_region((a >= steps[i]) & (t >= steps[i]))
        connected[(connected == -1) & ~source] = steps[i - 1]
    connected[connected == -1] = 1
    phi = [
        1 - np.where(d >= np.float32(0.15), d, 0).astype(float)
        for d in (a - connected, t - connected)
    ]
    d = np.abs(phi[0] - phi[1])
    return (d if trimap is None else d[trimap == 128]).sum() / 1000
