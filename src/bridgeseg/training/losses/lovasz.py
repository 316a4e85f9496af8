"""Lovasz-softmax (Berman et al., arXiv 1705.08790)."""

from __future__ import annotations

import torch
from torch import Tensor

from bridgeseg.extend import register_loss
from bridgeseg.training.losses import Labelled


@register_loss("lovasz")
def lovasz(pixels: Labelled) -> Tensor:
    """Return the mean of the devices' losses: what sorts pixels does so on each device."""
    found = lovasz_softmax(pixels.probabilities, pixels.labels, pixels.told)
    return pixels.total(found) / pixels.total(torch.ones_like(found))


def lovasz_softmax(probabilities: Tensor, labels: Tensor, told: Tensor | None = None) -> Tensor:
    """Lovasz extension of the Jaccard loss (Berman et al., algorithm 1), mean over the classes present.

    probabilities (P, K), labels (P,) -> scalar. With `told`, (P, K) bool, the loss of a class is that of the pixels
    that tell whether it is true.
    """
    losses = []
    for index in torch.unique(labels).tolist():
        truth, found = (labels == index).to(probabilities.dtype), probabilities[:, index]
        if told is not None:
            truth, found = truth[told[:, index]], found[told[:, index]]
            if not len(found):
                continue
        errors, order = (truth - found).abs().sort(descending=True)
        truth = truth[order]
        intersection = truth.sum() - truth.cumsum(0)
        union = truth.sum() + (1 - truth).cumsum(0)
        jaccard = 1 - intersection / union
        gradient = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
        losses.append(errors @ gradient)
    return torch.stack(losses).mean() if losses else probabilities.sum() * 0.0
