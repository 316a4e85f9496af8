"""Why nothing of an export can be used, and what helps against that."""

from __future__ import annotations

from bridgeseg.errors import DataError
from bridgeseg.importing.source import Source

OF_IMAGES = ("no-image", "image-unreadable", "no-labels", "size", "bad-labels")
"""Codes of `ledger.CODES` that cost an image."""


def nothing_usable(source: Source) -> DataError:
    """Return the error of an export of which no image can be used, by what was left out first."""
    left = source.ledger.first
    if not left:
        return DataError("it holds no image", where=source.path, fix="name the folder of the images: `images=DIR`")
    code = max(left, key=lambda kind: (kind in OF_IMAGES, source.ledger.counts[kind]))
    name = left[code][0]
    message = f"no image of it can be used: {name}"
    if code == "no-image":
        looked = source.wanted.images
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
    return DataError(message, where=source.path, fix="correct that in the labelling tool, and export it again")
