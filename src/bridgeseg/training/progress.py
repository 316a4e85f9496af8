"""One progress bar for the whole run, on standard error."""

from __future__ import annotations

import math
import time
from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PERIOD = 0.25
"""Seconds between two looks at the loss: reading it makes the program wait for the device."""


class RunProgress(pl.Callback):
    """Shows step, loss (smoothed), mIoU and the time left."""

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self.loss, self.miou = math.nan, math.nan
        self._looked = -math.inf

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the step a resumed run starts from."""
        if not trainer.is_global_zero:
            return
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[values]}"),
            console=Console(stderr=True),
        )  # fmt: skip
        self.bar.start()
        total = int(trainer.num_training_batches) * int(trainer.max_epochs or 1)
        done = int(trainer.num_training_batches) * trainer.current_epoch
        self.bar.add_task("training", total=total, completed=done, values="")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on by one step."""
        if self.bar is None:
            return
        task = self.bar.tasks[0].id
        now = time.monotonic()
        if now - self._looked < PERIOD and not trainer.is_last_batch:
            self.bar.advance(task)
            return
        self._looked = now
        loss = float(outputs["loss"])
        self.loss = loss if math.isnan(self.loss) else 0.9 * self.loss + 0.1 * loss
        values = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  loss {self.loss:.3f}"
        values += "" if math.isnan(self.miou) else f"  mIoU {self.miou:.3f}"
        self.bar.update(task, advance=1, values=values)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the last mIoU."""
        self.miou = float(trainer.callback_metrics.get("val_miou", math.nan))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar, whatever happened."""
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
