"""The crops of a training where `crop_size: auto` leaves them to the sizes of its images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

from bridgeseg.checking.examine import Job, examine
from bridgeseg.data.maskfile import most_values
from bridgeseg.data.spec import DataSpec
from bridgeseg.images import DEFAULT_MAX_PIXELS
from bridgeseg.settings.optimisation import CROP
from bridgeseg.settings.train import TrainConfig

STEP = 32
"""Sides of crops are multiples of the coarsest stride."""
LOOKED_AT = 1000
"""Images of each dataset whose headers are read."""
LEAST, MOST = 0.25, 0.5
"""Between which the smallest scale lies; the largest is four times that, so that 1 is always among them."""


def settled_crop(config: TrainConfig, specs: Sequence[DataSpec]) -> TrainConfig:
    """Return the settings with `augment.crop_size`, and `augment.scale` unless it was given, in place of `auto`.

    A crop has the shape of the median training image and as many pixels as the default, so that a step takes as long,
    but no more than the image. At the smallest scale it shows the whole image, if that scale is not below a quarter.

    Args:
        config: the settings; others than `auto` stay as they are.
        specs: the datasets.
    """
    if config.augment.crop_size is not None:
        return config
    sizes = [size for spec in specs for size in _sizes(config, spec)]
    height, width = (round(median(sides)) for sides in zip(*sizes, strict=True)) if sizes else CROP
    crop, scale = chosen(height, width)
    given = "scale" in config.augment.model_fields_set
    changes = {"crop_size": crop} if given else {"crop_size": crop, "scale": scale}
    return config.model_copy(update={"augment": config.augment.model_copy(update=changes)})


def chosen(height: int, width: int) -> tuple[tuple[int, int], tuple[float, float]]:
    """Return the size of crops, and the range of scales, for images of a size.

    >>> chosen(360, 480), chosen(1024, 2048)
    (((256, 320), (0.5, 2.0)), ((192, 416), (0.25, 1.0)))
    """
    pixels = min(CROP[0] * CROP[1], height * width)
    ideal = math.sqrt(pixels * height / width), math.sqrt(pixels * width / height)
    rows, columns = (max(1, round(side / STEP)) * STEP for side in ideal)
    low = round(min(MOST, max(LEAST, min(rows / height, columns / width))), 3)
    return (rows, columns), (low, 4 * low)


def told(config: TrainConfig) -> str:
    """Say which crops were chosen."""
    (height, width), (low, high) = config.augment.crop, config.augment.scale
    return f"crops by the sizes of the training images: {height}x{width} pixels, images scaled by {low:g} to {high:g}"


def _sizes(config: TrainConfig, spec: DataSpec) -> Iterator[tuple[int, int]]:
    """Yield height and width of training images, as their headers have them."""
    most = most_values(spec)
    samples = [sample for split in config.train_splits for sample in spec.samples(split)]
    for sample in samples[:: max(1, -(-len(samples) // LOOKED_AT))]:
        image, _ = examine(Job(sample.image, sample.mask, "headers", False, most, DEFAULT_MAX_PIXELS, spec.reading))
        if image.size is not None:
            yield image.size[1], image.size[0]
