"""Settings of `gallery`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from bridgeseg.settings.fields import CommandSettings, setting
from bridgeseg.settings.load import EMBEDDINGS, MEMORY, NAMES, RUNTIME, THREADS


class Gallery(CommandSettings):
    """Write one HTML file of the images of a split, worst first: image, truth, prediction, difference, confidence.

    The file is self-contained: send it to others, or open it from disk. The page can be filtered by class and sorted.

    Returns:
        What is on the page: the images with their scores, worst first, and the scores of the split.

    Raises:
        InputError: a model, the data or an argument cannot be used, model and data differ in their classes, or a file
            cannot be read or written. The text says which and what to do.
    """

    model: Annotated[
        Any,
        setting(
            "an .onnx file, a run folder, or a bundled model: `street-int8` (the default), `street` or `open`; with "
            "two, their results are shown side by side, with the difference of their scores",
            option="--model -m",
            metavar="FILE|FOLDER",
            read="several",
            python="str | Path | Model | Sequence[str | Path | Model] | None",
        ),
    ] = None
    data: Annotated[
        Any,
        setting(
            "the dataset's data.yaml, or its folder; with the classes of the models",
            option="--data",
            metavar="YAML",
            python="str | Path | DataSpec | None",
            required=True,
        ),
    ] = None
    split: Annotated[str, setting("`train`, `val` or `test`", option="--split")] = "val"
    out: Annotated[str | Path, setting("the HTML file", option="--out -o", metavar="FILE")] = "gallery.html"
    limit: Annotated[
        int, setting("show at most this many images, the worst ones; all are scored", option="--limit", ge=1)
    ] = 100
    side: Annotated[
        int, setting("longer side of the pictures, in pixels", option="--side", metavar="PIXELS", ge=32, le=2048)
    ] = 320
    threads: Annotated[int | None, THREADS] = None
    runtime: Annotated[str | None, RUNTIME] = None
    names: Annotated[Any, NAMES] = None
    embeddings: Annotated[str | Path | None, EMBEDDINGS] = None
    memory: Annotated[int, MEMORY] = 768
    quiet: Annotated[bool, setting("show no progress bar")] = True
