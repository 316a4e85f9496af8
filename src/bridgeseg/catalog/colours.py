"""Colour masks -> PNG masks of class ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.catalog.place import write
from bridgeseg.classes import IGNORE_INDEX, ClassSet
from bridgeseg.data.maskfile import pack
from bridgeseg.errors import DataError, InputError
from bridgeseg.report.draw import palette_image
from bridgeseg.wording import shown

TOLERATED = 0.01
"""Share of a mask's pixels that may have a colour of no class; they are ignored, and counted."""


@dataclass(frozen=True)
class Strays:
    """Pixels of a mask whose colour belongs to no class."""

    mask: Path
    pixels: int
    colours: tuple[str, ...]


def convert(source: Path, target: Path, classes: ClassSet, unlabelled: Sequence[str] = ()) -> Strays | None:
    """Write the mask of class ids, a palette PNG, of a mask whose pixels have the colours of `classes`.

    Args:
        source: the colour mask.
        target: the file to write.
        classes: the classes, whose palette holds their colours.
        unlabelled: colours `#rrggbb` that are those of no class and mean it; they become 255.

    Returns:
        What was ignored (255) because its colour is that of no class; None if every pixel has a class.

    Raises:
        DataError: the mask cannot be read, or more than `TOLERATED` of it has colours of no class.
        InputError: the result cannot be written.
    """
    codes = _codes(source)
    ids = _table(classes.palette)[codes]
    unknown = codes[ids == IGNORE_INDEX]
    unknown = unknown[~np.isin(unknown, [int(colour[1:], 16) for colour in unlabelled])]
    strays = None
    if unknown.size:
        values, counts = np.unique(unknown, return_counts=True)
        colours = tuple(f"#{values[index]:06x}" for index in np.argsort(-counts, kind="stable")[:5])
        strays = Strays(source, int(unknown.size), colours)
        if unknown.size > TOLERATED * ids.size:
            raise DataError(
                f"{unknown.size:,} of {ids.size:,} pixels have colours of no class, most of them {', '.join(colours)}",
                where=source,
                fix="restore the original colour mask",
            )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target, lambda part: palette_image(ids, classes).save(part, "PNG"))
    except OSError as error:
        fix = "free some space, or choose another `out`"
        raise InputError(f"cannot be written: {shown(error)}", where=target, fix=fix) from error
    return strays


def _codes(path: Path) -> NDArray[Any]:
    """Return the colours of a PNG as numbers 0xRRGGBB, (H, W)."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return pack(np.asarray(image.convert("RGB")))
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, ...: all mean a bad file
        raise DataError(f"cannot be read: {shown(error)}", where=path, fix="restore the original mask") from error


@cache
def _table(palette: tuple[tuple[int, int, int], ...]) -> NDArray[np.uint8]:
    """Return the class id of every colour 0xRRGGBB, 255 where it is none: 16 MB, and one look-up a pixel."""
    table = np.full(1 << 24, IGNORE_INDEX, np.uint8)
    for index, (red, green, blue) in enumerate(palette):
        table[red << 16 | green << 8 | blue] = index
    return table
