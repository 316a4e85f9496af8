"""The two kinds of training loop that `train_throughput.py` compares: a bare one, and turns with the real one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from bridgeseg.models.segmentor import STRIDE, Segmentor, to_size
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.averaging import ema_update
from bridgeseg.training.losses import SegmentationLoss
from bridgeseg.training.module import parameter_groups

REAL = "bridgeseg training"
SKIP = 3
"""Steps at the start of every turn that are not timed: the loader refills its queue, caches refill."""

Batch = tuple[Tensor, Tensor]
"""Normalised images (B, 3, h, w) and masks (B, h, w), on the device of the network."""


class Bare:
    """The plainest loop: forward, losses, backward, optimiser, and on request what else the real step does.

    Args:
        segmentor: trained by this loop alone.
        config: rates and losses.
        loss: as in the real training.
        batches: where the next batch comes from.
        clip: scale gradients as the real training does.
        average: keep averaged weights as the real training does.
    """

    def __init__(
        self,
        segmentor: Segmentor,
        config: TrainConfig,
        loss: SegmentationLoss,
        batches: Iterator[Batch],
        clip: bool = False,
        average: bool = False,
    ) -> None:
        self.segmentor, self.config, self.loss, self.batches, self.clip = segmentor, config, loss, batches, clip
        self.optimiser = torch.optim.AdamW(parameter_groups(segmentor, config), lr=config.lr, fused=True)
        self.average = AveragedModel(segmentor, multi_avg_fn=self._update, use_buffers=True) if average else None

    def step(self) -> None:
        """Train on one batch."""
        images, masks = next(self.batches)
        output = self.segmentor(images)
        loss = self.loss(to_size(output.logits, STRIDE, images), masks)
        if output.score_map is not None and self.config.loss.aux:
            stride = STRIDE * output.logits.shape[-1] // output.score_map.shape[-1]
            auxiliary = self.loss.auxiliary(output.score_map, masks, stride)
            loss = loss + self.config.loss.aux * auxiliary
        self.optimiser.zero_grad()
        loss.backward()
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.segmentor.parameters(), self.config.clip)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.segmentor)

    def _update(self, averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        ema_update(averaged, current, self.config.ema, int(count))


class TakeTurns(pl.Callback):
    """Times the steps of the trainer it sits in, and lets the bare loops run in between.

    Must be the last callback. A step of the trainer lasts from the end of one to the end of the next: waiting for the
    loader, callbacks and logging are inside.

    Args:
        loops: name -> step of a bare loop.
        steps: timed steps of a turn.
    """

    def __init__(self, loops: dict[str, Callable[[], None]], steps: int) -> None:
        self.loops, self.steps = loops, steps
        self.seconds: dict[str, list[float]] = {REAL: [], **{name: [] for name in loops}}
        self.count, self.start = 0, 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock after the first steps of a turn, stop it after the last, then let the others run."""
        self.count += 1
        if self.count == SKIP:
            self.start = now(pl_module.device)
        if self.count < SKIP + self.steps:
            return
        self.seconds[REAL].append((now(pl_module.device) - self.start) / self.steps)
        for name, step in self.loops.items():
            for _ in range(SKIP):
                step()
            start = now(pl_module.device)
            for _ in range(self.steps):
                step()
            self.seconds[name].append((now(pl_module.device) - start) / self.steps)
        self.count = 0


def now(device: torch.device) -> float:
    """Return the time in seconds once the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
