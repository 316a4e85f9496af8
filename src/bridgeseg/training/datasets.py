"""The datasets of a run, as its settings name them; found before the libraries that train load."""

from __future__ import annotations

from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError
from bridgeseg.settings.train import TrainConfig


def load_specs(config: TrainConfig) -> list[DataSpec]:
    """Load the datasets; `val_share` is for those that have no split val.

    Raises:
        ConfigError: all of them have one.
        DataError: see `DataSpec.load`.
    """
    if len(config.datasets) == 1:
        return [DataSpec.load(config.datasets[0], config.val_share)]
    specs = [DataSpec.load(path) for path in config.datasets]
    lacking = [spec for spec in specs if "val" not in spec.all_splits]
    if config.val_share and not lacking:
        message = "`val_share` takes the split val from train, and all datasets have a split val"
        raise ConfigError(message, fix="leave `val_share` out")
    return [spec.shared(config.val_share) if config.val_share and spec in lacking else spec for spec in specs]
