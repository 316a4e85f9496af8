"""How many pixels and images each class has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec, Sample
from bridgeseg.report.progress import track


@dataclass(frozen=True)
class ClassStatistics:
    """Counts over a set of masks.

    Attributes:
        pixels: (K,) int64, labelled pixels of each class.
        images: (K,) int64, images in which each class occurs.
        ignored: pixels labelled as nothing.
        total: number of images.
        held: (images, K) bool, which classes each image has.
    """

    pixels: NDArray[np.int64]
    images: NDArray[np.int64]
    ignored: int
    total: int
    held: NDArray[np.bool_]

    def inverse_frequency(self) -> list[float]:
        """Return K weights, 1 / pixels, with mean 1 over the classes that occur; 0 for a class that does not."""
        weights = np.divide(1.0, self.pixels, out=np.zeros(len(self.pixels)), where=self.pixels > 0)
        present = int((weights > 0).sum())
        return [float(weight) for weight in (weights * present / weights.sum() if present else weights)]


def class_statistics(spec: DataSpec, samples: Sequence[Sample]) -> ClassStatistics:
    """Count the pixels of every class in the masks of `samples`; a progress bar appears when that takes over 2 s.

    Raises:
        DataError: a mask cannot be used.
    """
    count, ignore = len(spec.classes), spec.classes.ignore_index
    pixels, held, ignored = np.zeros(count, np.int64), np.zeros((len(samples), count), np.bool_), 0
    for place, sample in enumerate(track(samples, "counting classes")):
        found = np.bincount(read_mask(sample.mask, spec).ravel(), minlength=ignore + 1)
        pixels += found[:count]
        held[place] = found[:count] > 0
        ignored += int(found[ignore])
    return ClassStatistics(pixels, held.sum(0), ignored, len(samples), held)
