"""One convolution per class."""

from __future__ import annotations

from torch import Tensor, nn

from bridgeseg.extend import register_head
from bridgeseg.models.base import Head


class LinearHead(Head):
    """One 1x1 convolution per class; knows the number and the order of the classes, and nothing of their names."""

    reads_tokens = False

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, classes, 1)

    def forward(self, pixels: Tensor, tokens: Tensor | None = None) -> Tensor:
        """pixels (B, C, h, w) -> logits (B, K, h, w); tokens are not used."""
        logits: Tensor = self.conv(pixels)
        return logits


@register_head("linear", needs_tokens=False)
def linear(width: int, classes: int, token_dim: int) -> LinearHead:
    """Build the head for pixel features of `width` channels."""
    return LinearHead(width, classes)
