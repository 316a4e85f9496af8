"""Averaged weights (EMA): what is validated and kept instead of the weights of the last step."""

from __future__ import annotations

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

    Args:
        decay: as in `ema_update`.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=self._update)
        self.decay = decay
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

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Update after every step; the number of steps done is the number of values in the average."""
        if step_idx is not None:
            self._count = step_idx
        return step_idx is not None

    def _update(self, averaged: list[Tensor], current: list[Tensor], _count: Tensor) -> None:
        ema_update(averaged, current, self.decay, self._count)
