"""torchvision's decoder of LR-ASPP, to compare with (Howard et al., "Searching for MobileNetV3", arXiv 1905.02244)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.lraspp import LRASPPHead

from bridgeseg.extend import register_decoder


@register_decoder("torchvision:lraspp")
class LRASPP(nn.Module):
    """Lite R-ASPP: gated deep features beside those of stride 8, on a backbone dilated to stride 16.

    torchvision adds two classifiers, one of each part; the linear head over both parts side by side is the same sum.

    Args:
        channels: widths of the features at strides 4, 8, 16, 16.
        width: channels of the deep features; the output has those of stride 8 as well.
        dropout: probability of dropping a channel of the output in training.
    """

    strides = (4, 8, 16, 16)
    stride = 8

    def __init__(self, channels: list[int], width: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        low, high = channels[1], channels[3]
        self.width = low + width
        parts = LRASPPHead(low, high, num_classes=1, inter_channels=width)
        self.cbr, self.scale = parts.cbr, parts.scale
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features at strides 4, 8, 16, 16 -> pixel features (B, width, H/8, W/8)."""
        low, high = features[1], features[3]
        deep = F.interpolate(self.cbr(high) * self.scale(high), scale_factor=2.0, mode="bilinear")
        out: Tensor = self.dropout(torch.cat([low, deep], dim=1))
        return out
