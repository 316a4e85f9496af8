"""A picture, whatever its file format, mode, depth or orientation -> uint8 RGB pixels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bridgeseg.errors import DataError, InputError

Pixels = NDArray[np.uint8]
"""uint8 RGB (H, W, 3), 0..255."""

DEFAULT_MAX_PIXELS = 200_000_000
"""Pictures of more pixels than this are refused: a file of a few kilobytes can claim any size."""

# Only raster formats that Pillow decodes by itself: others run helpers (EPS starts Ghostscript) or hold no photos. The
# first five are loaded with Pillow, the others on need.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF")
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".bmp", ".dib", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".webp", ".tif", ".tiff", ".jp2", ".j2k", ".avif"}
)
"""What a file in a folder must end with to be taken for a picture (files given by name are always tried)."""

STRIPE = 4_000_000
"""Pixels that are converted at a time."""
_PILLOW_LIMIT = threading.Lock()


def read_image(
    path: str | Path, max_pixels: int = DEFAULT_MAX_PIXELS, admit: Callable[[int], None] | None = None
) -> Pixels:
    """Read a picture file as uint8 RGB (H, W, 3).

    The EXIF orientation is applied, transparent parts are shown on white, 16-bit greyscale is scaled to 8 bits, and of
    a file with several pictures the first is taken.

    Args:
        path: the file.
        max_pixels: refuse files with more.
        admit: called with the number of pixels before any is decoded; may wait until there is room for them.

    Raises:
        InputError: there is no such file.
        DataError: it is not a picture, is damaged or cut off, or has more than `max_pixels` pixels.
    """
    path = Path(path)
    try:
        _check_file(path)
        with open_picture(path, max_pixels) as image:
            if admit is not None:
                admit(image.width * image.height)
            image.load()
            return _to_pixels(_turned(image))
    except InputError as error:
        if error.where is not None:
            raise
        raise DataError(error.message, where=path, fix=error.fix) from error
    except UnidentifiedImageError as error:
        found = "the file is empty" if path.stat().st_size == 0 else "not a picture in a known format"
        raise DataError(found, where=path, fix=f"give one of {', '.join(FORMATS)}") from error
    except PermissionError as error:
        raise DataError("no permission to read it", where=path, fix="change the permissions of the file") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = str(error) or type(error).__name__
        raise DataError(f"cannot be read as a picture: {reason}", where=path, fix="replace the damaged file") from error


def as_pixels(picture: Image.Image | NDArray[Any]) -> Pixels:
    """Turn a picture in memory into uint8 RGB (H, W, 3); a Pillow image is treated as its file would be.

    Raises:
        DataError: an array that is not uint8 of shape (H, W, 3) or (H, W), or has no pixels.
    """
    if isinstance(picture, Image.Image):
        return _to_pixels(_turned(picture.copy()))
    if not isinstance(picture, np.ndarray):
        found = f"found {type(picture).__name__}"
        raise DataError(
            f"a picture is a file, a Pillow image or a uint8 array; {found}", fix="convert it: np.asarray(...)"
        )
    if picture.ndim == 2:
        picture = np.repeat(picture[:, :, None], 3, axis=2)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        found = f"{picture.dtype} of shape {picture.shape}"
        raise DataError(
            f"a picture is a uint8 RGB array of shape (H, W, 3), or (H, W) for greyscale; found {found}",
            fix="scale it to 0..255 and convert it with .astype('uint8')",
        )
    return np.ascontiguousarray(picture)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InputError("this is a folder, not a picture", where=path, fix="name a file in it")
    if not path.exists():
        raise InputError("there is no such file", where=path, fix="check the spelling and the folder")
    if not path.is_file():
        raise DataError("not a regular file", where=path, fix="save the picture to a file first")


def open_picture(path: Path | BinaryIO, max_pixels: int) -> Image.Image:
    """Read the header of a file or of its bytes, with `max_pixels` in the place of Pillow's own limit.

    Pillow's is lower, and a global. Errors are Pillow's own, but for a `DataError` on more pixels than that.
    """
    with _PILLOW_LIMIT:
        theirs, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path, formats=FORMATS)
        except KeyError as error:  # the last format is one that this Pillow does not have, and no other fits
            raise UnidentifiedImageError(str(path)) from error
        finally:
            Image.MAX_IMAGE_PIXELS = theirs
    width, height = image.size
    if width * height > max_pixels:
        image.close()
        raise DataError(
            f"{width}x{height} is {width * height:,} pixels, more than the limit of {max_pixels:,}",
            where=path if isinstance(path, Path) else None,
            fix=f"if you trust the file, raise the limit: --max-pixels {width * height}",
        )
    return image


def _turned(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation in place; a picture whose EXIF block is broken stays as it is."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # the pixels are loaded already, so only the EXIF block can be at fault, in many ways
        return image
    return image


def _to_pixels(image: Image.Image) -> Pixels:
    """Convert in stripes, because every step of it makes a copy."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, STRIPE // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = np.asarray(_to_rgb(image.crop((0, top, image.width, bottom))))
    return pixels


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_to_8_bit(np.asarray(image)))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bit(values: NDArray[Any]) -> Pixels:
    """Scale greyscale of 16 bits (0..65535) or floats (0..1) to 0..255; other ranges have no known white."""
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise DataError(f"a picture of floats must lie in 0..1, found {low:g}..{high:g}", fix="save it with 8 bits")
        return (values * 255 + 0.5).astype(np.uint8)
    if int(values.min()) < 0 or int(values.max()) > 65535:
        found = f"{values.min()}..{values.max()}"
        raise DataError(f"a picture of integers must lie in 0..65535, found {found}", fix="save it with 8 or 16 bits")
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
