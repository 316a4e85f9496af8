"""What the masks of one dataset say of the names of a vocabulary: the classes of its masks as columns of logits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridgeseg.data.relations import Relations
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import DataError
from bridgeseg.wording import join_names

UNKNOWN = -1
"""In tables: nothing is known of such a pixel."""

Table = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """What a step on one dataset is about, and what its masks say there.

    A step has V of the names of the vocabulary, and as many logits. A pixel is labelled with one of these columns, or
    with a group of them: one of the parts of a coarse name, or "none of the labelled names". Group g is column V + g.

    Attributes:
        rows: ids in the vocabulary of the V names.
        groups: columns of each group.
        sets: distinct sets of labelled names; an image has one of them.
        members: (S, V) bool, which names belong to each set.
        table: (S, values) mask value -> column, or `UNKNOWN`.
        own: the labelled names, in the order of the dataset.
        scored: the T names that are scored: those of `own`, one name for those that mean the same (`same`).
        truth: (S, values) mask value -> index in `scored`, T for none of them, or `UNKNOWN`.
        counts: (S, T + 1, V) true index, predicted column -> index that this prediction counts as, T for none of those
            that the image was labelled for.
        rest: whether pixels of none of these names are told, and predictions that are none of them counted.
        added: columns of names that no dataset labels (`Joined.added`).
        plain: whether the masks hold columns as they are: the classes, all labelled, are the columns.
    """

    rows: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    sets: tuple[tuple[str, ...], ...]
    members: NDArray[np.bool_]
    table: Table
    own: tuple[str, ...]
    scored: tuple[str, ...]
    truth: Table
    counts: Table
    rest: bool
    added: tuple[int, ...]
    plain: bool

    @property
    def columns(self) -> int:
        """The number of columns: names and groups."""
        return len(self.rows) + len(self.groups)

    def of_ids(self, counts: Sequence[Sequence[int]]) -> list[int]:
        """Sum numbers of pixels, by set and class id, into numbers by column."""
        found = [0] * self.columns
        for row, numbers in enumerate(counts):
            for index, count in enumerate(numbers):
                if (column := int(self.table[row, index])) != UNKNOWN:
                    found[column] += int(count)
        return found


def make_labels(
    spec: DataSpec, relations: Relations, vocabulary: Mapping[str, int], added: Collection[str] = ()
) -> Labels:
    """Say what the masks of a dataset mean in a vocabulary.

    Args:
        spec: the dataset.
        relations: which names are one, or parts of another.
        vocabulary: kept name -> id.
        added: those of the vocabulary that no dataset labels.

    Raises:
        DataError: nothing can be learned of its labels in this vocabulary.
    """
    return _Maker(spec, relations, vocabulary, added).labels()


def counted_as(meant: Sequence[tuple[int, Sequence[int]]], none: int, names: int) -> Table:
    """Return (none + 1, V) true index, predicted column -> index that the prediction counts as.

    Args:
        meant: index of each labelled name, and the columns that it may mean.
        none: the index of none of them.
        names: how many columns V there are.
    """
    counts = np.full((none + 1, names), none, np.int64)
    for index, columns in sorted(meant, key=lambda item: -len(item[1])):  # finer names have the last word
        counts[:, list(columns)] = index
    for index, columns in meant:
        counts[index, list(columns)] = index
    return counts


class _Maker:
    """Builds the tables of one dataset."""

    def __init__(
        self, spec: DataSpec, relations: Relations, vocabulary: Mapping[str, int], added: Collection[str]
    ) -> None:
        self.spec, self.relations, self.vocabulary, self.added = spec, relations, vocabulary, added
        self.names = spec.classes.names
        self.sets = label_sets(spec)
        self.own = labelled_names(spec)
        leaves = dict.fromkeys(leaf for name in self.own for leaf in relations.leaves(name))
        self.step = list(vocabulary) if spec.partial else list(leaves)
        self.place = {name: column for column, name in enumerate(self.step)}
        self.groups: dict[tuple[int, ...], int] = {}
        alike: dict[tuple[str, ...], list[str]] = {}
        for name in self.own:
            alike.setdefault(tuple(sorted(relations.leaves(name))), []).append(name)
        self.scored = tuple(next((name for name in names if name in self.place), names[0]) for names in alike.values())
        self.score = {name: index for index, names in enumerate(alike.values()) for name in names}

    def labels(self) -> Labels:
        self._refuse_nothing()
        width = self.spec.classes.ignore_index + 1
        table, truth = (np.full((len(self.sets), width), UNKNOWN, np.int64) for _ in range(2))
        members = np.zeros((len(self.sets), len(self.step)), bool)
        other = self.spec.unlabelled == "other"
        for row, chosen in enumerate(self.sets):
            inside = {column for name in chosen for column in self._leaves(name)}
            members[row, list(inside)] = True
            outside = [column for column in range(len(self.step)) if column not in inside]
            for index, name in enumerate(self.names):
                if name in chosen:
                    table[row, index] = self._column(self._leaves(name))
                    truth[row, index] = self.score[name]
                elif other:
                    table[row, index], truth[row, index] = self._column(outside), len(self.scored)
        same = table[:, : len(self.names)].tolist() == [list(range(len(self.names)))]
        plain = same and not self.groups and len(self.names) == len(self.own) == len(self.step)
        rows, groups = tuple(self.vocabulary[name] for name in self.step), tuple(self.groups)
        added = tuple(column for column, name in enumerate(self.step) if name in self.added)
        return Labels(
            rows, groups, self.sets, members, table, self.own, self.scored, truth, self._counts(), self.spec.partial,
            added, plain,
        )  # fmt: skip

    def _leaves(self, name: str) -> list[int]:
        return [self.place[leaf] for leaf in self.relations.leaves(name)]

    def _column(self, columns: Iterable[int]) -> int:
        """Return the column of a name, or that of a group of several."""
        group = tuple(sorted(set(columns)))
        if len(group) == 1:
            return group[0]
        return len(self.step) + self.groups.setdefault(group, len(self.groups))

    def _counts(self) -> Table:
        """Let a name count as itself, and a part as its coarse name where the finer name is not told or not true."""
        none, meant = len(self.scored), [(name, index, self._leaves(name)) for name, index in self.score.items()]
        tables = [
            counted_as([(index, columns) for name, index, columns in meant if name in chosen], none, len(self.step))
            for chosen in self.sets
        ]
        return np.stack(tables)

    def _refuse_nothing(self) -> None:
        path, names = self.spec.path, join_names(self.own)
        if len(self.step) > 1 or not self.spec.partial:
            pass
        elif self.spec.unlabelled == "other":
            raise DataError(
                f"pixels that are none of the labelled names ({names}) can be nothing else: there is no other name",
                where=path,
                fix="leave out `labelled`, so that all of `names` are classes; add a dataset with other names; or name "
                f"what else there is: `names={names}, background`",
            )
        else:
            raise DataError(
                f"the only name is {names}, so that every pixel has it and nothing can be learned",
                where=path,
                fix="add a dataset that labels other names, or go on from a network that knows some: `init`",
            )
        if self.spec.unlabelled != "other":
            return
        if not self.spec.labelled_images and len(self.own) == len(self.names):
            raise DataError(
                f"no pixel can be `other`: all of `names` are labelled ({names})",
                where=path,
                fix="add to `names`, and not to `labelled`, what such pixels are called, and map their mask value to "
                "it: `names: [road, car, nothing]`, `label_map: {0: road, 1: car, 255: nothing}`; or write "
                "`unlabelled: ignore`",
            )
        for chosen in self.sets:
            inside = {column for name in chosen for column in self._leaves(name)}
            if len(inside) == len(self.step) and len(chosen) < len(self.names):
                raise DataError(
                    f"`unlabelled: other` leaves no name for pixels that are none of {', '.join(chosen)}",
                    where=path,
                    fix="write `unlabelled: ignore`, add a dataset that labels other names, or name what else there "
                    f"is: `names={names}, background`",
                )


def label_sets(spec: DataSpec) -> tuple[tuple[str, ...], ...]:
    """Return the distinct sets of labelled names of a dataset: first that of images of which nothing else is said."""
    usual = spec.classes.names if spec.labelled is None else spec.labelled
    return tuple(dict.fromkeys([usual, *spec.labelled_images.values()]))


def labelled_names(spec: DataSpec) -> tuple[str, ...]:
    """Return the names that are labelled in any image, in the order of the classes."""
    labelled = {name for chosen in label_sets(spec) for name in chosen}
    return tuple(name for name in spec.classes.names if name in labelled)


def set_of(spec: DataSpec, sets: Sequence[tuple[str, ...]], image: str) -> int:
    """Return the index of the set of names that an image was labelled for; `image` as in `DataSpec.key`."""
    return sets.index(spec.labelled_images.get(image, sets[0]))
