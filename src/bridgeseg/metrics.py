"""From predicted and true class ids to scores, by one exact confusion matrix over the whole split.

Conventions, those of MMSegmentation and torchmetrics (Everingham et al., 2015, section 4.1, for the IoU), for class k:

- IoU(k) = TP / (TP + FP + FN); a class found neither in the truth nor in the prediction has none (`None`, JSON null);
- mIoU is the mean over the classes that have an IoU, so a class that is predicted but never true counts as 0;
- mAcc is the mean of TP / (TP + FN) over the classes found in the truth (MMSegmentation's nanmean);
- aAcc is the share of labelled pixels that are right.

Pixels whose truth is the ignore index are left out before anything is counted, whatever was predicted there. Counts are
64-bit integers summed over the split, so scores do not depend on the order of the images, on batches or on shards.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.classes import IGNORE_INDEX
from bridgeseg.errors import DataError, InputError

if TYPE_CHECKING:
    from rich.table import Table


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


@dataclass(frozen=True)
class ByNames:
    """What an evaluation by language was over.

    Attributes:
        unseen: names that the network was not trained with.
        unlabelled: names that the dataset does not label: they have no score, and what is predicted as them is wrong.
        ignored: names of the dataset that were not asked for, whose pixels are ignored.
    """

    unseen: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def means(self, iou: Mapping[str, float | None]) -> dict[str, float | None]:
        """Return the mean IoU of the names that were trained and of those that were not; None where there are none."""
        seen = [value for name, value in iou.items() if value is not None and name not in self.unseen]
        unseen = [value for name, value in iou.items() if value is not None and name in self.unseen]
        return {
            "miou_seen": _number(_mean(np.array(seen, float))),
            "miou_unseen": _number(_mean(np.array(unseen, float))),
        }


@dataclass(frozen=True)
class Scores:
    """Scores of one split; all fractions of 1 (NaN where no pixel was labelled).

    Attributes:
        images: how many images were scored.
        miou: mean IoU over the classes found in truth or prediction.
        macc: mean accuracy over the classes found in the truth.
        aacc: share of labelled pixels that are right.
        iou: class name -> IoU, None for a class found in neither, in class order.
        confusion: (K, K) int64 pixel counts, rows = truth, columns = prediction.
        ece: expected calibration error of the confidence, 0..1; None where the model gives none.
        by_names: what they are over, if the network was evaluated by language.
        parts: dataset -> its own scores, where several datasets were scored together (see `join_scores`).
    """

    images: int
    miou: float
    macc: float
    aacc: float
    iou: dict[str, float | None]
    confusion: NDArray[np.int64] = field(repr=False, compare=False)
    ece: float | None = None
    by_names: ByNames | None = None
    parts: dict[str, Scores] = field(default_factory=dict)

    @classmethod
    def from_confusion(
        cls, matrix: ConfusionMatrix | NDArray[np.integer[Any]], names: Sequence[str], images: int | None = None
    ) -> Scores:
        """Score a confusion matrix.

        Args:
            matrix: a `ConfusionMatrix`, or (K, K) pixel counts with rows = truth, columns = prediction.
            names: K distinct class names. The last row and column of a matrix of K + 1 count pixels that are none of
                them, and predictions that are none of them: they are wrong, and have no score.
            images: how many images were counted; by default what the `ConfusionMatrix` says, 0 for a bare array.

        Raises:
            InputError: the matrix is not (K, K), or the names do not fit it.
        """
        counts = np.asarray(matrix.matrix if isinstance(matrix, ConfusionMatrix) else matrix, np.int64)
        if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
            raise InputError(f"a confusion matrix is (K, K), found {counts.shape}")
        if len(counts) - len(names) not in (0, 1) or len(set(names)) != len(names):
            raise InputError(f"a matrix of {len(counts)} classes needs as many distinct names, found {list(names)}")
        if images is None:
            images = matrix.images if isinstance(matrix, ConfusionMatrix) else 0
        hits, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
        iou = _ratio(hits, true + predicted - hits)[: len(names)]
        return cls(
            images=images,
            miou=_mean(iou),
            macc=_mean(_ratio(hits, true)[: len(names)]),
            aacc=float(hits.sum() / counts.sum()) if counts.any() else math.nan,
            iou={name: _number(value) for name, value in zip(names, iou.tolist(), strict=True)},
            confusion=counts.copy(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what `evaluate --json` prints.

        >>> Scores.from_confusion(np.array([[3, 1], [0, 0]]), ["sky", "road"], images=1).to_dict()
        {'images': 1, 'miou': 0.375, 'macc': 0.75, 'aacc': 0.75, 'iou': {'sky': 0.75, 'road': 0.0}}
        """
        return {
            "images": self.images,
            "miou": _number(self.miou),
            "macc": _number(self.macc),
            "aacc": _number(self.aacc),
            **({} if self.ece is None else {"ece": _number(self.ece)}),
            "iou": dict(self.iou),
            **({} if self.by_names is None else {**self.by_names.means(self.iou), **asdict(self.by_names)}),
        }

    def without(self, names: Collection[str], by_names: ByNames) -> Scores:
        """Return the scores in which some names have no IoU: nothing of them is labelled."""
        iou = {name: None if name in names else value for name, value in self.iou.items()}
        miou = _mean(np.array([value for value in iou.values() if value is not None], float))
        return replace(self, iou=iou, miou=miou, by_names=by_names)

    def parts_dict(self) -> dict[str, Any]:
        """Return dataset -> scores, JSON-ready; empty for one dataset."""
        return {name: part.to_dict() for name, part in self.parts.items()}

    def table(self) -> Table:
        """Return a Rich table, in percent: IoU, accuracy and share of the labelled pixels per class, then the means."""
        from rich.table import Table
        from rich.text import Text

        true = self.confusion.sum(axis=1)
        accuracy, share = _ratio(np.diag(self.confusion), true), _ratio(true, np.full_like(true, true.sum()))
        table = Table("class", title=f"{self.images} images", show_footer=True)
        table.columns[0].footer = "mean"
        for header, total in (("IoU", self.miou), ("accuracy", self.macc), ("pixels", math.nan)):
            table.add_column(header, footer=percent(total), justify="right")
        table.columns[-1].footer = ""
        unseen = () if self.by_names is None else self.by_names.unseen
        for (name, iou), accurate, part in zip(self.iou.items(), accuracy, share, strict=False):
            shown = (name if name.isprintable() else repr(name)) + (" *" if name in unseen else "")
            table.add_row(Text(shown), percent(iou), percent(accurate), percent(part))
        means = ", ".join(f"{name} {percent(part.miou)}" for name, part in self.parts.items())
        table.caption = f"mIoU {percent(self.miou)}   mAcc {percent(self.macc)}   aAcc {percent(self.aacc)}"
        if self.ece is not None:
            table.caption += f"   ECE {percent(self.ece)}"
        table.caption += f"\nmIoU of each: {means}" if means else ""
        if self.by_names is not None:
            table.caption += self._by_language(self.by_names)
        return table

    def _by_language(self, by: ByNames) -> str:
        means = by.means(self.iou)
        lines = ["\nby language: the names are those asked for, not those that the network was trained with"]
        if by.unseen:
            unseen, seen = percent(means["miou_unseen"]), percent(means["miou_seen"])
            lines.append(f"* never seen in training: mIoU {unseen}, of the others {seen}")
        if by.unlabelled:
            lines.append(f"not labelled in this data, so without a score: {', '.join(by.unlabelled)}")
        if by.ignored:
            lines.append(f"ignored, because not asked for: {len(by.ignored)} names of the data")
        return "\n".join(lines)


def join_scores(parts: Mapping[str, Scores]) -> Scores:
    """Return scores of several datasets, each by its own names, as one.

    mIoU, mAcc and aAcc are the means of those of the datasets, so that each dataset counts alike. Classes are called
    `dataset: class`, and the matrix has those of the datasets on its diagonal.
    """
    sizes = [len(part.confusion) for part in parts.values()]
    matrix, start = np.zeros((sum(sizes), sum(sizes)), np.int64), 0
    for part, size in zip(parts.values(), sizes, strict=True):
        matrix[start : start + size, start : start + size] = part.confusion
        start += size
    miou, macc, aacc = (
        _mean(np.array([getattr(part, key) for part in parts.values()])) for key in ("miou", "macc", "aacc")
    )
    return Scores(
        sum(part.images for part in parts.values()),
        miou,
        macc,
        aacc,
        iou={f"{name}: {own}": value for name, part in parts.items() for own, value in part.iou.items()},
        confusion=matrix,
        parts=dict(parts),
    )


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


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divide; NaN where `whole` is 0."""
    result = np.full(len(part), np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def _mean(values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else math.nan


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def percent(value: float | None) -> str:
    """Write a fraction in percent with one decimal, a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.1f}"
