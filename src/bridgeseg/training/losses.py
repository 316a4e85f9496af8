"""Losses on logits at the size of the mask. The ignore index takes part in none of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F


class LossConfig(BaseModel):
    """What is minimised: cross-entropy, and what helps rare classes.

    Attributes:
        class_weights: weight the cross-entropy by class frequency, 1 / ln(1.02 + share) (ENet, arXiv 1606.02147, 5.1).
        ohem: average over the hardest pixels only, this share of them (0 = all); online hard example mining.
        dice: weight of the soft Dice loss (V-Net, arXiv 1606.04797), mean over the classes present.
        lovasz: weight of the Lovasz-softmax loss (arXiv 1705.08790), mean over the classes present.
        label_smoothing: of the cross-entropy.
        aux: weight of the cross-entropy on the score map of a guided network (DenseCLIP: 0.4).
    """

    model_config = ConfigDict(extra="forbid")

    class_weights: bool = False
    ohem: float = Field(0.0, ge=0, lt=1)
    dice: float = Field(0.0, ge=0)
    lovasz: float = Field(0.0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    aux: float = Field(0.4, ge=0)


class SegmentationLoss(nn.Module):
    """Weighted sum of the losses of a `LossConfig`.

    Args:
        config: which losses.
        ignore_index: mask value left out.
        class_shares: K shares of the labelled training pixels; needed for class weights.
    """

    weights: Tensor | None

    def __init__(self, config: LossConfig, ignore_index: int, class_shares: Sequence[float] | None = None) -> None:
        super().__init__()
        self.config, self.ignore_index = config, ignore_index
        weights = None
        if config.class_weights and class_shares is not None:
            weights = 1.0 / torch.log(1.02 + torch.tensor(class_shares, dtype=torch.float32))
            weights = weights / weights.mean()
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """logits (B, K, H, W), masks (B, H, W) int64 -> scalar; 0 where every pixel is ignored."""
        loss = self.cross_entropy(logits, masks)
        if not (self.config.dice or self.config.lovasz):
            return loss
        known = masks != self.ignore_index
        probabilities = logits.float().softmax(dim=1).movedim(1, -1)[known]  # (P, K)
        labels = masks[known]
        if self.config.dice:
            loss = loss + self.config.dice * dice_loss(probabilities, labels)
        if self.config.lovasz:
            loss = loss + self.config.lovasz * lovasz_softmax(probabilities, labels)
        return loss

    def cross_entropy(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Cross-entropy alone, as the score map is trained with: shapes as in `forward`."""
        losses = F.cross_entropy(
            logits.float(),
            masks,
            weight=self.weights,
            ignore_index=self.ignore_index,
            label_smoothing=self.config.label_smoothing,
            reduction="none",
        )
        known = masks != self.ignore_index
        if self.config.ohem:
            known_losses = losses[known]
            count = int(known_losses.numel() * self.config.ohem)
            return known_losses.topk(count).values.mean() if count else losses.sum() * 0.0
        total = known.sum() if self.weights is None else self.weights[masks.clamp(max=len(self.weights) - 1)][known].sum()
        return losses.sum() / total.clamp(min=1e-6)


def dice_loss(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Soft Dice: 1 - 2 |P n T| / (|P| + |T|), mean over the classes present; probabilities (P, K), labels (P,)."""
    truth = F.one_hot(labels, probabilities.shape[1]).to(probabilities.dtype)
    overlap = (probabilities * truth).sum(dim=0)
    size = probabilities.sum(dim=0) + truth.sum(dim=0)
    present = truth.sum(dim=0) > 0
    if not bool(present.any()):
        return probabilities.sum() * 0.0
    return (1 - 2 * overlap[present] / size[present]).mean()


def lovasz_softmax(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Lovasz extension of the Jaccard loss (Berman et al., algorithm 1), mean over the classes present.

    probabilities (P, K), labels (P,) -> scalar.
    """
    losses = []
    for index in labels.unique().tolist():
        truth = (labels == index).to(probabilities.dtype)
        errors, order = (truth - probabilities[:, index]).abs().sort(descending=True)
        truth = truth[order]
        intersection = truth.sum() - truth.cumsum(0)
        union = truth.sum() + (1 - truth).cumsum(0)
        jaccard = 1 - intersection / union
        gradient = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
        losses.append(errors @ gradient)
    return torch.stack(losses).mean() if losses else probabilities.sum() * 0.0
