"""Labelme JSON: `labelme/NAME.json`, a polygon for each area; open it with `labelme photos --output out/labelme`."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bridgeseg.files import write
from bridgeseg.outlines import Area
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import FIX

VERSION = "5.5.0"
"""Of Labelme, whose files these are like."""


class Form:
    """Writes one file an image."""

    outlined, sure = True, False

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "labelme"

    def write(self, result: Result, name: str, areas: list[Area]) -> Path:  # noqa: D102
        path = self._folder / f"{name}.json"
        height, width = result.mask.shape
        shapes = [
            {
                "label": area.name,
                "points": area.joined().tolist(),
                "group_id": None,
                "shape_type": "polygon",
                "flags": {},
            }
            for area in areas
        ]
        image = result.name if result.source is None else os.path.relpath(result.source, path.parent)
        facts = {"imagePath": str(image), "imageData": None, "imageHeight": height, "imageWidth": width}
        text = json.dumps({"version": VERSION, "flags": {}, "shapes": shapes, **facts}, ensure_ascii=False)
        write(path, text.encode("utf-8", "backslashreplace"), FIX)  # JSON escapes what is no Unicode in the same way
        return path

    def close(self) -> None:  # noqa: D102
        return
