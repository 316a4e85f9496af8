"""Training crops that are turned: only as much of the image is turned as can come into the crop."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2


def turned(
    image: Tensor, mask: Tensor, box: tuple[int, int, int, int], degrees: float, colour: Sequence[int], ignore: int
) -> tuple[Tensor, Tensor]:
    """Return the pixels that a box holds once the image is turned about the box's centre.

    What comes from around the box is real; only beyond the image there is nothing, and it is filled. Angles,
    interpolation (bilinear for colours, nearest for class ids) and filling are those of torchvision's v2 kernels.

    Args:
        image: uint8 (3, H, W).
        mask: integers (H, W).
        box: top, left, height and width in pixels, inside the image.
        degrees: counter-clockwise.
        colour: RGB beyond the image.
        ignore: value of the mask there.

    Returns:
        image uint8 (3, height, width), mask (height, width) of the input's type.
    """
    top, left, height, width = box
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    down = max(0, math.ceil((height * cos + width * sin - height) / 2)) + 1
    right = max(0, math.ceil((width * cos + height * sin - width) / 2)) + 1
    first, start = max(0, top - down), max(0, left - right)
    rows, cols = slice(first, top + height + down), slice(start, left + width + right)
    centre = [left - start + width / 2, top - first + height / 2]
    pixels: Tensor = v2.rotate_image(
        image[:, rows, cols], degrees, InterpolationMode.BILINEAR, center=centre, fill=[float(c) for c in colour]
    )
    ids: Tensor = v2.rotate_mask(mask[rows, cols], degrees, center=centre, fill=ignore)
    inner = slice(top - first, top - first + height), slice(left - start, left - start + width)
    return pixels[:, inner[0], inner[1]], ids[inner]
