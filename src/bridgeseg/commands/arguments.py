"""Command-line arguments with a structure of their own -> values."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable
from typing import Any

from bridgeseg.errors import ConfigError
from bridgeseg.wording import split_names


def size(text: str, option: str) -> tuple[int, int]:
    """Read a size in pixels: `360x480` -> (360, 480), height first; one number stands for a square.

    Raises:
        ConfigError: anything else.
    """
    try:
        sides = [int(side) for side in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise ConfigError(f"a size is HEIGHTxWIDTH in pixels, found {text!r}", where=option, fix=f"{option} 360x480")
    return sides[0], sides[-1]


def crop(text: str, option: str) -> tuple[int, int] | str:
    """Read a size in pixels, see `size`, or `auto`.

    Raises:
        ConfigError: anything else.
    """
    return text if text == "auto" else size(text, option)


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Read numbers with commas between, in brackets or not: `0.75,1` -> (0.75, 1.0).

    Raises:
        ConfigError: anything else.
    """
    try:
        return tuple(float(part) for part in _bare(text).split(","))
    except ValueError as error:
        fix = f"{option} 0.5,1"
        raise ConfigError(f"numbers separated by commas are needed, found {text!r}", where=option, fix=fix) from error


def _bare(text: str) -> str:
    """Return a list without its brackets; one that is open at an end stays, and is no number."""
    text = text.strip()
    return text[1:-1] if text[:1] + text[-1:] in ("[]", "()") else text


def integers(text: str, option: str) -> list[int]:
    """Read whole numbers with commas between, in brackets or not: `1,2` -> [1, 2].

    Raises:
        ConfigError: anything else.
    """
    try:
        return [int(part) for part in _bare(text).split(",")]
    except ValueError as error:
        fix = f"{option} 1"
        raise ConfigError(
            f"whole numbers separated by commas are needed, found {text!r}", where=option, fix=fix
        ) from error


def duration(text: str, option: str) -> float:
    """Read a length of time in minutes: `1h30m` -> 90.0.

    Raises:
        ConfigError: anything else.
    """
    from bridgeseg.settings.length import minutes

    try:
        return minutes(text)
    except ValueError as error:
        raise ConfigError(f"a time is needed, found {text!r}", where=option, fix=f"{option} 1h30m") from error


def sizes(text: str, option: str) -> list[tuple[int, int]]:
    """Read sizes with commas between; see `size`."""
    return [size(part, option) for part in text.split(",")]


def listed(text: str, option: str) -> list[str]:
    """Read names with commas between, see `split_names`: `road, car` -> ["road", "car"]."""
    return split_names(text)


def several(texts: list[str], option: str) -> str | list[str] | None:
    """Return what an option was given that can be given again and again: one text, or all of them."""
    return (texts[0] if len(texts) == 1 else texts) if texts else None


def variants(texts: list[str], option: str) -> dict[str, dict[str, Any]]:
    """Read `NAME: KEY=VALUE KEY=VALUE`, quoted as in a shell where a value holds spaces.

    Raises:
        ConfigError: no name, no settings, a name given twice, or a setting that cannot be read.
    """
    result: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, colon, rest = text.partition(":")
        name = name.strip()
        try:
            pairs = shlex.split(rest)
        except ValueError as error:
            raise ConfigError(f"{text!r}: {error}", where=option, fix="close the quotes") from error
        if not colon or not name or not pairs or "=" in name:
            raise ConfigError(
                f"a variant is NAME: KEY=VALUE KEY=VALUE, found {text!r}",
                where=option,
                fix=f'{option} "random: text_encoder=random:512/0"',
            )
        if name in result:
            raise ConfigError(f"{name!r} is named twice", where=option, fix="give every variant a name of its own")
        result[name] = settings(pairs)
    return result


def settings(pairs: Iterable[str], options: Collection[str] = ()) -> dict[str, Any]:
    """Read settings, their values as YAML: `["lr=1e-3", "loss.class_weights=true"]` -> {"lr": 0.001, ...}.

    Args:
        pairs: KEY=VALUE each.
        options: keys that are options of the command line and nothing else.

    Raises:
        ConfigError: no `=`, no key, a key of `options`, or a value that is no YAML.
    """
    import yaml

    result = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise ConfigError(f"a setting is KEY=VALUE, found {pair!r}", where="--set", fix="--set epochs=20")
        if key in options:
            fix = "give it as such: the command with --help lists them"
            raise ConfigError(f"{key!r} is no setting but an option of the command", where=f"--set {key}", fix=fix)
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{text!r} is no YAML value", where=f"--set {key}", fix="quote it") from error
        result[key] = _number(value) if isinstance(value, str) else value
    return result


def _number(text: str) -> float | str:
    """YAML 1.1 takes 1e-3 for a string."""
    try:
        return float(text)
    except ValueError:
        return text
