"""Where the images of an export go, and what an earlier import left behind: known before a file is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from bridgeseg.files import below
from bridgeseg.importing.imagefile import head
from bridgeseg.importing.model import Item, Painting, Unusable

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
    """Gives every image a place that no other has: of `a.jpg` and `a.png` the second becomes `a-2`.

    The same images in the same order get the same places.

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
        self._taken: set[str] = set()

    def add(self, item: Item) -> tuple[Path, Path] | None:
        """Return where an image and its mask go; None if the image is not there or of no format that is written."""
        labels = item.labels
        self.outlined |= isinstance(labels, Painting) or any(thing.name is not None for thing in labels)
        suffix = _ending(item.image)
        if not suffix:
            return None
        key = self._free(f"{item.split}/{item.key}")
        self._taken.add(key.casefold())
        image, mask = below(self.out, f"images/{key}{suffix}"), below(self.out, f"masks/{key}.png")
        self.files |= {image, mask}
        return image, mask

    def _free(self, key: str) -> str:
        chosen, count = key, 1
        while chosen.casefold() in self._taken:
            count += 1
            chosen = f"{key}-{count}"
        return chosen


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
