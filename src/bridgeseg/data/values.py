"""Findings about what masks hold: ids that are no class, ids from 1, 0/255, colours.

The lines that their fixes propose are valid YAML: pasted into the data.yaml, they make the masks readable.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bridgeseg.classes import ClassSet
from bridgeseg.data.entries import Dataset, Entry
from bridgeseg.data.finding import Finding, number
from bridgeseg.data.spec import DataSpec
from bridgeseg.wording import printable

LISTED = 8
"""Values or colours that a message describes; `details` has more."""
DETAILED = 256
PROPOSED = 64
"""Entries of a proposed `label_map`."""
BLACK = 0
BLENDED = 0.3
"""Share of the masks with a value, in which it is a blend of others, from which that is said."""


def value_findings(data: Dataset) -> list[Finding]:
    """Return the findings about mask values; they need classes whose names and `label_map` are right."""
    if data.spec.colour_map is not None:
        return _unknown_colours(data, data.spec.colour_map)
    ids = [entry for entry in data.entries if entry.mask.values is not None]
    return [*_binary(data, ids), *_ids(data, ids), *_colours(data), *_blended(data, ids)]


def value_table(spec: DataSpec, length: int) -> NDArray[np.int32]:
    """Return the class id (or ignore index) of every mask value below `length`, -1 where a value is not allowed.

    One more entry, the last one, is that of the value -1: NumPy finds it there.
    """
    table = np.full(length + 1, -1, dtype=np.int32)
    for value, target in ({spec.classes.ignore_index: spec.classes.ignore_index} | known_values(spec)).items():
        if value < length:
            table[value] = target
    return table


def known_values(spec: DataSpec) -> dict[int, int]:
    """Return mask value -> class id (or ignore index) of masks of ids; they may hold the ignore index too."""
    return {index: index for index in range(len(spec.classes))} if spec.label_map is None else spec.label_map


def may_be_binary(spec: DataSpec) -> bool:
    """Return whether masks of 0 and 255 alone are background and object: 255 is rarely "ignore" of two classes."""
    return len(spec.classes) <= 2 and not (spec.label_map is not None and 255 in spec.label_map)


def is_binary(entry: Entry, data: Dataset) -> bool:
    """Return whether a mask holds 0 and 255 alone in a dataset of one or two classes."""
    return may_be_binary(data.spec) and set(entry.mask.values or {}) == {0, 255}


def off_by_one(data: Dataset) -> bool:
    """Return whether the only strange value in all masks is the number of classes: ids then start at 1.

    Not so where 0 occurs and is the background by name: then the last class was forgotten.
    """
    if data.spec.label_map is not None or data.spec.colour_map is not None:
        return False
    allowed = {*known_values(data.spec), data.spec.classes.ignore_index}
    strange = {value for entry in data.entries for value in entry.mask.values or {}} - allowed
    counted = "background" in data.spec.classes.names[0].lower() and any(
        0 in (e.mask.values or {}) for e in data.entries
    )
    return strange == {len(data.spec.classes)} and not counted


def blended_in(data: Dataset) -> frozenset[int]:
    """Return the values that smooth resizing seems to have made: in many masks they lie on edges alone."""
    holding = Counter(value for entry in data.entries for value in entry.mask.values or {})
    doubted = Counter(value for entry in data.entries for value in entry.mask.blended)
    return frozenset(value for value, count in doubted.items() if count >= BLENDED * holding[value])


def propose(colours: Iterable[int], classes: ClassSet) -> dict[int, int | None]:
    """Return the class id (or ignore index) of each colour by the palette, None where it does not tell.

    Black that is no class's colour is the class `background` if there is one, else "ignore", as in most datasets.
    """
    known = {red << 16 | green << 8 | blue: index for index, (red, green, blue) in enumerate(classes.palette)}
    lower = [name.lower() for name in classes.names]
    known.setdefault(BLACK, lower.index("background") if "background" in lower else classes.ignore_index)
    return {colour: known.get(colour) for colour in colours}


def total_colours(entries: Sequence[Entry]) -> dict[int, int]:
    """Return the pixels of each colour in all masks of colours, the most frequent first."""
    total = Counter[int]()
    for entry in entries:
        total.update(entry.mask.colours or {})
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _binary(data: Dataset, ids: Sequence[Entry]) -> list[Finding]:
    classes, names = data.spec.classes, [json.dumps(name) for name in data.spec.classes.names]
    binary = [entry for entry in ids if is_binary(entry, data)]
    share = sum((e.mask.values or {})[255] for e in binary) / max(
        1, sum(sum((e.mask.values or {}).values()) for e in binary)
    )
    mapped = f'names: ["background", {names[0]}] and label_map: {{0: 0, 255: 1}}'
    if len(names) > 1:
        mapped = f"label_map: {{0: {names[0]}, 255: {names[1]}}}"
    found = data.finding(
        "masks-binary",
        "error",
        binary,
        f"the masks look binary: they hold only 0 and 255 ({share:.1%} of the pixels), and 255 would mean 'ignore'",
        f"write 0/1 masks with `bridgeseg check --fix-masks DIR`; or if 255 is the object, write in "
        f"data.yaml {mapped}; if 255 is to be "
        f"ignored, say so: {value_map_text({index: index for index in range(len(names))}, 255, [255])}",
        values=frozenset({255}),
    )
    values = {value for entry in ids for value in entry.mask.values or {}}
    if values == {0, 255} and len(classes) > 2 and not (data.spec.label_map is not None and 255 in data.spec.label_map):
        name = classes.names[0] if data.spec.label_map is None else "0"
        known = known_values(data.spec)
        found += data.finding(
            "masks-only-0-255",
            "warning",
            ids,
            f"all masks hold only 0 ({name}) and 255 (ignore)",
            "if 255 is an object, map it, with the name of its class in place of CLASS: label_map: {0: 0, 255: CLASS}; "
            f"if it is to be ignored, say so: {value_map_text(known, classes.ignore_index, [255])}",
            values=frozenset({255}),
        )
    return found


def _ids(data: Dataset, ids: Sequence[Entry]) -> list[Finding]:
    spec, count, ignore = data.spec, len(data.spec.classes), data.spec.classes.ignore_index
    known = known_values(spec)
    allowed = {*known, ignore}
    strange = [entry for entry in ids if not allowed.issuperset(entry.mask.values or {})]
    pixels, holding = Counter[int](), dict[int, list[Entry]]()
    for entry in strange:
        for value in (entry.mask.values or {}).keys() - allowed:
            pixels[value] += (entry.mask.values or {})[value]
            holding.setdefault(value, []).append(entry)
    order = sorted(pixels)
    listing = _cut([f"{value} ({number(pixels[value], 'pixel')}{_among(holding[value], ids)})" for value in order])
    if spec.label_map is not None:
        code, what = "values-not-mapped", f"masks hold values that `label_map` does not list: {listing}"
        fix = f"list them too: {value_map_text(known, ignore, order)} (null = ignore)"
    else:
        code, what = (
            "ids-outside-classes",
            f"masks hold values that are no class id: {listing}; allowed: 0..{count - 1}",
        )
        what += f", and {ignore} for ignore"
        fix = f"name the missing classes in `names`, or ignore these: {value_map_text(known, ignore, order)}"
    if off_by_one(data):
        zeros = sum((entry.mask.values or {}).get(0, 0) for entry in ids)
        code, what = "ids-off-by-one", f"{what}; ids seem to start at 1 ({number(zeros, 'pixel')} of 0)"
        fix = "if ids start at 1 and 0 is unlabelled, write masks with ids from 0 with "
        fix += "`bridgeseg check --fix-masks DIR`, or write in "
        fix += f"data.yaml: {value_map_text({index + 1: index for index in range(count)}, ignore, [0])}"
    elif len(order) > LISTED or min(order, default=0) < -1:
        fix = "is this a mask of class ids? map its values in data.yaml: label_map: {VALUE: CLASS, ...}"
    details = {
        str(value): {
            "pixels": pixels[value],
            "masks": len(holding[value]),
            "files": data.masks(holding[value][:LISTED]),
        }
        for value in order[:DETAILED]
    }
    return data.finding(code, "error", strange, what, fix, details={"values": details}, values=frozenset(order))


def _blended(data: Dataset, ids: Sequence[Entry]) -> list[Finding]:
    """Masks that were resized with smoothing: a value between two others on their edges alone."""
    values = blended_in(data)
    concerned = [entry for entry in ids if values & entry.mask.blended]
    known, classes = known_values(data.spec), data.spec.classes

    def named(value: int) -> str:
        target = known.get(value, -1)
        return f"{value} ({printable(classes.names[target])})" if target in range(len(classes)) else str(value)

    listing = _cut([named(value) for value in sorted(values)])
    what = f"values lie only on edges, between a smaller and a larger one: {listing}"
    return data.finding(
        "mask-blended",
        "warning",
        concerned,
        f"{what}; the masks seem to have been resized with smoothing",
        "resize the original masks again, with nearest neighbour; or let `bridgeseg check --fix-masks DIR` "
        "give these pixels the values "
        "around them",
        details={"values": sorted(values)},
        values=frozenset(values),
    )


def _among(entries: Sequence[Entry], ids: Sequence[Entry]) -> str:
    return f" in {number(len(entries), 'mask')}" if len(ids) > 1 else ""


def _colours(data: Dataset) -> list[Finding]:
    """Masks of colours in a dataset whose `label_map` lists none."""
    coloured = [entry for entry in data.entries if entry.mask.colours is not None]
    colours = total_colours(coloured)
    proposed, classes = propose(colours, data.spec.classes), data.spec.classes
    many = any(entry.mask.more for entry in coloured)
    unknown = sum(target is None for target in proposed.values())
    line = colour_map_text(proposed, classes)
    fix = f"say in data.yaml what the colours mean (null = ignore; a class in place of CLASS): {line}"
    if many or len(colours) > PROPOSED:
        fix = f"smooth edges or a lossy format made new colours: export the masks again without them; {fix}"
    else:
        fix = f"give the classes' colours as `palette` and run `bridgeseg check --fix-masks DIR`; or {fix}"
    what = f"these look like colour masks ({len(colours)}{' or more' if many else ''} colours: {_described(colours)}), "
    what += f"of which the palette tells {len(colours) - unknown:,}; masks hold class ids in one channel"
    details = {
        "colours": {f"#{code:06x}": count for code, count in list(colours.items())[:DETAILED]},
        "label_map": {
            f"#{code:06x}": None if target == classes.ignore_index else classes.names[target]
            for code, target in list(proposed.items())[:DETAILED]
            if target is not None
        },
    }
    return data.finding("masks-colour", "error", coloured, what, fix, details=details, values=frozenset(colours))


def _unknown_colours(data: Dataset, table: Mapping[int, int]) -> list[Finding]:
    strange = [entry for entry in data.entries if not table.keys() >= (entry.mask.colours or {}).keys()]
    colours = {code: count for code, count in total_colours(strange).items() if code not in table}
    every = {**table, **dict.fromkeys(colours, data.spec.classes.ignore_index)}
    fix = f"list them too (null = ignore): {colour_map_text(every, data.spec.classes)}"
    if len(colours) > PROPOSED:
        fix = f"smooth edges or a lossy format made new colours: export the masks again without them; or {fix}"
    what = f"masks have colours that `label_map` does not list: {_described(colours)}"
    details = {"colours": {f"#{code:06x}": count for code, count in list(colours.items())[:DETAILED]}}
    return data.finding("colours-not-mapped", "error", strange, what, fix, details=details, values=frozenset(colours))


def value_map_text(known: Mapping[int, int], ignore: int, ignored: Iterable[int]) -> str:
    """Return a `label_map` of values as YAML on one line."""
    entries = {**known, **dict.fromkeys(ignored, ignore)}
    items = [f"{value}: {'null' if entries[value] == ignore else entries[value]}" for value in sorted(entries)]
    return f"label_map: {{{', '.join(items)}}}"


def colour_map_text(proposed: Mapping[int, int | None], classes: ClassSet) -> str:
    """Return a `label_map` of colours as YAML on one line, with CLASS where a person must say."""
    words = {None: "CLASS", classes.ignore_index: "null"}
    items = [
        f'"#{colour:06x}": {words[target] if target in words else json.dumps(classes.names[target or 0])}'
        for colour, target in proposed.items()
    ]
    return f"label_map: {{{', '.join(items[:PROPOSED])}{', ...' if len(items) > PROPOSED else ''}}}"


def _described(colours: Mapping[int, int]) -> str:
    return _cut([f"#{code:06x} ({number(count, 'pixel')})" for code, count in colours.items()])


def _cut(items: Sequence[str]) -> str:
    return ", ".join(items[:LISTED]) + (f" and {len(items) - LISTED:,} more" if len(items) > LISTED else "")
