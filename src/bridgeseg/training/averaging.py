"""Averaged weights (EMA): what is validated and kept instead of the weights of the last step."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


def ema_update(averaged: list[Tensor], current: list[Tensor], decay: float, count: int) -> None:
    """Move averages towards the current values, in place.

    The decay rises as (1 + n) / (10 + n) to its value (as in TensorFlow's ExponentialMovingAverage), so that short runs
    forget their start. Equal values stay exactly equal; integers, such as the counters of batch norm, are copied.

    Args:
        averaged, current: tensors of one dtype.
        decay: share of the old average, 0..1.
        count: how many values are in the average.
    """
    if averaged[0].is_floating_point():
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + count) / (10 + count)))
    else:
        torch._foreach_copy_(averaged, current)


class Averaging(WeightAveraging):
    """Lightning's weight averaging with `ema_update` after every step, and without waiting for the device.

    With a share of the weights that the training started from, theirs is added to every value that enters the average,
    so that the average is theirs, too, by this share: what lies between a network and its fine-tuned self forgets less
    than the latter and learns nearly as much (Wortsman et al., WiSE-FT, arXiv 2109.01903).

    Args:
        decay: as in `ema_update`.
        start: names in the trained module -> values at the start; the others have no share.
        share: of the start in the average, 0..1.
    """

    def __init__(self, decay: float, start: Mapping[str, Tensor] | None = None, share: float = 0.0) -> None:
        super().__init__(multi_avg_fn=self._update)
        self.decay, self.share = decay, share
        self._start = dict(start or {})
        self._places: dict[int, Tensor] = {}
        self._count = 0

    @property
    def state_key(self) -> str:
        """Under which name the state is stored."""
        return "WeightAveraging"

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Make the averaged copy; its counter stays where the program can read it at once."""
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            self._average_model.n_averaged = self._average_model.n_averaged.cpu()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the place of every value of the start in the averaged copy, which lies on its device now."""
        assert self._average_model is not None
        module = self._average_model.module
        self._places = {
            value.data_ptr(): self._start[name].to(value)
            for name, value in itertools.chain(module.named_parameters(), module.named_buffers())
            if name in self._start
        }

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Update after every step; the number of steps done is the number of values in the average."""
        if step_idx is not None:
            self._count = step_idx
        return step_idx is not None

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with the start: what it was read from may be gone when a run goes on."""
        return super().state_dict() | ({"start": self._start} if self._start else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state."""
        super().load_state_dict(state_dict)
        self._start = state_dict.get("start", {})

    def _update(self, averaged: list[Tensor], current: list[Tensor], _count: Tensor) -> None:
        if self._places and averaged[0].is_floating_point():
            starts = [self._places.get(value.data_ptr()) for value in averaged]
            current = [
                value if start is None else torch.lerp(value, start, self.share)
                for value, start in zip(current, starts, strict=True)
            ]
        ema_update(averaged, current, self.decay, self._count)
