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


def top_down(features: list[Tensor]) -> list[Tensor]:
    """Add to every map the upsampled sum of the coarser ones; maps finest first, sizes differ by exactly two."""
    merged = [features[-1]]
    for finer in reversed(features[:-1]):
        merged.append(finer + F.interpolate(merged[-1], scale_factor=2.0, mode="nearest"))
    return merged[::-1]
