"""From the confusion matrix of a whole split to scores.

Conventions, those of MMSegmentation and torchmetrics (Everingham et al., 2015, section 4.1, for the IoU), for class k:

- IoU(k) = TP / (TP + FP + FN); a class found neither in the truth nor in the prediction has none (`None`, JSON null);
- mIoU is the mean over the classes that have an IoU, so a class that is predicted but never true counts as 0;
- mAcc is the mean of TP / (TP + FN) over the classes found in the truth (MMSegmentation's nanmean);
- aAcc is the share of labelled pixels that are right.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.confusion import ConfusionMatrix
from bridgeseg.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table


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

        # the matrix of a part may end in a row that has no name
        pairs = [(one.confusion, len(one.iou)) for one in self.parts.values() or [self]]
        hits = np.concatenate([np.diag(matrix)[:count] for matrix, count in pairs])
        true = np.concatenate([matrix.sum(axis=1)[:count] for matrix, count in pairs])
        accuracy, share = _ratio(hits, true), _ratio(true, np.full_like(true, self.confusion.sum()))
        table = Table("class", title=f"{self.images} images", show_footer=True)
        table.columns[0].footer = "mean"
        for header, total in (("IoU", self.miou), ("accuracy", self.macc), ("pixels", math.nan)):
            table.add_column(header, footer=percent(total), justify="right")
        table.columns[-1].footer = ""
        unseen = () if self.by_names is None else self.by_names.unseen
        for (name, iou), accurate, part in zip(self.iou.items(), accuracy, share, strict=True):
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
