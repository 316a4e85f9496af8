"""How one picture becomes class ids: whole, in sliding windows, at several scales and mirrored.

- **whole**: one forward pass over the picture as it is.
- **slide**: windows of a fixed size, two thirds of a window apart, the last one of each row and column shifted back
  inside the picture; logits are averaged where windows overlap. A picture no larger than one window is one forward
  pass, so the result is that of *whole* (MMSegmentation's `slide_inference`; its configurations use a stride of 2/3).
- **multiscale**: the picture is resized to each scale (Pillow's bilinear filter, antialiased when shrinking) and
  mirrored, each view is predicted whole or in windows, its logits are turned back and resized to the native size (the
  same filter), and the softmax probabilities of all views are averaged.

One picture at a time and numpy throughout: a prediction cannot depend on its neighbours in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bridgeseg.errors import ConfigError, ModelFileError, nearest

MODES = ("whole", "slide", "multiscale")
MULTISCALE = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Scales of `multiscale` when none are given, the usual six."""

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Ids = NDArray[np.integer[Any]]


class PredictsClasses(Protocol):
    """A network that gives class ids: enough for the whole-image mode."""

    def classes(self, images: Image, /) -> Ids:
        """Turn images (B, H, W, 3) uint8 RGB into class ids (B, H, W)."""


class PredictsLogits(Protocol):
    """A network that gives logits: enough for every mode."""

    def logits(self, images: Image, /) -> Floats:
        """Turn images (B, H, W, 3) uint8 RGB into logits (B, K, H, W) float32."""


Predictor = PredictsClasses | PredictsLogits
"""Either or both; every `bridgeseg.runtime.runtimes.Runtime` is one."""


@dataclass(frozen=True)
class EvalMode:
    """Which views of a picture are predicted and averaged; the default is the picture itself.

    Attributes:
        window: (height, width) of sliding windows in pixels, None for the whole picture at once.
        scales: factors by which the picture is resized, each above 0.
        flip: predict the mirrored picture as well.

    Raises:
        ConfigError: a size or a scale is not positive, or no scale is given.
    """

    window: tuple[int, int] | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        sides = self.window
        if sides is not None and (len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides)):
            raise ConfigError(
                f"a window is (height, width) of at least 1 pixel each, found {self.window}", where="window"
            )
        if not self.scales or not all(math.isfinite(scale) and scale > 0 for scale in self.scales):
            raise ConfigError(
                f"scales are numbers above 0, found {self.scales}", where="scales", fix="e.g. 0.75, 1, 1.25"
            )

    @classmethod
    def named(
        cls,
        name: str = "whole",
        window: int | Sequence[int] | None = None,
        scales: Sequence[float] | None = None,
        flip: bool = False,
    ) -> EvalMode:
        """Make a mode from the arguments a command line takes.

        Args:
            name: `whole`; `slide`, which needs a window; or `multiscale`, which always mirrors and takes six scales
                from 0.5 to 1.75 where none are given. `scales` and `flip` go with every mode, `window` also with
                `multiscale`.
            window: (height, width), or one number for a square.
            scales: factors by which the picture is resized; None for those of the mode.
            flip: predict the mirrored picture as well.

        Raises:
            ConfigError: the name is unknown, or the arguments do not go with it.
        """
        if name not in MODES:
            raise ConfigError(f"unknown mode {name!r}; {nearest(name, MODES)}", where="mode")
        if name == "slide" and window is None:
            fix = "give height and width, e.g. --window 512x512"
            raise ConfigError("sliding windows need a size", where="window", fix=fix)
        if name == "whole" and window is not None:
            raise ConfigError(
                "a window goes with sliding windows", where="window", fix="choose mode `slide`, or drop it"
            )
        if name == "multiscale":
            scales, flip = (MULTISCALE if scales is None else scales), True
        size = None if window is None else (window, window) if isinstance(window, int) else tuple(window)
        return cls(size, tuple(float(scale) for scale in ((1.0,) if scales is None else scales)), flip)  # type: ignore[arg-type]  # checked above

    @property
    def needs_logits(self) -> bool:
        """Whether class ids alone do not do, because several predictions are averaged."""
        return self.window is not None or self.scales != (1.0,) or self.flip


def predict_classes(predictor: Predictor, image: Image, mode: EvalMode | None = None) -> Ids:
    """Predict one picture.

    Args:
        predictor: network with `classes`, `logits` or both.
        image: (H, W, 3) uint8 RGB.
        mode: which views to average; by default the picture itself.

    Returns:
        Class ids (H, W), an integer array.

    Raises:
        ModelFileError: the mode averages logits and the network gives none, or its output is not of the picture's size.
    """
    mode = mode or EvalMode()
    if not mode.needs_logits and (classes := _method(predictor, "classes")):
        ids: Ids = _of_size(classes(image[None]), image)
        return ids
    if mode.scales == (1.0,) and not mode.flip:
        return _highest(predict_logits(predictor, image, mode.window))
    # In place: with many classes one array of probabilities is already the largest thing in memory.
    views = _probabilities(predictor, image, mode)
    total = next(views)
    for probabilities in views:
        total += probabilities
    return _highest(total)


def predict_logits(predictor: Predictor, image: Image, window: tuple[int, int] | None = None) -> Floats:
    """Predict the logits (K, H, W) of one picture (H, W, 3), whole or averaged over sliding windows (height, width).

    Raises:
        ModelFileError: the network gives no logits, or logits of another size than the picture.
    """
    logits = _method(predictor, "logits")
    if logits is None:
        raise ModelFileError(
            "this model gives class ids only; sliding windows, scales and flips average its logits",
            fix="export it with logits (`bridgeseg export --logits`), or use mode `whole` without scales and flip",
        )
    height, width = image.shape[:2]
    if window is None or (height <= window[0] and width <= window[1]):
        whole: Floats = _of_size(logits(image[None]), image).astype(np.float32, copy=False)
        return whole
    total = np.zeros((0, height, width), np.float32)
    hits = np.zeros((height, width), np.float32)
    for rows, columns in windows(height, width, window):
        part = np.ascontiguousarray(image[rows, columns])
        predicted = _of_size(logits(part[None]), part)
        if not len(total):  # the number of classes is known from the first window on
            total = np.zeros((len(predicted), height, width), np.float32)
        total[:, rows, columns] += predicted
        hits[rows, columns] += 1
    total /= hits
    return total


def windows(height: int, width: int, window: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Yield the (rows, columns) of windows that cover a picture of `height` x `width` pixels, row by row.

    >>> [(rows.start, rows.stop) for rows, _ in windows(10, 3, (6, 6))]
    [(0, 6), (4, 10)]
    """
    for top in _starts(height, window[0]):
        for left in _starts(width, window[1]):
            yield slice(top, min(top + window[0], height)), slice(left, min(left + window[1], width))


def _probabilities(predictor: Predictor, image: Image, mode: EvalMode) -> Iterator[Floats]:
    """Yield the softmax probabilities (K, H, W) of every view of one picture, turned back and at native size."""
    height, width = image.shape[:2]
    for scale in mode.scales:
        scaled = _resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))
        for mirrored in (False, True) if mode.flip else (False,):
            view = np.ascontiguousarray(scaled[:, ::-1]) if mirrored else scaled
            logits = predict_logits(predictor, view, mode.window)
            logits = np.ascontiguousarray(logits[:, :, ::-1]) if mirrored else logits
            if logits.shape[1:] != (height, width):
                logits = np.stack([_resize(channel, (height, width)) for channel in logits])
            yield _softmax(logits)


def _starts(length: int, window: int) -> list[int]:
    stride = max(1, window * 2 // 3)
    steps = math.ceil(max(length - window, 0) / stride) + 1
    return [max(0, min(step * stride, length - window)) for step in range(steps)]


def _method(predictor: Predictor, name: str) -> Any:
    """Return a method of the predictor, None if it has no such one."""
    method = getattr(predictor, name, None)
    return method if callable(method) else None


def _of_size(output: Any, image: Image) -> Any:
    """Return the single item of a batch of one, whose last two axes must be the picture's."""
    item = np.asarray(output)[0]
    if item.shape[-2:] != image.shape[:2]:
        raise ModelFileError(
            f"the model gave an output of {item.shape[-2:]} for a picture of {image.shape[:2]} (height, width)",
            fix="export it again with `bridgeseg export`, which keeps the size of the picture",
        )
    return item


def _highest(values: Floats) -> Ids:
    ids: Ids = values.argmax(axis=0)
    return ids


def _softmax(logits: Floats) -> Floats:
    """Return softmax over the first axis, a new array."""
    exponentials: Floats = np.exp(logits - logits.max(axis=0, keepdims=True))
    exponentials /= exponentials.sum(axis=0, keepdims=True)
    return exponentials


def _resize(array: Any, size: tuple[int, int]) -> Any:
    """Resize (H, W, 3) uint8 or (H, W) float32 to (height, width), bilinear, antialiased when shrinking."""
    from PIL import Image as PILImage

    if array.shape[:2] == size:
        return array
    return np.asarray(PILImage.fromarray(array).resize((size[1], size[0]), PILImage.Resampling.BILINEAR))
