"""What of an export is not taken, and what is taken otherwise than written: counted here, and all of it listed."""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from bridgeseg.files import replacing

SHOWN = 5
"""Of each kind, how many a report shows."""
CODES = {
    "not-recognised": "files that hold none of these labels",
    "no-image": "images that are not there",
    "image-unreadable": "images that cannot be read",
    "no-labels": "images that nobody labelled",
    "size": "images of another size than their labels",
    "bad-labels": "images whose labels cannot be used",
    "values": "images whose masks have values that are no class",
    "no-area": "shapes without an area",
    "box": "boxes around objects, which are no outlines",
    "outside": "objects that cover no pixel",
    "bad-shape": "objects that cannot be drawn",
    "no-class": "objects without a class",
    "class": "objects of classes that are not wanted",
    "several": "labels of other annotators, or second labels of one object or image",
}
"""Kinds of what is left out, and how a report calls them."""


class Ledger:
    """Puts down what is left out; the lines go to the disk, the counts stay."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, list[str]] = {}
        self.notes: Counter[str] = Counter()
        self._lines: Any = None

    def leave(self, code: str, name: str, why: str = "") -> None:
        """Put down that something is left out.

        Args:
            code: one of `CODES`.
            name: the image or file that it belongs to.
            why: what it is, or what is wrong with it.
        """
        self.counts[code] += 1
        shown = self.first.setdefault(code, [])
        if len(shown) < SHOWN:
            shown.append(f"{name}: {why}" if why else name)
        if self._lines is None:
            self._lines = tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace", newline="")  # noqa: SIM115
        csv.writer(self._lines).writerow((code, name, why))

    def note(self, text: str) -> None:
        """Count something that is good to know."""
        self.notes[text] += 1

    def write(self, path: Path) -> None:
        """Write all that is left out as CSV; nothing if there is none."""
        if self._lines is None:
            path.unlink(missing_ok=True)
            return
        with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            file.write("reason,name,what\r\n")
            self._lines.seek(0)
            while block := self._lines.read(1_000_000):
                file.write(block)
            self._lines.seek(0, 2)
