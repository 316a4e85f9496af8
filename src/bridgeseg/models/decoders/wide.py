"""A decoder of many channels for CPUs (ours): as `light`, twice as wide, at about the same work.

A pointwise convolution costs the square of the width, and most of it at stride 4, where the pixels are. There is none:
the sum of the levels is only filtered channel by channel before the head.
"""

from __future__ import annotations

from torch import nn

from bridgeseg.extend import register_decoder
from bridgeseg.models.decoders._layers import conv_bn
from bridgeseg.models.decoders.light import LightDecoder


@register_decoder("wide")
class WideDecoder(LightDecoder):
    """Top-down at many channels, with a projection and a depthwise convolution alone at stride 4 (ours).

    Args:
        channels: widths of the features at strides 4, 8, 16, 32.
        width: width of all levels and of the output.
        dropout: probability of dropping a channel of the output in training.
    """

    def __init__(self, channels: list[int], width: int = 128, dropout: float = 0.1) -> None:
        super().__init__(channels, width, dropout)

    def _last(self, width: int) -> nn.Module:
        return conv_bn(width, width, 3, groups=width, act=False)
