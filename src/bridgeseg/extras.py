"""Packages of an extra that are missing: said with the command that installs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "bridgeseg"):
            raise
        raise MissingDependencyError(
            f"this needs the package {missing!r}, which is not installed", fix=f"pip install 'bridgeseg[{name}]'"
        ) from error
