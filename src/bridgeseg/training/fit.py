"""Train: configuration in, run folder out."""

from __future__ import annotations

import logging
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from bridgeseg.checkpoint import Checkpoint, save_checkpoint
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.extend import METHODS
from bridgeseg.metrics import Scores
from bridgeseg.models.build import build
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import differences, load_values, set_values
from bridgeseg.text import embed
from bridgeseg.text.learned import LearnedPrompts
from bridgeseg.training import folder
from bridgeseg.training.averaging import Averaging
from bridgeseg.training.callbacks import KeepBest, StopOnNan
from bridgeseg.training.datamodule import DataModule, check_data
from bridgeseg.training.losses import SegmentationLoss
from bridgeseg.training.module import TrainModule, unit_length
from bridgeseg.training.processes import SyncBatchNorm
from bridgeseg.training.progress import RunProgress
from bridgeseg.training.provenance import environment, provenance, source_commit
from bridgeseg.training.report import write_pictures
from bridgeseg.training.resolve import resolve
from bridgeseg.training.stops import interruptible, refused, stoppable


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
        out: run folder; must not hold a run unless `resume`.
        config: a `TrainConfig` or a file of one; `settings` go on top.
        resume: continue the run in `out` from its last finished epoch, with the settings it was started with; other
            settings given with it must be the same.
        quiet: no progress bar.
        settings: keys of `TrainConfig`, dotted for the inner ones: `**{"model.method": "none", "epochs": 10}`.

    Returns:
        The run folder holds `train.json` (settings), `environment.json` (versions), `best/` and `last/` (checkpoints),
        `resume.ckpt`, `metrics.csv`, TensorBoard logs and pictures. On several devices only the first process returns.

    Raises:
        InputError: settings, data, weights or the folder cannot be used, the loss is no number, or the run was stopped.
    """
    out = Path(out)
    given = config.model_dump(mode="json") if isinstance(config, TrainConfig) else {}
    if isinstance(config, str | Path):
        given = load_values(config)
    given = set_values(given, settings | ({} if data is None else {"data": str(data)}))
    if resume and (out / folder.SETTINGS).is_file():
        started = TrainConfig.load(out / folder.SETTINGS)
        wanted = TrainConfig.parse(set_values(started.model_dump(mode="json"), given))
        if changed := differences(started, wanted):
            raise ConfigError(
                f"this run was started with other settings: {'; '.join(changed)}",
                where=out,
                fix="continue it with --out and --resume alone, or train anew with another --out",
            )
        return fit(started, out, resume=True, quiet=quiet)
    if "data" not in given:
        folder.refuse_nothing(out, resume)
        raise ConfigError("no dataset given", fix="pass data='.../data.yaml' (on the command line: --data)")
    return fit(TrainConfig.parse(given), out, resume=resume, quiet=quiet)


def fit(config: TrainConfig, out: Path, *, resume: bool = False, quiet: bool = False) -> TrainResult:
    """Train exactly what `config` says; see `train`."""
    config = resolve(config)
    # Processes that are started for further devices run this function too.
    first = getattr(rank_zero_only, "rank", 0) == 0
    with folder.claim(out, resume) if first else nullcontext(), interruptible(out):
        return _fit(config, out, first, resume=resume, quiet=quiet)


def _fit(config: TrainConfig, out: Path, first: bool, *, resume: bool, quiet: bool) -> TrainResult:
    spec = DataSpec.load(config.data)
    if resume:
        folder.check_same_data(out, spec.digest)
    state = folder.read_state(out) if resume else None
    done = 0 if state is None else int(state["epoch"]) + 1
    if first and config.check and done < config.epochs:
        check_data(spec, config, quiet=quiet)
    segmentor, prompts = _network(config, spec, state)
    commit = source_commit()

    def save(name: str, segmentor: Segmentor, scores: Scores | None, epoch: int) -> None:
        facts = provenance(config, commit, spec, segmentor, scores, epoch)
        save_checkpoint(out / name, Checkpoint(segmentor, config.model, spec.classes, facts))

    keep_best = KeepBest(save, out / folder.TABLE)
    if state is not None:
        _load(segmentor, state, out)
    if done < config.epochs:
        state = None  # room for the training
        data = DataModule(spec, config, epoch=done)
        module = _module(config, spec, segmentor, data, prompts)
        trainer = _trainer(config, out, keep_best, quiet, validates=data.val is not None)
        if first and not resume:
            folder.describe(out, config, environment(spec, commit))
        with stoppable(trainer, out):
            trainer.fit(module, datamodule=data, ckpt_path=out / folder.RESUME if done else None, weights_only=True)
    elif first and not quiet:
        print(f"{out}: all {config.epochs} epochs of this run are done", file=sys.stderr)
    if not first:
        sys.exit(0)  # what follows, here and in the calling program, is for one process to do
    # Read back rather than taken from memory, where processes that a strategy spawns leave nothing.
    state = state or folder.read_state(out)
    if state is None:
        raise InputError("the training ended without a finished epoch", where=out)
    _load(segmentor, state, out)
    if prompts is not None:
        prompts.cpu().load_state_dict({"contexts": state["state_dict"]["contexts"]})
        segmentor.class_embeddings = prompts.frozen(normalize=unit_length(config))
    keep_best.load_state_dict(state["callbacks"].get(keep_best.state_key, {}))
    save("last", segmentor, keep_best.latest, config.epochs)
    write_pictures(out, spec, config.val_split or config.train_splits[0], keep_best.best)
    return TrainResult(out, keep_best.best, keep_best.best_epoch or config.epochs)


def _network(
    config: TrainConfig, spec: DataSpec, state: dict[str, Any] | None
) -> tuple[Segmentor, LearnedPrompts | None]:
    """Build the network, and the prompts if they are learned.

    A resumed run has its class embeddings and weights in its state and needs no encoder, unless to learn through it.
    """
    names, weights = spec.classes.names, config.backbone_weights
    vectors, prompts = None, None
    if config.prompt == "learned":
        torch.manual_seed(config.seed)
        phrases = [own[0] for own in spec.classes.prompts]
        prompts = LearnedPrompts.load(config.text_encoder, phrases, **config.learned.model_dump())
    if state is not None:
        vectors, weights = state["state_dict"].get("segmentor.class_embeddings"), None
    elif prompts is not None:
        vectors = prompts.frozen(normalize=unit_length(config))
    elif METHODS.get(config.model.method).needs_text:
        vectors = embed(spec.classes, config.text_encoder, templates=config.templates).vectors
    # Here and not earlier: a text encoder that is not in the cache uses random numbers up.
    pl.seed_everything(config.seed, workers=False, verbose=False)
    return build(config.model, len(names), vectors, weights), prompts


def _module(
    config: TrainConfig, spec: DataSpec, segmentor: Segmentor, data: DataModule, prompts: LearnedPrompts | None
) -> TrainModule:
    shares = None
    if data.statistics is not None:
        shares = (data.statistics.pixels / max(1, data.statistics.pixels.sum())).tolist()
    aux_at = METHODS.get(config.model.method).aux_at
    loss = SegmentationLoss(config.loss, spec.classes.ignore_index, shares, aux_at)
    module = TrainModule(segmentor, config, loss, list(spec.classes.names), prompts)
    return module.to(memory_format=torch.channels_last)


def _load(segmentor: Segmentor, state: dict[str, Any], out: Path) -> None:
    """Load the weights that count; see `folder.read_state`."""
    prefix = "segmentor."
    weights = {key.removeprefix(prefix): value for key, value in state["state_dict"].items() if key.startswith(prefix)}
    try:
        segmentor.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelFileError(
            f"does not fit {folder.SETTINGS} and the data ({str(error).splitlines()[-1].strip()[:200]})",
            where=out / folder.RESUME,
            fix=f"undo changes of {folder.SETTINGS}, or train anew with another --out",
        ) from error


def _trainer(config: TrainConfig, out: Path, keep_best: KeepBest, quiet: bool, validates: bool) -> pl.Trainer:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    callbacks: list[Callback] = [keep_best, StopOnNan(), LearningRateMonitor("epoch")]
    if config.ema:
        callbacks.append(Averaging(config.ema))
    if not quiet:
        callbacks.append(RunProgress())
    callbacks.append(
        ModelCheckpoint(dirpath=out, filename="resume", save_on_train_epoch_end=True, enable_version_counter=False)
    )
    try:
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
            logger=TensorBoardLogger(out, name="", version="logs"),
            plugins=[folder.SafeCheckpointIO(), *([SyncBatchNorm()] if config.sync_batchnorm else [])],
            default_root_dir=out,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=10,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise refused(error) from error


def _devices(value: str) -> int | list[int]:
    try:
        return [int(part) for part in value.split(",")] if "," in value else int(value)
    except ValueError as error:
        raise ConfigError(
            f"devices {value!r} is no number", fix="give `auto`, a number, or a list as in 0,1"
        ) from error
