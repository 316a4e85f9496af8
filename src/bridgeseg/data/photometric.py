"""Random brightness, contrast, saturation and hue, as one linear map of the colours of an image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bridgeseg.settings.augment import AugmentConfig, Range

_LUMA = torch.tensor([0.299, 0.587, 0.114])
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_RGB: Tensor = torch.linalg.inv(_YIQ)


def photometric(image: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast, saturation and hue, each with probability `config.photometric`.

    The ranges are those of SSD's code (arXiv 1512.02325) and MMSegmentation. Here all four are linear in (R, G, B), so
    that together they cost one pass: brightness adds to the values, contrast multiplies them, saturation scales their
    distance to the luma (ITU-R BT.601), hue turns the chroma plane of YIQ (the sources use HSV for the last two).

    Args:
        image: uint8 (3, h, w).
        config: probabilities and ranges.
        generator: source of random numbers; the same count is drawn whatever is changed.

    Returns:
        uint8 (3, h, w); the input itself if nothing is changed.
    """
    draws = torch.rand(8, generator=generator).tolist()
    chosen = [draw < config.photometric for draw in draws[:4]]
    if not any(chosen):
        return image
    matrix, shift = torch.eye(3), torch.zeros(3)
    if chosen[0]:
        shift = shift + config.brightness * (2 * draws[4] - 1)
    if chosen[1]:
        factor = _between(config.contrast, draws[5])
        matrix, shift = matrix * factor, shift * factor
    if chosen[2]:
        matrix = _saturation(_between(config.saturation, draws[6])) @ matrix
    if chosen[3]:
        matrix = _hue(config.hue * (2 * draws[7] - 1)) @ matrix
    return apply_colours(image, matrix, shift)


def apply_colours(image: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Return `matrix @ colour + shift` of every pixel, rounded and clamped to 0..255.

    Channel by channel and not as one matrix product: a product's rounding changes with the number of threads.

    Args:
        image: uint8 (3, h, w).
        matrix: float32 (3, 3).
        shift: float32 (3,), grey levels.
    """
    red, green, blue = image.to(torch.float32, memory_format=torch.contiguous_format)
    changed = torch.empty(image.shape, dtype=torch.float32)
    for channel, (row, offset) in enumerate(zip(matrix.tolist(), shift.tolist(), strict=True)):
        out = changed[channel]
        torch.mul(red, row[0], out=out)
        out.add_(green, alpha=row[1]).add_(blue, alpha=row[2]).add_(offset)
    return changed.round_().clamp_(0, 255).to(torch.uint8)


def _between(bounds: Range, draw: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * draw


def _saturation(factor: float) -> Tensor:
    return factor * torch.eye(3) + (1 - factor) * _LUMA.expand(3, 3)


def _hue(degrees: float) -> Tensor:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.tensor([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    return _RGB.matmul(turn).matmul(_YIQ)
