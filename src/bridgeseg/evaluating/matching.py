"""A model and a dataset brought together: the same names in the same order, or the names that the data labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bridgeseg.classes import ClassSet
from bridgeseg.data.labels import labelled_names
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import DataError
from bridgeseg.evaluating.names import by_names, by_relations, never_seen
from bridgeseg.evaluating.partial import is_related, known_names, leaves, partial_of
from bridgeseg.metrics import ByNames
from bridgeseg.runtime.model import Model
from bridgeseg.vocabulary.asked import Names


@dataclass(frozen=True)
class Matched:
    """A model and a dataset whose ids mean the same.

    Attributes:
        model: with the names of the data, if it takes any.
        spec: the dataset, its images read as the model was trained.
        classes: what truth and predictions are told in.
        left: which names are not compared, of an evaluation by language; else None.
    """

    model: Model
    spec: DataSpec
    classes: ClassSet
    left: ByNames | None = None


def match(model: Model, spec: DataSpec, names: Names | None = None, embeddings: str | Path | None = None) -> Matched:
    """Bring a model and a dataset together.

    Args:
        model: which has the `names` that were asked for, if any were.
        spec: the dataset.
        names: those asked for, by which other names of the data are ignored; a model that takes any names is given
            those of the data else, or those that partial data labels besides its own.
        embeddings: as in `Model.load`.

    Raises:
        DataError: their classes differ, or the model lacks one that the data labels.
        InputError: as of `Model.with_names`.
    """
    left, spec = None, with_relations(spec, model.provenance)
    if names is None and model.takes_names and (spec.partial or spec.same or spec.parts):
        model = _with_labelled(model, spec, embeddings)
    elif names is not None and (spec.partial or is_related(spec, model.classes.names)):
        spec, left = by_relations(spec, model.classes)
    if (partial := partial_of(spec, model.classes.names)) is not None:
        classes, scored = partial.classes, partial.own
    else:
        if names is not None or (model.classes.names != spec.classes.names and model.takes_names):
            if names is None:
                model = model.with_names(spec.classes, embeddings)
            spec, left = by_names(spec, model.classes)
        check_same_classes(model.classes, spec)
        classes, scored = spec.classes, spec.classes.names
    if left is not None:
        left = replace(left, unseen=never_seen(spec, scored, model.trained_names))
    return Matched(model, replace(spec, reading=spec.reading.over(model.reading)), classes, left)


def with_relations(spec: DataSpec, provenance: Mapping[str, Any]) -> DataSpec:
    """Return a dataset with the `same` and `parts` that a model's training was given as settings, behind its own."""
    config = provenance.get("config")
    told = config if isinstance(config, Mapping) else {}
    same, parts = told.get("same"), told.get("parts")
    groups = [group for group in same if _names(group)] if isinstance(same, list) else []
    coarse = {name: tuple(own) for name, own in parts.items() if _names(own)} if isinstance(parts, dict) else {}
    return replace(spec, same=(*spec.same, *map(tuple, groups)), parts={**coarse, **spec.parts})


def _names(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(name, str) for name in given)


def _with_labelled(model: Model, spec: DataSpec, embeddings: str | Path | None) -> Model:
    """Return a model that is asked for what the data labels: beside its own names, or alone if it labels all."""
    own = model.classes.names
    known = known_names(spec, own)
    sets = {name: spec.classes for name in labelled_names(spec) if name not in known}
    if spec.partial:
        sets = dict.fromkeys(own, model.classes) | sets
    elif not {*spec.classes.names} <= {*own}:
        sets = {name: model.classes if name in own else spec.classes for name in leaves(spec, own)}
    if not sets or tuple(sets) == own:
        return model
    prompts = {name: held.prompts[held.names.index(name)] for name, held in sets.items()}
    palette = {name: held.palette[held.names.index(name)] for name, held in sets.items()}
    return model.with_names(ClassSet.build(list(sets), prompts, palette), embeddings)


def check_same_classes(classes: ClassSet, spec: DataSpec) -> None:
    """Refuse a model whose class ids mean something else than the dataset's.

    Raises:
        DataError: names differ, in spelling, number or order; the text shows where.
    """
    model, data = classes.names, spec.classes.names
    if model == data:
        return
    differences = []
    if missing := [name for name in data if name not in model]:
        differences.append(f"only in the data: {_listed(missing)}")
    if extra := [name for name in model if name not in data]:
        differences.append(f"only in the model: {_listed(extra)}")
    if not differences:
        moved = [f"{index} is {a!r} in the model, {b!r} in the data" for index, a, b in _moved(model, data)]
        differences.append(f"same names in another order: class {_listed(moved, quote=False)}")
    raise DataError(
        f"the model has {len(model)} classes and the data {len(data)}, and they differ; {'; '.join(differences)}",
        where=spec.path,
        fix=f"train a model on this data, or write the model's `names` in their order: {_listed(model)}; masks that "
        "hold other ids are brought to it by `label_map`",
    )


def _moved(model: Sequence[str], data: Sequence[str]) -> list[tuple[int, str, str]]:
    return [(index, a, b) for index, (a, b) in enumerate(zip(model, data, strict=True)) if a != b]


def _listed(items: Sequence[str], limit: int = 12, quote: bool = True) -> str:
    shown = ", ".join(repr(item) if quote else item for item in items[:limit])
    return shown + (f", ... ({len(items) - limit} more)" if len(items) > limit else "")
