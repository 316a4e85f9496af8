"""Heads: pixel features -> logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearHead(nn.Module):
    """One 1x1 convolution per class; knows the number and the order of the classes, and nothing of their names."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, classes, 1)

    def forward(self, pixels: Tensor, tokens: Tensor | None = None) -> Tensor:
        """pixels (B, C, h, w) -> logits (B, K, h, w); tokens are not used."""
        logits: Tensor = self.conv(pixels)
        return logits


class PixelTextHead(nn.Module):
    """Cosine of every pixel with every class, over a temperature (LSeg, arXiv 2201.03546; CLIP, arXiv 2103.00020).

    The tokens are brought to the width of the pixels, not the other way round: K vectors instead of h*w. The norm of a
    pixel divides its K logits instead of its C features, which is the same and cheaper.

    Args:
        width: width C of the pixel features.
        token_dim: width d of the class tokens.
        scale: 1 / temperature at the start (1/0.07 in the sources).
        learn_scale: train the temperature; never beyond 100, as in CLIP.
    """

    def __init__(self, width: int, token_dim: int, scale: float = 1 / 0.07, learn_scale: bool = True) -> None:
        super().__init__()
        self.project = nn.Linear(token_dim, width)
        self.log_scale = nn.Parameter(torch.tensor(scale).log(), requires_grad=learn_scale)

    def forward(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """pixels (B, C, h, w), tokens (B, K, d) -> logits (B, K, h, w) in [-scale, scale]."""
        names = nn.functional.normalize(self.project(tokens), dim=-1) * self.log_scale.exp().clamp(max=100.0)
        flat = pixels.flatten(2)
        # a product with ones, because ONNX Runtime sums over channels six times slower than it multiplies matrices
        squares = flat.new_ones(1, flat.shape[1]) @ (flat * flat)
        logits: Tensor = (names @ flat) * squares.clamp(min=1e-12).rsqrt()
        return logits.reshape(*logits.shape[:2], *pixels.shape[-2:])
