"""Settings as plain nested mappings: read, changed by dotted keys, compared, and their mistakes put in plain words."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, create_model
from pydantic_core import InitErrorDetails

from bridgeseg.errors import ConfigError, DataError, nearest
from bridgeseg.wording import shown
from bridgeseg.yamlfile import read_value

MOST = 20
"""Mistakes that one message tells."""
WORDS = {
    "missing": "must be given",
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a finite number",
    "bool": "must be true or false",
    "path": "must be a path",
    "sequence": "must be a list",
    "string": "must be text",
    "tuple": "must be a list, such as [256, 320]",
    "too": "has the wrong length",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
}
"""What pydantic's kinds of errors mean, by their name or by its first word."""
NAMED = ("names", "parts")
"""Settings that are mappings of class names."""

HABITS = {
    "amp": "precision",
    "batch": "batch_size",
    "device": "devices",
    "encoder": "model.backbone",
    "fliplr": "augment.flip",
    "image_size": "augment.crop_size",
    "imgsz": "augment.crop_size",
    "learning_rate": "lr",
    "lr0": "lr",
    "lrf": "power",
    "max_epochs": "epochs",
    "max_steps": "steps",
    "max_time": "time_limit",
    "num_workers": "workers",
    "patience": "early_stop",
    "pretrained": "backbone_weights",
    "weights": "backbone_weights",
}
"""Keys of other programs, and what comes nearest here."""


def load_values(path: str | Path) -> dict[str, Any]:
    """Read a YAML or JSON mapping.

    Raises:
        ConfigError: the file cannot be read or holds no mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = json.loads(text) if str(path).endswith(".json") else read_value(text, Path(path))
    except (OSError, ValueError, RecursionError, DataError) as error:
        reason = error.strerror if isinstance(error, OSError) else shown(error)
        reason = error.message if isinstance(error, DataError) else reason
        raise ConfigError(
            f"cannot be read as a configuration: {reason}", where=path, fix="give a YAML or JSON file of settings"
        ) from error
    if not isinstance(values, dict):
        raise ConfigError("holds no mapping of settings", where=path, fix="write `key: value` lines")
    return values


def flatten(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted keys: {"model": {"method": "none"}} -> {"model.method": "none"}.

    Lists are plain values, and so are mappings of class names (`NAMED`).
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value and f"{prefix}{key}" not in NAMED:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def set_values(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with dotted keys replaced: {"model.bridge.depth": 3} changes one number deep inside.

    Raises:
        ConfigError: a key reaches into a plain value.
    """
    result: dict[str, Any] = {}
    for dotted, value in [*flatten(values).items(), *flatten(settings).items()]:
        place = result
        *parents, last = dotted.split(".")
        for key in parents:
            inner = place.get(key, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{dotted!r} reaches into {key!r}, which is a plain value", fix="shorten the key")
            place[key] = place = dict(inner)
        place[last] = value
    return result


def differences(old: BaseModel, new: BaseModel) -> list[str]:
    """List what differs between two configurations, as `key: old -> new`; two names of one file do not differ."""
    before, after = flatten(old.model_dump(mode="json")), flatten(new.model_dump(mode="json"))
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key) and not _same_file(before.get(key), after.get(key))
    ]


def refuse_unknown(values: BaseModel, allowed: Collection[str]) -> None:
    """Refuse the extra keys of a model that allows some, as pydantic refuses those of a model that allows none.

    Raises:
        ValidationError: a key is not in `allowed`; in a validator pydantic adds the place.
    """
    extra = values.model_extra or {}
    unknown = [
        InitErrorDetails(type="extra_forbidden", loc=(key,), input=extra[key]) for key in extra if key not in allowed
    ]
    if unknown:
        raise ValidationError.from_exception_data(type(values).__name__, unknown)


def validated(key: str, kind: Any, value: Any) -> Any:
    """Return a value as a type wants it.

    Args:
        key: the dotted key that the value stands at, for messages.
        kind: what pydantic can check: a type, an annotated one, or a settings class.
        value: as it was given.

    Raises:
        ConfigError: the value is not allowed.
    """
    names, model = key.split("."), kind
    for name in reversed(names):
        model = create_model("Settings", **{name: (model, ...)})  # type: ignore[call-overload]
        value = {name: value}
    try:
        found: Any = model.model_validate(value)
    except ValidationError as error:
        raise ConfigError(explain(error, model), fix="docs/training.md lists every setting") from error
    for name in names:
        found = getattr(found, name)
    return found


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Put what pydantic found wrong with a `model` in plain words, unknown keys with the nearest known one."""
    found = error.errors()
    left = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; ".join(_explain(dict(item), model) for item in found[:MOST]) + left


def refused(error: ValidationError, model: type[BaseModel]) -> ConfigError:
    """Return the error of a function whose settings pydantic refuses; it names the first one."""
    first: dict[str, Any] = dict(error.errors()[0])
    name = str(first["loc"][0])
    message = _explain(first | {"loc": (name,)}, model).removeprefix(name).removeprefix(":").strip()
    return ConfigError(message, where=name, fix=f"correct it, or leave `{name}` out for its default")


def _explain(item: dict[str, Any], model: type[BaseModel]) -> str:
    place, kind, found = ".".join(str(part) for part in item["loc"]), item["type"], item["input"]
    if kind == "extra_forbidden":
        return f"unknown key {shown(place)}; {_suggest(item['loc'], model)}"
    if kind == "value_error":
        return f"{place}: {item['msg'].removeprefix('Value error, ')}".removeprefix(": ")
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        group = _group(model, item["loc"])
        return f"{place} is a group of settings, such as {place}.{next(iter(group.model_fields))}, found {shown(found)}"
    words = WORDS.get(kind) or WORDS.get(kind.partition("_")[0]) or item["msg"]
    limits = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in item.get("ctx", {}).items()}
    text = f"{place} {words.format(**limits)}"
    return text if kind == "missing" else f"{text}, found {shown(found)}"


def _suggest(location: tuple[Any, ...], model: type[BaseModel]) -> str:
    """Name the key that was meant: one of that name in another group, else the nearest in the same group."""
    last = str(location[-1])
    elsewhere = [key for key in _keys(model) if key.rpartition(".")[2] == last]
    if elsewhere or last in HABITS:
        return f"did you mean {(elsewhere or [HABITS[last]])[0]!r}?"
    group = _group(model, location[:-1])
    return nearest(last, [*group.model_fields, *_groups(group)])


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
    for name, group in _groups(model).items():
        yield from _keys(group, f"{prefix}{name}.")


def _groups(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the groups that a model takes as extra keys."""
    found: dict[str, type[BaseModel]] = getattr(model, "keys_of_groups", dict)()
    return found


def _group(model: type[BaseModel], location: tuple[Any, ...]) -> type[BaseModel]:
    """Return the group of settings at a location, or the innermost one around it."""
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            break
        model = field.annotation
    return model


def _same_file(old: Any, new: Any) -> bool:
    if not (isinstance(old, str) and isinstance(new, str)):
        return False
    return Path(old).exists() and Path(old).resolve() == Path(new).resolve()
