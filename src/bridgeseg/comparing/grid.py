"""What a comparison trains: variants x backbones x seeds x label fractions, as settings of single runs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError
from bridgeseg.extend import BASELINE, METHODS
from bridgeseg.settings.compare import OWNED, Compare
from bridgeseg.settings.length import with_settings
from bridgeseg.settings.machine import devices_of
from bridgeseg.settings.sampling import paths
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import flatten, load_values, set_values
from bridgeseg.training.crop import settled_crop
from bridgeseg.training.length import settled
from bridgeseg.training.origin import completed
from bridgeseg.training.resolve import resolve

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One training: where it stands in the comparison, and all its settings."""

    variant: str
    backbone: str
    fraction: float
    seed: int
    config: TrainConfig

    @property
    def name(self) -> str:
        """Folder of the run below `runs/`, such as `bridge/efficientnet_lite0/f0.25/s1`."""
        return f"{self.variant}/{safe(self.backbone)}/f{self.fraction:g}/s{self.seed}"


@dataclass(frozen=True)
class Plan:
    """All runs of a comparison in the order they are made, the variants' settings, and the split that is reported.

    The seed is the slowest to change: a comparison that was stopped has its finished runs in pairs.
    """

    runs: tuple[Run, ...]
    variants: dict[str, dict[str, Any]]
    split: str


def make_plan(asked: Compare, settings: Settings) -> Plan:
    """Expand a grid.

    Args:
        asked: what is compared. The data.yaml may be named by `config` too; each method is a variant of its own name.
        settings: of all runs, with dotted keys, above those of `config`; those of a variant go on top.

    Raises:
        ConfigError: an unknown name or key, a value that is not allowed, or something named twice.
    """
    named = _variants(asked.methods, asked.variants)
    base = load_values(asked.config) if asked.config is not None else {}
    _refuse_owned(settings)
    base = with_settings(base, {**settings, **({} if asked.data is None else {"data": paths(asked.data)})})
    if not base.get("data"):
        raise ConfigError("no dataset given", fix="`data=FOLDER/data.yaml`")
    base = completed(base)
    if len(datasets := TrainConfig.parse(base).datasets) > 1:
        message = f"a comparison is made on one dataset, found {len(datasets)}"
        raise ConfigError(message, fix="compare on one, or train on all of them: `bridgeseg train`")
    chosen = [TrainConfig.parse(base).model.backbone] if asked.backbones is None else list(asked.backbones)
    _refuse_repeats("backbones", chosen)
    whole, shares = _numbers("seeds", asked.seeds, int), _numbers("fractions", asked.fractions, float)
    if wrong := [share for share in shares if not 0 < share <= 1]:
        raise ConfigError(f"a fraction is above 0 and at most 1, found {wrong[0]:g}", where="fractions")
    runs = [
        Run(name, backbone, share, seed, _settings(base, named[name], name, backbone, share, seed))
        for seed, share, backbone, name in product(whole, shares, chosen, named)
    ]
    if seen := next((run.variant for run in runs if asked.split in run.config.train_splits), None):
        message = f"the split that is reported is trained on, so its scores say nothing: {asked.split!r}"
        raise ConfigError(
            message, where=f"variant {seen}", fix="leave it out of `train_splits`, or report another `split`"
        )
    _refuse_repeats("the folders of the runs", [run.name.lower() for run in runs])
    return Plan(tuple(runs), named, asked.split)


def with_lengths(plan: Plan, spec: DataSpec) -> Plan:
    """Return a plan with the crops of every run, and its length in epochs: the same at every share of the labels.

    Args:
        plan: the runs.
        spec: the dataset, whose images decide where no length is given.
    """
    runs = []
    for run in plan.runs:
        images = sum(len(spec.samples(split)) for split in run.config.train_splits)
        config = settled(settled_crop(run.config, [spec]), [images], _devices(run.config))
        runs.append(replace(run, config=config.model_copy(update={"val_every": config.epochs})))
    return replace(plan, runs=tuple(runs))


def _devices(config: TrainConfig) -> int:
    """Return how many devices the settings name, 1 where they leave it to the machine."""
    named = devices_of(config.devices)
    number = len(named) if isinstance(named, list) else named if isinstance(named, int) else 1
    return config.num_nodes * max(1, number)


def safe(name: str) -> str:
    """Turn a backbone's name into that of a folder: `hf-hub:owner/name` -> `hf-hub_owner_name`."""
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name)


def _settings(base: Settings, changes: Settings, name: str, backbone: str, share: float, seed: int) -> TrainConfig:
    values = set_values(with_settings(base, changes), {"model.backbone": backbone, "seed": seed, "fraction": share})
    values["repeat"] = round(1 / share)  # an epoch has the same number of steps at every fraction
    try:
        config = resolve(TrainConfig.parse(completed(values)))
        return config.model_copy(update={"val_every": config.epochs})  # None where the length is not settled yet
    except ConfigError as error:
        raise ConfigError(error.message, where=f"variant {name}", fix=error.fix) from error


def _variants(methods: Iterable[str] | None, variants: Mapping[str, Settings] | None) -> dict[str, dict[str, Any]]:
    given = dict(variants or {})
    chosen = list(methods) if methods is not None else [] if given else _all_methods()
    for method in chosen:
        if method not in METHODS:
            raise ConfigError(METHODS.unknown(method), where="methods")
    _refuse_repeats(
        "the variants (methods are variants too)", [*chosen, *given], "give every variant a name of its own"
    )
    for name, changes in given.items():
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} cannot be the name of a variant, because its runs get a folder of that name",
                where="variants",
                fix="use letters, digits and . _ + - and begin with a letter or a digit",
            )
        _refuse_owned(changes, f"variant {name}")
    named = {method: {"model.method": method} for method in chosen}
    named |= {name: flatten(changes) for name, changes in given.items()}
    if not named:
        raise ConfigError("there is nothing to compare", fix="`methods=none,bridge`")
    return named


def _all_methods() -> list[str]:
    """Return every method that can be used, the baseline first."""
    return sorted((name for name, _ in METHODS.items()), key=lambda name: name != BASELINE)


def _refuse_owned(settings: Settings, where: str | None = None) -> None:
    for key in flatten(settings):
        if key in OWNED:
            raise ConfigError(f"{key!r} is decided by {OWNED[key]}", where=where, fix=f"leave {key!r} out")


def _numbers(option: str, values: Iterable[Any], kind: type[int] | type[float]) -> list[Any]:
    found = []
    for value in values:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not number >= 0 or not math.isfinite(number) or (kind is int and not number.is_integer()):
            words = "whole numbers from 0 up" if kind is int else "numbers above 0"
            raise ConfigError(f"{words} are needed, found {value!r}", where=option, fix=f"`{option}=1`")
        found.append(kind(number))
    _refuse_repeats(option, found)
    return found


def _refuse_repeats(what: str, values: Sequence[Any], fix: str = "name each once") -> None:
    if not values:
        raise ConfigError("nothing is named", where=what, fix="name at least one")
    if twice := [value for index, value in enumerate(values) if value in values[:index]]:
        raise ConfigError(f"{twice[0]!r} is named twice", where=what, fix=fix)
