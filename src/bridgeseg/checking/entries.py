"""The pairs of a dataset with what was found in them, and findings made of sets of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridgeseg.checking.examine import PairFacts
from bridgeseg.checking.report import MOST_FILES, Example, Finding, Severity, some
from bridgeseg.data.listing import Sample
from bridgeseg.data.spec import DataSpec

MOST_EXAMPLES = 3


@dataclass(frozen=True)
class Entry:
    """A pair of a split and what its files hold."""

    split: str
    sample: Sample
    facts: PairFacts


@dataclass(frozen=True)
class Dataset:
    """Everything that findings are made of.

    Attributes:
        spec: the data.yaml.
        entries: all pairs, split after split; a pair of two splits is there twice.
    """

    spec: DataSpec
    entries: Sequence[Entry]

    def name(self, path: Path) -> str:
        """Return a path below the root, with slashes."""
        return os.path.relpath(path, self.spec.root).replace(os.sep, "/")

    def images(self, entries: Sequence[Entry]) -> list[str]:
        """Return the names of the images, each once."""
        return list(dict.fromkeys(self.name(entry.sample.image) for entry in entries))

    def masks(self, entries: Sequence[Entry]) -> list[str]:
        """Return the names of the masks, each once."""
        return list(dict.fromkeys(self.name(entry.sample.mask) for entry in entries))

    def finding(
        self,
        code: str,
        severity: Severity,
        entries: Sequence[Entry],
        text: Callable[[int], str],
        fix: str,
        *,
        images: bool = False,
        details: dict[str, Any] | None = None,
        values: frozenset[int] = frozenset(),
    ) -> list[Finding]:
        """Return a finding about the masks (or the `images`) of `entries`; none if there are no entries.

        Args:
            code: of the finding.
            severity: of the finding.
            entries: the pairs concerned.
            text: number of files -> what is wrong with them; the first names are put behind it.
            fix: of the finding.
            images: name the images instead of the masks.
            details: of the finding.
            values: mask values or colours that pictures of the problem mark.
        """
        if not entries:
            return []
        files = self.images(entries) if images else self.masks(entries)
        shown = {entry.sample: None for entry in entries}
        examples = tuple(Example(sample.image, sample.mask, values) for sample in list(shown)[:MOST_EXAMPLES])
        message = f"{text(len(files))}: {some(files)}"
        return [Finding(code, severity, message, fix, tuple(files[:MOST_FILES]), len(files), details or {}, examples)]
