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
from itertools import chain
from typing import Any, NamedTuple, cast

import numpy as np

from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.images import Pixels
from bridgeseg.runtime.runtimes import Greys, Ids, Runtime
from bridgeseg.runtime.windows import Joined, Window, blend, cut, highest, of_size

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
    def own(self) -> tuple[int, int]:
        """Begin and end of what this tile gives where tiles meet at a line, in pixels of the image."""
        return sum(self.fade_in) // 2, sum(self.fade_out) // 2

    @property
    def window(self) -> Window:
        """The tile as the walk over windows takes it: its weights rise and fall linearly."""
        begin, end = self.fade_in[0], self.fade_out[1]
        if self.fade_in == (begin, begin) and self.fade_out == (end, end):
            return Window(self.start, self.stop, begin, end)
        weights = np.ones(end - begin, np.float32)
        for first, last, rising in ((*self.fade_in, True), (*self.fade_out, False)):
            if width := last - first:
                ramp = (np.arange(width, dtype=np.float32) + 0.5) / width
                weights[first - begin : last - begin] = ramp if rising else 1 - ramp
        return Window(self.start, self.stop, begin, end, weights)

    @property
    def whole(self) -> Window:
        """The tile as the walk takes it where tiles meet at a line."""
        return Window(self.start, self.stop, *self.own)


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


def half(size: tuple[int, ...], classes: int, memory: int) -> int | None:
    """Return half of the MB that an image takes, of `memory` at most; None if that is less than the smallest tile."""
    height, width = size
    less = int(min(memory, height * width * _bytes(classes) / 1e6) / 2)
    return less if less >= _least(classes) else None


def _bytes(classes: int) -> int:
    return BYTES_PER_PIXEL + BYTES_PER_CLASS * classes


def _least(classes: int) -> int:
    return math.ceil(2 * _bytes(classes) * SMALLEST**2 / 1e6)


def plan(size: tuple[int, ...], classes: int, memory: int) -> Tiles | None:
    """Choose tiles so that the network stays within `memory` MB; None if none are needed.

    `size` is height and width of the image, `classes` how many classes the network has.

    Tiles use half of it, because seams need some too: 4 bytes for each class and pixel of them.

    Raises:
        ConfigError: not even the smallest tile fits.
    """
    height, width = size
    each = _bytes(classes)
    if height * width * each <= memory * 1e6:
        return None
    pixels = memory * 1e6 / 2 / each
    if pixels < SMALLEST**2:
        fix = f"allow more: `memory={_least(classes)}`"
        raise ConfigError(f"{memory} MB are too few for {classes} classes", where="memory", fix=fix)
    fade = FADE if 4 * classes * width * FADE <= memory * 1e6 / 4 else NARROW
    side = max(SMALLEST, _down(math.sqrt(pixels)))
    if min(height, width) < side:  # a long strip: tiles as high (or wide) as it, and longer
        longer = max(SMALLEST, _down(pixels / min(height, width)))
        return Tiles(height, longer, fade) if height < width else Tiles(longer, width, fade)
    return Tiles(side, side, fade)


def segment(
    runtime: Runtime,
    image: Pixels,
    classes: int,
    tiles: Tiles,
    check: Callable[[], None] | None = None,
    confidence: Greys | None = None,
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
        confidence: (H, W), is filled with how sure the network is; the runtime must have `with_confidence`.

    Returns:
        Class ids (H, W), uint8 (uint16 above 256 classes).
    """
    rows = spans(image.shape[0], tiles.height, tiles.fade)
    columns = spans(image.shape[1], tiles.width, tiles.fade)
    mask: Ids = np.zeros(image.shape[:2], np.uint8 if classes <= 256 else np.uint16)
    source = runtime if confidence is None else Joined(runtime)
    parts = blend(source, image, [row.window for row in rows], [column.window for column in columns], check)
    try:
        first = next(parts)
    except ModelFileError:  # the file gives no logits
        _meet(runtime, image, rows, columns, mask, check, confidence)
    else:
        highest(chain([first], parts), mask, confidence)
    return mask


def _meet(
    runtime: Runtime,
    image: Pixels,
    rows: Sequence[Span],
    columns: Sequence[Span],
    mask: Ids,
    check: Callable[[], None] | None,
    confidence: Greys | None,
) -> None:
    """Take from each tile what is nearer to its middle than to that of its neighbours."""
    for row in (span.whole for span in rows):
        for column in (span.whole for span in columns):
            part = cut(image, row, column, check)
            place = (slice(row.begin, row.end), slice(column.begin, column.end))
            if confidence is None:
                ids = runtime.classes(part[None])
            else:
                ids, sure = cast(Any, runtime).with_confidence("classes", part[None])
                confidence[place] = of_size(sure, part)[row.used, column.used]
            mask[place] = of_size(ids, part)[row.used, column.used]


def _up(value: float) -> int:
    return math.ceil(value / ALIGN) * ALIGN


def _down(value: float) -> int:
    return int(value) // ALIGN * ALIGN
