"""Everything that fixes a training run; written into the run folder, and read back to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import ConfigDict, ValidationError, model_validator

from bridgeseg.errors import ConfigError
from bridgeseg.settings.fields import CommandSettings, setting
from bridgeseg.settings.length import LengthConfig
from bridgeseg.settings.machine import MachineConfig
from bridgeseg.settings.network import NetworkConfig
from bridgeseg.settings.optimisation import OptimisationConfig
from bridgeseg.settings.sampling import SamplingConfig
from bridgeseg.settings.values import explain, load_values


class TrainConfig(MachineConfig, OptimisationConfig, NetworkConfig, SamplingConfig, LengthConfig):
    """A training run. Its settings stand in the order of its bases from the last to the first."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="after")
    def _unseen(self) -> Self:
        if self.early_stop is not None and self.val_split is None:
            raise ValueError("`early_stop` goes by validations, and `val_split` is none")
        if self.val_split in self.train_splits:
            raise ValueError(
                f"`val_split` is trained on, so its scores say nothing: {self.val_split!r}; or set it to none"
            )
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Check a mapping.

        Raises:
            ConfigError: an unknown key (the nearest known one is named) or a value that is not allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(explain(error, cls), fix="docs/training.md lists every setting") from error

    @classmethod
    def load(cls, path: str | Path) -> TrainConfig:
        """Read a YAML or JSON file, such as the `train.json` of a run folder.

        Raises:
            ConfigError: the file cannot be read, or see `parse`.
        """
        return cls.parse(load_values(path))


class Train(CommandSettings):
    """Train a network on a dataset, or on several.

    Returns:
        The run folder, the scores of its best checkpoint, and their epoch. The folder holds `train.json` (settings),
        `environment.json` (versions), `best/` and `last/` (checkpoints), `resume.ckpt`, `metrics.csv`, TensorBoard logs
        and figures. On several devices every process returns; `first` is true in the one that should do what follows.

    Raises:
        InputError: settings, data, weights or the folder cannot be used, the loss is no number, or the run was stopped.
        MissingDependencyError: the train extra is not installed.
    """

    data: Annotated[
        str | Path | Sequence[str | Path] | None,
        setting(
            "the dataset's data.yaml, or its folder; several are joined, each keeping its own names; needed unless "
            "`config` or a resumed run names it",
            option="--data",
            metavar="YAML",
            read="several",
        ),
    ] = None
    out: Annotated[
        str | Path,
        setting("the run folder; it must not hold a run yet, unless that is resumed", option="--out -o", metavar="DIR"),
    ] = "runs/run"
    config: Annotated[
        Any,
        setting(
            "file of settings, such as a run's train.json; settings that are given override it",
            option="--config",
            metavar="FILE",
            python="TrainConfig | Mapping[str, object] | str | Path | None",
        ),
    ] = None
    resume: Annotated[
        bool,
        setting("continue the run in the run folder after its last finished epoch", option="--resume"),
    ] = False
    callbacks: Annotated[
        Any,
        setting("Lightning callbacks, in addition to the run's own", python="Sequence[Callback]"),
    ] = ()
    quiet: Annotated[bool, setting("show no progress")] = False
