"""COCO JSON: polygons, run lengths, and panoptic PNGs (format: https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.data.finding import number as counted
from bridgeseg.errors import DataError
from bridgeseg.importing import pngs, rle
from bridgeseg.importing.forms import Reading, boxed, unread
from bridgeseg.importing.jsonfile import Spool, dicts, elements, number, size_of, text
from bridgeseg.importing.model import Bitmap, Item, Outline, Painting, Thing, Unusable, points
from bridgeseg.importing.source import Source, stamp
from bridgeseg.wording import shown

KEPT = ("segmentation", "bbox", "category_id", "iscrowd", "file_name", "segments_info")
"""Keys of an annotation that count."""


@dataclass
class _File:
    """What one JSON file names, its annotations aside."""

    path: Path
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    categories: dict[str, str] = field(default_factory=dict)


def read(source: Source) -> Reading:
    """Read the JSON files of COCO that an export has; annotations wait on the disk until their image comes.

    Raises:
        DataError: there are none, or one cannot be read.
    """
    spool, files, panoptic = Spool(), list[_File](), False
    names: dict[str, str | None] = {}
    used: Counter[str] = Counter()
    for path in source.of(".json"):
        file, labelled = _File(path), Counter[str]()
        for key, value in elements(path):
            if not isinstance(value, dict):
                continue
            if key == "images":
                file.images[_id(value.get("id"))] = {name: value.get(name) for name in ("file_name", "height", "width")}
            elif key == "categories":
                name = text(value.get("name"))
                if name:
                    file.categories[_id(value.get("id"))] = name
                    names.setdefault(name, text(value.get("supercategory")))
            elif key == "annotations":
                used[_id(value.get("category_id"))] += 1
                panoptic |= "segments_info" in value
                labelled[_id(value.get("image_id"))] += 1
                spool.add(f"{path}\n{_id(value.get('image_id'))}", {k: value[k] for k in KEPT if k in value})
        if file.images and file.categories:
            files.append(file)
            for image, count in labelled.items():
                if image not in file.images:
                    what = f"{counted(count, 'annotation')} of image {shown(image)}, which `images` does not list"
                    source.ledger.leave("no-image", source.name(path), what)
        elif file.images or len(source.of(".json")) == 1:
            source.ledger.leave("not-recognised", source.name(path), "no images with categories")
    spool.ready()
    if not files:
        raise unread(source, "coco", "images with categories")
    for name in _roots(names, files, used):
        source.ledger.note(f"the category {shown(name)} only groups the others: it is no class")
        del names[name]
    return Reading(
        list(names),
        _items(source, files, spool),
        sum(len(file.images) for file in files),
        "ignore" if panoptic else "background",
    )


def _roots(names: dict[str, str | None], files: list[_File], used: Counter[str]) -> list[str]:
    """Return categories that stand above the others and have no object, as Roboflow writes one."""
    occurring = {name for file in files for key, name in file.categories.items() if used[key]}
    above = {group for name, group in names.items() if group and group != name}
    return [name for name, group in names.items() if group in ("none", "") and name in above and name not in occurring]


def _items(source: Source, files: list[_File], spool: Spool) -> Iterator[Item]:
    try:
        for file in files:
            for number, image in file.images.items():
                found = spool.texts(f"{file.path}\n{number}")
                name = text(image["file_name"])
                if not name:
                    source.ledger.leave("no-image", source.name(file.path), f"image {number} has no file_name")
                    continue
                place = source.image(name, file.path)
                split, key = source.placed(name, place, source.name(file.path))
                annotations = [json.loads(one) for one in found]
                size = size_of(image["height"], image["width"])
                yield Item(
                    name,
                    place,
                    size,
                    _labels(source, file, name, size, annotations),
                    split,
                    key,
                    stamp(*found, *file.categories.items()),
                    labelled=bool(found),
                )
    finally:
        spool.close()


def _labels(
    source: Source, file: _File, name: str, size: tuple[int, int] | None, annotations: list[dict[str, Any]]
) -> list[Thing] | Painting:
    whole = next((one for one in annotations if "segments_info" in one), None)
    if whole is not None:
        return _panoptic(source, file, whole)
    things = []
    for one in annotations:
        called = file.categories.get(_id(one.get("category_id")))
        if called is None:
            source.ledger.leave("no-class", name, f"category {shown(one.get('category_id'))} is not listed")
            continue
        try:
            shape = _shape(one.get("segmentation"), size)
        except Unusable as error:
            source.ledger.leave("bad-shape", name, f"{called}: {error}")
            continue
        if shape is None:
            source.ledger.leave("box", name, called)
            things += _ignored(source, one.get("bbox"))
        elif one.get("iscrowd") == 1:
            source.ledger.note("crowds of objects are ignored")
            things.append(Thing(None, shape, -1))
        else:
            things.append(Thing(called, shape))
    return things


def _ignored(source: Source, given: Any) -> list[Thing]:
    numbers = [number(one) for one in given] if isinstance(given, list) and len(given) == 4 else []
    found = [one for one in numbers if one is not None]
    return [boxed(source, *found)] if len(found) == 4 else []


def _shape(given: Any, image: tuple[int, int] | None) -> Outline | Bitmap | None:
    """Return the area of an annotation; None if it has a box alone."""
    if given is None or given == []:
        return None
    if isinstance(given, dict):
        size = given.get("size")
        sides = size_of(*size) if isinstance(size, list) and len(size) == 2 else None
        if sides is None:
            raise Unusable("its run lengths have no size")
        if image is not None and sides != image:
            raise Unusable(
                f"its run lengths belong to {sides[1]}x{sides[0]} pixels, its image has {image[1]}x{image[0]}"
            )
        return Bitmap(0, 0, rle.coco(given.get("counts"), *sides))
    if not isinstance(given, list):
        raise Unusable("its segmentation is neither polygons nor run lengths")
    rings = [points(part) for part in (given if isinstance(given[0], list) else [given])]
    kept = tuple(ring for ring in rings if len(ring) > 2)
    if not kept:
        raise Unusable("a polygon has three points or more")
    return Outline(kept)


def _panoptic(source: Source, file: _File, annotation: dict[str, Any]) -> Painting:
    name = text(annotation.get("file_name"))
    meaning: dict[int, str | None] = {0: None}
    for segment in dicts(annotation.get("segments_info")):
        called = file.categories.get(_id(segment.get("category_id")))
        if type(segment.get("id")) is int:
            meaning[segment["id"]] = None if segment.get("iscrowd") == 1 else called

    def paint() -> NDArray[Any]:
        place = next((p for p in _places(source, file.path, name) if p is not None and p.is_file()), None)
        if place is None:
            raise Unusable(f"its mask {shown(name)} is not there")
        code = pngs.colours(place)  # 0xRRGGBB, and the id is R + 256 G + 65536 B
        return np.asarray((code >> 16) | (code & 0xFF00) | ((code & 0xFF) << 16))

    return Painting(paint, meaning)


def _places(source: Source, path: Path, name: str) -> Iterator[Path | None]:
    """Give where the masks of a panoptic JSON lie: in the folder that is called like it, else anywhere."""
    if "/" not in name and "\\" not in name:
        yield path.with_suffix("") / name
        yield path.parent / name
    yield source.image(name, path)


def _id(value: Any) -> str:
    if not isinstance(value, int | str) or isinstance(value, bool):
        return ""
    if isinstance(value, int) and abs(value) > 1 << 62:
        raise DataError(f"an id is {shown(value)}", fix="export it again")
    return str(value)
