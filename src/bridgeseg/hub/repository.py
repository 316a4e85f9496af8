"""What repositories of the hub are called: `hf:OWNER/NAME`, or `hf:OWNER/NAME@REVISION`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from bridgeseg.errors import ConfigError
from bridgeseg.wording import shown

PREFIX = "hf:"
MAIN = "main"
ID = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
REVISION = re.compile(r"[A-Za-z0-9_][\w./-]*", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub(name: str | Path) -> bool:
    """Whether a name of a model is that of a repository; a file or folder that begins alike is named `./hf:...`."""
    return str(name).startswith(PREFIX)


@dataclass(frozen=True)
class Repository:
    """A repository at one of its revisions.

    Attributes:
        id: `OWNER/NAME`.
        revision: a branch, a tag, or a commit.
    """

    id: str
    revision: str = MAIN

    @classmethod
    def of(cls, name: str | Path) -> Repository:
        """Read a name, with `hf:` or without.

        Raises:
            ConfigError: it is none.
        """
        plain, at, revision = str(name).replace("\\", "/").removeprefix(PREFIX).partition("@")
        if not ID.fullmatch(plain):
            fix = "write OWNER/NAME, as in me/streets"
            raise ConfigError(f"{shown(plain)} is no OWNER/NAME", where=str(name), fix=fix)
        return cls(plain).at(revision) if at else cls(plain)

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which stays what it is."""
        return COMMIT.fullmatch(self.revision) is not None

    def at(self, revision: str) -> Repository:
        """Return it at another revision.

        Raises:
            ConfigError: no revision has this name.
        """
        if not REVISION.fullmatch(revision) or ".." in revision:
            message = f"{shown(revision)} is no name of a revision"
            raise ConfigError(message, where=str(self), fix=f"name a branch, a tag or a commit, as in {MAIN}")
        return replace(self, revision=revision)

    def __str__(self) -> str:
        return f"{PREFIX}{self.id}" + ("" if self.revision == MAIN else f"@{self.revision}")
