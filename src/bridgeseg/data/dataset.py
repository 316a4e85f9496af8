"""Image and mask pairs as a torch dataset: checked when read, the same for any number of workers, resumable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from bridgeseg.data.masks import read_mask
from bridgeseg.data.mixing import Mixing
from bridgeseg.data.spec import DataSpec, Sample, subset
from bridgeseg.errors import DataError, InputError
from bridgeseg.images import read_image
from bridgeseg.report.progress import track

__all__ = [
    "SegmentationDataset",
    "Transform",
    "from_worker",
    "item_generator",
    "read_image",
    "read_mask",
    "read_sample",
]

Transform = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""(image uint8 (3, H, W), mask uint8 or int32 (H, W), generator) -> the same two, changed."""

CACHE_BYTES = 2 << 30


def read_sample(sample: Sample, spec: DataSpec) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return a sample's image (H, W, 3) uint8 and class ids (H, W); see `read_image` and `read_mask` for errors.

    The image is read as `predict` reads it, so that training and inference see the same pixels.
    """
    image = read_image(sample.image, how=spec.reading)
    return image, read_mask(sample.mask, spec, (image.shape[0], image.shape[1]))


def item_generator(seed: int, epoch: int, index: int) -> torch.Generator:
    """Return the random generator of one item in one epoch: no worker, order or earlier item has a say in it."""
    digest = hashlib.blake2b(f"{seed}:{epoch}:{index}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def from_worker(error: InputError) -> InputError:
    """Return an error that a loader's worker process raised, without the traceback that torch writes around it."""
    _, found, text = str(error).rpartition(f"{type(error).__module__}.{type(error).__name__}: ")
    return type(error)(text.rstrip()) if found else error


class SegmentationDataset(Dataset[tuple[Tensor, Tensor, int]]):
    """Items `(image uint8 (3, h, w), mask int64 (h, w), place in samples)`.

    Every sample is checked when it is read, and an unusable one raises `DataError` with the file's name; none is ever
    left out or replaced. The random numbers of an item depend on `(seed, epoch, index)` alone, so augmentation does not
    change with the number of workers, and a resumed run sees what the uninterrupted one would have seen: call
    `set_epoch` before iterating, in any process.

    Args:
        spec: the dataset's description.
        split: `train`, `val`, `test`, or a list of samples.
        transform: called as `transform(image, mask, generator)`; None keeps the native size.
        mixing: pastes pixels of other samples into what the transform returns; None leaves it as it is.
        fraction: part of the split to use (see `spec.subset`).
        seed: seeds the subset and the augmentation.
        repeat: how many times every sample comes in an epoch, each time augmented differently.
        cache: decode at construction as many samples as fit `cache_bytes` and keep them. Worker processes that are
            forked share this memory; it is worth its room when decoding takes longer than a training step.
        cache_bytes: room for the cache.

    Raises:
        DataError: the split or a sample cannot be used.
    """

    def __init__(
        self,
        spec: DataSpec,
        split: str | Sequence[Sample],
        transform: Transform | None = None,
        fraction: float = 1.0,
        seed: int = 0,
        repeat: int = 1,
        cache: bool = False,
        cache_bytes: int = CACHE_BYTES,
        mixing: Mixing | None = None,
    ) -> None:
        samples = spec.samples(split) if isinstance(split, str) else list(split)
        if not samples:
            raise DataError("no samples", where=spec.path, fix="name a split that has images")
        self.spec, self.transform, self.seed, self.repeat, self.mixing = spec, transform, seed, repeat, mixing
        self.samples = subset(samples, fraction, seed)
        # Shared memory: workers that outlive an epoch see the next epoch's number too.
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]
        self._cache = _decode_ahead(self.samples, spec, cache_bytes) if cache else []

    def __len__(self) -> int:
        return len(self.samples) * self.repeat

    @property
    def epoch(self) -> int:
        """The epoch whose augmentation is drawn."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose augmentation is drawn; also reaches workers that are already running."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        place = index % len(self.samples)
        image, mask = self._read(place)
        generator = item_generator(self.seed, self.epoch, index)
        if self.transform is not None:
            image, mask = self.transform(image, mask, generator)
        if self.mixing is not None:
            image, mask = self.mixing(image, mask, place, self._read, generator)
        return image.contiguous(), mask.to(torch.int64), place

    def _read(self, place: int) -> tuple[Tensor, Tensor]:
        """Return image uint8 (3, H, W) and mask uint8 or int32 (H, W) of a sample."""
        pixels, ids = self._cache[place] if place < len(self._cache) else read_sample(self.samples[place], self.spec)
        mask = torch.from_numpy(ids if ids.dtype == np.uint8 else ids.astype(np.int32))
        return torch.from_numpy(pixels).permute(2, 0, 1), mask


def _decode_ahead(
    samples: Sequence[Sample], spec: DataSpec, limit: int
) -> list[tuple[NDArray[np.uint8], NDArray[Any]]]:
    """Decode the first samples, as many as fit into `limit` bytes."""
    decoded, used = [], 0
    for sample in track(samples, "decoding images"):
        image, ids = read_sample(sample, spec)
        used += image.nbytes + ids.nbytes
        if used > limit:
            break
        decoded.append((image, ids))
    return decoded
