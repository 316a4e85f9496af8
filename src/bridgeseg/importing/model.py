"""What every form of export is read into: images with labelled objects, or with a mask whose values have names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float64]
"""(N, 2): x to the right and y down, in pixels from the upper left corner of the image; (0.5, 0.5) is the middle of the
first pixel."""
Part: TypeAlias = NDArray[np.bool_]
Unlabelled = Literal["background", "ignore"]

MOST_POINTS = 1_000_000
"""Corners of one object; more are no drawing by hand."""


class Unusable(Exception):  # noqa: N818
    """One object cannot be used; the text says why.

    Args:
        text: why.
        code: under which of `ledger.CODES` it is put down; None for the usual one of what is being read.
    """

    def __init__(self, text: str, code: str | None = None) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Outline:
    """An area between lines: inside one of the `rings` and inside none of the `holes`.

    A ring that crosses itself encloses what lies behind an odd number of its lines.
    """

    rings: tuple[Points, ...]
    holes: tuple[Points, ...] = ()


@dataclass(frozen=True)
class Stroke:
    """What has no area: a line through several points, or single points if `apart`."""

    points: Points
    apart: bool = False


@dataclass(frozen=True)
class Bitmap:
    """An area of pixels.

    Attributes:
        left, top: where in the image its upper left pixel lies; it may reach out of the image.
        read: gives its pixels (h, w); raises `Unusable`. They are not kept: many objects would not fit into memory.
    """

    left: int
    top: int
    read: Callable[[], Part]


Shape: TypeAlias = Outline | Stroke | Bitmap


@dataclass(frozen=True)
class Thing:
    """A labelled object.

    Attributes:
        name: its class; None where the tool says that these pixels are to be ignored.
        shape: where it is.
        layer: of objects that overlap, the one of the higher layer is in front.
    """

    name: str | None
    shape: Shape
    layer: int = 0


@dataclass(frozen=True)
class Painting:
    """A mask of the whole image.

    Attributes:
        read: gives its values (H, W), integers; raises `Unusable`.
        names: value -> class; None is to be ignored. A value that is not listed cannot be used.
        coloured: whether the values are colours 0xRRGGBB.
    """

    read: Callable[[], NDArray[Any]]
    names: Mapping[int, str | None]
    coloured: bool = False


@dataclass(frozen=True)
class Item:
    """An image with its labels.

    Attributes:
        name: what the export calls the image, for messages.
        image: its file, or its encoded bytes where the export holds them; None if it is not there.
        size: (height, width) that the labels belong to; None if they do not say.
        labels: objects, later ones in front, or a mask.
        split: train, val or test.
        key: its path in the dataset, without ending, `/` between the parts.
        stamp: changes when anything about the labels does.
        labelled: whether the tool says that somebody looked at it; if not, and there are no objects, nobody knows.
    """

    name: str
    image: Path | bytes | None
    size: tuple[int, int] | None
    labels: Sequence[Thing] | Painting
    split: str
    key: str
    stamp: str
    labelled: bool = True


def points(values: Any, *, scale: tuple[float, float] = (1.0, 1.0)) -> Points:
    """Return coordinates, pairs or one after the other, as (N, 2), multiplied by `scale` (x, y).

    Raises:
        Unusable: not numbers, an odd number of them, too many, or none that a point can have.
    """
    try:
        if len(values) > 2 * MOST_POINTS:
            raise Unusable(f"it has more than {MOST_POINTS:,} points")
        found = np.asarray(values, np.float64)
        scaled: Points = found.reshape(-1, 2) * np.asarray(scale)
    except Unusable:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise Unusable("its points are no pairs of numbers") from error
    if not np.isfinite(scaled).all() or (scaled.size and float(np.abs(scaled).max()) > 1e7):
        raise Unusable("a point of it lies nowhere")
    return scaled


def outline(values: Any, *, scale: tuple[float, float] = (1.0, 1.0)) -> Outline:
    """Return the area of a polygon; `values` and `scale` as in `points`.

    Raises:
        Unusable: as `points` does, or it has fewer than three corners.
    """
    ring = points(values, scale=scale)
    if len(ring) < 3:
        raise Unusable(f"a polygon has three points or more, this has {len(ring)}")
    return Outline((ring,))


def box(
    left: float, top: float, width: float, height: float, degrees: float = 0.0, *, about_middle: bool = False
) -> Outline:
    """Return the area of a rectangle, turned clockwise around its upper left corner, or its middle."""
    corners = points([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])
    pivot = points([width / 2, height / 2] if about_middle else [0.0, 0.0])
    return Outline((_turned(corners - pivot, degrees) + pivot + points([left, top]),))


def ellipse(x: float, y: float, across: float, down: float, degrees: float = 0.0) -> Outline:
    """Return the area of an ellipse around a point, `across` and `down` its half axes, turned clockwise."""
    around = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    ring = np.stack([across * np.cos(around), down * np.sin(around)], axis=1)
    return Outline((_turned(points(ring), degrees) + points([x, y]),))


def _turned(ring: Points, degrees: float) -> Points:
    angle = np.deg2rad(degrees)
    turned: Points = ring @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return turned
