"""Settings of `label`: those of `predict` with other defaults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from bridgeseg.settings.fields import setting
from bridgeseg.settings.predict import MIN_AREA, OVERLAY, SIMPLIFY, Predict


class Label(Predict):
    """Pre-label images for a labelling tool: outlines of what the model is sure of, and which images to look at first.

    Where the model is not sure enough, nothing is labelled. `rank.csv` lists the images, those that it is least sure
    of first: their labels are worth most (least confidence: Settles, Active Learning Literature Survey, 2009, 3.1).

    Returns:
        As `predict` with `out`.

    Raises:
        ConfigError: the model does not say how sure it is.
        InputError: as `predict` does.
    """

    out: Annotated[
        str | Path | None,
        setting("folder for labels and rank.csv", option="--out -o", metavar="DIR", default="labels"),
    ] = "labels"
    format: Annotated[
        Sequence[str],
        setting(
            "forms of labels, one or several: `labelme`, `coco`, `yolo`, `geojson`, `png`; and `rank`",
            option="--to",
            metavar="FORMS",
            read="listed",
            default="labelme,rank",
        ),
    ] = ("labelme", "rank")
    unknown: Annotated[
        float | None,
        setting(
            "label nothing where confidence, 0 to 1, is below this", option="--confidence", metavar="SHARE", ge=0, le=1
        ),
    ] = 0.5
    min_area: Annotated[int, MIN_AREA] = 25
    simplify: Annotated[float, SIMPLIFY] = 1.0
    overlay: Annotated[bool, OVERLAY] = False
