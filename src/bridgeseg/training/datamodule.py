"""Loaders whose order depends on (seed, epoch) alone and whose shards neither repeat nor lose a sample."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import Sampler

from bridgeseg.checking.check import quick_check
from bridgeseg.data.dataset import SegmentationDataset
from bridgeseg.data.spec import DataSpec, Sample
from bridgeseg.data.stats import ClassStatistics, class_statistics
from bridgeseg.data.transforms import TrainTransform
from bridgeseg.errors import ConfigError, DataError
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.loading import Loader


def check_data(spec: DataSpec, config: TrainConfig, *, quiet: bool = False) -> None:
    """Look at headers and some masks of the splits that a run uses; print warnings to standard error unless `quiet`.

    Raises:
        DataError: training would stop at one of them, or learn what is wrong.
    """
    if config.val_split is not None and config.val_split not in spec.all_splits:
        fix = "add it to the file, name another (`val_split=NAME`), or train without: `val_split=none`"
        fix = f"take a tenth of train with `val_share=0.1`, or {fix}" if config.val_split == "val" else fix
        raise DataError(f"there is no split {config.val_split!r} to validate on", where=spec.path, fix=fix)
    splits = [*config.train_splits, *([] if config.val_split is None else [config.val_split])]
    report = quick_check(spec, splits=dict.fromkeys(splits))
    report.raise_for_errors()
    for finding in [] if quiet else report.of("warning"):
        print(f"warning: {finding.message}\n  fix: {finding.fix}", file=sys.stderr)


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
        spec: the dataset.
        config: splits, augmentation, batch size.
        epoch: the epoch that a resumed run begins with.

    Attributes:
        train: the training dataset, augmented.
        val: the validation dataset at native size, or None.
        statistics: pixel counts per class of the training samples, where a loss or the augmentation needs them.
    """

    def __init__(self, spec: DataSpec, config: TrainConfig, epoch: int = 0) -> None:
        super().__init__()
        self.config, self.epoch = config, epoch
        self._loaders: list[Loader[tuple[torch.Tensor, torch.Tensor, int]]] = []
        samples: list[Sample] = [sample for split in config.train_splits for sample in spec.samples(split)]
        plain = SegmentationDataset(spec, samples, fraction=config.fraction, seed=config.seed)
        self.statistics: ClassStatistics | None = None
        if config.loss.class_weights or config.augment.rare_class_prob > 0:
            self.statistics = class_statistics(spec, plain.samples)
        weights = None if self.statistics is None else self.statistics.inverse_frequency()
        transform = TrainTransform(config.augment, spec.classes.ignore_index, weights)
        self.train = SegmentationDataset(
            spec, plain.samples, transform, seed=config.seed, repeat=config.repeat, cache=config.cache
        )
        self.val: SegmentationDataset | None = None
        if config.val_split is not None:
            self.val = SegmentationDataset(spec, config.val_split)

    def train_dataloader(self) -> Loader[tuple[torch.Tensor, torch.Tensor, int]]:
        """Shuffled crops; an incomplete last batch is left out unless it is the only one."""
        sampler = ShardSampler(len(self.train), *self._place(len(self.train), "training"), seed=self.config.seed)
        # Lightning starts to load before it says which epoch a resumed run begins with
        sampler.set_epoch(self.epoch)
        self.train.set_epoch(self.epoch)
        workers = self.config.workers
        return self._loader(
            self.train,
            batch_size=self.config.batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            drop_last=len(sampler) >= self.config.batch_size,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> Loader[tuple[torch.Tensor, torch.Tensor, int]] | list[object]:
        """Whole images, one at a time."""
        if self.val is None:
            return []
        sampler = ShardSampler(len(self.val), *self._place(len(self.val), "validation"))
        workers = min(1, self.config.workers)
        return self._loader(self.val, batch_size=1, sampler=sampler, num_workers=workers)

    def lost_process(self) -> bool:
        """Say whether a process that loads data ended by a signal or with an error."""
        return any(loader.lost() for loader in self._loaders)

    def _loader(self, dataset: SegmentationDataset, **options: Any) -> Loader[tuple[torch.Tensor, torch.Tensor, int]]:
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
