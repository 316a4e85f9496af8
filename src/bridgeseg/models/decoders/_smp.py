"""Decoders of segmentation_models.pytorch, to compare with: built by its own classes, on our backbones and weights.

Each is as the library builds it by default, first weights included, but for what a comparison keeps alike: backbone,
recipe and head are ours, and `dropout` is the one of all decoders. The library's classifier is a 1x1 convolution, as
the linear head is; only that of its Unet is a 3x3 one (see `Unet`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.errors import ConfigError
from bridgeseg.extend import register_decoder
from bridgeseg.extras import extra

with extra("peers"):
    from segmentation_models_pytorch.base.initialization import initialize_decoder
    from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
    from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
    from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

GROUPS = 32
"""Groups of the group norms of the library's FPN."""


@register_decoder("smp:FPN")
class FPN(nn.Module):
    """Semantic FPN with a pyramid of 256 channels and group norms (`smp.FPN`).

    Args:
        channels: widths of the features at strides 4, 8, 16, 32.
        width: channels of the semantic branches and of the output, a multiple of 32 from 64 up: a group norm of one
            channel a group has nothing to norm where an image has one cell.
        dropout: probability of dropping a channel of the output in training.

    Raises:
        ConfigError: the width is no such multiple.
    """

    def __init__(self, channels: list[int], width: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        if width % GROUPS or width < 2 * GROUPS:
            fix = f"`width={max(2, width // GROUPS) * GROUPS}`"
            message = f"the width of smp:FPN is a multiple of {GROUPS} from {2 * GROUPS} up, found {width}"
            raise ConfigError(message, fix=fix)
        self.width = width
        self.decoder = FPNDecoder(channels, segmentation_channels=width, dropout=dropout)
        initialize_decoder(self.decoder)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features at strides 4, 8, 16, 32 -> pixel features (B, width, H/4, W/4)."""
        out: Tensor = self.decoder(features)
        return out


@register_decoder("smp:Unet")
class Unet(nn.Module):
    """U-Net up to full resolution (`smp.Unet`).

    The library's classifier is a 3x3 convolution to K classes; here a 3x3 convolution of the same input keeps the
    width, and the head follows it. With a linear head and K <= width, the two can express the same.

    Args:
        channels: widths of the features at strides 2, 4, 8, 16, 32.
        width: channels of the output; the coarser blocks have 2, 4, 8 and 16 times as many.
        dropout: probability of dropping a channel of the output in training.
    """

    strides = (2, 4, 8, 16, 32)
    stride = 1

    def __init__(self, channels: list[int], width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.decoder = UnetDecoder([0, *channels], [factor * width for factor in (16, 8, 4, 2, 1)])
        initialize_decoder(self.decoder)
        self.last = nn.Conv2d(width, width, 3, padding=1)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features at strides 2, 4, 8, 16, 32 -> pixel features (B, width, H, W)."""
        *finer, coarsest = features
        maps = self.decoder.center(coarsest)
        for block, skip in zip(self.decoder.blocks, [*reversed(finer), None], strict=True):
            maps = block(maps, 2 * maps.shape[-2], 2 * maps.shape[-1], skip)
        out: Tensor = self.dropout(self.last(maps))
        return out


@register_decoder("smp:DeepLabV3Plus")
class DeepLabV3Plus(nn.Module):
    """Atrous pyramid on a backbone whose last stage is dilated to stride 16 (`smp.DeepLabV3Plus`).

    Args:
        channels: widths of the features at strides 4, 8, 16, 16.
        width: channels of the pyramid and of the output.
        dropout: probability of dropping a number that leaves the pyramid, in training.
    """

    strides = (4, 8, 16, 16)
    norms_whole_images = True

    def __init__(self, channels: list[int], width: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.decoder = DeepLabV3PlusDecoder(
            [0, 0, *channels],
            encoder_depth=5,
            out_channels=width,
            atrous_rates=(12, 24, 36),
            output_stride=16,
            aspp_separable=True,
            aspp_dropout=dropout,
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features at strides 4, 8, 16, 16 -> pixel features (B, width, H/4, W/4)."""
        out: Tensor = self.decoder([None, None, *features])
        return out


@register_decoder("smp:Segformer")
class Segformer(nn.Module):
    """SegFormer's decoder: a linear layer for each of four strides, then one over all of them (`smp.Segformer`).

    Four as in SegFormer, and as the library has it on SegFormer's encoders. On others it takes stride 2 as well.

    Args:
        channels: widths of the features at strides 4, 8, 16, 32.
        width: channels of every linear layer and of the output.
        dropout: probability of dropping a channel of the output in training.
    """

    def __init__(self, channels: list[int], width: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.decoder = SegformerDecoder([0, *channels], segmentation_channels=width)
        initialize_decoder(self.decoder)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features at strides 4, 8, 16, 32 -> pixel features (B, width, H/4, W/4)."""
        maps = []
        for steps, (layer, feature) in enumerate(zip(reversed(self.decoder.mlp_stage), features, strict=True)):
            level = layer(feature)
            maps.append(F.interpolate(level, scale_factor=float(2**steps), mode="bilinear") if steps else level)
        out: Tensor = self.dropout(self.decoder.fuse_stage(torch.cat(maps[::-1], dim=1)))
        return out
