"""What results look like, so that a later run does not take them for images."""

from __future__ import annotations

from pathlib import Path

MASK, OVERLAY = "_mask.png", "_overlay.jpg"
VIDEO, MASKS = "_overlay.mp4", "_masks"
GEOTIFF, CROP, CONFIDENCE = "_mask.tif", "_crop.png", "_confidence.png"
ENDINGS = (MASK, OVERLAY, "_overlay.png", VIDEO, GEOTIFF, CROP, CONFIDENCE)
MARK = "bridgeseg result"
"""Stands in the text fields of every image and video that is written."""
LOOK = 4096
"""Bytes at the beginning (of images) and the end (of videos) within which the mark lies."""


def is_result(path: Path) -> bool:
    """Whether a file was written by a run: it is named like a result and bears the mark. Reads a few bytes at most."""
    if not path.name.endswith(ENDINGS) and not path.parent.name.endswith(MASKS):
        return False
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(LOOK)
            file.seek(max(0, path.stat().st_size - LOOK))
            return MARK.encode() in head + file.read(LOOK)
    except OSError:  # reading it will say so
        return False
