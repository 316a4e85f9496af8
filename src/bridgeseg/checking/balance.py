"""Findings about classes over whole splits: absent ones, uneven shares, too little that is labelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.data.entries import Dataset, Entry
from bridgeseg.data.finding import Finding, number, some
from bridgeseg.data.values import value_table
from bridgeseg.wording import printable

UNEVEN, WILDLY_UNEVEN = 100, 1000
"""The largest class has so many times the pixels of the smallest: a note, a warning."""
MOSTLY_IGNORED = 0.5

Counts = Mapping[str, NDArray[np.int64]]
"""Split -> (K + 1,) pixels of each class, ignored ones last."""


def count_classes(data: Dataset) -> dict[str, NDArray[np.int64]]:
    """Return the pixels of each class in every split; values that are no class are left out."""
    classes = data.spec.classes
    total = {entry.split: np.zeros(len(classes) + 1, np.int64) for entry in data.entries}
    table = value_table(data.spec, 65536)
    for entry in data.entries:
        for index, pixels in _classes(entry, data, table):
            total[entry.split][min(index, len(classes))] += pixels
    return total


def _classes(entry: Entry, data: Dataset, table: NDArray[np.int32]) -> list[tuple[int, int]]:
    mask = entry.mask
    if data.spec.colour_map is not None:
        colours = data.spec.colour_map
        return [(colours[code], pixels) for code, pixels in (mask.colours or {}).items() if code in colours]
    known = ((value, pixels) for value, pixels in (mask.values or {}).items() if -1 <= value < len(table) - 1)
    return [(int(table[value]), pixels) for value, pixels in known if table[value] >= 0]


def shares(counts: Counts, data: Dataset) -> dict[str, dict[str, float]]:
    """Return the share of every class among the labelled pixels of each split, rounded to six digits."""
    return {
        split: {
            name: round(float(pixels[index] / max(1, pixels[:-1].sum())), 6)
            for index, name in enumerate(data.spec.classes.names)
        }
        for split, pixels in counts.items()
    }


def class_findings(data: Dataset, counts: Counts) -> list[Finding]:
    """Return the findings about classes."""
    found = _unlabelled(data, counts)
    labelled = {split: pixels for split, pixels in counts.items() if pixels[:-1].any()}
    if labelled:
        found += _absent(data, labelled)
        split = "train" if "train" in labelled else next(iter(labelled))
        found += _uneven(data, split, labelled[split])
    return found


def single_class(data: Dataset) -> list[Finding]:
    """Say so if there is one class: every pixel then has it, whatever the image shows."""
    names = data.spec.classes.names
    if len(names) > 1:
        return []
    message = f"there is one class, {printable(names[0])!r}: every pixel is given it, and nothing can be learned"
    fix = "add the rest as a class of its own, such as `background`, with an id in the masks"
    return [Finding("class-single", "warning", message, fix)]


def _absent(data: Dataset, counts: Counts) -> list[Finding]:
    names = data.spec.classes.names
    absent = {split: {names[index] for index in np.flatnonzero(pixels[:-1] == 0)} for split, pixels in counts.items()}
    nowhere = set.intersection(*absent.values())
    found = []
    if nowhere:
        message = f"{number(len(nowhere), 'class', 'classes')} of {len(names)} never occur: {_named(nowhere, names)}"
        fix = "remove them from `names`, or check that the masks hold the ids that you mean"
        details: dict[str, Any] = {"split": None, "classes": [name for name in names if name in nowhere]}
        found.append(Finding("class-absent", "warning", message, fix, details=details))
    for split, missing in absent.items():
        if missing - nowhere:
            only = missing - nowhere
            message = (
                f"{split}: {number(len(only), 'class', 'classes')} of {len(names)} never occur there but elsewhere: "
                f"{_named(only, names)}"
            )
            fix = "they cannot be learned" if split == "train" else "they are not scored there"
            details = {"split": split, "classes": [name for name in names if name in only]}
            severity = "warning" if split == "train" else "note"
            fix += ": move images that show them into this split"
            found.append(Finding("class-absent", severity, message, fix, details=details))  # type: ignore[arg-type]
    return found


def _named(chosen: set[str], names: tuple[str, ...]) -> str:
    return some([printable(name) for name in names if name in chosen], 8)


def _uneven(data: Dataset, split: str, pixels: NDArray[np.int64]) -> list[Finding]:
    names, classes = data.spec.classes.names, pixels[:-1]
    present = np.flatnonzero(classes)
    most, least = int(present[classes[present].argmax()]), int(present[classes[present].argmin()])
    ratio = float(classes[most] / classes[least])
    if ratio < UNEVEN:
        return []
    share = classes / classes.sum()
    message = (
        f"{split}: {names[most]!r} has {ratio:,.0f} times the pixels of {names[least]!r} "
        f"({share[most]:.2%} and {share[least]:.3%} of the labelled pixels)"
    )
    fix = "train with crops around rare classes: --set augment.rare_class_prob=0.25"
    details = {"split": split, "ratio": round(ratio, 1), "largest": names[most], "smallest": names[least]}
    severity = "warning" if ratio >= WILDLY_UNEVEN else "note"
    return [Finding("class-shares-uneven", severity, message, fix, details=details)]  # type: ignore[arg-type]


def _unlabelled(data: Dataset, counts: Counts) -> list[Finding]:
    ignore, table = data.spec.classes.ignore_index, value_table(data.spec, 65536)
    empty = [
        entry
        for entry in data.entries
        if (classes := _classes(entry, data, table)) and all(index == ignore for index, _ in classes)
    ]
    found = data.finding(
        "mask-all-ignored",
        "warning",
        empty,
        "every pixel of the mask is 'ignore'",
        "nothing is learned from them: label or remove them",
    )
    for split, pixels in counts.items():
        total, ignored = int(pixels.sum()), int(pixels[-1])
        if total and ignored == total:
            message, fix = f"{split}: not one pixel is labelled", "check `label_map` and the masks' values"
            found.append(Finding("nothing-labelled", "error", message, fix, details={"split": split}))
        elif total and ignored / total > MOSTLY_IGNORED:
            message = f"{split}: {ignored / total:.1%} of the pixels are 'ignore'"
            details = {"split": split, "share": round(ignored / total, 6)}
            fix = "check that `label_map` maps what you mean to classes"
            found.append(Finding("mostly-ignored", "note", message, fix, details=details))
    return found
