"""Pixels of other images of the same dataset in a training crop: ClassMix, and copies of rare classes.

The other image is drawn from the whole dataset and not from the batch: what an item is then depends on
(seed, epoch, sample) alone, and not on the size of a batch or the number of devices. Only classes that the other image
is labelled for are pasted, and only into images labelled for the same classes: a class id means the same in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bridgeseg.data.labels import label_sets, set_of
from bridgeseg.data.spec import DataSpec, Sample
from bridgeseg.data.stats import ClassStatistics
from bridgeseg.data.transforms import TrainTransform
from bridgeseg.errors import ConfigError

Read = Callable[[int], tuple[Tensor, Tensor]]
"""Place of a sample -> its image uint8 (3, H, W) and mask (H, W)."""


class Mixing:
    """Pastes into augmented crops, called as `mixing(image, mask, place, read, generator)`.

    Args:
        transform: augments what is pasted as any other crop; its `config` has the probabilities.
        kinds: of every sample, which of the sets of labelled names it has.
        labelled: of every set, the class ids that may be pasted.
        held: (samples, K) bool, which classes an image has; needed for `copy_paste`.
        weights: K numbers, how often a copy of each class is asked for; needed for `copy_paste`.

    Raises:
        ConfigError: `copy_paste` without `held` and `weights`.
    """

    def __init__(
        self,
        transform: TrainTransform,
        kinds: Sequence[int],
        labelled: Sequence[Sequence[int]],
        held: Tensor | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.transform, self.kinds = transform, torch.as_tensor(kinds)
        self._labelled = [torch.tensor(ids, dtype=torch.int64) for ids in labelled]
        self._alike = [(self.kinds == kind).nonzero()[:, 0] for kind in range(len(labelled))]
        self._held, self._chances, self._counts = held, list[Tensor](), list[Tensor]()
        if transform.config.copy_paste == 0:
            return
        if held is None or weights is None:
            message = "copy_paste is set, but it is not known which image has which classes"
            raise ConfigError(message, fix="pass held and weights, or set copy_paste to 0")
        for ids, alike in zip(self._labelled, self._alike, strict=True):
            chance = torch.zeros(held.shape[1], dtype=torch.float64)
            chance[ids] = torch.as_tensor(weights, dtype=torch.float64)[ids]
            self._chances.append(chance)
            self._counts.append(held[alike].sum(0))

    @classmethod
    def of(
        cls,
        transform: TrainTransform,
        spec: DataSpec,
        samples: Sequence[Sample],
        statistics: ClassStatistics | None,
        weights: Sequence[float] | None,
    ) -> Mixing:
        """Build the mixing of a dataset's samples; the last two are of these samples, and needed for `copy_paste`."""
        sets = label_sets(spec)
        kinds = [set_of(spec, sets, spec.key(sample)) for sample in samples]
        labelled = [[spec.classes.names.index(name) for name in chosen] for chosen in sets]
        held = None if statistics is None else torch.from_numpy(statistics.held)
        return cls(transform, kinds, labelled, held, weights)

    def __call__(
        self, image: Tensor, mask: Tensor, place: int, read: Read, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the crop with what was pasted into it; the inputs are left as they are.

        Args:
            image: uint8 (3, h, w), an augmented crop.
            mask: integers (h, w), of it.
            place: of its sample.
            read: gives the other images.
            generator: source of all random numbers.
        """
        config = self.transform.config
        mix, copy = torch.rand(2, generator=generator).tolist()
        if mix < config.class_mix and (other := self._another(place, generator)) is not None:
            pixels, ids = self.transform(*read(other), generator)
            image, mask = _paste(image, mask, pixels, ids, self._half(ids, place, generator))
        if copy < config.copy_paste and (found := self._holder(place, generator)) is not None:
            wanted, other = found
            pixels, ids = self.transform(*read(other), generator, around=wanted)
            image, mask = _paste(image, mask, pixels, ids, torch.tensor([wanted]))
        return image, mask

    def _another(self, place: int, generator: torch.Generator) -> int | None:
        """Draw another sample with the same labelled names; None if there is none."""
        alike = self._alike[int(self.kinds[place])]
        return _pick(alike[alike != place], generator)

    def _half(self, ids: Tensor, place: int, generator: torch.Generator) -> Tensor:
        """Return half of the labelled classes of a mask, rounded up."""
        labelled = self._labelled[int(self.kinds[place])]
        present = labelled[torch.isin(labelled, ids.to(torch.int64))]
        order = torch.randperm(len(present), generator=generator)
        return present[order[: (len(present) + 1) // 2]]

    def _holder(self, place: int, generator: torch.Generator) -> tuple[int, int] | None:
        """Draw a class by weight, and another sample that has it and the same labelled names."""
        kind = int(self.kinds[place])
        if self._held is None:
            return None
        chances = self._chances[kind] * (self._counts[kind] > self._held[place])
        if not bool(chances.any()):
            return None
        wanted = int(torch.multinomial(chances, 1, generator=generator))
        alike = self._alike[kind]
        other = _pick(alike[self._held[alike, wanted] & (alike != place)], generator)
        return None if other is None else (wanted, other)


def _pick(places: Tensor, generator: torch.Generator) -> int | None:
    if not len(places):
        return None
    return int(places[int(torch.randint(len(places), (1,), generator=generator))])


def _paste(image: Tensor, mask: Tensor, pixels: Tensor, ids: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    chosen = torch.isin(ids, classes.to(ids.dtype))
    return torch.where(chosen, pixels, image), torch.where(chosen, ids, mask)
