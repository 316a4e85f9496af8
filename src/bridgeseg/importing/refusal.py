"""Why nothing of an export can be used, and what helps against that."""

from __future__ import annotations

import re

from bridgeseg.errors import DataError
from bridgeseg.importing.source import Source

OF_IMAGES = ("no-image", "image-unreadable", "no-labels", "size", "bad-labels", "values")
"""Codes of `ledger.CODES` that cost an image."""


def nothing_usable(source: Source, form: str) -> DataError:
    """Return the error of an export of which no image can be used, by what was left out first."""
    left = source.ledger.first
    if not left:
        return DataError("it holds no image", where=source.path, fix="name the folder of the images: `images=DIR`")
    code = max(left, key=lambda kind: (kind in OF_IMAGES, source.ledger.counts[kind]))
    name = left[code][0]
    message = f"no image of it can be used: {name}"
    if code == "no-image":
        looked = source.wanted.images
        if source.several(name.split(": ")[0]):
            fix = "write into the export the path of each image below that folder, such as `street/photo.png`"
            return DataError(message, where=source.path, fix=fix)
        if looked is None:
            return DataError(message, where=source.path, fix="name the folder of the images: `images=DIR`")
        last = name.split(": ")[0].replace("\\", "/").rpartition("/")[2]
        last = f"{last.removesuffix('.json')}.*" if last.endswith(".json") else last
        message += f"; neither {looked} nor the export has an image called {last}, in any folder"
        return DataError(message, where=source.path, fix=f"put the images into {looked} under the names in the export")
    if code == "no-labels":
        return DataError(
            message, where=source.path, fix="label some, or take them as nothing but background: `empty=True`"
        )
    if code == "values" and form == "voc":
        return DataError(message, where=source.path, fix=_labelmap(name))
    return DataError(message, where=source.path, fix="correct that in the labelling tool, and export it again")


def _labelmap(what: str) -> str:
    """Return which line of a labelmap.txt gives a class to a colour, or to the index of one, that a message names."""
    colour = re.search(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", what)
    numbers = ",".join(str(int(part, 16)) for part in colour.groups()) if colour else "0,200,0"
    lines = f"`background:0,0,0::` and `name:{numbers}::`"
    return f"beside SegmentationClass write a labelmap.txt with a line for each colour of the masks, such as {lines}"
