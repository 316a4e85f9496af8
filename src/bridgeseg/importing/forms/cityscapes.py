"""Cityscapes' polygons: `gtFine/SPLIT/CITY/NAME_gtFine_polygons.json`, and images in `leftImg8bit/`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bridgeseg.catalog.schema import entry
from bridgeseg.classes import Colour
from bridgeseg.errors import DataError
from bridgeseg.importing.forms import Reading, unread
from bridgeseg.importing.jsonfile import dicts, size_of, text
from bridgeseg.importing.jsonfile import read as read_json
from bridgeseg.importing.model import Item, Thing, Unusable, outline
from bridgeseg.importing.source import Source, key_of, split_of, stamp

ENDINGS = ("_gtFine_polygons", "_gtCoarse_polygons", "_polygons")
IMAGE = "_leftImg8bit"
GROUP = "group"
"""What the name of a class ends with where single objects of it cannot be told apart."""


def read(source: Source) -> Reading:
    """Read the JSON files of polygons, twice: for the classes, and for all.

    Raises:
        DataError: there are none.
    """
    files, names = list[Path](), set[str]()
    for path in source.of(".json"):
        try:
            data = read_json(path)
        except DataError as error:
            source.ledger.leave("bad-labels", source.name(path), error.message)
            continue
        if not isinstance(data.get("objects"), list) or "imgHeight" not in data:
            source.ledger.leave("not-recognised", source.name(path), "no imgHeight and objects")
            continue
        files.append(path)
        names |= {text(one.get("label")) for one in dicts(data["objects"]) if not one.get("deleted")}
    if not files:
        raise unread(source, "cityscapes", "JSON file with imgHeight and objects")
    single = {_single(name, names) for name in names if name}
    known = entry("cityscapes").class_set()
    order = [name for name in known.names if name in single]
    palette: dict[str, Colour] = dict(zip(known.names, known.palette, strict=True))
    return Reading([*order, *sorted(single - {*order})], _items(source, files, names), len(files), "ignore", palette)


def _single(name: str, names: set[str]) -> str:
    """Return the class of a group: `cargroup` is `car`, if there is such a class here or in Cityscapes."""
    alone = name.removesuffix(GROUP)
    return alone if alone != name and (alone in names or alone in entry("cityscapes").class_set().names) else name


def _items(source: Source, files: list[Path], names: set[str]) -> Iterator[Item]:
    for path in files:
        name, data = source.name(path), read_json(path)
        things = []
        for one in dicts(data["objects"]):
            label = text(one.get("label"))
            if one.get("deleted"):
                continue
            try:
                if not label:
                    raise Unusable("it has no label")
                things.append(Thing(_single(label, names), outline(one.get("polygon"))))
            except Unusable as error:
                source.ledger.leave("bad-shape" if label else "no-class", name, f"{label}: {error}")
        stem = next((path.stem.removesuffix(end) for end in ENDINGS if path.stem.endswith(end)), path.stem)
        called = (f"{stem}{end}{suffix}" for end in (IMAGE, "") for suffix in (".png", ".jpg"))
        image = next((found for one in called if (found := source.image(one, path)) is not None), None)
        split = split_of(name)
        key = key_of("/".join([*Path(name).parts[1:-1], stem]), split)
        size = size_of(data.get("imgHeight"), data.get("imgWidth"))
        yield Item(name, image, size, things, split, key, stamp(path))
