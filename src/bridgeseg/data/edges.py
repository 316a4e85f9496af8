"""Values that a mask got from smooth resizing: 1 on the edges between 0 and 2, where no object has it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 256
"""Side of the middle part of a mask that is looked at, in pixels: smooth resizing shows everywhere."""
LEAST_PIXELS = 16
MOST_PIXELS = 0.15
"""Share of a mask that blends take at most: edges are thin."""
LEAST_SHARE = 0.9
"""Of a value's pixels in a mask lie between others, above which the value is taken for a blend of these."""
REACH = (1, 2)
"""Pixels to both sides that a value is compared with: enlarging repeats blends."""


def blended_values(values: NDArray[Any]) -> frozenset[int]:
    """Return the values of a mask (H, W) nearly all of whose pixels lie between a smaller and a larger value.

    A thin object is not of this kind, unless it separates a smaller and a larger id all along.
    """
    top, left = (max(0, (size - WINDOW) // 2) for size in values.shape)
    part = values[top : top + WINDOW, left : left + WINDOW]
    if part.dtype.kind not in "ui" or int(part.min()) < 0 or int(part.max()) > 65535:
        return frozenset()
    total = np.bincount(part.ravel())
    present = np.flatnonzero(total)
    if len(present) < 3:
        return frozenset()
    between = np.zeros(part.shape, bool)
    for axis in (0, 1):
        seen, flat = np.moveaxis(between, axis, 0), np.moveaxis(part, axis, 0)
        for reach in REACH:
            before, here, after = flat[: -2 * reach], flat[reach:-reach], flat[2 * reach :]
            seen[reach:-reach] |= ((before < here) & (here < after)) | ((before > here) & (here > after))
    blended = np.bincount(part[between], minlength=len(total))
    suspect = (total >= LEAST_PIXELS) & (total <= MOST_PIXELS * part.size) & (blended >= LEAST_SHARE * total)
    return frozenset(np.flatnonzero(suspect).tolist())


def without_values(values: NDArray[Any], unwanted: frozenset[int]) -> NDArray[Any]:
    """Return a mask (H, W) in which pixels of unwanted values have a value of the nearest other pixel."""
    open_ = np.isin(values, sorted(unwanted))
    if not unwanted or bool(open_.all()):
        return values
    filled = values.copy()
    while bool(open_.any()):
        closed = ~open_
        for axis, step in ((0, 1), (1, 1), (0, -1), (1, -1)):
            near, known = np.roll(filled, step, axis), np.roll(closed, step, axis)
            known[(slice(None),) * axis + ((0 if step > 0 else -1),)] = False  # what was rolled over the border
            take = open_ & known
            filled[take] = near[take]
            open_ &= ~take
    return filled
