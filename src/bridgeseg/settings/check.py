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
        The findings, facts about the classes, and with a `model` the labels that it disputes. Problems of the
            dataset are listed there, and do not raise.

    Raises:
        InputError: a mistake in the arguments, a model that cannot be used or has other classes, or a result cannot be
            written.
    """

    data: Annotated[
        str | Path | Sequence[str | Path],
        setting(
            "the dataset's data.yaml, or its folder; the names of several datasets are compared, too",
            option="--data",
            metavar="YAML",
            read="several",
        ),
    ]
    split: Annotated[str | None, setting("only `train`, `val` or `test`", option="--split")] = None
    model: Annotated[
        Any,
        setting(
            "a trained model with the classes of the data, to list the labels that it disputes: a run folder, or an "
            ".onnx file, preferably exported with confidence",
            option="--model -m",
            metavar="FILE|FOLDER",
            python="str | Path | Model | None",
        ),
    ] = None
    text_encoder: Annotated[
        str | None,
        setting(
            "compare the names of several datasets by the embeddings of this encoder, and propose lines `same` and "
            "`parts`",
            option="--text-encoder",
        ),
    ] = None
    quick: Annotated[
        bool, setting("read sizes from file headers, and only some of the masks; skip duplicates", option="--quick")
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
