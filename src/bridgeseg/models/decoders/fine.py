"""The light decoder with its last step at stride 2, where thin things have cells of their own (ours)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.extend import register_decoder
from bridgeseg.models.decoders._layers import Pyramid, conv_bn, separable


@register_decoder("fine")
class FineDecoder(Pyramid):
    """Few channels at strides 4 to 32, a quarter of them at stride 2, for CPU-class devices (ours).

    Args:
        channels: widths of the features at strides 2, 4, 8, 16, 32.
        width: width of the output.
        dropout: probability of dropping a channel of the output in training.
    """

    strides = (2, 4, 8, 16, 32)
    stride = 2

    def __init__(self, channels: list[int], width: int = 16, dropout: float = 0.1) -> None:
        super().__init__(channels[1:], 4 * width)
        self.width = width
        self.narrow = conv_bn(4 * width, width, act=False)
        self.finest = conv_bn(channels[0], width, act=False)
        self.sharpen = separable(width)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features at strides 2, 4, 8, 16, 32 -> pixel features (B, width, H/2, W/2), signed."""
        coarse = F.interpolate(self.narrow(self.merge(features[1:])), scale_factor=2.0, mode="nearest")
        sharp: Tensor = self.dropout(self.sharpen(F.relu(self.finest(features[0]) + coarse)))
        return sharp
