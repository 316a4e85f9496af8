"""Masks of colours, of 0/255 or of ids from 1 -> masks of class ids, in a new folder; originals are only read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.checking.rewriting import write_yaml
from bridgeseg.classes import ClassSet, default_palette
from bridgeseg.data.entries import Dataset, Entry
from bridgeseg.data.files import SWAPPED
from bridgeseg.data.finding import MOST_FILES, Finding, number, some
from bridgeseg.data.masks import read_mask
from bridgeseg.data.palettes import palette_findings
from bridgeseg.data.spec import DataSpec
from bridgeseg.data.values import blended_in, is_binary, off_by_one, propose, total_colours
from bridgeseg.errors import DataError, InputError
from bridgeseg.files import below
from bridgeseg.wording import shown

_TURNS = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes an image upright."""


def write_converted(data: Dataset | None, folder: str | Path) -> list[Finding]:
    """Write a dataset with masks of class ids, and say what became of which mask.

    Its images are links to the originals (copies where links cannot be made). A pair whose mask cannot be converted
    without a guess is left out and named; the new data.yaml is written last.

    Args:
        data: all pairs with what was found in them; None if the data.yaml has to be put right first.
        folder: must not exist yet, or be empty, and must not lie among the dataset's images or masks.

    Raises:
        InputError: the folder cannot be used, or a file cannot be written.
    """
    if data is None:
        message, fix = "no mask was converted: the classes are not known", "correct the data.yaml first"
        return [Finding("not-converted", "error", message, fix)]
    out = Path(folder)
    _refuse_used(out, data)
    plan, failed, changed = _Plan.of(data), dict[str, str](), 0
    lists: dict[str, list[str]] = {entry.split: [] for entry in data.entries}
    images = {_target(out, entry.sample.image, data) for entry in data.entries}
    try:
        for entry in data.entries:
            name = data.name(entry.sample.image)
            mask = _target(out, entry.sample.mask, data).with_suffix(".png")
            try:
                if mask in images:
                    raise DataError("the file is an image and a mask at once")
                ids = plan.read(entry)
                _listable(name)
            except (DataError, ValueError) as error:
                failed[data.name(entry.sample.mask)] = error.message if isinstance(error, DataError) else shown(error)
                continue
            changed += plan.changes(entry)
            _write_pair(entry, ids, mask, _target(out, entry.sample.image, data))
            lists[entry.split].append(name)
        written = sum(map(len, lists.values()))
        if written:
            write_yaml(out, plan.classes, data.spec, lists)
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}"
        raise InputError(
            message, where=error.filename or out, fix="free some space, or choose another folder"
        ) from error
    return _findings(out, written, changed, failed)


@dataclass(frozen=True)
class _Plan:
    """How masks become ids: by the reader of training, told what the values mean.

    Attributes:
        classes: of the new dataset.
        plain: reads masks of ids, moved down by one if they start at 1.
        binary: reads masks of 0 and 255.
        coloured: reads masks of colours, and palettes that differ.
        of_two: masks that `binary` reads.
        by_colour: whether masks with a palette are read by its colours.
        blended: values that smooth resizing made.
    """

    classes: ClassSet
    plain: DataSpec
    binary: DataSpec
    coloured: DataSpec
    of_two: frozenset[Path]
    by_colour: bool
    blended: frozenset[int]

    @classmethod
    def of(cls, data: Dataset) -> _Plan:
        """Choose what masks mean, by all of them."""
        spec = data.spec
        classes, count = spec.classes, len(spec.classes)
        of_two = {entry.sample.mask for entry in data.entries if is_binary(entry, data)}
        if of_two and {value for entry in data.entries for value in entry.mask.values or {}} <= {0, 255}:
            of_two = {entry.sample.mask for entry in data.entries if entry.mask.values}  # also those of one value
        if of_two and count == 1:
            name = classes.names[0]
            other = next(colour for colour in default_palette(2) if colour != classes.palette[0])
            colours_of = {"background": other, name: classes.palette[0]}
            classes = ClassSet.build(["background", name], {name: classes.prompts[0]}, colours_of)
        table = spec.label_map
        if off_by_one(data) and not of_two:
            table = {value + 1: value for value in range(count)} | {0: spec.classes.ignore_index}
        colours = spec.colour_map
        if colours is None:
            total = [
                *total_colours(data.entries),
                *(code for entry in data.entries for code in entry.mask.palette.values()),
            ]
            colours = {code: target for code, target in propose(total, classes).items() if target is not None}
        return cls(
            classes,
            replace(spec, label_map=table),
            replace(spec, classes=classes, label_map={0: 0, 255: 1}),
            replace(spec, label_map=None, colour_map=colours),
            frozenset(of_two),
            bool(palette_findings(data)),
            blended_in(data),
        )

    def read(self, entry: Entry) -> NDArray[Any]:
        """Return the class ids of a mask, upright.

        Raises:
            DataError: image or mask cannot be used, or the meaning of the mask's values is not known.
        """
        image, mask = entry.image, entry.mask
        problem = image.problem or mask.problem
        if problem is not None:
            raise DataError(problem.text, fix=problem.fix)
        turned = image.size != mask.size and image.orientation >= SWAPPED and image.stored == mask.size
        width, height = (image.stored if turned else image.size) or (0, 0)
        ids = read_mask(entry.sample.mask, self._spec(entry), (height, width), self.blended & mask.blended)
        return np.asarray(Image.fromarray(ids).transpose(_TURNS[image.orientation])) if turned else ids

    def changes(self, entry: Entry) -> bool:
        """Return whether a mask's pixels change their value or place."""
        spec, values = self._spec(entry), entry.mask.values or {}
        moved = any((spec.label_map or {}).get(value, value) != value for value in values)
        again = moved or bool(self.blended & entry.mask.blended)
        return spec.colour_map is not None or again or entry.image.size != entry.mask.size

    def _spec(self, entry: Entry) -> DataSpec:
        if entry.mask.colours is not None or (self.by_colour and entry.mask.mode == "P"):
            return self.coloured
        return self.binary if entry.sample.mask in self.of_two else self.plain


def _refuse_used(out: Path, data: Dataset) -> None:
    spec = data.spec
    try:
        if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
            raise InputError(
                "masks are written into a new folder, and this is there already", where=out, fix="name another"
            )
        real = out.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(f"cannot be used: {shown(error)}", where=out, fix="name another folder") from error
    used = {entry.sample.image.parent for entry in data.entries} | {entry.sample.mask.parent for entry in data.entries}
    used |= {spec.root / place for places in spec.splits.values() for place in places}
    for path in sorted(used):
        if real.is_relative_to(os.path.realpath(path)):
            message = f"the new folder would lie among the dataset's files in {path}"
            raise InputError(message, where=out, fix="name a folder elsewhere")


def _listable(name: str) -> None:
    """Refuse names that one line of a list of images cannot hold."""
    if name.splitlines() != [name] or name.strip() != name or not name.isprintable():
        raise DataError("the image's name cannot be written in a list", fix="rename it")


def _target(out: Path, path: Path, data: Dataset) -> Path:
    """Return where a file of the dataset goes, below the new folder."""
    return below(out, path.relative_to(data.spec.root).as_posix())


def _write_pair(entry: Entry, ids: NDArray[Any], mask: Path, image: Path) -> None:
    """Write a mask and a link to its image, both as new files: an existing file is never opened."""
    for path in (mask, image):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not (mask.is_symlink() or mask.exists()):  # else it is the same pair in another split
        with mask.open("xb") as file:
            Image.fromarray(ids).save(file, "PNG")
    if image.is_symlink() or image.exists():
        return
    try:
        image.symlink_to(entry.sample.image.absolute())
    except OSError:  # some systems do not let everyone make links
        shutil.copyfile(entry.sample.image, image)


def _findings(out: Path, written: int, changed: int, failed: Mapping[str, str]) -> list[Finding]:
    message = f"{number(written, 'mask')} written to {out}, {changed:,} of them changed"
    fix = f"train with {out / 'data.yaml'} once `bridgeseg check` finds no fault with it"
    details = {"folder": str(out), "written": written, "changed": changed}
    found = [Finding("masks-converted", "note", message, fix, details=details)] if written else []
    if failed:
        files = list(failed)
        message = f"{number(len(files), 'mask')} not converted, and left out with the image: {some(files)}"
        message += f" ({failed[files[0]]})"
        fix = (
            "repair these first (of colours, give the classes' colours as `palette`), then convert into another folder"
        )
        details = {"reasons": dict(list(failed.items())[:MOST_FILES])}
        found.append(Finding("not-converted", "error", message, fix, tuple(files[:MOST_FILES]), len(files), details))
    return found
