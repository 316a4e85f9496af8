"""What the doctor says: findings, and the report that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bridgeseg.errors import DataError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""error: training would stop or learn what is wrong; warning: probably not what you want; note: good to know."""

MOST_FILES = 20
"""Files that a finding names; `Finding.count` counts them all."""
FORMAT = 1
"""Version of the JSON form."""


@dataclass(frozen=True)
class Example:
    """Two pictures that show a problem.

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
        examples: what `--html` shows.
    """

    code: str
    severity: Severity
    message: str
    fix: str
    files: tuple[str, ...] = ()
    count: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[Example, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "fix": self.fix,
            "files": list(self.files),
            "count": self.count,
            "details": dict(self.details),
        }


@dataclass(frozen=True)
class Report:
    """The result of a check.

    Attributes:
        data: the data.yaml.
        pairs: split -> pairs of image and mask that were looked at.
        findings: errors first.
        classes: split -> class -> share of the labelled pixels (0..1); empty after a quick check.
        quick: whether it was a quick check.
        seconds: how long it took; no part of the comparison of two reports.
    """

    data: Path
    pairs: Mapping[str, int]
    findings: tuple[Finding, ...]
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    quick: bool = False
    seconds: float = field(default=0.0, compare=False)

    def of(self, severity: Severity) -> list[Finding]:
        """Return the findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def exit_code(self, *, strict: bool = False) -> int:
        """Return 2 if there are errors (with `strict`: or warnings), else 0."""
        return 2 if self.of("error") or (strict and self.of("warning")) else 0

    def raise_for_errors(self) -> None:
        """Raise the first error, if there is one, with the number of the others.

        Raises:
            DataError: there are errors.
        """
        errors = self.of("error")
        if errors:
            more = f" (and {len(errors) - 1} more errors: see `bridgeseg check`)" if len(errors) > 1 else ""
            raise DataError(errors[0].message + more, where=self.data, fix=errors[0].fix)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON-ready dict: the same for the same files, whatever the number of workers."""
        return {
            "format": FORMAT,
            "data": str(self.data),
            "quick": self.quick,
            "pairs": dict(self.pairs),
            "counts": {severity: len(self.of(severity)) for severity in SEVERITIES},
            "classes": {split: dict(shares) for split, shares in self.classes.items()},
            "findings": [finding.to_dict() for finding in self.findings],
        }


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings with the errors first, then in the order they were found."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def of_error(error: DataError, code: str, file: str, severity: Severity = "error") -> Finding:
    """Return an error of the readers as a finding."""
    return Finding(code, severity, error.message, error.fix or "correct it", (file,), 1)


def display(name: str) -> str:
    """Return a file name on one line: line breaks and control codes are written as escapes."""
    return name if name.isprintable() else repr(name)


def some(names: Sequence[str], most: int = 3) -> str:
    """Return the first names of a list and the number of the others, for messages."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(display(name) for name in names[:most]) + more


def number(count: int, thing: str, things: str | None = None) -> str:
    """Return `1 mask`, `2 masks`, `12,345 pixels`."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"
