"""What a caller gave, told from defaults: signatures show defaults, and settings of a file stay below what is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar, cast

from bridgeseg.errors import ConfigError

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


def chosen(named: Mapping[str, object], dotted: Mapping[str, object]) -> dict[str, object]:
    """Return the settings that were given.

    Args:
        named: key of the setting -> what its parameter holds, `Default` where nothing was given.
        dotted: settings given by their whole key, such as `model.bridge.dim`.

    Raises:
        ConfigError: a setting is given in both ways.
    """
    settings = {key: value for key, value in named.items() if not isinstance(value, Default)}
    if twice := sorted(settings.keys() & dotted.keys()):
        raise ConfigError(f"{twice[0]!r} is given twice, by its short and by its whole name", fix="leave one out")
    return settings | dict(dotted)
