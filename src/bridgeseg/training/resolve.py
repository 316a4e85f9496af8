"""The settings of a training run against what they name, before anything is loaded."""

from __future__ import annotations

from bridgeseg.errors import ConfigError
from bridgeseg.extend import METHODS
from bridgeseg.models.check import check_model
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.losses import make_terms


def resolve(config: TrainConfig) -> TrainConfig:
    """Return the settings of a run with those of its method complete (see `check_model`).

    Raises:
        ConfigError: an unknown name, settings of a method or loss that are not allowed, or parts that do not go
            together.
    """
    model = check_model(config.model)
    make_terms(config.loss)
    if config.prompt == "learned" and not METHODS.get(model.method).needs_text:
        raise ConfigError(
            f"`prompt: learned` needs a method that language guides, found `{model.method}`",
            fix="choose another method, or `prompt: fixed`",
        )
    return config.model_copy(update={"model": model})
