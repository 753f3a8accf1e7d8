"""Soft alpha and true foreground colour of people photographed before a plain blue backdrop.

The backdrop's colour is a smooth field over the image, fitted to what is certainly backdrop. Then a
pixel of the edge is a mixture of that known colour and a foreground colour seen nearby: alpha is
where it lies on the line between the two, the line that it lies nearest to counting most. What
cannot be keyed is refused: a backdrop that is not plain, clothing of its colour, holes.
"""

from __future__ import annotations

import argparse
import collections
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from training.teacher import Teacher

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

FOLDER = Path("train/portraits/us_congress_gov2024")
#: Sides of these portraits are about 335 x 410; lengths below are in pixels of that.
SURE_DISTANCE = 11
SURE_DISTANCE_BLUE = 28
#: Above this part of the height there is hair and no collar.
CURLS = 0.6
#: Below this part of the height there is clothing and no hair but the longest.
CLOTHING = 0.68
#: How far into the person the colours of an edge are looked for.
DEPTHS = (1, 3, 6, 10, 16, 24)
#: Alpha below the first is noise of the backdrop, above the second noise of the person.
FLOOR, CEILING = 0.05, 0.95


GROUNDS = ((40, 200, 60), (128, 128, 128), (250, 120, 30))


class RefusedError(Exception):
    """This portrait cannot be keyed; the message is the reason."""


@dataclass(frozen=True)
class Keyed:
    """A cut-out: (H, W, 4) uint8, straight alpha, colours extended beyond the edge."""

    rgba: NDArray[np.uint8]
    noise: float


def key(image: NDArray[np.uint8], soft: Array) -> Keyed:
    """Key one portrait.

    image: (H, W, 3) uint8.
    soft:  (H, W) float32, roughly where the person is.

    Raises RefusedError with the reason.
    """
    colours = image.astype(np.float32)
    backdrop, noise = fit_backdrop(colours, soft)
    difference = np.sqrt(((colours - backdrop) ** 2).mean(2))
    alpha = _mix(colours, backdrop, difference, soft, noise)
    _refuse(alpha, soft, difference, noise)
    foreground = _foreground(colours, backdrop, alpha)
    rgba = np.dstack([foreground, alpha * 255])
    return Keyed((rgba + 0.5).clip(0, 255).astype(np.uint8), noise)


def fit_backdrop(colours: Array, soft: Array) -> tuple[Array, float]:
    """Return the backdrop's colour everywhere and how far its pixels stray from it (RMS)."""
    height, width = soft.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([x**i * y**j for i in range(4) for j in range(4 - i)], -1)
    outside = ndimage.minimum_filter(1 - soft, 15) > 0.9
    outside[: height // 20] |= soft[: height // 20] < 0.1
    if outside.mean() < 0.08:
        raise RefusedError("no backdrop to see")
    middle = np.median(colours[outside], 0)
    if middle[2] - middle[:2].max() < 45:
        raise RefusedError("backdrop not blue")
    inliers = outside & (np.abs(colours - middle).max(2) < 60)
    for limit in (30, 15, 9):
        if inliers.mean() < 0.05:
            raise RefusedError("backdrop not plain")
        solution = np.linalg.lstsq(terms[inliers], colours[inliers], rcond=None)[0]
        field = (terms @ solution).astype(np.float32)
        inliers = outside & (np.abs(colours - field).max(2) < limit)
    if inliers.sum() < 0.93 * outside.sum():
        raise RefusedError("backdrop not plain")
    # A cubic leaves slow waves of a few levels: take them out where backdrop is seen.
    weight = ndimage.gaussian_filter(inliers.astype(np.float32), 12)
    for channel in range(3):
        rest = ndimage.gaussian_filter(
            np.where(inliers, colours[..., channel] - field[..., channel], 0), 12
        )
        field[..., channel] += rest / (weight + 0.05)
    noise = float(np.sqrt(((colours - field)[inliers] ** 2).mean()))
    return field.clip(0, 255), noise


def _mix(colours: Array, backdrop: Array, difference: Array, soft: Array, noise: float) -> Array:
    """Return alpha from the mixture of backdrop and nearby foreground colours."""
    blue = _blue(colours) / np.maximum(_blue(backdrop), 20)
    depth_inside = ndimage.distance_transform_edt(soft > 0.5)
    # Curls let the backdrop through further in than clothing does; a tie lies deeper still.
    through = blue > 0.3
    through[int(len(blue) * CURLS) :] = False
    inside = depth_inside > np.where(through, SURE_DISTANCE_BLUE, SURE_DISTANCE)
    clear = (difference > max(8 * noise, 22)) & (blue < 0.12) & (soft > 0.05)
    # Warm colours hold less blue than none: a mixture with them looks clear well before it is.
    clear = ndimage.binary_erosion(clear, iterations=3, border_value=1)
    sure = (inside & (soft > 0.9)) | (clear & (soft > 0.5))
    empty = (difference < max(2.2 * noise, 5)) & ~inside
    empty |= ndimage.distance_transform_edt(soft < 0.05) > 60
    alpha = np.where(sure, 1, 0).astype(np.float32)
    unknown = ~sure & ~empty
    if not sure.any():
        raise RefusedError("no person found")

    # Colours of the person, deeper and deeper behind the nearest edge.
    distance, nearest = ndimage.distance_transform_edt(~sure, return_indices=True)
    ys, xs = np.nonzero(unknown)
    edge = np.stack([nearest[0][ys, xs], nearest[1][ys, xs]])
    towards = edge - np.stack([ys, xs])
    towards = towards / np.maximum(np.hypot(*towards), 1e-3)
    smooth = _normalised_blur(colours, sure, 1.5)
    pixel, behind = colours[ys, xs], backdrop[ys, xs]
    total = np.zeros(len(ys), np.float32)
    weights = np.zeros(len(ys), np.float32)
    explained = np.zeros(len(ys), np.float32)
    for depth in DEPTHS:
        at = np.rint(edge + towards * depth).astype(int)
        at[0] = at[0].clip(0, alpha.shape[0] - 1)
        at[1] = at[1].clip(0, alpha.shape[1] - 1)
        candidate = smooth[at[0], at[1]]
        line = candidate - behind
        length = np.maximum((line**2).sum(1), 1)
        along = (((pixel - behind) * line).sum(1) / length).clip(0, 1)
        rest = ((pixel - behind - along[:, None] * line) ** 2).sum(1)
        # Short lines say little: their alpha is the backdrop's noise.
        likely = np.exp(-rest / (2 * (3 * noise + 6) ** 2)) * sure[at[0], at[1]]
        explained = np.maximum(explained, likely)
        weight = likely * length / (length + 60**2) + 1e-6
        total += weight * along
        weights += weight
    mixed = total / weights
    # What no nearby colour explains and holds no blue is the person: a light strand, a flower.
    floor = 1 - blue[ys, xs].clip(0, 1)
    difference_here = difference[ys, xs]
    trust = ((difference_here - 2.5 * noise) / (6 * noise)).clip(0, 1)
    bare = (explained < 0.3) & (floor > 0.85)
    mixed = np.where(bare, np.maximum(mixed, floor * trust), mixed)
    mixed = np.where(distance[ys, xs] < 40, mixed, 0)
    alpha[ys, xs] = mixed
    alpha = ((alpha - FLOOR) / (CEILING - FLOOR)).clip(0, 1)
    # A single pixel amid its opposite is noise of the JPEG, not a hair.
    middle = ndimage.median_filter(alpha, 3)
    alpha = np.where(np.abs(alpha - middle) > 0.5, middle, alpha)
    return _without_islands(alpha)


def _blue(colours: Array) -> Array:
    return np.asarray(colours[..., 2] - colours[..., :2].max(2))


def _without_islands(alpha: Array) -> Array:
    """Drop what hangs together with nothing: marks on the backdrop."""
    labels, count = ndimage.label(alpha > 0.1)
    if count > 1:
        areas = ndimage.sum_labels(alpha > 0.1, labels, np.arange(1, count + 1))
        keep = np.zeros(count + 1, bool)
        keep[1:] = areas >= 0.02 * areas.max()
        near = ndimage.distance_transform_edt(labels != 1 + int(areas.argmax())) < 10
        alpha = np.where(keep[labels] | near | (labels == 0), alpha, 0)
    return alpha.astype(np.float32)


def _normalised_blur(colours: Array, mask: Mask, sigma: float) -> Array:
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    planes = [
        ndimage.gaussian_filter(np.where(mask, colours[..., channel], 0), sigma)
        for channel in range(3)
    ]
    return np.asarray(np.stack(planes, -1) / np.maximum(weight, 1e-4)[..., None])


def _refuse(alpha: Array, soft: Array, difference: Array, noise: float) -> None:
    """Raise RefusedError for what a look at many failures showed to be their signs."""
    person = ndimage.distance_transform_edt(soft > 0.5)
    holes = (person > 7) & (alpha < 0.7)
    clothing = holes[int(alpha.shape[0] * CLOTHING) :].sum()
    if clothing > 60:
        raise RefusedError(f"hole in the clothing ({clothing} px)")
    if holes.sum() > 1500:
        raise RefusedError(f"hole in the person ({holes.sum()} px)")
    kept = (ndimage.distance_transform_edt(soft < 0.5) > 22) & (alpha > 0.3)
    if kept.sum() > 250:
        raise RefusedError(f"more than the person ({kept.sum()} px)")
    core = (person > SURE_DISTANCE) & (difference < max(2 * noise, 4))
    labels, count = ndimage.label(core)
    if count and ndimage.sum_labels(core, labels, np.arange(1, count + 1)).max() > 60:
        raise RefusedError("backdrop's colour inside the person")
    half = ((alpha > 0.15) & (alpha < 0.85)).sum()
    if half > 0.16 * (alpha > 0.5).sum():
        raise RefusedError("too much of it half transparent")
    shoulders = alpha[-3:].max(0)
    if (alpha > 0.5).mean() < 0.12 or (shoulders > 0.9).mean() < 0.2:
        raise RefusedError("too little of a person")
    if _ragged(alpha) > 0.55:
        raise RefusedError("ragged edge")


def _ragged(alpha: Array) -> float:
    """Return how much of the person's lower outline is half transparent over wide bands.

    Hair is wide and soft, clothing is not: there a wide band is a jacket of the backdrop's colour.
    """
    lower = alpha[int(alpha.shape[0] * 0.78) :]
    soft = (lower > 0.1) & (lower < 0.9)
    wide = ndimage.binary_opening(soft, np.ones((4, 4)))
    return float(wide.sum()) / 400


def _foreground(colours: Array, backdrop: Array, alpha: Array) -> Array:
    """Solve the mixture for the person's colour and carry it on beyond the edge."""
    opaque = alpha > 0.97
    near = _normalised_blur(colours, opaque, 2.0)
    wide = _normalised_blur(colours, opaque, 7.0)
    covered = ndimage.gaussian_filter(opaque.astype(np.float32), 2.0)[..., None]
    around = np.where(covered > 0.02, near, wide)
    distance, nearest = ndimage.distance_transform_edt(~opaque, return_indices=True)
    far = near[nearest[0], nearest[1]]
    around = np.where((distance > 8)[..., None], far, around)
    a = alpha[..., None]
    solved = (colours - (1 - a) * backdrop) / np.maximum(a, 0.05)
    # Noise is divided by alpha as well: the less of it, the more the neighbourhood counts.
    share = ((a - 0.15) / 0.5).clip(0, 1)
    mixed = share * solved.clip(0, 255) + (1 - share) * around
    # Light from the backdrop on shoulders: no bluer than the surroundings; on hair: hardly blue.
    allowed = np.maximum(_blue(around), 0)
    allowed[: int(len(alpha) * CURLS)] = allowed[: int(len(alpha) * CURLS)].clip(0, 4)
    band = (alpha < 0.995) | (ndimage.minimum_filter(alpha, 9) < 0.9)
    cap = mixed[..., :2].max(2) + allowed
    mixed[..., 2] = np.where(band, np.minimum(mixed[..., 2], cap), mixed[..., 2])
    return np.where((alpha > 0)[..., None], mixed, around).clip(0, 255)


def keyed_people(data: Path) -> tuple[dict[str, Keyed], dict[str, str]]:
    """Key every portrait: the cut-outs by name, and the reasons of those refused."""
    teacher = Teacher(data)
    kept: dict[str, Keyed] = {}
    refused: dict[str, str] = {}
    for path in sorted((data / FOLDER).glob("*.jpg")):
        image = np.asarray(Image.open(path).convert("RGB"))
        try:
            kept[path.stem] = key(image, teacher.label(image))
        except RefusedError as error:
            refused[path.stem] = str(error)
    return kept, refused


def sheet(cutouts: list[tuple[str, NDArray[np.uint8]]], side: int, columns: int) -> Image.Image:
    """Lay cut-outs over green, grey and a checker in turn, to be looked at."""
    rows = -(-len(cutouts) // columns)
    page = Image.new("RGB", (columns * side, rows * side))
    draw = ImageDraw.Draw(page)
    for index, (name, rgba) in enumerate(cutouts):
        cell = Image.fromarray(rgba)
        cell.thumbnail((side, side))
        ground = Image.new("RGB", cell.size, GROUNDS[index % len(GROUNDS)])
        ground.paste(cell, mask=cell.getchannel("A"))
        at = (index % columns * side, index // columns * side)
        page.paste(ground, at)
        draw.text(at, name, fill="white")
    return page


def main() -> None:
    """Key all portraits, print the count, write a contact sheet."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sheet", type=Path, help="folder for contact sheets")
    parser.add_argument("--side", type=int, default=200, help="of one cut-out on them, in pixels")
    arguments = parser.parse_args()
    kept, refused = keyed_people(arguments.data)
    print(f"{len(kept)} of {len(kept) + len(refused)} keyed")
    reasons = collections.Counter(reason.split(" (")[0] for reason in refused.values())
    for reason, count in reasons.most_common():
        print(f"  {count:4d} {reason}")
    for name, reason in refused.items():
        print(f"  {name}: {reason}")
    if arguments.sheet:
        arguments.sheet.mkdir(parents=True, exist_ok=True)
        cutouts = [(name, keyed.rgba) for name, keyed in kept.items()]
        for start in range(0, len(cutouts), 70):
            page = sheet(cutouts[start : start + 70], arguments.side, 10)
            page.save(arguments.sheet / f"keyed_{start // 70}.png")


if __name__ == "__main__":
    main()
