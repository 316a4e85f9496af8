"""Labelled objects, or a mask with named values -> a mask of class ids, and what became of every object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.classes import ClassSet
from bridgeseg.images import DEFAULT_MAX_PIXELS
from bridgeseg.importing.fill import drawn
from bridgeseg.importing.imagefile import Head
from bridgeseg.importing.model import Item, Outline, Painting, Part, Shape, Thing, Unusable

Overlap = Literal["later", "smaller"]
REACH = 1.0
"""Pixels by which a polygon may leave the image before that is said: tools round."""
RATIO = 0.01
"""By how much the sides of image and labels may be scaled differently."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes an image upright."""


@dataclass(frozen=True)
class Rules:
    """How labels become ids.

    Attributes:
        classes: of the dataset.
        ids: name in the export -> class id; None is not wanted.
        base: id of pixels under no object.
        overlap: which of two objects is in front: the later one, or the smaller one.
        stroke: pixels across lines and points; None where these are left out.
    """

    classes: ClassSet
    ids: dict[str, int | None]
    base: int
    overlap: Overlap
    stroke: float | None

    def __str__(self) -> str:
        return repr((self.classes.names, sorted(self.ids.items()), self.base, self.overlap, self.stroke))


@dataclass
class Drawn:
    """What became of the labels of one image; JSON-ready.

    Attributes:
        objects: class -> how many objects were drawn.
        pixels: class -> pixels of the mask.
        over: objects that lie over another class.
        covered: pixels of objects that another class lies over.
        clipped: objects that reach out of the image.
        lost: code of the ledger and description of what was not drawn.
        notes: what was reinterpreted.
    """

    objects: dict[str, int] = field(default_factory=dict)
    pixels: dict[str, int] = field(default_factory=dict)
    over: int = 0
    covered: int = 0
    clipped: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def draw(item: Item, image: Head, rules: Rules) -> tuple[NDArray[Any], Drawn]:
    """Return the mask (H, W) of an image in its upright size, uint8 (uint16 for more than 255 classes).

    Raises:
        Unusable: its labels belong to an image of another size, or cannot be read.
    """
    found = Drawn()
    if isinstance(item.labels, Painting):
        mask = _painted(item.labels, rules)
    else:
        height, width = item.size or image.size
        if height * width > DEFAULT_MAX_PIXELS:
            raise Unusable(f"its labels belong to {width}x{height} pixels", "size")
        mask = _layered(item.labels, height, width, rules, found)
    mask = _fitted(mask, image, found)
    counts = np.bincount(mask.ravel(), minlength=len(rules.classes)) if mask.size < 1_000_000 else _counted(mask)
    found.pixels = {name: int(count) for name, count in zip(rules.classes.names, counts, strict=False) if count}
    return mask, found


def _counted(mask: NDArray[Any]) -> NDArray[np.int64]:
    total = np.zeros(65536, np.int64)
    for row in np.array_split(mask, max(1, mask.size // 1_000_000)):
        total += np.bincount(row.ravel(), minlength=65536)
    return total


def _layered(things: Sequence[Thing], height: int, width: int, rules: Rules, found: Drawn) -> NDArray[Any]:
    mask = np.full((height, width), rules.base, _kind(rules.classes))
    taken = np.zeros((height, width), bool)
    counts: Counter[str] = Counter()
    order = sorted(things, key=lambda thing: thing.layer)
    if rules.overlap == "smaller":
        order.sort(key=lambda thing: (thing.layer, -_area(thing.shape, height, width, rules)))
    for thing in order:
        label = thing.name or "what is to be ignored"
        identity = rules.classes.ignore_index if thing.name is None else rules.ids.get(thing.name)
        if identity is None:
            found.lost.append(("class", label))
            continue
        try:
            top, left, part = drawn(thing.shape, height, width, rules.stroke)
        except Unusable as error:
            found.lost.append((error.code or "bad-shape", f"{label}: {error}"))
            continue
        if not part.any():
            found.lost.append(("outside", label))
            continue
        found.clipped += _reaches_out(thing.shape, height, width)
        place = np.s_[top : top + part.shape[0], left : left + part.shape[1]]
        _count_overlap(mask[place], taken[place], part, identity, found)
        mask[place][part] = identity
        taken[place] |= part
        if thing.name is not None:
            counts[rules.classes.names[identity]] += 1
    found.objects = dict(counts)
    return mask


def _count_overlap(mask: NDArray[Any], taken: Part, part: Part, identity: int, found: Drawn) -> None:
    hidden = int(np.count_nonzero(part & taken & (mask != identity)))
    found.over += hidden > 0
    found.covered += hidden


def _area(shape: Shape, height: int, width: int, rules: Rules) -> int:
    try:
        return int(drawn(shape, height, width, rules.stroke)[2].sum())
    except Unusable:
        return 0


def _reaches_out(shape: Shape, height: int, width: int) -> bool:
    if not isinstance(shape, Outline):
        return False
    limits = (width + REACH, height + REACH)
    return any(bool((ring < -REACH).any() or (ring > limits).any()) for ring in shape.rings)


def _painted(painting: Painting, rules: Rules) -> NDArray[Any]:
    values = painting.read()
    if values.size > DEFAULT_MAX_PIXELS:
        raise Unusable(f"its mask has {values.size:,} pixels")
    known, places = np.unique(values, return_inverse=True)
    ignore = rules.classes.ignore_index
    targets = []
    for value in known.tolist():
        if value not in painting.names:
            what = f"colour #{value:06x}" if painting.coloured else f"value {value}"
            raise Unusable(f"its mask has the {what}, which is no class", "values")
        name = painting.names[value]
        identity = ignore if name is None else rules.ids.get(name)
        targets.append(rules.base if identity is None else identity)
    return np.array(targets, _kind(rules.classes))[places.reshape(values.shape)]


def _fitted(mask: NDArray[Any], image: Head, found: Drawn) -> NDArray[Any]:
    """Bring a mask to the upright size of its image: turned as EXIF turns it, or scaled."""
    if mask.shape == image.size:
        return mask
    if mask.shape == image.stored:
        found.notes.append("labels were turned as EXIF turns their images")
        return np.asarray(Image.fromarray(mask).transpose(TURNS[image.orientation]))
    down, across = image.size[0] / mask.shape[0], image.size[1] / mask.shape[1]
    if abs(down / across - 1) > RATIO:
        (height, width), (rows, columns) = image.size, mask.shape
        raise Unusable(f"the image is {width}x{height} pixels, its labels belong to {columns}x{rows}", "size")
    found.notes.append("labels were scaled to the size of their images")
    size = (image.size[1], image.size[0])
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def _kind(classes: ClassSet) -> type[np.unsignedinteger[Any]]:
    return np.uint8 if classes.ignore_index == 255 else np.uint16
