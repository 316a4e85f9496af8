"""What a training is put together from: network, prompts, losses, and Lightning's trainer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from bridgeseg.checkpoint import load_checkpoint, save_checkpoint
from bridgeseg.classes import ClassSet
from bridgeseg.data.joining import Joined, Member
from bridgeseg.data.labels import UNKNOWN
from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.extend import METHODS
from bridgeseg.models.build import build
from bridgeseg.models.counting import takes_any_names
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.settings.machine import devices_of
from bridgeseg.settings.train import TrainConfig
from bridgeseg.text.bank import constants
from bridgeseg.text.learned import LearnedPrompts
from bridgeseg.training import folder
from bridgeseg.training.averaging import Averaging
from bridgeseg.training.callbacks import ExpectGradients, KeepBest, RightRate, StopOnNan
from bridgeseg.training.carrying import with_kept
from bridgeseg.training.datamodule import DataModule
from bridgeseg.training.deep import DeepHeads
from bridgeseg.training.ending import EarlyStop, TimeLimit
from bridgeseg.training.likelihood import Likelihood, Sigmoid, Softmax
from bridgeseg.training.loggers import Records, make_loggers
from bridgeseg.training.losses import SegmentationLoss
from bridgeseg.training.module import TrainModule, unit_length
from bridgeseg.training.origin import find
from bridgeseg.training.processes import SyncBatchNorm, refuse_alone
from bridgeseg.training.progress import RunProgress
from bridgeseg.training.saving import SafeCheckpointIO
from bridgeseg.training.stops import refused
from bridgeseg.training.task import Task
from bridgeseg.training.teaching import Teacher, teachings
from bridgeseg.training.vocabulary import make_step_names
from bridgeseg.training.weighing import column_shares

COARSEST = 32
"""Stride of the coarsest features of a network."""


def make_network(
    config: TrainConfig, classes: ClassSet, state: dict[str, Any] | None, kept: Mapping[str, Tensor] | None = None
) -> tuple[Segmentor, LearnedPrompts | None]:
    """Build the network, and the prompts if they are learned.

    A resumed run has its class embeddings and weights in its state and needs no encoder, unless to learn through it.
    Prompts that are learned make all class embeddings, also those in `kept`.

    Args:
        config: the settings.
        classes: the vocabulary.
        state: of a run that goes on.
        kept: name -> class embedding (D,) of names that keep theirs.
    """
    weights = config.backbone_weights if config.init is None else None
    vectors, prompts = None, None
    if config.prompt == "learned":
        torch.manual_seed(config.seed)
        phrases = [own[0] for own in classes.prompts]
        prompts = LearnedPrompts.load(config.text_encoder, phrases, **config.learned.model_dump())
    if state is not None:
        vectors, weights = state["state_dict"].get("segmentor.class_embeddings"), None
    elif prompts is not None:
        vectors = prompts.frozen(normalize=unit_length(config))
    elif METHODS.get(config.model.method).needs_text:
        vectors = with_kept(classes, config.text_encoder, config.templates, kept or {})
    # a resumed run has these constants in its state
    bank = None
    if vectors is not None and state is None:
        bank = constants(config.model, config.text_encoder, vectors, config.templates)
    # Here and not earlier: a text encoder that is not in the cache uses random numbers up.
    torch.manual_seed(config.seed)
    return build(config.model, len(classes), vectors, weights, bank), prompts


def make_module(
    config: TrainConfig,
    joined: Joined,
    segmentor: Segmentor,
    data: DataModule,
    prompts: LearnedPrompts | None = None,
    teacher: Teacher | None = None,
) -> TrainModule:
    """Build the LightningModule, the losses of each dataset weighted by what its training samples hold.

    Raises:
        ConfigError: see `freeze`.
    """
    text = segmentor.class_embeddings
    chooses = joined.several and text is not None and takes_any_names(config.model, text.shape[1])
    parts, tasks = data.parts(), []
    for member, part, statistics in zip(joined.members, parts, data.statistics, strict=True):
        shares = None
        if config.loss.class_weights and statistics is not None:
            shares = column_shares(member, part.samples, statistics)
        tasks.append(make_task(config, member, len(joined.classes), shares, chooses=chooses))
    for task, part, teaching in zip(tasks, parts, teachings(joined), strict=True):
        task.find(part)
        task.teaching = teaching if teacher is not None else None
    deep = DeepHeads(segmentor, len(joined.classes), config.seed) if config.loss.deep else None
    freeze(segmentor, config)
    module = TrainModule(segmentor, config, tasks, prompts, deep, teacher)
    single = teacher is None and all(task.loss.likelihood is None for task in tasks)
    module.vocabulary = make_step_names(config, joined.classes, segmentor, single=single)
    return module.to(memory_format=torch.channels_last)


def make_teacher(out: Path, config: TrainConfig, joined: Joined, *, first: bool, resume: bool) -> Teacher | None:
    """Load the network whose names are kept, None if there are none; a copy of it stays in the run folder.

    Args:
        out: the run folder.
        config: the settings.
        joined: the datasets.
        first: whether this is the process that writes.
        resume: whether the run goes on, and with its copy.

    Raises:
        ModelFileError: it is gone or damaged, or the copy cannot be written.
    """
    if not joined.before or config.init is None:
        return None
    copy = out / folder.ORIGIN
    begun = resume and copy.is_dir()
    kept = load_checkpoint(copy if begun else find(config.init).folder or config.init)
    if first and not begun:
        save_checkpoint(copy, kept)
    return Teacher(kept.segmentor)


def freeze(segmentor: Segmentor, config: TrainConfig) -> None:
    """Take the gradients of the parts that stay as they are.

    Raises:
        ConfigError: the network has no such part, or nothing is left to train.
    """
    for name in config.freeze:
        part = getattr(segmentor, name)
        if part is None:
            message = f"method {config.model.method!r} has no {name} that could be frozen"
            raise ConfigError(message, where="freeze", fix="leave it out of `freeze`")
        part.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in segmentor.parameters()):
        raise ConfigError("every weight is frozen", where="freeze", fix="leave a part out of `freeze`")


def make_task(
    config: TrainConfig, member: Member, names: int, shares: Sequence[float] | None, *, chooses: bool
) -> Task:
    """Build what a step on one dataset does, see `Task`; class weights need the shares of its columns."""
    labels, aux_at = member.labels, METHODS.get(config.model.method).aux_at
    likelihood: Likelihood | None = None
    if config.loss.partial == "sigmoid":
        likelihood = Sigmoid(labels.groups, labels.members)
    elif labels.groups:
        likelihood = Softmax(labels.groups, labels.added)
    ignore = member.spec.classes.ignore_index if labels.plain else UNKNOWN
    if shares is not None and isinstance(likelihood, Sigmoid):
        shares = [*shares] * len(labels.sets)
    loss = SegmentationLoss(config.loss, ignore, shares, aux_at, likelihood)
    return Task(member, names, loss, chooses=chooses, sets_apart=isinstance(likelihood, Sigmoid))


def refuse_single_values(segmentor: Segmentor, config: TrainConfig, images: int) -> None:
    """Refuse a step in which a batch norm would take the deviation of one value.

    Raises:
        ConfigError: batch and crop leave one value at the coarsest level.
    """
    whole = getattr(segmentor.decoder, "norms_whole_images", False)
    places = 1 if whole else math.prod(math.ceil(side / COARSEST) for side in config.augment.crop)
    normed = any(isinstance(module, _BatchNorm) for module in segmentor.modules())
    if normed and places * min(config.batch_size, images) == 1:
        raise ConfigError(
            "batch norm needs more than one value, and a batch of one image "
            + ("has one in this decoder" if whole else "of this crop has one at the coarsest level"),
            fix="use a larger `batch_size`" if whole else "use a larger `augment.crop_size` or `batch_size`",
        )


def load_weights(segmentor: Segmentor, state: dict[str, Any], out: Path) -> None:
    """Load the weights that count; see `folder.read_state`.

    Raises:
        ModelFileError: they are those of another network.
    """
    prefix = "segmentor."
    weights = {key.removeprefix(prefix): value for key, value in state["state_dict"].items() if key.startswith(prefix)}
    try:
        segmentor.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelFileError(
            f"does not fit {folder.SETTINGS} and the data ({str(error).splitlines()[-1].strip()[:200]})",
            where=out / folder.RESUME,
            fix=f"undo changes of {folder.SETTINGS}, or start a new run with another `out`",
        ) from error


def make_trainer(
    config: TrainConfig, out: Path, keep_best: KeepBest, quiet: bool, validates: bool,
    state: Mapping[str, Any] | None = None, callbacks: Sequence[Callback] = (),
    start: Mapping[str, Tensor] | None = None,
) -> pl.Trainer:  # fmt: skip
    """Build Lightning's trainer with all that happens around the steps; `set_length` says how many.

    Args:
        config: the settings.
        out: the run folder.
        keep_best: keeps the best network.
        quiet: show no progress.
        validates: whether there is a validation.
        state: of a run that goes on; see `folder.read_state`.
        callbacks: further ones.
        start: weights of `init` that have a share in those that are kept; see `Averaging`.

    Raises:
        ConfigError: it refuses the settings of the machine, or no launcher started the processes of several machines.
    """
    refuse_alone(config.num_nodes)
    loggers = make_loggers(config, out, state)
    own: list[Callback] = [keep_best, StopOnNan(), ExpectGradients(), RightRate()]
    own += [LearningRateMonitor("epoch")] if loggers else []
    own += [Averaging(config.ema, start, config.init_share or 0.0)] if config.ema or config.init_share else []
    own += [EarlyStop(config.early_stop, out, quiet)] if config.early_stop is not None and validates else []
    own += [TimeLimit(config.time_limit, out, quiet), RunProgress(out, quiet), Records(config, keep_best, state)]
    own += callbacks
    own.append(
        ModelCheckpoint(dirpath=out, filename="resume", save_on_train_epoch_end=True, enable_version_counter=False)
    )
    try:
        return pl.Trainer(
            accelerator=config.accelerator,
            devices=devices_of(config.devices),
            num_nodes=config.num_nodes,
            strategy=config.strategy,
            precision=config.precision,
            max_epochs=config.epochs or 1,
            accumulate_grad_batches=config.accumulate,
            gradient_clip_val=config.clip or None,
            limit_val_batches=1.0 if validates else 0,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            callbacks=own,
            logger=loggers,
            plugins=[SafeCheckpointIO(), *([SyncBatchNorm()] if config.sync_batchnorm else [])],
            default_root_dir=out,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=10,
        )
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        raise refused(error) from error
