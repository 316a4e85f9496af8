"""How long a training is: its epochs and their steps, from the settings and the number of images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import lightning.pytorch as pl

from bridgeseg.errors import ConfigError
from bridgeseg.settings.length import EPOCHS, VALIDATIONS
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.joint import share_steps

LIMITED = 100
"""Steps of an epoch, at most, in a run whose time is limited: at the end of an epoch it can stop."""


def settled(config: TrainConfig, images: Sequence[int], world: int = 1) -> TrainConfig:
    """Return the settings of a new run with its length in epochs, and in steps of an epoch if that is not one pass.

    Given `epochs` stay as they are. `steps` are rounded up to epochs of equal length. Without both there are 50 passes,
    or more if these are fewer than `min_steps` steps. Epochs of few steps are joined, for each is stored and validated.

    Args:
        config: the settings.
        images: items of each dataset in one pass.
        world: devices.
    """
    if config.epochs is not None:
        return config
    natural = pass_steps(images, config, world)
    total = config.steps or max(EPOCHS * natural, config.min_steps)
    length = config.epoch_steps
    if length is None:
        length = max(natural, math.ceil(total / EPOCHS))
        length = min(length, LIMITED) if config.time_limit is not None else length
    epochs = math.ceil(total / length)
    if config.epoch_steps is None:
        length = math.ceil(total / epochs)
    chosen = None if length == natural and config.epoch_steps is None else length
    return config.model_copy(update={"epochs": epochs, "steps": None, "epoch_steps": chosen})


def pass_steps(images: Sequence[int], config: TrainConfig, world: int = 1) -> int:
    """Return the steps of the optimiser in one pass over the images, at least 1; an incomplete last one is left out.

    Args:
        images: items of each dataset in one pass.
        config: the settings.
        world: devices.
    """
    return max(1, _pass_batches(images, config, world) // config.accumulate)


def _pass_batches(images: Sequence[int], config: TrainConfig, world: int) -> int:
    batch = config.batch_size * world
    return sum(share_steps(images, batch, config.shares)) if len(images) > 1 else max(1, images[0] // batch)


def refuse_part_of_a_step(images: Sequence[int], config: TrainConfig, world: int = 1) -> None:
    """Refuse an epoch of fewer batches than a step adds up: the step would be smaller by what is missing.

    Raises:
        ConfigError: see above.
    """
    batches = _pass_batches(images, config, world)
    if config.epoch_steps is None and batches < config.accumulate:
        message = f"a step adds up {config.accumulate} batches, and an epoch has {batches}"
        raise ConfigError(message, where="accumulate", fix=f"`accumulate={batches}`, or `epoch_steps=1`")


def needed_images(config: TrainConfig, world: int) -> int:
    """Return how many items an epoch of a given number of steps takes; 0 where it is a pass."""
    return (config.epoch_steps or 0) * config.accumulate * config.batch_size * world


def validation_period(config: TrainConfig, epochs: int) -> int:
    """Return after how many epochs a run of so many is validated."""
    return config.val_every or math.ceil(epochs / VALIDATIONS)


def set_length(trainer: pl.Trainer, config: TrainConfig, epochs: int, steps: int) -> None:
    """Give a trainer the length of a run: the epochs that are planned at the moment, and the steps of each.

    Batches that are too few for another step are left out: Lightning would divide their sum by those of a whole one.
    """
    trainer.fit_loop.max_epochs = epochs
    if config.epoch_steps is not None or config.accumulate > 1:
        trainer.limit_train_batches = steps * config.accumulate


def epoch_length(trainer: pl.Trainer) -> int:
    """Return the steps of the optimiser in an epoch, once the trainer has its data."""
    return math.ceil(int(trainer.num_training_batches) / trainer.accumulate_grad_batches)
