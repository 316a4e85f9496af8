"""What the page shows: models side by side, and their results drawn as a visitor wants them. Knows of no web page."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from threading import Lock
from typing import Any

from PIL import Image

from bridgeseg.description import title
from bridgeseg.errors import BridgeSegError
from bridgeseg.images import Pixels, as_pixels
from bridgeseg.predicting.run import predict
from bridgeseg.report.draw import OPACITY, Drawing
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.network import Segmented, without_unsure
from bridgeseg.runtime.result import Result
from bridgeseg.settings.demo import Demo
from bridgeseg.settings.predict import Predict

VOCABULARIES, VIDEOS = 8, 8
"""How many sets of names are kept loaded, and how many videos on disk."""


@dataclass(frozen=True)
class Look:
    """How results are drawn.

    Attributes:
        opacity: weight of the colours, 0 (the image alone) to 1 (the colours alone).
        show: names of the classes that are coloured; None for all.
        least: confidence, 0..1, below which pixels are hatched.
    """

    opacity: float = OPACITY
    show: tuple[str, ...] | None = None
    least: float = 0.0

    def hidden(self, model: Model) -> tuple[str, ...]:
        """Return the classes of a model that are not coloured."""
        return () if self.show is None else tuple(name for name in model.classes.names if name not in self.show)

    def unknown(self, model: Model) -> float | None:
        """Return the least confidence for a model that says how sure it is; None for the others, and for 0."""
        return self.least if self.least > 0 and model.confident else None


class Stage:
    """One or two models.

    Args:
        models: they.
        max_size: images with a longer side are scaled down to it for the networks.
    """

    def __init__(self, models: Sequence[Model], max_size: int) -> None:
        self.models, self.max_size = tuple(models), max_size
        self._renamed: OrderedDict[str, Stage] = OrderedDict()
        self._lock, self._folder, self._videos = Lock(), TemporaryDirectory(prefix="bridgeseg-demo-"), list[Path]()

    @classmethod
    def of(cls, asked: Demo) -> Stage:
        """Load the models that are not loaded yet; errors are those of `Model.of`."""
        named = {"names": asked.names, "embeddings": asked.embeddings}
        places = (asked.model, asked.beside)[: 1 if asked.beside is None else 2]
        models = [Model.of(place, asked.threads, asked.runtime, **named) for place in places]
        return cls(models, asked.max_size)

    @property
    def names(self) -> list[str]:
        """The classes of all models, each once."""
        return list(dict.fromkeys(name for model in self.models for name in model.classes.names))

    @property
    def titles(self) -> list[str]:
        """What the models are called: their files, or the run folders around their checkpoints."""
        return [title(model.path) for model in self.models]

    @property
    def confident(self) -> bool:
        """Whether a model says how sure it is."""
        return any(model.confident for model in self.models)

    @property
    def takes_names(self) -> bool:
        """Whether every model takes other names than its own."""
        return all(model.takes_names for model in self.models)

    def with_names(self, text: str | None) -> Stage:
        """Return the same models with other names; they stay loaded for a while.

        Args:
            text: as `--names` takes it; None or empty for those that they were loaded with.

        Raises:
            InputError: a model does not take these names.
        """
        text = (text or "").strip()
        if not text:
            return self
        with self._lock:
            found = self._renamed.pop(text, None)
            if found is None:
                found = Stage([model.with_names(text) for model in self.models], self.max_size)
            self._renamed[text] = found
            while len(self._renamed) > VOCABULARIES:
                self._renamed.popitem(last=False)
        return found

    def segment(self, image: Any) -> tuple[Pixels, list[Segmented]]:
        """Segment an image in memory by every model; return its pixels, too.

        Raises:
            InputError: it cannot be used.
        """
        pixels = as_pixels(image)
        return pixels, [model.segment(pixels, self.max_size) for model in self.models]

    def draw(self, image: Pixels, found: Sequence[Segmented], look: Look) -> list[Image.Image]:
        """Return an overlay with a legend for every model."""
        return [self._one(model, image, one, look) for model, one in zip(self.models, found, strict=True)]

    def _one(self, model: Model, image: Pixels, found: Segmented, look: Look) -> Image.Image:
        least = look.unknown(model)
        if least is not None:
            found = without_unsure(found, model.classes, least, model.path)
        result = Result(image, found.ids, model.classes, confidence_bytes=found.confidence, least=least)
        return result.overlay(drawing=Drawing(look.opacity, look.hidden(model)))

    def video(self, path: str | Path, look: Look) -> list[Path]:
        """Write an overlay video for every model; the last few are kept.

        Raises:
            InputError: it cannot be read, or the results cannot be written.
        """
        out = Path(mkdtemp(dir=self._folder.name))
        with self._lock:
            self._videos.append(out)
            old, self._videos = self._videos[:-VIDEOS], self._videos[-VIDEOS:]
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
        made = []
        for place, model in enumerate(self.models):
            how: dict[str, Any] = {"opacity": look.opacity, "hide": look.hidden(model), "unknown": look.unknown(model)}
            target = out / str(place)
            for item in predict(Predict(sources=str(path), model=model, out=target, max_size=self.max_size, **how)):
                if (error := getattr(item, "error", None)) is not None and isinstance(error, BridgeSegError):
                    raise error
                made.append(Path(item.overlay))
        return made
