"""When a training ends: with its last epoch, without progress, or in a time, to which its schedule is fitted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping

from bridgeseg.report.progress import time_left
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.callbacks import set_rates
from bridgeseg.training.length import epoch_length
from bridgeseg.training.module import TrainModule
from bridgeseg.training.progress import say

Ending = Literal["epochs", "time_limit", "early_stop"]
"""What a finished run ended with."""
RESERVE = 0.97
"""Share of the time limit that is planned; the rest is for what follows the last step."""


class EarlyStop(EarlyStopping):
    """Lightning's early stopping by the mIoU of validations, the score that `best` follows.

    Args:
        patience: validations in a row without a better one.
        out: the run folder; its log says that the training ended early.
        quiet: only log.
    """

    def __init__(self, patience: int, out: Path, quiet: bool = False) -> None:
        super().__init__("val_miou", patience=patience, mode="max", check_on_train_epoch_end=False)
        self.out, self.quiet = out, quiet

    @property
    def state_key(self) -> str:
        """Under which name the state is stored."""
        return "EarlyStop"

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave; the patience is that of the settings, which may have changed."""
        super().load_state_dict(state_dict | {"patience": self.patience})

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say that the training ended early, if it did."""
        if trainer.is_global_zero and self.wait_count >= self.patience:
            best, done = float(self.best_score), trainer.current_epoch
            text = f"no mIoU above {best:.3f} in {self.wait_count} validations: the training ends after epoch {done}"
            say(self.out, text, quiet=self.quiet)


class TimeLimit(pl.Callback):
    """Counts the time of a run, and fits the number of its epochs to the time limit after each.

    The learning rate goes by that number, so it falls to its end whenever the run ends. The plan is stored with the
    epoch it was made after; a resumed run goes on with it, whatever the time now.

    Args:
        limit: minutes; None to count the time and do nothing.
        out: the run folder; its log says what is planned.
        quiet: only log.

    Attributes:
        spent: seconds of training, of all processes that worked on the run one after another.
        epochs: how many are planned; None before the first plan.
    """

    def __init__(self, limit: float | None, out: Path, quiet: bool = False) -> None:
        self.limit, self.out, self.quiet = limit, out, quiet
        self.spent = 0.0
        self.epochs: int | None = None
        self._before, self._start, self._validating, self._validation = 0.0, 0.0, 0.0, 0.0

    @property
    def state_key(self) -> str:
        """Under which name the state is stored."""
        return "TimeLimit"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._before, self._start = self.spent, time.monotonic()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the time of a validation: one more will follow the last epoch."""
        self._validating = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep it."""
        self._validation = time.monotonic() - self._validating

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Plan how many epochs fit."""
        # the first process's clock is everyone's: all must stop after the same epoch
        now = self._before + time.monotonic() - self._start
        self.spent, self._validation = trainer.strategy.broadcast((now, self._validation))
        if self.limit is None or not isinstance(pl_module, TrainModule):
            return
        done, most = trainer.current_epoch + 1, pl_module.config.whole
        fitting = fitting_epochs(pl_module.config, done, self.spent, self._validation)
        due = any(trainer.num_val_batches) and done < most and done % (trainer.check_val_every_n_epoch or 1) != 0
        planned = max(fitting, done + due)  # what is shown last must be validated
        if planned != trainer.max_epochs:
            trainer.fit_loop.max_epochs = planned
            pl_module.total_steps = planned * epoch_length(trainer)
            set_rates(trainer)
        if trainer.is_global_zero and (self.epochs is None or planned == done < most):
            self._tell(done, planned, most)
        self.epochs = planned

    def _tell(self, done: int, planned: int, most: int) -> None:
        limit = time_left((self.limit or 0) * 60, 1, 2)
        if planned == most:
            text = f"all {planned} epochs fit into the time limit of {limit}"
        elif planned == done:
            text = f"the time limit of {limit} ends the training after epoch {done} of {most}"
        else:
            text = f"about {planned} of {most} epochs fit into the time limit of {limit}"
        say(self.out, text, quiet=self.quiet)

    def state_dict(self) -> dict[str, Any]:
        """Remember the time and the plan across a resume."""
        return {"limit": self.limit, "spent": self.spent, "validation": self._validation, "epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.spent, self._validation = state_dict["spent"], state_dict["validation"]
        self.epochs = state_dict["epochs"] if state_dict["limit"] == self.limit else None


def fitting_epochs(config: TrainConfig, done: int, spent: float, validation: float) -> int:
    """Return how many epochs fit into the time limit; never fewer than are done, nor more than `epochs`.

    Args:
        config: the settings.
        done: epochs that are done, at least one.
        spent: seconds that they took with their validations.
        validation: seconds of one more validation.
    """
    left = RESERVE * 60 * (config.time_limit or 0) - spent - validation
    return min(config.whole, done + max(0, int(left / max(spent / done, 1e-6))))


def planned_epochs(config: TrainConfig, state: Mapping[str, Any] | None) -> int:
    """Return how many epochs a run has as far as it is known: all, or those that fit into its time limit.

    Args:
        config: the settled settings.
        state: of a run that goes on; see `folder.read_state`. A plan in it counts if it was made for the same limit.
    """
    kept = {} if state is None else state["callbacks"].get("TimeLimit", {})
    if state is None or config.time_limit is None or not kept.get("spent"):
        return config.whole
    if kept["limit"] == config.time_limit and kept["epochs"] is not None:
        return min(config.whole, int(kept["epochs"]))
    return fitting_epochs(config, int(state["epoch"]) + 1, kept["spent"], kept["validation"])


def how_ended(config: TrainConfig, state: Mapping[str, Any] | None) -> Ending | None:
    """Say what ended a run, by the state that it left; None if it goes on."""
    if state is None:
        return None
    done = int(state["epoch"]) + 1
    if done >= config.whole:
        return "epochs"
    waited = state["callbacks"].get("EarlyStop", {}).get("wait_count", 0)
    if config.early_stop is not None and waited >= config.early_stop:
        return "early_stop"
    return "time_limit" if done >= planned_epochs(config, state) else None


def ending_text(config: TrainConfig, ending: Ending, done: int) -> str:
    """Say for a person what ended a run."""
    if ending == "epochs":
        return f"all {done} epochs of this run are done"
    if ending == "early_stop":
        return f"this run ended early, after epoch {done} of {config.epochs}; a larger early_stop lets it go on"
    return f"the time limit ended this run after epoch {done} of {config.epochs}; a larger one lets it go on"
