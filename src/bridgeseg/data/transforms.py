"""Training augmentation: random scale, crop, rotation, flip and colours, in about a millisecond an image.

The pipeline is the one of MMSegmentation and DenseCLIP (random resize, random crop with a limit on the share of one
class, flip, photometric distortion), in an order that saves work: the crop is chosen first, in the pixels of the
source, only that region is turned and resized, and colours change on the crop. Up to the rounding of the crop's place
to whole source pixels this gives what resizing the whole image and then cropping would give. Resizing uses
torchvision's v2 kernel; every random number comes from the generator that the caller passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from bridgeseg.classes import IGNORE_INDEX
from bridgeseg.data.photometric import photometric
from bridgeseg.data.turning import turned
from bridgeseg.errors import ConfigError
from bridgeseg.settings.augment import AugmentConfig

__all__ = ["AugmentConfig", "TrainTransform", "photometric"]


class TrainTransform:
    """Augments one image and its mask, called as `transform(image, mask, generator)`.

    Args:
        config: what to do and how much.
        ignore_index: value of padded mask pixels.
        class_weights: K numbers, how often a rare-class crop asks for each class (e.g. inverse frequency); needed when
            `config.rare_class_prob` is above 0.

    Raises:
        ConfigError: rare-class crops without usable class weights.
    """

    def __init__(
        self, config: AugmentConfig, ignore_index: int = IGNORE_INDEX, class_weights: Sequence[float] | None = None
    ) -> None:
        if config.rare_class_prob > 0 and class_weights is None:
            message = "rare_class_prob is set, but there are no class weights"
            raise ConfigError(message, fix="pass class_weights, or set rare_class_prob to 0")
        self.config, self.ignore_index = config, ignore_index
        self.class_weights = None if class_weights is None else _checked(class_weights)

    def __call__(
        self, image: Tensor, mask: Tensor, generator: torch.Generator, around: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return a crop of `config.crop_size`; where the scaled image is smaller, padded at the bottom and the right.

        Args:
            image: uint8 (3, H, W).
            mask: integers (H, W), class ids or the ignore index.
            generator: source of all random numbers.
            around: class id that the crop is drawn around a pixel of, whatever `rare_class_prob` is.

        Returns:
            image uint8 (3, h, w), mask (h, w) of the input's type.
        """
        scale_draw, flip_draw, rare_draw = torch.rand(3, generator=generator).tolist()
        low, high = self.config.scale
        rows, cols = (
            Extent.of(size, crop, low + (high - low) * scale_draw)
            for size, crop in zip(mask.shape, self.config.crop, strict=True)
        )
        if around is None and rare_draw < self.config.rare_class_prob:
            around = self._rare_class(mask, generator)
        anchor = None if around is None else _pixel_of(mask, around, generator)
        top, left, crop = self._choose(mask, rows, cols, anchor, generator)
        region = image[:, top : top + rows.source, left : left + cols.source]
        if self.config.rotate > 0:
            degrees = self.config.rotate * (2 * float(torch.rand((), generator=generator)) - 1)
            box = (top, left, rows.source, cols.source)
            region, labels = turned(image, mask, box, degrees, self.config.pad_colour, self.ignore_index)
            crop = labels[rows.nearest(0)][:, cols.nearest(0)]
        pixels = _resize(region, rows.target, cols.target)
        if flip_draw < self.config.flip:
            pixels, crop = pixels.flip(-1), crop.flip(-1)
        pixels = photometric(pixels, self.config, generator)
        return self._pad(pixels, crop)

    def _choose(
        self, mask: Tensor, rows: Extent, cols: Extent, anchor: tuple[int, int] | None, generator: torch.Generator
    ) -> tuple[int, int, Tensor]:
        """Return (top, left) in source pixels and the resized mask of a crop that no class fills."""
        for attempt in range(self.config.tries):
            down, right = torch.rand(2, generator=generator).tolist()
            top = rows.start(down, None if anchor is None else anchor[0])
            left = cols.start(right, None if anchor is None else anchor[1])
            crop = mask[rows.nearest(top)][:, cols.nearest(left)]
            last = attempt == self.config.tries - 1
            if last or self.config.cat_max_ratio >= 1.0 or self._largest_share(crop) < self.config.cat_max_ratio:
                break
        return top, left, crop

    def _largest_share(self, crop: Tensor) -> float:
        """Return the share of the most frequent class among the labelled pixels; 1 where there are none."""
        counts = torch.bincount(crop.flatten(), minlength=self.ignore_index + 1)
        counts[self.ignore_index] = 0
        labelled = int(counts.sum())
        return int(counts.max()) / labelled if labelled else 1.0

    def _rare_class(self, mask: Tensor, generator: torch.Generator) -> int | None:
        """Return a class drawn by weight among those present, None if none of them has weight."""
        if self.class_weights is None:
            return None
        count = len(self.class_weights)
        present = torch.bincount(mask.flatten(), minlength=count)[:count] > 0
        weights = self.class_weights * present
        if not bool(weights.any()):
            return None
        return int(torch.multinomial(weights, 1, generator=generator))

    def _pad(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        height, width = self.config.crop
        h, w = mask.shape
        if (h, w) == (height, width):
            return image, mask
        canvas = torch.tensor(self.config.pad_colour, dtype=torch.uint8)[:, None, None].repeat(1, height, width)
        canvas[:, :h, :w] = image
        labels = torch.full((height, width), self.ignore_index, dtype=mask.dtype)
        labels[:h, :w] = mask
        return canvas, labels


@dataclass(frozen=True)
class Extent:
    """One axis of a crop: `source` of the image's `size` pixels become `target` pixels of the crop."""

    size: int
    source: int
    target: int

    @classmethod
    def of(cls, size: int, crop: int, scale: float) -> Extent:
        """Return the extent of a crop of `crop` pixels on an axis of `size` pixels scaled by `scale`."""
        scaled = max(1, round(size * scale))
        if scaled <= crop:
            return cls(size, size, scaled)
        return cls(size, min(size, max(1, round(crop / scale))), crop)

    def start(self, draw: float, anchor: int | None) -> int:
        """Return the first source pixel for a draw of [0, 1), such that the source pixel `anchor` lies in the crop."""
        low, high = 0, self.size - self.source
        if anchor is not None:
            low, high = max(low, anchor - self.source + 1), min(high, anchor)
        return low + math.floor(draw * (high - low + 1))

    def nearest(self, start: int) -> Tensor:
        """Return the source index of every target pixel: the one its centre falls into."""
        return start + ((torch.arange(self.target) * 2 + 1) * self.source) // (2 * self.target)


def _pixel_of(mask: Tensor, chosen: int, generator: torch.Generator) -> tuple[int, int] | None:
    """Return a random pixel (row, column) of a class, None if there is none."""
    pixels = (mask.flatten() == chosen).nonzero()
    if not len(pixels):
        return None
    return divmod(int(pixels[int(torch.randint(len(pixels), (1,), generator=generator))]), mask.shape[1])


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    """Return uint8 (3, height, width), bilinear with antialiasing.

    The colours of a pixel are laid side by side first: of torch's two kernels this picks the same one for every input,
    and the other one fails on images that shrink to a single pixel.
    """
    interleaved = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    resized: Tensor = v2.resize_image(interleaved, [height, width], InterpolationMode.BILINEAR, antialias=True)
    return resized


def _checked(class_weights: Sequence[float]) -> Tensor:
    weights = torch.as_tensor(class_weights, dtype=torch.float64)
    if weights.ndim != 1 or not bool(weights.isfinite().all() and (weights >= 0).all() and weights.sum() > 0):
        message = f"class weights must be finite, not negative and not all 0, found {weights.tolist()}"
        raise ConfigError(message, fix="pass one weight per class, e.g. the inverse of its share of pixels")
    return weights
