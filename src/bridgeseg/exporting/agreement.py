"""Does a file that was made of another one give the same class ids?"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bridgeseg.errors import ModelFileError
from bridgeseg.runtime.onnx_runtime import OnnxRuntime


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
