"""Palette or colour PNGs of Pascal VOC's layout, CVAT's `Segmentation mask 1.1` with its labelmap.txt among them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.catalog.schema import entry
from bridgeseg.classes import Colour, colour_of
from bridgeseg.errors import DataError
from bridgeseg.importing import pngs
from bridgeseg.importing.forms import Reading, unread
from bridgeseg.importing.model import Item, Painting
from bridgeseg.importing.source import Source, key_of, stamp
from bridgeseg.wording import shown
from bridgeseg.yamlfile import read_text

MASKS, IMAGES, LISTS, LABELS = "SegmentationClass", "JPEGImages", "ImageSets/Segmentation", "labelmap.txt"
MOST_LABELS = 1_000_000
BORDER = 0xE0E0C0
"""The colour of borders and of what is to be ignored, index 255 of VOC's palette."""


def read(source: Source) -> Reading:
    """Read the folder that holds SegmentationClass/.

    Raises:
        DataError: there is none, or its labelmap.txt cannot be read.
    """
    masks = [path for path in source.of(".png") if path.parent.name == MASKS or MASKS in path.parts]
    if not masks:
        raise unread(source, "voc", f"masks (PNG) in a folder {MASKS}")
    base = Path(*masks[0].parts[: len(masks[0].parts) - masks[0].parts[::-1].index(MASKS) - 1])
    named = _labelmap(base / LABELS)
    if named:
        names, palette = list(dict.fromkeys(named.values())), {name: colour_of(code) for code, name in named.items()}
    else:
        known = entry("voc2012").class_set()
        names = list(source.wanted.classes) or list(known.names)
        palette = dict(zip(known.names, known.palette, strict=True))
        if not source.wanted.classes:
            source.ledger.note(f"there is no {LABELS}: indices are read as the 21 classes of Pascal VOC")
    splits = _splits(base / LISTS)
    coloured = bool(named) or pngs.is_coloured(masks[0])
    values: dict[int, str | None] = {**dict(enumerate(names)), 255: None}
    if coloured:
        values = {BORDER: None, **(named or {_code(colour): name for name, colour in palette.items()})}
    return Reading(names, _items(source, base, masks, coloured, values, splits), len(masks), None, palette)


def _items(
    source: Source, base: Path, masks: list[Path], coloured: bool, values: dict[int, str | None], splits: dict[str, str]
) -> Iterator[Item]:
    for path in masks:
        key = path.relative_to(base / MASKS).with_suffix("").as_posix()
        image = source.pictured(base / IMAGES / key) or source.image(f"{key}.jpg") or source.image(f"{key}.png")
        if image is not None and image in masks:
            image = None
        split = splits.get(key, "train")
        labels = Painting(_reader(path, coloured), values, coloured)
        yield Item(source.name(path), image, None, labels, split, key_of(key, split), stamp(path, values))


def _reader(path: Path, coloured: bool) -> Any:
    def paint() -> NDArray[Any]:
        return np.asarray(pngs.colours(path) if coloured else pngs.numbers(path))

    return paint


def _labelmap(path: Path) -> dict[int, str]:
    """Return colour 0xRRGGBB -> class of CVAT's file: `name:r,g,b:parts:actions`."""
    found: dict[int, str] = {}
    if not path.is_file():
        return found
    for number, line in enumerate(read_text(path, MOST_LABELS).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, colour, _parts, _actions = line.rsplit(":", 3)
            red, green, blue = (int(part) for part in colour.split(","))
            if not name.strip() or not all(0 <= part <= 255 for part in (red, green, blue)):
                raise ValueError
        except ValueError as error:
            message = f"line {number} is no `name:red,green,blue:parts:actions`: {shown(line)}"
            raise DataError(message, where=path, fix="restore the file of the export") from error
        found[red << 16 | green << 8 | blue] = name.strip()
    return found


def _splits(folder: Path) -> dict[str, str]:
    """Return the split of each image that the lists name; `default`, `trainval` and others say nothing."""
    found: dict[str, str] = {}
    for split in ("test", "val", "train"):
        path = folder / f"{split}.txt"
        if path.is_file():
            found |= {line.split()[0]: split for line in read_text(path, MOST_LABELS * 64).splitlines() if line.split()}
    return found


def _code(colour: Colour) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]
