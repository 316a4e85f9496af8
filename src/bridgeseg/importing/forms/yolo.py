"""YOLO's polygons: for each image a .txt with `class x y x y ...` a line, coordinates as shares of width and height."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bridgeseg.data import fields
from bridgeseg.errors import DataError
from bridgeseg.images import SUFFIXES
from bridgeseg.importing.forms import Reading, boxed, unread
from bridgeseg.importing.imagefile import head
from bridgeseg.importing.model import Item, Thing, Unusable, outline, points
from bridgeseg.importing.source import Source, key_of, split_of, stamp
from bridgeseg.wording import shown
from bridgeseg.yamlfile import MAX_BYTES, read_mapping, read_text

LISTS = ("classes.txt", "obj.names")
MOST_BYTES = 64_000_000
"""Of the labels of one image."""
COORDINATES = 6
"""A line with fewer is no polygon: with four it is a box."""


def read(source: Source) -> Reading:
    """Read images and the .txt files that belong to them.

    Raises:
        DataError: there are no labels, or no names of classes.
    """
    names = _names(source)
    lists = {name.lower() for name in LISTS}
    labels = [path for path in source.of(".txt") if path.name.lower() not in lists]
    images = list(source.of(*SUFFIXES))
    away: dict[Path, Path] = {}
    if source.wanted.images is not None:
        away = {found: path for path in labels if (found := _found(source, path)) is not None}
    pairs = {image: _labels(image, source) or away.get(image) for image in dict.fromkeys([*images, *away])}
    if not any(pairs.values()):
        raise unread(source, "yolo", "image with a .txt file of labels")
    for path in sorted(set(labels) - set(pairs.values())):
        code = "no-image" if _is_labels(path) else "not-recognised"
        source.ledger.leave(code, source.name(path), "no image of that name" if code == "no-image" else "")
    return Reading(names, _items(source, pairs, names), len(pairs), "background")


def _names(source: Source) -> list[str]:
    """Return the classes, from a data.yaml or a list."""
    for path in source.of(".yaml", ".yml") or sorted(source.folder.glob("*.yaml")):
        data = read_mapping(read_text(path, MAX_BYTES), path)
        if "names" in data:
            return fields.names(data, path)
    for name in LISTS:
        path = source.folder / name
        if path.is_file():
            return [line.strip() for line in read_text(path, MAX_BYTES).splitlines() if line.strip()]
    raise DataError(
        "there is neither a data.yaml with `names` nor a classes.txt",
        where=source.path,
        fix="write a data.yaml with `names: [first class, second class]` into the folder",
    )


def _labels(image: Path, source: Source) -> Path | None:
    """Return the labels of an image: in `labels` where it is in `images`, else beside it."""
    parts = list(image.parts)
    places = [image.with_suffix(".txt"), source.folder / "labels" / f"{image.stem}.txt"]
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        places.insert(0, Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt"))
    return next((place for place in places if place.is_file()), None)


def _found(source: Source, labels: Path) -> Path | None:
    name = Path(*(part for part in Path(source.name(labels)).parts if part != "labels"))
    found = (source.image(name.with_suffix(suffix).as_posix()) for suffix in sorted(SUFFIXES))
    return next((image for image in found if image is not None), None)


def _is_labels(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return bool(re.match(r"\s*\d+( +[-+\d.eE]+)+\s*$", file.readline(10_000)))


def _items(source: Source, pairs: dict[Path, Path | None], names: list[str]) -> Iterator[Item]:
    for image, labels in pairs.items():
        name = source.name(image)
        split = split_of(name, "" if labels is None else source.name(labels))
        try:
            size = head(image).size
        except Unusable as error:
            source.ledger.leave("image-unreadable", name, str(error))
            continue
        things = [] if labels is None else list(_things(source, labels, names, size))
        known = stamp(names, *([] if labels is None else [labels]))
        yield Item(name, image, size, things, split, key_of(name, split), known, labelled=labels is not None)


def _things(source: Source, path: Path, names: list[str], size: tuple[int, int]) -> Iterator[Thing]:
    name = source.name(path)
    try:
        lines = read_text(path, MOST_BYTES).splitlines()
    except DataError as error:
        source.ledger.leave("bad-labels", name, error.message)
        return
    for number, line in enumerate(lines, 1):
        first, *rest = line.split() or [""]
        if not first:
            continue
        if not re.fullmatch(r"\d{1,5}", first) or int(first) >= len(names):
            source.ledger.leave("no-class", name, f"line {number}: class {shown(first)} of 0..{len(names) - 1}")
        elif len(rest) == 4:
            source.ledger.leave("box", name, f"line {number}: {names[int(first)]}")
            try:
                middle, sides = points(rest, scale=(size[1], size[0]))
                yield boxed(source, *(middle - sides / 2), *sides)
            except Unusable as error:
                source.ledger.leave("bad-shape", name, f"line {number}: {error}")
        elif len(rest) < COORDINATES:
            source.ledger.leave("bad-shape", name, f"line {number}: {len(rest)} numbers")
        else:
            try:
                yield Thing(names[int(first)], outline(rest, scale=(size[1], size[0])))
            except Unusable as error:
                source.ledger.leave("bad-shape", name, f"line {number}: {error}")
