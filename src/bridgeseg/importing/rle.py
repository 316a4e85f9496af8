"""Run-length encodings of masks: those of COCO, CVAT and Label Studio. Sizes are checked before memory is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.images import DEFAULT_MAX_PIXELS
from bridgeseg.importing.model import Part, Unusable

Counts = NDArray[np.int64]


def coco(counts: Any, height: int, width: int) -> Callable[[], Part]:
    """Return what reads a mask of COCO: runs of 0 and 1 in turn, column after column, as a list or compressed to text.

    The text is that of cocoapi's `rleToString` (common/maskApi.c): groups of 5 bits, from the third run on the
    difference to the run before the last.

    Raises:
        Unusable: what is read then is no such mask, or of another size.
    """

    def read() -> Part:
        runs = _compressed(counts) if isinstance(counts, str) else _listed(counts)
        return _filled(runs, height * width).reshape(width, height).T

    return read


def rows(counts: Sequence[Any], height: int, width: int) -> Callable[[], Part]:
    """Return what reads a mask of CVAT: runs of 0 and 1 in turn, row after row; raises `Unusable` as `coco` does."""
    return lambda: _filled(_listed(counts), height * width).reshape(height, width)


def label_studio(packed: Any, height: int, width: int) -> Callable[[], Part]:
    """Return what reads a brush stroke of Label Studio: RGBA values in the packing of @thi.ng/rle-pack, alpha counts.

    Raises:
        Unusable: what is read then is no such packing, or of another size.
    """
    return lambda: _unpacked(packed, height * width * 4).reshape(height, width, 4)[..., 3] > 127


def _bound(pixels: int) -> None:
    if pixels > DEFAULT_MAX_PIXELS:
        raise Unusable(f"it has {pixels:,} pixels")


def _listed(counts: Any) -> Counts:
    try:
        if not isinstance(counts, Sequence) or not all(type(count) is int for count in counts):
            raise Unusable("its runs are no list of whole numbers")
        return np.array(counts, np.int64)
    except OverflowError as error:
        raise Unusable("one of its runs is longer than any image") from error


def _compressed(text: str) -> Counts:
    try:
        groups = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError as error:
        raise Unusable("its runs are no compressed text") from error
    if not groups.size:
        return np.zeros(0, np.int64)
    ends = np.flatnonzero((groups & 0x20) == 0)
    if int(groups.min()) < 0 or int(groups.max()) > 63 or not ends.size or int(ends[-1]) != len(groups) - 1:
        raise Unusable("its runs are no compressed text")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if int(lengths.max()) > 8:
        raise Unusable("one of its runs is longer than any image")
    place = np.arange(len(groups)) - np.repeat(starts, lengths)
    values = np.add.reduceat((groups & 0x1F) << (5 * place), starts)
    values -= np.where(groups[ends] & 0x10, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return np.asarray(values)


def _filled(runs: Counts, size: int) -> Part:
    _bound(size)
    if runs.size and int(runs.min()) < 0:
        raise Unusable("one of its runs is shorter than nothing")
    if runs.size > size + 2 or float(runs.astype(np.float64).sum()) != size:
        raise Unusable(f"its runs do not add up to the {size:,} pixels of its size")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)


def _unpacked(packed: Any, size: int) -> NDArray[np.uint8]:
    """Return the values of a packing: a head (how many values, bits of each, four widths of lengths), then blocks."""
    _bound(size // 4)
    try:
        bits = np.unpackbits(np.asarray(packed, np.uint8))
        if not (isinstance(packed, Sequence) and all(type(byte) is int for byte in packed)):
            raise TypeError
    except (TypeError, ValueError, OverflowError) as error:
        raise Unusable("its packing is no list of bytes") from error
    weights = (1 << np.arange(31, -1, -1)).astype(np.int64)
    place = 0

    def number(width: int) -> int:
        nonlocal place
        found = bits[place : place + width]
        if len(found) < width:
            raise Unusable("its packing ends too early")
        place += width
        return int(found @ weights[32 - width :])

    if number(32) != size:
        raise Unusable(f"its packing does not hold the {size // 4:,} pixels of its size")
    word = number(5) + 1
    widths = [number(4) + 1 for _ in range(4)]
    if word > 8:
        raise Unusable("its values have more than 8 bits")
    values, filled = np.zeros(size, np.uint8), 0
    while filled < size:
        repeated = number(1)
        count = number(widths[number(2)]) + 1
        if count > size - filled:
            raise Unusable("its packing holds more than its size")
        if repeated:
            values[filled : filled + count] = number(word)
        else:
            block = bits[place : place + count * word]
            if len(block) < count * word:
                raise Unusable("its packing ends too early")
            values[filled : filled + count] = block.reshape(count, word) @ weights[32 - word :]
            place += count * word
        filled += count
    return values
