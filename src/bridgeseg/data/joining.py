"""Several datasets -> one vocabulary, and what the masks of each say of it."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridgeseg.classes import ClassSet
from bridgeseg.data.finding import some
from bridgeseg.data.labels import Labels, label_sets, make_labels
from bridgeseg.data.phrases import vocabulary
from bridgeseg.data.relations import Groups, Relations, Said
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError
from bridgeseg.pixels import Reading
from bridgeseg.vocabulary.asked import listed
from bridgeseg.wording import join_names

MOST = 10
"""Datasets of one training."""
LISTED = 12
"""Names that an error lists."""


@dataclass(frozen=True)
class Member:
    """One of the datasets.

    Attributes:
        name: short and distinct, for tables and columns.
        spec: the dataset.
        labels: what its masks say of the vocabulary.
    """

    name: str
    spec: DataSpec
    labels: Labels


@dataclass(frozen=True)
class Joined:
    """Datasets with one vocabulary.

    Attributes:
        classes: the vocabulary: the labelled names in order of appearance, or those that were asked for. A coarse name
            with parts is none of them.
        members: the datasets.
        relations: which names are one, or parts of another.
        before: names of a network that the training goes on from and that stay, the first of the vocabulary.
        added: names that were asked for besides, which no dataset labels.
    """

    classes: ClassSet
    members: tuple[Member, ...]
    relations: Relations
    before: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def kept(self) -> list[str]:
        """Those of `before` that are names of the vocabulary: not one that means new parts."""
        return [name for name in self.before if name in self.classes.names]

    @property
    def several(self) -> bool:
        """Whether there is more than one dataset."""
        return len(self.members) > 1

    @property
    def first(self) -> DataSpec:
        """The first dataset."""
        return self.members[0].spec

    @property
    def reading(self) -> Reading:
        """How the images are read, for predictions: as the first dataset that says something of it says."""
        return functools.reduce(Reading.over, (member.spec.reading for member in self.members))

    @property
    def plain(self) -> bool:
        """Whether there is one dataset whose classes are the vocabulary, all of them labelled."""
        return not self.several and self.members[0].labels.plain and len(self.classes) == len(self.first.classes)

    def shared(self) -> dict[str, list[str]]:
        """Return name of the vocabulary -> datasets that label it, for those that several do."""
        found: dict[str, list[str]] = {name: [] for name in self.classes.names}
        for member in self.members:
            for leaf in dict.fromkeys(leaf for own in member.labels.own for leaf in self.relations.leaves(own)):
                found[leaf].append(member.name)
        return {name: owners for name, owners in found.items() if len(owners) > 1}

    def left_out(self) -> dict[str, list[str]]:
        """Return dataset -> names of it that no dataset labels, and that are no names of the vocabulary therefore."""
        known = {*self.classes.names, *self.relations.parts}
        found = {
            member.name: [name for name in member.spec.classes.names if self.relations.one(name) not in known]
            for member in self.members
        }
        return {name: names for name, names in found.items() if names}


def join(
    specs: Sequence[DataSpec],
    same: Groups = (),
    parts: Mapping[str, tuple[str, ...]] | None = None,
    before: ClassSet | None = None,
    asked: ClassSet | None = None,
) -> Joined:
    """Bring datasets to one vocabulary.

    Args:
        specs: 1 to 10 datasets.
        same, parts: relations of their names besides those of their own files.
        before: names that come first and stay, whether a dataset labels them or not.
        asked: names of the vocabulary, behind those: all that are labelled, and more.

    Raises:
        ConfigError: too many datasets, one of them twice, or labelled names are not among those asked for.
        DataError: relations contradict each other, or nothing can be learned from a dataset.
    """
    if len(specs) > MOST:
        raise ConfigError(f"{len(specs)} datasets; at most {MOST} can be joined", fix="join some of them in one file")
    paths = [spec.path.resolve() for spec in specs]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise ConfigError("the same dataset is given twice", where=twice, fix="give it once; `shares` says how often")
    own = [list(dict.fromkeys(_in_order(spec))) for spec in specs]
    labelled = [name for names in own for name in names]
    kept = before.names if before else ()
    names = dict.fromkeys([*kept, *(asked.names if asked else ()), *labelled])
    said = [*(Said(spec.same, spec.parts, spec.path) for spec in specs), Said(same, parts or {})]
    relations = Relations.of(said, names, kept, own)
    if asked is not None:
        _refuse_left_out(asked, labelled, relations)
    leaves = list(dict.fromkeys(leaf for name in names for leaf in relations.leaves(name)))
    classes = vocabulary(specs, leaves, before, asked)
    places = {name: index for index, name in enumerate(classes.names)}
    told = {*kept, *(leaf for name in labelled for leaf in relations.leaves(name))}
    added = tuple(name for name in classes.names if name not in told)
    labels = [
        make_labels(spec, relations, {name: place for name, place in places.items() if name not in foreign}, added)
        for spec, foreign in zip(specs, _foreign(specs, added, relations), strict=True)
    ]
    _refuse_single(specs, labels)
    members = zip(short_names(specs), specs, labels, strict=True)
    return Joined(classes, tuple(Member(*one) for one in members), relations, kept, added)


def load_specs(paths: Sequence[str | Path], val_share: float = 0.0) -> list[DataSpec]:
    """Load the datasets of a training; of several, `val_share` is for those that have no split val.

    Raises:
        ConfigError: all of them have one.
        DataError: see `DataSpec.load`.
    """
    if len(paths) == 1:
        return [DataSpec.load(paths[0], val_share)]
    specs = [DataSpec.load(path) for path in paths]
    lacking = [spec for spec in specs if "val" not in spec.all_splits]
    if val_share and not lacking:
        message = "`val_share` takes the split val from train, and all datasets have a split val"
        raise ConfigError(message, fix="leave `val_share` out")
    return [spec.shared(val_share) if val_share and spec in lacking else spec for spec in specs]


def short_names(specs: Sequence[DataSpec]) -> list[str]:
    """Return a distinct name for each dataset: `camvid` for camvid/data.yaml, `people` for people.yaml."""
    names = [spec.name for spec in specs]
    seen = Counter[str]()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if names.count(name) == 1 else f"{name} {seen[name]}")
    return found


def _in_order(spec: DataSpec) -> Iterator[str]:
    """Yield the labelled names: first those of images of which nothing else is said."""
    for chosen in label_sets(spec):
        yield from (name for name in spec.classes.names if name in chosen)


def _foreign(specs: Sequence[DataSpec], added: Collection[str], relations: Relations) -> list[set[str]]:
    """Return for each dataset the added names that others list: what these call their pixels without a label."""
    known = [{leaf for name in spec.classes.names for leaf in relations.leaves(name)} for spec in specs]
    return [set().union(*known).intersection(added) - own for own in known]


def _refuse_left_out(asked: ClassSet, labelled: Sequence[str], relations: Relations) -> None:
    """Refuse names that leave out what is labelled: its pixels would be learned, and then belong to no class."""
    known = {leaf for name in asked.names for leaf in relations.leaves(name)}
    lacking = [name for name in dict.fromkeys(labelled) if not known.issuperset(relations.leaves(name))]
    if lacking:
        raise ConfigError(
            f"the data labels what is not among them: {some(lacking, LISTED)}",
            where="names",
            fix=f"`names={join_names([*listed(asked), *lacking])}`; a trained network is asked for fewer when it "
            "predicts or is exported",
        )


def _refuse_single(specs: Sequence[DataSpec], labels: Sequence[Labels]) -> None:
    """Refuse a dataset of one name among several, which says of every labelled pixel what it cannot but be."""
    for spec, own in zip(specs, labels, strict=True):
        if len(specs) > 1 and len(own.rows) == 1:
            name = own.own[0]
            raise DataError(
                f"{name!r} is the only name of this dataset, so that nothing can be learned from it by itself",
                where=spec.path,
                fix=f"if other things are there too, unlabelled, write in it `labelled: [{name}]`",
            )
