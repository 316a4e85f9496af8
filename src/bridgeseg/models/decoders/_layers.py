"""Layers that decoders share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def conv_bn(inputs: int, outputs: int, kernel: int = 1, groups: int = 1, act: bool = True) -> nn.Sequential:
    """Convolution without bias, batch norm and, unless `act` is False, ReLU; the size is kept."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if act else nn.Sequential(*layers)


def separable(width: int) -> nn.Sequential:
    """Depthwise 3x3 and pointwise convolution of so many channels; no ReLU after the second."""
    return nn.Sequential(conv_bn(width, width, 3, groups=width), conv_bn(width, width, act=False))


def top_down(features: list[Tensor]) -> list[Tensor]:
    """Add to every map the upsampled sum of the coarser ones; maps finest first, sizes differ by exactly two."""
    merged = [features[-1]]
    for finer in reversed(features[:-1]):
        merged.append(finer + F.interpolate(merged[-1], scale_factor=2.0, mode="nearest"))
    return merged[::-1]


class Pyramid(nn.Module):
    """Features at strides 4, 8, 16 and 32, brought to one width and added up from the coarsest to the finest.

    Args:
        channels: widths of the features, finest first.
        width: of the sum.
    """

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(conv_bn(inputs, width, act=False) for inputs in channels)
        self.mix = nn.ModuleList(separable(width) for _ in channels[1:3])

    def merge(self, features: list[Tensor]) -> Tensor:
        """Features, finest first -> (B, width, H/4, W/4), not negative."""
        sides = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        merged = sides[-1]
        for index in (2, 1):
            merged = sides[index] + F.interpolate(merged, scale_factor=2.0, mode="nearest")
            merged = merged + self.mix[index - 1](merged)
        return F.relu(sides[0] + F.interpolate(merged, scale_factor=2.0, mode="nearest"))
