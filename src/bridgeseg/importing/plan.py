"""Where the images of an export go, and what an earlier import left behind: known before a file is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from bridgeseg.files import below
from bridgeseg.importing.imagefile import head
from bridgeseg.importing.ledger import Ledger
from bridgeseg.importing.model import Item, Painting, Unusable
from bridgeseg.importing.source import stamp

FACTS = "bridgeseg import"
"""Name of the text in a mask that says what it was made of."""
ENDINGS = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "GIF": ".gif",
    "TIFF": ".tif",
    "AVIF": ".avif",
}


class Plan:
    """Gives every image a place that no other has, and joins its labels if they come from several places.

    Every item is added first. When the export is read again, `whole` gives them with all their labels.

    Args:
        out: the folder of the dataset.

    Attributes:
        files: images and masks that are to be in it.
        outlined: whether any object has more than a box.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.files: set[Path] = set()
        self.outlined = False
        self._places: dict[str, tuple[Path, Path]] = {}
        self._taken: set[str] = set()
        self._coming: Counter[str] = Counter()
        self._held: dict[str, Item] = {}

    def add(self, item: Item) -> None:
        """Take an item into the plan."""
        labels, image = item.labels, _identity(item)
        self.outlined |= isinstance(labels, Painting) or any(thing.name is not None for thing in labels)
        self._coming[image] += 1
        suffix = _ending(item.image)
        if suffix and image not in self._places:
            key = self._free(f"{item.split}/{item.key}")
            self._taken.add(key.casefold())
            self._places[image] = below(self.out, f"images/{key}{suffix}"), below(self.out, f"masks/{key}.png")
            self.files |= {*self._places[image]}

    def places(self, item: Item) -> tuple[Path, Path] | None:
        """Return where an image and its mask go; None if the image is not there or of no format that is written."""
        return self._places.get(_identity(item))

    def whole(self, item: Item, ledger: Ledger) -> Item | None:
        """Return an item with the labels of all items of its image; None as long as one of them is to come."""
        image = _identity(item)
        first = self._held.pop(image, None)
        if first is not None:
            item = joined(first, item, ledger)
        self._coming[image] -= 1
        if item.image is None or self._coming[image] < 1:
            return item
        self._held[image] = item
        return None

    def _free(self, key: str) -> str:
        """Return a path that no image has yet: of `a.jpg` and `a.png` the second becomes `a-2`."""
        chosen, count = key, 1
        while chosen.casefold() in self._taken:
            count += 1
            chosen = f"{key}-{count}"
        return chosen


def joined(first: Item, second: Item, ledger: Ledger) -> Item:
    """Return an image with the labels of two items, the second in front; with those of the first if they do not fit."""
    if second.split != first.split:
        ledger.note("images that the export has in several splits are in the first of them alone")
    if not isinstance(second.labels, Painting) and not second.labels:
        return replace(first, labelled=first.labelled or second.labelled, stamp=stamp(first.stamp, second.stamp))
    if not isinstance(first.labels, Painting) and not first.labels:
        return replace(second, image=first.image, split=first.split, key=first.key)
    if isinstance(first.labels, Painting) or isinstance(second.labels, Painting) or first.size != second.size:
        ledger.leave("several", second.name, "second labels of this image, a mask or for another size")
        ledger.note("images are labelled twice, and their labels cannot be joined: the first count")
        return first
    ledger.note("labels of one image were joined")
    labels = [*first.labels, *second.labels]
    return replace(first, labels=labels, labelled=True, stamp=stamp(first.stamp, second.stamp))


def _identity(item: Item) -> str:
    return str(item.image.resolve()) if isinstance(item.image, Path) else f"\n{item.name}"


def _ending(image: Path | bytes | None) -> str:
    if isinstance(image, Path):
        return image.suffix
    try:
        return ENDINGS.get(head(image).format, "") if image is not None else ""
    except Unusable:
        return ""


def left_behind(out: Path, planned: set[Path]) -> Iterator[Path]:
    """Give files that an earlier import made and that are not planned any more: masks that say so, links beside them.

    A copy of an image is not among them: it may be the only one.
    """
    for path in (out / "masks").rglob("*.png"):
        if path not in planned and facts(path) is not None:
            yield path
    for path in (out / "images").rglob("*"):
        if path.is_symlink() and path not in planned:
            mask = (out / "masks" / path.relative_to(out / "images")).with_suffix(".png")
            if facts(mask) is not None:
                yield path


def facts(mask: Path) -> str | None:
    """Return what a mask says of how it was made."""
    try:
        with Image.open(mask, formats=("PNG",)) as opened:
            found: Any = opened.info.get(FACTS)
            return found if isinstance(found, str) else None
    except Exception:  # there is none, or what lies there is no mask of ours
        return None
