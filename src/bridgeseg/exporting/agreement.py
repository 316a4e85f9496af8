"""Does a file that was made of another one give the same class ids?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridgeseg.errors import ModelFileError
from bridgeseg.runtime.fitting import resized
from bridgeseg.runtime.onnx_runtime import OnnxRuntime

AGREEMENT = 0.999
SIZES = ((64, 96), (33, 65), (200, 31))
"""(height, width) of the images that files of free size are compared on."""


def same_ids(before: OnnxRuntime, after: OnnxRuntime, batches: Iterable[NDArray[np.uint8]], what: str) -> float:
    """Return the share of pixels, 0 to 1, with the same class id.

    Args:
        before: the file that `after` was made of.
        after: the file that is compared with it.
        batches: images (B, H, W, 3) uint8 RGB, at least one.
        what: `after`, as an error calls it.

    Raises:
        ModelFileError: the ids have another shape or type.
    """
    equal = total = 0
    for images in batches:
        first, second = before.classes(images), after.classes(images)
        if first.shape != second.shape or first.dtype != second.dtype:
            found = f"ids {second.dtype} {second.shape} in place of {first.dtype} {first.shape}"
            raise ModelFileError(f"the {what} gives {found}", where=before.path, fix="report this")
        equal += int(np.count_nonzero(first == second))
        total += first.size
    return equal / total


def check_same_ids(
    before: OnnxRuntime, after: OnnxRuntime, sizes: Sequence[tuple[int, int]] = SIZES, name: Path | None = None
) -> float:
    """Compare two files on images of large spots of colour.

    Args:
        before: the file that `after` was made of.
        after: the file that is compared with it.
        sizes: (height, width) of the images.
        name: the file that an error names; by default `after`.

    Returns:
        The share of pixels, 0 to 1, with the same class id.

    Raises:
        ModelFileError: it is below `AGREEMENT`, or the ids have another shape or type.
    """
    agreement = same_ids(before, after, (_spots(*size)[None] for size in sizes), "new file")
    if agreement < AGREEMENT:
        message = f"the new file gives the ids of the one it is made of on {agreement:.2%} of the pixels only"
        raise ModelFileError(message, where=name or after.path, fix="report this with the backbone's name")
    return agreement


def _spots(height: int, width: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(height).integers(0, 256, (max(1, height // 16), max(1, width // 16), 3), np.uint8)
    return resized(coarse, (height, width))
