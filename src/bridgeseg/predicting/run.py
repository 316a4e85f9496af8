"""What the function `predict` and the command share: sources, model and options put together."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridgeseg.predicting.batch import Batch
from bridgeseg.predicting.video_writer import VideoRecord
from bridgeseg.reading.loading import ImageInput, as_list
from bridgeseg.reading.sources import Failure
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import Record

WRITING = ("overlay", "masks", "codec", "opacity", "hide")
"""Options that count only where results are written."""


@dataclass(frozen=True)
class Prediction:
    """A run that is about to begin.

    Attributes:
        model: what segments.
        items: what is done for each image, video or frame, as it happens.
        batch: counts of what is to be done and where it goes; None if nothing is written.
    """

    model: Model
    items: Iterator[Result | Record | VideoRecord | Failure]
    batch: Batch | None


def start(
    sources: ImageInput | Iterable[ImageInput],
    model: str | Path | Model | None = None,
    out: str | Path | None = None,
    *,
    threads: int | None = None,
    runtime: str | None = None,
    compile: bool = False,
    recursive: bool = False,
    stop: threading.Event | None = None,
    **options: Any,
) -> Prediction:
    """Look at the sources, then load the model; nothing is segmented before `items` are asked for.

    Args:
        sources, model, out, threads, runtime, compile, recursive: as in `bridgeseg.predict`.
        stop: once set, no more is read; what the network has begun still comes.
        options: those of `WRITING` as in `Batch`, the others as in `Model.stream`.

    Raises:
        InputError: the sources or the model cannot be used, or the results cannot be written.
    """
    images = as_list(sources)
    writing = {name: options.pop(name) for name in WRITING if name in options}
    batch = None if out is None else Batch(images, out, recursive=recursive, **writing)
    opened = model if isinstance(model, Model) else Model.load(model, threads, runtime, compile)
    if batch is None:
        return Prediction(opened, opened.stream(images, recursive=recursive, stop=stop, **options), None)
    return Prediction(opened, batch.run(opened, stop=stop, **options), batch)


def predict(sources: Any, model: Any = None, out: str | Path | None = None, **options: Any) -> list[Any]:
    """Segment all of it, and return what came of it; see `bridgeseg.predict`."""
    done = list(start(sources, model, out, **options).items)
    if done and all(isinstance(item, Failure) for item in done):
        raise next(item.error for item in done if isinstance(item, Failure))
    return done
