"""What a training sees: datasets, splits, shares, batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bridgeseg.errors import ConfigError
from bridgeseg.settings.fields import TRAINING, listed, nothing, setting
from bridgeseg.vocabulary.asked import asked
from bridgeseg.vocabulary.asked import listed as as_list


def paths(data: str | Path | Sequence[str | Path]) -> str | list[str]:
    """Return the places of datasets as text: of one, or of several."""
    return str(data) if isinstance(data, str | Path) else [str(path) for path in data]


class SamplingConfig(BaseModel):
    """Datasets, and which of their images come how often."""

    data: Annotated[
        str | tuple[str, ...],
        setting(
            "the dataset's data.yaml, or its folder; several are joined: each keeps its own names",
            TRAINING,
            "--data",
            metavar="YAML",
            read="several",
        ),
    ]
    shares: Annotated[
        tuple[float, ...],
        setting(
            "relative numbers of steps on each of several datasets, such as `[1, 1]`; by default every image of all "
            "datasets comes once in an epoch",
            TRAINING,
            "--shares",
            read="numbers",
        ),
    ] = ()
    names: Annotated[
        tuple[str, ...],
        setting(
            "what the network is to know: all names that are labelled, and more if you like, as `--names` of `predict` "
            "takes them; where labels are partial, those that no one labels compete for the pixels without a label; by "
            "default the labelled names of all datasets",
            TRAINING,
            "--names",
            metavar="NAMES|YAML",
            python="Names",
        ),
    ] = ()
    same: Annotated[
        tuple[tuple[str, ...], ...],
        setting("names that mean the same class, such as `[[pedestrian, person]]`; the first is kept", TRAINING),
    ] = ()
    parts: Annotated[
        dict[str, tuple[str, ...]],
        setting(
            "coarse names and their parts, such as `{vehicle: [car, bus]}`: a coarse label means one of them", TRAINING
        ),
    ] = {}
    train_splits: Annotated[
        tuple[str, ...],
        setting(
            "splits trained on; `train,val` joins two, and then needs `val_split=none` or `val_split=test`",
            TRAINING,
            min_length=1,
        ),
    ] = ("train",)
    val_split: Annotated[
        str | None,
        setting("split validated on; `none` for no validation (the last weights are then the best)", TRAINING),
    ] = "val"
    val_share: Annotated[
        float,
        setting(
            "share of the training images to use as the split val, chosen by their names; for data that has none",
            TRAINING,
            "--val-share",
            ge=0,
            lt=1,
        ),
    ] = 0.0
    batch_size: Annotated[int, setting("images of one step on one device", TRAINING, "--batch-size", ge=1)] = 16
    accumulate: Annotated[
        int, setting("steps whose gradients are added up before the weights change", TRAINING, "--accumulate", ge=1)
    ] = 1
    fraction: Annotated[
        float,
        setting(
            "share of the training images used, drawn by `seed`; smaller shares are parts of larger ones",
            TRAINING,
            "--fraction",
            gt=0,
            le=1,
        ),
    ] = 1.0
    data_fractions: Annotated[
        tuple[float, ...],
        setting("the `fraction` of each of several datasets, instead of one for all", TRAINING),
    ] = ()
    repeat: Annotated[
        int,
        setting("times that every training image comes in an epoch, each time augmented differently", TRAINING, ge=1),
    ] = 1
    seed: Annotated[int, setting("fixes weights, order and augmentation", TRAINING, "--seed", ge=0, lt=2**32)] = 0

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data.yaml of every dataset."""
        return (self.data,) if isinstance(self.data, str) else self.data

    def fraction_of(self, index: int) -> float:
        """Return the share of the training images of a dataset that is used."""
        return self.data_fractions[index] if self.data_fractions else self.fraction

    @field_validator("data", mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        """Take one path, or a list; a list of one is that one."""
        listed = list(value) if isinstance(value, list | tuple) else [value]
        if not listed or not all(isinstance(path, str) for path in listed):
            raise PydanticCustomError("string_type", "must be text")
        return listed[0] if len(listed) == 1 else tuple(listed)

    @field_validator("names", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Take names in any form that `asked` reads, and keep them as a list."""
        return as_list(asked(value)) if value else ()

    @field_validator("same", mode="before")
    @classmethod
    def _groups(cls, value: Any) -> Any:
        """Take one group for a list of one."""
        return [value] if isinstance(value, list | tuple) and value and isinstance(value[0], str) else value

    _no_split = field_validator("val_split", mode="before")(nothing)
    _splits = field_validator("train_splits", mode="before")(listed)

    @model_validator(mode="after")
    def _for_each(self) -> Self:
        for key, given, most in (("shares", self.shares, math.inf), ("data_fractions", self.data_fractions, 1)):
            self._refuse_numbers(key, given, most)
        if len(set(self.train_splits)) < len(self.train_splits):
            raise ValueError(f"`train_splits` names a split twice: {', '.join(self.train_splits)}")
        if any(len(set(group)) < 2 for group in self.same):
            raise ValueError(f"`same` lists groups of two names or more: {[list(group) for group in self.same]}")
        return self

    def _refuse_numbers(self, key: str, given: Sequence[float], most: float) -> None:
        """Refuse numbers that are not one for each dataset, or out of range; the fix keeps those that can stay."""
        count, found = len(self.datasets), ", ".join(f"{number:g}" for number in given)
        allowed = [f"{number:g}" if 0 < number <= most else "1" for number in given]
        fix = f"`{key}=[{', '.join([*allowed, *['1'] * count][:count])}]`" if count > 1 else f"leave `{key}` out"
        if given and len(given) != count:
            raise ConfigError(f"`{key}` has one number for each dataset, {count}, found {len(given)}: {found}", fix=fix)
        if any(not 0 < number <= most for number in given):
            between = f"above 0{' and at most 1' if most == 1 else ''}"
            raise ConfigError(f"`{key}` must be {between}, found {found}", fix=fix)
