"""The one walk over windows: a network sees an image piece by piece, and what overlaps is averaged on the way.

Tiles (`tiling`) and sliding windows differ in where pieces lie and how they are weighted, and in nothing else. The
logits of the whole image are never in memory: at most those of one window and of what later windows overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.errors import ModelFileError
from bridgeseg.images import Pixels
from bridgeseg.runtime.runtimes import Greys, Ids, Runtime

Floats = NDArray[np.float32]
ARGMAX_ROWS = 32
"""Rows whose highest logit is looked for at a time: numpy copies what it looks through."""


@dataclass(frozen=True, eq=False)
class Window:
    """One window along one axis; all are pixels of the image.

    Attributes:
        start: first pixel that the network sees.
        stop: end of what it sees.
        begin: first pixel that is used; never before that of the window before.
        end: end of what is used; likewise.
        weights: share of this window in the average, for each pixel used; None for 1.
    """

    start: int
    stop: int
    begin: int
    end: int
    weights: Floats | None = None

    @property
    def used(self) -> slice:
        """What is used of the window, in its own pixels."""
        return slice(self.begin - self.start, self.end - self.start)


def sliding(length: int, window: int) -> list[Window]:
    """Cover `length` pixels with windows two thirds of a window apart, the last one shifted back; all weigh the same.

    >>> [(one.start, one.stop) for one in sliding(11, 6)]
    [(0, 6), (4, 10), (5, 11)]
    """
    stride = max(1, window * 2 // 3)
    steps = math.ceil(max(length - window, 0) / stride) + 1
    starts = [max(0, min(step * stride, length - window)) for step in range(steps)]
    hits = np.zeros(length, np.float32)
    for start in starts:
        hits[start : start + window] += 1
    ends = [min(start + window, length) for start in starts]
    if len(starts) == 1:
        return [Window(0, length, 0, length)]
    return [
        Window(start, end, start, end, np.reciprocal(hits[start:end])) for start, end in zip(starts, ends, strict=True)
    ]


def blend(
    runtime: Runtime,
    image: Pixels,
    rows: Sequence[Window],
    columns: Sequence[Window],
    check: Callable[[], None] | None = None,
) -> Iterator[tuple[slice, slice, Floats]]:
    """Run the network on every window and average the logits.

    Args:
        runtime: what runs the network.
        image: uint8 RGB (H, W, 3).
        rows: windows that cover its height; their weights sum to 1 in every pixel.
        columns: windows that cover its width, likewise.
        check: called before each window; what it raises ends the work.

    Yields:
        Rows, columns and logits (K, h, w) of one finished part of the image after the other; together they cover it,
        and no pixel comes twice.

    Raises:
        ModelFileError: the file gives no logits, or logits of another size than the image.
    """
    above: list[Floats | None] = [None] * len(columns)  # what later rows of windows overlap, a piece for each column
    for row, high in zip(rows, _own(rows), strict=True):
        left: Floats | None = None  # what later windows of this row overlap
        for index, (column, wide) in enumerate(zip(columns, _own(columns), strict=True)):
            part = cut(image, row, column, check)
            logits: Floats = np.array(of_size(runtime.logits(part[None]), part)[:, row.used, column.used])
            if row.weights is not None:
                logits *= row.weights[:, None]
            if column.weights is not None:
                logits *= column.weights
            if left is not None:
                logits[:, :, : left.shape[2]] += left
            left = logits[:, :, wide:].copy()
            if (over := above[index]) is not None:
                logits[:, : over.shape[1], :wide] += over
            above[index] = logits[:, high:, :wide].copy()
            yield (
                slice(row.begin, row.begin + high),
                slice(column.begin, column.begin + wide),
                logits[:, :high, :wide],
            )
            del logits, part


class Joined:
    """A runtime whose logits have one more channel, its confidence: what averages the one averages the other.

    Args:
        runtime: one that has `with_confidence`.
    """

    def __init__(self, runtime: Any) -> None:
        self._runtime, self.classes = runtime, runtime.classes

    def logits(self, images: NDArray[np.uint8], /) -> Floats:
        """Turn images (B, H, W, 3) uint8 RGB into logits and confidence, 0 to 255, (B, K + 1, H, W) float32."""
        logits, confidence = self._runtime.with_confidence("logits", images)
        return np.concatenate([logits, confidence[:, None].astype(np.float32)], axis=1)


def highest(parts: Iterator[tuple[slice, slice, Floats]], mask: Ids, confidence: Greys | None = None) -> None:
    """Write the class of the highest logit of every part that `blend` gives into a mask (H, W).

    Args:
        parts: what `blend` gives.
        mask: (H, W).
        confidence: (H, W), for the last channel of a `Joined` runtime.
    """
    for rows, columns, logits in parts:
        for top in range(0, logits.shape[1], ARGMAX_ROWS):
            some = logits[:, top : top + ARGMAX_ROWS]
            begin = rows.start + top
            place = (slice(begin, begin + some.shape[1]), columns)
            if confidence is not None:
                confidence[place] = (some[-1] + 0.5).astype(np.uint8)
                some = some[:-1]
            mask[place] = some.argmax(axis=0)


def cut(image: Pixels, row: Window, column: Window, check: Callable[[], None] | None = None) -> Pixels:
    """Return what the network sees of the image in one window, after the check that comes before each."""
    if check is not None:
        check()
    return np.ascontiguousarray(image[row.start : row.stop, column.start : column.stop])


def of_size(output: NDArray[np.generic], part: Pixels) -> NDArray[np.generic]:
    """Return the one item of a batch of class ids or logits, whose last two axes must be those of the image.

    Raises:
        ModelFileError: they are not.
    """
    if output.shape[0] != 1 or output.shape[-2:] != part.shape[:2]:
        found = f"an output of shape {list(output.shape)} for an image of {list(part.shape[:2])} (height, width)"
        raise ModelFileError(f"the network gave {found}", fix="export the model again")
    item: NDArray[np.generic] = output[0]
    return item


def _own(windows: Sequence[Window]) -> list[int]:
    """Return for each window how many of its pixels, from where it begins, no later window adds to."""
    ends = [*(window.begin for window in windows[1:]), windows[-1].end]
    return [end - window.begin for window, end in zip(windows, ends, strict=True)]
