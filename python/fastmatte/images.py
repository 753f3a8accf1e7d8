"""Photographs in files: reading any that Pillow can, upright and in 8-bit RGB, and writing results.

A result keeps what still holds of the photograph it came from (Photo.icc_profile, exif, dpi, text),
and is never half written: write() goes through a temporary file that is renamed at the end.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError, features
from PIL.PngImagePlugin import PngInfo

from fastmatte import kernels
from fastmatte._core import MAX_PIXELS
from fastmatte.arrays import Colour, Size
from fastmatte.errors import ImageError

if TYPE_CHECKING:
    from fastmatte.matte import Matte
    from fastmatte.matter import Matter

__all__ = [
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Photo",
    "encode",
    "from_pillow",
    "read",
    "read_alpha",
    "write",
]

Pixels = NDArray[np.uint8]

#: What a folder is searched for; read() itself goes by the content and takes whatever Pillow can.
READABLE_SUFFIXES = frozenset(
    {
        *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".jxl", ".mpo"),
        *(".pgm", ".png", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp"),
    }
)
#: The format that write() makes of each suffix.
WRITABLE_SUFFIXES: Mapping[str, str] = {
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
}
# The longest side each encoder takes: libwebp's WEBP_MAX_DIMENSION, libjpeg's JPEG_MAX_DIMENSION.
LONGEST_SIDE = {"WEBP": 16383, "JPEG": 65500}

ORIENTATION = ExifTags.Base.Orientation
# Tags that speak of the photograph. All others of IFD0 say how the old file stored its pixels, or
# hold a second copy of them: a thumbnail shows the background that was cut away.
KEPT_EXIF = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ORIENTATION,
    ExifTags.Base.XResolution,
    ExifTags.Base.YResolution,
    ExifTags.Base.ResolutionUnit,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.HostComputer,
    ExifTags.Base.Rating,
    ExifTags.Base.RatingPercent,
    ExifTags.Base.Copyright,
    ExifTags.Base.XPTitle,
    ExifTags.Base.XPComment,
    ExifTags.Base.XPAuthor,
    ExifTags.Base.XPKeywords,
    ExifTags.Base.XPSubject,
)

# In the Exif IFD: the maker's note may hold a preview of the uncut photograph, and breaks when
# moved; the interoperability IFD is a place in the old file.
LEFT_OUT = (ExifTags.Base.MakerNote, ExifTags.Base.ExifInteroperabilityOffset)
EXIF_SIZE = (ExifTags.Base.ExifImageHeight, ExifTags.Base.ExifImageWidth)

# How to turn pixels upright, by EXIF orientation (CIPA DC-008, 4.6.5.1.1).
UPRIGHT = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
SIDEWAYS = range(5, 9)

# The colour space field of an ICC profile (ICC.1, 7.2.8), for the modes that are not RGB.
PROFILE_SPACES = {"L": b"GRAY", "CMYK": b"CMYK", "LAB": b"Lab "}

WHITE: Colour = (255, 255, 255)

_pillow_limit = threading.Lock()


@dataclass(frozen=True)
class Photo:
    """An image file's pixels, upright, and what a result made of them should still say.

    pixels:      (H, W, 3) uint8 RGB, in the colour space of icc_profile (None: sRGB).
    alpha:       (H, W) uint8, or None where the file has no transparency.
    icc_profile: the file's own, byte for byte, as long as the pixels are in its colour space.
    exif:        the block that goes into a file: without thumbnail, orientation 1.
    dpi:         dots per inch along width and height.
    text:        remarks by name, as PNG keeps them; a JPEG's comment is called "Comment".
    notes:       what a careful person would want to know of the reading, one phrase each.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> Size:
        """Height and width."""
        height, width, _ = self.pixels.shape
        return height, width

    def matte(
        self,
        matter: Matter,
        *,
        trimap: Pixels | None = None,
        background: Pixels | None = None,
        align: bool = False,
    ) -> Matte:
        """Return the matte of the photograph, which lets through no more than the file does.

        trimap, background, align: as calling a Matter takes them.

        The network sees white where the file is transparent: it was trained on photographs.
        """
        matte = matter(self.over(WHITE), trimap=trimap, background=background, align=align)
        return matte if self.alpha is None else matte.within(self.alpha)

    def over(self, colour: Colour) -> Pixels:
        """Return the pixels laid over colour where the file is transparent, else the pixels."""
        return (
            self.pixels
            if self.alpha is None
            else kernels.composite(self.pixels, colour, self.alpha)
        )


def read(source: str | os.PathLike[str] | BinaryIO) -> Photo:
    """Read an image file.

    source: a path, or a binary file open for reading, which is read from its start.

    Returns the Photo; of an animation its first frame. Raises OSError where the file cannot be
    opened, and ImageError where it is empty, not an image, cut short, of values nobody can scale,
    or larger than fastmatte.MAX_PIXELS, which is found before anything is decoded.
    """
    with _decoded(source) as image:
        return from_pillow(image)


def read_alpha(source: str | os.PathLike[str] | BinaryIO) -> Pixels:
    """Read a file that holds an alpha rather than a photograph.

    source: as for read().

    Returns (H, W) uint8: the transparency of a file that has any, else its grey levels as they are
    stored, for a colour profile speaks of light. Raises what read() does, and ImageError for
    colours without transparency.
    """
    with _decoded(source) as image:
        colours, alpha = _split_alpha(image)
        if alpha is None:
            alpha = _grey(colours)
        orientation = _kept_exif(image, []).get(ORIENTATION, 1)
        upright = UPRIGHT[orientation](alpha) if orientation in UPRIGHT else alpha
        return np.ascontiguousarray(upright)


def _grey(colours: Image.Image) -> Pixels:
    levels = np.asarray(colours if colours.mode == "L" else colours.convert("RGB"))
    if levels.ndim == 3:
        if (levels != levels[..., :1]).any():
            raise ImageError("the image is coloured: an alpha is grey, or a transparency")
        levels = levels[..., 0]
    return levels


@contextmanager
def _decoded(source: str | os.PathLike[str] | BinaryIO) -> Iterator[Image.Image]:
    """Open an image file and load its pixels."""
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file, _decoded(file) as image:
            yield image
        return
    source.seek(0)
    if not source.read(1):
        raise ImageError("the file is empty")
    with _opened(source) as image:
        try:
            image.load()
        except MemoryError:
            raise
        except Exception as error:
            raise ImageError(f"the image is broken or cut short: {error}") from error
        # What a container holds inside may be larger than its header says.
        _require_size(image)
        yield image


def _opened(file: BinaryIO) -> Image.Image:
    """Read a file's header."""
    # Pillow's guard against huge images trips below our limit, and only a global moves it.
    with _pillow_limit:
        usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file)
        except UnidentifiedImageError:
            raise ImageError("not an image, or of a format that Pillow cannot read") from None
        except MemoryError:
            raise
        # Decoders meet whatever bytes people have, and raise whatever comes of them.
        except Exception as error:
            raise ImageError(f"the image is broken: {error}") from error
        finally:
            Image.MAX_IMAGE_PIXELS = usual
    if image.format == "EPS":
        # Pillow would run Ghostscript, a programming language, on a file nobody has vetted.
        raise ImageError("EPS is a drawing, not a photograph: make a PNG of it first")
    _require_size(image)
    return image


def _require_size(image: Image.Image) -> None:
    width, height = image.size
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{height} x {width} are more than the {MAX_PIXELS} pixels that fastmatte takes"
        )
    if height < 1 or width < 1:
        raise ImageError(f"the image has no pixels: {height} x {width}")


def from_pillow(image: Image.Image) -> Photo:
    """Take over an image that Pillow holds, of any mode; see read()."""
    notes: list[str] = []
    colours, alpha = _split_alpha(image)
    colours, icc_profile = _to_rgb(colours, image.info.get("icc_profile") or None, notes)
    exif = _kept_exif(image, notes)
    dpi = _dpi(image.info.get("dpi"))
    orientation = exif.get(ORIENTATION, 1)
    pixels = np.asarray(colours)
    if orientation in UPRIGHT:
        pixels = UPRIGHT[orientation](pixels)
        alpha = None if alpha is None else UPRIGHT[orientation](alpha)
        dpi = dpi[::-1] if dpi and orientation in SIDEWAYS else dpi
    frames = _frames(image)
    if frames > 1:
        notes.append(f"{frames} frames: only the first is used")
    return Photo(
        pixels=np.ascontiguousarray(pixels),
        alpha=None if alpha is None else np.ascontiguousarray(alpha),
        icc_profile=icc_profile,
        exif=_exif_block(exif, pixels.shape[:2], notes),
        dpi=dpi,
        text=_text(image),
        notes=tuple(notes),
    )


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Pixels | None]:
    """Part an image of any mode into 8-bit colours without a palette, and alpha."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        key = image.info.get("transparency")
        alpha = None if key is None else np.where(values == key, 0, 255).astype(np.uint8)
        image = Image.fromarray(_eight_bits(values))
    elif image.has_transparency_data or image.mode == "RGBX":
        if image.mode == "La":
            image = image.convert("LA")
        elif image.mode not in ("LA", "RGBA", "RGBX"):
            image = image.convert("RGBA")
        alpha = None if image.mode == "RGBX" else np.asarray(image.getchannel("A"))
        image = image.convert("L" if image.mode == "LA" else "RGB")
    else:
        alpha = None
        if image.mode in ("1", "P"):
            image = image.convert("L" if image.mode == "1" else "RGB")
    # Much opaque artwork carries an alpha channel that says nothing.
    return image, None if alpha is None or alpha.min() == 255 else alpha


def _eight_bits(values: NDArray[Any]) -> Pixels:
    """Scale grey of more than 8 bits: Pillow itself would clip it."""
    low, high = values.min(), values.max()
    if values.dtype.kind != "f":
        if low < 0 or high > 65535:
            raise ImageError(f"grey values run from {low} to {high}: expected 0 to 65535")
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    # Floats count to 1, as TIFF has them, or to the top of the integers they were made from.
    top = next((top for top in (1, 255, 65535) if high <= top), None)
    if top is None or not low >= 0:
        raise ImageError(f"grey values run from {low} to {high}: expected 0 to 1, 255 or 65535")
    return (values * np.float32(255 / top) + np.float32(0.5)).astype(np.uint8)


def _to_rgb(
    image: Image.Image, profile: bytes | None, notes: list[str]
) -> tuple[Image.Image, bytes | None]:
    """Turn opaque colours into RGB; the profile comes back where it describes that RGB."""
    space = profile[16:20] if profile else None
    if space == b"RGB ":
        return image.convert("RGB"), profile
    if profile and space == PROFILE_SPACES.get(image.mode):
        rgb = _through_profile(image, profile)
        if rgb is not None:
            notes.append(f"{image.mode} was turned into sRGB by the file's own colour profile")
            return rgb, None
    if profile:
        notes.append("its colour profile is broken or of another kind than the pixels: dropped")
    if image.mode == "CMYK":
        notes.append("CMYK without a colour profile: the colours are approximate")
    return image.convert("RGB"), None


def _through_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    if not features.check("littlecms2"):
        return None
    try:
        return ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            # What editors use for photographs: whites stay white, blacks do not turn grey.
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        return None


def _frames(image: Image.Image) -> int:
    # The frames after the first of an MPO file are previews and depth maps of the same photograph.
    if image.format == "MPO":
        return 1
    try:
        return getattr(image, "n_frames", 1)
    # Counting reads to the end of the file; the first frame is fine whatever lies there.
    except Exception:
        return 1


def _kept_exif(image: Image.Image, notes: list[str]) -> Image.Exif:
    kept = Image.Exif()
    # EXIF blocks are broken in as many ways as there are cameras: the photograph matters more.
    try:
        found = image.getexif()
        for tag in KEPT_EXIF:
            if tag in found:
                kept[tag] = found[tag]
        for group, left_out in ((ExifTags.IFD.Exif, LEFT_OUT), (ExifTags.IFD.GPSInfo, ())):
            values = {k: v for k, v in found.get_ifd(group).items() if k not in left_out}
            if values:
                kept[group] = values
    except Exception:
        notes.append("its EXIF data is broken, and is dropped")
        return Image.Exif()
    return kept


def _exif_block(exif: Image.Exif, size: Size, notes: list[str]) -> bytes | None:
    if not len(exif):
        return None
    if ORIENTATION in exif:
        exif[ORIENTATION] = 1
    camera = exif.get(ExifTags.IFD.Exif, {})
    for tag, side in zip(EXIF_SIZE, size, strict=True):
        if tag in camera:
            camera[tag] = side
    try:
        return exif.tobytes()
    except Exception:
        notes.append("its EXIF data is broken, and is dropped")
        return None


def _dpi(found: Any) -> tuple[float, float] | None:
    try:
        across, down = map(float, found)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    # 1 is what Pillow says of a TIFF that says nothing; the bounds keep out NaN, too.
    return (across, down) if 1 < across < 1e6 and 1 < down < 1e6 else None


def _text(image: Image.Image) -> dict[str, str]:
    text = {
        name: str(value)
        for name, value in getattr(image, "text", {}).items()
        # XMP and raw profiles repeat the orientation and what else no longer holds.
        if not name.startswith(("XML:", "Raw profile"))
    }
    comment = image.info.get("comment")
    if comment:
        text["Comment"] = (
            comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
        )
    return text


def encode(pixels: Pixels, format: str, *, like: Photo | None = None) -> BytesIO:
    """Make an image file's bytes.

    pixels: (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA uint8.
    format: PNG, WEBP, TIFF or JPEG.
    like:   the photograph whose colour profile, EXIF, dpi and text go in, as far as format has a
            place for them. Grey is taken for alpha: no colours, so no colour profile.

    Returns the bytes as a file at its start. WebP is lossless except for RGB, where it is of
    quality 95, as JPEG is. Raises ValueError for RGBA as JPEG, and for a side longer than the
    format can count.
    """
    height, width, *channels = pixels.shape
    if format == "JPEG" and channels == [4]:
        raise ValueError("format: JPEG has no transparency, write PNG, WebP or TIFF")
    longest = LONGEST_SIDE.get(format, MAX_PIXELS)
    if max(height, width) > longest:
        raise ValueError(
            f"{format} holds at most {longest} pixels a side, got {height} x {width}: write PNG"
        )
    options: dict[str, Any] = {}
    if format == "PNG":
        # Level 6, the default, is 4 % smaller and takes 2.6 times as long on a 1080p cut-out.
        options = {"compress_level": 4, "pnginfo": PngInfo()}
    elif format == "WEBP":
        options = {"quality": 95} if channels == [3] else {"lossless": True}
    elif format == "TIFF":
        # Pillow's compressing TIFF writer has no place for the EXIF directories.
        options = {} if like and like.exif else {"compression": "tiff_adobe_deflate"}
    elif format == "JPEG":
        options = {"quality": 95, "subsampling": "4:4:4"}
    if like is not None:
        options |= {"exif": like.exif, "dpi": like.dpi}
        options["icc_profile"] = like.icc_profile if channels else None
        if format == "PNG":
            for name, value in like.text.items():
                options["pnginfo"].add_text(name, value)
        elif format == "JPEG" and "Comment" in like.text:
            options["comment"] = like.text["Comment"]
    file = BytesIO()
    given = {name: value for name, value in options.items() if value is not None}
    Image.fromarray(pixels).save(file, format, **given)
    file.seek(0)
    return file


def write(
    path: str | os.PathLike[str],
    pixels: Pixels,
    *,
    like: Photo | None = None,
    overwrite: bool = False,
) -> None:
    """Write an image file, whole or not at all; its suffix names the format.

    path:      ends in one of WRITABLE_SUFFIXES.
    pixels, like: see encode().
    overwrite: whether a file of that name may be replaced.

    Raises ValueError for the suffix and what encode() refuses, FileExistsError, or the OSError that
    writing met; then path is as it was and nothing else is left behind.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in WRITABLE_SUFFIXES:
        raise ValueError(f"path: expected one of {' '.join(WRITABLE_SUFFIXES)}, got {path.name!r}")
    file = encode(pixels, WRITABLE_SUFFIXES[suffix], like=like)
    with replacing(path, overwrite=overwrite) as target:
        target.write(file.getbuffer())


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Open a temporary file beside path that takes path's place when the block ends well."""
    refuse_occupied(path, overwrite=overwrite)
    temporary = path.with_name(f".fastmatte-{secrets.token_hex(8)}.tmp")
    try:
        # "x": nobody has planted a link of that name. Permissions follow the umask, as they would
        # have without the detour; tempfile's would not.
        with open(temporary, "xb") as file:
            yield file
        refuse_occupied(path, overwrite=overwrite)
        os.replace(temporary, path)
    # Whatever ends the block, Ctrl-C included, the temporary file goes.
    finally:
        temporary.unlink(missing_ok=True)


def refuse_occupied(path: Path, *, overwrite: bool) -> None:
    """Raise FileExistsError where path must not be written."""
    if path.is_file():
        if not overwrite:
            raise FileExistsError(17, "exists already; --overwrite replaces it", str(path))
    elif path.exists():
        # A device or a pipe would be replaced by a file, which nobody means.
        raise FileExistsError(17, "exists and is not a file", str(path))
