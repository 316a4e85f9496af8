"""Findings about palette PNGs whose palettes give the same colour another index."""

from __future__ import annotations

from collections import Counter

from bridgeseg.data.entries import Dataset, Entry
from bridgeseg.data.finding import Finding, number, some
from bridgeseg.data.values import colour_map_text, propose, value_map_text


def palette_findings(data: Dataset) -> list[Finding]:
    """Return a finding if indices do not mean the same class in every mask; none if `label_map` says what they mean."""
    if data.spec.label_map is not None or data.spec.colour_map is not None:
        return []
    order: dict[int, dict[int, list[Entry]]] = {}
    for entry in data.entries:
        for index, colour in entry.mask.palette.items():
            if colour not in entry.mask.repeated:
                order.setdefault(colour, {}).setdefault(index, []).append(entry)
    split = {colour: indices for colour, indices in order.items() if len(indices) > 1}
    if not split:
        return []
    colour, indices = next(iter(split.items()))
    groups = " and ".join(
        f"index {index} in {number(len(found), 'mask')} ({some(data.masks(found))})" for index, found in indices.items()
    )
    concerned = [entry for entry in data.entries if split.keys() & set(entry.mask.palette.values())]
    return data.finding(
        "palettes-differ",
        "error",
        concerned,
        f"the palettes of the masks differ: colour #{colour:06x} has {groups}, so that an index does not mean the same "
        "class in every file",
        f"read the masks by colour: {colour_map_text(class_of_colours(data), data.spec.classes)}; check the "
        "classes, they are those of most masks; or, if the indices are right and the colours are not: "
        f"{value_map_text({index: index for index in range(len(data.spec.classes))}, -1, [])}",
        details={"colours": {f"#{code:06x}": sorted(found) for code, found in split.items()}},
    )


def class_of_colours(data: Dataset) -> dict[int, int | None]:
    """Return the class id of each colour of the palettes: by their own, else by the index that most masks give."""
    votes: dict[int, Counter[int]] = {}
    for entry in data.entries:
        for index, colour in entry.mask.palette.items():
            votes.setdefault(colour, Counter())[index] += 1
    classes = data.spec.classes
    known = propose(votes, classes)
    if known and all(target is not None and target != classes.ignore_index for target in known.values()):
        return known
    allowed = {*range(len(classes)), classes.ignore_index}
    return {
        colour: next((index for index, _ in found.most_common() if index in allowed), None)
        for colour, found in votes.items()
    }
