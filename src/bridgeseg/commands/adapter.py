"""Options of a command out of its models of settings: a signature that Typer reads, and the values that were given."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from bridgeseg.commands import arguments, wording
from bridgeseg.settings.fields import Setting, settings_of

Given = dict[str, Any]
"""Settings that were given on the command line, by their keys."""
PLAIN = (bool, int, float, str, Path)


def options(
    *models: type[BaseModel], leave: Iterable[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command the options of some models of settings.

    The function is called with the settings that were given, `Given`, and with the options of its own signature.

    Args:
        models: their settings with an option become options; of two with one option, that of the first model.
        leave: keys of settings, of all models but the first, that get none.
    """
    wanted: dict[str, Setting] = {}
    first, *others = (list(settings_of(model)) for model in models)
    known = [*first, *(setting for group in others for setting in group if setting.key not in leave)]
    for setting in known:
        if setting.option is not None:
            wanted.setdefault(parameter_name(setting), setting)

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        hints = typing.get_type_hints(function, include_extras=True)
        _given, *own = [
            parameter.replace(annotation=hints[name], kind=parameter.KEYWORD_ONLY)
            for name, parameter in inspect.signature(function).parameters.items()
        ]

        def command(**values: Any) -> None:
            wording.use(known)
            given = {setting.key: _read(setting, values.pop(name)) for name, setting in wanted.items()}
            function({key: value for key, value in given.items() if value is not None}, **values)

        wording.use(known)  # help names options, too
        parameters = [_parameter(name, setting) for name, setting in wanted.items()] + own
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        return command

    return decorate


def flag(setting: Setting) -> str:
    """Return the main option of a setting: `--size`."""
    return (setting.option or "").split()[0].partition("/")[0]


def parameter_name(setting: Setting) -> str:
    """Return the name of the parameter behind an option, which messages show."""
    return flag(setting).lstrip("-").replace("-", "_")


def flags(models: Iterable[type[BaseModel]]) -> Mapping[str, str]:
    """Map the names and keys of settings to their main option."""
    found: dict[str, str] = {}
    for setting in (setting for model in models for setting in settings_of(model) if setting.option):
        found |= {setting.name: flag(setting), setting.key: flag(setting)}
    return found


def keys(model: type[BaseModel]) -> set[str]:
    """Return the keys of a model of settings."""
    return {setting.key for setting in settings_of(model)}


def _parameter(name: str, setting: Setting) -> inspect.Parameter:
    kind, number = _kind(setting)
    shown = setting.default_text if kind is not bool or setting.default else ""
    limits = {"min": setting.least} if number and setting.least is not None else {}
    info = typer.Option(
        *(setting.option or "").split(),
        help=wording.as_options(f"{setting.text[:1].upper()}{setting.text[1:]}."),
        metavar=setting.metavar,
        rich_help_panel=setting.panel,
        show_default=shown or False,
        **limits,  # type: ignore[arg-type]
    )
    if setting.needed:
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, info])
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info]
    )


def _kind(setting: Setting) -> tuple[Any, bool]:
    """Return the type that Typer reads, and whether it is a number."""
    if setting.read in ("variants", "several"):
        return list[str], False
    inner = [kind for kind in typing.get_args(setting.annotation) if kind is not type(None)] or [setting.annotation]
    kind = inner[0] if len(inner) == 1 and inner[0] in PLAIN and setting.read is None else str
    return kind, kind in (int, float)


def _read(setting: Setting, value: Any) -> Any:
    if value is None or setting.read is None:
        return value
    read: Callable[[Any, str], Any] = getattr(arguments, setting.read)
    return read(value, flag(setting))
