"""What happens around the steps: scores and the best checkpoint, one progress bar for the whole run."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bridgeseg.errors import InputError
from bridgeseg.evaluation.metrics import Scores
from bridgeseg.training.module import TrainModule

Save = Callable[[str, TrainModule, Scores | None, int], None]


class KeepBest(pl.Callback):
    """Score every validation, and keep the network with the highest mIoU.

    Must stand before the weight-averaging callback: it then sees the averaged weights that were validated.

    Args:
        save: called as save("best", module, scores, epoch) by the first process.
        table: CSV file of one line a validation, per-class IoU included.
    """

    def __init__(self, save: Save, table: Path) -> None:
        self.save, self.table = save, table
        self.best, self.best_epoch = -1.0, -1
        self.scores: Scores | None = None

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score, log, save."""
        if trainer.sanity_checking or not isinstance(pl_module, TrainModule):
            return
        scores = pl_module.gather_scores()
        pl_module.log("val_miou", scores.miou, rank_zero_only=True)
        if not trainer.is_global_zero:
            return
        _append(self.table, {"epoch": trainer.current_epoch + 1, "miou": scores.miou, "macc": scores.macc,
                           "aacc": scores.aacc, **{f"iou {name}": value for name, value in scores.iou.items()}})
        if scores.miou > self.best or math.isnan(self.best):
            self.best, self.best_epoch, self.scores = scores.miou, trainer.current_epoch + 1, scores
            self.save("best", pl_module, scores, trainer.current_epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Remember the best score across a resume."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]


class StopOnNan(pl.Callback):
    """Stop with a clear error when the loss is no longer a number."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the loss of the step."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if isinstance(loss, torch.Tensor) and not bool(torch.isfinite(loss)):
            dataset = trainer.train_dataloader.dataset  # type: ignore[union-attr]
            files = [str(dataset.samples[int(i)].image) for i in batch[2]]
            raise InputError(
                f"the loss is {float(loss)} at step {trainer.global_step}; images of the step: {', '.join(files[:8])}",
                fix="lower --lr, or train with --precision 32-true; the last good checkpoint is in the run folder",
            )


class RunProgress(pl.Callback):
    """One bar for the whole run: step, loss, mIoU, time left; on standard error."""

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self.loss, self.miou = math.nan, math.nan

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
        loss = float(outputs["loss"] if isinstance(outputs, dict) else outputs)
        self.loss = loss if math.isnan(self.loss) else 0.95 * self.loss + 0.05 * loss
        values = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  loss {self.loss:.3f}"
        values += "" if math.isnan(self.miou) else f"  mIoU {self.miou:.3f}"
        self.bar.update(self.bar.tasks[0].id, advance=1, values=values)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the last mIoU."""
        self.miou = float(trainer.callback_metrics.get("val_miou", math.nan))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar, whatever happened."""
        if self.bar is not None:
            self.bar.stop()


def _append(path: Path, row: dict[str, Any]) -> None:
    """Add a line to a CSV; lines of a killed run that are being repeated are dropped."""
    kept: list[dict[str, Any]] = []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            kept = [old for old in csv.DictReader(file) if int(old["epoch"]) < row["epoch"]]
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        writer.writeheader()
        writer.writerows([*kept, row])
    temporary.replace(path)
