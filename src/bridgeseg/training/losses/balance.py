"""Keeps a name that no one labels from taking all pixels that may have it (regularized information maximization)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bridgeseg.extend import register_loss
from bridgeseg.training.likelihood import Group, Softmax
from bridgeseg.training.losses import Labelled


@register_loss("balance")
def balance(pixels: Labelled) -> Tensor:
    """Return the sum over groups that hold both names that no dataset labels (A) and others: log 2 - H(mean p(A)).

    p(A) is the probability that a pixel of the group has one of A, given that it has a name of the group; H is the
    entropy of the two shares of its mean over the pixels of the batch, highest where half of them have one of A. It is
    the term of regularized information maximization for classes of one size (Gomes, Krause and Perona, NIPS 2010): the
    likelihood alone is as high if A takes all pixels, which is the easiest to learn.
    """
    loss = torch.zeros((), device=pixels.logits.device)
    if not isinstance(pixels.likelihood, Softmax):
        return loss
    first = pixels.logits.shape[1]
    for column, group in enumerate(pixels.likelihood.groups, first):
        if 0 < len(pixels.likelihood.added.intersection(group)) < len(group):
            loss = loss + imbalance(pixels, pixels.masks == column, group, pixels.likelihood.added)
    return loss


def imbalance(pixels: Labelled, chosen: Tensor, group: Group, added: frozenset[int]) -> Tensor:
    """Return log 2 - H for the pixels `chosen` (B, H, W) bool of one group; 0 if there are none."""
    found = pixels.logits.movedim(1, -1)[chosen][:, list(group)].float().softmax(dim=1)
    shares = found[:, [place for place, name in enumerate(group) if name in added]].sum()
    count = pixels.total(chosen.sum())
    mean = pixels.total(shares) / count.clamp(min=1)
    entropy = -sum(part * part.clamp(min=1e-6).log() for part in (mean, 1 - mean))
    return (math.log(2) - entropy) * (count > 0)
