"""What a caller gave, told from defaults: signatures show defaults, and settings of a file stay below what is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel

from bridgeseg.errors import ConfigError
from bridgeseg.settings.fields import settings_of

T = TypeVar("T")


class Default(Generic[T]):
    """The default of a parameter, as long as nothing is given for it."""

    def __init__(self, value: T) -> None:
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)


def default(value: T) -> T:
    """Mark a default, so that `chosen` leaves it out; type checkers and `help` see the value itself."""
    return cast(T, Default(value))


def python_name(key: str) -> str:
    """Return the name of the parameter of a setting: `loss.dice` -> `dice`, `learned.init` -> `learned_init`."""
    return key.removeprefix("model.").removeprefix("loss.").removeprefix("augment.").replace(".", "_")


def chosen(parameters: Mapping[str, Any], model: type[BaseModel], own: type[BaseModel]) -> dict[str, Any]:
    """Return the settings of a model that were given to a function, by their keys.

    Args:
        parameters: what the parameters of a function hold: `Default` where nothing was given, and in `dotted` the
            settings that were given by their whole key, such as `model.bridge.dim`.
        model: whose settings they are.
        own: the function's own settings, which are not among them.

    Raises:
        ConfigError: a setting is given in both ways.
    """
    names = {setting.key: python_name(setting.key) for setting in settings_of(model)}
    named = {
        key: parameters[name] for key, name in names.items() if name in parameters and name not in own.model_fields
    }
    settings = {key: value for key, value in named.items() if not isinstance(value, Default)}
    dotted: dict[str, Any] = parameters["dotted"]
    if twice := sorted(settings.keys() & dotted.keys()):
        raise ConfigError(f"{twice[0]!r} is given twice, by its short and by its whole name", fix="leave one out")
    return settings | dotted
