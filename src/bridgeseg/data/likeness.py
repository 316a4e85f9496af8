"""Which names of different datasets look like one thing, or like parts of it, by their class embeddings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.data.joining import Joined
from bridgeseg.vocabulary.embeddings import plain

ALIKE = 0.18
"""Cosine of class embeddings, less their mean over all names, from which two names are told. By CLIP ViT-B/16 `tree`
and `vegetation` of two street datasets have 0.19, and unrelated names less than 0.15; by MiniLM some have 0.27."""


@dataclass(frozen=True)
class Alike:
    """Two names of different datasets that are one, or of which one is a part of the other, as far as words tell.

    Attributes:
        first, second: the names, the earlier one in the vocabulary first.
        owners: a dataset of each, or `kept`.
        cosine: of their class embeddings less the mean of all names', -1..1.
        whole: the name of the two that several names of the other dataset resemble most; None if each is the other's
            nearest, or if they differ in case or `_` alone.
    """

    first: str
    second: str
    owners: tuple[str, str]
    cosine: float
    whole: str | None = None

    def __str__(self) -> str:
        return f"{self.first} ({self.owners[0]}) and {self.second} ({self.owners[1]}) {self.cosine:.2f}"


def alike(joined: Joined, vectors: NDArray[Any], least: float = ALIKE) -> list[Alike]:
    """Return pairs of names that were not merged and look alike, the most alike first.

    Names that are kept are those of one more dataset. Of two datasets, only names are compared that one of them alone
    labels. A pair is told if each name is the other's nearest, or if a name is the nearest of several; and if either is
    less like all other names of its own dataset, which are other things: how high cosines are differs between text
    encoders.

    Args:
        joined: the datasets.
        vectors: (K, D) class embeddings of the vocabulary.
        least: smallest cosine.
    """
    names = joined.classes.names
    spelled = [{plain(phrase) for phrase in own} for own in joined.classes.prompts]
    centred = vectors - vectors.mean(axis=0)
    centred = centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(min=1e-12)
    cosines = centred @ centred.T
    ids = {name: index for index, name in enumerate(names)}
    owners = labelling(joined)
    owned = [{ids[leaf] for leaf in own} for _, own in owners]
    siblings = {frozenset((ids[a], ids[b])) for group in joined.relations.parts.values() for a in group for b in group}
    found: dict[tuple[int, int], Alike] = {}
    for one, first in enumerate(owned):
        for two in range(one + 1, len(owned)):
            only = sorted(first - owned[two]), sorted(owned[two] - first)
            pairs = _clear(_nearest(cosines, *only, least), cosines, first, owned[two])
            for a, b, whole in pairs:
                pair = (min(a, b), max(a, b))
                if frozenset(pair) in siblings or pair in found:
                    continue
                said = (owners[one][0], owners[two][0]) if pair == (a, b) else (owners[two][0], owners[one][0])
                if spelled[a] == spelled[b] or [one[2] for one in pairs].count(whole) < 2:
                    whole = None
                told = None if whole is None else names[whole]
                found[pair] = Alike(names[pair[0]], names[pair[1]], said, float(cosines[pair]), told)
    return sorted(found.values(), key=lambda pair: -pair.cosine)


def labelling(joined: Joined) -> list[tuple[str, set[str]]]:
    """Return each dataset and the names of the vocabulary that it labels; names that are kept are one more, `kept`."""
    leaves = joined.relations.leaves
    found = [(one.name, {leaf for own in one.labels.own for leaf in leaves(own)}) for one in joined.members]
    return [*([("kept", {leaf for name in joined.before for leaf in leaves(name)})] if joined.before else []), *found]


def propose(pairs: Sequence[Alike], joined: Joined) -> list[str]:
    """Return lines of a data.yaml that make such pairs one, or one a part of the other: `same: ...`, `parts: ...`.

    Names that one dataset tells apart are neither made one nor one a part of the other, also by way of a third name.
    """
    owned = [own for _, own in labelling(joined)]
    groups = {name: {name} for name in joined.classes.names}

    def apart(one: str, other: str) -> bool:
        return any(groups[one] & own and groups[other] & own for own in owned)

    same, parts = list[list[str]](), dict[str, list[str]]()
    for pair in pairs:
        if pair.whole is None and not apart(pair.first, pair.second):
            same.append([pair.first, pair.second])
            group = groups[pair.first] | groups[pair.second]
            groups |= dict.fromkeys(group, group)
    for pair in pairs:
        if pair.whole is not None and not apart(pair.first, pair.second):
            parts.setdefault(pair.whole, []).append(pair.second if pair.whole == pair.first else pair.first)
    inner = {part for listed in parts.values() for part in listed}
    parts = {whole: listed for whole, listed in parts.items() if len(listed) > 1 and whole not in inner}
    lines = [f"same: {json.dumps(same, ensure_ascii=False)}"] if same else []
    return lines + ([f"parts: {json.dumps(parts, ensure_ascii=False)}"] if parts else [])


def _nearest(
    cosines: NDArray[Any], first: Sequence[int], second: Sequence[int], least: float
) -> list[tuple[int, int, int | None]]:
    """Return (id of the first, id of the second, id of the whole or None)."""
    if not first or not second:
        return []
    block = cosines[np.ix_(first, second)]
    to_second, to_first = block.argmax(axis=1), block.argmax(axis=0)
    close = (to_second[:, None] == np.arange(len(second))) & (block >= least)
    found: list[tuple[int, int, int | None]] = []
    for row, a in enumerate(first):
        fans = [int(column) for column in np.flatnonzero(to_first == row) if block[row, column] >= least]
        if len(fans) > 1:
            found += [(a, second[column], a) for column in fans]
        elif len(fans) == 1 and to_second[row] == fans[0] and close[:, fans[0]].sum() < 2:
            found.append((a, second[fans[0]], None))
    for column, b in enumerate(second):
        fans = [int(row) for row in np.flatnonzero(close[:, column])]
        if len(fans) > 1:
            found += [(first[row], b, b) for row in fans]
    return found


def _clear(
    pairs: Sequence[tuple[int, int, int | None]],
    cosines: NDArray[Any],
    first: AbstractSet[int],
    second: AbstractSet[int],
) -> list[tuple[int, int, int | None]]:
    """Keep pairs in which neither name is more like another of its own dataset, but for those of the same whole."""
    together = {(a, b) for a, b, _ in pairs}

    def rivals(a: int, b: int) -> list[float]:
        own = [cosines[a, c] for c in first if c != a and (c, b) not in together]
        return own + [cosines[b, c] for c in second if c != b and (a, c) not in together]

    return [(a, b, whole) for a, b, whole in pairs if cosines[a, b] > max(rivals(a, b), default=-1.0)]
