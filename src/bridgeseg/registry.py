"""Things chosen by name: built in, registered by a decorator, or brought by an installed package.

A registry knows its built-in names and those of installed packages without importing a module of theirs, so that names
can be listed and checked at once. A module is imported when something of it is first asked for; its decorators do the
rest.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

from bridgeseg.errors import ConfigError, nearest
from bridgeseg.wording import shown

T = TypeVar("T")
Named = TypeVar("Named", bound=Callable[..., Any])


class Registry(Generic[T]):
    """Values by name.

    Args:
        kind: what one value is called in messages, such as "method".
        group: the entry-point group in which installed packages name their own, such as "bridgeseg.methods". An entry
            point has the name that its module registers: `wave = "my_package.wave"`.
        builtin: name -> the module that registers it.
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        self.kind, self.group = kind, group
        self.builtin = dict(builtin)
        self._values: dict[str, T] = {}
        self._sources: dict[str, str] = {}

    def register(self, name: str) -> Callable[[Named], Named]:
        """Return a decorator that registers a class or function, which is the value itself, under a name.

        Raises:
            ConfigError: the name is taken.
        """

        def decorate(value: Named) -> Named:
            self.add(name, value, value)  # type: ignore[arg-type]
            return value

        return decorate

    def add(self, name: str, value: T, definition: Callable[..., Any]) -> None:
        """Register a value under a name; the same definition again, as in a notebook's cell, replaces the old one.

        Args:
            name: what users write.
            value: what `get` returns.
            definition: the class or function in a source file that stands behind it.

        Raises:
            ConfigError: the name is taken.
        """
        module, source = definition.__module__, f"{definition.__module__}.{definition.__qualname__}"
        taken = self._sources.get(name) or self.builtin.get(name)
        if taken not in (None, source) and not (name not in self._sources and taken == module):
            raise ConfigError(
                f"two {self.kind}s are called {name!r}: {taken} and {source}", fix="give the new one another name"
            )
        self._values[name], self._sources[name] = value, source

    def names(self) -> list[str]:
        """Return every name, the built-in ones first; nothing is imported."""
        for name in self._found:
            if problem := self._clash(name):
                warnings.warn(problem, stacklevel=2)
        return list(dict.fromkeys([*self.builtin, *self._found, *self._values]))

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or name in self._found or name in self._values

    def get(self, name: str) -> T:
        """Return the value of a name; the module that registers it is imported if it was not yet.

        Raises:
            ConfigError: no such name (the nearest one is named), or the package that brings it cannot be used.
        """
        if name in self._found and (problem := self._clash(name)):
            raise ConfigError(problem, fix="uninstall one of the two packages")
        if name not in self._values and name in self.builtin:
            importlib.import_module(self.builtin[name])
        elif name not in self._values and name in self._found:
            self._load(name)
        if name not in self._values:
            raise ConfigError(self.unknown(name))
        return self._values[name]

    def unknown(self, name: str) -> str:
        """Say that there is no such name, and which is the nearest one."""
        return f"no {self.kind} {name!r}; {nearest(name, self.names())}"

    def items(self) -> Iterator[tuple[str, T]]:
        """Yield every name and its value; what an installed package brings and cannot be used costs a warning."""
        for name in self.names():
            try:
                value = self.get(name)
            except ConfigError as error:
                if name in self.builtin and not self._clash(name):
                    raise
                warnings.warn(f"{self.kind} {name!r} is left out: {error.message}", stacklevel=2)
                continue
            yield name, value

    @cached_property
    def _found(self) -> dict[str, list[Any]]:
        """Entry points by name; those that several installed copies of one package repeat count once."""
        from importlib.metadata import entry_points  # takes longer to import than all else here

        found: dict[str, list[Any]] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
            same = found.setdefault(point.name, [])
            if point.value not in [other.value for other in same]:
                same.append(point)
        return found

    def _clash(self, name: str) -> str | None:
        """Say which two have one name, if so."""
        owners = [_owner(point) for point in self._found.get(name, ())]
        owners = (["bridgeseg"] if name in self.builtin else []) + owners
        return f"{' and '.join(owners)} both bring the {self.kind} {name!r}" if len(owners) > 1 else None

    def _load(self, name: str) -> None:
        point = self._found[name][0]
        owner, fix = _owner(point), f"update or uninstall it: pip uninstall {_owner(point)}"
        try:
            point.load()
        except (Exception, SystemExit) as error:  # whatever the code of a package may raise
            raise ConfigError(
                f"{self.kind} {name!r} of the package {owner} cannot be loaded: {type(error).__name__}: {shown(error)}",
                fix=fix,
            ) from error
        if name not in self._values:
            raise ConfigError(
                f"the package {owner} announces the {self.kind} {name!r}, but {point.value} registers no such",
                fix=fix,
            )


def modules(package: str) -> dict[str, str]:
    """Map the modules of a package, by their own names, to their full names; those that begin with `_` are left out.

    Neither the package nor those around it are imported, but for the outermost.
    """
    top, *inner = package.split(".")
    spec = find_spec(top)
    roots = spec.submodule_search_locations if spec is not None else None
    places = [str(Path(root, *inner)) for root in roots or []]
    found = sorted(module.name for module in pkgutil.iter_modules(places))
    return {name: f"{package}.{name}" for name in found if not name.startswith("_")}


def _owner(point: Any) -> str:
    return str(point.dist.name) if point.dist is not None else str(point.value)
