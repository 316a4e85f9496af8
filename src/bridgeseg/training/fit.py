"""Train: configuration in, run folder out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from bridgeseg.checkpoint import Checkpoint, save_checkpoint
from bridgeseg.data.joining import Joined
from bridgeseg.errors import BridgeSegError, ConfigError, InputError
from bridgeseg.metrics import Scores
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.settings.train import TrainConfig
from bridgeseg.text.learned import LearnedPrompts
from bridgeseg.training import folder
from bridgeseg.training.building import (
    load_weights,
    make_module,
    make_network,
    make_teacher,
    make_trainer,
    refuse_single_values,
)
from bridgeseg.training.callbacks import KeepBest, restore_table
from bridgeseg.training.carrying import carry, kept_vectors
from bridgeseg.training.contents import contents, contents_file, refuse_other_contents, write_contents
from bridgeseg.training.crop import settled_crop, told
from bridgeseg.training.datamodule import DataModule, check_data
from bridgeseg.training.defaults import settled_head, with_defaults
from bridgeseg.training.drawing import write_images
from bridgeseg.training.ending import Ending, ending_text, how_ended, planned_epochs
from bridgeseg.training.length import pass_steps, refuse_part_of_a_step, set_length, settled, validation_period
from bridgeseg.training.loggers import closed
from bridgeseg.training.missing import refuse_missing
from bridgeseg.training.module import unit_length
from bridgeseg.training.overview import tell, tell_carried
from bridgeseg.training.processes import meet
from bridgeseg.training.progress import log, say
from bridgeseg.training.provenance import environment, provenance, source_commit
from bridgeseg.training.resolve import resolve
from bridgeseg.training.resuming import load_data, origin_of, refuse_other_step
from bridgeseg.training.stops import interruptible, lost_peer, stoppable, without_chatter


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        folder: the run folder.
        scores: of its best checkpoint; None without validation.
        epoch: the epoch of that checkpoint, counted from 1.
        first: whether this is the first process of the training: on several devices each returns, and what follows is
            for one of them to do.
        ended: what ended it: `epochs`, all of them done, `time_limit` or `early_stop`.
    """

    folder: Path
    scores: Scores | None
    epoch: int
    first: bool = True
    ended: Ending = "epochs"


def fit(
    config: TrainConfig, out: Path, *, resume: bool = False, quiet: bool = False, callbacks: Sequence[Any] = ()
) -> TrainResult:
    """Train exactly what `config` says; see `start.train`."""
    config = resolve(config)
    for callback in callbacks:
        if not isinstance(callback, pl.Callback):
            message = f"callbacks are objects of lightning.pytorch.Callback, found {type(callback).__name__}"
            raise ConfigError(message, where="callbacks", fix="derive its class from it")
    # Processes that are started for further devices run this function too.
    first = getattr(rank_zero_only, "rank", 0) == 0
    with folder.claim(out, resume) if first else nullcontext(), interruptible(out), without_chatter():
        try:
            return _fit(config, out, first, resume=resume, quiet=quiet, callbacks=callbacks)
        except BridgeSegError as error:
            if first and (out / folder.SETTINGS).is_file():
                log(out, f"error: {error}")
            raise


def _fit(
    config: TrainConfig, out: Path, first: bool, *, resume: bool, quiet: bool, callbacks: Sequence[pl.Callback]
) -> TrainResult:
    joined = load_data(out, config, resume=resume)
    state = folder.read_state(out) if resume else None
    given, config = config.model, settled_head(config, joined, state)
    done = 0 if state is None else int(state["epoch"]) + 1
    ended = how_ended(config, state)
    if resume and state is None:  # of a new run it is told before anything is imported
        refuse_missing(config, joined.classes)
    for member in joined.members if first and ended is None else ():
        if config.check:
            check_data(member.spec, config, quiet=quiet)
        if resume:
            refuse_other_contents(out, member.spec, config, contents_file(joined, member), quiet=quiet)
    origin = origin_of(out, config, resume=resume) if state is None else None
    kept = {} if origin is None else kept_vectors(joined.kept, config.text_encoder, origin)
    segmentor, prompts = make_network(config, joined.classes, state, kept)
    carried: list[str] = []
    start: dict[str, Tensor] = {}
    if origin is not None:
        found = carry(segmentor, config.model, joined.classes.names, origin)
        share = with_defaults(config, joined).init_share or 0.0
        carried, weights = found.lines(share), segmentor.state_dict()
        start = {f"segmentor.{key}": weights[key].clone() for key in found.whole} if share else {}
    commit = source_commit()

    def save(name: str, segmentor: Segmentor, scores: Scores | None, epoch: int) -> None:
        facts = provenance(config, commit, joined, segmentor, scores, epoch)
        save_checkpoint(out / name, Checkpoint(segmentor, config.model, joined.classes, facts))

    keep_best = KeepBest(save, out / folder.TABLE, lambda epochs: validation_period(config, epochs))
    if state is not None:
        load_weights(segmentor, state, out)
        if first:
            restore_table(out / folder.TABLE, state["callbacks"].get(keep_best.state_key, {}).get("rows"))
    by_images = config.augment.crop_size is None
    config = settled_crop(config, [member.spec for member in joined.members])
    if ended is None:
        data = DataModule(joined, config, epoch=done)
        trainer = make_trainer(
            with_defaults(config, joined), out, keep_best, quiet, bool(data.vals), state, callbacks, start
        )
        images = [len(train) for train in data.trains]
        config = data.config = settled(config, images, trainer.world_size)
        refuse_part_of_a_step(images, config, trainer.world_size)
        steps = config.epoch_steps or pass_steps(images, config, trainer.world_size)
        set_length(trainer, config, planned_epochs(config, state), steps)
        state = None  # room for the training
        refuse_single_values(segmentor, config, data.images)
        teacher = make_teacher(out, config, joined, first=first, resume=resume)
        module = make_module(with_defaults(config, joined), joined, segmentor, data, prompts, teacher)
        asked = config.model_copy(update={"model": given})
        _prepare(trainer, asked, out, joined, commit, steps, resume=resume, first=first, quiet=quiet)
        if first and by_images:
            say(out, told(config), quiet=quiet)
        if first and carried:
            tell_carried(str(config.init), carried, out, quiet=quiet)
        if first and not joined.plain:
            tell(joined, segmentor.class_embeddings, out, quiet=quiet or resume)
        with stoppable(trainer, out, data), closed():
            trainer.fit(module, datamodule=data, ckpt_path=out / folder.RESUME if done else None, weights_only=True)
    elif first and not quiet:
        print(f"{out}: {ending_text(config, ended, done)}", file=sys.stderr)
    # Read back rather than taken from memory, where processes that a strategy spawns leave nothing.
    state = state or folder.read_state(out)
    if state is None:
        raise InputError("the training ended without a finished epoch", where=out)
    done = int(state["epoch"]) + 1
    if first:
        _finish(config, out, joined, segmentor, prompts, keep_best, state)
    _meet(out)
    return TrainResult(out, keep_best.best, keep_best.best_epoch or done, first, how_ended(config, state) or "epochs")


def _prepare(
    trainer: pl.Trainer, config: TrainConfig, out: Path, joined: Joined, commit: str | None, steps: int,
    *, resume: bool, first: bool, quiet: bool,
) -> None:  # fmt: skip
    """Write what a new run folder says of its run; see to it that a resumed one goes on alike."""
    images = trainer.world_size * config.batch_size
    if config.sync_batchnorm and trainer.world_size > 1 and trainer.strategy.root_device.type == "cpu":
        message = "batch norm cannot be synchronised on this kind of device"
        raise ConfigError(message, fix="leave sync_batchnorm out, or use GPUs")
    if resume:
        refuse_other_step(out, images, trainer.world_size)
    elif first:
        for member in joined.members:
            write_contents(out, contents(member.spec, config, quiet=quiet), contents_file(joined, member))
        folder.describe(out, config, environment(joined, commit, images, steps))
    if first:
        log(out, f"{'continued' if resume else 'started'}: {config.model.method} on {config.model.backbone}")


def _finish(
    config: TrainConfig, out: Path, joined: Joined, segmentor: Segmentor, prompts: LearnedPrompts | None,
    keep_best: KeepBest, state: dict[str, Any],
) -> None:  # fmt: skip
    """Write `last/` and the images of a run that has ended."""
    load_weights(segmentor, state, out)
    if prompts is not None:
        prompts.cpu().load_state_dict({"contexts": state["state_dict"]["contexts"]})
        segmentor.class_embeddings = prompts.frozen(normalize=unit_length(config))
    keep_best.load_state_dict(state["callbacks"].get(keep_best.state_key, {}))
    keep_best.save("last", segmentor, keep_best.latest, int(state["epoch"]) + 1)
    write_images(out, joined, config.val_split or config.train_splits[0], keep_best.best)


def _meet(out: Path) -> None:
    """Let all processes return together, when the run folder is complete."""
    try:
        meet()
    except RuntimeError as error:
        raise lost_peer(out) from error
