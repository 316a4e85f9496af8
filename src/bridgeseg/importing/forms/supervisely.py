"""Supervisely's project: meta.json with the classes, and for each image `ann/NAME.json` beside `img/NAME`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bridgeseg.classes import Colour, colour_of
from bridgeseg.errors import DataError
from bridgeseg.importing import pngs
from bridgeseg.importing.forms import Reading, unread
from bridgeseg.importing.jsonfile import dicts, size_of, text
from bridgeseg.importing.jsonfile import read as read_json
from bridgeseg.importing.model import Bitmap, Item, Outline, Shape, Stroke, Thing, Unusable, box, points
from bridgeseg.importing.source import Source, key_of, split_of, stamp

META, IMAGES, LABELS = "meta.json", "img", "ann"


def read(source: Source) -> Reading:
    """Read the datasets of a project.

    Raises:
        DataError: there is no meta.json with classes, or no annotation.
    """
    names, palette = dict[str, None](), dict[str, Colour]()
    for path in source.of(".json"):
        if path.name == META:
            for one in dicts(read_json(path).get("classes")):
                if name := text(one.get("title")):
                    names.setdefault(name)
                    colour = _colour(one.get("color"))
                    palette |= {} if colour is None else {name: colour}
    files = [path for path in source.of(".json") if path.parent.name == LABELS]
    if not names or not files:
        raise unread(source, "supervisely", f"{META} with classes and annotations in a folder {LABELS}")
    return Reading(list(names), _items(source, files), len(files), "background", palette)


def _colour(given: Any) -> Colour | None:
    try:
        code = int(given[1:], 16) if isinstance(given, str) and len(given) == 7 else -1
    except ValueError:
        return None
    return colour_of(code) if code >= 0 else None


def _items(source: Source, files: list[Path]) -> Iterator[Item]:
    for path in files:
        name = source.name(path)
        try:
            data = read_json(path)
        except DataError as error:
            source.ledger.leave("bad-labels", name, error.message)
            continue
        things = []
        for one in dicts(data.get("objects")):
            label = text(one.get("classTitle"))
            try:
                if not label:
                    raise Unusable("it has no class")
                things.append(Thing(label, _shape(one)))
            except Unusable as error:
                source.ledger.leave("bad-shape" if label else "no-class", name, f"{label}: {error}")
        image = path.parent.parent / IMAGES / path.stem
        given = data.get("size")
        size = size_of(given.get("height"), given.get("width")) if isinstance(given, dict) else None
        split = split_of(name)
        key = key_of(Path(name).parent.parent.joinpath(path.stem).as_posix(), split)
        found = image if image.is_file() else source.image(path.stem)
        yield Item(name, found, size, things, split, key, stamp(path))


def _shape(one: dict[str, Any]) -> Shape:
    kind = one.get("geometryType")
    if kind in ("bitmap", "alpha_mask"):
        held = one.get("bitmap")
        if not isinstance(held, dict):
            raise Unusable("it has no mask")
        origin = points(held.get("origin"))
        if len(origin) != 1:
            raise Unusable("its mask has no origin")
        left, top = np.floor(origin[0]).astype(int)
        return Bitmap(int(left), int(top), lambda: pngs.packed(held.get("data"), deflated=True))
    given = one.get("points")
    if kind not in ("polygon", "rectangle", "line", "point") or not isinstance(given, dict):
        raise Unusable(f"shapes of kind {kind!r} are not known")
    outer = points(given.get("exterior"))  # numbers of pixels: lines run through their middles
    if kind == "rectangle" and len(outer) == 2:
        (left, top), (right, bottom) = outer.min(axis=0), outer.max(axis=0) + 1
        return box(left, top, right - left, bottom - top)
    outer = outer + 0.5
    if kind in ("line", "point"):
        return Stroke(outer, apart=kind == "point")
    if kind == "rectangle" or len(outer) < 3:
        raise Unusable("a polygon has three points or more")
    inner = given.get("interior")
    holes = tuple(points(hole) + 0.5 for hole in inner) if isinstance(inner, list) else ()
    return Outline((outer,), tuple(hole for hole in holes if len(hole) > 2))
