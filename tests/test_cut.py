"""fastmatte cut: what it writes, what it refuses, and what it leaves behind when it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from functools import partial
from io import BytesIO
from pathlib import Path

import fastmatte as fm
import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner
from fastmatte.cli import main
from PIL import ExifTags, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RNG = np.random.default_rng(0)


def scene(width=64, height=48):
    """Nothing on the left, which is black, and something on the right, which is white."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 2 :] = 255
    return pixels


def save(path, pixels=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(scene() if pixels is None else pixels).save(path, **options)
    return path


def load(path):
    return np.asarray(PIL.Image.open(path))


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def model(graph):
    return str(graph("modnet"))


@pytest.fixture
def cut(model, monkeypatch):
    """Run the verb in this process; whatever it raises besides its exit is a failure."""
    monkeypatch.setenv("FASTMATTE_MODEL", model)

    def run(*arguments, input=None):
        result = CliRunner().invoke(main, ["cut", *map(str, arguments)], input=input)
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result

    return run


def child(model, *arguments, before="", **options):
    """Run the verb in a process of its own, which the test may stop or starve."""
    code = (
        "import signal, sys\n"
        # A test runner in the background has Ctrl-C ignored, and its children with it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"{before}\n"
        "from fastmatte.cli import main\n"
        "main(sys.argv[1:], prog_name='fastmatte')\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, "cut", *map(str, arguments)],
        env={**os.environ, "FASTMATTE_MODEL": model},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


# --- what it writes ------------------------------------------------------------------------------


def test_a_cutout_lies_beside_its_photo(tmp_path, cut):
    photo = save(tmp_path / "photo.jpg", quality=100)
    result = cut(photo)
    assert result.exit_code == 0, result.output
    assert names(tmp_path) == ["photo-cutout.png", "photo.jpg"]
    rgba = load(tmp_path / "photo-cutout.png")
    assert rgba.shape == (48, 64, 4)
    assert (rgba[:, :24] == 0).all()
    assert (rgba[:, 40:] == 255).all()
    assert result.stdout == ""
    assert result.stderr.startswith("1 image in ")
    assert result.stderr.endswith(" ms each\n")


def trimap(width=64, height=48):
    """Unknown in the middle half, sure at both ends."""
    values = np.full((height, width), 128, np.uint8)
    values[:, : width // 4] = 0
    values[:, -width // 4 :] = 255
    return values


def test_networks_that_need_a_trimap_get_it(tmp_path, cut, graph):
    photos = [
        save(tmp_path / f"{name}.png", RNG.integers(0, 256, (48, 64, 3), np.uint8)) for name in "ab"
    ]
    known = {"a": trimap(), "b": trimap()[:, ::-1].copy()}
    for name, values in known.items():
        # As some cameras and programs write them.
        save(tmp_path / "trimaps" / f"{name}.PNG", values)
    model = ("--model", graph("dim"), "--what", "alpha", "-o", f"{tmp_path / 'out'}/")
    assert cut(*photos, *model, "--trimap", tmp_path / "trimaps").exit_code == 0
    matter = fm.Matter(graph("dim"))
    for photo in photos:
        expected = matter.alpha(
            load(photo), trimap=known[photo.stem], out=np.empty((48, 64), np.uint8)
        )
        np.testing.assert_array_equal(load(tmp_path / "out" / photo.name), expected)
    one = cut(photos[0], *model, "--overwrite", "--trimap", tmp_path / "trimaps" / "a.PNG")
    assert one.exit_code == 0, one.output


def test_networks_that_need_an_empty_scene_get_it(tmp_path, cut, graph):
    photo = save(tmp_path / "a.png", RNG.integers(0, 256, (48, 64, 3), np.uint8))
    plate = save(tmp_path / "empty.png")
    out = tmp_path / "out.png"
    model = ("--model", graph("bgmv2"), "--what", "alpha", "-o", out)
    assert cut(photo, *model, "--background-plate", plate).exit_code == 0
    matter = fm.Matter(graph("bgmv2"))
    expected = matter.alpha(load(photo), background=scene(), out=np.empty((48, 64), np.uint8))
    np.testing.assert_array_equal(load(out), expected)


def test_a_second_network_makes_trimaps(tmp_path, cut, graph):
    """The given ones go before; tiles are the library's."""
    photo = save(tmp_path / "a.png", scene(200, 150))
    model = ("--model", graph("dim"), "--what", "alpha", "-o", tmp_path / "out.png", "--overwrite")
    options = ("--trimap-from", graph("selfie"), "--trimap-radius", "0.05", "--tile", "128")
    matter = fm.Matter(
        graph("dim"), trimap_from=graph("selfie"), trimap_radius=0.05, tile=128, threads=1
    )
    result = cut(photo, *model, *options, "--threads", "1", "--json")
    assert result.exit_code == 0, result.output
    info = json.loads(result.stdout)["matter"]
    assert (info["tile"], info["trimap_from"]["family"]) == ([128, 128], "selfie")
    expected = matter.alpha(load(photo), out=np.empty((150, 200), np.uint8))
    np.testing.assert_array_equal(load(tmp_path / "out.png"), expected)
    known = save(tmp_path / "known.png", trimap(200, 150))
    assert cut(photo, *model, *options, "--trimap", known).exit_code == 0
    expected = matter.alpha(load(photo), trimap=load(known), out=np.empty((150, 200), np.uint8))
    np.testing.assert_array_equal(load(tmp_path / "out.png"), expected)


def test_a_plate_is_aligned_when_asked(tmp_path, cut, graph):
    pytest.importorskip("cv2", reason="OpenCV aligns plates")
    from fastmatte import alignment

    blocks = RNG.integers(0, 256, (20, 30, 3), np.uint8)
    plate = np.kron(blocks, np.ones((12, 12, 1), np.uint8))
    photo = save(tmp_path / "a.png", np.roll(plate, (5, 7), (0, 1)))
    save(tmp_path / "plate.png", plate)
    out = tmp_path / "out.png"
    model = ("--model", graph("bgmv2"), "--what", "alpha", "-o", out, "--align")
    assert cut(photo, *model, "--background-plate", tmp_path / "plate.png").exit_code == 0
    moved = alignment.align(plate, load(photo))
    expected = fm.Matter(graph("bgmv2")).alpha(
        load(photo), background=moved, out=np.empty((240, 360), np.uint8)
    )
    np.testing.assert_array_equal(load(out), expected)
    empty = save(tmp_path / "empty.png")
    result = cut(photo, *model, "--overwrite", "--background-plate", empty)
    assert (result.exit_code, "found 0 among 0 matches" in result.stderr) == (1, True)
    result = cut(photo, *model)
    assert (result.exit_code, "--align is about a --background-plate" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--tile", "big"), 2, "expected auto, none or a side in pixels, got 'big'"),
        (("--tile", "100"), 1, "tile: expected 'auto', 'none' or a multiple of 32"),
        (("--trimap-from", "none.onnx"), 1, "none.onnx: no such model file"),
        (("--trimap-radius", "0.1"), 1, "trimap_radius: expected None"),
    ],
)
def test_what_is_wrong_with_tiles_and_trimaps_is_said(tmp_path, cut, graph, options, code, message):
    result = cut(save(tmp_path / "a.png"), "--model", graph("dim"), *options)
    assert (result.exit_code, message in result.stderr) == (code, True), result.output


def test_what_is_wrong_with_guidance_is_said(tmp_path, cut, graph):
    photo, other = save(tmp_path / "a.png"), save(tmp_path / "b.png")
    save(tmp_path / "trimaps" / "a.png", trimap(63))
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes(b"PNG")
    cases = [
        (("--trimap", "none.png"), 2, "--trimap: none.png: no such file"),
        (("--background-plate", "none.png"), 2, "--background-plate: none.png: no such file"),
        ((other, "--trimap", photo), 2, "is one file for 2 photos: name a folder"),
        ((), 1, "a.png: trimap: expected a trimap, (H, W) uint8 of 0, 128 and 255"),
        (("--trimap", tmp_path / "trimaps"), 1, "expected the image's size, 48 x 64, got 48 x 63"),
        (("--trimap", tmp_path / "empty"), 1, "expected one trimap called a, got 0"),
        (("--trimap", tmp_path / "broken.png"), 1, "broken.png: "),
        (("--trimap", photo), 1, "expected nothing but 0"),
    ]
    grey = np.full((48, 64), 7, np.uint8)
    save(photo, grey)
    for arguments, code, message in cases:
        result = cut(photo, *arguments, "--model", graph("dim"), "-o", f"{tmp_path}/out/")
        assert (result.exit_code, message in result.stderr) == (code, True), result.output
    result = cut(photo, "--trimap", photo)
    assert "trimap: expected none, for family 'modnet' takes neither" in result.stderr
    assert names(tmp_path / "out") == []


def test_the_authors_own_way_is_a_mode(tmp_path, cut, graph):
    photo = save(tmp_path / "a.png", RNG.integers(0, 256, (48, 64, 3), np.uint8))
    for mode in ("fast", "reference"):
        out = tmp_path / f"{mode}.png"
        model = ("--model", graph("selfie"), "--what", "alpha", "--mode", mode, "-o", out)
        assert cut(photo, *model).exit_code == 0
        matter = fm.Matter(graph("selfie"), mode=mode)
        expected = matter.alpha(load(photo), out=np.empty((48, 64), np.uint8))
        np.testing.assert_array_equal(load(out), expected)
    assert (load(tmp_path / "fast.png") != load(tmp_path / "reference.png")).any()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".tiff", ".PNG"])
def test_the_suffix_chooses_the_format(tmp_path, cut, suffix):
    photo = save(tmp_path / "photo.png")
    assert cut(photo, "-o", tmp_path / f"out{suffix}").exit_code == 0
    image = PIL.Image.open(tmp_path / f"out{suffix}")
    assert image.format == {".png": "PNG", ".webp": "WEBP"}.get(suffix.lower(), "TIFF")
    rgba = np.asarray(image)
    assert (rgba[:, :24, 3] == 0).all()
    assert (rgba[:, 40:] == 255).all()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [([], "photo-alpha.png"), (["-o", "{}/grey.jpg"], "grey.jpg"), (["-o", "{}/a.webp"], "a.webp")],
)
def test_alpha_is_a_grey_image(tmp_path, cut, arguments, name):
    photo = save(tmp_path / "photo.png", icc_profile=SRGB)
    result = cut(photo, "--what", "alpha", *(a.format(tmp_path) for a in arguments))
    assert result.exit_code == 0, result.output
    image = PIL.Image.open(tmp_path / name)
    # WebP knows no grey.
    assert image.mode == ("RGB" if name.endswith("webp") else "L")
    assert "icc_profile" not in image.info
    alpha = np.asarray(image.convert("L"))
    assert alpha[:, :24].max() <= 2
    assert alpha[:, 40:].min() >= 253


@pytest.mark.parametrize(
    ("background", "left"),
    [
        ("red", (255, 0, 0)),
        ("#0a141e", (10, 20, 30)),
        ("10,20,30", (10, 20, 30)),
        ("10, 20, 30", (10, 20, 30)),
        ("rgb(10,20,30)", (10, 20, 30)),
        ("blur:2", (0, 0, 0)),
        ("blur", (0, 0, 0)),
    ],
)
def test_a_background_makes_a_composite(tmp_path, cut, background, left):
    photo = save(tmp_path / "photo.png", scene(256, 48))
    result = cut(photo, "--background", background)
    assert result.exit_code == 0, result.output
    pixels = load(tmp_path / "photo-composite.png")
    assert pixels.shape == (48, 256, 3)
    # Away from the edge, where the blurred background takes in the other half.
    assert np.abs(pixels[:, :40].astype(int) - left).max() <= 2
    assert pixels[:, 200:].min() >= 253


def test_linear_light_is_that_of_the_matte(tmp_path, cut, model):
    photo = save(tmp_path / "photo.png", RNG.integers(0, 256, (48, 64, 3), np.uint8))
    assert cut(photo, "--background", "red", "--linear-light").exit_code == 0
    matte = fm.Matter(model)(load(photo))
    pixels = load(tmp_path / "photo-composite.png")
    np.testing.assert_array_equal(pixels, matte.composite((255, 0, 0), linear_light=True))
    assert (pixels != matte.composite((255, 0, 0))).any()


def test_an_image_as_background_is_scaled_to_cover(tmp_path, cut):
    photo = save(tmp_path / "photo.png")
    behind = save(tmp_path / "behind.png", np.full((7, 9, 3), (9, 8, 7), np.uint8))
    assert cut(photo, "--background", behind).exit_code == 0
    assert (load(tmp_path / "photo-composite.png")[:, :24] == (9, 8, 7)).all()


def test_a_transparent_background_image_lies_over_white(tmp_path, cut):
    photo = save(tmp_path / "photo.png")
    behind = save(tmp_path / "behind.png", np.zeros((7, 9, 4), np.uint8))
    assert cut(photo, "--background", behind).exit_code == 0
    assert (load(tmp_path / "photo-composite.png")[:, :24] == 255).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photo.jpg", "photo-composite.jpg"),
        ("photo.JPG", "photo-composite.JPG"),
        ("photo.webp", "photo-composite.webp"),
        ("photo.bmp", "photo-composite.png"),
        ("photo.gif", "photo-composite.png"),
    ],
)
def test_a_composite_keeps_its_photos_format_where_it_can(tmp_path, cut, name, expected):
    photo = save(tmp_path / name)
    assert cut(photo, "--background", "red").exit_code == 0
    assert names(tmp_path) == sorted([name, expected])


def test_profile_exif_resolution_and_remarks_go_along(tmp_path, cut):
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "Somebody"
    photo = save(
        tmp_path / "photo.jpg", icc_profile=SRGB, exif=exif, dpi=(300, 300), comment="remark"
    )
    assert cut(photo).exit_code == 0
    image = PIL.Image.open(tmp_path / "photo-cutout.png")
    assert image.size == (48, 64)
    alpha = np.asarray(image)[..., 3]
    # What was right lies below once the photo stands upright.
    assert (alpha[:24] == 0).all()
    assert (alpha[40:] == 255).all()
    assert image.info["icc_profile"] == SRGB
    assert round(image.info["dpi"][0]) == 300
    assert image.text == {"Comment": "remark"}
    assert image.getexif()[ExifTags.Base.Orientation] == 1
    assert image.getexif()[ExifTags.Base.Artist] == "Somebody"


def test_what_was_transparent_stays_so(tmp_path, cut):
    rgba = np.full((32, 40, 4), 255, np.uint8)
    rgba[:, :10, 3] = 0
    rgba[:, 10:20, 3] = 128
    rgba[:, 20:30, :3] = 0
    # Transparent black lies over white for the network, which takes white for the subject.
    rgba[:, :10, :3] = 0
    photo = save(tmp_path / "photo.png", rgba)
    assert cut(photo).exit_code == 0
    result = load(tmp_path / "photo-cutout.png")
    assert (result[:, :8] == 0).all()
    np.testing.assert_array_equal(result[:, 12:17, 3], 128)
    np.testing.assert_array_equal(result[:, 23:27, 3], 0)
    np.testing.assert_array_equal(result[:, 33:], 255)
    assert cut(photo, "--background", "0,0,255").exit_code == 0
    composite = load(tmp_path / "photo-composite.png")
    np.testing.assert_array_equal(composite[:, :8], [[(0, 0, 255)] * 8] * 32)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_the_smallest_images(tmp_path, cut, size):
    photo = save(tmp_path / "photo.png", np.full((*size, 3), 255, np.uint8))
    result = cut(photo)
    assert result.exit_code == 0, result.output
    assert (load(tmp_path / "photo-cutout.png") == 255).all()


@pytest.mark.parametrize("options", [[], ["--refine", "none"], ["--size", "64"], ["--threads", 1]])
def test_options_reach_the_network(tmp_path, cut, options):
    photo = save(tmp_path / "photo.png", scene(300, 200))
    assert cut(photo, *options).exit_code == 0
    alpha = load(tmp_path / "photo-cutout.png")[..., 3]
    assert (alpha[:, :130] == 0).all()
    assert (alpha[:, 170:] == 255).all()


def test_size_is_height_first(tmp_path, cut, graph):
    photo = save(tmp_path / "photo.png")
    result = cut(photo, "--size", "32x64", "--json")
    assert result.exit_code == 0, result.output
    result = cut(photo, "--overwrite", "--size", "33x64")
    assert result.exit_code == 1
    assert "size: expected positive multiples of 32, got (33, 64)" in result.stderr
    for wrong in ("0x32", "32x", "big", "-32x32", "32x32x32", "1.5"):
        result = cut(photo, "--size", wrong)
        assert result.exit_code == 2
        assert "expected HEIGHTxWIDTH as in 288x512" in result.stderr


# --- which files ---------------------------------------------------------------------------------


def test_a_folder_goes_into_a_folder(tmp_path, cut):
    save(tmp_path / "in" / "a.jpg")
    save(tmp_path / "in" / "b.PNG")
    save(tmp_path / "in" / ".hidden.png")
    save(tmp_path / "in" / "deep" / "c.webp")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    result = cut(tmp_path / "in", "-o", tmp_path / "made" / "out")
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "made") == ["out/a.png", "out/b.png"]
    assert result.stderr.startswith("2 images in ")
    result = cut(tmp_path / "in", "-o", tmp_path / "all", "--recursive")
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "all") == ["a.png", "b.png", "deep/c.png"]


def test_results_of_an_earlier_run_are_no_photos(tmp_path, cut):
    save(tmp_path / "a.jpg")
    save(tmp_path / "coastal-alpha.jpg")
    for _ in range(2):
        result = cut(tmp_path, "--overwrite")
        assert result.exit_code == 0, result.output
    expected = ["a-cutout.png", "a.jpg", "coastal-alpha-cutout.png", "coastal-alpha.jpg"]
    assert names(tmp_path) == expected


def test_results_inside_the_folder_that_is_read_are_passed_over(tmp_path, cut):
    save(tmp_path / "a.jpg")
    for _ in range(2):
        result = cut(tmp_path, "-o", tmp_path / "out", "-r", "--overwrite")
        assert result.exit_code == 0, result.output
    assert names(tmp_path) == ["a.jpg", "out/a.png"]


def test_patterns_that_no_shell_expanded(tmp_path, cut):
    for name in ("b.jpg", "a.jpg", "c.png", "[odd].jpg"):
        save(tmp_path / name)
    result = cut(tmp_path / "?.jpg", "-o", tmp_path / "out", "--json")
    assert [Path(f["input"]).name for f in json.loads(result.stdout)["files"]] == ["a.jpg", "b.jpg"]
    # A file of that very name comes first.
    assert cut(tmp_path / "[odd].jpg").exit_code == 0
    result = cut(tmp_path / "*.tif", "-o", tmp_path / "x.png")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [f"Error: {tmp_path}/*.tif: no file matches"]


def test_a_file_that_is_named_twice_is_cut_once(tmp_path, cut):
    photo = save(tmp_path / "a.jpg")
    result = cut(photo, tmp_path / "*.jpg", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["files"]) == 1


def test_an_empty_folder_is_said(tmp_path, cut):
    result = cut(tmp_path)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {tmp_path}: no images in this folder; --recursive looks into its folders\n"
    )


def test_standard_input_to_standard_output(tmp_path, cut):
    data = save(tmp_path / "photo.png").read_bytes()
    for arguments in (["-"], ["-", "-o", "-"]):
        result = cut(*arguments, input=data)
        assert result.exit_code == 0, result.output
        rgba = np.asarray(PIL.Image.open(BytesIO(result.stdout_bytes)))
        assert (rgba[:, 40:] == 255).all()
        assert result.stderr == ""
    result = cut("-", "-o", tmp_path / "out.webp", input=data)
    assert result.exit_code == 0
    assert load(tmp_path / "out.webp").shape == (48, 64, 4)
    result = cut("-", tmp_path / "photo.png", "-o", f"{tmp_path}/out/", input=data)
    assert result.exit_code == 0
    assert names(tmp_path / "out") == ["photo.png", "stdin.png"]


def test_json_says_what_was_done(tmp_path, cut, model):
    good = save(tmp_path / "a.gif")
    (tmp_path / "b.png").write_bytes(b"")
    result = cut(good, tmp_path / "b.png", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    first, second = document["files"]
    assert first["milliseconds"] > 0
    assert {k: first[k] for k in first if k != "milliseconds"} == {
        "input": str(good),
        "output": str(tmp_path / "a-cutout.png"),
        "size": [48, 64],
        "warnings": [],
        "error": None,
    }
    assert second["error"] == "the file is empty"
    assert second["size"] is None
    assert document["milliseconds"] >= first["milliseconds"]
    assert document["matter"]["model"] == model
    assert document["matter"]["family"] == "modnet"
    assert result.stderr == f"Error: {tmp_path / 'b.png'}: the file is empty\n"


# --- what it refuses -----------------------------------------------------------------------------


def test_bad_files_are_named_in_a_line_each_and_the_rest_is_done(tmp_path, cut):
    good = save(tmp_path / "good.png")
    noise = RNG.integers(0, 256, (60, 70, 3), dtype=np.uint8)
    for suffix in ("png", "jpg"):
        whole = save(tmp_path / f"whole.{suffix}", noise).read_bytes()
        (tmp_path / f"cut short {suffix}.{suffix}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "diary.png").write_text("Dear diary,")
    (tmp_path / "empty.png").touch()
    bad = ["cut short png.png", "cut short jpg.jpg", "diary.png", "empty.png", "gone.png"]
    result = cut(*(tmp_path / name for name in bad[:3]), good, *(tmp_path / n for n in bad[3:]))
    assert result.exit_code == 1
    *errors, summary = result.stderr.splitlines()
    assert summary.startswith("1 of 6 images in ")
    for line, name in zip(errors, bad, strict=True):
        assert line.startswith(f"Error: {tmp_path / name}: ")
    assert all(": the image is broken or cut short: " in error for error in errors[:2])
    assert errors[2].endswith(": not an image, or of a format that Pillow cannot read")
    assert errors[3].endswith(": the file is empty")
    assert errors[4].endswith(": No such file or directory")
    assert (tmp_path / "good-cutout.png").exists()
    assert not list(tmp_path.glob("cut short*-cutout*"))


def test_warnings_name_the_file(tmp_path, cut):
    frames = [PIL.Image.new("RGB", (8, 8), c) for c in ("white", "black", "red")]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    result = cut(tmp_path / "film.gif")
    assert result.exit_code == 0
    expected = f"Warning: {tmp_path / 'film.gif'}: 3 frames: only the first is used"
    assert result.stderr.splitlines()[0] == expected
    assert (load(tmp_path / "film-cutout.png") == 255).all()


def test_a_decoders_remarks_name_the_file_once(tmp_path, cut):
    photo = save(tmp_path / "photo.tif")
    data = photo.read_bytes()
    # The tag that says how samples lie (284) is made to say that its value lies past the end.
    place = data.index((284).to_bytes(2, "little") + b"\3\0")
    photo.write_bytes(data[: place + 4] + b"\xff\xff\0\0\xff\xff\xff\x7f" + data[place + 12 :])
    result = cut(photo)
    assert result.exit_code == 0, result.output
    remarks = result.stderr.splitlines()[:-1]
    assert len(remarks) == 1
    assert remarks[0].startswith(f"Warning: {photo}: ")


def test_an_existing_result_is_kept_unless_told_otherwise(tmp_path, cut):
    photo = save(tmp_path / "photo.png")
    target = tmp_path / "photo-cutout.png"
    target.write_bytes(b"mine")
    result = cut(photo)
    assert result.exit_code == 1
    expected = f"Error: {photo}: {target}: exists already; --overwrite replaces it\n"
    assert result.stderr == expected
    assert target.read_bytes() == b"mine"
    assert cut(photo, "--overwrite").exit_code == 0
    assert load(target).shape == (48, 64, 4)


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_an_input_is_never_replaced(tmp_path, cut, overwrite):
    photo, other = save(tmp_path / "photo.png"), save(tmp_path / "photo-cutout.png")
    (tmp_path / "link.png").symlink_to(photo)
    before = photo.read_bytes()
    for arguments in (
        [photo, "-o", photo],
        [photo, "-o", tmp_path],
        [photo, "-o", tmp_path / "link.png"],
        [photo, "-o", f"{tmp_path}/../{tmp_path.name}/photo.png"],
        [photo, other],
        [tmp_path, "-o", tmp_path, "--background", "red"],
    ):
        result = cut(*arguments, *overwrite)
        assert result.exit_code == 2, arguments
        assert "would replace the input" in result.stderr
    assert photo.read_bytes() == before
    assert names(tmp_path) == ["link.png", "photo-cutout.png", "photo.png"]


def test_two_results_of_one_name_are_refused_before_any_work(tmp_path, cut):
    first, second = save(tmp_path / "a" / "x.jpg"), save(tmp_path / "b" / "x.png")
    result = cut(first, second, "-o", tmp_path / "out")
    assert result.exit_code == 2
    target = tmp_path / "out" / "x.png"
    assert f"{first} and {second} would both be written to {target}" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-o", "x.jpg"], ".jpg files hold no transparency, which a cut-out needs: write a .png"),
        (["-o", "x.bmp"], "-o x.bmp: expected one of .png .webp .tif .tiff, got .bmp"),
        (["--what", "composite"], "a composite needs a --background"),
        (["--what", "alpha", "--background", "red"], "--what alpha has no background"),
        (["--linear-light"], "--linear-light is for a composite: name a --background"),
        (["--background", "nowhere.png"], "expected a colour, an image file or blur[:RADIUS]"),
        (["--background", "#ff000080"], "expected an opaque colour"),
        (["--background", "1,2,256"], "expected an opaque colour of parts from 0 to 255"),
        (["--background", "blur:0"], "expected blur:RADIUS, got"),
        (["--background", "blur:nan"], "expected blur:RADIUS, got"),
        (["--background", "blur:x"], "expected blur:RADIUS, got"),
        (["-o", "-", "--json"], "--json and the result would both go to standard output"),
        (["PHOTO2", "-o", "-"], "standard output takes one result, and there are 2"),
        (["PHOTO2", "-o", "x.png"], "-o x.png names one file, and there are 2 images"),
        (["-"], "standard input has no name: name a folder with -o"),
        (["-", "-", "-o", "x/"], "standard input can be read once"),
        (["--threads", "0"], "0 is not in the range"),
        (["--what", "mask"], "'mask' is not one of 'cutout', 'alpha', 'composite'"),
    ],
)
def test_usage_errors(tmp_path, cut, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    photo, second = save(tmp_path / "photo.png"), save(tmp_path / "second.png")
    arguments = [str(second) if a == "PHOTO2" else a for a in arguments]
    result = cut(photo, *arguments, input=b"")
    assert result.exit_code == 2
    assert expected in result.stderr
    assert names(tmp_path) == ["photo.png", "second.png"]


def test_without_a_model_the_one_that_comes_along_cuts(tmp_path):
    photo = save(tmp_path / "photo.png")
    cut = partial(CliRunner(env={"FASTMATTE_MODEL": None}).invoke, main)
    by_default, by_name = tmp_path / "default.png", tmp_path / "name.png"
    assert cut(["cut", str(photo), "-o", str(by_default)]).exit_code == 0
    named = cut(["cut", str(photo), "--model", "portrait", "-o", str(by_name)])
    assert named.exit_code == 0
    assert by_default.read_bytes() == by_name.read_bytes()


def test_a_model_that_is_no_use_is_said_so(tmp_path, cut, graph):
    photo = save(tmp_path / "photo.png")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    for model in ("none.onnx", tmp_path / "broken.onnx", graph("unknown")):
        result = cut(photo, "--model", model)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert str(model) in result.stderr
        assert "Traceback" not in result.stderr
    result = cut(photo, "--family", "none")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: family: expected one of 'modnet'")


def test_a_network_whose_output_is_no_alpha_fails_for_each_image(tmp_path, cut, graph):
    photo = save(tmp_path / "photo.png")
    result = cut(photo, "--model", graph("logits"))
    assert result.exit_code == 1
    assert "the network's output is no alpha" in result.stderr
    assert names(tmp_path) == ["photo.png"]


def test_an_output_folder_that_cannot_be_made(tmp_path, cut):
    photo = save(tmp_path / "photo.png")
    (tmp_path / "file").touch()
    result = cut(photo, "-o", f"{tmp_path}/file/out/")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path}/file/out: Not a directory\n"
    result = cut(photo, "-o", f"{tmp_path}/file/out.png")
    assert result.exit_code == 1
    assert "Not a directory" in result.stderr
    result = cut(photo, "-o", "/proc/out.png")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_a_broken_background_is_named(tmp_path, cut):
    photo = save(tmp_path / "photo.png")
    (tmp_path / "behind.png").write_bytes(b"")
    result = cut(photo, "--background", tmp_path / "behind.png")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path / 'behind.png'}: the file is empty\n"


def test_a_name_cannot_steer_the_terminal(tmp_path, cut):
    name = tmp_path / "a\x1b[2J\nb[red].png"
    result = cut(name)
    assert result.exit_code == 1
    expected = f"Error: {tmp_path}/a\\x1b[2J b[red].png: no file matches\n"
    assert result.stderr == expected


# --- when it is stopped --------------------------------------------------------------------------

SMALL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))"


def test_a_file_that_grows_too_large_leaves_the_old_one(tmp_path, model):
    pytest.importorskip("resource", reason="this system has no resource limits")
    noise = RNG.integers(200, 256, (100, 100, 3), dtype=np.uint8)
    photo, target = save(tmp_path / "photo.png", noise), tmp_path / "out.png"
    target.write_bytes(b"old")
    process = child(model, photo, "-o", target, "--overwrite", before=SMALL_DISK)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, b"")
    assert err.decode() == f"Error: {photo}: File too large\n"
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["out.png", "photo.png"]


def test_a_full_disk_leaves_the_old_file(tmp_path, cut):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk cannot be mounted here")
    try:
        noise = RNG.integers(200, 256, (300, 300, 3), dtype=np.uint8)
        photo, small = save(tmp_path / "photo.png", noise), save(tmp_path / "small.png")
        (disk / "photo.png").write_bytes(b"old")
        result = cut(photo, small, "-o", disk, "--overwrite")
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {photo}: No space left on device\n1 of 2 images")
        assert (disk / "photo.png").read_bytes() == b"old"
        assert names(disk) == ["photo.png", "small.png"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(os.name != "posix", reason="this system has no SIGINT")
def test_ctrl_c_leaves_whole_files_only(tmp_path, model):
    noise = RNG.integers(0, 256, (400, 400, 3), dtype=np.uint8)
    first = save(tmp_path / "in" / "000.png", noise)
    for k in range(1, 300):
        os.link(first, first.with_name(f"{k:03}.png"))
    out = tmp_path / "out"
    # Hard links are one file, which would be cut once, did the verb go by more than names.
    process = child(model, tmp_path / "in", "-o", out)
    deadline = time.monotonic() + 60
    while not (out / "002.png").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    [line] = err.decode().splitlines()
    assert line.startswith("Interrupted: ")
    assert " of 300 images in " in line
    done = names(out)
    assert 3 <= len(done) < 300
    for name in done:
        assert name.endswith(".png")
        assert not name.startswith(".")
        assert load(out / name).shape == (400, 400, 4)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_slow_reader_gets_all_of_it(tmp_path, model, monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    noise = RNG.integers(200, 256, (400, 400, 3), dtype=np.uint8)
    process = child(model, save(tmp_path / "photo.png", noise), "-o", "-")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    # Several times what a pipe holds.
    assert len(out) > 300_000
    assert np.asarray(PIL.Image.open(BytesIO(out))).shape == (400, 400, 4)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path, model, monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    noise = RNG.integers(200, 256, (400, 400, 3), dtype=np.uint8)
    process = child(model, save(tmp_path / "photo.png", noise), "-o", "-")
    assert process.stdout.read(4) == b"\x89PNG"
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")
def test_a_terminal_sees_progress_and_whole_lines(tmp_path, model):
    import pty

    long_name = "a[bold]" + 120 * "x" + ".png"
    for name in ("a.png", "b.png"):
        save(tmp_path / name)
    (tmp_path / long_name).touch()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastmatte", "cut", str(tmp_path)],
        env={**os.environ, "FASTMATTE_MODEL": model, "TERM": "xterm", "COLUMNS": "40"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            more = os.read(ours, 65536)
        # A terminal that nobody writes to any more is an error on Linux, an end elsewhere.
        except OSError:
            break
        if not more:
            break
        seen += more
    os.close(ours)
    assert process.wait(60) == 1
    assert b"/3" in seen
    assert f"Error: {tmp_path}/{long_name}: the file is empty".encode() in seen
    assert b"2 of 3 images in " in seen


def test_a_result_is_never_poured_into_a_terminal(tmp_path, model):
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastmatte", "cut", str(save(tmp_path / "a.png")), "-o", "-"],
        env={**os.environ, "FASTMATTE_MODEL": model},
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    _, err = process.communicate(timeout=60)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 2
    assert b"the result would fill the terminal" in err


# --- on real photographs -------------------------------------------------------------------------


def test_a_person_is_cut_out(shared_data, tmp_path, cut):
    model = shared_data / "models" / "mediapipe_selfie_256_nchw.onnx"
    photo = shared_data / "images" / "eval" / "man_curly2_image.png"
    result = cut(photo, "-o", tmp_path / "out.png", "--what", "alpha", "--model", model)
    assert result.exit_code == 0, result.output
    alpha = load(tmp_path / "out.png")
    expected = fm.Matter(model).alpha(load(photo)[..., :3], out=np.empty_like(alpha))
    np.testing.assert_array_equal(alpha, expected)
    truth = load(photo.with_name("man_curly2_alpha.png")).astype(float)
    # The network's own mean error on such composites is 0.033 (MANIFEST.md there).
    assert np.abs(alpha - truth).mean() / 255 < 0.05


def test_max_pixels_is_the_limit_that_is_named(tmp_path, cut):
    photo = save(tmp_path / "photo.png")
    data = bytearray(photo.read_bytes())
    data[16:24] = (20000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    photo.write_bytes(data)
    result = cut(photo)
    assert result.exit_code == 1
    assert f"20000 x 20000 are more than the {fm.MAX_PIXELS} pixels" in result.stderr
