"""Scores on data that does not label everything: what a pixel is and what a prediction counts as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.classes import ClassSet
from bridgeseg.data.labels import label_sets, labelled_names, set_of
from bridgeseg.data.listing import Sample
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import DataError, nearest

Ids = NDArray[np.integer[Any]]
OTHER = ("other", "none of these")


class Partial:
    """Brings masks and predictions to the labelled names, and one more that is none of them.

    Pixels that are not labelled are left out, or (`unlabelled: other`) none of the names that their image was labelled
    for. So is a prediction of any other name.

    Args:
        spec: the dataset, which says what it labels.
        names: those of the model, in the order of its ids.

    Attributes:
        own: the T labelled names, in the order of the dataset; index T is none of them.
        classes: these and the one that is none of them, for figures.

    Raises:
        DataError: the model does not know one of them.
    """

    def __init__(self, spec: DataSpec, names: Sequence[str]) -> None:
        self.spec, self.sets = spec, label_sets(spec)
        self.own = labelled_names(spec)
        if missing := [name for name in self.own if name not in names]:
            raise DataError(
                f"the data labels {missing[0]!r}, which the model does not know; {nearest(missing[0], names)}",
                where=spec.path,
                fix="evaluate a model that knows it, or leave it out of `labelled`",
            )
        colours = dict(zip(spec.classes.names, spec.classes.palette, strict=True))
        last = next(name for name in OTHER if name not in self.own)
        self.classes = ClassSet.build([*self.own, last], palette={name: colours[name] for name in self.own})
        ignored = self.classes.ignore_index
        rest = ignored if spec.unlabelled == "ignore" else len(self.own)
        index = {name: place for place, name in enumerate(self.own)}
        self.truths, self.predictions = [], []
        for chosen in self.sets:
            truth = np.full(spec.classes.ignore_index + 1, ignored)
            truth[: len(spec.classes)] = [index[name] if name in chosen else rest for name in spec.classes.names]
            self.truths.append(truth)
            self.predictions.append(np.array([index[name] if name in chosen else len(self.own) for name in names]))

    def of(self, sample: Sample, truth: Ids, prediction: Ids) -> tuple[Ids, Ids]:
        """Mask (H, W) and predicted ids (H, W) of an image -> ids of `classes`."""
        row = set_of(self.spec, self.sets, self.spec.key(sample))
        return self.truths[row][truth], self.predictions[row][prediction]
