"""What a search of folders passes over, counted and said."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from bridgeseg.images import HEIF, HEIF_FIX
from bridgeseg.wording import printable

MOST_ENDINGS = 8
"""Endings of files left out that are named."""
SYSTEM = frozenset({"@eaDir", "#recycle", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
"""Folders that network storage, archives and file systems put beside images, thumbnails in them."""


@dataclass
class LeftOut:
    """What a search of folders passed over.

    Attributes:
        hidden: folders that are hidden or hold no images of the user's (thumbnails, notebooks' checkpoints).
        results: results of earlier runs.
        kinds: ending -> how many files of other kinds have it, and the first of their names.
    """

    hidden: int = 0
    results: int = 0
    kinds: dict[str, tuple[int, str]] = field(default_factory=dict)

    def count(self, name: str, more: int = 1) -> None:
        """Count a file of another kind."""
        before, first = self.kinds.get(ending := suffix(name) or "no ending", (0, name))
        self.kinds[ending] = (before + more, min(first, name))

    def add(self, other: LeftOut) -> None:
        """Count what another search passed over."""
        self.hidden, self.results = self.hidden + other.hidden, self.results + other.results
        for ending, (count, name) in other.kinds.items():
            before, first = self.kinds.get(ending, (0, name))
            self.kinds[ending] = (before + count, min(first, name))

    def lines(self) -> list[str]:
        """Say it, the most frequent endings first."""
        lines = []
        if self.kinds:
            endings = sorted(self.kinds, key=lambda ending: (-self.kinds[ending][0], self.kinds[ending][1]))
            files = counted(sum(count for count, _ in self.kinds.values()), "file")
            more = ", ..." if len(endings) > MOST_ENDINGS else ""
            lines.append(f"{files} of other kinds left out: {', '.join(map(printable, endings[:MOST_ENDINGS]))}{more}")
            if HEIF & set(endings):
                lines.append(f"{' and '.join(sorted(HEIF & set(endings)))} can be read after: {HEIF_FIX}")
        if self.results:
            lines.append(f"{counted(self.results, 'result')} of earlier runs left out")
        if self.hidden:
            lines.append(f"{counted(self.hidden, 'hidden folder')} passed over")
        return lines


def counted(number: int, what: str) -> str:
    """Return a number with what it counts: `2 files`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over by searches: hidden, or made by a system beside a user's images."""
    return name.startswith(".") or name in SYSTEM


def suffix(name: str) -> str:
    """Return the ending of a file's name, in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path for each of a million names takes its time)
