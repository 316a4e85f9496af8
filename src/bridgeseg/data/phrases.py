"""The phrases of a vocabulary that several datasets bring together: whose count, and what contradicts what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from bridgeseg.classes import ClassSet, Colour, default_palette
from bridgeseg.data.labels import labelled_names
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError

Phrases = tuple[str, ...]


def vocabulary(
    specs: Sequence[DataSpec], names: Sequence[str], before: ClassSet | None = None, asked: ClassSet | None = None
) -> ClassSet:
    """Return the classes of these names, with the phrases and colours of the first that says something of them.

    Names of `before` keep their phrases.

    Args:
        specs: the datasets.
        names: K names.
        before: classes of a network that the training goes on from.
        asked: classes that were asked for.

    Raises:
        ConfigError: a name that is kept is asked for in other phrases.
        DataError: two files, or a file and the network, mean different things by one name, or the same by two.
    """
    sets: list[tuple[ClassSet, Path | None]] = [(given, None) for given in (asked, before) if given is not None]
    sets += [(spec.classes, spec.path) for spec in specs]
    if len(sets) == 1 and tuple(names) == sets[0][0].names:
        return sets[0][0]
    kept = _prompts(before)
    phrases: dict[str, tuple[Phrases, Path | None]] = {name: (kept[name], None) for name in names if name in kept}
    palette: dict[str, Colour] = {}
    for classes, path in sets:
        usual = default_palette(len(classes))
        for index, name in enumerate(classes.names):
            if name not in names:
                continue
            if classes.palette[index] != usual[index]:
                palette.setdefault(name, classes.palette[index])
            if (own := classes.prompts[index]) != (name,):
                first, where = phrases.setdefault(name, (own, path))
                if set(first) != set(own) and name in kept:
                    raise _not_as_kept(name, first, own, path)
                if set(first) != set(own) and where is not None:
                    raise _two_things(name, (first, where), (own, path))
    found = ClassSet.build(names, {name: own for name, (own, _) in phrases.items()}, palette)
    _refuse_equal(found, specs, before, asked)
    return found


def _prompts(classes: ClassSet | None) -> dict[str, Phrases]:
    return {} if classes is None else dict(zip(classes.names, classes.prompts, strict=True))


def _two_things(name: str, one: tuple[Phrases, Path | None], other: tuple[Phrases, Path | None]) -> DataError:
    return DataError(
        f"two datasets call different things {name!r}, by their `prompts`: {', '.join(one[0])} in {one[1]}; "
        f"{', '.join(other[0])} here",
        where=other[1],
        fix=f"if it is one thing, give both files the same `prompts`; if not, rename it here, in `names`: "
        f'"{name} (2)", and in `prompts`: {{"{name} (2)": [{", ".join(other[0])}]}}; masks stay as they are',
    )


def _not_as_kept(name: str, kept: Phrases, own: Phrases, path: Path | None) -> ConfigError | DataError:
    message = (
        f"{name!r} is kept, which the network of `init` knows by the phrases: {', '.join(kept)}; "
        f"here they are: {', '.join(own)}"
    )
    if path is None:
        return ConfigError(message, where="names", fix=f"ask for {name!r} without phrases, or by another name")
    return DataError(
        message,
        where=path,
        fix=f"if it is one thing, leave {name!r} out of `prompts`; if not, rename it here, in `names`: "
        f'"{name} (2)", and in `prompts`: {{"{name} (2)": [{", ".join(own)}]}}; masks stay as they are',
    )


def _refuse_equal(
    classes: ClassSet, specs: Sequence[DataSpec], before: ClassSet | None, asked: ClassSet | None
) -> None:
    """Refuse two names of the same phrases, which only one of them would ever win, unless one place has them so."""
    labelled = [{*labelled_names(spec)} for spec in specs]
    meant = [_prompts(before), _prompts(asked)]
    for spec, own in zip(specs, labelled, strict=True):
        meant.append({name: phrases for name, phrases in _prompts(spec.classes).items() if name in own})
    for first, name, phrases in _equal(classes):
        if any(first in own and name in own and {*own[first]} == {*own[name]} for own in meant):
            continue
        where = next((spec.path for spec, own in zip(specs, labelled, strict=True) if {first, name} & own), None)
        pair = json.dumps([first, name], ensure_ascii=False)
        raise DataError(
            f"{first!r} and {name!r} have the same phrases ({', '.join(phrases)}), so that a network that is guided by "
            "language cannot tell them apart",
            where=where or "names",
            fix=f"if they are one thing, write `same: [{pair}]`; if not, give one of them other "
            "phrases, under `prompts`",
        )


def _equal(classes: ClassSet) -> Iterator[tuple[str, str, Phrases]]:
    """Yield each name whose phrases an earlier one has: that one, the name, the phrases."""
    seen: dict[frozenset[str], str] = {}
    for name, phrases in zip(classes.names, classes.prompts, strict=True):
        if (first := seen.setdefault(frozenset(phrases), name)) != name:
            yield first, name, phrases
