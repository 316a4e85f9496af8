"""A trained model: preprocess -> forward -> postprocess -> Result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.inference.images import DEFAULT_MAX_PIXELS, Pixels, as_pixels, read_image
from bridgeseg.inference.metadata import read_metadata
from bridgeseg.inference.result import Result
from bridgeseg.inference.runtimes import Ids, OnnxRuntime, Runtime
from bridgeseg.inference.sources import Failure, Source, find

BUNDLED = Path(__file__).parents[1] / "weights" / "street.onnx"
"""The street-scene model that comes with the package."""

Picture = str | Path | Source | Image.Image | NDArray[Any]


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
    def load(cls, path: str | Path | None = None, threads: int | None = None) -> Model:
        """Load an .onnx file written by `bridgeseg export`; None loads the bundled street-scene model.

        Raises:
            ModelFileError: there is no such file, or it is not a whole bridgeseg file.
        """
        if path is None and not BUNDLED.is_file():
            fix = "reinstall bridgeseg, or name a model file: --model FILE.onnx"
            raise ModelFileError("the bundled model is missing from this installation", where=BUNDLED, fix=fix)
        runtime = OnnxRuntime(BUNDLED if path is None else path, threads)
        classes, provenance = read_metadata(runtime)
        return cls(runtime, classes, provenance, runtime.path)

    def predict(self, source: Picture, *, max_size: int | None = None, max_pixels: int = DEFAULT_MAX_PIXELS) -> Result:
        """Segment one picture.

        Args:
            source: a file, a Pillow image, or a uint8 RGB array (H, W, 3).
            max_size: pictures whose longest side is longer are scaled down to it for the network, which saves time and
                memory; class ids come back at the picture's own size.
            max_pixels: files with more pixels are refused.

        Raises:
            InputError: the picture cannot be read or used.
            ModelFileError: the network's answer does not fit its metadata.
        """
        if max_size is not None and max_size < 1:
            raise ConfigError(f"at least one pixel, found {max_size}", where="max_size", fix="max_size=1024")
        if isinstance(source, Source):
            image, path, name = source.load(max_pixels), source.path, source.name
        elif isinstance(source, str | Path):
            image, path, name = read_image(source, max_pixels), Path(source), Path(Path(source).name)
        else:
            return Result(image := as_pixels(source), self._mask(image, max_size), self.classes)
        return Result(image, self._mask(image, max_size), self.classes, path, name)

    def stream(
        self,
        sources: Picture | Iterable[Picture | Failure],
        *,
        recursive: bool = False,
        max_size: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Iterator[Result | Failure]:
        """Segment pictures one after the other; one that cannot be read does not stop the rest.

        Args:
            sources: one or many of: files, folders, globs (see `sources.find`), and what `predict` takes.
            recursive: search the subfolders of folders.
            max_size: as in `predict`.
            max_pixels: as in `predict`.

        Yields:
            A Result for each picture, or a Failure that says what is wrong with it.

        Raises:
            ModelFileError: the network's answer does not fit its metadata.
        """
        for item in expand(sources, recursive=recursive):
            if isinstance(item, Failure):
                yield item
                continue
            try:
                yield self.predict(item, max_size=max_size, max_pixels=max_pixels)
            except (ModelFileError, ConfigError):  # the same for every picture
                raise
            except InputError as error:
                yield Failure(item.path if isinstance(item, Source) else None, error)

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
        if isinstance(self.runtime, OnnxRuntime):
            for key in ("inputs", "outputs"):
                nodes = getattr(self.runtime, key).items()
                facts[key] = [{"name": name, "type": kind, "shape": shape} for name, (kind, shape) in nodes]
        return facts

    def _mask(self, image: Pixels, max_size: int | None) -> Ids:
        """uint8 RGB (H, W, 3) -> class ids (H, W)."""
        height, width = image.shape[:2]
        shrink = 1.0 if max_size is None else min(1.0, max_size / max(height, width))
        if shrink == 1.0:
            return self._forward(image)
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        small = self._forward(np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)))
        rows = ((np.arange(height) + 0.5) * (size[1] / height)).astype(np.intp)
        columns = ((np.arange(width) + 0.5) * (size[0] / width)).astype(np.intp)
        enlarged: Ids = small[np.ix_(rows, columns)]
        return enlarged

    def _forward(self, image: Pixels) -> Ids:
        ids = self.runtime.classes(image[None])
        if ids.shape != (1, *image.shape[:2]):
            found, expected = list(ids.shape), [1, *image.shape[:2]]
            message = f"the network gave class ids of shape {found} for a picture of {expected}"
            raise ModelFileError(message, where=self.path, fix="export the model again")
        if int(ids.max()) >= len(self.classes):
            message = f"the network gave class id {ids.max()}, but its metadata names {len(self.classes)} classes"
            raise ModelFileError(message, where=self.path, fix="export the model again")
        mask: Ids = ids[0]
        return mask


def expand(
    sources: Picture | Iterable[Picture | Failure], *, recursive: bool = False, skip: str | Path | None = None
) -> Iterator[Source | Failure | Image.Image | NDArray[Any]]:
    """Replace names of files, folders and globs by the pictures they lead to; what is in memory passes as it is.

    Raises:
        InputError: something that is no picture and names none.
    """
    for item in as_list(sources):
        if isinstance(item, str | Path):
            yield from find([item], recursive, skip)
        elif isinstance(item, Source | Failure | Image.Image | np.ndarray):
            yield item
        else:
            kind = type(item).__name__
            raise InputError(f"a picture is a file name, a Pillow image or an array, found {kind}", fix="convert it")


def as_list(sources: Any) -> Iterable[Any]:
    """Return one picture as a list of it, many as they are."""
    return [sources] if isinstance(sources, str | Path | Source | Image.Image | np.ndarray) else sources
