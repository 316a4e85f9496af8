"""Mask files -> checked class ids. A file is either read as it was meant or refused with its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bridgeseg.data import findings
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import DataError
from bridgeseg.images import read_image
from bridgeseg.wording import shown

__all__ = ["read_image", "read_mask", "value_table"]

FORMATS = ("PNG", "BMP", "TIFF")
"""Lossless formats that a mask may have, whatever its suffix says."""

_FIX = "replace the file by an intact single-channel PNG of class ids"
_FIX_COLOURS = "save it as a PNG of the colours that `label_map` lists"
_ORIENTATION = 0x0112
_STRETCHED = {"L;2": 85, "L;4": 17}


def read_mask(path: Path, spec: DataSpec, size: tuple[int, int] | None = None) -> NDArray[Any]:
    """Return a mask as class ids, (H, W), uint8 (uint16 for more than 255 classes), 255 (65535) where ignored.

    Palette PNGs give their indices, not their colours. `spec.label_map` or `spec.colour_map` is applied.

    Args:
        path: the mask file.
        spec: classes and maps of the dataset.
        size: (height, width) that the mask must have.

    Raises:
        DataError: unreadable, another size, a colour mask, a binary 0/255 mask, or values that are no class.
    """
    picture, stretch = _decode(path, size)
    found = (picture.height, picture.width)
    if size is not None and found != size:
        raise findings.wrong_size(path, found, size)
    if spec.colour_map is not None:
        if problem := no_colours(picture.mode):
            raise DataError(problem, where=path, fix=_FIX_COLOURS)
        _refuse_transparent(path, picture)
        return _from_colours(path, picture, spec.colour_map, spec)
    values = _values(path, picture, spec)
    return _class_ids(path, values // stretch if stretch > 1 else values, spec)


def value_table(spec: DataSpec, length: int) -> NDArray[np.int32]:
    """Return the class id (or ignore index) of every mask value below `length`, -1 where a value is not allowed."""
    table = np.full(length, -1, dtype=np.int32)
    ignore = spec.classes.ignore_index
    known = {index: index for index in range(len(spec.classes))} if spec.label_map is None else spec.label_map
    for value, target in ({ignore: ignore} | known).items():
        if value < length:
            table[value] = target
    return table


def too_deep(mode: str, raw: Any) -> str | None:
    """Say so if a file has several channels of 16 bits, of which Pillow reads the upper 8; `raw` names its bytes."""
    kind = str(raw[0] if isinstance(raw, tuple) and raw else raw)
    lost = ";16" in kind and mode[0] in "LR"
    return "it has several channels of 16 bits, and only the upper 8 of each can be read" if lost else None


def no_colours(mode: str) -> str | None:
    """Say so if a mask whose dataset lists colours holds numbers that are none."""
    return "it has greys of 16 bits, and `label_map` lists colours" if mode[0] in "IF" else None


def _decode(path: Path, size: tuple[int, int] | None) -> tuple[Image.Image, int]:
    """Return the upright picture, and the factor by which Pillow stretched greys of 2 or 4 bits to 0..255."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            found = (picture.height, picture.width)
            if size is not None and size not in (found, found[::-1]):  # before decoding: the header may claim any size
                raise findings.wrong_size(path, found, size)
            frames = getattr(picture, "n_frames", 1)
            raw = picture.tile[0][3] if picture.tile else None
            picture.load()
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError("the file does not exist", where=path, fix="restore it, or remove its partner") from error
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise DataError(f"this is no image, or not one of {known}", where=path, fix=_FIX) from error
    except Image.DecompressionBombError as error:
        raise DataError(f"too many pixels: {shown(error)}", where=path, fix="cut image and mask into tiles") from error
    except (
        Exception
    ) as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...: all mean a bad file
        raise DataError(f"cannot be read: {shown(error)}", where=path, fix=_FIX) from error
    if frames > 1:
        raise DataError(f"the file holds {frames} frames", where=path, fix="save every frame as a file of its own")
    if problem := too_deep(picture.mode, raw):
        raise DataError(problem, where=path, fix=_FIX)
    stretch = _STRETCHED.get(str(raw[0] if isinstance(raw, tuple) and raw else raw), 1)
    if picture.getexif().get(_ORIENTATION, 1) == 1:
        return picture, stretch
    return ImageOps.exif_transpose(picture), stretch


def _values(path: Path, picture: Image.Image, spec: DataSpec) -> NDArray[Any]:
    """Return the numbers that a mask file holds, (H, W), refusing colours."""
    if picture.mode in ("L", "P", "1") or picture.mode.startswith("I"):
        array = np.array(picture)
        return array.astype(np.uint8) if array.dtype == np.bool_ else array
    if picture.mode not in ("LA", "PA", "RGB", "RGBA"):
        raise DataError(f"a mask cannot have pixels of kind {picture.mode}", where=path, fix=_FIX)
    bands = np.asarray(picture)
    if picture.mode.endswith("A"):
        _refuse_transparent(path, picture)
        bands = bands[..., :-1]
    if not bool((bands == bands[..., :1]).all()):
        raise findings.colour_mask(path, bands, spec)
    return np.ascontiguousarray(bands[..., 0])  # grey that was saved as RGB: the ids, three times


def _refuse_transparent(path: Path, picture: Image.Image) -> None:
    if picture.mode.endswith("A") and picture.getchannel("A").getextrema() != (255, 255):
        raise DataError("the mask has transparent pixels", where=path, fix="save it without an alpha channel")


def _class_ids(path: Path, values: NDArray[Any], spec: DataSpec) -> NDArray[Any]:
    """Map mask values to class ids and refuse the rest, by a table with one entry per value."""
    dtype = np.uint8 if spec.classes.ignore_index == 255 else np.uint16
    highest = int(values.max())
    if int(values.min()) < 0 or highest > 65535:
        raise findings.bad_values(path, values, spec)
    if highest == 255:
        _refuse_binary(path, values, spec)
    mapped = value_table(spec, max(highest, 255) + 1)[values]
    if int(mapped.min()) < 0:
        raise findings.bad_values(path, values, spec)
    return np.asarray(mapped.astype(dtype))


def _refuse_binary(path: Path, values: NDArray[Any], spec: DataSpec) -> None:
    """With one or two classes, 0 and 255 nearly always are background and object, and 255 would be ignored."""
    if len(spec.classes) > 2 or (spec.label_map is not None and 255 in spec.label_map):
        return
    if bool(((values == 0) | (values == 255)).all()) and not bool(values.all()):
        raise findings.binary_mask(path, values, spec)


def _from_colours(path: Path, picture: Image.Image, table: dict[int, int], spec: DataSpec) -> NDArray[Any]:
    """Map the colours of a mask to class ids."""
    codes = findings.pack(np.asarray(picture.convert("RGB")))
    keys = np.array(sorted(table), dtype=np.int32)
    targets = np.array([table[int(key)] for key in keys], np.uint8 if spec.classes.ignore_index == 255 else np.uint16)
    places = np.searchsorted(keys, codes).clip(max=len(keys) - 1)
    unknown = keys[places] != codes
    if bool(unknown.any()):
        raise findings.unknown_colours(path, codes[unknown])
    return np.asarray(targets[places])
