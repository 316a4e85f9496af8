"""Steps on several datasets in turn: which dataset a step is on, and which of its images it takes."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler, default_collate

from bridgeseg.data.dataset import SegmentationDataset
from bridgeseg.data.listing import Sample

Item = tuple[Tensor, Tensor, int]


class JointDataset(Dataset[Item]):
    """The items of several datasets one after another; the place of an item is that in `samples`.

    Args:
        parts: the datasets.

    Attributes:
        samples: those of all datasets.
        firsts: place in `samples` of the first sample of each dataset.
        starts: index of the first item of each dataset.
    """

    def __init__(self, parts: Sequence[SegmentationDataset]) -> None:
        self.parts = list(parts)
        self.samples: list[Sample] = [sample for part in parts for sample in part.samples]
        self.firsts = [0, *itertools.accumulate(len(part.samples) for part in parts)][:-1]
        self.starts = [0, *itertools.accumulate(len(part) for part in parts)][:-1]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose augmentation is drawn, in all datasets."""
        for part in self.parts:
            part.set_epoch(epoch)

    def __getitem__(self, index: int) -> Item:
        which = bisect.bisect_right(self.starts, index) - 1
        image, mask, place = self.parts[which][index - self.starts[which]]
        return image, mask, self.firsts[which] + place


class Collate:
    """Makes a batch (images, masks, places, index of the dataset).

    Args:
        firsts: see `JointDataset`.
    """

    def __init__(self, firsts: Sequence[int]) -> None:
        self.firsts = list(firsts)

    def __call__(self, items: Sequence[Item]) -> tuple[Any, ...]:
        """Collate items of one dataset."""
        return (*default_collate(list(items)), bisect.bisect_right(self.firsts, items[0][2]) - 1)


class JointSampler(Sampler[list[int]]):
    """Batches of item indices, each of one dataset, by (seed, epoch) alone and alike on every device.

    Every dataset is a stream: all its images in random order, then all again in another order. Steps are a stream, too:
    those of a pass in random order, then those of the next. An epoch goes on where the one before stopped, so that no
    image is lost, and after whole passes the shares are kept, however long an epoch is. An image that comes twice in an
    epoch is another item, augmented differently.

    Args:
        sizes: images of each dataset.
        steps: steps of a pass on each dataset.
        batch: images of a step on one device.
        rank, world: which device of how many; their shares together are what one device would take.
        seed: of all orders.
        length: steps of an epoch; None for those of a pass.

    Attributes:
        repeats: passes over each dataset that an epoch can touch.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        steps: Sequence[int],
        batch: int,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        length: int | None = None,
    ) -> None:
        self.sizes, self.steps, self.batch = list(sizes), list(steps), batch
        self.rank, self.world, self.seed, self.epoch = rank, world, seed, 0
        self.length = sum(steps) if length is None else length
        passes = math.ceil(self.length / sum(steps)) + (self.length % sum(steps) > 0)  # the first may be begun already
        self.repeats = [repeats(size, count * passes * batch * world) for size, count in zip(sizes, steps, strict=True)]
        self.starts = [0, *itertools.accumulate(s * r for s, r in zip(sizes, self.repeats, strict=True))][:-1]

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def schedule(self) -> list[int]:
        """Return the index of the dataset of every step of the epoch."""
        turn, begun = divmod(self.epoch * self.length, sum(self.steps))
        coming = itertools.chain.from_iterable(map(self._pass, itertools.count(turn)))
        return list(itertools.islice(coming, begun, begun + self.length))

    def __iter__(self) -> Iterator[list[int]]:
        streams = [self._stream(which) for which in range(len(self.sizes))]
        for which in self.schedule():
            whole = list(itertools.islice(streams[which], self.batch * self.world))
            yield whole[self.rank :: self.world]

    def _pass(self, turn: int) -> list[int]:
        """Return the index of the dataset of every step of a pass."""
        each = [which for which, count in enumerate(self.steps) for _ in range(count)]
        return [each[index] for index in self._shuffled(len(each), 0, turn)]

    def _stream(self, which: int) -> Iterator[int]:
        size, start = self.sizes[which], self.starts[which]
        turns, begun = divmod(self.epoch * self.length, sum(self.steps))
        before = turns * self.steps[which] + self._pass(turns)[:begun].count(which)
        first, skip = divmod(before * self.batch * self.world, size)
        for turn in itertools.count(first):
            order = self._shuffled(size, 1 + which, turn)
            for place in order[skip if turn == first else 0 :]:
                yield start + (turn - first) * size + place

    def _shuffled(self, count: int, purpose: int, turn: int) -> list[int]:
        """Return 0..count-1 in an order of its own for every seed, purpose and turn."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + turn) * 31 + purpose)
        return torch.randperm(count, generator=generator).tolist()


def repeats(size: int, wanted: int) -> int:
    """Return how many passes over `size` images `wanted` images in a row can touch."""
    return math.ceil(wanted / size) + 1


def share_steps(sizes: Sequence[int], step: int, shares: Sequence[float] = ()) -> list[int]:
    """Return the steps of an epoch on each dataset, at least one.

    Args:
        sizes: images of each dataset in an epoch.
        step: images of a step on all devices.
        shares: relative numbers of steps; without them, such that all images come once.
    """
    usual = [max(1, size // step) for size in sizes]
    if not shares:
        return usual
    return [max(1, round(sum(usual) * share / sum(shares))) for share in shares]
