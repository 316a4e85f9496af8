"""Semantic FPN (Kirillov et al., "Panoptic Feature Pyramid Networks", arXiv 1901.02446, section 3.1)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.extend import register_decoder
from bridgeseg.models.decoders._layers import conv_bn, top_down


@register_decoder("fpn")
class SemanticFPN(nn.Module):
    """Semantic FPN: a pyramid of 3x3 convolutions, every map brought to stride 4 in steps of two and summed.

    Args:
        channels: widths of the features at strides 4, 8, 16, 32.
        width: width of pyramid and output (256 in the source, 128 in its semantic branch).
        dropout: probability of dropping a channel of the output in training.
    """

    def __init__(self, channels: list[int], width: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.lateral = nn.ModuleList(conv_bn(inputs, width, act=False) for inputs in channels)
        self.branches = nn.ModuleList(
            nn.ModuleList(conv_bn(width, width, 3) for _ in range(max(1, steps))) for steps in range(len(channels))
        )
        self.out = conv_bn(width, width, act=False)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features at strides 4, 8, 16, 32 -> pixel features (B, width, H/4, W/4), signed."""
        sides = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        total: Tensor | None = None
        for steps, (branch, maps) in enumerate(zip(self.branches, top_down(sides), strict=True)):
            for convolution in branch:  # type: ignore[attr-defined]
                maps = convolution(maps)
                if steps:
                    maps = F.interpolate(maps, scale_factor=2.0, mode="bilinear")
            total = maps if total is None else total + maps
        out: Tensor = self.dropout(self.out(total))
        return out
