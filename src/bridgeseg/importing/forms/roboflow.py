"""Roboflow's semantic masks: `NAME_mask.png` beside `NAME.jpg`, and `_classes.csv` with the value of each class."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bridgeseg.errors import DataError
from bridgeseg.importing import pngs
from bridgeseg.importing.forms import Reading, unread
from bridgeseg.importing.model import Item, Painting
from bridgeseg.importing.source import Source, key_of, split_of, stamp
from bridgeseg.wording import shown
from bridgeseg.yamlfile import read_text

CLASSES, ENDING = "_classes.csv", "_mask.png"
MOST_BYTES = 1_000_000


def read(source: Source) -> Reading:
    """Read every folder that has a `_classes.csv`, as train/, valid/ and test/ of an export.

    Raises:
        DataError: there is none, one cannot be read, or two give one class different values.
    """
    tables = {path.parent: _classes(path) for path in source.of(".csv") if path.name == CLASSES}
    if not tables:
        raise unread(source, "roboflow", f"file {CLASSES}")
    masks = [path for path in source.of(".png") if path.name.endswith(ENDING) and path.parent in tables]
    by_value = {value: name for table in tables.values() for value, name in table.items()}
    names = list(dict.fromkeys(by_value[value] for value in sorted(by_value)))
    return Reading(names, _items(source, masks, tables), len(masks), None)


def _items(source: Source, masks: list[Path], tables: dict[Path, dict[int, str]]) -> Iterator[Item]:
    for path in masks:
        name, table = source.name(path), tables[path.parent]
        split = split_of(name)
        image = source.pictured(path.with_name(path.name.removesuffix(ENDING)))
        labels = Painting(_reader(path), {**table, 255: table.get(255)})
        key = key_of(name.removesuffix(ENDING), split)
        yield Item(name, image, None, labels, split, key, stamp(path, table))


def _reader(path: Path) -> Callable[[], NDArray[Any]]:
    return lambda: pngs.numbers(path)


def _classes(path: Path) -> dict[int, str]:
    """Return value -> class of lines such as `1, car`, below a head."""
    found: dict[int, str] = {}
    for number, row in enumerate(csv.reader(read_text(path, MOST_BYTES).splitlines(), skipinitialspace=True), 1):
        cells = [cell.strip() for cell in row]
        if number == 1 and cells and not cells[0].isdigit():
            continue
        if not any(cells):
            continue
        if len(cells) < 2 or not cells[0].isdigit() or len(cells[0]) > 5 or not cells[1]:
            message = f"line {number} is no `value, class`: {shown(', '.join(row))}"
            raise DataError(message, where=path, fix="restore the file of the export")
        found[int(cells[0])] = cells[1]
    return found
