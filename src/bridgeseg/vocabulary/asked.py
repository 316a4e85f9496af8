"""Names asked for -> classes: `road, person=pedestrian|person, "wall, painted"`, a list, a mapping, or a YAML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bridgeseg.classes import ClassSet, Colour, default_palette
from bridgeseg.errors import BridgeSegError, ConfigError, DataError
from bridgeseg.wording import shown, split_names
from bridgeseg.yamlfile import MAX_BYTES, kind, read_text, read_value

Names = str | Path | Sequence[str] | Mapping[str, str | Sequence[str]] | ClassSet
FIX = "`names=road, person`, each with its own phrases if you like, `names=road, person=pedestrian|person`, or a file"


def asked(names: Names, known: ClassSet | None = None) -> ClassSet:
    """Return the classes that names stand for.

    A name may bring phrases for the text encoder. One without any takes those of the known class of its name, and its
    colour; other names have themselves for a phrase, and the first colours of the default palette that are left.

    Args:
        names: names with commas between, in double quotes those that hold some; a list of them, each `name` or
            `name=phrase|phrase`; name -> phrases; a YAML file with either, or a data.yaml with `names` and `prompts`;
            or classes, which are returned as they are.
        known: the classes of the network.

    Raises:
        ConfigError: no names, names that repeat, or the file cannot be read.

    >>> asked("road, person=pedestrian|person").prompts
    (('road',), ('pedestrian', 'person'))
    """
    if isinstance(names, ClassSet):
        return names
    try:
        found = _phrases(names)
        own = {} if known is None else dict(zip(known.names, known.prompts, strict=True))
        prompts = {name: phrases or own.get(name, (name,)) for name, phrases in found}
        return ClassSet.build([name for name, _ in found], prompts, _palette([name for name, _ in found], known))
    except BridgeSegError as error:
        raise ConfigError(error.message, where=error.where or "names", fix=error.fix or FIX) from error


def listed(classes: ClassSet) -> list[str]:
    """Write classes as names that `asked` reads.

    >>> listed(asked("road, person=pedestrian|person"))
    ['road', 'person=pedestrian|person']
    """
    pairs = zip(classes.names, classes.prompts, strict=True)
    return [name if phrases == (name,) else f"{name}={'|'.join(phrases)}" for name, phrases in pairs]


def _phrases(names: Any) -> list[tuple[str, tuple[str, ...]]]:
    """Return each name and the phrases that were given for it."""
    if isinstance(names, Path) or (isinstance(names, str) and names.strip().lower().endswith((".yaml", ".yml"))):
        return _of_file(Path(str(names).strip()).expanduser())
    if isinstance(names, str):
        names = split_names(names)
    if isinstance(names, Mapping):
        return [((own := _name(name)), _several(phrases, own)) for name, phrases in names.items()]
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise DataError(f"names must be text, found {kind(names)}")
    return [_pair(name) for name in names]


def _pair(text: str) -> tuple[str, tuple[str, ...]]:
    name, equals, phrases = text.partition("=")
    return name.strip(), _several(phrases.split("|"), name) if equals else ()


def _several(phrases: Any, name: str) -> tuple[str, ...]:
    if phrases is None:
        return ()
    several = [phrases] if isinstance(phrases, str) else phrases
    if not isinstance(several, Sequence) or not all(isinstance(phrase, str) and phrase.strip() for phrase in several):
        raise DataError(f"the phrases of {name.strip()!r} must be text, found {str(phrases)[:100]!r}")
    return tuple(phrase.strip() for phrase in several)


def _of_file(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    value = read_value(read_text(path, MAX_BYTES), path)
    if isinstance(value, dict) and isinstance(listing := value.get("names"), list | dict):
        # a data.yaml: names in a list, or by their ids
        names = [listing[key] for key in sorted(listing)] if isinstance(listing, dict) else listing
        names = [_name(name, path) for name in names]
        prompts = value.get("prompts") or {}
        if not isinstance(prompts, dict):
            raise DataError(f"`prompts` must be a mapping, found {kind(prompts)}", where=path)
        own = {names[key] if type(key) is int and 0 <= key < len(names) else key: told for key, told in prompts.items()}
        if others := [key for key in own if key not in names]:
            fix = "correct the name, or add it to `names`"
            raise DataError(f"`prompts`: {shown(others[0])} is no class of `names`", where=path, fix=fix)
        return [(name, _several(own.get(name), name)) for name in names]
    if not isinstance(value, list | dict):
        raise DataError(f"expected names, found {kind(value)}", where=path, fix="write `[road, person]`, for one")
    return _phrases(value if isinstance(value, dict) else [_name(name, path) for name in value])


def _name(given: Any, path: Path | None = None) -> str:
    """Return a name as text; YAML 1.1 takes some words for something else."""
    if type(given) is not int and not isinstance(given, str):
        message = f"a name is read as {kind(given)} ({shown(given)})"
        raise DataError(message, where=path, fix='put the name in quotes, e.g. "no"')
    return str(given).strip()


def _palette(names: Sequence[str], known: ClassSet | None) -> list[Colour]:
    """Let known classes keep their colours, and give the others the first default ones that nobody has."""
    own = {} if known is None else dict(zip(known.names, known.palette, strict=True))
    kept = {own[name] for name in names if name in own}
    free = (colour for colour in default_palette(len(names) + len(kept)) if colour not in kept)
    fresh = iter(list(islice(free, len(names))))
    return [own[name] if name in own else next(fresh) for name in names]
