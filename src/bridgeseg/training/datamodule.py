"""Loaders whose order depends on (seed, epoch) alone and whose shards neither repeat nor lose a sample."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import Sampler

from bridgeseg.checking.check import quick_check
from bridgeseg.data.dataset import CACHE_BYTES, SegmentationDataset
from bridgeseg.data.joining import Joined, Member
from bridgeseg.data.mixing import Mixing
from bridgeseg.data.spec import DataSpec, Sample
from bridgeseg.data.stats import ClassStatistics, class_statistics
from bridgeseg.data.transforms import TrainTransform
from bridgeseg.errors import ConfigError, DataError
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.joint import Collate, JointDataset, JointSampler, share_steps
from bridgeseg.training.length import needed_images
from bridgeseg.training.loading import Loader
from bridgeseg.training.task import Part


def check_data(spec: DataSpec, config: TrainConfig, *, quiet: bool = False) -> None:
    """Look at headers and some masks of the splits that a run uses; print warnings to standard error unless `quiet`.

    Raises:
        DataError: training would stop at one of them, or learn what is wrong.
    """
    if config.val_split is not None and config.val_split not in spec.all_splits:
        fix = "add it to the file, name another (`val_split=NAME`), or train without: `val_split=none`"
        if config.val_split == "val" and "train" in spec.splits:
            fix = f"take a tenth of train with `val_share=0.1`, or {fix}"
        raise DataError(f"there is no split {config.val_split!r} to validate on", where=spec.path, fix=fix)
    splits = [*config.train_splits, *([] if config.val_split is None else [config.val_split])]
    report = quick_check(spec, splits=dict.fromkeys(splits))
    report.raise_for_errors()
    for finding in [] if quiet else report.of("warning"):
        print(f"warning: {finding.message}\n  fix: {finding.fix}", file=sys.stderr)


def rare_weights(statistics: ClassStatistics, member: Member) -> list[float]:
    """Return how often a crop around a rare class asks for each class; never for one that is not labelled."""
    weights = statistics.inverse_frequency()
    return [
        weight if name in member.labels.own else 0.0
        for name, weight in zip(member.spec.classes.names, weights, strict=True)
    ]


class ShardSampler(Sampler[int]):
    """Every `world`-th index: shuffled by (seed, epoch) for training, in order and uneven for validation.

    The union of the shards of one step is what a single process would see in a step of the same global batch.

    Args:
        size: number of samples.
        rank, world: which shard of how many.
        seed: of the order; None keeps the order.
    """

    def __init__(self, size: int, rank: int, world: int, seed: int | None = None) -> None:
        self.size, self.rank, self.world, self.seed, self.epoch = size, rank, world, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.seed is not None:  # training steps must be the same number everywhere
            return self.size // self.world
        return len(range(self.rank, self.size, self.world))

    def __iter__(self) -> Iterator[int]:
        order = list(range(self.size))
        if self.seed is not None:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.size, generator=generator).tolist()[: len(self) * self.world]
        yield from order[self.rank :: self.world]


class DataModule(pl.LightningDataModule):
    """Training and validation data of a run.

    Args:
        joined: the datasets.
        config: splits, augmentation, batch size.
        epoch: the epoch that a resumed run begins with.

    Attributes:
        trains: the training dataset of each of the datasets, augmented.
        vals: their validation datasets at native size, none without validation.
        statistics: for each of them pixel counts per class of the training samples, or None where neither a loss nor
            the augmentation needs them.
    """

    def __init__(self, joined: Joined, config: TrainConfig, epoch: int = 0) -> None:
        super().__init__()
        self.joined, self.config, self.epoch = joined, config, epoch
        self._loaders: list[Loader[Any]] = []
        self.statistics: list[ClassStatistics | None] = []
        self.trains = [self._train(member, index) for index, member in enumerate(joined.members)]
        vals = joined.members if config.val_split is not None else ()
        self.vals = [SegmentationDataset(member.spec, config.val_split or "") for member in vals]

    def _train(self, member: Member, index: int) -> SegmentationDataset:
        """Build one training dataset. What it repeats for a step of all devices is settled when these are known."""
        spec, config = member.spec, self.config
        samples: list[Sample] = [sample for split in config.train_splits for sample in spec.samples(split)]
        plain = SegmentationDataset(spec, samples, fraction=config.fraction_of(index), seed=config.seed)
        statistics, weights, augment = None, None, config.augment
        if config.loss.class_weights or augment.rare_class_prob > 0 or augment.copy_paste > 0:
            statistics = class_statistics(spec, plain.samples)
            weights = rare_weights(statistics, member)
        self.statistics.append(statistics)
        transform, mixing = TrainTransform(augment, spec.classes.ignore_index, weights), None
        if augment.class_mix > 0 or augment.copy_paste > 0:
            mixing = Mixing.of(transform, spec, plain.samples, statistics, weights)
        room = CACHE_BYTES // len(self.joined.members)
        return SegmentationDataset(
            spec, plain.samples, transform, seed=config.seed, repeat=config.repeat, cache=config.cache,
            cache_bytes=room, mixing=mixing,
        )  # fmt: skip

    @property
    def images(self) -> int:
        """The fewest images that a step can be made of: fewer than a batch where one dataset is smaller."""
        one_pass = len(self.trains) == 1 and self.config.epoch_steps is None
        return len(self.trains[0]) if one_pass else self.config.batch_size

    def parts(self) -> list[Part]:
        """Return where the samples of each dataset stand among all."""
        vals = [val.samples for val in self.vals] or [[] for _ in self.trains]
        firsts = JointDataset(self.trains).firsts
        return [Part(*part) for part in zip((train.samples for train in self.trains), firsts, vals, strict=True)]

    def train_dataloader(self) -> Loader[Any]:
        """Shuffled crops; an incomplete last batch is left out unless it is the only one."""
        if len(self.trains) > 1:
            return self._joint_loader()
        train = self.trains[0]
        rank, world = self._place(len(train), "training")
        train.repeat = max(train.repeat, math.ceil(needed_images(self.config, world) / len(train.samples)))
        sampler = ShardSampler(len(train), rank, world, seed=self.config.seed)
        # Lightning starts to load before it says which epoch a resumed run begins with
        sampler.set_epoch(self.epoch)
        train.set_epoch(self.epoch)
        workers = self.config.workers
        return self._loader(
            train,
            batch_size=self.config.batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            drop_last=len(sampler) >= self.config.batch_size,
            pin_memory=torch.cuda.is_available(),
        )

    def _joint_loader(self) -> Loader[Any]:
        """Batches of one dataset each, of all datasets in turn."""
        config, places = self.config, [self._place(len(train), "training") for train in self.trains]
        (rank, world), sizes = places[0], [len(train.samples) for train in self.trains]
        step = config.batch_size * world
        steps = share_steps([size * config.repeat for size in sizes], step, config.shares)
        length = (config.epoch_steps or max(1, sum(steps) // config.accumulate)) * config.accumulate
        sampler = JointSampler(sizes, steps, config.batch_size, rank, world, config.seed, length)
        for train, count in zip(self.trains, sampler.repeats, strict=True):
            train.repeat = count
        dataset = JointDataset(self.trains)
        sampler.set_epoch(self.epoch)
        dataset.set_epoch(self.epoch)
        return self._loader(
            dataset,
            batch_sampler=sampler,
            collate_fn=Collate(dataset.firsts),
            num_workers=config.workers,
            persistent_workers=config.workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> Loader[Any] | list[Loader[Any]]:
        """Whole images, one at a time; a loader for each dataset if there are several."""
        workers = min(1, self.config.workers)
        loaders = [
            self._loader(
                val, batch_size=1, sampler=ShardSampler(len(val), *self._place(len(val), "validation")),
                num_workers=workers,
            )
            for val in self.vals
        ]  # fmt: skip
        return loaders[0] if len(loaders) == 1 else loaders

    def lost_process(self) -> bool:
        """Say whether a process that loads data ended by a signal or with an error."""
        return any(loader.lost() for loader in self._loaders)

    def _loader(self, dataset: SegmentationDataset | JointDataset, **options: Any) -> Loader[Any]:
        # a generator of its own: the loader must not use up the random numbers of the network
        self._loaders.append(Loader(dataset, generator=torch.Generator(), **options))
        return self._loaders[-1]

    def _place(self, images: int, what: str) -> tuple[int, int]:
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        if images < world:
            raise ConfigError(
                f"{images} {what} images cannot be shared among {world} devices", fix=f"use `devices={images}` or fewer"
            )
        return rank, world
