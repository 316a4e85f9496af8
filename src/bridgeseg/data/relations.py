"""Names that are one, and names that are part of another: what data.yaml files and settings say together."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridgeseg.errors import DataError, nearest

Groups = tuple[tuple[str, ...], ...]
Parts = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Said:
    """What one file, or the settings, says of names.

    Attributes:
        same: groups of names that are one.
        parts: coarse name -> its parts.
        where: the file; None for the settings, whose names must all be at hand.
    """

    same: Groups = ()
    parts: Parts = ()  # type: ignore[assignment]
    where: Path | None = None


@dataclass(frozen=True)
class Relations:
    """The relations of all names at hand, free of contradictions.

    Attributes:
        kept: name -> the name that stands for its group, the first that the group lists; other names are their own.
        parts: coarse name -> its parts, all of them kept names, and none of them a coarse name.
        passed_over: what files say of names that no dataset at hand has.
        narrowed: of these, the coarse names that mean fewer parts than their file lists, and so become finer names.
    """

    kept: Mapping[str, str]
    parts: Parts
    passed_over: tuple[str, ...] = ()
    narrowed: tuple[str, ...] = ()

    def one(self, name: str) -> str:
        """Return the name that stands for a name."""
        return self.kept.get(name, name)

    def leaves(self, name: str) -> tuple[str, ...]:
        """Return the names of the vocabulary that a label may mean: the name itself, or the parts of a coarse one."""
        one = self.one(name)
        return self.parts.get(one, (one,))

    @classmethod
    def of(
        cls,
        said: Iterable[Said],
        names: Collection[str],
        before: Collection[str] = (),
        labelled: Sequence[Collection[str]] = (),
    ) -> Relations:
        """Bring together what files and settings say of the names at hand.

        Args:
            said: what they say.
            names: the names at hand.
            before: those of a network that stay: each stands for its group, and only new names can be its parts.
            labelled: the names that each dataset labels.

        Raises:
            DataError: the settings name something that no dataset has, two statements contradict each other, or one
                takes away a name that is to stay, or that a dataset tells from another.
        """
        kept: dict[str, str] = {}
        parts: dict[str, tuple[str, ...]] = {}
        passed: list[str] = []
        narrowed: list[tuple[str, str]] = []
        heard, places = list(said), dict[str, Path | None]()
        for one in heard:
            for group in one.same:
                if here := _at_hand(group, names, "same", one.where, passed):
                    _merge(kept, here, before, one.where)
        for one in heard:
            for whole, listed in dict(one.parts).items():
                here = _at_hand((whole, *listed), names, "parts", one.where, passed)
                if whole in here and len(here) > 1:
                    _add(parts, kept, whole, here[1:], one.where)
                    places.setdefault(kept.get(whole, whole), one.where)
                    if lacking := [name for name in listed if name not in here]:
                        narrowed.append((kept.get(whole, whole), _narrowed(whole, here[1:], lacking, one.where)))
        _refuse_circle(parts)
        _refuse_levels(parts, places)
        _refuse_kept(parts, places, before)
        together = [{kept.get(name, name) for name in own} for own in labelled]
        _refuse_told_apart({one: own for one, own in parts.items() if one not in dict(narrowed)}, places, together)
        return cls(kept, parts, tuple(passed), tuple(text for _, text in narrowed))


def _at_hand(
    listed: Sequence[str], names: Collection[str], key: str, where: Path | None, passed: list[str]
) -> tuple[str, ...]:
    """Return the names that a dataset has; the others are refused in settings, and put down where a file says them."""
    strange = [name for name in listed if name not in names]
    if strange and where is None:
        raise DataError(
            f"`{key}` names {strange[0]!r}, which no dataset labels; {nearest(strange[0], names)}",
            fix="correct the name, leave it out, or add a dataset that labels it",
        )
    passed += [f"{where}: `{key}` names {name!r}, which no dataset here labels" for name in strange]
    here = tuple(name for name in listed if name in names)
    return here if len(here) > 1 else ()


def _narrowed(whole: str, here: Sequence[str], lacking: Sequence[str], where: Path | None) -> str:
    known, strange, some = ", ".join(here), ", ".join(lacking), "one of " if len(here) > 1 else ""
    return (
        f"{where}: every pixel labelled {whole!r} is learned as {some}{known}, because no "
        f"dataset here labels {strange}\n  fix: add a dataset that labels {strange}; or, if {whole!r} means more than "
        f"{known}, take it out of `parts`, so that it is a class of its own"
    )


def _merge(kept: dict[str, str], group: Sequence[str], before: Collection[str], where: Path | None) -> None:
    """Make names one, by the one of `before`, if there is any; groups that share a name become one group."""
    joined = dict.fromkeys(kept.get(name, name) for name in group)
    every = {*group, *(name for name, one in kept.items() if one in joined)}
    stay = [name for name in before if name in every]
    if len(stay) > 1:
        raise DataError(
            f"`same` says that {stay[0]!r} and {stay[1]!r} are one; but the network of `init` tells them apart, and "
            "its names are kept",
            where=where,
            fix=f"take {stay[0]!r} or {stay[1]!r} out of `same`; or keep no names: `keep=False`",
        )
    kept.update(dict.fromkeys(every, stay[0] if stay else next(iter(joined))))


def _add(
    parts: dict[str, tuple[str, ...]],
    kept: Mapping[str, str],
    whole: str,
    listed: Sequence[str],
    where: Path | None,
) -> None:
    one = kept.get(whole, whole)
    found = tuple(dict.fromkeys(kept.get(name, name) for name in listed))
    if one in found:
        part = next(name for name in listed if kept.get(name, name) == one)
        what = f"{whole!r} is a part of itself" if part == whole else f"`same` says that {part!r} and {whole!r} are one"
        raise DataError(
            f"`parts` has {part!r} among the parts of {whole!r}, and {what}",
            where=where,
            fix="leave one of the two out",
        )
    if set(parts.get(one, found)) != set(found):
        text = f"{', '.join(parts[one])}; and {', '.join(found)}"
        raise DataError(
            f"`parts` of {whole!r} is given twice, and not alike: {text}", where=where, fix="write one list for it"
        )
    parts[one] = found


def _refuse_circle(parts: Parts) -> None:
    for start in parts:
        path, todo = [start], [iter(parts[start])]
        while todo:
            name = next(todo[-1], None)
            if name is None:
                todo.pop()
                path.pop()
            elif name == start:
                raise DataError(
                    f"`parts` goes in a circle: {' > '.join([*path, start])}", fix="leave one of these steps out"
                )
            elif name in parts and name not in path:
                path.append(name)
                todo.append(iter(parts[name]))


def _refuse_levels(parts: Parts, places: Mapping[str, Path | None]) -> None:
    for whole, listed in parts.items():
        for name in listed:
            if name in parts:
                flat = [inner for part in listed for inner in parts.get(part, (part,))]
                raise DataError(
                    f"{name!r} is a part of {whole!r} and has parts itself",
                    where=places.get(whole),
                    fix=f"name the finest parts alone: `parts: {{{whole}: [{', '.join(dict.fromkeys(flat))}]}}`",
                )


def _refuse_kept(parts: Parts, places: Mapping[str, Path | None], before: Collection[str]) -> None:
    """Refuse to take a name away from a network that tells it from all of its parts."""
    for whole, listed in parts.items():
        if {whole, *listed} <= {*before}:
            raise DataError(
                f"`parts` says that {whole!r} means one of {', '.join(listed)}, and is no class; but the network of "
                "`init` knows all of them, and its names are kept",
                where=places.get(whole),
                fix=f"take {whole!r} out of `parts`",
            )


def _refuse_told_apart(parts: Parts, places: Mapping[str, Path | None], labelled: Sequence[set[str]]) -> None:
    """Refuse a single part of a name that a dataset labels beside it: the two would be one class."""
    for whole, listed in parts.items():
        if len(listed) == 1 and any({whole, *listed} <= own for own in labelled):
            pair = json.dumps([listed[0], whole], ensure_ascii=False)
            raise DataError(
                f"`parts` leaves {whole!r} no meaning but {listed[0]!r}, and a dataset labels both",
                where=places.get(whole),
                fix=f"list all parts of {whole!r}, or take it out of `parts`; if the two are one, `same: [{pair}]`",
            )
