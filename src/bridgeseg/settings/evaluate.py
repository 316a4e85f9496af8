"""Settings of `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import field_validator

from bridgeseg.settings.fields import CommandSettings, setting, several
from bridgeseg.settings.load import COMPILE, EMBEDDINGS, MEMORY, MODEL, NAMES, RUNTIME, THREADS


class Evaluate(CommandSettings):
    """Score a model on a split of a dataset at native resolution: mIoU, IoU of each class, accuracies.

    Returns:
        The scores: `miou`, `iou` of every class, accuracies, the confusion matrix.

    Raises:
        InputError: the model, the data or an argument cannot be used, model and data differ in their classes, a file
            cannot be read, or no pixel of the split is labelled. The text says which and what to do.

    >>> bridgeseg.evaluate("street.onnx", "camvid/data.yaml", split="test").miou  # doctest: +SKIP
    0.703
    """

    model: Annotated[Any, MODEL] = None
    data: Annotated[
        Any,
        setting(
            "the dataset's data.yaml, or its folder; its classes must be the model's, in the same order, unless the "
            "model takes any names: then it is evaluated by the names of the data",
            option="--data",
            metavar="YAML",
            python="str | Path | DataSpec | None",
            required=True,
        ),
    ] = None
    split: Annotated[str, setting("`train`, `val` or `test`", option="--split")] = "val"
    mode: Annotated[str, setting("`whole`, `slide` or `multiscale`", option="--mode")] = "whole"
    window: Annotated[
        Any,
        setting(
            "height and width of sliding windows; the training crop's size by default",
            option="--window",
            metavar="HxW",
            read="size",
            python="int | Sequence[int] | None",
        ),
    ] = None
    scales: Annotated[
        Any,
        setting(
            "factors by which images are resized: 1, or six in multiscale",
            option="--scales",
            metavar="S,S,...",
            read="numbers",
            python="Sequence[float] | None",
        ),
    ] = None
    flip: Annotated[bool, setting("average with the mirrored image", option="--flip")] = False
    out: Annotated[
        str | Path | None, setting("folder for scores and figures of them", option="--out -o", metavar="DIR")
    ] = None
    threads: Annotated[int | None, THREADS] = None
    runtime: Annotated[str | None, RUNTIME] = None
    compile: Annotated[bool, COMPILE] = False
    names: Annotated[Any, NAMES] = None
    embeddings: Annotated[str | Path | None, EMBEDDINGS] = None
    memory: Annotated[int, MEMORY] = 768
    quiet: Annotated[bool, setting("show no progress bar")] = False

    _several = field_validator("scales", mode="before")(several)
