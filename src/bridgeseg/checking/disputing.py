"""Confident learning, pixel by pixel: which labels of a dataset a trained model disputes.

After Northcutt, Jiang, Chuang: Confident Learning: Estimating Uncertainty in Dataset Labels (2021, arXiv 1911.00068),
section 3.1: a model disputes a label if it gives another class with at least the confidence that it usually has in that
class. Two things differ. What is usual is the mean over pixels whose label and prediction agree, since a model says how
sure it is of the class that it gives and of no other; that is higher than the paper's mean, so less is disputed. And
where labels and predictions differ in a strip narrower than `EDGE` pixels, that is how masks are drawn, and no mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bridgeseg.checking.disputes import Disputes, Region
from bridgeseg.data.listing import Sample
from bridgeseg.data.spec import DataSpec
from bridgeseg.evaluating.answers import Answer, answer_all
from bridgeseg.evaluating.matching import match
from bridgeseg.outlines import Area, numbered
from bridgeseg.report.draw import stripes
from bridgeseg.runtime.model import Model
from bridgeseg.settings.check import Check

EDGE = 5
"""Pixels: where no square of this side fits in, the borders of classes differ and nothing else."""
LEAST = 25
"""Pixels of a region, at least, that the model is sure of."""
MOST_REGIONS = 1000
"""Listed; candidates are kept ten times as many at most."""
BYTE = np.arange(256)


def find_disputes(asked: Check, spec: DataSpec, samples: Mapping[str, Sequence[Sample]]) -> Disputes:
    """Ask a model about every pair, and return the labels that it disputes.

    Args:
        asked: the model, and how it runs.
        spec: the dataset.
        samples: split -> pairs; those that cannot be read are passed over.

    Raises:
        DataError: the classes of model and data differ.
        InputError: the model cannot be used, or an image needs more memory than there is.
    """
    model = Model.of(asked.model, asked.threads, asked.runtime)
    matched = match(model, spec)
    model, spec, passed_over = matched.model, matched.spec, list[Sample]()
    search = Search(matched.classes.names, matched.classes.ignore_index)
    split_of = {sample: split for split, listed in samples.items() for sample in listed}
    answer_all(
        model, list(split_of), spec, search.take, title="ask the model", sure=True, memory=asked.memory,
        max_pixels=asked.max_pixels, progress=not asked.quiet, passed_over=passed_over,
    )  # fmt: skip

    def region(one: Candidate, pixels: int, confidence: float | None) -> Region:
        left, top, width, height = (round(value) for value in one.area.box)
        image, mask = (spec.key(Sample(path, path)) for path in (one.sample.image, one.sample.mask))
        named = (split_of[one.sample], image, mask, one.labelled, matched.classes.names[one.predicted])
        share = pixels / one.image_pixels
        return Region(*named, pixels, share, confidence, (left, top, width, height), one.sample, one.area)

    regions, left_out = search.regions(region)
    compared = len(split_of) - len(passed_over)
    facts = {"compared": compared, "passed_over": len(passed_over), "confident": model.confident}
    return Disputes.of(regions, left_out=left_out, spec=spec, **facts)


class Candidate(NamedTuple):
    """An area of one label and one other prediction: how many of its pixels have which confidence (256,), 0 to 255."""

    sample: Sample
    labelled: str
    predicted: int
    area: Area
    image_pixels: int
    counts: NDArray[np.int64]


class Search:
    """Takes answers one after the other, and then says what is disputed.

    Args:
        names: of the classes.
        ignore: the id of pixels without a label.
    """

    def __init__(self, names: Sequence[str], ignore: int) -> None:
        self.names, self.ignore, self.confident = tuple(names), ignore, False
        self.agreed, self.given = (np.zeros((len(names), 256), np.int64) for _ in range(2))
        self.candidates: list[Candidate] = []
        self.dropped = 0

    def take(self, answer: Answer) -> None:
        """Count how sure the model is where it agrees, and keep the areas where it does not."""
        sample, _, truth, prediction, confidence = answer
        if confidence is not None:
            self.confident = True
            for rows in stripes(*truth.shape):
                right = prediction[rows] == truth[rows]
                self.agreed += self._counted(prediction[rows][right], confidence[rows][right])
                self.given += self._counted(prediction[rows], confidence[rows])
        different = opened((truth != self.ignore) & (prediction != truth), EDGE)
        for label in np.unique(truth[different]).tolist():
            mine = different & (truth == label)
            for other in np.unique(prediction[mine]).tolist():
                inside = mine & (prediction == other)
                if np.count_nonzero(inside) < LEAST:
                    continue
                areas, numbers = numbered(inside, self.names[label], label)
                levels = confidence[inside] if confidence is not None else np.full(np.count_nonzero(inside), 255)
                counts = np.bincount(numbers[inside] * 256 + levels, minlength=256 * len(areas)).reshape(-1, 256)
                self.candidates += [
                    Candidate(sample, area.name, other, area, truth.size, own)
                    for area, own in zip(areas, counts, strict=True)
                    if area.pixels >= LEAST
                ]
        if len(self.candidates) > 20 * MOST_REGIONS:
            self._drop()

    def regions(self, make: Callable[[Candidate, int, float | None], Region]) -> tuple[list[Region], int]:
        """Return at most `MOST_REGIONS` that are disputed, those that weigh most first, and how many more there are.

        Args:
            make: makes one of a candidate, how many of its pixels the model is sure of, and their mean confidence
                (0..1), None if the model does not say.
        """
        usual = self._usual()
        found = []
        for one in self.candidates:
            sure = np.where(usual[one.predicted] <= BYTE + 1e-6, one.counts, 0)
            pixels = int(sure.sum())
            if pixels >= LEAST:
                mean = float((sure * BYTE).sum() / pixels / 255) if self.confident else None
                found.append(make(one, pixels, mean))
        found.sort(key=lambda one: one.weight, reverse=True)
        return found[:MOST_REGIONS], max(0, len(found) - MOST_REGIONS) + self.dropped

    def _usual(self) -> NDArray[np.float64]:
        """Return the usual confidence (0 to 255) of each class (K,): where labels agree, or wherever none does."""
        counts = np.where(self.agreed.any(axis=1, keepdims=True), self.agreed, self.given)
        return np.asarray((counts * BYTE).sum(axis=1) / np.maximum(1, counts.sum(axis=1)))

    def _counted(self, prediction: NDArray[Any], confidence: NDArray[Any]) -> NDArray[np.int64]:
        places = prediction.astype(np.int64) * 256 + confidence
        return np.bincount(places.ravel(), minlength=self.agreed.size).reshape(self.agreed.shape)

    def _drop(self) -> None:
        """Keep the candidates that take the largest shares of their images."""
        self.candidates.sort(key=lambda one: one.area.pixels / one.image_pixels, reverse=True)
        self.dropped += len(self.candidates) - 10 * MOST_REGIONS
        del self.candidates[10 * MOST_REGIONS :]


def opened(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Return the pixels of a mask (H, W) that lie in a square of `side` pixels all of which are in it."""
    height, width = (size - side + 1 for size in mask.shape)
    found = np.zeros_like(mask)
    if height < 1 or width < 1:
        return found
    rows = np.logical_and.reduce([mask[step : step + height] for step in range(side)])
    corners = np.logical_and.reduce([rows[:, step : step + width] for step in range(side)])
    across = np.zeros((height, mask.shape[1]), bool)
    for step in range(side):
        across[:, step : step + width] |= corners
    for step in range(side):
        found[step : step + height] |= across
    return found
