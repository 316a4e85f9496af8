"""Deep supervision: classifiers on what the decoder reads, which only training has.

They belong to the training and not to the network, so that checkpoints and exported files do not know of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bridgeseg.models.base import guided_channels
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.training.losses import SegmentationLoss

LEVELS = 3
"""How many of the features have a classifier, the coarsest ones: those at strides 8, 16 and 32."""


class DeepHeads(nn.Module):
    """A 1x1 convolution to K logits on each of the features at strides 8, 16 and 32 (Lee et al., arXiv 1409.5185).

    Each is trained in the cells of its features, as the score map is: nothing is upsampled.

    Args:
        segmentor: the network whose decoder reads the features.
        classes: number of classes K.
        seed: of the first weights; no other random number is used up.
    """

    def __init__(self, segmentor: Segmentor, classes: int, seed: int = 0) -> None:
        super().__init__()
        widths = guided_channels(segmentor.backbone, segmentor.guidance)
        self.strides = segmentor.backbone.strides[-LEVELS:]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = nn.ModuleList(nn.Conv2d(width, classes, 1) for width in widths[-LEVELS:])

    def forward(
        self, features: Sequence[Tensor], masks: Tensor, loss: SegmentationLoss, rows: Tensor | None = None
    ) -> Tensor:
        """Return the mean of the losses of the heads.

        Args:
            features: what the decoder read, [(B, C_i, H/s_i, W/s_i)], finest first.
            masks: (B, H, W) int64.
            loss: how cells are compared with masks.
            rows: which of the K classes the masks are about; None for all.
        """
        levels = zip(self.heads, features[-LEVELS:], self.strides, strict=True)
        scores = ((head(maps), stride) for head, maps, stride in levels)
        losses = [loss.of_cells(found if rows is None else found[:, rows], masks, stride) for found, stride in scores]
        return torch.stack(losses).mean()
