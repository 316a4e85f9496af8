"""Architecture settings against what they name: the parts, and the settings of the method."""

from __future__ import annotations

from typing import Any

from bridgeseg.errors import ConfigError
from bridgeseg.extend import DECODERS, HEADS, METHODS, Settings
from bridgeseg.settings.model import ModelConfig
from bridgeseg.settings.values import validated

AUTO = "auto"


def check_model(config: ModelConfig) -> ModelConfig:
    """Return the architecture with the settings of its method complete, and without those of other methods.

    Raises:
        ConfigError: an unknown name (the nearest one is named), method and head that do not go together, or a setting
            of a method that it does not have or allow.
    """
    method = METHODS.get(config.method)
    DECODERS.get(config.decoder)
    if config.head != AUTO:
        if method.head is None:
            raise ConfigError(
                f"method `{config.method}` is its head, found head {config.head!r}", fix=f"leave the head at `{AUTO}`"
            )
        if HEADS.get(config.head).needs_tokens and not method.needs_text:
            raise ConfigError(f"a {config.head} head needs language", fix=f"choose another method, or head `{AUTO}`")
    groups = {name: _settings(name, values).model_dump(mode="json") for name, values in config.groups.items()}
    chosen = groups.get(config.method, method.settings().model_dump(mode="json"))
    own = {key: getattr(config, key) for key in ModelConfig.model_fields}
    return ModelConfig.model_validate(own | ({config.method: chosen} if chosen else {}))


def method_settings(config: ModelConfig) -> Settings:
    """Return the settings of the method of an architecture.

    Raises:
        ConfigError: see `check_model`.
    """
    return _settings(config.method, config.groups.get(config.method, {}))


def _settings(name: str, values: Any) -> Settings:
    found: Settings = validated(f"model.{name}", METHODS.get(name).settings, values)
    return found
