"""A DataSpec and lists of its images -> the data.yaml of a folder that holds converted masks."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from bridgeseg.classes import ClassSet, hexadecimal
from bridgeseg.data.labelling import COLUMNS
from bridgeseg.data.spec import DataSpec
from bridgeseg.files import write

LABELLED_FILE = "labelled.csv"
"""What the new folder calls the file that says what single images are labelled for."""


def write_yaml(out: Path, classes: ClassSet, spec: DataSpec, lists: Mapping[str, Sequence[str]]) -> None:
    """Write a data.yaml that says what `spec` says, and the files that it names; the data.yaml is written last.

    `label_map` is left out, for it has been applied, and so is `val_share`: the lists say which images are for
    validation.

    Args:
        out: the new root; images and masks lie below it as they did below the old one.
        classes: of the new masks.
        spec: what the data.yaml of the original masks says.
        lists: split -> its images, from the root.
    """
    listed = {name for names in lists.values() for name in names}
    images = {image: names for image, names in spec.labelled_images.items() if image in listed}
    spec = replace(spec, labelled_images=images)
    splits = {split: f"{split}.txt" for split, names in lists.items() if names}
    for split, place in splits.items():
        write(out / place, "".join(f"{name}\n" for name in lists[split]))
    if images:
        rows = io.StringIO()
        csv.writer(rows, lineterminator="\n").writerows([COLUMNS, *((one, ";".join(images[one])) for one in images)])
        write(out / LABELLED_FILE, rows.getvalue())
    content = {"path": ".", **splits, "masks_dir": spec.masks_dir, **_names(classes), **_rest(spec)}
    write(out / "data.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _names(classes: ClassSet) -> dict[str, Any]:
    phrases = zip(classes.names, classes.prompts, strict=True)
    prompts = {name: list(listed) for name, listed in phrases if listed != (name,)}
    palette = list(map(hexadecimal, classes.palette))
    return {"names": list(classes.names), **({"prompts": prompts} if prompts else {}), "palette": palette}


def _rest(spec: DataSpec) -> dict[str, Any]:
    """Return the keys that are not at their default, of those that conversion leaves as they are."""
    found = {
        "mask_suffix": spec.mask_suffix,
        **spec.reading.to_dict(),
        "labelled": list(spec.labelled or ()),
        "labelled_file": LABELLED_FILE if spec.labelled_images else "",
        "unlabelled": spec.unlabelled if spec.partial else "",
        "same": list(map(list, spec.same)),
        "parts": {whole: list(listed) for whole, listed in spec.parts.items()},
    }
    return {key: value for key, value in found.items() if value}
