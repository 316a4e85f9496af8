"""Losses against plain references, and the ignore index taking part in none of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from bridgeseg.errors import ConfigError
from bridgeseg.extend import METHODS
from bridgeseg.settings.loss import LossConfig
from bridgeseg.training.losses import SegmentationLoss, cell_cross_entropy
from bridgeseg.training.losses.dice import dice_loss
from bridgeseg.training.losses.lovasz import lovasz_softmax

IGNORE = 255
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weights": {"class_weights": True},
    "ohem": {"ohem": 0.3},
    "ohem and weights": {"ohem": 0.3, "class_weights": True},
    "dice": {"dice": 1.0},
    "lovasz": {"lovasz": 1.0},
    "smoothing": {"label_smoothing": 0.1},
    "all": {"class_weights": True, "ohem": 0.5, "dice": 0.5, "lovasz": 0.5, "label_smoothing": 0.1},
}


def make(config: dict[str, Any], count: int = 4) -> SegmentationLoss:
    shares = np.arange(1, count + 1) / sum(range(1, count + 1))
    return SegmentationLoss(LossConfig(**{"dice": 0.0, **config}), IGNORE, shares.tolist())


def example(seed: int = 0, count: int = 4, size: tuple[int, int, int] = (2, 6, 7)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(size[0], count, *size[1:], generator=generator)
    masks = torch.randint(0, count, size, generator=generator)
    masks[torch.rand(size, generator=generator) < 0.3] = IGNORE
    return logits.requires_grad_(), masks


def pixels(logits: Tensor, masks: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities (P, K) and labels (P,) of the labelled pixels, by numpy alone."""
    values = logits.detach().double().numpy().transpose(0, 2, 3, 1)[masks.numpy() != IGNORE]
    exponentials = np.exp(values - values.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True), masks.numpy()[masks.numpy() != IGNORE]


@pytest.mark.parametrize("name", CONFIGS)
def test_ignored_pixels_change_nothing(name: str) -> None:
    loss, (logits, masks) = make(CONFIGS[name]), example()
    value = loss(logits, masks)
    (gradient,) = torch.autograd.grad(value, logits)
    ignored = (masks == IGNORE)[:, None].expand_as(logits)
    assert value > 0
    assert not gradient[ignored].any()
    assert gradient[~ignored].any()
    other = torch.where(ignored, torch.randn_like(logits) * 50, logits)
    torch.testing.assert_close(loss(other, masks), value, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_nothing_labelled_is_zero(name: str) -> None:
    logits, masks = example()
    value = make(CONFIGS[name])(logits, torch.full_like(masks, IGNORE))
    (gradient,) = torch.autograd.grad(value, logits)
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("name", CONFIGS)
def test_one_class_one_image(name: str) -> None:
    logits, masks = example(count=1, size=(1, 5, 3))
    value = make(CONFIGS[name], count=1)(logits, masks)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)  # the only class is always right
    assert torch.isfinite(logits.grad).all()  # type: ignore[arg-type]


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    logits, masks = example()
    probabilities, labels = pixels(logits, masks)
    expected = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert make({})(logits, masks).item() == pytest.approx(expected, rel=1e-5)


def test_class_weights() -> None:
    logits, masks = example()
    probabilities, labels = pixels(logits, masks)
    weights = 1 / np.log(1.02 + np.arange(1, 5) / 10)  # ENet, section 5.1
    losses = -np.log(probabilities[np.arange(len(labels)), labels])
    expected = (weights[labels] * losses).sum() / weights[labels].sum()
    loss = make({"class_weights": True})
    assert loss(logits, masks).item() == pytest.approx(expected, rel=1e-5)
    assert loss.weights is not None
    assert loss.weights.mean().item() == pytest.approx(1)
    assert "weights" not in loss.state_dict()  # they come from the data, not from a checkpoint
    with pytest.raises(ConfigError, match="share of every class"):
        SegmentationLoss(LossConfig(class_weights=True), IGNORE)


@pytest.mark.parametrize("weighted", [False, True])
def test_ohem_is_the_mean_over_the_hardest(weighted: bool) -> None:
    logits, masks = example()
    probabilities, labels = pixels(logits, masks)
    weights = (1 / np.log(1.02 + np.arange(1, 5) / 10) if weighted else np.ones(4))[labels]
    losses = -np.log(probabilities[np.arange(len(labels)), labels]) * weights
    hardest = np.argsort(-losses)[: int(0.3 * len(labels))]
    expected = losses[hardest].sum() / weights[hardest].sum()
    value = make({"ohem": 0.3, "class_weights": weighted})(logits, masks).item()
    assert value == pytest.approx(expected, rel=1e-5)
    assert value > make({"class_weights": weighted})(logits, masks).item()


def test_ohem_keeps_at_least_one_pixel() -> None:
    logits, masks = example()
    masks[:] = IGNORE
    masks[0, 0, 0] = 2
    assert make({"ohem": 0.1})(logits, masks).item() == pytest.approx(make({})(logits, masks).item())


def test_dice_by_hand() -> None:
    probabilities = torch.tensor([[0.8, 0.2, 0.0], [0.4, 0.6, 0.0]])
    labels = torch.tensor([0, 1])
    # class 0: 2 * 0.8 / (1.2 + 1), class 1: 2 * 0.6 / (0.8 + 1), class 2 does not occur
    expected = 1 - (1.6 / 2.2 + 1.2 / 1.8) / 2
    assert dice_loss(probabilities, labels).item() == pytest.approx(expected)


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 30), st.booleans())
@settings(max_examples=40, deadline=None)
def test_dice_by_its_definition(seed: int, count: int, size: int, partial: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(size, count, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, count, (size,), generator=generator)
    told = torch.rand(size, count, generator=generator) > 0.3 if partial else None
    scores = []
    for index in range(count):
        known = torch.ones(size, dtype=torch.bool) if told is None else told[:, index]
        truth = (labels == index)[known]
        found = probabilities[known, index]
        if truth.any():
            scores.append((2 * found[truth].sum() / (found.sum() + truth.sum())).item())
    expected = 1 - sum(scores) / len(scores) if scores else 0.0
    assert dice_loss(probabilities, labels, told=told).item() == pytest.approx(expected)


@given(st.integers(0, 2**31), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_dice_of_images_is_that_of_their_labelled_pixels(seed: int, count: int) -> None:
    logits, masks = example(seed, count, (2, 5, 4))
    probabilities, labels = (torch.from_numpy(array) for array in pixels(logits, masks))
    with_it, without = (make({"dice": weight}, count)(logits, masks).item() for weight in (1.0, 0.0))
    assert with_it - without == pytest.approx(dice_loss(probabilities, labels).item(), abs=1e-5)


def test_lovasz_equals_the_papers_algorithm() -> None:
    logits, masks = example()
    probabilities, labels = pixels(logits, masks)
    losses = []
    for index in np.unique(labels):  # algorithm 1 of arXiv 1705.08790, sample by sample
        truth = labels == index
        errors = np.where(truth, 1 - probabilities[:, index], probabilities[:, index])
        order = np.argsort(-errors)
        before = value = 0.0
        for count in range(1, len(order) + 1):
            wrong = np.zeros(len(labels), bool)
            wrong[order[:count]] = True
            jaccard = 1 - (truth & ~wrong).sum() / (truth | wrong).sum()
            value += errors[order[count - 1]] * (jaccard - before)
            before = jaccard
        losses.append(value)
    found = lovasz_softmax(torch.from_numpy(probabilities), torch.from_numpy(labels)).item()
    assert found == pytest.approx(np.mean(losses), rel=1e-9)


@pytest.mark.parametrize("function", [dice_loss, lovasz_softmax])
def test_hard_predictions_give_one_minus_the_score(function: Any) -> None:
    truth, predicted = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1])
    value = function(torch.nn.functional.one_hot(predicted, 2).float(), truth).item()
    dice, iou = (4 / 5 + 2 / 3) / 2, (2 / 3 + 1 / 2) / 2
    assert value == pytest.approx(1 - (dice if function is dice_loss else iou))


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 9), st.sampled_from(sorted(CONFIGS)))
@settings(max_examples=60, deadline=None)
def test_properties(seed: int, count: int, side: int, name: str) -> None:
    loss, (logits, masks) = make(CONFIGS[name], count), example(seed, count, (1, side, side))
    value = loss(logits, masks)
    value.backward()
    assert math.isfinite(value.item())
    assert value >= -1e-6
    assert torch.isfinite(logits.grad).all()  # type: ignore[arg-type]
    shifted = logits.detach() + torch.randn(1, 1, side, side)  # softmax does not see a shift of all classes
    torch.testing.assert_close(loss(shifted, masks), value.detach(), rtol=1e-3, atol=1e-4)
    if name not in ("smoothing", "all"):
        right = 40.0 * torch.nn.functional.one_hot(masks.clamp(max=count - 1), count).movedim(-1, 1)
        assert loss(right, masks) < 1e-3


@given(st.integers(0, 2**31), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_region_losses_lie_in_0_to_1(seed: int, count: int) -> None:
    logits, masks = example(seed, count, (1, 4, 4))
    probabilities, labels = (torch.from_numpy(array) for array in pixels(logits, masks))
    for function in (dice_loss, lovasz_softmax):
        assert -1e-9 <= function(probabilities, labels).item() <= 1 + 1e-9


class TestAuxiliary:
    """The loss of a score map of cells of 4 x 4 pixels, of which the mask does not fill the last ones."""

    scores, masks = example(count=4, size=(2, 3, 4))[0], example(size=(2, 10, 15))[1]

    @pytest.mark.parametrize("weighted", [False, True])
    def test_in_cells_every_pixel_has_the_scores_of_its_cell(self, weighted: bool) -> None:
        weights = torch.tensor([0.5, 1.0, 2.0, 0.25]) if weighted else None
        spread = self.scores.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)[..., :10, :15]
        expected = F.cross_entropy(spread, self.masks, weight=weights, ignore_index=IGNORE)
        torch.testing.assert_close(cell_cross_entropy(self.scores, self.masks, 4, IGNORE, weights), expected)

    def test_pixels_are_those_of_the_upsampled_map(self) -> None:
        full = F.interpolate(self.scores, scale_factor=4.0, mode="bilinear")[..., :10, :15]
        expected = F.cross_entropy(full, self.masks, ignore_index=IGNORE)
        torch.testing.assert_close(make({"aux_at": "pixels"}).auxiliary(self.scores, self.masks, 4), expected)

    @pytest.mark.parametrize(
        ("at", "method", "cells"),
        [
            ("auto", "bridge", True),
            ("auto", "denseclip", False),
            ("cells", "denseclip", True),
            ("pixels", "bridge", False),
        ],
    )
    def test_auto_goes_by_the_method(self, at: str, method: str, cells: bool) -> None:
        loss = SegmentationLoss(LossConfig.model_validate({"aux_at": at}), IGNORE, aux_at=METHODS.get(method).aux_at)
        in_cells = cell_cross_entropy(self.scores, self.masks, 4, IGNORE)
        assert torch.equal(loss.auxiliary(self.scores, self.masks, 4), in_cells) == cells

    @pytest.mark.parametrize("at", ["cells", "pixels"])
    def test_nothing_labelled_is_zero(self, at: str) -> None:
        nothing = torch.full_like(self.masks, IGNORE)
        assert make({"aux_at": at}).auxiliary(self.scores, nothing, 4).item() == 0
