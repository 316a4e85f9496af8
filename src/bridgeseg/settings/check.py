"""Settings of `check`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from bridgeseg.settings.fields import CommandSettings, setting
from bridgeseg.settings.load import MEMORY, RUNTIME, THREADS


class Check(CommandSettings):
    """Look for everything that is wrong with a dataset, or several: files, sizes, mask values, classes, duplicates.

    Returns:
        The findings, facts about the classes, and with a `model` the labels that it disputes. What is wrong with the
            dataset is not raised but in there.

    Raises:
        InputError: a mistake in the arguments, a model that cannot be used or has other classes, or a result cannot be
            written.
    """

    data: Annotated[
        str | Path | Sequence[str | Path],
        setting(
            "the dataset's data.yaml, or its folder; of several their names are compared, too",
            option="--data",
            metavar="YAML",
            read="several",
        ),
    ]
    split: Annotated[str | None, setting("only `train`, `val` or `test`", option="--split")] = None
    model: Annotated[
        Any,
        setting(
            "a trained model with the classes of the data, which says the labels that it disputes: an .onnx file, best "
            "one exported with confidence, or a run folder",
            option="--model -m",
            metavar="FILE|FOLDER",
            python="str | Path | Model | None",
        ),
    ] = None
    text_encoder: Annotated[
        str | None,
        setting(
            "of several datasets: compares their names by its embeddings, and proposes lines `same` and `parts`",
            option="--text-encoder",
        ),
    ] = None
    quick: Annotated[
        bool, setting("sizes from file headers, and a part of the masks; no duplicates", option="--quick")
    ] = False
    html: Annotated[
        str | Path | None, setting("write a page with pictures of the problems", option="--html", metavar="FILE")
    ] = None
    fix_masks: Annotated[
        str | Path | None,
        setting("write masks of class ids and a data.yaml into a new folder", option="--fix-masks", metavar="DIR"),
    ] = None
    workers: Annotated[int | None, setting("processes; one per core by default", option="--workers", ge=1)] = None
    threads: Annotated[int | None, THREADS] = None
    runtime: Annotated[str | None, RUNTIME] = None
    memory: Annotated[int, MEMORY] = 768
    max_pixels: Annotated[int, setting("do not decode images of more pixels", option="--max-pixels", ge=1)] = (
        200_000_000
    )
    quiet: Annotated[bool, setting("show no progress bar")] = True
