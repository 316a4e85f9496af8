"""What a folder is that is no export: a dataset already, plain masks, boxes, images alone."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from bridgeseg.data import exports
from bridgeseg.data.finding import number
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import BridgeSegError, DataError
from bridgeseg.images import SUFFIXES
from bridgeseg.importing.source import Source

PLAIN = (
    "put the images below images/ and the masks, PNG files of class ids with the same names, below masks/; beside them "
    "write a data.yaml with `train: images` and `names: [...]`"
)


def only_boxes(source: Source, count: int) -> DataError:
    """Return the error of an export that has boxes and not one outline."""
    message = f"it holds {number(count, 'box', 'boxes')} around objects and no outline, and masks need outlines"
    fix = "draw outlines (polygons or brush) in the labelling tool, or export its segmentation instead of its boxes"
    return DataError(message, where=source.path, fix=fix)


def unknown(source: Source, message: str, forms: Iterable[str]) -> DataError:
    """Return the error of what looks like none of the forms, by what it is instead."""
    data = source.folder / "data.yaml"
    if _is_dataset(data):
        fix = f"use it as it is: bridgeseg check --data {shlex.quote(str(data))}"
        return DataError(f"{message}: it is a dataset already", where=source.path, fix=fix)
    if boxes := sum(map(_boxes, source.of(".xml")[: exports.PROBED_FILES])):
        return only_boxes(source, boxes)
    if _are_pairs(source.of(*SUFFIXES)):
        return DataError(f"{message}: it holds images and masks of the same names", where=source.path, fix=PLAIN)
    if not source.of(".json", ".xml", ".txt", ".csv"):
        fix = "name the folder that holds their labels: files called .json, .xml, .txt or .csv, or masks"
        return DataError(f"{message}: it holds no labels", where=source.path, fix=fix)
    if source.wanted.form is not None:
        return DataError(message, where=source.path, fix=f"export it as one of these: {', '.join(forms)}")
    fix = f"if it is one of these, say which with `format`; if not, export it as one of them: {', '.join(forms)}"
    return DataError(message, where=source.path, fix=fix)


def _is_dataset(data: Path) -> bool:
    try:
        spec = DataSpec.load(data) if data.is_file() else None
        return spec is not None and any(spec.samples(split) for split in spec.splits)
    except BridgeSegError:
        return False


def _boxes(path: Path) -> int:
    """Return how many boxes of Pascal VOC the beginning of a file has."""
    with path.open("rb") as file:
        return file.read(exports.PROBED_BYTES).count(b"<bndbox>")


def _are_pairs(images: list[Path]) -> bool:
    """Return whether a PNG is called like another image, or like it with `_mask` at the end."""
    masks = {image.stem.removesuffix("_mask"): image for image in images if image.suffix.lower() == ".png"}
    return any(masks.get(image.stem, image) != image for image in images)
