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
UNTYPICAL, TYPICAL = 3, 20
"""Steps before the speed is measured, and steps over which it is."""


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
        self._seen, self._typical = 0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the step a resumed run starts from."""
        if not trainer.is_global_zero:
            return
        self._start, self._first_epoch = time.monotonic(), trainer.current_epoch
        steps, epochs = int(trainer.num_training_batches), int(trainer.max_epochs or 1)
        self.bar = ProgressBar("training", steps * epochs, done=steps * trainer.current_epoch, show=not self.quiet)
        self.bar.start()
        say(self.out, _length(trainer, epochs), quiet=self.quiet)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Follow the plan of a run whose time is limited."""
        if self.bar is not None:
            self.bar.advance(0, total=int(trainer.num_training_batches) * int(trainer.max_epochs or 1))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on by one step; say how long the run will take, once its speed is known."""
        if self.bar is None:
            return
        now = time.monotonic()
        self._seen += 1
        if self._seen == UNTYPICAL:
            self._typical = now
        elif self._seen == UNTYPICAL + TYPICAL:
            self._tell_time(trainer, batch_idx, (now - self._typical) / TYPICAL)
        if not self.bar.moving:
            return
        if now - self._looked < PERIOD and not trainer.is_last_batch:
            self.bar.advance()
            return
        self._looked = now
        loss = float(outputs["loss"])
        self.loss = loss if math.isnan(self.loss) else 0.9 * self.loss + 0.1 * loss
        self.bar.advance(note=_line(trainer.current_epoch + 1, trainer.max_epochs, self.loss, self.miou))

    def _tell_time(self, trainer: pl.Trainer, batch_idx: int, seconds: float) -> None:
        """Say how long the steps that are left will take."""
        steps = int(trainer.num_training_batches)
        left = steps * (int(trainer.max_epochs or 1) - trainer.current_epoch) - batch_idx - 1
        told = f"{seconds:.2f} s" if seconds >= 0.1 else f"{1000 * seconds:.0f} ms"
        if left > 0:
            about = time_left(seconds, 1, left + 1)
            say(self.out, f"about {about} to go, at {told} a step, besides validation", quiet=self.quiet)

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
        say(self.out, line, quiet=self.quiet or self.bar.moving)

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


def say(out: Path, text: str, *, quiet: bool = False) -> None:
    """Print to standard error, unless `quiet`, and add to the run folder's log."""
    log(out, text)
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def _length(trainer: pl.Trainer, epochs: int) -> str:
    """Say how long a run is."""
    batches, joined = int(trainer.num_training_batches), trainer.accumulate_grad_batches
    steps = math.ceil(batches / joined)
    begun = f", from epoch {trainer.current_epoch + 1}" if trainer.current_epoch else ""
    return f"{steps * epochs} steps: {epochs} epochs of {steps}{begun}"


def _line(epoch: int, epochs: int | None, loss: float, miou: float) -> str:
    return f"epoch {epoch}/{epochs}  loss {loss:.3f}" + ("" if math.isnan(miou) else f"  mIoU {miou:.3f}")
