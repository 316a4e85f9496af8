"""What files are timed on: an image with regions in it.

A file takes longer where many classes meet (`bridgeseg.exporting.tail`), and on noise they meet everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PATCHES = 8


def sample_image(height: int, width: int) -> NDArray[np.uint8]:
    """Return uint8 RGB (height, width, 3): patches of random colours, eight each way, that run into each other."""
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 256, (PATCHES, PATCHES, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC))
