"""Decoders: four feature levels -> one map of pixel features.

Both work top-down: every level is brought to one width, coarse ones are upsampled by two and added to finer ones.
`SemanticFPN` follows Kirillov et al., "Panoptic Feature Pyramid Networks" (arXiv 1901.02446, section 3.1);
`LightDecoder` is ours, for CPUs: the only work at stride 4 is one projection, one depthwise and one pointwise
convolution.
"""

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


def top_down(levels: list[Tensor]) -> list[Tensor]:
    """Add to every level the upsampled sum of the coarser ones; levels finest first, sizes differ by exactly two."""
    merged = [levels[-1]]
    for level in reversed(levels[:-1]):
        merged.append(level + F.interpolate(merged[-1], scale_factor=2.0, mode="nearest"))
    return merged[::-1]


class LightDecoder(nn.Module):
    """Few channels, depthwise-separable, for CPU-class devices (ours).

    Args:
        channels: widths of the levels at strides 4, 8, 16, 32.
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
        self.refine = nn.Sequential(conv_bn(width, width, 3, groups=width), conv_bn(width, width, act=False))
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Levels at strides 4, 8, 16, 32 -> pixel features (B, width, H/4, W/4), signed."""
        sides = [lateral(level) for lateral, level in zip(self.lateral, levels, strict=True)]
        merged = sides[-1]
        for index in (2, 1):
            merged = sides[index] + F.interpolate(merged, scale_factor=2.0, mode="nearest")
            merged = merged + self.mix[index - 1](merged)
        merged = F.relu(sides[0] + F.interpolate(merged, scale_factor=2.0, mode="nearest"))
        features: Tensor = self.dropout(self.refine(merged))
        return features


class SemanticFPN(nn.Module):
    """Semantic FPN: a pyramid of 3x3 convolutions, every level brought to stride 4 in steps of two and summed.

    Args:
        channels: widths of the levels at strides 4, 8, 16, 32.
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

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Levels at strides 4, 8, 16, 32 -> pixel features (B, width, H/4, W/4), signed."""
        sides = [lateral(level) for lateral, level in zip(self.lateral, levels, strict=True)]
        total: Tensor | None = None
        for steps, (branch, level) in enumerate(zip(self.branches, top_down(sides), strict=True)):
            for convolution in branch:  # type: ignore[attr-defined]
                level = convolution(level)
                if steps:
                    level = F.interpolate(level, scale_factor=2.0, mode="bilinear")
            total = level if total is None else total + level
        features: Tensor = self.dropout(self.out(total))
        return features
