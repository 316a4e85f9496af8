"""What is wrong with a mask, said so that it can be repaired: which values, how many pixels, which line to write.

The proposed lines are valid YAML: pasted into the data.yaml, they make the mask readable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import DataError

LISTED = 8
"""Values or colours that one message describes."""
PROPOSED = 64
"""Entries of a proposed `label_map`; longer ones are cut."""


def wrong_size(path: Path, found: tuple[int, int], wanted: tuple[int, int]) -> DataError:
    """Describe a mask of another size than its image; sizes are (height, width)."""
    message = f"the mask is {found[1]}x{found[0]} pixels, its image {wanted[1]}x{wanted[0]}"
    if found == wanted[::-1]:
        fix = (
            "the image is turned by its EXIF orientation and the mask is not: turn the mask, or save the image upright"
        )
    else:
        fix = "make the mask in the size of its image, without smoothing (nearest neighbour)"
    return DataError(message, where=path, fix=fix)


def bad_values(path: Path, values: NDArray[Any], spec: DataSpec) -> DataError:
    """Describe mask values that are no class: off by one, not mapped, or plainly out of range."""
    found, counts = np.unique(values, return_counts=True)
    pixels = {int(value): int(count) for value, count in zip(found, counts, strict=True)}
    count, ignore = len(spec.classes), spec.classes.ignore_index
    known = dict(spec.label_map) if spec.label_map is not None else {index: index for index in range(count)}
    bad = [value for value in pixels if value not in known and value != ignore]
    listing = _cut([f"{value} ({pixels[value]} pixels)" for value in bad], LISTED)
    if spec.label_map is not None:
        message = f"the mask holds values that `label_map` does not list: {listing}"
        return DataError(message, where=path, fix=f"list them too: {_label_map(known, ignore, bad)} (null = ignore)")
    message = f"the mask holds values that are no class id: {listing}; allowed: 0..{count - 1}, and {ignore} for ignore"
    if bad == [count]:
        shifted = {index + 1: index for index in range(count)}
        fix = f"if ids start at 1 and 0 is unlabelled, write in data.yaml: {_label_map(shifted, ignore, [0])}"
    elif len(bad) <= LISTED:
        fix = f"name the missing classes in `names`, or ignore these: {_label_map(known, ignore, bad)}"
    else:
        fix = "is this a mask of class ids? map its values in data.yaml: label_map: {VALUE: CLASS, ...}"
    return DataError(message, where=path, fix=fix)


def binary_mask(path: Path, values: NDArray[Any], spec: DataSpec) -> DataError:
    """Describe a mask of 0 and 255 in a dataset of one or two classes."""
    share = float((values == 255).mean())
    names = [json.dumps(name) for name in spec.classes.names]
    if len(names) == 1:
        object_fix = f'names: ["background", {names[0]}] and label_map: {{0: 0, 255: 1}}'
    else:
        object_fix = f"label_map: {{0: {names[0]}, 255: {names[1]}}}"
    return DataError(
        f"the mask looks binary: it holds only 0 and 255 ({share:.1%} of its pixels), and 255 would mean 'ignore'",
        where=path,
        fix=f"if 255 is the object, write in data.yaml {object_fix}; if 255 is to be ignored, say so: "
        f"{_label_map({index: index for index in range(len(names))}, 255, [255])}",
    )


def colour_mask(path: Path, rgb: NDArray[np.uint8], spec: DataSpec) -> DataError:
    """Describe a mask of colours and propose the `label_map` that reads it, filled in where the palette is known."""
    pixels = _colours(pack(rgb))
    names = {
        _code(colour): json.dumps(name) for name, colour in zip(spec.classes.names, spec.classes.palette, strict=True)
    }
    described = _cut([f"#{code:06x} ({count} pixels)" for code, count in pixels.items()], LISTED)
    entries = _cut([f'"#{code:06x}": {names.get(code, "CLASS")}' for code in pixels], PROPOSED)
    return DataError(
        f"this looks like a colour mask ({len(pixels)} colours: {described}); masks hold class ids in one channel",
        where=path,
        fix=f"say in data.yaml what the colours of all masks mean (null = ignore): label_map: {{{entries}}}",
    )


def unknown_colours(path: Path, codes: NDArray[Any]) -> DataError:
    """Describe colours, as 0xRRGGBB, that `label_map` does not list."""
    pixels = _colours(codes)
    described = _cut([f"#{code:06x} ({count} pixels)" for code, count in pixels.items()], LISTED)
    entries = _cut([f'"#{code:06x}": null' for code in pixels], LISTED)
    return DataError(
        f"the mask has colours that `label_map` does not list: {described}",
        where=path,
        fix=f"add them to label_map (null = ignore): {entries}",
    )


def pack(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return (H, W, 3) colours as (H, W) numbers 0xRRGGBB."""
    wide = rgb.astype(np.int32)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])


def _code(colour: Sequence[int]) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def _colours(codes: NDArray[Any]) -> dict[int, int]:
    """Return colour -> pixels, the most frequent first."""
    found, counts = np.unique(codes, return_counts=True)
    return {int(found[index]): int(counts[index]) for index in np.argsort(-counts, kind="stable")}


def _label_map(known: Mapping[int, int], ignore: int, ignored: Iterable[int]) -> str:
    entries = dict(known) | dict.fromkeys(ignored, ignore)
    items = [f"{value}: {'null' if entries[value] == ignore else entries[value]}" for value in sorted(entries)]
    return f"label_map: {{{_cut(items, PROPOSED)}}}"


def _cut(items: Sequence[str], most: int) -> str:
    return ", ".join(items[:most]) + (", ..." if len(items) > most else "")
