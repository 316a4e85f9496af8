"""Settings of `data import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from bridgeseg.settings.fields import CommandSettings, setting


class Import(CommandSettings):
    """Make a dataset from an export of a labelling tool: images, masks, data.yaml and a report.

    The export is only read. Called again with the same `out`, it does what is new or has changed, and takes up what
    was interrupted.

    Returns:
        The data.yaml, counts of classes, and all that was left out.

    Raises:
        ConfigError: a setting has a value that it cannot have.
        DataError: nothing of the export can be used.
        InputError: `out` is in use for something else, or cannot be written.
    """

    source: Annotated[str | Path, setting("the folder of the export, or its file")]
    out: Annotated[str | Path, setting("the folder to make", option="--out -o", metavar="DIR")]
    format: Annotated[
        str | None,
        setting(
            "the form of the export: `coco`, `labelme`, `cvat`, `voc`, `roboflow`, `yolo`, `label-studio`, "
            "`label-studio-brush`, `supervisely`, `cityscapes`; by default it is detected",
            option="--format",
            metavar="FORM",
        ),
    ] = None
    images: Annotated[
        str | Path | None,
        setting("where to look for images that are not in the export", option="--images", metavar="DIR"),
    ] = None
    classes: Annotated[
        Sequence[str],
        setting(
            "the classes to take, in this order; by default all",
            option="--classes",
            metavar="NAMES",
            read="listed",
        ),
    ] = ()
    unlabelled: Annotated[
        Literal["background", "ignore"] | None,
        setting(
            "what pixels outside all objects become; by default `background`, or `ignore` for panoptic COCO and "
            "Cityscapes",
            option="--unlabelled",
            metavar="WHAT",
        ),
    ] = None
    empty: Annotated[
        bool,
        setting(
            "also take images without any object if the tool does not say whether somebody looked at them",
            option="--empty",
        ),
    ] = False
    overlap: Annotated[
        Literal["later", "smaller"],
        setting("which of two objects is in front: the `later` or the `smaller`", option="--overlap", metavar="WHICH"),
    ] = "later"
    line_width: Annotated[
        float | None,
        setting(
            "draw lines and points as wide as this; by default they are left out",
            option="--line-width",
            metavar="PIXELS",
            gt=0,
            le=1000,
        ),
    ] = None
    val_share: Annotated[
        float,
        setting(
            "share of train for validation where the export has none, 0 for none", option="--val-share", ge=0, lt=1
        ),
    ] = 0.1
    copies: Annotated[bool, setting("copy images instead of linking them", option="--copy")] = False
    quiet: Annotated[bool, setting("show no progress bar")] = True
