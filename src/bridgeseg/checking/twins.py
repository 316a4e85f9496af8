"""Findings about images that are there twice: the same file in two splits, and near-duplicates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from bridgeseg.checking.fingerprint import pairs_across
from bridgeseg.data.entries import MOST_ILLUSTRATIONS, Dataset, Entry
from bridgeseg.data.finding import MOST_FILES, Finding, Illustration, Severity, number
from bridgeseg.wording import printable

MANY = 0.05
"""Share of a split whose images have near-duplicates in another, above which that is a warning, not a note."""


def twin_findings(data: Dataset) -> list[Finding]:
    """Return the findings about equal and nearly equal images."""
    by_digest: dict[bytes, list[Entry]] = defaultdict(list)
    for entry in data.entries:
        if entry.image.digest:
            by_digest[entry.image.digest].append(entry)
    same = [entries for entries in by_digest.values() if len(entries) > 1]
    across = [pair for entries in same for pair in _across(entries)]
    inside = [pair for entries in same for pair in _inside(entries)]
    learned = [pair for pair in across if "train" in {entry.split for entry in pair}]
    others = [pair for pair in across if "train" not in {entry.split for entry in pair}]
    fix = "keep every image in one split: scores on images that were trained on mean nothing"
    return [
        *_finding(data, "duplicate-across-splits", "error", learned, "also in another split", fix),
        *_finding(data, "duplicate-across-splits", "warning", others, "also in another split", fix),
        *_finding(data, "duplicate-in-split", "note", inside, "twice in a split", "remove one of each"),
        *_near(data, across),
    ]


Pairs = Sequence[tuple[Entry, Entry]]


def _across(entries: Sequence[Entry]) -> Pairs:
    """Return for each entry after the first split's the first entry of an earlier split."""
    found, first = [], dict[str, Entry]()
    for entry in entries:
        earlier = next((other for split, other in first.items() if split != entry.split), None)
        if earlier is not None:
            found.append((earlier, entry))
        first.setdefault(entry.split, entry)
    return found


def _inside(entries: Sequence[Entry]) -> Pairs:
    first: dict[str, Entry] = {}
    return [(first[entry.split], entry) for entry in entries if first.setdefault(entry.split, entry) is not entry]


def _near(data: Dataset, exact: Pairs) -> list[Finding]:
    entries = [entry for entry in data.entries if entry.image.look is not None]
    numbers = {split: index for index, split in enumerate(dict.fromkeys(entry.split for entry in entries))}
    prints = [(numbers[entry.split], look) for entry in entries if (look := entry.image.look) is not None]
    known = {second.sample.image for _, second in exact}
    chosen: dict[Path, tuple[Entry, Entry]] = {}
    for one, other in pairs_across(prints):
        if (image := entries[other].sample.image) not in known:
            chosen.setdefault(image, (entries[one], entries[other]))
    sizes = Counter(entry.split for entry in data.entries)
    concerned = Counter(second.split for _, second in chosen.values())
    many = any(count > MANY * sizes[split] for split, count in concerned.items())
    fix = "split by scene or by recording, not by frame; neighbouring frames of a video always look alike"
    text = "nearly like one of another split"
    severity: Severity = "warning" if many else "note"
    return _finding(data, "near-duplicates-across-splits", severity, list(chosen.values()), text, fix)


def _finding(data: Dataset, code: str, severity: Severity, pairs: Pairs, text: str, fix: str) -> list[Finding]:
    """Return a finding about the second images of `pairs`, with the first ones beside them."""
    if not pairs:
        return []
    names = [(data.name(first.sample.image), data.name(second.sample.image)) for first, second in pairs]
    files = list(dict.fromkeys(name for _, name in names))
    between = Counter(f"{first.split}/{second.split}" for first, second in pairs)
    listed = ", ".join(f"{count:,} {where}" for where, count in between.items())
    shown = "; ".join(f"{printable(other)} = {printable(name)}" for name, other in names[:2])
    more = f"; and {len(names) - 2:,} more" if len(names) > 2 else ""
    return [
        Finding(
            code,
            severity,
            f"{number(len(files), 'image')} {text} ({listed}): {shown}{more}",
            fix,
            tuple(files[:MOST_FILES]),
            len(files),
            {"between": dict(between), "pairs": [list(pair) for pair in names[:MOST_FILES]]},
            tuple(
                Illustration(first.sample.image, second.sample.image, twin=True)
                for first, second in pairs[:MOST_ILLUSTRATIONS]
            ),
        )
    ]
