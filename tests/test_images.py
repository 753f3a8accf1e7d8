"""images: what comes out of files of every kind, and what goes into those that are written."""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO

import fastmatte as fm
import numpy as np
import PIL.Image
import pytest
from fastmatte import images
from PIL import ExifTags, ImageCms, ImageOps, features
from PIL.PngImagePlugin import PngInfo

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = [[0, 1], [128, 255]]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def file_of(image, format="PNG", **options):
    file = BytesIO()
    image.save(file, format, **options)
    file.seek(0)
    return file


def grey(values):
    return np.dstack([np.array(values, np.uint8)] * 3)


def four(mode, *values):
    """A 2 x 2 image of four pixel values."""
    image = PIL.Image.new(mode, (2, 2))
    image.putdata(values)
    return image


def premultiplied(values):
    """An RGBa image, which Pillow makes of RGBA only."""
    return four("RGBA", *values).convert("RGBa")


def palette(transparency=None):
    image = four("P", 0, 1, 2, 1)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


R, G, B, W = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
OPAQUE = None

MODES = {
    "1": (four("1", 0, 255, 255, 0), grey([[0, 255], [255, 0]]), OPAQUE),
    "L": (four("L", 0, 1, 128, 255), grey(GREY), OPAQUE),
    "LA": (four("LA", (0, 9), (1, 0), (128, 255), (255, 7)), grey(GREY), [[9, 0], [255, 7]]),
    "La": (
        four("LA", (0, 9), (0, 0), (128, 255), (255, 255)).convert("La"),
        grey([[0, 0], [128, 255]]),
        [[9, 0], [255, 255]],
    ),
    "P": (palette(), [[R, G], [B, G]], OPAQUE),
    "P, one index transparent": (palette(1), [[R, G], [B, G]], [[255, 0], [255, 0]]),
    "P, alpha by index": (palette(b"\x05\x06"), [[R, G], [B, G]], [[5, 6], [255, 6]]),
    "RGB": (four("RGB", R, G, B, W), [[R, G], [B, W]], OPAQUE),
    "RGBX": (four("RGB", R, G, B, W).convert("RGBX"), [[R, G], [B, W]], OPAQUE),
    "RGBA": (
        four("RGBA", (*R, 1), (*G, 2), (*B, 0), (*W, 255)),
        [[R, G], [B, W]],
        [[1, 2], [0, 255]],
    ),
    "RGBA, all opaque": (four("RGBA", *[(*R, 255)] * 4), [[R, R], [R, R]], OPAQUE),
    "RGBa": (
        premultiplied([(*R, 255), (*G, 255), (*B, 85), (*W, 255)]),
        [[R, G], [B, W]],
        [[255, 255], [85, 255]],
    ),
    "CMYK": (
        four("CMYK", (0, 255, 255, 0), (255, 0, 255, 0), (255, 255, 0, 0), (0, 0, 0, 0)),
        [[R, G], [B, W]],
        OPAQUE,
    ),
    "YCbCr": (four("YCbCr", *[(200, 128, 128)] * 4), grey([[200, 200]] * 2), OPAQUE),
    "HSV": (four("HSV", *[(0, 255, 255)] * 4), [[R, R], [R, R]], OPAQUE),
    "I;16": (
        PIL.Image.fromarray(np.array([[0, 257], [32768, 65535]], np.uint16)),
        grey(GREY),
        OPAQUE,
    ),
    "I": (
        PIL.Image.fromarray(np.array([[0, 257], [32768, 65535]], np.int32)),
        grey(GREY),
        OPAQUE,
    ),
    "F to 1": (
        PIL.Image.fromarray(np.array([[0, 1 / 255], [0.5, 1]], np.float32)),
        grey(GREY),
        OPAQUE,
    ),
    "F to 255": (
        PIL.Image.fromarray(np.array([[0, 1], [128, 255]], np.float32)),
        grey(GREY),
        OPAQUE,
    ),
    "F to 65535": (
        PIL.Image.fromarray(np.array([[0, 257], [32768, 65535]], np.float32)),
        grey(GREY),
        OPAQUE,
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_read_as_rgb_and_alpha(mode):
    image, pixels, alpha = MODES[mode]
    photo = images.from_pillow(image)
    assert photo.pixels.dtype == np.uint8
    np.testing.assert_array_equal(photo.pixels, pixels)
    if alpha is OPAQUE:
        assert photo.alpha is None
    else:
        np.testing.assert_array_equal(photo.alpha, alpha)


def test_palette_with_an_alpha_band():
    image = palette()
    image.putalpha(four("L", 1, 2, 3, 255))
    assert image.mode == "PA" or image.mode == "RGBA"
    photo = images.from_pillow(image)
    np.testing.assert_array_equal(photo.pixels, [[R, G], [B, G]])
    np.testing.assert_array_equal(photo.alpha, [[1, 2], [3, 255]])


@pytest.mark.skipif(not features.check("littlecms2"), reason="this Pillow has no LittleCMS")
def test_lab_is_read_by_its_meaning():
    # Pillow keeps chroma plus 128; 8-bit L* of 255 is 100, the white of sRGB.
    photo = images.from_pillow(four("LAB", *[(255, 128, 128)] * 4))
    # LittleCMS rounds to its own tables.
    assert photo.pixels.min() >= 254


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full((2, 2), -1, np.int32), "run from -1 to -1: expected 0 to 65535"),
        (np.full((2, 2), 65536, np.int32), "expected 0 to 65535"),
        (np.full((2, 2), -0.5, np.float32), "expected 0 to 1, 255 or 65535"),
        (np.full((2, 2), 7e4, np.float32), "expected 0 to 1, 255 or 65535"),
        (np.full((2, 2), np.nan, np.float32), "run from nan to nan"),
    ],
)
def test_values_nobody_can_scale_are_refused(values, expected):
    with pytest.raises(fm.ImageError, match=expected):
        images.read(file_of(PIL.Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize(
    ("image", "key"),
    [
        (four("L", 0, 1, 128, 255), 128),
        (four("RGB", R, G, (128, 128, 128), W), (128, 128, 128)),
        (PIL.Image.fromarray(np.array([[0, 257], [32768, 65535]], np.uint16)), 32768),
    ],
)
def test_a_transparent_colour_becomes_alpha(image, key):
    photo = images.read(file_of(image, transparency=key))
    np.testing.assert_array_equal(photo.alpha, [[255, 255], [0, 255]])


def test_cmyk_jpeg_of_adobe_polarity():
    image = PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    file = file_of(image, "JPEG", quality=100)
    assert b"Adobe" in file.getvalue()
    photo = images.read(file)
    # JPEG rounds twice.
    assert np.abs(photo.pixels.astype(int) - R).max() <= 3
    assert photo.notes == ("CMYK without a colour profile: the colours are approximate",)


# --- colour profiles -----------------------------------------------------------------------------


def profile(space, tags, kind=b"prtr", pcs=b"Lab "):
    """The smallest ICC profile that LittleCMS accepts (ICC.1:2001-04)."""
    tags = {**tags, b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)}
    tags[b"desc"] = b"desc" + bytes(4) + struct.pack(">I", 2) + b"t\0" + bytes(78)
    tags[b"cprt"] = b"text" + bytes(4) + b"none\0"
    table, body, offset = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = offset + len(body)
    head = struct.pack(
        ">I4s4s4s4s4s12s4s", size, b"", b"\2\x40\0\0", kind, space, pcs, b"", b"acsp"
    )
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def linear_grey():
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, 256) + bytes(2)
    return profile(b"GRAY", {b"kTRC": curve}, kind=b"mntr", pcs=b"XYZ ")


def inverted_cmyk():
    """No ink is black: nobody could mistake what it gives for a plain conversion."""
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    lut += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536) + ramp * 4
    # Corners of the CMYK cube, K fastest: lightness by the cyan corner alone.
    lut += b"".join(bytes([255 if corner & 8 else 0, 128, 128]) for corner in range(16)) + ramp * 3
    return profile(b"CMYK", {b"A2B0": lut})


needs_cms = pytest.mark.skipif(
    not features.check("littlecms2"), reason="this Pillow has no LittleCMS"
)


@needs_cms
def test_cmyk_goes_through_its_profile_into_srgb():
    image = four("CMYK", *[(255, 0, 0, 0)] * 2, *[(0, 0, 0, 0)] * 2)
    photo = images.read(file_of(image, "TIFF", icc_profile=inverted_cmyk()))
    # Without the profile these would be cyan and white.
    assert photo.pixels[0].min() >= 250
    assert photo.pixels[1].max() <= 5
    assert photo.icc_profile is None
    assert photo.notes == ("CMYK was turned into sRGB by the file's own colour profile",)


@needs_cms
@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_goes_through_its_profile_into_srgb(mode):
    image = PIL.Image.new(mode, (2, 2), 128 if mode == "L" else (128, 60))
    photo = images.read(file_of(image, icc_profile=linear_grey()))
    # 128/255 of linear light is 188 in sRGB (IEC 61966-2-1); LittleCMS rounds to its own tables.
    assert np.abs(photo.pixels.astype(int) - 188).max() <= 1
    assert photo.icc_profile is None
    assert photo.notes == ("L was turned into sRGB by the file's own colour profile",)


@pytest.mark.parametrize("wrong", [b"nonsense", linear_grey(), inverted_cmyk()[:200]])
def test_a_profile_that_cannot_hold_is_dropped_and_said(wrong):
    photo = images.read(file_of(PIL.Image.fromarray(NOISE), icc_profile=wrong))
    np.testing.assert_array_equal(photo.pixels, NOISE)
    assert photo.icc_profile is None
    assert "dropped" in photo.notes[0]


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_an_rgb_profile_passes_byte_for_byte(format):
    photo = images.read(file_of(PIL.Image.fromarray(NOISE), icc_profile=SRGB))
    assert photo.icc_profile == SRGB
    written = images.encode(photo.pixels, format, like=photo)
    assert PIL.Image.open(written).info["icc_profile"] == SRGB


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_alpha_is_no_colour_and_has_no_profile(format):
    photo = images.Photo(NOISE, icc_profile=SRGB)
    written = images.encode(NOISE[..., 0], format, like=photo)
    assert "icc_profile" not in PIL.Image.open(written).info


# --- orientation and metadata --------------------------------------------------------------------


def exif_block(**more):
    exif = PIL.Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    exif[ExifTags.Base.Copyright] = "Nobody"
    for name, value in more.items():
        exif[ExifTags.Base[name]] = value
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.DateTimeOriginal: "2024:01:02 03:04:05",
        ExifTags.Base.ExifImageWidth: 7,
        ExifTags.Base.ExifImageHeight: 5,
        ExifTags.Base.MakerNote: b"SECRETPREVIEW",
    }
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    return exif.tobytes()


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(orientation, format):
    rgba = np.dstack([NOISE, NOISE[..., 0] | 1])
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    block = exif_block(Orientation=orientation)
    file = file_of(PIL.Image.fromarray(rgba), format, exif=block, **options)
    # TIFF files are turned by Pillow itself as they are loaded.
    expected = np.asarray(ImageOps.exif_transpose(PIL.Image.open(file)))
    assert expected.shape[:2] == ((5, 7) if orientation < 5 else (7, 5))
    photo = images.read(file)
    np.testing.assert_array_equal(photo.pixels, expected[..., :3])
    np.testing.assert_array_equal(photo.alpha, expected[..., 3])
    again = PIL.Image.open(images.encode(rgba, "PNG", like=photo)).getexif()
    assert again.get(ExifTags.Base.Orientation, 1) == 1


def test_a_phone_held_upright():
    stored = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    photo = images.read(file_of(PIL.Image.fromarray(stored), exif=exif_block(Orientation=6)))
    np.testing.assert_array_equal(photo.pixels[..., 0], [[4, 1], [5, 2], [6, 3]])


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("source", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_exif_is_kept_but_for_what_no_longer_holds(source, format):
    block = exif_block(Orientation=8)
    file = file_of(PIL.Image.fromarray(NOISE), source, exif=block, dpi=(300, 300))
    photo = images.read(file)
    written = images.encode(photo.pixels, format, like=photo)
    assert b"SECRETPREVIEW" not in written.getvalue()
    exif = PIL.Image.open(written).getexif()
    assert exif[ExifTags.Base.Make] == "Camera"
    assert exif[ExifTags.Base.Copyright] == "Nobody"
    camera = exif.get_ifd(ExifTags.IFD.Exif)
    assert camera[ExifTags.Base.DateTimeOriginal] == "2024:01:02 03:04:05"
    assert camera[ExifTags.Base.ExifImageWidth] == 5
    assert camera[ExifTags.Base.ExifImageHeight] == 7
    assert exif.get_ifd(ExifTags.IFD.GPSInfo) == {ExifTags.GPS.GPSLatitudeRef: "N"}


def test_no_thumbnail_of_the_uncut_photo_stays():
    thumbnail = b"\xff\xd8THUMBNAIL\xff\xd9"
    # IFD0 with one tag at 8, IFD1 with the thumbnail's offset and length at 26, thumbnail at 56.
    block = b"Exif\0\0II*\0" + struct.pack("<I", 8)
    block += struct.pack("<HHHI4sI", 1, ExifTags.Base.Make, 2, 4, b"Cam\0", 26)
    block += struct.pack("<HHHIIHHIII", 2, 513, 4, 1, 56, 514, 4, 1, len(thumbnail), 0) + thumbnail
    file = file_of(PIL.Image.fromarray(NOISE), "JPEG", exif=block)
    assert PIL.Image.open(file).getexif().get_ifd(ExifTags.IFD.IFD1)[513] == 56
    photo = images.read(file)
    written = images.encode(photo.pixels, "PNG", like=photo)
    assert PIL.Image.open(written).getexif()[ExifTags.Base.Make] == "Cam"
    assert b"THUMBNAIL" not in written.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_exif_costs_nothing_but_itself():
    block = b"Exif\0\0II*\0" + struct.pack("<IHHHI", 8, 900, ExifTags.Base.Make, 2, 4)
    photo = images.read(file_of(PIL.Image.fromarray(NOISE), exif=block))
    np.testing.assert_array_equal(photo.pixels, NOISE)
    images.encode(photo.pixels, "PNG", like=photo)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG"])
def test_resolution_is_kept(format):
    photo = images.read(file_of(PIL.Image.fromarray(NOISE), dpi=(300, 150)))
    across, down = PIL.Image.open(images.encode(NOISE, format, like=photo)).info["dpi"]
    assert (round(across), round(down)) == (300, 150)


def test_remarks_are_kept_but_for_those_that_repeat_the_exif():
    info = PngInfo()
    info.add_text("Title", "Häuser")
    info.add_itxt("XML:com.adobe.xmp", "<x/>")
    info.add_text("Raw profile type exif", "\nexif\n6\n457869660000")
    photo = images.read(file_of(PIL.Image.fromarray(NOISE), pnginfo=info))
    assert photo.text == {"Title": "Häuser"}
    assert PIL.Image.open(images.encode(NOISE, "PNG", like=photo)).text == {"Title": "Häuser"}


def test_a_jpegs_comment_is_kept():
    photo = images.read(file_of(PIL.Image.fromarray(NOISE), "JPEG", comment="by hand"))
    assert PIL.Image.open(images.encode(NOISE, "PNG", like=photo)).text["Comment"] == "by hand"
    assert PIL.Image.open(images.encode(NOISE, "JPEG", like=photo)).info["comment"] == b"by hand"


@pytest.mark.parametrize("format", ["GIF", "TIFF", "PNG", "WEBP"])
def test_the_first_of_several_frames_is_used_and_said(format):
    frames = [PIL.Image.new("RGB", (4, 4), colour) for colour in (R, G, B)]
    options = {"lossless": True} if format == "WEBP" else {}
    file = file_of(frames[0], format, save_all=True, append_images=frames[1:], **options)
    photo = images.read(file)
    assert (photo.pixels == R).all()
    assert photo.notes == ("3 frames: only the first is used",)


def test_previews_in_a_phones_jpeg_are_no_frames():
    frames = [PIL.Image.new("RGB", (4, 4), colour) for colour in (R, G)]
    assert (
        images.read(file_of(frames[0], "MPO", save_all=True, append_images=frames[1:])).notes == ()
    )


def test_photo_over_a_colour():
    photo = images.from_pillow(four("RGBA", (*R, 255), (*R, 0), (0, 0, 0, 51), (*G, 0)))
    assert photo.size == (2, 2)
    np.testing.assert_array_equal(photo.over(W), [[R, W], [(204, 204, 204), W]])
    opaque = images.from_pillow(four("RGB", R, G, B, W))
    assert opaque.over(W) is opaque.pixels


# --- files that are no use -----------------------------------------------------------------------


def png_header(width, height):
    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_a_huge_image_is_refused_by_its_header(monkeypatch):
    def load(image):
        raise AssertionError("nothing of it may be decoded")

    monkeypatch.setattr(PIL.Image.Image, "load", load)
    expected = r"20000 x 30000 are more than the 268435456 pixels that fastmatte takes"
    with pytest.raises(fm.ImageError, match=expected):
        images.read(BytesIO(png_header(30000, 20000)))


def test_pillows_own_guard_neither_warns_nor_trips_nor_moves(monkeypatch):
    file = file_of(PIL.Image.fromarray(NOISE))
    for limit in (20, 5):
        monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(images.read(file).pixels, NOISE)
        assert limit == PIL.Image.MAX_IMAGE_PIXELS
        file.seek(0)
    with pytest.raises(fm.ImageError):
        images.read(BytesIO(b"nothing"))
    assert PIL.Image.MAX_IMAGE_PIXELS == 5


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_a_truncated_file_is_an_image_error(format, share):
    noise = RNG.integers(0, 256, (60, 70, 3), dtype=np.uint8)
    data = file_of(PIL.Image.fromarray(noise), format).getvalue()
    with pytest.raises(fm.ImageError, match=r"broken|cut short|not an image"):
        images.read(BytesIO(data[: int(len(data) * share)]))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "ICO", "PPM"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_are_read_or_are_image_errors(format):
    noise = RNG.integers(0, 256, (60, 70, 3), dtype=np.uint8)
    whole = file_of(PIL.Image.fromarray(noise), format, exif=exif_block(Orientation=6)).getvalue()
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        # Headers and metadata lie in the first bytes, or, in a TIFF, in the last ones.
        for place in RNG.integers(-300, 300, 4):
            data[place] = RNG.integers(256)
        try:
            photo = images.read(BytesIO(data))
        except fm.ImageError:
            refused += 1
        else:
            images.encode(photo.pixels, "PNG", like=photo)
    assert refused


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "the file is empty"),
        (b"Dear diary,", "not an image, or of a format that Pillow cannot read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "EPS is a drawing"),
        (png_header(0, 5), "no pixels|not an image|broken"),
    ],
)
def test_what_is_no_photograph_is_said(tmp_path, data, expected):
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    with pytest.raises(fm.ImageError, match=expected):
        images.read(path)


def test_a_file_that_cannot_be_opened_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        images.read(tmp_path / "none.png")
    with pytest.raises(OSError, match="directory"):
        images.read(tmp_path)


# --- writing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "channels"),
    [
        (s, c)
        for s in (".png", ".webp", ".tif", ".TIFF")
        for c in (1, 3, 4)
        if (s, c) != (".webp", 3)
    ],
)
def test_lossless_formats_give_back_what_was_written(tmp_path, suffix, channels):
    pixels = RNG.integers(1, 256, (6, 9, channels), dtype=np.uint8)
    pixels = pixels[..., 0] if channels == 1 else pixels
    path = tmp_path / f"result{suffix}"
    images.write(path, pixels)
    photo = images.read(path)
    np.testing.assert_array_equal(photo.pixels[..., 0], pixels if channels == 1 else pixels[..., 0])
    if channels == 4:
        np.testing.assert_array_equal(photo.alpha, pixels[..., 3])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_stay_close(tmp_path, suffix):
    y, x = np.mgrid[:64, :64].astype(np.uint8)
    pixels = np.dstack([4 * x, 4 * y, 128 - x])
    images.write(tmp_path / f"result{suffix}", pixels)
    difference = images.read(tmp_path / f"result{suffix}").pixels.astype(int) - pixels
    # A smooth ramp at quality 95; WebP halves the resolution of colour, hence its larger maximum.
    assert np.abs(difference).mean() < 2
    assert np.abs(difference).max() <= 16


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    images.write(tmp_path / "result.png", NOISE)
    assert (tmp_path / "result.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_existing_file_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "result.png"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError, match="exists already"):
        images.write(path, NOISE)
    assert path.read_bytes() == b"old"
    images.write(path, NOISE, overwrite=True)
    np.testing.assert_array_equal(images.read(path).pixels, NOISE)


def test_a_folder_or_device_is_never_replaced(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/null")
    for path in tmp_path.iterdir():
        with pytest.raises(FileExistsError, match="exists and is not a file"):
            images.write(path, NOISE, overwrite=True)


def interrupted_write(path, overwrite, interrupt):
    with images.replacing(path, overwrite=overwrite) as file:
        file.write(b"half")
        interrupt()


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, stop):
    path = tmp_path / "result.png"
    path.write_bytes(b"old")

    def interrupt():
        raise stop

    with pytest.raises(type(stop)):
        interrupted_write(path, True, interrupt)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "result.png"
    with pytest.raises(FileExistsError, match="exists already"):
        interrupted_write(path, False, lambda: path.write_bytes(b"theirs"))
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("a.jpg", (2, 2, 4), "JPEG has no transparency"),
        ("a.webp", (1, 16384), "WEBP holds at most 16383 pixels a side, got 1 x 16384: write PNG"),
        ("a.jpg", (65501, 1), "JPEG holds at most 65500 pixels a side"),
        ("a.bmp", (2, 2), r"path: expected one of .png .webp .tif .tiff .jpg .jpeg, got 'a.bmp'"),
        ("a", (2, 2), "path: expected one of"),
    ],
)
def test_what_a_format_cannot_hold_is_a_value_error(tmp_path, name, shape, expected):
    with pytest.raises(ValueError, match=expected):
        images.write(tmp_path / name, np.zeros(shape, np.uint8))
    assert not list(tmp_path.iterdir())
