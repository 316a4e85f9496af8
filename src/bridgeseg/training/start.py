"""Where a training begins: its settings read, and all that is missing found, before the libraries that train load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridgeseg.errors import ConfigError
from bridgeseg.extras import extra, require
from bridgeseg.settings.length import with_settings
from bridgeseg.settings.sampling import paths
from bridgeseg.settings.train import Train, TrainConfig
from bridgeseg.settings.values import load_values
from bridgeseg.training import folder
from bridgeseg.training.datasets import load_joined
from bridgeseg.training.loading import refuse_import
from bridgeseg.training.missing import refuse_missing
from bridgeseg.training.origin import completed

if TYPE_CHECKING:
    from bridgeseg.training.fit import TrainResult


def train(asked: Train, settings: Mapping[str, Any]) -> TrainResult:
    """Train a network; see `bridgeseg.train`.

    A resumed run goes on from its last finished epoch, with the settings it was started with. Settings that say where
    it is made may be others, as long as a step is of as many images; `data` may name the same dataset at another place;
    and more `epochs` extend a finished run, whose learning rate then goes on as in a run of that many epochs.

    Args:
        asked: the data, the run folder, and whether to go on.
        settings: keys of `TrainConfig`, dotted for the inner ones: `{"model.method": "none", "epochs": 10}`. They go on
            top of those of `config`.
    """
    refuse_import()
    if not isinstance(asked.callbacks, list | tuple):
        raise ConfigError("callbacks are a list", where="callbacks", fix="`callbacks=[...]`")
    out, config, resume = Path(asked.out), asked.config, asked.resume
    folder.refuse(out, resume)
    given = with_settings(_values(config), {**settings, **({} if asked.data is None else {"data": paths(asked.data)})})
    if not resume:
        if not given.get("data"):
            raise ConfigError("no dataset given", fix="pass `data=FOLDER/data.yaml`")
        wanted = TrainConfig.parse(completed(given))
        _refuse_missing_loggers(wanted)
        refuse_missing(wanted, load_joined(wanted).classes)
    with extra():
        from bridgeseg.training.fit import fit
        from bridgeseg.training.provenance import absolute
        from bridgeseg.training.resuming import resumed_settings
    config = resumed_settings(out, given) if resume else absolute(wanted)
    _refuse_missing_loggers(config)
    return fit(config, out, resume=resume, quiet=asked.quiet, callbacks=asked.callbacks)


def _refuse_missing_loggers(config: TrainConfig) -> None:
    for name in config.logger:
        if name in ("mlflow", "wandb"):
            require(name, name)


def _values(config: Any) -> Mapping[str, Any]:
    """Return the settings that `config` holds: an object, a mapping, or a file of them."""
    if isinstance(config, TrainConfig):
        return config.model_dump(mode="json")
    if config is None or isinstance(config, Mapping):
        return config or {}
    if not isinstance(config, str | Path):
        message = f"settings are a mapping, or a file of them, found {type(config).__name__}"
        raise ConfigError(message, where="config", fix="`config=FILE`")
    return load_values(config)
