"""Polygons and lines -> pixels: a pixel belongs to an area if its middle does, so nothing grows at the border.

Pillow and OpenCV cut coordinates to whole or fixed-point numbers and add the border itself, which makes small objects
larger: docs/import.md has the measurement. Here a polygon along the borders of pixels gives exactly these pixels back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bridgeseg.importing.model import Bitmap, Outline, Part, Points, Shape, Stroke, Unusable

CELLS = 4_000_000
"""Cells, or crossings of lines with rows of pixels, that are in memory at a time."""
MOST_CROSSINGS = 400_000_000
CORNERS = 24
"""Of the polygon that stands for a round end of a line."""


def drawn(shape: Shape, height: int, width: int, stroke: float | None) -> tuple[int, int, Part]:
    """Return the pixels of a shape that lie in an image, as (top, left, part); an empty part if there are none.

    Args:
        shape: what to draw.
        height, width: of the image.
        stroke: pixels across lines and points; None where these are not drawn.

    Raises:
        Unusable: a line or a point without `stroke`, or a shape that cannot be drawn.
    """
    if isinstance(shape, Bitmap):
        return _cut(shape, height, width)
    if isinstance(shape, Stroke):
        if stroke is None:
            raise Unusable("points have no area" if shape.apart else "a line has no area", "no-area")
        shape = Outline(tuple(_stroke(shape, stroke)))
    inside = [ring for ring in shape.rings if len(ring) > 2]
    box = _bounds(inside, height, width)
    if box is None:
        return 0, 0, np.zeros((0, 0), bool)
    top, left, bottom, right = box
    part = np.zeros((bottom - top, right - left), bool)
    for ring in inside:
        part |= filled(ring - (left, top), *part.shape)
    for ring in shape.holes:
        part &= ~filled(ring - (left, top), *part.shape)
    return top, left, part


def filled(ring: Points, height: int, width: int) -> Part:
    """Return the pixels (height, width) whose middle lies behind an odd number of the lines of a closed polygon.

    Raises:
        Unusable: so many lines over so many rows that it would take minutes.
    """
    part = np.zeros((height, width), bool)
    rows = max(1, CELLS // (width + 1))
    ends = np.roll(ring, -1, axis=0)
    upward = (ring[:, 1] < ends[:, 1])[:, None]
    upper, lower = np.where(upward, ring, ends), np.where(upward, ends, ring)
    first = np.clip(np.ceil(upper[:, 1] - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(lower[:, 1] - 0.5), 0, height).astype(np.int64)
    if int((last - first).sum()) > MOST_CROSSINGS:
        raise Unusable("it has too many lines to be drawn")
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        flips = np.zeros((bottom - top) * (width + 1), np.int32)
        for some in _together(np.clip(last, top, bottom) - np.clip(first, top, bottom)):
            begin, end = np.clip(first[some], top, bottom), np.clip(last[some], top, bottom)
            count = end - begin
            line = np.repeat(np.arange(len(count)), count)
            row = np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count) + begin[line]
            a, b = upper[some][line], lower[some][line]
            at = a[:, 0] + (row + 0.5 - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
            column = np.clip(np.ceil(at - 0.5), 0, width).astype(np.int64)
            flips += np.bincount((row - top) * (width + 1) + column, minlength=len(flips)).astype(np.int32)
        parity = np.cumsum(flips.reshape(bottom - top, width + 1), axis=1, dtype=np.int32)[:, :width] & 1
        part[top:bottom] = parity.astype(bool)
    return part


def _together(counts: np.ndarray) -> Iterator[slice]:
    """Give slices of lines that have at most `CELLS` crossings together, or one line with more."""
    total, begin = np.cumsum(counts), 0
    while begin < len(counts):
        before = int(total[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(total, before + CELLS, "right")))
        yield slice(begin, end)
        begin = end


def _bounds(rings: list[Points], height: int, width: int) -> tuple[int, int, int, int] | None:
    """Return top, left, bottom, right of all rings within the image; None if nothing of them is in there."""
    if not rings:
        return None
    low = np.min([ring.min(axis=0) for ring in rings], axis=0)
    high = np.max([ring.max(axis=0) for ring in rings], axis=0)
    left, top = (max(0, math.floor(value)) for value in low)
    right, bottom = min(width, math.ceil(high[0])), min(height, math.ceil(high[1]))
    return (top, left, bottom, right) if top < bottom and left < right else None


def _cut(bitmap: Bitmap, height: int, width: int) -> tuple[int, int, Part]:
    part = bitmap.read()
    top, left = max(0, bitmap.top), max(0, bitmap.left)
    bottom, right = min(height, bitmap.top + part.shape[0]), min(width, bitmap.left + part.shape[1])
    if top >= bottom or left >= right:
        return 0, 0, np.zeros((0, 0), bool)
    return top, left, part[top - bitmap.top : bottom - bitmap.top, left - bitmap.left : right - bitmap.left]


def _stroke(shape: Stroke, across: float) -> Iterator[Points]:
    """Give polygons that cover a line of some width with round ends, or discs around points."""
    around = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    disc = np.stack([np.cos(around), np.sin(around)], axis=1) * across / 2
    yield from (disc + point for point in shape.points)
    for a, b in [] if shape.apart else zip(shape.points, shape.points[1:], strict=False):
        length = float(np.hypot(*(b - a)))
        if length > 0:
            side = np.array([a[1] - b[1], b[0] - a[0]]) * across / 2 / length
            yield np.array([a + side, b + side, b - side, a - side])
