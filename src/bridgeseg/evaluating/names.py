"""Evaluation by language: the names of a network against those of a dataset that were written by somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridgeseg.classes import ClassSet
from bridgeseg.data.labels import labelled_names
from bridgeseg.data.spec import DataSpec
from bridgeseg.data.values import known_values
from bridgeseg.errors import DataError
from bridgeseg.evaluating.partial import known_names, leaves
from bridgeseg.metrics import ByNames
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
    names = spec.classes.names
    places = find_rows(names, classes.names)
    labelled = {place for place in places if place is not None}
    if not labelled:
        raise _nothing_labelled(spec, classes)
    left = ByNames(
        unlabelled=tuple(name for index, name in enumerate(classes.names) if index not in labelled),
        ignored=tuple(name for name, place in zip(names, places, strict=True) if place is None),
    )
    return replace(_read_as(spec, places, classes.ignore_index), classes=classes), left


def by_relations(spec: DataSpec, classes: ClassSet) -> tuple[DataSpec, ByNames]:
    """Return partial data, or data with `same` and `parts`, that labels what other classes mean alone.

    Pixels of labelled names that mean none of the classes are ignored. Arguments and errors are those of `by_names`.
    """
    labelled = labelled_names(spec)
    meant = known_names(spec, classes.names)
    if not meant:
        raise _nothing_labelled(spec, classes)
    left = ByNames(
        unlabelled=tuple(name for name in classes.names if name not in leaves(spec, classes.names, meant)),
        ignored=tuple(name for name in labelled if name not in meant),
    )
    places = [None if name in left.ignored else index for index, name in enumerate(spec.classes.names)]
    images = {key: tuple(name for name in own if name in meant) for key, own in spec.labelled_images.items()}
    narrowed = _read_as(spec, places, spec.classes.ignore_index)
    return replace(narrowed, labelled=tuple(meant), labelled_images=images), left


def _nothing_labelled(spec: DataSpec, classes: ClassSet) -> DataError:
    names = labelled_names(spec)
    return DataError(
        f"none of the names asked for is labelled in this data: {not_among(classes.names[:5], names)}",
        where=spec.path,
        fix=f"ask for names of the data, with phrases of their own if you like: `names={names[0]}={classes.names[0]}`",
    )


def _read_as(spec: DataSpec, places: Sequence[int | None], ignore: int) -> DataSpec:
    """Return a dataset whose masks are read as other ids: those in the places of its own, None for what is ignored."""
    ids = {index: ignore if place is None else place for index, place in enumerate(places)}
    ids[spec.classes.ignore_index] = ignore
    colours = spec.colour_map and {colour: ids[index] for colour, index in spec.colour_map.items()}
    values = {spec.classes.ignore_index: spec.classes.ignore_index} | known_values(spec)
    numbers = None if colours else {value: ids[index] for value, index in values.items()}
    return replace(spec, label_map=numbers, colour_map=colours)


def never_seen(spec: DataSpec, names: Sequence[str], trained: Sequence[str]) -> tuple[str, ...]:
    """Return those of the scored names of a dataset for which a network was trained by no word that means the same.

    Words mean the same by their spelling (see `by_names`), by `same`, or as a part of a coarse name.
    """
    known = known_names(spec, trained)
    return tuple(name for name in names if name not in known)
