"""Count pixels over a whole split: pairs of true and predicted class ids, and how far confidence is from what is right.

Pixels whose truth is the ignore index are left out before anything is counted, whatever was predicted there. Counts are
64-bit integers summed over the split, so scores do not depend on the order of the images, on batches or on shards.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.classes import IGNORE_INDEX
from bridgeseg.errors import DataError, InputError

STRIPE = 1_000_000
"""Pixels that are counted at a time."""


class ConfusionMatrix:
    """Counts of (true class, predicted class) pairs.

    Args:
        classes: number of classes K, at least 1.
        ignore_index: truth value that is left out; None counts every pixel.

    Attributes:
        matrix: (K, K) int64, rows = truth, columns = prediction.
        images: how many images were counted.

    >>> counts = ConfusionMatrix(2)
    >>> counts.update(np.array([[0, 1, 1]]), np.array([[0, 0, 255]]))
    >>> counts.matrix.tolist()
    [[1, 1], [0, 0]]
    """

    def __init__(self, classes: int, ignore_index: int | None = IGNORE_INDEX) -> None:
        if classes < 1:
            raise InputError(f"a confusion matrix needs at least 1 class, found {classes}")
        self.matrix: NDArray[np.int64] = np.zeros((classes, classes), np.int64)
        self.ignore_index = ignore_index
        self.images = 0

    def update(self, prediction: Any, truth: Any, where: str | Path | None = None) -> None:
        """Count one image (H, W) or a batch (B, H, W).

        Args:
            prediction: class ids 0..K-1, an integer array or a torch tensor on any device.
            truth: class ids 0..K-1 or the ignore index, the same shape.
            where: file that an error should name.

        Raises:
            DataError: shapes differ, values are not integers, the truth holds an id that is no class.
            InputError: a labelled pixel is predicted as an id that is no class.
        """
        prediction, truth = _integers(prediction, where), _integers(truth, where)
        if prediction.shape != truth.shape or truth.ndim not in (2, 3):
            raise DataError(
                f"prediction and truth must both be (H, W) or (B, H, W), found {prediction.shape} and {truth.shape}",
                where=where,
            )
        images = truth.shape[0] if truth.ndim == 3 else 1
        truth, prediction = truth.ravel(), prediction.ravel()
        counts = np.zeros_like(self.matrix)
        for start in range(0, truth.size, STRIPE):  # the widened copies of a large image would be larger than it
            some = slice(start, start + STRIPE)
            counts += self._count(prediction[some], truth[some], where)
        self.matrix += counts
        self.images += images

    def _count(
        self, prediction: NDArray[np.integer[Any]], truth: NDArray[np.integer[Any]], where: str | Path | None
    ) -> NDArray[np.int64]:
        if self.ignore_index is not None:
            labelled = truth != self.ignore_index
            prediction, truth = prediction[labelled], truth[labelled]
        count = len(self.matrix)
        if (wrong := _outside(truth, count)) is not None:
            raise DataError(
                f"the mask has ids that are no class: {wrong} (allowed: 0..{count - 1}, ignored: {self.ignore_index})",
                where=where,
                fix="map them to classes, or to null, under `label_map` in data.yaml",
            )
        if (wrong := _outside(prediction, count)) is not None:
            raise InputError(
                f"ids were predicted that are no class: {wrong} (allowed: 0..{count - 1})",
                where=where,
                fix="evaluate with the classes that the model was trained for",
            )
        # Widened first: truth * K overflows the small dtypes that masks come in.
        pairs = truth.astype(np.int64) * count + prediction.astype(np.int64)
        return np.bincount(pairs, minlength=count * count).reshape(count, count)

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Return the counts of both: the matrix of two shards is the sum of theirs, exactly."""
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        if other.matrix.shape != self.matrix.shape or other.ignore_index != self.ignore_index:
            raise InputError(
                f"cannot add counts of {len(other.matrix)} classes (ignored: {other.ignore_index}) "
                f"to counts of {len(self.matrix)} (ignored: {self.ignore_index})"
            )
        total = ConfusionMatrix(len(self.matrix), self.ignore_index)
        total.matrix = self.matrix + other.matrix
        total.images = self.images + other.images
        return total


class CalibrationError:
    """The expected calibration error: how far confidence is from the share that is right (arXiv 1706.04599, eq. 3).

    Args:
        bins: pixels are grouped by confidence in so many equal parts of 0..1.

    >>> error = CalibrationError()
    >>> error.update(np.full(4, 230, np.uint8), np.array([True, True, True, False]))
    >>> round(error.value, 2)
    0.15
    """

    def __init__(self, bins: int = 15) -> None:
        self.counts, self.right = np.zeros(bins, np.int64), np.zeros(bins, np.int64)
        self.confidence = np.zeros(bins)

    def update(self, confidence: NDArray[np.uint8], right: NDArray[np.bool_]) -> None:
        """Count pixels: their confidence, 0 to 255 for 0..1, and whether their class is right; of any one shape."""
        both = confidence.ravel() + np.uint16(256) * right.ravel()
        wrong_and_right = np.bincount(both, minlength=512).reshape(2, 256)
        self._count(np.arange(256) / 255, wrong_and_right.sum(axis=0), wrong_and_right[1])

    def update_shares(self, confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> None:
        """Count pixels as `update` does, whose confidence is numbers of 0..1."""
        self._count(confidence.ravel(), np.ones(confidence.size, np.int64), right.ravel().astype(np.int64))

    def _count(self, confidence: NDArray[Any], pixels: NDArray[np.int64], right: NDArray[np.int64]) -> None:
        """Count, for each confidence, so many pixels, and so many of them that are right."""
        bins = len(self.counts)
        place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
        self.counts += np.bincount(place, pixels, bins).astype(np.int64)
        self.right += np.bincount(place, right, bins).astype(np.int64)
        self.confidence += np.bincount(place, confidence * pixels, bins)

    @property
    def value(self) -> float:
        """The error, 0..1; NaN if no pixel was counted."""
        total = self.counts.sum()
        return float(np.abs(self.confidence - self.right).sum() / total) if total else math.nan


def _integers(values: Any, where: str | Path | None) -> NDArray[np.integer[Any]]:
    # A tensor says how it leaves its device; asking it keeps torch out of this module.
    array = np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)
    if array.dtype.kind not in "iu":
        raise DataError(f"class ids must be integers, found {array.dtype}", where=where)
    return array


def _outside(ids: NDArray[np.integer[Any]], count: int) -> list[int] | None:
    """Return up to ten distinct ids outside 0..count-1, None if there are none."""
    if not ids.size or (int(ids.max()) < count and int(ids.min()) >= 0):
        return None
    return [int(value) for value in np.unique(ids) if not 0 <= value < count][:10]
