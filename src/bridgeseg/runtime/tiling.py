"""Images that need more memory than allowed: overlapping tiles, their seams blended, one row of tiles at a time.

A tile's own borders are where a network is wrong: there it sees padding in place of the image. So neighbouring tiles
overlap, and of each the part next to its border is thrown away. In the middle of the overlap the logits of one tile
fade into those of the next, linearly; a file without logits gives ids only, and there the two meet at a line. Every
tile begins at a multiple of 32 pixels, the coarsest stride of the networks, so that their grids coincide.

A network that sees at most `MARGIN` pixels far therefore gives the same ids in tiles of any size as in one piece. One
that sees further (global attention, global pooling) does not: what it sees of the image is the tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.images import Pixels
from bridgeseg.runtime.runtimes import Ids, Runtime

DEFAULT_MEMORY = 768
"""MB that a network may use at a time: an image of 1920x1080 with 11 classes is still done in one piece."""
ALIGN = 32
OVERLAP = 128
FADE, NARROW = OVERLAP // 2, OVERLAP // 8
"""Pixels over which tiles fade into each other; the narrow one where seams are very long and classes many."""
MARGIN = (OVERLAP - FADE) // 2
"""Pixels next to a tile's inner border that are never used."""
BYTES_PER_PIXEL, BYTES_PER_CLASS = 200, 12
"""What a network needs per pixel (240 were measured with 11 classes), and for each class: logits, up to three times."""
SMALLEST = 2 * OVERLAP
ARGMAX_ROWS = 32

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Span:
    """One tile along one axis; all are pixels of the image.

    Attributes:
        start: first pixel that the network sees.
        stop: end of what it sees.
        fade_in: (begin, end) of where this tile takes over from the one before; empty for the first.
        fade_out: (begin, end) of where the next one takes over; empty for the last.
    """

    start: int
    stop: int
    fade_in: tuple[int, int]
    fade_out: tuple[int, int]

    @property
    def used(self) -> slice:
        """What is used of the tile, in its own pixels."""
        return slice(self.fade_in[0] - self.start, self.fade_out[1] - self.start)

    @property
    def own(self) -> tuple[int, int]:
        """Begin and end of what this tile gives where tiles meet at a line, in pixels of the image."""
        return sum(self.fade_in) // 2, sum(self.fade_out) // 2


class Tiles(NamedTuple):
    """Height and width of tiles (multiples of 32 where smaller than the image), and how wide their seams are."""

    height: int
    width: int
    fade: int = FADE


def spans(length: int, tile: int, fade: int = FADE) -> list[Span]:
    """Cover `length` pixels with tiles of at most `tile` (a multiple of 32, the last up to 31 more), evenly.

    >>> [(span.start, span.stop) for span in spans(1000, 512)]
    [(0, 448), (288, 736), (576, 1000)]
    """
    if length <= tile:
        return [Span(0, length, (0, 0), (length, length))]
    count = math.ceil((length - OVERLAP) / (tile - OVERLAP))
    size = min(tile, _up((length + (count - 1) * OVERLAP) / count))
    step = size - OVERLAP
    # The last one may be up to 31 larger: it ends with the image and begins on the grid.
    count = math.ceil((length - OVERLAP - ALIGN + 1) / step)
    starts = [min(index * step, (length - size) // ALIGN * ALIGN) for index in range(count)]
    stops = [start + size for start in starts[:-1]] + [length]
    middles = [(stop + start) // 2 for stop, start in zip(stops, starts[1:], strict=False)]
    fades = [(0, 0), *((middle - fade // 2, middle + fade // 2) for middle in middles), (length, length)]
    return [Span(*item) for item in zip(starts, stops, fades, fades[1:], strict=False)]


def plan(size: tuple[int, ...], classes: int, memory: int) -> Tiles | None:
    """Choose tiles so that the network stays within `memory` MB; None if none are needed.

    `size` is height and width of the image, `classes` how many classes the network has.

    Tiles use half of it, because seams need some too: 4 bytes for each class and pixel of them.

    Raises:
        ConfigError: not even the smallest tile fits.
    """
    height, width = size
    each = BYTES_PER_PIXEL + BYTES_PER_CLASS * classes
    if height * width * each <= memory * 1e6:
        return None
    pixels = memory * 1e6 / 2 / each
    if pixels < SMALLEST**2:
        least = math.ceil(2 * each * SMALLEST**2 / 1e6)
        raise ConfigError(
            f"{memory} MB are too few for {classes} classes", where="memory", fix=f"allow at least {least} MB"
        )
    fade = FADE if 4 * classes * width * FADE <= memory * 1e6 / 4 else NARROW
    side = max(SMALLEST, _down(math.sqrt(pixels)))
    if min(height, width) < side:  # a long strip: tiles as high (or wide) as it, and longer
        longer = max(SMALLEST, _down(pixels / min(height, width)))
        return Tiles(height, longer, fade) if height < width else Tiles(longer, width, fade)
    return Tiles(side, side, fade)


def segment(
    runtime: Runtime, image: Pixels, classes: int, tiles: Tiles, check: Callable[[], None] | None = None
) -> Ids:
    """Segment an image in tiles.

    The logits of the whole image are never in memory: at most those of one tile, and those of the seams below one
    row of tiles.

    Args:
        runtime: what runs the network.
        image: uint8 RGB (H, W, 3).
        classes: how many classes the network has.
        tiles: their size, at least 256 where smaller than the image.
        check: called before each tile; what it raises ends the work.

    Returns:
        Class ids (H, W), uint8 (uint16 above 256 classes).
    """
    rows = spans(image.shape[0], tiles.height, tiles.fade)
    columns = spans(image.shape[1], tiles.width, tiles.fade)
    mask: Ids = np.zeros(image.shape[:2], np.uint8 if classes <= 256 else np.uint16)
    check = check or (lambda: None)
    try:
        first = _logits(runtime, image, rows[0], columns[0], check)
    except ModelFileError:  # the file gives no logits
        _meet(runtime, image, rows, columns, mask, check)
    else:
        _blend(runtime, image, rows, columns, mask, check, first)
    return mask


def _meet(
    runtime: Runtime,
    image: Pixels,
    rows: Sequence[Span],
    columns: Sequence[Span],
    mask: Ids,
    check: Callable[[], None],
) -> None:
    """Take from each tile what is nearer to its middle than to that of its neighbours."""
    for row in rows:
        for column in columns:
            part = _cut(image, row, column, check)
            ids = _of_size(runtime.classes(part[None]), part)
            (top, bottom), (left, right) = row.own, column.own
            mask[top:bottom, left:right] = ids[
                top - row.start : bottom - row.start, left - column.start : right - column.start
            ]


def _blend(
    runtime: Runtime,
    image: Pixels,
    rows: Sequence[Span],
    columns: Sequence[Span],
    mask: Ids,
    check: Callable[[], None],
    logits: Floats | None,
) -> None:
    """Fade logits into each other; `logits` are those of the first tile."""
    above: list[Floats] = []  # of the row of tiles above, what fades into this one, a piece for each column
    for row in rows:
        below: list[Floats] = []
        left: Floats | None = None
        for index, column in enumerate(columns):
            tile = _logits(runtime, image, row, column, check) if logits is None else logits
            logits = None
            _fade(tile, row, 1)
            _fade(tile, column, 2)
            if left is not None:
                tile[:, :, : left.shape[2]] += left
            done = column.fade_out[0] - column.fade_in[0]  # the columns that no later tile adds to
            left = tile[:, :, done:].copy()
            if above:
                tile[:, : above[index].shape[1], :done] += above[index]
            high = row.fade_out[0] - row.fade_in[0]
            below.append(tile[:, high:, :done].copy())
            for top in range(0, high, ARGMAX_ROWS):
                bottom = min(top + ARGMAX_ROWS, high)
                place = slice(column.fade_in[0], column.fade_out[0])
                mask[row.fade_in[0] + top : row.fade_in[0] + bottom, place] = tile[:, top:bottom, :done].argmax(axis=0)
        above = below


def _fade(tile: Floats, span: Span, axis: int) -> None:
    """Weigh both ends of a tile that is cut to what is used of it, in place."""
    for begin, end, rising in ((*span.fade_in, True), (*span.fade_out, False)):
        width = end - begin
        if width:
            ramp = (np.arange(width, dtype=np.float32) + 0.5) / width
            shape = [width if other == axis else 1 for other in range(3)]
            ends = [slice(None)] * 3
            ends[axis] = slice(0, width) if rising else slice(-width, None)
            tile[tuple(ends)] *= (ramp if rising else 1 - ramp).reshape(shape)


def _logits(runtime: Runtime, image: Pixels, row: Span, column: Span, check: Callable[[], None]) -> Floats:
    """Return the logits (K, h, w) of what is used of one tile, an array of its own."""
    part = _cut(image, row, column, check)
    logits: Floats = np.array(_of_size(runtime.logits(part[None]), part)[:, row.used, column.used])
    return logits


def _cut(image: Pixels, row: Span, column: Span, check: Callable[[], None]) -> Pixels:
    """Return what the network sees of the image in one tile, after the check that comes before each."""
    check()
    return np.ascontiguousarray(image[row.start : row.stop, column.start : column.stop])


def _of_size(output: NDArray[np.generic], part: Pixels) -> NDArray[np.generic]:
    if output.shape[0] != 1 or output.shape[-2:] != part.shape[:2]:
        found = f"an output of shape {list(output.shape)} for an image of {list(part.shape[:2])} (height, width)"
        raise ModelFileError(f"the network gave {found}", fix="export the model again")
    item: NDArray[np.generic] = output[0]
    return item


def _up(value: float) -> int:
    return math.ceil(value / ALIGN) * ALIGN


def _down(value: float) -> int:
    return int(value) // ALIGN * ALIGN
