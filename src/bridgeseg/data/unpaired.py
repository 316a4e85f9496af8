"""What keeps an image from being paired with its mask: how bad it is, what a message says, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bridgeseg.data.finding import Severity
from bridgeseg.data.places import exists
from bridgeseg.images import SUFFIXES as IMAGE_SUFFIXES

MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")


class Facts(NamedTuple):
    """What messages say of a split.

    Attributes:
        images: how many there are.
        listed: how many of them lists name.
        renamed: what stands before and after the images' names in those of the masks.
        root: of the dataset.
        masks_dir: folder of the masks.
        mask_suffix: what is expected after the images' names.
    """

    images: int
    listed: int
    renamed: tuple[str, str]
    root: Path
    masks_dir: str
    mask_suffix: str


def _many(singular: str, plural: str) -> Callable[[int, Facts], str]:
    return lambda count, facts: f"{count:,} {singular if count == 1 else plural}".format(
        images=facts.images, listed=facts.listed
    )


def _fixed(text: str) -> Callable[[Facts], str]:
    return lambda facts: text


def _rename_fix(before: str, after: str) -> str:
    if not before:
        return f"write in data.yaml `mask_suffix: {json.dumps(after) if not after.isidentifier() else after}`"
    return "rename the masks to the names of their images"


TEXTS: dict[str, tuple[Severity, Callable[[int, Facts], str], Callable[[Facts], str]]] = {
    "folder-unreadable": (
        "error",
        _many("folder cannot be read", "folders cannot be read"),
        _fixed("check its permissions"),
    ),
    "folder-link": (
        "error",
        _many("link to a folder, which is not followed", "links to folders, which are not followed"),
        _fixed("link the files instead, or name the folder in the split"),
    ),
    "list-entry-outside": (
        "error",
        _many("line of the list leads nowhere that may be read", "lines of the list lead nowhere that may be read"),
        _fixed("correct or remove these lines, or let `path` name a folder above all images"),
    ),
    "list-entry-no-image": (
        "error",
        _many("line of the list is no image", "lines of the list are no images"),
        _fixed(f"remove these lines; images are {', '.join(IMAGE_SUFFIXES)}"),
    ),
    "image-missing": (
        "error",
        _many("of {listed:,} listed images do not exist", "of {listed:,} listed images do not exist"),
        _fixed("correct or remove these lines: paths count from the root, or from the list's own folder after ./"),
    ),
    "image-listed-twice": (
        "error",
        _many("image is listed twice", "images are listed twice"),
        _fixed("list each image once"),
    ),
    "mask-folder-unknown": (
        "error",
        _many("image has a mask that cannot be looked for", "images have masks that cannot be looked for"),
        lambda facts: (
            f"make a dataset of it: bridgeseg data import {facts.root} --format voc --out DIR"
            if exists(facts.root / "SegmentationClass")
            else f"put images below images/ and masks below {facts.masks_dir}/, in the same subfolders"
        ),
    ),
    "mask-missing": (
        "error",
        _many("of {images:,} images have no mask", "of {images:,} images have no mask"),
        lambda facts: (
            f"add the masks ({', '.join(MASK_SUFFIXES)}), or correct `masks_dir`, now {facts.masks_dir!r}"
            + (f", or correct `mask_suffix`, now {facts.mask_suffix!r}" if facts.mask_suffix else "")
        ),
    ),
    "mask-named-otherwise": (
        "error",
        lambda count, facts: (
            f"{count:,} of {facts.images:,} images have no mask of their own name, but masks called "
            f"{facts.renamed[0]}<image>{facts.renamed[1]}.png"
        ),
        lambda facts: _rename_fix(*facts.renamed),
    ),
    "mask-lossy-suffix": (
        "error",
        _many("image has a mask whose compression smears ids", "images have masks whose compression smears ids"),
        _fixed(f"export the masks again, as one of {', '.join(MASK_SUFFIXES)}; converting the files does not help"),
    ),
    "mask-format-suffix": (
        "error",
        _many("image has a mask in a format that is not read", "images have masks in a format that is not read"),
        _fixed("convert the masks to PNG: nothing is lost"),
    ),
    "mask-polygons": (
        "error",
        _many(
            "image has no mask, only polygons, which are not read",
            "images have no mask, only polygons, which are not read",
        ),
        lambda facts: f"make masks of them: bridgeseg data import {facts.root} --format yolo --out DIR",
    ),
    "mask-boxes": (
        "error",
        _many(
            "image has no mask, only boxes, which cannot become masks",
            "images have no mask, only boxes, which cannot become masks",
        ),
        _fixed("label the outlines, as polygons or masks: a box does not say which of its pixels are the object"),
    ),
    "mask-ambiguous": ("error", _many("image has several masks", "images have several masks"), _fixed("keep one")),
    "folder-passed-over": (
        "note",
        _many("folder of hidden files is passed over", "folders of hidden files are passed over"),
        _fixed("nothing needs to be done; if they are images of the dataset, rename the folder"),
    ),
    "image-kind": (
        "warning",
        _many("image of a kind that is not read is left out", "images of kinds that are not read are left out"),
        _fixed("convert them to PNG or JPEG, or remove them"),
    ),
    "mask-shared": (
        "error",
        _many("image shares its mask with another", "images share their mask with others"),
        _fixed("rename or remove one of the images"),
    ),
}
"""Code of a finding -> severity, the message for a number of files, and the fix; causes come first."""
