"""A mask of class ids -> the outlines of its areas, along the borders of pixels: filled again, they are the mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ring: TypeAlias = NDArray[np.float64]
"""(N, 2) corners x, y in pixels from the upper left corner of the image; the last one is joined to the first."""


@dataclass(frozen=True, eq=False)
class Area:
    """Pixels of one class that hang together, by their sides.

    Attributes:
        name: the class.
        class_id: its position among the classes.
        outline: what encloses it, clockwise.
        holes: what is cut out of it, counterclockwise.
        pixels: how many there are.
    """

    name: str
    class_id: int
    outline: Ring
    holes: tuple[Ring, ...]
    pixels: int

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width, height."""
        low, high = self.outline.min(axis=0), self.outline.max(axis=0)
        left, top, right, bottom = (float(value) for value in (*low, *high))
        return left, top, right - left, bottom - top

    def joined(self) -> Ring:
        """Return outline and holes as one ring: each hole is reached, and left, along a cut without width.

        Forms that know no holes hold it; filled by the even-odd rule it is the area itself.
        """
        ring = self.outline
        for hole in sorted(self.holes, key=lambda one: (float(one[:, 1].min()), float(one[:, 0].min()))):
            away = ((ring[:, None] - hole[None]) ** 2).sum(axis=2) if len(ring) * len(hole) < CLOSEST else None
            at, start = (0, 0) if away is None else np.unravel_index(int(away.argmin()), away.shape)
            turned = np.roll(hole, -int(start), axis=0)
            ring = np.concatenate([ring[: int(at) + 1], turned, turned[:1], ring[int(at) :]])
        return ring


CLOSEST = 4_000_000
"""Pairs of corners of which the closest is looked for; of more any will do."""


def areas(mask: NDArray[Any], names: tuple[str, ...], least: int = 1, simplify: float = 0.0) -> list[Area]:
    """Return the areas of a mask (H, W) of class ids, class after class, each from top to bottom.

    Args:
        mask: class ids; pixels whose id is no class are left out.
        names: of the classes.
        least: areas of fewer pixels are left out.
        simplify: corners may be left out as long as the outline moves by no more pixels than this (Douglas, Peucker:
            Algorithms for the reduction of the number of points, 1973); 0 keeps all.
    """
    found = []
    for value in np.unique(mask).tolist():
        if value < len(names):
            found += _of_class(mask == value, names[value], value, least, simplify)
    return found


def numbered(inside: NDArray[np.bool_], name: str, class_id: int) -> tuple[list[Area], NDArray[np.int64]]:
    """Return the areas of one class, and (H, W) which of them each pixel belongs to; -1 where there is none.

    Args:
        inside: (H, W), the pixels of the class.
        name: of the class.
        class_id: its position among the classes.
    """
    found = np.full(inside.shape, -1, np.int64)
    if not inside.any():
        return [], found
    parts = _Parts(inside)
    kept = [number for number, owner in enumerate(parts.owners) if owner == number]
    place = np.full(len(parts.owners), -1, np.int64)
    place[kept] = np.arange(len(kept))
    found[parts.window] = np.append(place, -1)[parts.numbers()]
    return [parts.area(number, name, class_id, 0.0) for number in kept], found


def _of_class(inside: NDArray[np.bool_], name: str, class_id: int, least: int, simplify: float) -> list[Area]:
    parts = _Parts(inside)
    return [
        parts.area(number, name, class_id, simplify)
        for number, owner in enumerate(parts.owners)
        if owner == number and parts.pixels[number] >= least
    ]


class _Parts:
    """What hangs together of the pixels of a class: rings, which of them are holes of which, and their pixels.

    Attributes:
        window: the rows and columns with such pixels.
        owners: for each ring the one around its area.
        pixels: for each ring that is its own owner, how many there are.
    """

    def __init__(self, inside: NDArray[np.bool_]) -> None:
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        self.window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        self._inside = inside[self.window]
        self._edges = _Edges(self._inside)
        self._rings = self._edges.rings()
        sizes = [_signed(ring) for ring in self._rings]
        self.owners = self._edges.owners(sizes)
        self.pixels = [0] * len(self._rings)
        self._holes: dict[int, list[Ring]] = {}
        for number, owner in enumerate(self.owners):
            self.pixels[owner] += sizes[number]
            if owner != number:
                self._holes.setdefault(owner, []).append(self._rings[number])

    def area(self, number: int, name: str, class_id: int, simplify: float) -> Area:
        """Return the area within a ring."""
        holes = tuple(self._placed(hole, simplify) for hole in self._holes.get(number, []))
        return Area(name, class_id, self._placed(self._rings[number], simplify), holes, self.pixels[number])

    def numbers(self) -> NDArray[np.int64]:
        """Return the ring around the area of each pixel of the window, -1 outside: that of the left side before it."""
        pixels, rings = self._edges.left_sides()
        height, width = self._inside.shape
        sides = np.full((height, width), -1, np.int64)
        sides[pixels // self._edges.width, pixels % self._edges.width] = np.array(self.owners, np.int64)[rings]
        last = np.maximum.accumulate(np.where(sides >= 0, np.arange(width), 0), axis=1)
        return np.where(self._inside, np.take_along_axis(sides, last, axis=1), -1)

    def _placed(self, ring: Ring, simplify: float) -> Ring:
        kept = simplified(ring, simplify) if simplify > 0 else ring
        moved: Ring = kept + np.array([self.window[1].start, self.window[0].start], np.float64)
        return moved


class _Edges:
    """Sides of pixels between inside and outside, each with the inside at its right: edge after edge makes rings."""

    def __init__(self, inside: NDArray[np.bool_]) -> None:
        wide = np.pad(inside, 1)
        self.width = inside.shape[1] + 1
        """Of the grid of corners."""
        here = wide[1:-1, 1:-1]
        starts, ends, pixels = [], [], []
        sides = (
            (wide[:-2, 1:-1], 0, 1),
            (wide[1:-1, 2:], 1, self.width + 1),
            (wide[2:, 1:-1], self.width + 1, self.width),
        )
        for beside, start, end in (*sides, (wide[1:-1, :-2], self.width, 0)):
            y, x = np.nonzero(here & ~beside)
            corner = y.astype(np.int64) * self.width + x
            starts.append(corner + start)
            ends.append(corner + end)
            pixels.append(corner)
        order = np.argsort(np.concatenate(starts), kind="stable")
        self.start, self.end, self.pixel = (np.concatenate(part)[order] for part in (starts, ends, pixels))
        first = np.searchsorted(self.start, self.end)
        second = np.minimum(first + 1, len(order) - 1)
        # where two pixels touch by a corner, the ring stays with its own
        other = (self.start[second] == self.end) & (self.pixel[first] != self.pixel)
        self.next = np.where(other, second, first)
        self.ring = np.full(len(order), -1, np.int64)

    def rings(self) -> list[Ring]:
        """Return the corners of every ring, by the topmost of its edges."""
        following, done = self.next.tolist(), bytearray(len(self.next))
        found: list[Ring] = []
        for begin in range(len(following)):
            if done[begin]:
                continue
            edge, chain = begin, []
            while not done[edge]:
                done[edge] = 1
                chain.append(edge)
                edge = following[edge]
            edges = np.array(chain)
            self.ring[edges] = len(found)
            step = self.end[edges] - self.start[edges]
            corners = self.start[edges][step != np.roll(step, 1)]
            found.append(np.stack([corners % self.width, corners // self.width], axis=1).astype(np.float64))
        return found

    def left_sides(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return pixels without one of their own at their left, as corners of the grid, and the rings around them."""
        left = np.flatnonzero(self.start - self.end == self.width)
        return self.pixel[left], self.ring[left]

    def owners(self, sizes: list[int]) -> list[int]:
        """Return for each ring the ring around its area: itself, or for a hole the one that it is cut out of.

        Left of the first corner of a hole lies its area, up to a left side: of the ring around it, or of another hole.
        """
        left = np.flatnonzero(self.start - self.end == self.width)
        order = np.argsort(self.end[left])
        corners, rings = self.end[left][order], self.ring[left][order]
        owners = list(range(len(sizes)))
        first = np.full(len(sizes), len(self.start), np.int64)
        np.minimum.at(first, self.ring, np.arange(len(self.start)))
        for number in range(len(sizes)):
            if sizes[number] < 0:
                above = int(self.start[first[number]]) - self.width
                owners[number] = owners[int(rings[np.searchsorted(corners, above, "right") - 1])]
        return owners


def _signed(ring: Ring) -> int:
    """Return the pixels inside of a ring, negative if it runs counterclockwise."""
    x, y = ring[:, 0], ring[:, 1]
    return round(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def simplified(ring: Ring, tolerance: float) -> Ring:
    """Return a ring with fewer corners, none of those left out further than `tolerance` from it; three at least."""
    if len(ring) < 5:
        return ring
    far = int(((ring - ring[0]) ** 2).sum(axis=1).argmax())
    closed = np.concatenate([ring, ring[:1]])
    keep = np.zeros(len(closed), bool)
    keep[[0, far, len(ring)]] = True
    waiting = [(0, far), (far, len(ring))]
    while waiting:
        begin, end = waiting.pop()
        if end - begin < 2:
            continue
        line, between = closed[end] - closed[begin], closed[begin + 1 : end] - closed[begin]
        length = float(np.hypot(*line))
        if length > 0:
            away = np.abs(between[:, 0] * line[1] - between[:, 1] * line[0]) / length
        else:
            away = np.hypot(between[:, 0], between[:, 1])
        furthest = int(away.argmax())
        if away[furthest] > tolerance:
            middle = begin + 1 + furthest
            keep[middle] = True
            waiting += [(begin, middle), (middle, end)]
    kept = closed[:-1][keep[:-1]]
    return kept if len(kept) > 2 else ring
