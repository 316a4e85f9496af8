"""A trained model: preprocess -> forward -> postprocess -> Result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bridgeseg.classes import ClassSet
from bridgeseg.description import SHIPPED, facts
from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.images import DEFAULT_MAX_PIXELS, Note, Pixels, Reading, as_pixels
from bridgeseg.naming import named
from bridgeseg.reading.loading import ImageInput, InMemory, one_image
from bridgeseg.reading.sources import Failure, Source
from bridgeseg.runtime.metadata import trained_reading
from bridgeseg.runtime.network import Network, Segmented, without_unsure
from bridgeseg.runtime.opening import open_place
from bridgeseg.runtime.processor import INT8, bundled
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.runtimes import FOLDERS, FileRuntime, Ids, Runtime
from bridgeseg.runtime.streaming import stream
from bridgeseg.runtime.tiling import DEFAULT_MEMORY
from bridgeseg.runtime.windows import Floats
from bridgeseg.settings.predict import Predict
from bridgeseg.vocabulary.asked import Names, asked
from bridgeseg.vocabulary.lookup import trained_names

BUNDLED = SHIPPED / f"{INT8}.onnx"
"""The street-scene model that comes with the package, in 8 bits."""


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

    Attributes:
        reading: how images are read unless a call says otherwise: as those that it was trained on.
        chosen: of the bundled model, if none was named: why this file of it (`processor.bundled`); else empty.

    Raises:
        ModelFileError: the provenance says something else there.
    """

    def __init__(
        self, runtime: Runtime, classes: ClassSet, provenance: dict[str, Any], path: str | Path | None = None
    ) -> None:
        self.runtime, self.classes, self.provenance = runtime, classes, provenance
        self.path = None if path is None else Path(path)
        self.reading = trained_reading(provenance, self.path)
        self.chosen = ""
        self._origin: tuple[Any, ...] | None = None

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        threads: int | None = None,
        runtime: str | None = None,
        compile: bool = False,
        names: Names | None = None,
        embeddings: str | Path | None = None,
    ) -> Model:
        """Load an .onnx file written by `bridgeseg export`, or a checkpoint or run folder.

        Args:
            path: the file or folder; the name of a bundled file: `street-int8` or `street`, the same in float (None is
                the one that suits the processor, see `processor.bundled`); or `hf:OWNER/NAME`, a repository of the
                Hugging Face hub: its .onnx file, its checkpoint where it has none or `runtime` is `torch`. A folder
                needs the train extra, a repository the hub extra.
            threads: number of CPU threads; None for one per core.
            runtime: what runs it: `onnxruntime` (the default), `openvino` or one that a package brings for a file,
                `torch` for a folder.
            compile: of a folder, let `torch.compile` translate the network at the first image.
            names: what the classes are to be, in place of those that it was trained with (see
                `vocabulary.asked.asked`): of a folder whose network language guides, and of a file that was exported
                with `open`.
            embeddings: a .safetensors file with the vectors of these names, if they are not at hand (see
                `vocabulary.lookup.look_up`).

        Raises:
            ModelFileError: there is no such file, or it is not a whole bridgeseg file.
            MissingDependencyError: the runtime's package is not installed, or the hub's client.
            InputError: the model of a repository cannot be had.
            ConfigError: a runtime that does not exist or does not go with what was given, less than one thread, or
                names that it cannot take.
        """
        wants_folder = compile or runtime == FOLDERS
        place, chosen = bundled() if path is None else (named(path, "folder" if wants_folder else "file"), "")
        if path is None and not place.is_file():
            fix = "reinstall bridgeseg, or name a model file: `model=FILE.onnx`"
            raise ModelFileError("the bundled model is missing from this installation", where=place, fix=fix)
        if names is not None:
            asked(names)  # a mistake in them is told before anything is loaded
        model = cls(*open_place(place, threads, runtime, compile, names, embeddings))
        kept = None if names is None else model.classes
        model.chosen = chosen
        model._origin = (place.absolute(), threads, runtime, compile, kept, embeddings)
        return model

    @classmethod
    def of(
        cls,
        model: str | Path | Model | None,
        threads: int | None = None,
        runtime: str | None = None,
        compile: bool = False,
        names: Names | None = None,
        embeddings: str | Path | None = None,
    ) -> Model:
        """Return a model that is loaded already, with other names if any are given; or load it.

        Arguments and errors are those of `load` and, for a loaded one, `with_names`.

        Raises:
            ConfigError: it is loaded, and something is given that is decided then.
        """
        if not isinstance(model, Model):
            return cls.load(model, threads, runtime, compile, names, embeddings)
        for key, value in {"threads": threads, "runtime": runtime, "compile": compile or None}.items():
            if value is not None:
                fix = f"bridgeseg.load(FILE, {key}={value!r})"
                raise ConfigError("is decided when a model is loaded, and this one is already", where=key, fix=fix)
        return model if names is None else model.with_names(names, embeddings)

    @property
    def takes_names(self) -> bool:
        """Whether it can be loaded with other names than its own."""
        if isinstance(self.runtime, FileRuntime):
            return self.runtime.class_embeddings is not None
        return self._origin is not None and bool(getattr(self.runtime, "takes_names", False))

    @property
    def trained_names(self) -> tuple[str, ...]:
        """The names that the network was trained with, which `classes` may leave out and add to."""
        return trained_names(self.classes, self.provenance)

    def with_names(self, names: Names, embeddings: str | Path | None = None) -> Model:
        """Load it again with other names; arguments and errors are those of `load`.

        Raises:
            TypeError: it was not made by `load`.
        """
        if self._origin is None:
            raise TypeError("only a Model made by `load` can get other names: it is loaded again from its file")
        place, threads, runtime, compile, _, own = self._origin
        return type(self).load(place, threads, runtime, compile, names, embeddings or own)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the path and options it was loaded with; whoever unpickles it loads it again.

        Raises:
            TypeError: it was not made by `load`.
        """
        if self._origin is None:
            raise TypeError("only a Model made by `load` can be pickled: it is loaded again from its file")
        return _reopened, (type(self), self._origin, self.classes.to_dict(), self.provenance)

    def predict(
        self,
        source: str | Path | Source | InMemory,
        *,
        max_size: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        memory: int = DEFAULT_MEMORY,
        image_range: float | Sequence[float] | None = None,
        bands: Sequence[int] | None = None,
        unknown: float | None = None,
    ) -> Result:
        """Segment one image.

        Args:
            source: a file, or an image in memory, as `images.as_pixels` takes it.
            max_size: images whose longest side is longer are scaled down to it for the network, which saves time and
                memory; class ids come back at the image's own size.
            max_pixels: images with more are refused.
            memory: MB that the network may use; an image that needs more is done in overlapping tiles (see `tiling`).
            image_range: the values of black and white in images of more than 8 bits, as `pixels.Reading` explains; by
                default those of the images that the network was trained on.
            bands: which bands are red, green and blue, as `pixels.Reading` explains; by default as in training.
            unknown: pixels whose confidence (0..1) is below this get 255 (65535 above 255 classes) in place of an id.

        Raises:
            InputError: the image cannot be read or used.
            ModelFileError: the network's answer does not fit its metadata.
            ConfigError: an option has a value that cannot be, or the model gives no confidence for `unknown`.
        """
        Predict(sources=source, max_size=max_size, max_pixels=max_pixels, memory=memory, unknown=unknown)
        how, notes = Reading.of(image_range, bands).over(self.reading), list[Note]()
        if isinstance(source, str | Path):
            source = one_image(source)
        if isinstance(source, Source):
            image, path, name = source.load(max_pixels, None, how, notes), source.path, source.name
        else:
            image, path, name = as_pixels(source, how, notes, max_pixels), None, Path("image")
        found = self.segment(image, max_size, memory)
        if unknown is not None:
            found = without_unsure(found, self.classes, unknown, self.path)
        return Result(image, found.ids, self.classes, path, name, None, tuple(notes), found.confidence, unknown)

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
        max_frames: int | None = None,
        reconnect: float = 60.0,
        image_range: float | Sequence[float] | None = None,
        bands: Sequence[int] | None = None,
        unknown: float | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Result | Failure]:
        """Segment images and videos one after the other; one that cannot be read does not stop the rest.

        A thread reads a few images ahead, another runs the network; both end with the iterator. So `sources` are
        asked for in another thread, and a few further than results are.

        Args:
            sources: one or many of: files, folders, globs (see `sources.find`), videos, `camera:0`, addresses of
                streams (see `reading.live`), a `PathStream`, and what `predict` takes.
            recursive: search the subfolders of folders.
            max_size: as in `predict`.
            max_pixels: as in `predict`, of each frame too.
            memory: as in `predict`.
            every: of a video, a camera or a stream, take every Nth frame only.
            max_fps: of a video, a camera or a stream, take at most so many frames a second.
            max_frames: end after so many frames of each video, camera or stream.
            reconnect: seconds for which a stream that broke off is tried again.
            image_range: as in `predict`.
            bands: as in `predict`.
            unknown: as in `predict`.
            stop: once set, no more is read; what the network has begun still comes.

        Yields:
            A Result for each image and frame, or a Failure that says what is wrong with it. A damaged video gives the
            frames it has and then a Failure.

        Raises:
            ModelFileError: the network's answer does not fit its metadata.
            ConfigError: an option has a value that cannot be.
        """
        asked = Predict(
            sources=sources, recursive=recursive, max_size=max_size, max_pixels=max_pixels, memory=memory,
            every=every, max_fps=max_fps, max_frames=max_frames, reconnect=reconnect, image_range=image_range,
            bands=bands, unknown=unknown,
        )  # fmt: skip
        yield from stream(self, asked, stop)

    def describe(self) -> dict[str, Any]:
        """Return what is known of the model as a JSON-ready dict: path, size, classes, provenance, inputs, outputs."""
        known = facts(self.path, self.classes, self.provenance) | ({"chosen": self.chosen} if self.chosen else {})
        if isinstance(self.runtime, FileRuntime):
            for key in ("inputs", "outputs"):
                nodes = getattr(self.runtime, key).items()
                known[key] = [{"name": name, "type": kind, "shape": shape} for name, (kind, shape) in nodes]
        return known

    def mask(
        self,
        image: Pixels,
        max_size: int | None = None,
        memory: int = DEFAULT_MEMORY,
        check: Callable[[], None] | None = None,
        window: tuple[int, int] | None = None,
    ) -> Ids:
        """Turn pixels into class ids.

        Args:
            image: uint8 RGB (H, W, 3).
            max_size: as in `predict`.
            memory: as in `predict`.
            check: called between tiles; what it raises ends the work.
            window: (height, width) of sliding windows whose logits are averaged, instead of the image in one piece.

        Returns:
            Class ids (H, W), uint8 (uint16 above 256 classes).

        Raises:
            InputError: the network failed on this image, for want of memory for one.
            ModelFileError: its answer does not fit its metadata; or windows are asked for and it gives no logits.
        """
        return self._network.segment(image, max_size, memory, check, window, sure=False).ids

    def segment(
        self,
        image: Pixels,
        max_size: int | None = None,
        memory: int = DEFAULT_MEMORY,
        check: Callable[[], None] | None = None,
        window: tuple[int, int] | None = None,
    ) -> Segmented:
        """Turn pixels into class ids and, where the network gives it, confidence; arguments and errors as of `mask`.

        Where tiles or windows overlap, confidence is averaged as the logits are; where tiles meet at a line, it is that
        of the tile that gives the id.
        """
        return self._network.segment(image, max_size, memory, check, window, sure=True)

    def interrupt(self, thread: int) -> None:
        """End what the network does in a thread (its `threading.get_ident()`), where the runtime can."""
        if (interrupt := getattr(self.runtime, "interrupt", None)) is not None:
            interrupt(thread)

    def logits(self, image: Pixels, memory: int = DEFAULT_MEMORY, window: tuple[int, int] | None = None) -> Floats:
        """Turn pixels (H, W, 3) uint8 RGB into logits (K, H, W); arguments and errors as of `mask`."""
        return self._network.logits(image, memory, window)

    @property
    def confident(self) -> bool:
        """Whether it says how sure it is: folders do, and files that were exported with `confidence`."""
        return self._network.confident

    @property
    def _network(self) -> Network:
        return Network(self.runtime, len(self.classes), self.path)


def _reopened(kind: type[Model], origin: tuple[Any, ...], classes: dict[str, Any], provenance: dict[str, Any]) -> Model:
    """Load a pickled model again, and refuse another that lies in its place by now."""
    model = kind.load(*origin)
    if (model.classes.to_dict(), model.provenance) != (classes, provenance):
        message = "another model lies here now than when this one was pickled"
        raise ModelFileError(message, where=origin[0], fix="pickle the new one: bridgeseg.load(path)")
    return model
