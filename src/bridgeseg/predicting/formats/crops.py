"""Crops: `crops/CLASS/NAME-1_crop.png`, a picture of each area; pixels of other classes in its box are transparent."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from PIL import Image

from bridgeseg.files import replacing
from bridgeseg.outlines import Area
from bridgeseg.reading.own import CROP
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import FIX, marked

LONGEST = 60
"""Characters of the name of a folder."""


class Form:
    """Writes one file an area, in a folder for each class."""

    outlined, sure = True, False

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "crops"

    def write(self, result: Result, name: str, areas: list[Area]) -> Path:  # noqa: D102
        folders, counts = _folders(result.classes.names), dict[int, int]()
        for area in areas:
            counts[area.class_id] = number = counts.get(area.class_id, 0) + 1
            left, top, width, height = area.box
            rows = slice(math.floor(top), math.ceil(top + height))
            columns = slice(math.floor(left), math.ceil(left + width))
            own = np.where(result.mask[rows, columns] == area.class_id, 255, 0).astype(np.uint8)
            crop = Image.fromarray(np.dstack([result.image[rows, columns], own]))
            with replacing(self._folder / folders[area.class_id] / f"{name}-{number}{CROP}", FIX) as part:
                crop.save(part, "PNG", pnginfo=marked())
        return self._folder

    def close(self) -> None:  # noqa: D102
        return


def _folders(names: tuple[str, ...]) -> list[str]:
    """Return the names of folders for classes: none leads elsewhere, no two are the same."""
    found: list[str] = []
    for index, name in enumerate(names):
        plain = re.sub(r"[^\w +-]", "_", name)[:LONGEST].strip() or "_"
        taken = {other.casefold() for other in found}
        found.append(plain if plain.casefold() not in taken else f"{plain} ({index})")
    return found
