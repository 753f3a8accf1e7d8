"""Background plates brought to where the camera was."""

from __future__ import annotations

import sys

import fastmatte as fm
import numpy as np
import pytest
from fastmatte import alignment

cv2 = pytest.importorskip("cv2", reason="OpenCV finds the homography")


def room(height, width, seed=0):
    """A textured scene: details of every size, as walls, shelves and books have them."""
    rng = np.random.default_rng(seed)
    scene = np.zeros((height, width, 3))
    for side in (8, 20, 50):
        coarse = rng.integers(0, 256, (height // side + 2, width // side + 2, 3)).astype(np.uint8)
        scene += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST) / 3.0
    return scene.astype(np.uint8)


def moved(height, width, angle=2.0, scale=1.03, shift=(11.0, -7.0), tilt=2e-5):
    """The homography of a camera that was touched."""
    turn = np.deg2rad(angle)
    matrix = np.array(
        [
            [scale * np.cos(turn), -scale * np.sin(turn), shift[0]],
            [scale * np.sin(turn), scale * np.cos(turn), shift[1]],
            [tilt, -tilt / 2, 1.0],
        ]
    )
    centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1.0]])
    return np.linalg.inv(centre) @ matrix @ centre


def seen(plate, matrix, size):
    return cv2.warpPerspective(plate, matrix, size[::-1], borderMode=cv2.BORDER_REFLECT)


def person(frame):
    """The scene with somebody in it who hides a part."""
    height, width = frame.shape[:2]
    there = np.zeros((height, width), bool)
    there[height // 3 :, width // 3 : 2 * width // 3] = True
    frame = frame.copy()
    frame[there] = room(height, width, seed=9)[there]
    return frame


def apart(found, matrix, size):
    """How far from one another two homographies put pixels, at most over the frame."""
    rows, columns = np.mgrid[0 : size[0] : 9, 0 : size[1] : 9]
    points = np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)])
    there, here = (m @ points for m in (found, matrix))
    return np.linalg.norm(there[:2] / there[2] - here[:2] / here[2], axis=0).max()


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize(
    "motion", [{}, {"angle": -5.0, "scale": 0.9, "shift": (40.0, 25.0)}, {"tilt": 2e-4}]
)
def test_a_known_homography_is_found_within_a_pixel(motion, order):
    size = (480, 640)
    plate, matrix = room(*size), moved(*size, **motion)
    frame = person(seen(plate, matrix, size))
    assert apart(alignment.find_homography(plate, frame, order), matrix, size) < 1
    assert apart(np.eye(3), matrix, size) > 10


def test_somebody_who_hides_most_of_the_scene_bends_nothing():
    """An eighth of the scene, on the right, says where the left is: its noise was off by 68."""
    size = (480, 640)
    for seed in range(6):
        plate, matrix = room(*size, seed=seed), moved(*size, tilt=0.0)
        frame = seen(plate, matrix, size)
        frame[:, :560] = room(*size, seed=9)[:, :560]
        assert apart(alignment.find_homography(plate, frame), matrix, size) < 7


def test_the_plate_lies_as_the_frame_where_it_reaches_and_is_the_frame_beyond():
    size = (480, 640)
    plate = room(*size)
    matrix = moved(*size, shift=(60.0, -7.0))
    frame = person(seen(plate, matrix, size))
    result = alignment.align(plate, frame)
    inside = cv2.warpPerspective(np.ones(size, np.float32), matrix, size[::-1])
    beyond = (inside == 0).astype(np.uint8)
    assert beyond.mean() > 0.05
    # Within two pixels of the plate's border either may be, but never the black around the plate.
    square = np.ones((5, 5))
    far, near = cv2.erode(beyond, square) > 0, cv2.dilate(beyond, square) > 0
    np.testing.assert_array_equal(result[far], frame[far])
    assert (result[near & (frame.min(axis=2) > 60)].max(axis=1) > 30).all()
    scene = seen(plate, matrix, size)
    difference = np.abs(result.astype(int) - scene)[~near]
    assert difference.mean() < 6
    unaligned = np.abs(plate.astype(int) - scene)[~near]
    assert unaligned.mean() > 5 * difference.mean()


def test_a_plate_of_another_size_is_brought_to_the_frames(graph):
    size = (480, 640)
    plate = room(*size)
    larger = cv2.resize(plate, (960, 720), interpolation=cv2.INTER_LINEAR)
    result = alignment.align(larger, plate)
    assert result.shape == plate.shape
    assert np.abs(result.astype(int) - plate)[5:-5, 5:-5].mean() < 8


@pytest.mark.parametrize("mode", ["fast", "reference"])
@pytest.mark.parametrize("pixel_format", ["rgb", "bgra"])
def test_a_matter_aligns_what_it_is_given(graph, mode, pixel_format):
    size = (240, 320)
    plate = room(*size)
    frame = person(seen(plate, moved(*size), size))
    matter = fm.Matter(graph("bgmv2"), mode=mode)
    if pixel_format == "bgra":
        known = alignment.align(plate[..., ::-1].copy(), frame[..., ::-1].copy(), "bgr")
        known = known[..., ::-1].copy()
    else:
        known = alignment.align(plate, frame)
    expected = matter.alpha(frame, background=known)
    assert np.abs(expected - matter.alpha(frame, background=plate)).max() > 0.05
    if pixel_format == "bgra":
        frame, plate = (
            np.dstack([i[..., ::-1], np.full(size, 255, np.uint8)]) for i in (frame, plate)
        )
    options = {"background": plate, "align": True, "pixel_format": pixel_format}
    np.testing.assert_array_equal(matter.alpha(frame, **options), expected)
    np.testing.assert_array_equal(matter(frame, **options).alpha, expected)
    with matter.stream(**options) as stream:
        for _ in range(2):
            np.testing.assert_array_equal(stream(frame).alpha, expected)
        assert "align" in stream.stats.stages


def test_a_moving_camera_is_followed_frame_by_frame(graph):
    size = (240, 320)
    plate = room(*size)
    matter = fm.Matter(graph("bgmv2"))
    with matter.stream(background=plate, align=True, smoothing="none") as stream:
        for angle in (0.5, 2.0, 4.0):
            frame = person(seen(plate, moved(*size, angle=angle), size))
            expected = matter.alpha(frame, background=alignment.align(plate, frame))
            np.testing.assert_array_equal(stream(frame).alpha, expected)
        with pytest.raises(ValueError, match="background: expected at least 20 details"):
            stream(np.zeros((*size, 3), np.uint8))
        np.testing.assert_array_equal(stream(frame).alpha, expected)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda size: np.full((*size, 3), 90, np.uint8), "found 0 among 0 matches"),
        (lambda size: room(*size, seed=5), r"found \d+ among \d+ matches"),
        (lambda size: np.zeros((1, 1, 3), np.uint8), "found 0 among 0 matches"),
    ],
)
def test_too_few_matches_are_an_error_that_counts_them(graph, make, found):
    size = (240, 320)
    with pytest.raises(ValueError, match=f"background: expected at least 20 details .* {found}"):
        fm.Matter(graph("bgmv2")).alpha(room(*size), background=make(size), align=True)


def test_a_mirrored_scene_is_no_match():
    plate = room(240, 320)
    with pytest.raises(ValueError, match="background: expected at least 20 details"):
        alignment.find_homography(plate, plate[:, ::-1].copy())


def test_without_opencv_it_says_what_to_install(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    plate = room(60, 80)
    with pytest.raises(fm.FastmatteError, match=r"pip install 'fastmatte\[align\]'"):
        fm.Matter(graph("bgmv2")).alpha(plate, background=plate, align=True)


def test_networks_without_a_background_have_nothing_to_align(graph):
    image = room(60, 80)
    for call in (
        lambda: fm.Matter(graph("modnet")).alpha(image, align=True),
        lambda: fm.Matter(graph("modnet"))(image, align=True),
        lambda: fm.Matter(graph("modnet")).stream(align=True),
    ):
        with pytest.raises(ValueError, match="align: expected False, for family 'modnet' takes no"):
            call()
    with pytest.raises(ValueError, match="background: expected the scene without its subject"):
        fm.Matter(graph("bgmv2")).alpha(image, align=True)
