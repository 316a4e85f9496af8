"""Packages of an extra that are missing: said with the command that installs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from bridgeseg.errors import MissingDependencyError


@contextmanager
def extra(name: str = "train") -> Iterator[None]:
    """Import within this what an extra installs.

    Raises:
        MissingDependencyError: a package of the extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "bridgeseg"):
            raise
        raise _missing(package, name) from error


def require(package: str, name: str | None) -> None:
    """Refuse to begin without a package that an extra installs; it is not imported.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if find_spec(package) is None:
        raise _missing(package, name)


def _missing(package: str, name: str | None) -> MissingDependencyError:
    """Return the error of a package that is missing, and the extra that installs it; None if none does."""
    message = f"this needs the package {package!r}, which is not installed"
    fix = f"pip install {package}" if name is None else f"pip install 'bridgeseg[{name}]'"
    return MissingDependencyError(message, fix=fix)
