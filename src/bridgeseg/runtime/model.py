"""A trained model: preprocess -> forward -> postprocess -> Result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ModelFileError
from bridgeseg.images import DEFAULT_MAX_PIXELS, Note, Pixels, Reading, as_pixels
from bridgeseg.reading.loading import ImageInput, InMemory, expand
from bridgeseg.reading.pipeline import Pipeline
from bridgeseg.reading.sources import Failure, Source
from bridgeseg.runtime.metadata import read_metadata
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.runtimes import RUNTIMES, FileRuntime, Ids, Runtime, open_runtime
from bridgeseg.runtime.streaming import Options, check_size, results
from bridgeseg.runtime.tiling import DEFAULT_MEMORY, plan, segment

WEIGHTS = Path(__file__).parents[1] / "weights"
BUNDLED = WEIGHTS / "street-int8.onnx"
"""The street-scene model that comes with the package."""


def named(path: str | Path) -> Path:
    """Return the bundled file of this name, if there is one and no file or folder is called so; else the path."""
    bundled = WEIGHTS / f"{path}.onnx"
    return bundled if Path(path).name == str(path) and not Path(path).exists() and bundled.is_file() else Path(path)


class Model:
    """A network, its classes, and where it came from.

    >>> result = Model.load().predict("street.jpg")  # doctest: +SKIP
    >>> result.areas()  # doctest: +SKIP
    {'road': 0.31, 'sky': 0.22, ...}

    Args:
        runtime: what runs the network.
        classes: names and colours of its classes.
        provenance: training facts, as the file's metadata holds them.
        path: the file or folder it was loaded from.
    """

    def __init__(
        self, runtime: Runtime, classes: ClassSet, provenance: dict[str, Any], path: str | Path | None = None
    ) -> None:
        self.runtime, self.classes, self.provenance = runtime, classes, provenance
        self.path = None if path is None else Path(path)

    @classmethod
    def load(cls, path: str | Path | None = None, threads: int | None = None, runtime: str | None = None) -> Model:
        """Load an .onnx file written by `bridgeseg export`; None loads the bundled street-scene model.

        Args:
            path: the file, or the name of a bundled one: `street-int8` (what None is) or `street`, the same in float.
            threads: number of CPU threads; None for one per core.
            runtime: what runs it, one of `runtimes.RUNTIMES`; None for the first.

        Raises:
            ModelFileError: there is no such file, or it is not a whole bridgeseg file.
            MissingDependencyError: the runtime's package is not installed.
        """
        if path is None and not BUNDLED.is_file():
            fix = "reinstall bridgeseg, or name a model file: --model FILE.onnx"
            raise ModelFileError("the bundled model is missing from this installation", where=BUNDLED, fix=fix)
        opened = open_runtime(BUNDLED if path is None else named(path), threads, runtime or RUNTIMES[0])
        classes, provenance = read_metadata(opened)
        return cls(opened, classes, provenance, opened.path)

    def predict(
        self,
        source: str | Path | Source | InMemory,
        *,
        max_size: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        memory: int = DEFAULT_MEMORY,
        image_range: float | Sequence[float] | None = None,
        bands: Sequence[int] | None = None,
    ) -> Result:
        """Segment one picture.

        Args:
            source: a file, or an image in memory, as `images.as_pixels` takes it.
            max_size: pictures whose longest side is longer are scaled down to it for the network, which saves time and
                memory; class ids come back at the picture's own size.
            max_pixels: files with more pixels are refused.
            memory: MB that the network may use; a picture that needs more is done in overlapping tiles (see `tiling`).
            image_range: the values of black and white in images of more than 8 bits, as `pixels.Reading` explains.
            bands: which bands are red, green and blue, as `pixels.Reading` explains.

        Raises:
            InputError: the picture cannot be read or used.
            ModelFileError: the network's answer does not fit its metadata.
        """
        check_size(max_size)
        how, notes = Reading.of(image_range, bands), list[Note]()
        if isinstance(source, str | Path):
            source = Source(Path(source), Path(Path(source).name))
        if isinstance(source, Source):
            image, path, name = source.load(max_pixels, None, how, notes), source.path, source.name
        else:
            image, path, name = as_pixels(source, how, notes, max_pixels), None, Path("image")
        mask = self.mask(image, max_size, memory)
        return Result(image, mask, self.classes, path, name, notes=tuple(notes))

    def stream(
        self,
        sources: ImageInput | Iterable[ImageInput | Failure],
        *,
        recursive: bool = False,
        max_size: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        memory: int = DEFAULT_MEMORY,
        every: int = 1,
        max_fps: float | None = None,
        image_range: float | Sequence[float] | None = None,
        bands: Sequence[int] | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Result | Failure]:
        """Segment pictures and videos one after the other; one that cannot be read does not stop the rest.

        A thread reads a few pictures ahead, another runs the network; both end with the iterator. So `sources` are
        asked for in another thread, and a few further than results are.

        Args:
            sources: one or many of: files, folders, globs (see `sources.find`), videos, `camera:0`, a `PathStream`,
                and what `predict` takes.
            recursive: search the subfolders of folders.
            max_size: as in `predict`.
            max_pixels: as in `predict`, of each frame too.
            memory: as in `predict`.
            every: of a video or a camera, take every Nth frame only.
            max_fps: of a video or a camera, take at most so many frames a second.
            image_range: as in `predict`.
            bands: as in `predict`.
            stop: once set, no more is read; what the network has begun still comes.

        Yields:
            A Result for each picture and frame, or a Failure that says what is wrong with it. A damaged video gives the
            frames it has and then a Failure.

        Raises:
            ModelFileError: the network's answer does not fit its metadata.
            ConfigError: an option has a value that cannot be.
        """
        options = Options(recursive, max_size, max_pixels, memory, every, max_fps, image_range, bands)
        with Pipeline(stop) as pipeline:
            yield from results(self, expand(sources, recursive=recursive), pipeline, options)

    def describe(self) -> dict[str, Any]:
        """Return what is known of the model as a JSON-ready dict: path, size, classes, provenance, inputs, outputs."""
        names = zip(self.classes.names, self.classes.palette, self.classes.prompts, strict=True)
        facts: dict[str, Any] = {
            "path": None if self.path is None else str(self.path),
            "bytes": self.path.stat().st_size if self.path is not None and self.path.is_file() else None,
            "parameters": self.provenance.get("parameters"),
            "classes": [
                {"id": index, "name": name, "colour": list(colour), "prompts": list(prompts)}
                for index, (name, colour, prompts) in enumerate(names)
            ],
            "provenance": self.provenance,
        }
        if isinstance(self.runtime, FileRuntime):
            for key in ("inputs", "outputs"):
                nodes = getattr(self.runtime, key).items()
                facts[key] = [{"name": name, "type": kind, "shape": shape} for name, (kind, shape) in nodes]
        return facts

    def mask(
        self,
        image: Pixels,
        max_size: int | None = None,
        memory: int = DEFAULT_MEMORY,
        check: Callable[[], None] | None = None,
    ) -> Ids:
        """uint8 RGB (H, W, 3) -> class ids (H, W); arguments as in `predict`, `check` is called between tiles."""
        height, width = image.shape[:2]
        shrink = 1.0 if max_size is None else min(1.0, max_size / max(height, width))
        if shrink == 1.0:
            return self._forward(image, memory, check)
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        smaller = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        small = self._forward(smaller, memory, check)
        rows = ((np.arange(height) + 0.5) * (size[1] / height)).astype(np.intp)
        columns = ((np.arange(width) + 0.5) * (size[0] / width)).astype(np.intp)
        enlarged: Ids = small[np.ix_(rows, columns)]
        return enlarged

    def _forward(self, image: Pixels, memory: int, check: Callable[[], None] | None) -> Ids:
        tiles = plan(image.shape[:2], len(self.classes), memory)
        if tiles is None:
            ids = self.runtime.classes(image[None])
        else:
            ids = segment(self.runtime, image, len(self.classes), tiles, check)[None]
        if ids.shape != (1, *image.shape[:2]):
            found, expected = list(ids.shape), [1, *image.shape[:2]]
            message = f"the network gave class ids of shape {found} for a picture of {expected}"
            raise ModelFileError(message, where=self.path, fix="export the model again")
        if int(ids.max()) >= len(self.classes):
            message = f"the network gave class id {ids.max()}, but its metadata names {len(self.classes)} classes"
            raise ModelFileError(message, where=self.path, fix="export the model again")
        mask: Ids = ids[0]
        return mask
