"""Labelme JSON: one file an image, with polygons, rectangles, circles, lines, points and masks."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bridgeseg.errors import DataError
from bridgeseg.importing import pngs
from bridgeseg.importing.forms import Reading, unread
from bridgeseg.importing.jsonfile import dicts, size_of, text
from bridgeseg.importing.jsonfile import read as read_json
from bridgeseg.importing.model import (
    Bitmap,
    Item,
    Outline,
    Shape,
    Stroke,
    Thing,
    Unusable,
    box,
    ellipse,
    outline,
    points,
)
from bridgeseg.importing.source import Source, key_of, split_of, stamp

IGNORE = "__ignore__"
"""Labelme's name of what is to be ignored; `_background_` is one of the names of the background."""


def read(source: Source) -> Reading:
    """Read the JSON files of Labelme that an export has, twice: for the classes (labels.txt may list them), for all.

    Raises:
        DataError: there are none.
    """
    files, names = list[Path](), dict[str, None]()
    listed = source.folder / "labels.txt"
    if listed.is_file():
        names |= dict.fromkeys(
            filter(None, map(str.strip, listed.read_text(encoding="utf-8", errors="replace").splitlines()))
        )
    found: set[str] = set()
    for path in source.of(".json"):
        data = _open(source, path)
        if data is not None:
            files.append(path)
            found |= {label for shape in dicts(data["shapes"]) if (label := text(shape.get("label")))}
    if not files:
        raise unread(source, "labelme", "JSON file with shapes and imagePath")
    names |= dict.fromkeys(sorted(found))
    names.pop(IGNORE, None)
    return Reading(list(names), _items(source, files), len(files), "background")


def _open(source: Source, path: Path) -> dict[str, Any] | None:
    try:
        data = read_json(path)
    except DataError as error:
        source.ledger.leave("bad-labels", source.name(path), error.message)
        return None
    if not isinstance(data.get("shapes"), list) or not isinstance(data.get("imagePath"), str):
        source.ledger.leave("not-recognised", source.name(path), "no shapes and imagePath")
        return None
    return data


def _items(source: Source, files: list[Path]) -> Iterator[Item]:
    for path in files:
        name, data = source.name(path), read_json(path)
        things = []
        for shape in dicts(data["shapes"]):
            label = text(shape.get("label"))
            if not label:
                source.ledger.leave("no-class", name)
                continue
            try:
                things.append(Thing(None if label == IGNORE else label, _shape(shape)))
            except Unusable as error:
                source.ledger.leave("bad-shape", name, f"{label}: {error}")
        image = source.image(data["imagePath"], path) or source.pictured(path.with_suffix(""))
        split = split_of(name)
        yield Item(
            name,
            image or _embedded(data.get("imageData")),
            size_of(data.get("imageHeight"), data.get("imageWidth")),
            things,
            split,
            key_of(str(Path(name).with_suffix("")), split),
            stamp(path),
        )


def _embedded(given: Any) -> bytes | None:
    """Return the image that a file holds itself."""
    try:
        return base64.b64decode(given) if isinstance(given, str) and given else None
    except (binascii.Error, ValueError):
        return None


def _shape(shape: dict[str, Any]) -> Shape:
    kind, corners = shape.get("shape_type") or "polygon", points(shape.get("points"))
    if kind == "mask":
        if len(corners) != 2:
            raise Unusable("a mask has two corners")
        left, top = np.floor(corners.min(axis=0)).astype(int)
        return Bitmap(int(left), int(top), lambda: pngs.packed(shape.get("mask")))
    if kind == "rectangle" and len(corners) == 2:
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        return box(left, top, right - left, bottom - top)
    if kind == "circle":
        if len(corners) != 2:
            raise Unusable("a circle has a middle and a point of its border")
        radius = math.dist(*corners)
        return ellipse(float(corners[0, 0]), float(corners[0, 1]), radius, radius)
    if kind in ("line", "linestrip", "point", "points"):
        return Stroke(corners, apart=kind.startswith("point"))
    if kind not in ("polygon", "rectangle", "oriented_rectangle"):
        raise Unusable(f"shapes of kind {kind!r} are not known")
    found: Outline = outline(corners)
    return found
