"""A decoder of few channels for CPUs (ours): top-down, every feature map brought to one width.

The only work at stride 4 is one projection, one depthwise and one pointwise convolution.
"""

from __future__ import annotations

from torch import Tensor, nn

from bridgeseg.extend import register_decoder
from bridgeseg.models.decoders._layers import Pyramid, separable


@register_decoder("light")
class LightDecoder(Pyramid):
    """Few channels, depthwise-separable, for CPU-class devices (ours).

    Args:
        channels: widths of the features at strides 4, 8, 16, 32.
        width: width of the output.
        dropout: probability of dropping a channel of the output in training.
    """

    def __init__(self, channels: list[int], width: int = 64, dropout: float = 0.1) -> None:
        super().__init__(channels, width)
        self.width = width
        self.refine = separable(width)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features at strides 4, 8, 16, 32 -> pixel features (B, width, H/4, W/4), signed."""
        refined: Tensor = self.dropout(self.refine(self.merge(features)))
        return refined
