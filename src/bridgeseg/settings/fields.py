"""What is known of one setting: name, type, default, limits, help, panel, option. Everything else comes out of it.

A setting is a field of a pydantic model:

    batch_size: Annotated[int, setting("images of one step on one device", TRAINING, "--batch-size", ge=1)] = 16
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

TRAINING, NETWORK, OPTIMISATION, LOSS, AUGMENTATION, MACHINE = (
    "Training", "Network", "Optimisation", "Loss", "Augmentation", "Machine",
)  # fmt: skip
"""Panels of the help of `train`, and parts of the table of its settings."""


class CommandSettings(BaseModel):
    """Base of the settings of a command, which its function takes as they are; objects of any type may be passed.

    Raises:
        ConfigError: a value that is not allowed.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    @field_validator("out", check_fields=False)
    @classmethod
    def _somewhere(cls, value: Any) -> Any:
        """Refuse an empty path, such as that of a shell's variable that is not set: it would be the current folder."""
        if value == "":
            raise ValueError("is empty")
        return value

    if not TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                from bridgeseg.settings.values import refused

                raise refused(error, type(self)) from error

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of some values that are settings of this model."""
        return {key: value for key, value in values.items() if key in cls.model_fields}


def setting(
    text: str,
    panel: str | None = None,
    option: str | None = None,
    *,
    metavar: str | None = None,
    read: str | None = None,
    default: str | None = None,
    python: str | None = None,
    required: bool | None = None,
    **limits: Any,
) -> Any:
    """Describe a field of a model of settings, within `Annotated`.

    Args:
        text: what it does, for the help, the docs and the docstrings.
        panel: under which it stands in the help and in the docs.
        option: its names on the command line, separated by blanks: `--out -o`, `--ema/--no-ema`; the name of an
            argument without hyphens; None where it has none.
        metavar: what stands for the value in the help.
        read: the function of `commands.arguments` that reads its text: `size`, `numbers`, ...
        default: what the help shows as default, where the value itself says little.
        python: the annotation in Python, where the model takes anything.
        required: whether the command needs it; by default, where the function does.
        limits: as in `pydantic.Field`: `ge=1`.
    """
    extra = {
        "panel": panel, "option": option, "metavar": metavar, "read": read, "default": default, "python": python,
        "required": required,
    }  # fmt: skip
    kept: dict[str, Any] = {key: value for key, value in extra.items() if value is not None}
    return Field(description=text, json_schema_extra=kept or None, **limits)


@dataclass(frozen=True)
class Setting:
    """A field of a model of settings, as read from it.

    Attributes:
        key: its dotted name in a configuration, such as `loss.dice`.
        annotation: its type.
        default: its value if none is given, or `PydanticUndefined`.
        text, panel, option, metavar, read, shown, python: see `setting`.
        least: the smallest value allowed, if it is stated.
        needed: whether the command needs it.
    """

    key: str
    annotation: Any
    default: Any
    text: str
    panel: str | None
    option: str | None
    metavar: str | None
    read: str | None
    shown: str | None
    python: str | None
    least: float | None
    needed: bool

    @property
    def name(self) -> str:
        """Its own name, without those of the groups around it."""
        return self.key.rpartition(".")[2]

    @property
    def required(self) -> bool:
        """Whether the function needs it."""
        return self.default is PydanticUndefined

    @property
    def default_text(self) -> str:
        """Its default as it is written in a configuration file; empty where there is none."""
        if self.shown is not None:
            return self.shown
        if self.required or self.default is None:
            return ""
        value = str(self.default) if isinstance(self.default, Path) else self.default
        return json.dumps(value).replace('"', "")

    @property
    def written_type(self) -> str:
        """Its type as Python source."""
        return self.python or written(self.annotation)


def settings_of(model: type[BaseModel], prefix: str = "", *, groups: bool = False) -> Iterator[Setting]:
    """Yield the settings of a model in their order; those of a group of settings stand where the group does.

    Args:
        model: a model of settings.
        prefix: what the keys begin with.
        groups: yield the settings of methods and losses too, whose modules are imported for it.
    """
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for inner in settings_of(kind, f"{prefix}{name}.", groups=groups):
                group = field.get_default(call_default_factory=False)
                own = getattr(group, inner.name, inner.default) if isinstance(group, BaseModel) else inner.default
                yield inner if own == inner.default else _with_default(inner, own)
        else:
            yield _read(f"{prefix}{name}", field)
    named: dict[str, type[BaseModel]] = getattr(model, "keys_of_groups", dict)() if groups else {}
    for name, group in named.items():
        yield from settings_of(group, f"{prefix}{name}.")


def written(annotation: Any) -> str:
    """Write a type as Python source: `tuple[int, int] | None`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "None"
    if origin in (Union, types.UnionType):
        return " | ".join(map(written, inner))
    if origin is Literal:
        return f"Literal[{', '.join(json.dumps(value) for value in inner)}]"
    if origin is not None:
        return f"{written(origin)}[{', '.join('...' if part is ... else written(part) for part in inner)}]"
    return getattr(annotation, "__name__", str(annotation))


def _read(key: str, field: FieldInfo) -> Setting:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    known: dict[str, Any] = {name: extra.get(name) for name in ("panel", "option", "metavar", "read", "python")}
    least = next((item.ge for item in field.metadata if getattr(item, "ge", None) is not None), None)
    shown: Any = extra.get("default")
    text = field.description or ""
    default = field.get_default()
    needed = bool(extra.get("required", default is PydanticUndefined))
    return Setting(key, field.annotation, default, text, shown=shown, least=least, needed=needed, **known)


def _with_default(setting: Setting, default: Any) -> Setting:
    return replace(setting, default=default)


def nothing(value: Any) -> Any:
    """Take the word `none` for no value; a validator of what was given."""
    return None if value == "none" else value


def several(value: Any) -> Any:
    """Take one number, or text with commas, for a list; a validator of what was given."""
    return [value] if isinstance(value, int | float) else listed(value)


def listed(value: Any) -> Any:
    """Take text with commas for a list; a validator of what was given."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value
