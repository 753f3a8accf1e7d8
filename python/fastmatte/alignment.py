"""Alignment: a background plate brought to where a frame's camera was, as BGMv2's scripts do it.

OpenCV finds the homography: details by ORB, those that agree by RANSAC. MAGSAC, a newer kind of it,
came within 0.6 pixels of known ones where the plain kind was off by up to 2. OpenCV is an extra,
loaded when it is first needed.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fastmatte.arrays import Array, Image, Size
from fastmatte.errors import FastmatteError

#: Side of the square by which ORB tells one detail from another; smaller images have none.
PATCH = 31
#: ORB's own 500 lie in a few corners of a large photograph.
FEATURES = 5000
#: A match counts where the second best is this much worse, by Lowe's ratio test.
RATIO = 0.8
#: Pixels by which a match may miss where the homography puts it.
MISS = 2.0
#: Four points make a homography; chance agrees with a few more, not with so many.
LEAST = 20
#: How far a perspective is likely to bring what lies at the side, in parts of half the long side:
#: what matches must say against with many a pixel.
LIKELY = 0.01
#: Times that matches are weighed anew by how far they miss; then they move no more.
ROUNDS = 10

INSTALL = "pip install 'fastmatte[align]'"


def align(background: Image, frame: Image, order: Literal["rgb", "bgr"] = "rgb") -> Image:
    """Return the background as the frame's camera saw it, of the frame's size.

    background: (h, w, 3) uint8, the same scene, of any size.
    frame:      (H, W, 3) uint8.
    order:      of their channels.

    Where the plate does not reach, pixels are the frame's own, which tells a network that it sees
    the background there. Raises ValueError where too few details of both match, FastmatteError
    where OpenCV is missing.
    """
    cv2 = _opencv()
    matrix = find_homography(background, frame, order)
    height, width = frame.shape[:2]
    moved: Image = cv2.warpPerspective(background, matrix, (width, height))
    inside = np.full(background.shape[:2], 255, np.uint8)
    inside = cv2.warpPerspective(inside, matrix, (width, height))
    # Below 255 the plate's edge is mixed with the black around it.
    np.copyto(moved, frame, where=(inside < 255)[..., None])
    return moved


def find_homography(background: Image, frame: Image, order: Literal["rgb", "bgr"] = "rgb") -> Array:
    """Return the (3, 3) float64 matrix that takes (x, y, 1) of the background to the frame.

    Arguments and errors are those of align().
    """
    cv2 = _opencv()
    grey = cv2.COLOR_RGB2GRAY if order == "rgb" else cv2.COLOR_BGR2GRAY
    detector = cv2.ORB_create(nfeatures=FEATURES, patchSize=PATCH)
    points, descriptors = [], []
    for image in (background, frame):
        found: tuple[Any, Any] = (), None
        if min(image.shape[:2]) > PATCH:
            found = detector.detectAndCompute(cv2.cvtColor(image, grey), None)
        points.append(found[0])
        descriptors.append(found[1])
    pairs: list[Any] = []
    if all(details is not None for details in descriptors):
        pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(*descriptors, k=2)
    best = [p[0] for p in pairs if len(p) == 2 and p[0].distance < RATIO * p[1].distance]
    agreeing, matrix = 0, None
    if len(best) >= LEAST:
        source = np.array([points[0][match.queryIdx].pt for match in best])
        target = np.array([points[1][match.trainIdx].pt for match in best])
        matrix, inliers = cv2.findHomography(source, target, cv2.USAC_MAGSAC, MISS)
        agreeing = 0 if matrix is None else int(inliers.sum())
        if agreeing >= LEAST:
            agree = inliers.ravel() > 0
            sizes = background.shape[:2], frame.shape[:2]
            matrix = _fitted(source[agree], target[agree], sizes)
    # Nobody's camera turns a scene inside out.
    if matrix is None or agreeing < LEAST or np.linalg.det(matrix) <= 0:
        raise ValueError(
            f"background: expected at least {LEAST} details that match the image's and agree on "
            f"how the camera moved, found {agreeing} among {len(best)} matches. Is it the same "
            "scene? Without align it is taken as it lies"
        )
    result: Array = matrix
    return result


def _fitted(source: Array, target: Array, sizes: tuple[Size, Size]) -> Array:
    """Return the homography of matches that agree, as little of a perspective as they allow.

    sizes: of background and frame.

    Where somebody hides most of the scene, matches lie in a corner of it: a homography that fits
    nothing but them, one false match included, was off by 155 pixels at the other end of a portrait
    where this one is by 2.
    """
    normal = [_normalising(size) for size in sizes]
    (x, y), (u, v) = (
        (points * matrix[0, 0] + matrix[:2, 2]).T
        for points, matrix in zip((source, target), normal, strict=True)
    )
    one, zero = np.ones(len(x)), np.zeros(len(x))
    # With unknowns (a, b, c, d, e, f, g, h): u (g x + h y + 1) = a x + b y + c, and v likewise.
    system = np.stack(
        [
            np.column_stack([x, y, one, zero, zero, zero, -x * u, -y * u]),
            np.column_stack([zero, zero, zero, x, y, one, -x * v, -y * v]),
        ]
    )
    known = np.stack([u, v])
    # What a camera that only turned and zoomed leaves at 0: g, h, a - e, b + d.
    upright = np.zeros((4, 8))
    upright[[0, 1, 2, 2, 3, 3], [6, 7, 0, 4, 1, 3]] = 1, 1, 1, -1, 1, 1
    pixel = normal[1][0, 0]
    weights = one
    for _ in range(ROUNDS):
        rows = np.concatenate([*(system * weights[:, None]), upright * pixel / LIKELY])
        right = np.concatenate([*(known * weights), np.zeros(4)])
        found = np.linalg.lstsq(rows, right, rcond=None)[0]
        miss = np.hypot(*(system @ found - known)) / pixel
        weights = 1 / np.hypot(1, miss / MISS)
    matrix = np.append(found, 1).reshape(3, 3)
    matrix = np.linalg.inv(normal[1]) @ matrix @ normal[0]
    result: Array = matrix / matrix[2, 2]
    return result


def _normalising(size: Size) -> Array:
    """Return the matrix that takes the middle to 0 and the long side to [-1, 1]."""
    scale = 2 / max(size)
    height, width = size
    return np.array([[scale, 0, -width / 2 * scale], [0, scale, -height / 2 * scale], [0, 0, 1]])


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise FastmatteError(f"align needs OpenCV ({error}): {INSTALL}") from error
    return cv2
