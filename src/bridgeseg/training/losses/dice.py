"""Soft Dice (V-Net, arXiv 1606.04797)."""

from __future__ import annotations

import torch
from torch import Tensor

from bridgeseg.extend import register_loss
from bridgeseg.training.losses import Labelled, Total
from bridgeseg.training.processes import own


@register_loss("dice")
def dice(pixels: Labelled) -> Tensor:
    """Return the loss of labelled pixels."""
    return dice_loss(pixels.probabilities, pixels.labels, pixels.total, pixels.told)


def dice_loss(probabilities: Tensor, labels: Tensor, total: Total = own, told: Tensor | None = None) -> Tensor:
    """Soft Dice: 1 - 2 |P n T| / (|P| + |T|), mean over the classes present; probabilities (P, K), labels (P,).

    With `total`, the sums are those over all shares of a batch. With `told`, (P, K) bool, the sums of a class are over
    the pixels that tell whether it is true.
    """
    count, chosen = probabilities.shape[1], probabilities.gather(1, labels[:, None])[:, 0]
    if told is not None:
        probabilities, known = probabilities * told, told.gather(1, labels[:, None])[:, 0]
        chosen, labels = chosen[known], labels[known]
    overlap = total(chosen.new_zeros(count).index_add(0, labels, chosen))
    true = total(torch.bincount(labels, minlength=count))
    present = true > 0
    scores = 2 * overlap / (total(probabilities.sum(dim=0)) + true).clamp(min=1e-6)
    return ((1 - scores) * present).sum() / present.sum().clamp(min=1)
