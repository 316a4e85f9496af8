"""How a file wants its images: as bytes or floats, channels last or first, of one size or of any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.errors import InputError

Signature = tuple[str, list[int | str | None]]
"""Type and shape of an input or output, such as ("uint8", ["batch", "height", "width", 3])."""
KINDS = ("uint8", "float")


@dataclass(frozen=True)
class Taking:
    """What the input `image` of a file is.

    Attributes:
        kind: `uint8`, or `float` for float32; of the same values, 0 to 255.
        channels_first: whether images are (B, 3, H, W) in place of (B, H, W, 3).
        batch: the only number of images that it takes at a time; None for any.
        size: (height, width) of the only images that it takes; None for any.
    """

    kind: str = "uint8"
    channels_first: bool = False
    batch: int | None = None
    size: tuple[int, int] | None = None

    @classmethod
    def of(cls, inputs: Mapping[str, Signature]) -> Taking | None:
        """Read it from the inputs of a file; None if there is no `image`, or it is none that this package writes."""
        kind, shape = inputs.get("image", ("", []))
        if kind not in KINDS or len(shape) != 4 or 3 not in (shape[1], shape[3]):
            return None
        first = shape[3] != 3
        batch, height, width = (side if isinstance(side, int) else None for side in _three(shape, first))
        if (height is None) != (width is None) or (height is None and batch is not None):
            return None
        return cls(kind, first, batch, None if height is None or width is None else (height, width))

    def batches(self, images: NDArray[np.uint8]) -> Iterator[NDArray[Any]]:
        """Yield images (B, H, W, 3) uint8 RGB as the file takes them, as many at a time as it takes.

        Raises:
            InputError: they have another size.
        """
        if self.size is not None and images.shape[1:3] != self.size:
            found, only = ("x".join(map(str, size)) for size in (images.shape[1:3], self.size))
            message = f"an image of {found} (height x width) for a file that takes {only} only"
            fix = f"resize it to {only}, take windows of that size (`window={only}`), or export again without a size"
            raise InputError(message, fix=fix)
        step = self.batch or max(1, len(images))
        for start in range(0, max(1, len(images)), step):
            part = images[start : start + step]
            if self.channels_first:
                part = np.ascontiguousarray(part.transpose(0, 3, 1, 2))
            yield part.astype(np.float32) if self.kind == "float" else part


def _three(shape: list[int | str | None], first: bool) -> list[int | str | None]:
    return [shape[0], *shape[2:]] if first else shape[:3]
