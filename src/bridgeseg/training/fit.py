"""Train: configuration in, run folder out."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor

from bridgeseg import __version__
from bridgeseg.checkpoint import Checkpoint, save_checkpoint
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, InputError
from bridgeseg.evaluation.metrics import Scores
from bridgeseg.models.registry import build
from bridgeseg.text import embed
from bridgeseg.training.callbacks import KeepBest, RunProgress, StopOnNan
from bridgeseg.training.config import TrainConfig, load_values, set_values
from bridgeseg.training.datamodule import DataModule
from bridgeseg.training.losses import SegmentationLoss
from bridgeseg.training.module import TrainModule
from bridgeseg.training.report import write_pictures

RESUME, SETTINGS = "resume.ckpt", "train.json"


@dataclass(frozen=True)
class TrainResult:
    """A finished run: its folder, the scores of its best checkpoint (None without validation), and their epoch."""

    folder: Path
    scores: Scores | None
    epoch: int


def train(
    data: str | Path | None = None,
    out: str | Path = "runs/run",
    *,
    config: TrainConfig | str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> TrainResult:
    """Train a network.

    Args:
        data: path of the data.yaml; needed unless `config` or a resumed run names it.
        out: run folder; must be empty or absent unless `resume`.
        config: a `TrainConfig` or a file of one; `settings` go on top.
        resume: continue the run in `out` from its last finished epoch, with the settings it was started with.
        quiet: no progress bar.
        settings: keys of `TrainConfig`, dotted for the inner ones: `**{"model.method": "none", "epochs": 10}`.

    Returns:
        The run folder holds `train.json` (settings), `best/` and `last/` (checkpoints), `resume.ckpt`, `metrics.csv`,
        TensorBoard logs and pictures.

    Raises:
        InputError: settings, data, weights or the folder cannot be used.
    """
    out = Path(out)
    values: dict[str, Any] = {}
    if resume and (out / SETTINGS).is_file():
        values = load_values(out / SETTINGS)
    elif isinstance(config, TrainConfig):
        values = config.model_dump(mode="json")
    elif config is not None:
        values = load_values(config)
    given = {key: value for key, value in settings.items() if value is not None}
    if data is not None:
        given["data"] = str(data)
    merged = set_values(values, given)
    if "data" not in merged:
        raise ConfigError("no dataset given", fix="pass data='.../data.yaml' (on the command line: --data)")
    return fit(TrainConfig.parse(merged), out, resume=resume, quiet=quiet)


def fit(config: TrainConfig, out: Path, *, resume: bool = False, quiet: bool = False) -> TrainResult:
    """Train exactly what `config` says; see `train`."""
    torch.set_flush_denormal(True)  # tiny squared gradients slow a CPU many times over
    _claim(out, resume)
    spec = DataSpec.load(config.data)
    pl.seed_everything(config.seed, workers=False, verbose=False)
    names, guided = list(spec.classes.names), config.model.method != "none"
    vectors = embed(spec.classes, config.text_encoder, templates=config.templates).vectors if guided else None
    segmentor = build(config.model, len(names), vectors, config.backbone_weights)
    data = DataModule(spec, config)
    shares = None
    if data.statistics is not None:
        shares = (data.statistics.pixels / max(1, data.statistics.pixels.sum())).tolist()
    module = TrainModule(segmentor, config, SegmentationLoss(config.loss, spec.classes.ignore_index, shares), names)
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    (out / SETTINGS).write_text(json.dumps(config.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    commit = _commit()

    def save(name: str, module: TrainModule, scores: Scores | None, epoch: int) -> None:
        facts = _provenance(config, commit, spec, module, scores, epoch)
        save_checkpoint(out / name, Checkpoint(module.segmentor, config.model, spec.classes, facts))

    keep_best = KeepBest(save, out / "metrics.csv")
    trainer = _trainer(config, out, keep_best, quiet, validates=data.val is not None)
    resume_from = out / RESUME if resume and (out / RESUME).is_file() else None
    try:
        trainer.fit(module, datamodule=data, ckpt_path=resume_from, weights_only=True)
    except KeyboardInterrupt:
        raise InputError("stopped", where=out, fix=f"continue with --out {out} --resume") from None
    if trainer.interrupted:
        raise InputError("stopped", where=out, fix=f"continue with --out {out} --resume")
    scores = keep_best.scores
    if trainer.is_global_zero:
        save("last", module, None, config.epochs)
        write_pictures(out, spec, config.val_split or config.train_splits[0], scores)
    return TrainResult(out, scores, keep_best.best_epoch)


def _trainer(config: TrainConfig, out: Path, keep_best: KeepBest, quiet: bool, validates: bool) -> pl.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    callbacks: list[Callback] = [keep_best, StopOnNan(), LearningRateMonitor("epoch")]
    if config.ema:
        callbacks.append(WeightAveraging(avg_fn=_average(config.ema)))
    if not quiet:
        callbacks.append(RunProgress())
    callbacks.append(
        ModelCheckpoint(dirpath=out, filename="resume", save_on_train_epoch_end=True, enable_version_counter=False)
    )
    return pl.Trainer(
        accelerator=config.accelerator,
        devices=config.devices if config.devices == "auto" else _devices(config.devices),
        num_nodes=config.num_nodes,
        strategy=config.strategy,
        precision=config.precision,
        max_epochs=config.epochs,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip or None,
        check_val_every_n_epoch=config.val_every,
        limit_val_batches=1.0 if validates else 0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=callbacks,
        logger=[CSVLogger(out, name="", version="logs"), TensorBoardLogger(out, name="", version="logs")],
        default_root_dir=out,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10,
    )


def _average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Exponential moving average whose decay rises as (1 + n) / (10 + n) to its value, so that short runs forget their start."""

    def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        return averaged * now + current * (1 - now)

    return average


def _devices(value: str) -> int | list[int]:
    try:
        return [int(part) for part in value.split(",")] if "," in value else int(value)
    except ValueError as error:
        raise ConfigError(f"devices {value!r} is no number", fix="give `auto`, a number, or a list as in 0,1") from error


def _claim(out: Path, resume: bool) -> None:
    """Make the run folder; refuse one that holds a run, unless it is to be resumed."""
    if out.exists() and not out.is_dir():
        raise InputError("is a file, not a run folder", where=out, fix="choose another --out")
    if (out / SETTINGS).exists() and not resume:
        raise InputError("holds a run already", where=out, fix="choose another --out, or continue it with --resume")
    if resume and not (out / SETTINGS).exists():
        raise InputError("holds no run to resume", where=out, fix="start it without --resume")
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".probe"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", where=out, fix="choose another --out") from error


def _provenance(
    config: TrainConfig, commit: str | None, spec: DataSpec, module: TrainModule, scores: Scores | None, epoch: int
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "method": config.model.method,
        "backbone": config.model.backbone,
        "decoder": config.model.decoder,
        "text_encoder": Path(config.text_encoder).name if config.model.method != "none" else None,
        "data": spec.to_dict(),
        "seed": config.seed,
        "epoch": epoch,
        "image_size": list(config.augment.crop_size),
        "parameters": sum(parameter.numel() for parameter in module.segmentor.parameters()),
        "bridgeseg": __version__,
        "commit": commit,
        "config": config.model_dump(mode="json")
        | {"data": Path(config.data).name, "text_encoder": Path(config.text_encoder).name},
    }
    if scores is not None:
        facts["scores"] = {"split": config.val_split, **scores.to_dict()}
    return facts


def _commit() -> str | None:
    """Return the commit of a source checkout, None for an installed package."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(Path(__file__).parents[4])},
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
