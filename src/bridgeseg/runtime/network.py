"""One image -> class ids, confidence, logits: scaled to what a network takes, in one piece, in tiles or in windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from bridgeseg.classes import ClassSet
from bridgeseg.description import SHIPPED
from bridgeseg.errors import ConfigError, ModelFileError, advising
from bridgeseg.images import Pixels
from bridgeseg.runtime.fitting import enlarged, fitted, resized
from bridgeseg.runtime.runtimes import Greys, Ids, Runtime
from bridgeseg.runtime.tiling import Tiles, half, plan, segment, spans
from bridgeseg.runtime.windows import Floats, Joined, Window, blend, highest, sliding

AGAIN = "export the model again"


class Segmented(NamedTuple):
    """Class ids (H, W), uint8 (uint16 above 256 classes), and confidence (H, W), 0 to 255; None without."""

    ids: Ids
    confidence: Greys | None = None


@dataclass(frozen=True)
class Network:
    """A runtime, and what its answers are held against.

    Attributes:
        runtime: what runs it.
        classes: how many there are.
        path: the file or folder that errors name.
    """

    runtime: Runtime
    classes: int
    path: Path | None

    @property
    def confident(self) -> bool:
        """Whether it says how sure it is."""
        return bool(getattr(self.runtime, "confident", False))

    def segment(
        self,
        image: Pixels,
        max_size: int | None,
        memory: int,
        check: Callable[[], None] | None,
        window: tuple[int, int] | None,
        sure: bool,
    ) -> Segmented:
        """Segment an image; arguments and errors as of `Model.segment`."""
        sure, size = sure and self.confident, (image.shape[0], image.shape[1])
        if window is not None:
            found = self._empty(size, sure)
            runtime = Joined(self.runtime) if sure else self.runtime
            with advising(_smaller(window)):
                highest(blend(runtime, image, *self._windows(image, window, memory), check), *found)
            return self._checked(found.ids[None], found.confidence, size)
        only: tuple[int, int] | None = getattr(self.runtime, "size", None)
        if only is not None:
            canvas, (height, width) = fitted(image, only)
            ids, confidence = self._once(canvas, sure)
            cut = confidence if confidence is None else enlarged(confidence[:height, :width], size)
            return Segmented(enlarged(ids[:height, :width], size), cut)
        shrink = 1.0 if max_size is None else min(1.0, max_size / max(size))
        if shrink == 1.0:
            return self._forward(image, sure, memory, check)
        smaller = resized(image, (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))))
        ids, confidence = self._forward(smaller, sure, memory, check)
        return Segmented(enlarged(ids, size), confidence if confidence is None else enlarged(confidence, size))

    def logits(self, image: Pixels, memory: int, window: tuple[int, int] | None) -> Floats:
        """Return logits (K, H, W); arguments and errors as of `Model.logits`."""
        found = np.empty((self.classes, *image.shape[:2]), np.float32)
        with advising(_smaller(window) if window else self._less(found.shape[1:], memory)):
            for rows, columns, logits in blend(self.runtime, image, *self._windows(image, window, memory)):
                if len(logits) != len(found):
                    message = f"the network gave logits of {len(logits)} classes, but its metadata names {len(found)}"
                    raise ModelFileError(message, where=self.path, fix=AGAIN)
                found[:, rows, columns] = logits
        return found

    def _windows(self, image: Pixels, window: tuple[int, int] | None, memory: int) -> tuple[list[Window], list[Window]]:
        height, width = image.shape[:2]
        if window is not None:
            return sliding(height, window[0]), sliding(width, window[1])
        tiles = plan((height, width), self.classes, memory) or Tiles(height, width)
        rows, columns = spans(height, tiles.height, tiles.fade), spans(width, tiles.width, tiles.fade)
        return [row.window for row in rows], [column.window for column in columns]

    def _forward(self, image: Pixels, sure: bool, memory: int, check: Callable[[], None] | None) -> Segmented:
        """Run an image through, in tiles if it needs more than `memory` MB."""
        size = (image.shape[0], image.shape[1])
        tiles = plan(size, self.classes, memory)
        with advising(self._less(size, memory)):
            if tiles is None:
                return self._once(image, sure)
            confidence = np.zeros(size, np.uint8) if sure else None
            ids = segment(self.runtime, image, self.classes, tiles, check, confidence)
        return self._checked(ids[None], confidence, size)

    def _once(self, image: Pixels, sure: bool) -> Segmented:
        """Run an image through in one piece."""
        size = (image.shape[0], image.shape[1])
        if not sure:
            return self._checked(self.runtime.classes(image[None]), None, size)
        ids, greys = cast(Any, self.runtime).with_confidence("classes", image[None])
        if greys.shape != (1, *size):
            message = f"the network gave confidence of shape {list(greys.shape)} for an image of {[1, *size]}"
            raise ModelFileError(message, where=self.path, fix=AGAIN)
        return self._checked(ids, greys[0], size)

    def _less(self, size: tuple[int, ...], memory: int) -> str:
        """Say how it can do with half of the memory that an image takes now."""
        less = half(size, self.classes, memory)
        return "give it smaller images" if less is None else f"let the network use less at a time: `memory={less}`"

    def _empty(self, size: tuple[int, int], sure: bool) -> Segmented:
        ids: Ids = np.zeros(size, np.uint8) if self.classes <= 256 else np.zeros(size, np.uint16)
        return Segmented(ids, np.zeros(size, np.uint8) if sure else None)

    def _checked(self, ids: Ids, confidence: Greys | None, size: tuple[int, int]) -> Segmented:
        """Return the one mask of a batch (1, H, W) whose ids are all classes, beside its confidence."""
        if ids.shape != (1, *size):
            message = f"the network gave class ids of shape {list(ids.shape)} for an image of {[1, *size]}"
            raise ModelFileError(message, where=self.path, fix=AGAIN)
        if int(ids.max()) >= self.classes:
            message = f"the network gave class id {ids.max()}, but its metadata names {self.classes} classes"
            raise ModelFileError(message, where=self.path, fix=AGAIN)
        return Segmented(ids[0], confidence)


def _smaller(window: tuple[int, int]) -> str:
    return f"use smaller windows: `window={max(1, min(window) // 2)}`"


def unsure(wanted: str, path: Path | None = None) -> ConfigError:
    """Return the error of what is wanted of a model, at `path`, that gives no confidence."""
    bundled = path is not None and path.parent == SHIPPED
    fix = (
        "make a file that does, and give it by `model=sure.onnx`: "
        "bridgeseg export --model street --confidence --out sure.onnx"
        if bundled
        else "export it with confidence: bridgeseg export --model RUN --confidence --out FILE.onnx"
    )
    return ConfigError(f"this model does not say how sure it is: {wanted} needs confidence", where=path, fix=fix)


def without_unsure(found: Segmented, classes: ClassSet, least: float, path: Path | None) -> Segmented:
    """Replace the ids of pixels that the network is not sure of.

    Args:
        found: what it gave.
        classes: the classes; their `ignore_index`, 255 (65535 above 255 classes), takes the place of ids.
        least: confidence, 0..1, below which an id is replaced.
        path: the model that an error names.

    Raises:
        ConfigError: it gives no confidence.
    """
    if found.confidence is None:
        raise unsure("`unknown`", path)
    ids: Ids = found.ids.astype(np.uint8) if classes.ignore_index <= 255 else found.ids.astype(np.uint16)  # copies
    below = np.arange(256, dtype=np.float32) / np.float32(255) < np.float32(least)  # as `Result.confidence` has them
    ids[below[found.confidence]] = classes.ignore_index
    return Segmented(ids, found.confidence)
