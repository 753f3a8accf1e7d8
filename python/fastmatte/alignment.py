"""Alignment: a background plate brought to where a frame's camera was, as BGMv2's scripts do it.

OpenCV finds the homography: details by ORB, those that agree by RANSAC. MAGSAC, a newer kind of it,
came within 0.6 pixels of known ones where the plain kind was off by up to 2. OpenCV is an extra,
loaded when it is first needed.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fastmatte.arrays import Array, Image
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
    # Nobody's camera turns a scene inside out.
    if matrix is None or agreeing < LEAST or np.linalg.det(matrix) <= 0:
        raise ValueError(
            f"background: expected at least {LEAST} details that match the image's and agree on "
            f"how the camera moved, found {agreeing} among {len(best)} matches. Is it the same "
            "scene? Without align it is taken as it lies"
        )
    result: Array = matrix
    return result


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise FastmatteError(f"align needs OpenCV ({error}): {INSTALL}") from error
    return cv2
