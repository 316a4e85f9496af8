"""The forms of export that are read, one file each, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from bridgeseg.classes import Colour
from bridgeseg.data import exports
from bridgeseg.errors import ConfigError, DataError, nearest
from bridgeseg.importing.model import Item, Thing, Unlabelled, box
from bridgeseg.importing.source import Source
from bridgeseg.importing.unknown import unknown


@dataclass(frozen=True)
class Reading:
    """An export that is being read.

    Attributes:
        names: its classes, in the order of their ids.
        items: its images, one after the other.
        total: how many there are; None if that is not known.
        unlabelled: what pixels under no object usually are; None where masks say it of every pixel.
        palette: colours of classes, where the export has some.
    """

    names: list[str]
    items: Iterator[Item]
    total: int | None
    unlabelled: Unlabelled | None
    palette: Mapping[str, Colour] = field(default_factory=dict)


FORMS = {
    "coco": "bridgeseg.importing.forms.coco",
    "labelme": "bridgeseg.importing.forms.labelme",
    "cvat": "bridgeseg.importing.forms.cvat",
    "voc": "bridgeseg.importing.forms.voc",
    "roboflow": "bridgeseg.importing.forms.roboflow",
    "yolo": "bridgeseg.importing.forms.yolo",
    "label-studio": "bridgeseg.importing.forms.label_studio",
    "label-studio-brush": "bridgeseg.importing.forms.label_studio_brush",
    "supervisely": "bridgeseg.importing.forms.supervisely",
    "cityscapes": "bridgeseg.importing.forms.cityscapes",
}
"""Every form and the module whose function `read` turns a `Source` into a `Reading`; `data.exports` recognises them."""


def form_of(source: Source, name: str | None) -> str:
    """Return the form of an export, the one that is named or the one that it looks like.

    Raises:
        ConfigError: there is no form of that name.
        DataError: it looks like none.
    """
    if name is not None:
        if name not in FORMS:
            raise ConfigError(f"no form is called {name!r}; {nearest(name, FORMS)}", where="format")
        return name
    found = exports.forms_of(source.files)
    if not found:
        raise unknown(source, "this looks like no export that is known", FORMS)
    return found[0]


def open_form(name: str, source: Source) -> Reading:
    """Read an export as a form.

    Raises:
        DataError: nothing of it can be read as such.
    """
    read: Callable[[Source], Any] = import_module(FORMS[name]).read
    reading: Reading = read(source)
    return reading


def unread(source: Source, form: str, what: str) -> DataError:
    """Return the error of an export that holds nothing of its form."""
    message = f"no {what} in it"
    like = [other for other in exports.forms_of(source.files) if other != form]
    if like:
        fix = f"it looks like {exports.TITLES[like[0]]}: `format={like[0]}`"
        return DataError(message, where=source.path, fix=fix)
    if source.wanted.form is not None:
        return unknown(source, message, FORMS)
    return DataError(message, where=source.path, fix=f"export it again, as {exports.TITLES[form]}")


def boxed(source: Source, left: float, top: float, width: float, height: float) -> Thing:
    """Return what stands for an object that has a box and no outline: its area is ignored, and that is noted."""
    source.ledger.note("boxes without an outline are ignored: what they cover is neither trained on nor scored")
    return Thing(None, box(left, top, width, height), -1)
