"""From names to results, in stages that overlap: find and decode, then the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.images import DEFAULT_MAX_PIXELS, Pixels, as_pixels
from bridgeseg.predicting.pipeline import Cancelled, Pipeline
from bridgeseg.predicting.sources import Failure, PathStream, Source, find
from bridgeseg.predicting.video import Frame, Video, check_rates, is_camera, is_video, read_frames
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.tiling import DEFAULT_MEMORY

if TYPE_CHECKING:
    from bridgeseg.runtime.model import Model

Picture: TypeAlias = str | Path | Source | Video | PathStream | Image.Image | NDArray[Any]
"""What leads to pictures: names of files, folders, globs, videos, cameras; what was found; pictures in memory."""
Found: TypeAlias = Source | Video | Failure | Image.Image | NDArray[Any]


@dataclass(frozen=True)
class Options:
    """How a stream is read and segmented; the fields are explained at `Model.stream`.

    Raises:
        ConfigError: a value that cannot be.
    """

    recursive: bool = False
    max_size: int | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    memory: int = DEFAULT_MEMORY
    every: int = 1
    max_fps: float | None = None

    def __post_init__(self) -> None:
        check_rates(self.every, self.max_fps)
        check_size(self.max_size)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A picture on its way to the network."""

    image: Pixels
    path: Path | None = None
    name: Path = Path("picture")
    frame: Frame | None = None


def check_size(max_size: int | None) -> None:
    """Check the side that pictures are scaled down to.

    Raises:
        ConfigError: it is below 1.
    """
    if max_size is not None and max_size < 1:
        raise ConfigError(f"at least one pixel, found {max_size}", where="max_size", fix="max_size=1024")


def results(model: Model, found: Iterable[Found], pipeline: Pipeline, options: Options) -> Iterator[Result | Failure]:
    """Read and segment what was found, each in a thread of the pipeline.

    A picture counts as done, and makes room for others, when the next one is asked for.
    """
    loaded = pipeline.ahead(_load(found, pipeline, options), source=True)
    for item in pipeline.ahead(_segment(model, loaded, pipeline, options)):
        pixels = item.mask.size if isinstance(item, Result) else 0
        yield item
        del item  # a large picture must not outlive its turn
        pipeline.give(pixels)


def _load(found: Iterable[Found], pipeline: Pipeline, options: Options) -> Iterator[_Loaded | Failure]:
    for item in found:
        if isinstance(item, Failure):
            yield item
            continue
        path = item.path if isinstance(item, Source | Video) else None
        taken = 0

        def admit(pixels: int) -> None:
            nonlocal taken
            pipeline.take(pixels)
            taken += pixels

        try:
            if isinstance(item, Video):
                yield from _frames(item, pipeline, options)
            elif isinstance(item, Source):
                yield _Loaded(item.load(options.max_pixels, admit), item.path, item.name)
            else:
                image = as_pixels(item)
                admit(image.shape[0] * image.shape[1])
                yield _Loaded(image.copy() if isinstance(item, np.ndarray) else image)  # the caller may use it again
        except InputError as error:
            pipeline.give(taken)
            yield Failure(path, error)


def _frames(video: Video, pipeline: Pipeline, options: Options) -> Iterator[_Loaded]:
    frames = read_frames(video, every=options.every, max_fps=options.max_fps, max_pixels=options.max_pixels)
    for image, frame in frames:
        pipeline.take(image.shape[0] * image.shape[1])
        yield _Loaded(image, video.path, video.name.with_suffix("") / f"{frame.index:06d}", frame)


def _segment(
    model: Model, loaded: Iterator[_Loaded | Failure], pipeline: Pipeline, options: Options
) -> Iterator[Result | Failure]:
    for item in loaded:
        if isinstance(item, Failure):
            yield item
            continue
        try:
            mask = model.mask(item.image, options.max_size, options.memory, pipeline.check)
            done: Result | Failure = Result(item.image, mask, model.classes, item.path, item.name, item.frame)
        except (ModelFileError, ConfigError, Cancelled):  # the same for every picture
            raise
        except InputError as error:
            pipeline.give(item.image.shape[0] * item.image.shape[1])
            done = Failure(item.path, error)
        del item
        yield done
        del done


def expand(
    sources: Picture | Iterable[Picture | Failure], *, recursive: bool = False, skip: str | Path | None = None
) -> Iterator[Found]:
    """Replace names by the pictures and videos they lead to; what is in memory passes as it is.

    A file whose ending is that of a video is one; of folders only the pictures are taken.

    Raises:
        InputError: something that is no picture and names none.
    """
    for item in as_list(sources):
        if isinstance(item, PathStream):
            yield from expand(iter(item), recursive=recursive, skip=skip)
        elif isinstance(item, str) and is_camera(item):
            yield Video(Path(item), Path(item.replace(":", "-")))
        elif isinstance(item, str | Path):
            for one in find([item], recursive, skip):
                film = isinstance(one, Source) and is_video(one.path)
                yield Video(one.path, one.name) if film and isinstance(one, Source) else one
        elif isinstance(item, Source | Video | Failure | Image.Image | np.ndarray):
            yield item
        else:
            kind = type(item).__name__
            raise InputError(f"a picture is a file name, a Pillow image or an array, found {kind}", fix="convert it")


def as_list(sources: Any) -> Iterable[Any]:
    """Return one picture as a list of it, many as they are."""
    single = str | Path | Source | Video | PathStream | Image.Image | np.ndarray
    return [sources] if isinstance(sources, single) else sources
