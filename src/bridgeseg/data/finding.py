"""What is wrong with a dataset: a finding, which `check` collects and training raises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bridgeseg.errors import DataError
from bridgeseg.wording import printable

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""error: training would stop or learn what is wrong; warning: probably not what you want; note: good to know."""

MOST_FILES = 20
"""Files that a finding names; `Finding.count` counts them all."""


@dataclass(frozen=True)
class Illustration:
    """Two files that show a problem.

    Attributes:
        first: the image.
        second: its mask, or (of duplicates) the other image; None if there is none.
        values: mask values (or colours 0xRRGGBB, of a colour mask) to be marked.
        twin: whether `second` is an image.
    """

    first: Path
    second: Path | None
    values: frozenset[int] = frozenset()
    twin: bool = False


@dataclass(frozen=True)
class Finding:
    """One kind of problem, with everything that has it.

    Attributes:
        code: what it is, kebab-case; stays the same from version to version.
        severity: error, warning or note.
        message: what was found, in words and numbers.
        fix: what to do.
        files: at most `MOST_FILES` of the files concerned, below the dataset's root, in the order of the dataset.
        count: how many files are concerned.
        details: the numbers of the message for programs, JSON-ready; its keys depend on the code.
        illustrations: what `--html` shows.
        what: the message without the names of files.
    """

    code: str
    severity: Severity
    message: str
    fix: str
    files: tuple[str, ...] = ()
    count: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    illustrations: tuple[Illustration, ...] = field(default=(), repr=False)
    what: str = field(default="", repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        keys = ("code", "severity", "message", "fix", "files", "count", "details")
        return {**{key: getattr(self, key) for key in keys}, "files": list(self.files), "details": dict(self.details)}

    def error(self, where: Path) -> DataError:
        """Return the finding as the error that stops a run."""
        return DataError(self.message, where=where, fix=self.fix)


class FileError(DataError):
    """A file that cannot be used, with the `code` of its finding."""

    def __init__(self, code: str, message: str, *, where: str | Path | None = None, fix: str) -> None:
        super().__init__(message, where=where, fix=fix)
        self.code = code


def of_error(error: DataError, code: str, file: str) -> Finding:
    """Return an error of the readers as a finding."""
    return Finding(code, "error", error.message, error.fix or "correct it", (file,), 1)


def errors_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings with the errors first, then in the order they were found."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def some(names: Sequence[str], most: int = 3) -> str:
    """Return the first names of a list and the number of the others, for messages."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(printable(name) for name in names[:most]) + more


def number(count: int, thing: str, things: str | None = None) -> str:
    """Return `1 mask`, `2 masks`, `12,345 pixels`."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"
