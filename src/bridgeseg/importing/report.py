"""What came of an import: counts of classes, overlaps, and all that was left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bridgeseg.data.exports import TITLES
from bridgeseg.data.finding import number
from bridgeseg.importing.draw import Drawn, Rules
from bridgeseg.importing.ledger import CODES, SHOWN, Ledger
from bridgeseg.wording import printable

LEFT_OUT = "left-out.csv"


@dataclass(frozen=True)
class ClassCount:
    """How much there is of a class: objects that were drawn, images that show it, pixels of masks."""

    objects: int
    images: int
    pixels: int


@dataclass(frozen=True)
class Imported:
    """What an import made.

    Attributes:
        data: the data.yaml.
        form: the form of the export.
        counts: split -> images.
        files: how many images were `linked`, `hard-linked`, `copied`, `written` or `kept`, and how many masks `drawn`
            or `kept`.
        classes: class -> how much there is of it.
        overlap: which of two objects is in front.
        over: objects that lie over another class.
        covered: pixels of objects that another class lies over.
        clipped: objects that reach out of their image.
        unlabelled: what pixels under no object are; None if masks say it of every pixel.
        left_out: kind -> how many; the keys are those of `ledger.CODES`.
        examples: kind -> the first of them; `left-out.csv` beside the data.yaml has all.
        notes: what was reinterpreted, and how often.
        val_share: of the training images, what a training keeps for validation; 0 where there are others for that.
    """

    data: Path
    form: str
    counts: dict[str, int]
    files: dict[str, int]
    classes: dict[str, ClassCount]
    overlap: str
    over: int
    covered: int
    clipped: int
    unlabelled: str | None
    left_out: dict[str, int]
    examples: dict[str, list[str]]
    notes: dict[str, int]
    val_share: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        return {**asdict(self), "data": str(self.data)}

    def text(self) -> str:
        """Return the report in lines."""
        return "\n".join(map(printable, self._lines()))

    def _lines(self) -> Iterator[str]:
        counts = ", ".join(f"{split} {count:,}" for split, count in self.counts.items())
        files = ", ".join(f"{count:,} {way}" for way, count in self.files.items())
        yield f"{self.data}: {counts} ({files})"
        if self.val_share:
            yield f"no images for validation: a training keeps {self.val_share:.0%} of train (`val_share` in data.yaml)"
        yield f"form: {TITLES[self.form]}"
        if self.unlabelled is not None:
            yield f"pixels under no object: {self.unlabelled}"
        total = max(1, sum(count.pixels for count in self.classes.values()))
        width = max(map(len, self.classes))
        for name, count in self.classes.items():
            drawn = f"{number(count.objects, 'object')}, " if count.objects else ""
            yield f"  {name:<{width}}  {drawn}{number(count.images, 'image')}, {count.pixels / total:.1%}"
        if lacking := [name for name, count in self.classes.items() if not count.pixels and name != "background"]:
            yield f"classes without a pixel: {', '.join(lacking)}"
        if self.over:
            front = "the later one is in front" if self.overlap == "later" else "the smaller one is in front"
            pixels = number(self.covered, "pixel")
            yield f"overlaps: {number(self.over, 'object')} over another class ({pixels}; {front})"
        if self.clipped:
            yield f"cut at the border: {number(self.clipped, 'object')}"
        for code, left in self.left_out.items():
            more = "; ..." if left > SHOWN else ""
            yield f"left out: {left:,} {CODES[code]}: {'; '.join(self.examples[code])}{more}"
        if self.left_out:
            yield f"all that was left out: {self.data.with_name(LEFT_OUT)}"
        yield from (f"note: {note} ({count:,})" for note, count in self.notes.items())


class Tally:
    """Adds up what became of image after image."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.files: Counter[str] = Counter()
        self._objects: Counter[str] = Counter()
        self._images: Counter[str] = Counter()
        self._pixels: Counter[str] = Counter()
        self._over = self._covered = self._clipped = 0

    def add(self, split: str, name: str, found: Drawn, ledger: Ledger) -> None:
        """Count one image."""
        self.counts[split] += 1
        self._objects.update(found.objects)
        self._pixels.update(found.pixels)
        self._images.update(found.pixels.keys())
        self._over += found.over
        self._covered += found.covered
        self._clipped += found.clipped
        for code, what in found.lost:
            ledger.leave(code, name, what)
        for note in found.notes:
            ledger.note(note)

    def report(
        self, data: Path, form: str, rules: Rules, unlabelled: str | None, ledger: Ledger, val_share: float
    ) -> Imported:
        """Return the report."""
        classes = {
            name: ClassCount(self._objects[name], self._images[name], self._pixels[name])
            for name in rules.classes.names
        }
        splits = {split: self.counts[split] for split in ("train", "val", "test") if self.counts[split]}
        return Imported(
            data, form, splits, dict(self.files), classes, rules.overlap, self._over, self._covered, self._clipped,
            unlabelled, dict(ledger.counts), ledger.first, dict(ledger.notes), val_share,
        )  # fmt: skip


def remembered(text: str | None, stamp: str) -> Drawn | None:
    """Return what a mask says of how it was made, if it was made of the same labels by the same rules."""
    try:
        known = json.loads(text or "")
        if known.pop("stamp") != stamp:
            return None
        found = Drawn(**known)
        found.lost = [(str(code), str(what)) for code, what in found.lost if code in CODES]
        return found
    except (ValueError, TypeError, AttributeError, KeyError):
        return None
