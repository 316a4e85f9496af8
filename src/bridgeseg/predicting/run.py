"""What the function `predict` and the command share: sources, model and options put together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bridgeseg.errors import ConfigError
from bridgeseg.predicting.batch import Batch
from bridgeseg.predicting.video_writer import VideoRecord
from bridgeseg.reading.sources import Failure
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import Record
from bridgeseg.runtime.streaming import stream
from bridgeseg.settings.label import Label
from bridgeseg.settings.predict import Predict


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


def start(asked: Predict, stop: threading.Event | None = None) -> Prediction:
    """Look at the sources, then load the model; nothing is segmented before `items` are asked for.

    Args:
        asked: settings of `bridgeseg.predict`.
        stop: once set, no more is read; what the network has begun still comes.

    Raises:
        InputError: the sources or the model cannot be used, or the results cannot be written.
    """
    if isinstance(asked.model, Model) and asked.names is None and asked.embeddings is not None:
        fix = "give the names too, or no embeddings"
        raise ConfigError("are vectors of `names`, and none are given", where="embeddings", fix=fix)
    batch = None if asked.out is None else Batch(asked)
    model = Model.of(asked.model, asked.threads, asked.runtime, asked.compile, asked.names, asked.embeddings)
    return Prediction(model, stream(model, asked, stop) if batch is None else batch.run(model, stop), batch)


def label(asked: Label) -> list[Any]:
    """Pre-label all of it, and return what was written; see `bridgeseg.label`."""
    return predict(asked)


def predict(asked: Predict) -> list[Any]:
    """Segment all of it, and return what came of it; see `bridgeseg.predict`."""
    done = list(start(asked).items)
    if done and all(isinstance(item, Failure) for item in done):
        raise next(item.error for item in done if isinstance(item, Failure))
    return done
