"""Images that are found -> results, in stages that overlap: read and decode, then the network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.images import DEFAULT_MAX_PIXELS, Pixels
from bridgeseg.pixels import Reading
from bridgeseg.reading.loading import Found, Loaded, load
from bridgeseg.reading.pipeline import Cancelled, Pipeline
from bridgeseg.reading.sources import Failure
from bridgeseg.reading.video import check_rates
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.runtimes import Ids
from bridgeseg.runtime.tiling import DEFAULT_MEMORY


class Segmenter(Protocol):
    """What gives class ids of images: a `Model`."""

    classes: ClassSet

    def mask(
        self, image: Pixels, max_size: int | None = ..., memory: int = ..., check: Callable[[], None] | None = ...
    ) -> Ids:
        """uint8 RGB (H, W, 3) -> class ids (H, W)."""

    def interrupt(self, thread: int) -> None:
        """End what the network does in a thread, if it can be ended."""


@dataclass(frozen=True)
class Options:
    """How a stream is read and segmented; the fields are explained at `Model.stream`.

    Raises:
        ConfigError: a value that is out of range.
    """

    recursive: bool = False
    max_size: int | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    memory: int = DEFAULT_MEMORY
    every: int = 1
    max_fps: float | None = None
    image_range: float | Sequence[float] | None = None
    bands: Sequence[int] | None = None

    def __post_init__(self) -> None:
        Reading.of(self.image_range, self.bands)
        check_rates(self.every, self.max_fps)
        check_size(self.max_size)


def check_size(max_size: int | None) -> None:
    """Check the side that images are scaled down to.

    Raises:
        ConfigError: it is below 1.
    """
    if max_size is not None and max_size < 1:
        raise ConfigError(f"at least one pixel, found {max_size}", where="max_size", fix="max_size=1024")


def results(
    model: Segmenter, found: Iterable[Found], pipeline: Pipeline, options: Options
) -> Iterator[Result | Failure]:
    """Read and segment what was found, each in a thread of the pipeline.

    An image counts as done, and makes room for others, when the next one is asked for.
    """
    how = Reading.of(options.image_range, options.bands)
    pixels, every, fps = options.max_pixels, options.every, options.max_fps
    images = load(found, pipeline, max_pixels=pixels, every=every, max_fps=fps, how=how)
    loaded = pipeline.ahead(images, source=True)
    for item in pipeline.ahead(_segment(model, loaded, pipeline, options)):
        pixels = item.mask.size if isinstance(item, Result) else 0
        yield item
        del item  # a large image must not outlive its turn
        pipeline.give(pixels)


def _segment(
    model: Segmenter, loaded: Iterator[Loaded | Failure], pipeline: Pipeline, options: Options
) -> Iterator[Result | Failure]:
    thread = threading.get_ident()
    pipeline.at_end(lambda: model.interrupt(thread))
    for item in loaded:
        if isinstance(item, Failure):
            yield item
            continue
        try:
            mask = model.mask(item.image, options.max_size, options.memory, pipeline.check)
            done: Result | Failure = Result(
                item.image, mask, model.classes, item.path, item.name, item.frame, item.notes
            )
        except (ModelFileError, ConfigError, Cancelled):  # the same for every image
            raise
        except InputError as error:
            pipeline.give(item.image.shape[0] * item.image.shape[1])
            done = Failure(item.path, error)
        del item
        yield done
        del done
