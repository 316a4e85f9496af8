"""Mask files -> checked class ids. A file is either read as it was meant or refused with its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.data import maskfile, values
from bridgeseg.data.edges import without_values
from bridgeseg.data.entries import Dataset, Entry, ImageFacts
from bridgeseg.data.files import file_findings
from bridgeseg.data.listing import Sample
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import DataError

__all__ = ["read_mask"]


def read_mask(
    path: Path, spec: DataSpec, size: tuple[int, int] | None = None, unwanted: frozenset[int] = frozenset()
) -> NDArray[Any]:
    """Return a mask as class ids, (H, W), uint8 (uint16 for more than 255 classes), 255 (65535) where ignored.

    Palette PNGs give their indices, not their colours. `spec.label_map` or `spec.colour_map` is applied.

    Args:
        path: the mask file.
        spec: classes and maps of the dataset.
        size: (height, width) that the mask must have.
        unwanted: values of the file that are replaced by those around them.

    Raises:
        DataError: unreadable, another size, a colour mask, a binary 0/255 mask, or values that are no class; the first
            finding that `bridgeseg check` would have about it.
    """
    wanted = None if size is None else size[::-1]
    with maskfile.refusing("mask", path):
        image, stretch = maskfile.read(
            path, spec.colour_map is not None, lambda image: wanted in (None, image.size, image.size[::-1])
        )
    ids = None
    if image is not None and (wanted is None or image.size == wanted) and not maskfile.is_transparent(image):
        ids = (
            _from_colours(image, spec) if spec.colour_map is not None else _from_values(image, stretch, spec, unwanted)
        )
    return ids if ids is not None else _refuse(path, spec, wanted)


def _from_values(image: Image.Image, stretch: int, spec: DataSpec, unwanted: frozenset[int]) -> NDArray[Any] | None:
    """Map mask values to class ids, by a table with one entry per value; None where that cannot be done."""
    numbers = maskfile.values_of(image, stretch)
    if numbers is None or int(numbers.min()) < -1 or int(numbers.max()) > 65535:
        return None
    numbers = without_values(numbers, unwanted) if unwanted else numbers
    highest = int(numbers.max())
    if highest == 255 and values.may_be_binary(spec) and set(np.unique(numbers).tolist()) == {0, 255}:
        return None
    mapped = values.value_table(spec, max(highest, 255) + 1)[numbers]
    return None if int(mapped.min()) < 0 else np.asarray(mapped.astype(_kind(spec)))


def _from_colours(image: Image.Image, spec: DataSpec) -> NDArray[Any] | None:
    """Map the colours of a mask to class ids; None if `label_map` does not list one of them."""
    table = spec.colour_map or {}
    codes = maskfile.pack(np.asarray(image.convert("RGB")))
    keys = np.array(sorted(table), dtype=np.int32)
    targets = np.array([table[int(key)] for key in keys], _kind(spec))
    places = np.searchsorted(keys, codes).clip(max=len(keys) - 1)
    return None if bool((keys[places] != codes).any()) else np.asarray(targets[places])


def _kind(spec: DataSpec) -> type[np.unsignedinteger[Any]]:
    return np.uint8 if spec.classes.ignore_index == 255 else np.uint16


def _refuse(path: Path, spec: DataSpec, wanted: tuple[int, int] | None) -> NDArray[Any]:
    """Raise the first of the findings about a mask alone."""
    facts = maskfile.look(path, wanted, spec.colour_map is not None, maskfile.most_values(spec))
    turned = wanted is not None and wanted != facts.size and wanted[::-1] == facts.size  # most likely by EXIF
    image = ImageFacts(wanted or facts.size, facts.size, 6 if turned else 1)
    alone = Dataset(spec, [Entry("", Sample(path, path), image, facts)])
    for finding in (*file_findings(alone), *values.value_findings(alone)):
        if finding.severity == "error":
            raise DataError(finding.what, where=path, fix=finding.fix)
    raise DataError("the file has changed while it was read", where=path, fix="try again")
