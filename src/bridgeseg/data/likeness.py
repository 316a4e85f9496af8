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

ALIKE = 0.18
"""Cosine of class embeddings, less their mean over all names, from which two names are told. By CLIP ViT-B/16 `tree`
and `vegetation` of two street datasets have 0.19, and unrelated names less than 0.15; by MiniLM some have 0.27."""


@dataclass(frozen=True)
class Alike:
    """Two names of different datasets that are one, or of which one is a part of the other, as far as words tell.

    Attributes:
        first, second: the names, the earlier one in the vocabulary first.
        owners: a dataset of each.
        cosine: of their class embeddings less the mean of all names', -1..1.
        whole: the name of the two that several names of the other dataset resemble most; None if each is the other's
            nearest.
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

    Of two datasets, only names are compared that one of them alone labels. A pair is told if each name is the other's
    nearest, or if a name is the nearest of several; and if either is less like all other names of its own dataset,
    which are other things: how high cosines are differs between text encoders.

    Args:
        joined: the datasets.
        vectors: (K, D) class embeddings of the vocabulary.
        least: smallest cosine.
    """
    names = joined.classes.names
    centred = vectors - vectors.mean(axis=0)
    centred = centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(min=1e-12)
    cosines = centred @ centred.T
    ids = {name: index for index, name in enumerate(names)}
    owned = [
        {ids[leaf] for own in member.labels.own for leaf in joined.relations.leaves(own)} for member in joined.members
    ]
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
                owners = joined.members[one].name, joined.members[two].name
                owners = owners if pair == (a, b) else owners[::-1]
                told = names[whole] if whole is not None and [one[2] for one in pairs].count(whole) > 1 else None
                found[pair] = Alike(names[pair[0]], names[pair[1]], owners, float(cosines[pair]), told)
    return sorted(found.values(), key=lambda pair: -pair.cosine)


def propose(pairs: Sequence[Alike]) -> list[str]:
    """Return lines of a data.yaml that make such pairs one, or one a part of the other: `same: ...`, `parts: ...`."""
    same = [[pair.first, pair.second] for pair in pairs if pair.whole is None]
    parts: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.whole is not None:
            parts.setdefault(pair.whole, []).append(pair.second if pair.whole == pair.first else pair.first)
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
