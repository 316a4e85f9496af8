"""What a check says: the findings and what they were found in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridgeseg.checking.disputes import Disputes
from bridgeseg.data.finding import SEVERITIES, Finding, Severity
from bridgeseg.errors import DataError

FORMAT = 1
"""Version of the JSON form."""


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
        others: further datasets that were looked at together with it; splits are then called `NAME: SPLIT`.
        disputes: the labels that a model disputes; None if no model was asked.
    """

    data: Path
    pairs: Mapping[str, int]
    findings: tuple[Finding, ...]
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    quick: bool = False
    seconds: float = field(default=0.0, compare=False)
    others: tuple[Path, ...] = ()
    disputes: Disputes | None = None

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
            **({"others": [str(path) for path in self.others]} if self.others else {}),
            "quick": self.quick,
            "pairs": dict(self.pairs),
            "counts": {severity: len(self.of(severity)) for severity in SEVERITIES},
            "classes": {split: dict(shares) for split, shares in self.classes.items()},
            "findings": [finding.to_dict() for finding in self.findings],
            **({} if self.disputes is None else {"disputes": self.disputes.to_dict()}),
        }
