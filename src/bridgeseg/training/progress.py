"""How far a run is: a bar on a terminal, a line for each epoch elsewhere and in the run folder's `train.log`."""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from bridgeseg.files import append
from bridgeseg.report.progress import ProgressBar, time_left

PERIOD = 0.25
"""Seconds between two looks at the loss: reading it makes the program wait for the device."""
LOG = "train.log"


class RunProgress(pl.Callback):
    """Shows epoch, loss, mIoU and the time left.

    Args:
        out: the run folder; its `train.log` gets a line for each epoch.
        quiet: show nothing, and only write the log.
    """

    def __init__(self, out: Path, quiet: bool = False) -> None:
        self.out, self.quiet = out, quiet
        self.bar: ProgressBar | None = None
        self.loss, self.miou = math.nan, math.nan
        self.parts: dict[str, float] = {}
        self._looked = -math.inf
        self._start, self._first_epoch = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the step a resumed run starts from."""
        if not trainer.is_global_zero:
            return
        self._start, self._first_epoch = time.monotonic(), trainer.current_epoch
        steps = int(trainer.num_training_batches)
        total = steps * int(trainer.max_epochs or 1)
        self.bar = ProgressBar("training", total, done=steps * trainer.current_epoch, show=not self.quiet)
        self.bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on by one step."""
        if self.bar is None or not self.bar.moving:
            return
        now = time.monotonic()
        if now - self._looked < PERIOD and not trainer.is_last_batch:
            self.bar.advance()
            return
        self._looked = now
        loss = float(outputs["loss"])
        self.loss = loss if math.isnan(self.loss) else 0.9 * self.loss + 0.1 * loss
        self.bar.advance(note=_line(trainer.current_epoch + 1, trainer.max_epochs, self.loss, self.miou))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember the last mIoU."""
        found = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_miou")}
        self.miou = found.pop("val_miou", math.nan)
        self.parts = {name.removeprefix("val_miou "): value for name, value in found.items()}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the line of the epoch."""
        if self.bar is None:
            return
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 1
        loss = float(trainer.callback_metrics.get("train_loss", math.nan))
        done = epoch - self._first_epoch
        left = time_left(time.monotonic() - self._start, done, epochs - self._first_epoch)
        parts = ", ".join(f"{name} {value:.3f}" for name, value in self.parts.items())
        line = f"{_line(epoch, epochs, loss, self.miou)}{parts and f' ({parts})'}  {left} left"
        log(self.out, line)
        if not self.quiet and not self.bar.moving:
            print(line, file=sys.stderr, flush=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar, whatever happened."""
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.stop()


def log(out: Path, text: str) -> None:
    """Add lines to the run folder's `train.log`, with the time; it only informs, so that a full disk does no harm."""
    with suppress(OSError):
        append(out / LOG, f"{datetime.now():%Y-%m-%d %H:%M:%S}  {text}\n")


def _line(epoch: int, epochs: int | None, loss: float, miou: float) -> str:
    return f"epoch {epoch}/{epochs}  loss {loss:.3f}" + ("" if math.isnan(miou) else f"  mIoU {miou:.3f}")
