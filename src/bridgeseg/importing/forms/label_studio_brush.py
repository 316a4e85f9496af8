"""Label Studio's `Brush labels to PNG`: a mask for each label of a task, beside an export that names the images."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bridgeseg.errors import DataError
from bridgeseg.importing import pngs
from bridgeseg.importing.forms import Reading, unread
from bridgeseg.importing.jsonfile import elements, text
from bridgeseg.importing.model import Bitmap, Item, Part, Thing, Unusable
from bridgeseg.importing.source import Source, stamp

NAME = re.compile(r"task-(?P<task>\d+)-annotation-(?P<annotation>\d+)-by-[^-]*-[^-]+-(?P<label>.+)-\d+\.png")
"""`task-7-annotation-3-by-USER-TAG-LABEL-0.png`; the tag of the labelling interface has no hyphen."""


def read(source: Source) -> Reading:
    """Read the masks, and the images of the tasks from a JSON or JSON-MIN export of the same project beside them.

    Raises:
        DataError: there are no such masks, or no export tells their images.
    """
    tasks: dict[int, dict[int, list[tuple[str, Path]]]] = {}
    for path in source.of(".png"):
        if match := NAME.fullmatch(path.name):
            annotations = tasks.setdefault(int(match["task"]), {})
            annotations.setdefault(int(match["annotation"]), []).append((match["label"], path))
    if not tasks:
        raise unread(source, "label-studio-brush", "mask called task-...-annotation-...-by-...png")
    images = _images(source)
    if not images:
        raise DataError(
            "the masks name numbers of tasks, and nothing tells which images these are",
            where=source.path,
            fix="put the project's export as JSON or JSON-MIN beside the masks",
        )
    names = sorted({label for found in tasks.values() for masks in found.values() for label, _ in masks})
    return Reading(names, _items(source, tasks, images), len(tasks), "background")


def _images(source: Source) -> dict[int, str]:
    found: dict[int, str] = {}
    for path in source.of(".json"):
        for _, task in elements(path):
            if isinstance(task, dict) and type(task.get("id")) is int:
                data = task["data"] if isinstance(task.get("data"), dict) else task
                if name := text(data.get("image")):
                    found[task["id"]] = name
    return found


def _items(
    source: Source, tasks: dict[int, dict[int, list[tuple[str, Path]]]], images: dict[int, str]
) -> Iterator[Item]:
    for task, given in sorted(tasks.items()):
        name, masks = images.get(task, ""), given[max(given)]
        if len(given) > 1:
            source.ledger.leave("several", f"task {task}", f"{len(given) - 1} other annotations of this image")
        masks.sort(key=lambda mask: -_pixels(mask[1]))  # nothing tells their order: the smaller ones are in front
        things = [Thing(label, Bitmap(0, 0, _reader(path))) for label, path in masks]
        image = source.image(name) if name else None
        split, key = source.placed(name or f"task-{task}", image)
        yield Item(name or f"task {task}", image, None, things, split, key, stamp(*(path for _, path in masks)))


def _pixels(path: Path) -> int:
    try:
        return int(_reader(path)().sum())
    except Unusable:
        return 0


def _reader(path: Path) -> Callable[[], Part]:
    return lambda: np.asarray(pngs.numbers(path) > 0)
