"""What happens around the steps: scores, the best checkpoint and the table of epochs; a stop when numbers go wrong."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from bridgeseg.errors import ConfigError, DataError, InputError
from bridgeseg.files import write
from bridgeseg.metrics import Scores, join_scores
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.training.folder import FULL
from bridgeseg.training.module import TrainModule

Save = Callable[[str, Segmentor, Scores | None, int], None]

LOSSES = ("train_loss", "train_aux_loss", "train_deep_loss", "train_teacher_loss")
"""What the table has of the training, where there is such a loss."""
EXPLODED = 1e5
"""A loss above this never comes back; that of a network which knows nothing is the logarithm of the class count."""
LOOK_EVERY = 16
"""Steps between two looks at the losses on a device other than the CPU: every look waits for the device."""


class KeepBest(pl.Callback):
    """Score every validation, keep the network with the highest mIoU, and write a table with a line for each epoch.

    Must stand before the weight-averaging callback: it then sees the averaged weights that were validated.

    Args:
        save: called as save("best", segmentor, scores, epoch) by the first process.
        table: CSV file: epoch, learning rate (of all but the backbone), losses, scores, IoU of every class.
        period: says after how many epochs a run of so many is validated.

    Attributes:
        best: scores of the best validation, None before the first.
        best_epoch: its epoch, counted from 1; 0 before the first.
        latest: scores of the last validation.
        rows: lines of the table, which a resumed run takes from its state and not from the file.
    """

    def __init__(self, save: Save, table: Path, period: Callable[[int], int]) -> None:
        self.save, self.table, self.period = save, table, period
        self.best: Scores | None = None
        self.best_epoch = 0
        self.latest: Scores | None = None
        self.rows: list[dict[str, Any]] = []
        self._validated = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """See to it that the last epoch is validated, whatever the period of validations."""
        epochs = trainer.max_epochs or 1
        trainer.check_val_every_n_epoch = 1 if trainer.current_epoch + 1 == epochs else self.period(epochs)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score, log, save."""
        if not isinstance(pl_module, TrainModule):
            return
        epoch = trainer.current_epoch + 1
        scores = pl_module.gather_scores()
        for name, part in (scores.parts or {"": scores}).items():
            if not math.isnan(part.miou):
                continue
            raise DataError(
                f"no pixel of the {part.images} validation images{name and f' of {name}'} is labelled, so there is "
                "nothing to score",
                fix="choose another `val_split`, correct `label_map`, or use `val_split=none`",
            )
        pl_module.log("val_miou", scores.miou)  # by all processes: what ends a training early reads it
        losses = pl_module.gather_losses()
        pl_module.log("val_loss", sum(losses) / len(losses), rank_zero_only=True)
        for (name, part), key, loss in zip(
            scores.parts.items(), pl_module.loss_names("val_loss"), losses, strict=False
        ):
            pl_module.log(f"val_miou {name}", part.miou, rank_zero_only=True)
            pl_module.log(key, loss, rank_zero_only=True)
        self.latest, self._validated = scores, epoch
        if self.best is None or scores.miou > self.best.miou:
            self.best, self.best_epoch = scores, epoch
            if trainer.is_global_zero:
                self.save("best", pl_module.segmentor, scores, epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the line of the epoch."""
        epoch = trainer.current_epoch + 1
        metrics = trainer.callback_metrics  # computed by all processes together
        if not trainer.is_global_zero or not isinstance(pl_module, TrainModule):
            return
        groups = trainer.optimizers[0].param_groups
        row: dict[str, Any] = {"epoch": epoch}
        row["lr"] = next((group["lr"] for group in groups if group["initial_lr"] == pl_module.config.lr), "")
        losses = (*LOSSES, *pl_module.loss_names("train_loss"))
        row |= {key: float(metrics[key]) for key in losses if key in metrics}
        if self.latest is not None and self._validated == epoch:
            scores = self.latest.to_dict()
            row |= {"val_loss": float(metrics["val_loss"]), **{key: scores[key] for key in ("miou", "macc", "aacc")}}
            row |= {f"miou {name}": part.to_dict()["miou"] for name, part in self.latest.parts.items()}
            row |= {key: float(metrics[key]) for key in pl_module.loss_names("val_loss") if key in metrics}
            row |= {f"iou {name}": value for name, value in scores["iou"].items()}
        self.rows = [*(old for old in self.rows if old["epoch"] < epoch), row]
        write_rows(self.table, self.rows)

    def state_dict(self) -> dict[str, Any]:
        """Remember the scores across a resume."""
        kept = {"best": _pack(self.best), "best_epoch": self.best_epoch, "latest": _pack(self.latest)}
        return kept | {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.best, self.latest = _unpack(state_dict.get("best")), _unpack(state_dict.get("latest"))
        self.best_epoch = state_dict["best_epoch"] if self.best is not None else 0
        rows = state_dict.get("rows")
        self.rows = read_rows(self.table) if rows is None else rows  # states of before had none


class StopOnNan(pl.Callback):
    """Stop with a clear error when the loss or the weights are no longer numbers, before anything of it is stored."""

    def __init__(self) -> None:
        self._recent: list[tuple[int, Tensor, Tensor]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the losses of the last steps; at the end of an epoch at the weights as well."""
        loss: Tensor = outputs["loss"]
        self._recent.append((trainer.global_step, loss.detach(), batch[2]))
        if loss.device.type == "cpu" or len(self._recent) == LOOK_EVERY or trainer.is_last_batch:
            self._look(trainer)
        if trainer.is_last_batch:
            norm = torch.nn.utils.get_total_norm([parameter.detach() for parameter in pl_module.parameters()])
            if not bool(torch.isfinite(norm)):
                raise _diverged(f"the weights are no longer finite at step {trainer.global_step}", trainer)

    def _look(self, trainer: pl.Trainer) -> None:
        recent, self._recent = self._recent, []
        losses = torch.stack([loss for _, loss, _ in recent]).tolist()
        for (step, _, indices), loss in zip(recent, losses, strict=True):
            if not abs(loss) <= EXPLODED:
                dataset = trainer.train_dataloader.dataset  # type: ignore[union-attr]
                # the loss is that of all processes, so all of them are here
                together = trainer.strategy.all_gather(indices).flatten().tolist()
                files = [str(dataset.samples[index].image) for index in together]
                listed = ", ".join(files[:8]) + (f", ... ({len(files) - 8} more)" if len(files) > 8 else "")
                raise _diverged(f"the loss is {loss:g} at step {step}; images of the step: {listed}", trainer)


class ExpectGradients(pl.Callback):
    """Stop with a clear error where DDP waits for the gradient of a parameter that gets none."""

    def __init__(self) -> None:
        self._looked = False

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look once, after the first step."""
        model = trainer.strategy.model
        if self._looked or not isinstance(model, DistributedDataParallel) or model.find_unused_parameters:
            return
        self._looked = True
        idle = [name for name, value in pl_module.named_parameters() if value.requires_grad and value.grad is None]
        if idle:
            raise ConfigError(
                f"with these settings a part of the network gets no gradient ({idle[0]}), which this strategy does not "
                "expect",
                fix="`strategy=ddp_find_unused_parameters_true`",
            )


class RightRate(pl.Callback):
    """Begin with the learning rate of the schedule: in a run that was given more epochs, the stored one is another."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the rate of every group of parameters."""
        set_rates(trainer)


def set_rates(trainer: pl.Trainer) -> None:
    """Set the rate of every group of parameters to what the schedule says of the step that comes next."""
    for config in trainer.lr_scheduler_configs:
        schedule = config.scheduler
        if isinstance(schedule, torch.optim.lr_scheduler.LambdaLR):
            groups = zip(schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True)
            for group, base, factor in groups:
                group["lr"] = base * factor(schedule.last_epoch)


def _diverged(message: str, trainer: pl.Trainer) -> InputError:
    scored = [callback for callback in trainer.callbacks if isinstance(callback, KeepBest) and callback.best_epoch]  # type: ignore[attr-defined]
    good = f"best/ holds the good network of epoch {scored[0].best_epoch}" if scored else "no epoch was scored before"
    return InputError(message, fix=f"start a new run with a lower `lr`, or with `precision=32-true`; {good}")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a table of epochs, as far as it can be read: none if it is lost or damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [{**row, "epoch": int(row["epoch"])} for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return []


def restore_table(path: Path, rows: list[dict[str, Any]] | None) -> None:
    """Write the table again, and say so, if its file does not hold the lines that the state of the run remembers.

    Raises:
        InputError: the file cannot be written.
    """
    if rows and _texts(read_rows(path)[: len(rows)]) != _texts(rows):
        print(f"warning: {path}: was lost or damaged; restored from the state of the run", file=sys.stderr)
        write_rows(path, rows)


def _texts(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{key: str(value) for key, value in row.items() if value not in ("", None)} for row in rows]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a table of epochs, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    # epochs without validation have fewer columns
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    write(path, text.getvalue(), fix=FULL)


def _pack(scores: Scores | None) -> dict[str, Any] | None:
    """Turn scores into what PyTorch loads without executing code."""
    if scores is None:
        return None
    if scores.parts:
        return {"parts": {name: _pack(part) for name, part in scores.parts.items()}}
    return {"confusion": torch.from_numpy(scores.confusion), "names": list(scores.iou), "images": scores.images}


def _unpack(state: Any) -> Scores | None:
    if not isinstance(state, dict):
        return None
    if "parts" in state:
        parts = {name: _unpack(part) for name, part in state["parts"].items()}
        return join_scores({name: part for name, part in parts.items() if part is not None})
    return Scores.from_confusion(state["confusion"].numpy(), state["names"], state["images"])
