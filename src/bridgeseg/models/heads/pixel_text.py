"""Every pixel against every class token."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.extend import register_head
from bridgeseg.models.base import Head, full_precision


class PixelTextHead(Head):
    """Cosine of every pixel with every class, over a temperature (LSeg, arXiv 2201.03546; CLIP, arXiv 2103.00020).

    The tokens are brought to the width of the pixels, not the other way round: K vectors instead of h*w.

    Args:
        width: width C of the pixel features.
        token_dim: width d of the class tokens.
        scale: 1 / temperature at the start (1/0.07 in the sources); trained, unless `model.temperature` is fixed, and
            never beyond 100, as in CLIP.
    """

    def __init__(self, width: int, token_dim: int, scale: float = 1 / 0.07) -> None:
        super().__init__()
        self.project = nn.Linear(token_dim, width)
        self.log_scale = nn.Parameter(torch.tensor(scale).log())

    def forward(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """pixels (B, C, h, w), tokens (B, K, d) -> logits (B, K, h, w) in [-scale, scale]."""
        names = F.normalize(self.project(tokens), dim=-1) * self.log_scale.exp().clamp(max=100.0)
        return similarity(pixels, names)

    def temperatures(self) -> list[nn.Parameter]:
        """Return the temperature of the logits."""
        return [self.log_scale]


@register_head("pixel-text", needs_tokens=True)
def pixel_text(width: int, classes: int, token_dim: int) -> PixelTextHead:
    """Build the head for pixel features of `width` channels and class tokens of `token_dim`."""
    return PixelTextHead(width, token_dim)


def similarity(pixels: Tensor, names: Tensor) -> Tensor:
    """Products of unit pixels with names: pixels (B, C, h, w), names (B, K, C) or (K, C) -> (B, K, h, w).

    The length of a pixel divides its C features or its K products, whichever are fewer; more products than features
    are made pixel by pixel, the order in which `bridgeseg.exporting.tail` looks for the largest of them.
    """
    flat, (classes, width) = pixels.flatten(2), names.shape[-2:]
    with full_precision(flat.device):
        if mixed := flat.dtype is torch.float16 and names.dtype is torch.float32:  # squares leave the range of 16 bits
            flat = flat.float()
        # a product with ones, because ONNX Runtime sums over channels six times slower than it multiplies matrices
        squares = flat.new_ones(1, width) @ (flat * flat)
        inverse = squares.clamp(min=1e-12).rsqrt()
    if classes > width or mixed:
        products = ((flat * inverse).transpose(1, 2) @ names.transpose(-1, -2)).transpose(1, 2)
    else:
        products = (names @ flat) * inverse
    return products.reshape(pixels.shape[0], classes, *pixels.shape[-2:])
