"""Which settings a run may go on with: those it was started with, on any machine, and more epochs once it is done."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridgeseg.data.joining import Joined, load_specs
from bridgeseg.errors import ConfigError, DataError
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import differences, set_values
from bridgeseg.training import folder
from bridgeseg.training.datasets import together
from bridgeseg.training.origin import Origin, find
from bridgeseg.training.provenance import absolute
from bridgeseg.training.resolve import resolve

MACHINE = {"check", "workers", "cache", "accelerator", "devices", "num_nodes", "strategy", "logger"}
"""Settings that say where a run is made and not what comes out."""
AMENDED = {"time_limit", "early_stop", "logger"}
"""Settings that may change while a run goes on, and are then written into its folder."""
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
    if started.epochs is None:
        fix = 'write `"epochs": N` into it, as many as the run was started with'
        raise ConfigError("does not say how long the run is", where=out / folder.SETTINGS, fix=fix)
    facts = environment_of(out)
    _refuse_other_number(out, len(started.datasets), given.get("data"))
    given = _in_epochs(out, given, facts)
    wanted = resolve(absolute(TrainConfig.parse(set_values(started.model_dump(mode="json"), given))))
    free = MACHINE | AMENDED | {"data"} | (SPREAD if "step_images" in facts else set())
    free -= set() if "step_images" in facts else SPREAD
    changed = [text for text in differences(started, wanted) if text.partition(":")[0] not in free]
    if changed == [f"epochs: {started.epochs} -> {wanted.epochs}"] and wanted.whole > started.whole:
        state = folder.read_state(out)
        if state is not None and int(state["epoch"]) + 1 == started.epochs:
            extended = [*facts.get("extended", []), {"epochs": started.epochs, "to": wanted.epochs}]
            _describe(out, started, wanted, {**facts, "extended": extended})
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
    if any(getattr(started, key) != getattr(wanted, key) for key in AMENDED):
        _describe(out, started, wanted, facts)
    return wanted


def _refuse_other_number(out: Path, before: int, data: Any) -> None:
    """Refuse more or fewer datasets than a run was started with; settings that count them are then wrong too."""
    found = len(data) if isinstance(data, list | tuple) else 1
    if data is not None and found != before:
        raise ConfigError(
            f"this run was started with {before} dataset{'s' if before > 1 else ''}, and is to go on with {found}",
            where=out,
            fix="leave `data` out, or name all of them in their order; other data needs a new run with another `out`",
        )


def _describe(out: Path, started: TrainConfig, wanted: TrainConfig, facts: dict[str, Any]) -> None:
    changes = {key: getattr(wanted, key) for key in (*AMENDED, "epochs")}
    folder.describe(out, started.model_copy(update=changes), facts)


def _in_epochs(out: Path, given: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which the length of a run, if it is given, is given in epochs, as its folder has it."""
    values = {key: value for key, value in given.items() if key not in ("epochs", "steps", "epoch_steps") or value}
    steps, length = values.get("steps"), facts.get("epoch_steps")
    if not isinstance(steps, int) or "epochs" in values:
        return values
    if not isinstance(length, int) or length < 1:
        message = "this run does not say how many steps its epochs have"
        raise ConfigError(message, where=out, fix="give its length in epochs: `epochs=80`")
    del values["steps"]
    return values | {"epochs": math.ceil(steps / length)}


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
    specs = load_specs(config.datasets, config.val_share)
    started = environment_of(out).get("data") if resume else None
    known = [started] if isinstance(started, dict) else started if isinstance(started, list) else []
    for spec, fact in zip(specs, known, strict=False):
        if isinstance(fact, dict) and fact.get("sha256", spec.digest) != spec.digest:
            raise DataError(
                "the data.yaml has changed since this run was started"
                + ("" if len(specs) == 1 else f": {spec.path}, or the datasets are in another order"),
                where=out,
                fix="undo the change, or start a new run with another `out`",
            )
    kept = out / folder.ORIGIN  # there where names of it are kept; of another origin a run that goes on needs nothing
    return together(specs, config, find(str(kept)) if resume and kept.is_dir() else None)


def origin_of(out: Path, config: TrainConfig, *, resume: bool) -> Origin | None:
    """Return what a run goes on from, None if that is nothing: of one that was begun, the copy in its folder.

    Raises:
        ModelFileError: see `find`.
    """
    kept = out / folder.ORIGIN
    if resume and kept.is_dir():
        return find(str(kept))
    return None if config.init is None else find(config.init)


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
