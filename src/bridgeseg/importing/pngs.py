"""Mask files inside of exports: their numbers or their colours, read by the rules for masks of `data`."""

from __future__ import annotations

import base64
import binascii
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.data import maskfile
from bridgeseg.errors import DataError
from bridgeseg.images import DEFAULT_MAX_PIXELS
from bridgeseg.importing.model import Part, Unusable
from bridgeseg.wording import shown

MOST_PACKED = 64_000_000
"""Bytes of a mask inside of a JSON file."""


def numbers(path: Path) -> NDArray[Any]:
    """Return the values (H, W) of a mask file: indices of a palette, greys.

    Raises:
        Unusable: it cannot be read, is too large, or holds colours.
    """
    image, stretch = _read(path, colours=False)
    found = maskfile.values_of(image, stretch)
    if found is None:
        raise Unusable("the mask holds colours")
    return found


def colours(path: Path) -> NDArray[Any]:
    """Return the colours (H, W) of a mask file as numbers 0xRRGGBB.

    Raises:
        Unusable: it cannot be read, or is too large.
    """
    image, _ = _read(path, colours=True)
    return maskfile.pack(np.asarray(image.convert("RGB")))


def is_coloured(path: Path) -> bool:
    """Return whether a mask file holds colours, not indices of a palette or greys; False if it cannot be read."""
    try:
        with Image.open(path, formats=maskfile.FORMATS) as image:
            return image.mode in ("RGB", "RGBA")
    except Exception:  # reading it will say so
        return False


def packed(value: Any, *, deflated: bool = False) -> Part:
    """Return the mask (h, w) that text holds as base64 of a PNG: what is not black, or not transparent.

    Args:
        value: the text.
        deflated: whether the PNG is compressed once more, by zlib.

    Raises:
        Unusable: it is something else, or too large.
    """
    try:
        if not isinstance(value, str) or len(value) > MOST_PACKED:
            raise Unusable("its mask is no text, or too long a one")
        data = base64.b64decode(value)
        if deflated:
            inflating = zlib.decompressobj()
            data = inflating.decompress(data, MOST_PACKED)
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.width * image.height > DEFAULT_MAX_PIXELS:
                raise Unusable(f"its mask is {image.width}x{image.height} pixels")
            image.load()
            band = image.getchannel("A") if image.mode in ("LA", "RGBA", "PA") else image.convert("L")
            return np.asarray(band) > 0
    except Unusable:
        raise
    except (binascii.Error, zlib.error, ValueError) as error:
        raise Unusable(f"its mask is no packed PNG: {shown(error)}") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise Unusable(f"its mask cannot be read: {shown(error)}") from error


def _read(path: Path, *, colours: bool) -> tuple[Image.Image, int]:
    try:
        with maskfile.refusing("mask", path):
            image, stretch = maskfile.read(path, colours, lambda head: head.width * head.height <= DEFAULT_MAX_PIXELS)
    except DataError as error:
        raise Unusable(error.message) from error
    if image is None:
        raise Unusable(f"the mask has more than {DEFAULT_MAX_PIXELS:,} pixels")
    return image, stretch
