"""Where the numbers of a run go besides its own table: loggers of Lightning, chosen by name."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import flatten
from bridgeseg.training import folder
from bridgeseg.training.callbacks import KeepBest
from bridgeseg.training.provenance import public_settings

PROJECT = "bridgeseg"
"""Experiment of MLflow and project of W&B, unless their environment variables name another."""


class Records(pl.Callback):
    """Gives loggers the settings of a run at its start and the scores of its best network at its end.

    Args:
        config: the settings.
        keep_best: knows the best network.
        state: of a run that goes on; what its loggers know is not said again.
    """

    def __init__(self, config: TrainConfig, keep_best: KeepBest, state: Mapping[str, Any] | None) -> None:
        self.config, self.keep_best, self.runs = config, keep_best, known_runs(state)

    @property
    def state_key(self) -> str:
        """Under which name the state is stored."""
        return "Records"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the settings, without folders of this machine."""
        for name, logger in zip(self.config.logger, trainer.loggers, strict=True):
            if trainer.is_global_zero and name not in self.runs:
                logger.log_hyperparams(flatten(public_settings(self.config)))
                self.runs[name] = str(logger.version)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the best scores."""
        best = self.keep_best.best
        if best is None or not trainer.is_global_zero:
            return
        scores = best.to_dict()
        found = {f"best_{key}": scores[key] for key in ("miou", "macc", "aacc")}
        found |= {f"best_iou {name}": value for name, value in scores["iou"].items() if value is not None}
        for logger in trainer.loggers:
            logger.log_metrics(found | {"best_epoch": self.keep_best.best_epoch}, step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Remember under which names the loggers know the run."""
        return {"runs": self.runs}


def known_runs(state: Mapping[str, Any] | None) -> dict[str, str]:
    """Return under which names loggers know a run that goes on."""
    return {} if state is None else dict(state["callbacks"].get("Records", {}).get("runs", {}))


def make_loggers(config: TrainConfig, out: Path, state: Mapping[str, Any] | None) -> list[Logger]:
    """Make the loggers of a run; one that goes on is the same run to them.

    Nothing leaves the machine, unless environment variables of MLflow or W&B say so.

    Args:
        config: the settings.
        out: the run folder.
        state: of a run that goes on; see `folder.read_state`.

    Raises:
        MissingDependencyError: the package of one is not installed.
    """
    runs, begun = known_runs(state), 0 if state is None else int(state["epoch"]) + 1
    return [MAKERS[name](out, runs.get(name), begun) for name in config.logger]


def _tensorboard(out: Path, _run: str | None, _begun: int) -> Logger:
    return TensorBoardLogger(out, name="", version=folder.LOGS, default_hp_metric=False)


def _csv(out: Path, _run: str | None, begun: int) -> Logger:
    # Lightning's clears its folder when it begins, so each session of a run has its own
    return CSVLogger(out, name="", version=f"{folder.LOGS}/csv" + (f"-{begun}" if begun else ""))


def _mlflow(out: Path, run: str | None, _begun: int) -> Logger:
    with _unless_set(MLFLOW_DISABLE_TELEMETRY="true"):
        import mlflow  # noqa: F401

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # importing it sets a level of its own
        place = (out / folder.LOGS).absolute()
        place.mkdir(parents=True, exist_ok=True)
        chosen = os.environ.get("MLFLOW_TRACKING_URI")
        return MLFlowLogger(
            os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT),
            run_name=out.absolute().name,
            tracking_uri=chosen or f"sqlite:///{place / 'mlflow.db'}",
            artifact_location=None if chosen else (place / "mlflow").as_uri(),
            run_id=run,
        )


def _wandb(out: Path, run: str | None, _begun: int) -> Logger:
    place = out / folder.LOGS
    place.mkdir(parents=True, exist_ok=True)
    asked = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
    reports = {} if asked == "online" else {"WANDB_ERROR_REPORTING": "false"}
    with _unless_set(**reports):
        import wandb

        return WandbLogger(
            name=out.absolute().name,
            save_dir=place,
            id=run,
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            mode=asked,
            settings=wandb.Settings(console="off", silent=True),
        )


MAKERS: dict[str, Callable[[Path, str | None, int], Logger]] = {
    "tensorboard": _tensorboard,
    "csv": _csv,
    "mlflow": _mlflow,
    "wandb": _wandb,
}


@contextmanager
def closed() -> Iterator[None]:
    """End what loggers leave open in the process, so that its next training begins afresh.

    MLflow puts its store into the environment, and Lightning ends no run of W&B; one that was there before stays.
    """
    name = "MLFLOW_TRACKING_URI"
    store, run = os.environ.get(name), _wandb_run()
    failed = True
    try:
        yield
        failed = False
    finally:
        os.environ.pop(name, None)
        os.environ.update({} if store is None else {name: store})
        if (now := _wandb_run()) is not None and now is not run:
            now.finish(exit_code=int(failed))


def _wandb_run() -> Any:
    return getattr(sys.modules.get("wandb"), "run", None)


@contextmanager
def _unless_set(**variables: str) -> Iterator[None]:
    """Set environment variables that the user has not set while a package is imported, which reads them then."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
