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
    if pixels.likelihood is not None:
        return dice_loss(pixels.probabilities, pixels.labels, pixels.total, pixels.told)
    # as `dice_loss`, in half its time: the probabilities stay where they are
    found, known = pixels.logits.float().softmax(dim=1), pixels.known
    chosen = found.gather(1, pixels.masks.where(known, 0)[:, None])[:, 0][known]
    sums = (found.flatten(2) @ known.flatten(1)[..., None].to(found.dtype)).sum(dim=(0, 2))
    return _missed(sums, chosen, pixels.masks[known], pixels.total)


def dice_loss(probabilities: Tensor, labels: Tensor, total: Total = own, told: Tensor | None = None) -> Tensor:
    """Soft Dice: 1 - 2 |P n T| / (|P| + |T|), mean over the classes present; probabilities (P, K), labels (P,).

    With `total`, the sums are those over all shares of a batch. With `told`, (P, K) bool, the sums of a class are over
    the pixels that tell whether it is true.
    """
    chosen = probabilities.gather(1, labels[:, None])[:, 0]
    if told is not None:
        probabilities, known = probabilities * told, told.gather(1, labels[:, None])[:, 0]
        chosen, labels = chosen[known], labels[known]
    return _missed(probabilities.sum(dim=0), chosen, labels, total)


def _missed(sums: Tensor, chosen: Tensor, labels: Tensor, total: Total) -> Tensor:
    """Return the loss from the sums of K probabilities, and P labels with their own probabilities."""
    overlap = total(chosen.new_zeros(len(sums)).index_add(0, labels, chosen))
    true = total(torch.bincount(labels, minlength=len(sums)))
    present = true > 0
    scores = 2 * overlap / (total(sums) + true).clamp(min=1e-6)
    return ((1 - scores) * present).sum() / present.sum().clamp(min=1)
