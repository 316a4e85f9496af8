"""A linear classifier that is made of the names: no image has a say in it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bridgeseg.extend import register_head
from bridgeseg.models.base import Head


class TextHead(Head):
    """A 1x1 convolution whose rows and biases are linear in the class tokens as they are before they see an image.

    Folded, it is a convolution like that of the linear head.

    Args:
        width: width C of the pixel features.
        token_dim: width d of the class tokens.
    """

    reads_tokens, reads_words = False, True

    def __init__(self, width: int, token_dim: int) -> None:
        super().__init__()
        self.rows = nn.Linear(token_dim, width, bias=False)  # what all classes have in common decides nothing
        self.bias = nn.Linear(token_dim, 1, bias=False)
        self.scale = width**-0.5  # logits of about unit deviation at the start
        self.conv: nn.Conv2d | None = None

    def forward(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """pixels (B, C, h, w), tokens (B or 1, K, d) -> logits (B, K, h, w)."""
        if self.conv is not None:
            folded: Tensor = self.conv(pixels)
            return folded
        logits: Tensor = (self.rows(tokens) * self.scale) @ pixels.flatten(2) + self.bias(tokens)
        return logits.reshape(pixels.shape[0], -1, *pixels.shape[-2:])

    def settle(self, words: Tensor) -> None:
        """Become the convolution of these names, (K, d)."""
        if self.conv is not None:
            return
        with torch.no_grad():
            rows, bias = self.rows(words) * self.scale, self.bias(words)[:, 0]
            self.conv = nn.Conv2d(rows.shape[1], len(rows), 1).to(rows)
            self.conv.load_state_dict({"weight": rows[..., None, None], "bias": bias})
        del self.rows, self.bias


@register_head("text", needs_tokens=True)
def text(width: int, classes: int, token_dim: int) -> TextHead:
    """Build the head for pixel features of `width` channels and class tokens of `token_dim`."""
    return TextHead(width, token_dim)
