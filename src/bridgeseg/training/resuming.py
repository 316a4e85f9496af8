"""Which settings a run may go on with: those it was started with, on any machine, and more epochs once it is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridgeseg.data.joining import Joined, join
from bridgeseg.errors import ConfigError, DataError
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import differences, set_values
from bridgeseg.training import folder
from bridgeseg.training.datasets import kept_classes, load_specs
from bridgeseg.training.origin import find
from bridgeseg.training.provenance import absolute
from bridgeseg.training.resolve import resolve

MACHINE = {"check", "workers", "cache", "accelerator", "devices", "num_nodes", "strategy"}
"""Settings that say where a run is made and not what comes out."""
SPREAD = {"devices", "num_nodes", "batch_size"}
"""Settings that may change together, as long as a step is of as many images as before."""


def resumed_settings(out: Path, given: Mapping[str, Any]) -> TrainConfig:
    """Return the settings with which the run in `out` goes on; more epochs than it has are written into its folder.

    Args:
        out: a run folder.
        given: settings that are asked for, with dotted keys.

    Raises:
        ConfigError: other settings than the run was started with.
    """
    started = resolve(TrainConfig.load(out / folder.SETTINGS))
    wanted = resolve(absolute(TrainConfig.parse(set_values(started.model_dump(mode="json"), given))))
    facts = environment_of(out)
    free = MACHINE | {"data"} | (SPREAD if "step_images" in facts else set())
    free -= set() if "step_images" in facts else SPREAD
    changed = [text for text in differences(started, wanted) if text.partition(":")[0] not in free]
    if changed == [f"epochs: {started.epochs} -> {wanted.epochs}"] and wanted.epochs > started.epochs:
        if folder.epochs_saved(out) == started.epochs:
            extended = [*facts.get("extended", []), {"epochs": started.epochs, "to": wanted.epochs}]
            folder.describe(out, started.model_copy(update={"epochs": wanted.epochs}), {**facts, "extended": extended})
            return wanted
        message = f"more epochs can be added once all {started.epochs} are done"
        raise ConfigError(
            f"this run was started with other settings: {changed[0]}; {message}",
            where=out,
            fix="continue it with `out` and `resume=True` alone first",
        )
    if changed:
        raise ConfigError(
            f"this run was started with other settings: {'; '.join(changed)}",
            where=out,
            fix="continue it with `out` and `resume=True` alone, or start a new run with another `out`",
        )
    return wanted


def environment_of(out: Path) -> dict[str, Any]:
    """Return what `environment.json` says; nothing if it is lost or damaged."""
    try:
        found = json.loads((out / folder.ENVIRONMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def load_data(out: Path, config: TrainConfig, *, resume: bool) -> Joined:
    """Load the datasets of a run; one that goes on needs the data.yaml files it was started with, wherever they are.

    Raises:
        DataError: it is not there, cannot be used, or its content has changed.
    """
    for path in config.datasets:
        if resume and not Path(path).exists():
            given = " ".join("--data .../data.yaml" for _ in config.datasets)
            fix = f"name the place where it is now: bridgeseg train --out {out} --resume {given}"
            raise DataError("the data of this run is not there", where=path, fix=fix)
    specs = load_specs(config)
    started = environment_of(out).get("data") if resume else None
    known = [started] if isinstance(started, dict) else started if isinstance(started, list) else []
    if known and len(known) != len(specs):
        message = f"this run was started with {len(known)} datasets, and is to go on with {len(specs)}"
        raise ConfigError(message, where=out, fix="name all of them, in their order, or start a new run")
    for spec, fact in zip(specs, known, strict=False):
        if isinstance(fact, dict) and fact.get("sha256", spec.digest) != spec.digest:
            raise DataError(
                "the data.yaml has changed since this run was started"
                + ("" if len(specs) == 1 else f": {spec.path}, or the datasets are in another order"),
                where=out,
                fix="undo the change, or start a new run with another `out`",
            )
    kept = out / folder.ORIGIN
    origin = find(str(kept)) if resume and kept.is_dir() else None
    return join(specs, config.same, config.parts, kept_classes(config, specs, origin))


def refuse_other_step(out: Path, images: int, world: int) -> None:
    """Refuse to continue with steps of another number of images than before.

    Args:
        out: the run folder.
        images: of a step, over all devices.
        world: number of devices.

    Raises:
        ConfigError: the number is another; the text says which batch size keeps it.
    """
    before = environment_of(out).get("step_images", images)
    if before == images:
        return
    fix = f"`batch_size={before // world}`" if before % world == 0 else f"use a number of devices that divides {before}"
    raise ConfigError(
        f"a step of this run is of {before} images, and with {world} device{'s' if world > 1 else ''} and this batch "
        f"size it would be of {images}",
        where=out,
        fix=fix,
    )
