"""A decoder of few channels for CPUs (ours): top-down, every feature map brought to one width.

The only work at stride 4 is one projection, one depthwise and one pointwise convolution.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.extend import register_decoder
from bridgeseg.models.decoders._layers import conv_bn


@register_decoder("light")
class LightDecoder(nn.Module):
    """Few channels, depthwise-separable, for CPU-class devices (ours).

    Args:
        channels: widths of the features at strides 4, 8, 16, 32.
        width: width of the output.
        dropout: probability of dropping a channel of the output in training.
    """

    def __init__(self, channels: list[int], width: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.lateral = nn.ModuleList(conv_bn(inputs, width, act=False) for inputs in channels)
        self.mix = nn.ModuleList(
            nn.Sequential(conv_bn(width, width, 3, groups=width), conv_bn(width, width, act=False))
            for _ in channels[1:3]
        )
        self.refine = self._last(width)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features at strides 4, 8, 16, 32 -> pixel features (B, width, H/4, W/4), signed."""
        sides = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        merged = sides[-1]
        for index in (2, 1):
            merged = sides[index] + F.interpolate(merged, scale_factor=2.0, mode="nearest")
            merged = merged + self.mix[index - 1](merged)
        merged = F.relu(sides[0] + F.interpolate(merged, scale_factor=2.0, mode="nearest"))
        refined: Tensor = self.dropout(self.refine(merged))
        return refined

    def _last(self, width: int) -> nn.Module:
        """Build what is computed at stride 4 after the sum."""
        return nn.Sequential(conv_bn(width, width, 3, groups=width), conv_bn(width, width, act=False))
