"""Images that are found -> results, in stages that overlap: read and decode, then the network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.images import Pixels
from bridgeseg.pixels import Reading
from bridgeseg.reading.loading import Found, Loaded, expand, load
from bridgeseg.reading.pipeline import Cancelled, Pipeline
from bridgeseg.reading.sources import Failure
from bridgeseg.runtime.network import Segmented, without_unsure
from bridgeseg.runtime.result import Result
from bridgeseg.settings.predict import Predict


class Segmenter(Protocol):
    """What gives class ids of images: a `Model`."""

    classes: ClassSet
    reading: Reading
    path: Path | None

    def segment(
        self, image: Pixels, max_size: int | None = ..., memory: int = ..., check: Callable[[], None] | None = ...
    ) -> Segmented:
        """uint8 RGB (H, W, 3) -> class ids and confidence (H, W)."""

    def interrupt(self, thread: int) -> None:
        """End what the network does in a thread, if it can be ended."""


def stream(model: Segmenter, asked: Predict, stop: threading.Event | None) -> Iterator[Result | Failure]:
    """Segment the sources one after the other; see `Model.stream`."""
    with Pipeline(stop) as pipeline:
        yield from results(model, expand(asked.sources, recursive=asked.recursive), pipeline, asked)


def results(model: Segmenter, found: Iterable[Found], pipeline: Pipeline, asked: Predict) -> Iterator[Result | Failure]:
    """Read and segment what was found, each in a thread of the pipeline.

    An image counts as done, and makes room for others, when the next one is asked for.
    """
    how = Reading.of(asked.image_range, asked.bands).over(model.reading)
    images = load(
        found,
        pipeline,
        max_pixels=asked.max_pixels,
        every=asked.every,
        max_fps=asked.max_fps,
        max_frames=asked.max_frames,
        reconnect=asked.reconnect,
        how=how,
    )
    loaded = pipeline.ahead(images, source=True)
    for item in pipeline.ahead(_segment(model, loaded, pipeline, asked)):
        pixels = item.mask.size if isinstance(item, Result) else 0
        yield item
        del item  # a large image must not outlive its turn
        pipeline.give(pixels)


def _segment(
    model: Segmenter, loaded: Iterator[Loaded | Failure], pipeline: Pipeline, asked: Predict
) -> Iterator[Result | Failure]:
    thread = threading.get_ident()
    pipeline.at_end(lambda: model.interrupt(thread))
    for item in loaded:
        if isinstance(item, Failure):
            yield item
            continue
        try:
            found = model.segment(item.image, asked.max_size, asked.memory, pipeline.check)
            if asked.unknown is not None:
                found = without_unsure(found, model.classes, asked.unknown, model.path)
            facts = (item.path, item.name, item.frame, item.notes, found.confidence, asked.unknown)
            done: Result | Failure = Result(item.image, found.ids, model.classes, *facts)
            del found, facts
        except (ModelFileError, ConfigError, Cancelled):  # the same for every image
            raise
        except InputError as error:
            pipeline.give(item.image.shape[0] * item.image.shape[1])
            done = Failure(item.path, error)
        del item
        yield done
        del done
