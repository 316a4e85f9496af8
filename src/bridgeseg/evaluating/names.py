"""Evaluation by language: the names of a network against those of a dataset that were written by somebody else."""

from __future__ import annotations

from dataclasses import replace

from bridgeseg.classes import ClassSet
from bridgeseg.data.spec import DataSpec
from bridgeseg.data.values import known_values
from bridgeseg.errors import DataError
from bridgeseg.metrics import ByNames, Scores
from bridgeseg.vocabulary.embeddings import find_rows, not_among


def by_names(spec: DataSpec, classes: ClassSet) -> tuple[DataSpec, ByNames]:
    """Return a dataset whose masks are read as ids of other classes, by their names, and what is left of the names.

    Names are the same in their exact spelling, else whatever their case, with `_` as a space. Pixels of names that are
    not among the classes are ignored.

    Args:
        spec: the dataset.
        classes: what the network tells apart.

    Raises:
        DataError: the dataset labels none of them.
    """
    names, ignore = spec.classes.names, classes.ignore_index
    places = find_rows(names, classes.names)
    labelled = {place for place in places if place is not None}
    if not labelled:
        raise DataError(
            f"none of the names asked for is labelled in this data: {not_among(classes.names[:5], names)}",
            where=spec.path,
            fix="ask for names of the data, with phrases of their own if you like: "
            f"`names={names[0]}={classes.names[0]}`",
        )
    ids = {index: ignore if place is None else place for index, place in enumerate(places)}
    ids[spec.classes.ignore_index] = ignore
    colours = spec.colour_map and {colour: ids[index] for colour, index in spec.colour_map.items()}
    values = {spec.classes.ignore_index: spec.classes.ignore_index} | known_values(spec)
    numbers = None if colours else {value: ids[index] for value, index in values.items()}
    left = ByNames(
        unlabelled=tuple(name for index, name in enumerate(classes.names) if index not in labelled),
        ignored=tuple(name for name, place in zip(names, places, strict=True) if place is None),
    )
    return replace(spec, classes=classes, label_map=numbers, colour_map=colours), left


def told(scores: Scores, left: ByNames, trained: tuple[str, ...]) -> Scores:
    """Say in scores which names the network never saw, and leave those out that the dataset does not label."""
    found = find_rows(list(scores.iou), trained)
    unseen = tuple(name for name, row in zip(scores.iou, found, strict=True) if row is None)
    return scores.without(left.unlabelled, replace(left, unseen=unseen))
