"""Losses on logits at the size of the mask. The ignore index takes part in none of them.

In training on several devices every process has a share of the batch, and some shares have more labelled pixels than
others. Sums are therefore taken over all shares (`total`) before anything is divided: cross-entropy, with or without
class weights, the auxiliary loss and Dice are those of the whole batch, the same number in every process. What sorts
pixels does so on each device: hard examples are the hardest of a device's share, and Lovasz-softmax is the mean over
the devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bridgeseg.errors import ConfigError
from bridgeseg.extend import LOSSES
from bridgeseg.settings.loss import LossConfig
from bridgeseg.settings.values import validated
from bridgeseg.training.likelihood import Likelihood
from bridgeseg.training.processes import own, total

Total = Callable[[Tensor], Tensor]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Labelled:
    """What a loss is computed from.

    Attributes:
        logits: (B, K, H, W).
        masks: (B, H, W) int64.
        ignore_index: mask value left out.
        total: sums over all shares of a batch; see the head of this file.
        likelihood: gives the probabilities where labels may mean a group of names; the softmax does elsewhere. Masks
            then hold its labels.
    """

    logits: Tensor
    masks: Tensor
    ignore_index: int
    total: Total
    likelihood: Likelihood | None = None

    @cached_property
    def known(self) -> Tensor:
        """Say which pixels are labelled, (B, H, W) bool."""
        return self.masks != self.ignore_index

    @cached_property
    def probabilities(self) -> Tensor:
        """Return the probabilities of the P labelled pixels, (P, K) float32."""
        if self.likelihood is not None:
            return self.likelihood.probabilities(self.logits).movedim(1, -1)[self.known]
        return self.logits.float().softmax(dim=1).movedim(1, -1)[self.known]

    @cached_property
    def labels(self) -> Tensor:
        """Return the class ids of the P labelled pixels, (P,) int64: columns of `probabilities`."""
        labels = self.masks[self.known]
        return labels if self.likelihood is None else labels % self.probabilities.shape[1]

    @cached_property
    def told(self) -> Tensor | None:
        """Say of which classes the P labelled pixels tell whether they are true, (P, K) bool; None if of all."""
        if self.likelihood is None:
            return None
        return self.likelihood.told(self.masks[self.known], self.logits.shape[1])


class SegmentationLoss(nn.Module):
    """Weighted sum of the losses of a `LossConfig`; in training mode that of all processes' images.

    Args:
        config: which losses.
        ignore_index: mask value left out.
        class_shares: K shares of the labelled training pixels; needed for class weights.
        aux_at: what `aux_at: auto` stands for; the method says it.
        likelihood: of labels that may mean a group of names; masks then hold its columns, and shares are theirs.

    Attributes:
        weights: K class weights with mean 1 over the classes that pixels have, and 1 for others; None without class
            weights.

    Raises:
        ConfigError: class weights without shares, or see `make_terms`.
    """

    weights: Tensor | None

    def __init__(
        self,
        config: LossConfig,
        ignore_index: int,
        class_shares: Sequence[float] | None = None,
        aux_at: Literal["cells", "pixels"] = "cells",
        likelihood: Likelihood | None = None,
    ) -> None:
        super().__init__()
        self.config, self.ignore_index = config, ignore_index
        self.in_cells = (aux_at if config.aux_at == "auto" else config.aux_at) == "cells"
        self.terms, self.likelihood = make_terms(config, groups=likelihood is not None), likelihood
        weights = None
        if config.class_weights:
            if class_shares is None:
                raise ConfigError("class weights need the share of every class", fix="pass class_shares")
            shares = torch.tensor(class_shares, dtype=torch.float32)
            weights = 1.0 / torch.log(1.02 + shares)
            weights = torch.where(shares > 0, weights / weights[shares > 0].mean(), 1.0)
        self.register_buffer("weights", weights, persistent=False)

    @property
    def total(self) -> Total:
        """How parts are summed: over the processes in training, alone in validation, where steps are not in common."""
        return total if self.training else own

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """logits (B, K, H, W), masks (B, H, W) int64 -> scalar; 0 where every pixel is ignored."""
        loss = self.cross_entropy(logits, masks)
        pixels = Labelled(logits, masks, self.ignore_index, self.total, self.likelihood)
        for weight, term in self.terms:
            loss = loss + weight * term(pixels)
        return loss

    def auxiliary(self, score_map: Tensor, masks: Tensor, stride: int) -> Tensor:
        """Loss of a score map (B, K, h, w) whose cells are `stride` pixels of the masks (B, H, W) wide -> scalar."""
        if self.in_cells:
            return self.of_cells(score_map, masks, stride)
        full = F.interpolate(score_map, scale_factor=float(stride), mode="bilinear")
        return self.cross_entropy(full[..., : masks.shape[1], : masks.shape[2]], masks)

    def of_cells(self, scores: Tensor, masks: Tensor, stride: int) -> Tensor:
        """Cross-entropy of coarse scores (B, K, h, w) in their cells -> scalar; see `cell_cross_entropy`."""
        common = (self.ignore_index, self._weights(scores.shape[1]), self.total, self.likelihood)
        return cell_cross_entropy(scores, masks, stride, *common)

    def _weights(self, count: int) -> Tensor | None:
        """Return the class weights for `count` columns; of names behind those of the masks, which no pixel has, 1."""
        more = 0 if self.weights is None else count - len(self.weights)
        return self.weights if self.weights is None or more <= 0 else F.pad(self.weights, (0, more), value=1.0)

    def cross_entropy(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Cross-entropy alone: shapes as in `forward`.

        With class weights w: sum of w[label] * loss over the pixels, over their sum of w[label]. With hard example
        mining both sums are over the pixels whose weighted loss is highest, at least one.
        """
        if self.likelihood is not None:
            losses = self._of_groups(self.likelihood, logits, masks)
        else:
            losses = F.cross_entropy(
                logits.float(),
                masks,
                weight=self._weights(logits.shape[1]),
                ignore_index=self.ignore_index,
                label_smoothing=self.config.label_smoothing,
                reduction="none",
            )
        known = masks != self.ignore_index
        weights = known if self.weights is None else self.weights[masks.where(known, 0)] * known
        if self.config.ohem:
            losses, weights = losses[known], weights[known]
            hardest = losses.topk(min(len(losses), max(1, int(len(losses) * self.config.ohem)))).indices
            losses, weights = losses[hardest], weights[hardest]
        return self.total(losses.sum()) / self.total(weights.sum()).clamp(min=1e-6)

    def _of_groups(self, likelihood: Likelihood, logits: Tensor, masks: Tensor) -> Tensor:
        """Weighted -log-likelihood (B, H, W); label smoothing takes the mean over the single names; see `spread`."""
        found, smoothing = likelihood(logits), self.config.label_smoothing
        losses = F.nll_loss(found, masks, self.weights, ignore_index=self.ignore_index, reduction="none")
        if smoothing:
            known = masks != self.ignore_index
            weights = known if self.weights is None else self.weights[masks.where(known, 0)] * known
            spread = -likelihood.spread(found, masks, logits.shape[1]) * weights
            losses = (1 - smoothing) * losses + smoothing * spread
        return losses


def make_terms(config: LossConfig, *, groups: bool = False) -> list[tuple[float, Callable[[Labelled], Tensor]]]:
    """Return the losses that are added to the cross-entropy, each with a weight above 0.

    Args:
        config: which losses.
        groups: a label may mean a group of names.

    Raises:
        ConfigError: a weight is none, or a setting of a loss is not allowed.
    """
    found: list[tuple[float, Callable[[Labelled], Tensor]]] = []
    for name, value in config.terms(groups=groups).items():
        loss = LOSSES.get(name)
        settings = validated(f"loss.{name}", loss.settings or Weight, value)
        weight = settings if loss.settings is None else float(settings.weight)
        term = loss.term if loss.settings is None else partial(_with_settings, loss.term, settings)
        if weight:
            found.append((weight, term))
    return found


def _with_settings(term: Callable[..., Tensor], settings: Any, pixels: Labelled) -> Tensor:
    return term(pixels, settings)


def cell_cross_entropy(
    scores: Tensor,
    masks: Tensor,
    stride: int,
    ignore_index: int,
    weights: Tensor | None = None,
    total: Total = own,
    likelihood: Likelihood | None = None,
) -> Tensor:
    """Cross-entropy of coarse scores against the shares of the classes in their cells.

    Args:
        scores: (B, K, h, w).
        masks: (B, H, W) int64, at most h * stride by w * stride.
        stride: pixels of the mask along the side of a cell.
        ignore_index: mask value left out.
        weights: K class weights.
        total: sums over shares of a batch.
        likelihood: of labels that may mean a group of names, as in `SegmentationLoss`.

    Returns:
        Scalar: the sum over labelled pixels of weight * loss over the sum of their weights, where the loss of a pixel
        is that of its cell; 0 where every pixel is ignored.
    """
    found = scores.float().log_softmax(dim=1) if likelihood is None else likelihood(scores)
    batch, classes, height, width = found.shape
    rows, columns = (torch.arange(size, device=masks.device) // stride for size in masks.shape[1:])
    images = torch.arange(batch, device=masks.device)[:, None, None]
    cells = (images * height + rows[:, None]) * width + columns  # (B, H, W)
    known = masks != ignore_index
    counts = torch.bincount((cells * classes + masks)[known], minlength=found.numel())
    shares = counts.view(batch, height, width, classes).to(torch.float32)
    if weights is not None:
        shares = shares * weights
    losses = -found.movedim(1, -1) * shares
    return total(losses.sum()) / total(shares.sum()).clamp(min=1e-6)
