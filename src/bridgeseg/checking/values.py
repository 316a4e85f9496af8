"""Findings about what masks hold: ids that are no class, ids from 1, 0/255, colours."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from bridgeseg.checking.entries import Dataset, Entry
from bridgeseg.checking.report import Finding, number
from bridgeseg.classes import ClassSet
from bridgeseg.data import findings

LISTED = 8
"""Values or colours that a message describes; `details` has more."""
DETAILED = 256
PROPOSED = 64
"""Entries of a proposed `label_map`."""
BLACK = 0


def value_findings(data: Dataset) -> list[Finding]:
    """Return the findings about mask values; they need classes whose names and `label_map` are right."""
    if data.spec.colour_map is not None:
        return _unknown_colours(data, data.spec.colour_map)
    ids = [entry for entry in data.entries if entry.facts.mask.values is not None]
    binary = [entry for entry in ids if is_binary(entry, data)]
    return [*_binary(data, binary, ids), *_ids(data, ids), *_colours(data)]


def known_values(data: Dataset) -> set[int]:
    """Return the values that a mask of ids may hold."""
    spec = data.spec
    known = range(len(spec.classes)) if spec.label_map is None else spec.label_map
    return {*known, spec.classes.ignore_index}


def is_binary(entry: Entry, data: Dataset) -> bool:
    """Return whether a mask holds 0 and 255 alone in a dataset of one or two classes, where 255 is rarely "ignore"."""
    told = data.spec.label_map is not None and 255 in data.spec.label_map
    return len(data.spec.classes) <= 2 and not told and set(entry.facts.mask.values or {}) == {0, 255}


def off_by_one(data: Dataset) -> bool:
    """Return whether the only strange value in all masks is the number of classes: ids then start at 1."""
    if data.spec.label_map is not None or data.spec.colour_map is not None:
        return False
    strange = {value for entry in data.entries for value in entry.facts.mask.values or {}} - known_values(data)
    return strange == {len(data.spec.classes)}


def propose(colours: Mapping[int, int], classes: ClassSet) -> dict[int, int | None]:
    """Return the class id (or ignore index) of each colour by the palette, None where it does not tell.

    Black that is no class's colour is the class `background` if there is one, else "ignore", as in most datasets.
    """
    known = {red << 16 | green << 8 | blue: index for index, (red, green, blue) in enumerate(classes.palette)}
    lower = [name.lower() for name in classes.names]
    known.setdefault(BLACK, lower.index("background") if "background" in lower else classes.ignore_index)
    return {colour: known.get(colour) for colour in colours}


def label_map_text(proposed: Mapping[int, int | None], classes: ClassSet) -> str:
    """Return a `label_map` of colours as YAML on one line, with CLASS where a person must say."""
    names = [json.dumps(name) for name in classes.names]
    words = {
        colour: "CLASS" if target is None else "null" if target == classes.ignore_index else names[target]
        for colour, target in proposed.items()
    }
    entries = [f'"#{colour:06x}": {word}' for colour, word in list(words.items())[:PROPOSED]]
    return f"label_map: {{{', '.join(entries)}{', ...' if len(words) > PROPOSED else ''}}}"


def _binary(data: Dataset, binary: Sequence[Entry], ids: Sequence[Entry]) -> list[Finding]:
    sample = np.array([0, 255], np.uint8)
    found = data.finding(
        "masks-binary",
        "error",
        binary,
        lambda count: f"{number(count, 'mask')} of {len(ids):,} hold only 0 and 255, and 255 would mean 'ignore'",
        f"{findings.binary_mask(data.spec.path, sample, data.spec).fix}; or write 0/1 masks with --fix-masks DIR",
        values=frozenset({255}),
    )
    values = {value for entry in ids for value in entry.facts.mask.values or {}}
    if values == {0, 255} and len(data.spec.classes) > 2:
        name = data.spec.classes.names[0] if data.spec.label_map is None else "0"
        found += data.finding(
            "masks-only-0-255",
            "warning",
            ids,
            lambda count: f"all {number(count, 'mask')} hold only 0 ({name}) and 255 (ignore)",
            "if 255 is an object, map it: label_map: {0: CLASS, 255: CLASS}",
            values=frozenset({255}),
        )
    return found


def _ids(data: Dataset, ids: Sequence[Entry]) -> list[Finding]:
    known, spec = known_values(data), data.spec
    strange = [entry for entry in ids if not known.issuperset(entry.facts.mask.values or {})]
    pixels, masks = Counter[int](), Counter[int]()
    files: dict[int, list[Entry]] = {}
    for entry in strange:
        for value, count in (entry.facts.mask.values or {}).items():
            if value not in known:
                pixels[value] += count
                masks[value] += 1
                if len(files.setdefault(value, [])) < LISTED:
                    files[value].append(entry)
    order = sorted(pixels)
    described = _cut(
        [f"{value} ({number(pixels[value], 'pixel')} in {number(masks[value], 'mask')})" for value in order]
    )
    proposal = findings.bad_values(spec.path, np.array(order or [0], np.int64), spec).fix or ""
    details = {
        "values": {
            str(value): {"pixels": pixels[value], "masks": masks[value], "files": data.masks(files[value])}
            for value in order[:DETAILED]
        }
    }
    code, allowed = "ids-outside-classes", f"0..{len(spec.classes) - 1}, and {spec.classes.ignore_index} for ignore"
    if spec.label_map is not None:
        code, allowed = "values-not-mapped", "what `label_map` lists"
    if off_by_one(data):
        code, zero = "ids-off-by-one", sum((entry.facts.mask.values or {}).get(0, 0) for entry in ids)
        allowed += f"; ids seem to start at 1 ({number(zero, 'pixel')} of 0)"
        proposal += "; or write masks with ids from 0 with --fix-masks DIR"
    return data.finding(
        code,
        "error",
        strange,
        lambda count: f"{number(count, 'mask')} of {len(ids):,} hold {described}; allowed: {allowed}",
        proposal,
        details=details,
        values=frozenset(order),
    )


def _colours(data: Dataset) -> list[Finding]:
    """Masks of colours in a dataset whose `label_map` lists none."""
    coloured = [entry for entry in data.entries if entry.facts.mask.colours is not None]
    colours = total_colours(coloured)
    proposed, classes = propose(colours, data.spec.classes), data.spec.classes
    many = max((entry.facts.mask.more for entry in coloured), default=0)
    unknown = sum(target is None for target in proposed.values())
    fix = f"say in data.yaml what the colours mean (null = ignore): {label_map_text(proposed, classes)}"
    if many or len(colours) > PROPOSED:
        fix = f"smooth edges or a lossy format made new colours: export the masks again without them; {fix}"
    else:
        fix += "; or give the classes' colours as `palette` and write masks of ids with --fix-masks DIR"
    return data.finding(
        "masks-colour",
        "error",
        coloured,
        lambda count: (
            f"{number(count, 'mask')} of {len(data.entries):,} hold colours ({_described(colours)}), of which the "
            f"palette tells {len(colours) - unknown:,} of {len(colours):,}{' or more' if many else ''}"
        ),
        fix,
        details={
            "colours": {f"#{code:06x}": count for code, count in list(colours.items())[:DETAILED]},
            "label_map": {
                f"#{code:06x}": None if target == classes.ignore_index else classes.names[target]
                for code, target in list(proposed.items())[:DETAILED]
                if target is not None
            },
        },
        values=frozenset(colours),
    )


def _unknown_colours(data: Dataset, table: Mapping[int, int]) -> list[Finding]:
    strange = [entry for entry in data.entries if not table.keys() >= (entry.facts.mask.colours or {}).keys()]
    colours = {code: count for code, count in total_colours(strange).items() if code not in table}
    entries = ", ".join(f'"#{code:06x}": null' for code in list(colours)[:LISTED])
    return data.finding(
        "colours-not-mapped",
        "error",
        strange,
        lambda count: f"{number(count, 'mask')} hold colours that `label_map` does not list: {_described(colours)}",
        f"add them to label_map (null = ignore): {entries}",
        details={"colours": {f"#{code:06x}": count for code, count in list(colours.items())[:DETAILED]}},
        values=frozenset(colours),
    )


def total_colours(entries: Sequence[Entry]) -> dict[int, int]:
    """Return the pixels of each colour in all masks of colours, the most frequent first."""
    total = Counter[int]()
    for entry in entries:
        total.update(entry.facts.mask.colours or {})
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _described(colours: Mapping[int, int]) -> str:
    return _cut([f"#{code:06x} {number(count, 'pixel')}" for code, count in colours.items()])


def _cut(items: Sequence[str]) -> str:
    return ", ".join(items[:LISTED]) + (f" and {len(items) - LISTED:,} more" if len(items) > LISTED else "")
