"""An image, whatever its file format, mode, depth or orientation -> uint8 RGB pixels."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bridgeseg.arrays import as_array, chosen, conversion
from bridgeseg.errors import DataError, InputError, MissingDependencyError
from bridgeseg.pixels import AS_STORED, Note, Pixels, Reading, is_deep, scaled, to_pixels
from bridgeseg.rasters import bands_note, extra_bands, is_needed, is_tiff, read_raster

DEFAULT_MAX_PIXELS = 200_000_000
"""Images of more pixels than this are refused: a file of a few kilobytes can claim any size."""

# Only raster formats that Pillow decodes by itself: others run helpers (EPS starts Ghostscript) or hold no photos. The
# first five are loaded with Pillow, the others on need.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF")
HEIF = frozenset({".heic", ".heif", ".hif"})
"""Endings of what phones write; read with the extra `heif`, and left out of folders without it."""
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".bmp", ".dib", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".webp", ".tif", ".tiff", ".jp2", ".j2k", ".avif"}
    | (HEIF if find_spec("pillow_heif") else set())
)
"""What a file in a folder must end with to be taken for an image (files given by name are always tried)."""
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
HEIF_FIX = "pip install 'bridgeseg[heif]'"
_PILLOW_LIMIT = threading.Lock()
_REDUCED = 254  # the TIFF tag that marks a page as a smaller copy or a mask of another

__all__ = ["DEFAULT_MAX_PIXELS", "SUFFIXES", "Note", "Pixels", "Reading", "as_pixels", "open_image", "read_image"]


def read_image(
    path: str | Path,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    admit: Callable[[int], None] | None = None,
    how: Reading = AS_STORED,
    notes: list[Note] | None = None,
) -> Pixels:
    """Read an image file as uint8 RGB (H, W, 3).

    The EXIF orientation is applied, transparent parts are shown on white, 16-bit greyscale is scaled to 8 bits, and of
    a file with several images the first is taken.

    Args:
        path: the file.
        max_pixels: refuse files with more.
        admit: called with the number of pixels before any is decoded; may wait until there is room for them.
        how: how to read values whose meaning the file does not state.
        notes: what was dropped or reinterpreted is added here.

    Raises:
        InputError: there is no such file.
        DataError: it is not an image, is damaged or cut off, or has more than `max_pixels` pixels.
    """
    path = Path(path)
    try:
        _check_file(path)
        return _read(path, max_pixels, admit, how, notes)
    except InputError as error:
        if error.where is not None:
            raise
        kind = DataError if type(error) is InputError else type(error)
        raise kind(error.message, where=path, fix=error.fix) from error
    except UnidentifiedImageError as error:
        found = "the file is empty" if path.stat().st_size == 0 else "not an image in a known format"
        raise DataError(found, where=path, fix=f"give one of {', '.join(FORMATS)}") from error
    except PermissionError as error:
        raise DataError("no permission to read it", where=path, fix="change the permissions of the file") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = str(error) or type(error).__name__
        raise DataError(f"cannot be read as an image: {reason}", where=path, fix="replace the damaged file") from error


def _read(
    file: Path | BinaryIO,
    max_pixels: int,
    admit: Callable[[int], None] | None,
    how: Reading,
    notes: list[Note] | None,
) -> Pixels:
    try:
        image = open_image(file, max_pixels)
    except UnidentifiedImageError:
        if is_tiff(file):
            return read_raster(file, max_pixels, admit, how, notes)
        raise
    with image:
        if is_needed(image, how):
            return read_raster(file, max_pixels, admit, how, notes)
        if admit is not None:
            admit(image.width * image.height)
        if notes is not None:
            notes += _pages(image)
            if how.bands is None and (more := extra_bands(image)):
                notes.append(bands_note(len(image.getbands()) + more))
        deep = is_deep(image)
        image.load()
        return to_pixels(_turned(image), how, notes, deep=deep)


def _pages(image: Image.Image) -> list[Note]:
    """Notice images in a file beside the first; previews of it do not count."""
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return []
    kind = "a page" if image.format == "TIFF" else "a frame"
    with suppress(Exception):  # of a damaged second page nothing is lost: it is not read anyway
        try:
            image.seek(1)
            if image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_REDUCED, 0):
                return []
        finally:
            image.seek(0)
    fix = f"save each {kind[2:]} as a file of its own, if they matter"
    return [Note("pages", f"more than {kind} in one file: only the first is read", fix)]


def as_pixels(
    image: Any,
    how: Reading = AS_STORED,
    notes: list[Note] | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Pixels:
    """Turn an image in memory into uint8 RGB (H, W, 3); a Pillow image is treated as its file would be.

    Args:
        image: a Pillow image; an encoded file as bytes or opened for bytes; an array or a tensor of any library, uint8
            (H, W), (H, W, 1), (H, W, 3), (H, W, 4) with transparency, or (H, W, C) of which `how` chooses bands; or a
            batch of one of these.
        how: how to read values whose meaning is not stated.
        notes: what was dropped or reinterpreted is added here.
        max_pixels: refuse images with more.

    Raises:
        DataError: it has more than `max_pixels` pixels, or is something else, of which the message says how to convert
            it.
    """
    if isinstance(image, Image.Image):
        _refuse_large(image.size, max_pixels)
        return _converted(image, how, notes)
    if isinstance(image, bytes | bytearray | memoryview) or hasattr(image, "read"):
        return _decode(image, how, notes, max_pixels)
    values = as_array(image)
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim in (2, 3):
        _refuse_large((values.shape[1], values.shape[0]), max_pixels)
    if values.ndim == 3 and values.size and how.bands is not None:
        values = chosen(values, how.bands, image)
    known = values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))
    if known and values.size and values.dtype != np.uint8 and how.image_range is not None:
        values = scaled(values, how.image_range)
    if not known or values.size == 0 or values.dtype != np.uint8:
        found = f"{values.dtype} of shape {values.shape}"
        raise DataError(
            f"an image is a uint8 RGB array of shape (H, W, 3), or (H, W) for greyscale; found {found}",
            fix=conversion(values, image),
        )
    if values.ndim == 3 and values.shape[2] == 4:
        return to_pixels(Image.fromarray(values), how, notes)
    return np.ascontiguousarray(np.repeat(values[:, :, None], 3, axis=2) if values.ndim == 2 else values)


def _converted(image: Image.Image, how: Reading, notes: list[Note] | None) -> Pixels:
    """Convert a Pillow image, which may not have been read from its file yet."""
    try:
        # of what Pillow can hold, the one mode that it converts to nothing but this
        return to_pixels(_turned(image.convert("LA") if image.mode == "La" else image.copy()), how, notes)
    except InputError:
        raise
    except Exception as error:  # as in `read_image`
        raise DataError(f"this Pillow image cannot be read: {error}", fix="`image.load()` says why") from error


def _decode(file: Any, how: Reading, notes: list[Note] | None, max_pixels: int) -> Pixels:
    """Read an encoded image from memory or an open file."""
    try:
        if hasattr(file, "read"):
            with suppress(AttributeError, OSError):  # one that was just written stands at its end
                file.seek(0)
            file = file.read()
        stream = io.BytesIO(file)
        return _read(stream, max_pixels, None, how, notes)
    except InputError:
        raise
    except Exception as error:  # as in `read_image`
        known = not isinstance(error, UnidentifiedImageError)
        found = f"cannot be read as an image: {error}" if known else "these bytes are no image in a known format"
        raise DataError(found, fix=f"give the bytes of a whole file, one of {', '.join(FORMATS)}") from error


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InputError("this is a folder, not an image", where=path, fix="name a file in it")
    if not path.exists():
        raise InputError("there is no such file", where=path, fix="check the spelling and the folder")
    if not path.is_file():
        raise DataError("not a regular file", where=path, fix="save the image to a file first")


def open_image(path: Path | BinaryIO, max_pixels: int) -> Image.Image:
    """Read the header of a file or of its bytes, with `max_pixels` instead of Pillow's own limit.

    Pillow's is lower, and a global. Errors are Pillow's own, but for a `DataError` on more pixels than that.
    """
    with _PILLOW_LIMIT:
        theirs, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = _heif(path) or Image.open(path, formats=FORMATS)
        except KeyError as error:  # the last format is one that this Pillow does not have, and no other fits
            raise UnidentifiedImageError(str(path)) from error
        finally:
            Image.MAX_IMAGE_PIXELS = theirs
    try:
        _refuse_large(image.size, max_pixels, path if isinstance(path, Path) else None)
    except DataError:
        image.close()
        raise
    return image


def _refuse_large(size: tuple[int, int], max_pixels: int, where: Path | None = None) -> None:
    width, height = size
    if width * height > max_pixels:
        raise DataError(
            f"{width}x{height} is {width * height:,} pixels, more than the limit of {max_pixels:,}",
            where=where,
            fix=f"if you trust the file, raise the limit: `max_pixels={width * height}`",
        )


def _heif(file: Path | BinaryIO) -> Image.Image | None:
    """Open what phones write; None for anything else.

    Raises:
        MissingDependencyError: pillow-heif is not installed.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            head = opened.read(48)
    else:
        head = file.read(48)
        file.seek(0)
    if head[4:8] != b"ftyp" or head[8:12] not in HEIF_BRANDS or b"avif" in head:
        return None
    try:
        from pillow_heif import HeifImageFile
    except ModuleNotFoundError as error:
        raise MissingDependencyError("HEIC images need the package pillow-heif", fix=HEIF_FIX) from error
    image: Image.Image = HeifImageFile(file)
    return image


def _turned(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation in place; an image whose EXIF block is broken stays as it is."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # the pixels are loaded already, so only the EXIF block can be at fault, in many ways
        return image
    return image
