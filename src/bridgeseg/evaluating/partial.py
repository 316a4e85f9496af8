"""Scores on data that does not label everything: what a pixel is and what a prediction counts as."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.classes import ClassSet
from bridgeseg.data.labels import counted_as, label_sets, labelled_names, set_of
from bridgeseg.data.listing import Sample
from bridgeseg.data.relations import Relations, Said
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import DataError, nearest
from bridgeseg.vocabulary.embeddings import find_rows
from bridgeseg.wording import join_names

Ids = NDArray[np.integer[Any]]
OTHER = ("other", "none of these")


class Partial:
    """Brings masks and predictions to the labelled names, and one more that is none of them.

    Pixels that are not labelled are left out, or (`unlabelled: other`) none of the names that their image was labelled
    for. So is a prediction of any other name. The data's own `same` and `parts` hold as in a training's validation: a
    predicted part counts as its coarse name, where the finer name is not labelled too, or not true.

    Args:
        spec: the dataset, which says what it labels.
        names: those of the model, in the order of its ids.

    Attributes:
        own: the T names that are scored: the labelled ones in the order of the dataset, one name for those that
            mean the same; index T is none of them.
        classes: these and the one that is none of them, for figures.

    Raises:
        DataError: the model does not know one of them.
    """

    def __init__(self, spec: DataSpec, names: Sequence[str]) -> None:
        self.spec, self.sets = spec, label_sets(spec)
        labelled = labelled_names(spec)
        meant = _meant(spec, labelled, names)
        if missing := [name for name in labelled if not meant[name]]:
            raise DataError(
                f"the data labels {missing[0]!r}, which the model does not know; {nearest(missing[0], names)}",
                where=spec.path,
                fix="evaluate a model that knows it; one that takes any names is asked for it too by "
                f"`names={join_names([*names, *missing])}`",
            )
        alike: dict[tuple[int, ...], list[str]] = {}
        for name in labelled:
            alike.setdefault(tuple(meant[name]), []).append(name)
        self.own = tuple(next((name for name in group if name in names), group[0]) for group in alike.values())
        colours = dict(zip(spec.classes.names, spec.classes.palette, strict=True))
        last = next(name for name in OTHER if name not in self.own)
        self.classes = ClassSet.build([*self.own, last], palette={name: colours[name] for name in self.own})
        ignored = self.classes.ignore_index
        rest = ignored if spec.unlabelled == "ignore" else len(self.own)
        index = {name: place for place, group in enumerate(alike.values()) for name in group}
        self.truths, self.predictions = [], []
        for chosen in self.sets:
            truth = np.full(spec.classes.ignore_index + 1, ignored)
            truth[: len(spec.classes)] = [index[name] if name in chosen else rest for name in spec.classes.names]
            self.truths.append(truth)
            self.predictions.append(
                counted_as(
                    [(index[name], meant[name]) for name in labelled if name in chosen], len(self.own), len(names)
                )
            )

    def of(self, sample: Sample, truth: Ids, prediction: Ids) -> tuple[Ids, Ids]:
        """Mask (H, W) and predicted ids (H, W) of an image -> ids of `classes`."""
        row = set_of(self.spec, self.sets, self.spec.key(sample))
        told = self.truths[row][truth]
        true = np.where(told == self.classes.ignore_index, len(self.own), told)
        return told, self.predictions[row][true, prediction]


def partial_of(spec: DataSpec, names: Sequence[str]) -> Partial | None:
    """Return what brings a dataset and a model with these names together, None where their ids mean the same.

    It is needed if something is unlabelled, or if names that differ are one or part of another by `same` and `parts`.
    """
    related = bool(spec.same or spec.parts) and not {*spec.classes.names} <= {*names}
    if spec.partial or (related and all(_meant(spec, spec.classes.names, names).values())):
        return Partial(spec, names)
    return None


def is_related(spec: DataSpec, names: Sequence[str]) -> bool:
    """Whether a dataset says by `same` or `parts` that one of its names means one of a model, spelled otherwise."""
    own = spec.classes.names
    spelled = (name for name, row in zip(own, find_rows(own, names), strict=True) if row is not None)
    return not {*known_names(spec, names)} <= {*spelled}


def scored_names(spec: DataSpec, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a dataset that a model with these names is scored by."""
    partial = partial_of(spec, names)
    return spec.classes.names if partial is None else partial.own


def leaves(spec: DataSpec, names: Sequence[str], own: Sequence[str] | None = None) -> list[str]:
    """Return the names of a model that names of a dataset mean by `same` and `parts`; else these themselves.

    Args:
        spec: the dataset.
        names: those of the model.
        own: those of the dataset; by default all.
    """
    meant = _meant(spec, own or spec.classes.names, names)
    found = [[names[place] for place in places] or [name] for name, places in meant.items()]
    return list(dict.fromkeys(chain.from_iterable(found)))


def known_names(spec: DataSpec, names: Sequence[str]) -> list[str]:
    """Return the labelled names of a dataset that a model knows, as they are, by `same` or by one of their parts."""
    own = labelled_names(spec)
    meant = _meant(spec, own, names)
    return [name for name in own if meant[name]]


def _meant(spec: DataSpec, own: Sequence[str], names: Sequence[str]) -> dict[str, list[int]]:
    """Return labelled name -> ids of the model that it may mean; case and `_` for a space make no difference."""
    rows = zip(own, find_rows(own, names), strict=True)
    spelled = tuple((names[row], name) for name, row in rows if row is not None and names[row] != name)
    relations = Relations.of([Said(spec.same, spec.parts, spec.path), Said(spelled, {})], {*own, *names})
    leaves = {name: {relations.one(name), *relations.leaves(name)} for name in own}
    return {name: [place for place, known in enumerate(names) if relations.one(known) in leaves[name]] for name in own}
