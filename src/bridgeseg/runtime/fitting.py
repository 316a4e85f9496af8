"""Images of any size for a network of one size: scaled until they fit, filled up at the right and below."""

from __future__ import annotations

from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.pixels import Pixels

Numbers = TypeVar("Numbers", bound=NDArray[np.generic])


def fitted(image: Pixels, size: tuple[int, int]) -> tuple[Pixels, tuple[int, int]]:
    """Scale an image until it fits into a size, keeping its proportions, and fill up with its last column and row.

    Args:
        image: uint8 RGB (H, W, 3).
        size: (height, width) of what is returned.

    Returns:
        An image of this size, and (height, width) of the part of it, at the top left, that is the scaled image.
    """
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    part = (max(1, round(height * scale)), max(1, round(width * scale)))
    scaled = resized(image, part)
    return np.pad(scaled, ((0, size[0] - part[0]), (0, size[1] - part[1]), (0, 0)), mode="edge"), part


def resized(array: Numbers, size: tuple[int, int]) -> Numbers:
    """Return (H, W, 3) uint8 or (H, W) float32 at another (height, width), bilinear, antialiased when shrinking."""
    if array.shape[:2] == size:
        return array
    return cast(Numbers, np.asarray(Image.fromarray(array).resize(size[::-1], Image.Resampling.BILINEAR)))


def enlarged(maps: Numbers, size: tuple[int, int]) -> Numbers:
    """Return numbers of pixels (h, w) at another size (H, W): those of the nearest pixel."""
    places = (((np.arange(to) + 0.5) * (of / to)).astype(np.intp) for of, to in zip(maps.shape, size, strict=True))
    return cast(Numbers, maps[np.ix_(*places)])
