"""How one image becomes class ids: whole, in sliding windows, at several scales and mirrored.

- **whole**: as `bridgeseg predict` does it, in tiles where the image needs more than the memory that is allowed.
- **slide**: windows of a fixed size, two thirds of a window apart, the last one of each row and column shifted back
  inside the image; logits are averaged where windows overlap. An image no larger than one window is one forward pass,
  so the result is that of *whole* (MMSegmentation's `slide_inference`; its configurations use a stride of 2/3).
- **multiscale**: the image is resized to each scale (Pillow's bilinear filter, antialiased when shrinking) and
  mirrored, each view is predicted whole or in windows, its logits are turned back and resized to the native size (the
  same filter), and the softmax probabilities of all views are averaged.

One image at a time and numpy throughout: a prediction cannot depend on its neighbours in a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridgeseg.errors import ConfigError, nearest
from bridgeseg.images import Pixels
from bridgeseg.runtime.fitting import resized
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.network import Segmented
from bridgeseg.runtime.runtimes import Ids
from bridgeseg.runtime.tiling import DEFAULT_MEMORY

MODES = ("whole", "slide", "multiscale")
MULTISCALE = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Scales of `multiscale` when none are given, the usual six."""
SCALES = (0.01, 16)
"""The smallest and the largest scale of a view: more is a mistake, and fills the memory."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class EvalMode:
    """Which views of an image are predicted and averaged; the default is the image itself.

    Attributes:
        window: (height, width) of sliding windows in pixels, None for the whole image at once.
        scales: factors by which the image is resized, 0.01 to 16.
        flip: predict the mirrored image as well.

    Raises:
        ConfigError: a size is not positive, a scale is too small or too large, or no scale is given.
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
        least, most = SCALES
        if not self.scales or not all(least <= scale <= most for scale in self.scales):
            raise ConfigError(
                f"scales are numbers from {least} to {most}, found {self.scales}",
                where="scales",
                fix="e.g. 0.75, 1, 1.25",
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
            scales: factors by which the image is resized; None for those of the mode.
            flip: predict the mirrored image as well.

        Raises:
            ConfigError: the name is unknown, or the arguments do not go with it.
        """
        if name not in MODES:
            raise ConfigError(f"unknown mode {name!r}; {nearest(name, MODES)}", where="mode")
        if name == "slide" and window is None:
            fix = "give height and width, e.g. `window=512x512`"
            raise ConfigError("sliding windows need a size", where="window", fix=fix)
        if name == "whole" and window is not None:
            raise ConfigError(
                "a window goes with sliding windows", where="window", fix="`mode=slide`, or leave `window` out"
            )
        if name == "multiscale":
            scales, flip = (MULTISCALE if scales is None else scales), True
        size = None if window is None else (window, window) if isinstance(window, int) else tuple(window)
        return cls(size, tuple(float(scale) for scale in ((1.0,) if scales is None else scales)), flip)  # type: ignore[arg-type]  # checked above

    @property
    def needs_logits(self) -> bool:
        """Whether class ids alone do not do, because several predictions are averaged."""
        return self.window is not None or self.scales != (1.0,) or self.flip


def predict_classes(model: Model, image: Pixels, mode: EvalMode | None = None, memory: int = DEFAULT_MEMORY) -> Ids:
    """Predict one image.

    Args:
        model: what predicts it.
        image: (H, W, 3) uint8 RGB.
        mode: which views to average; by default the image itself.
        memory: MB that the network may use at a time, as in `Model.predict`. The average of several views is held at
            the image's own size, 4 bytes for each class and pixel, whatever this says.

    Returns:
        Class ids (H, W), uint8 (uint16 above 256 classes).

    Raises:
        ModelFileError: the mode averages logits and the network gives none, or its output is not of the image's size.
    """
    return segment(model, image, mode, memory, sure=False).ids


def segment(
    model: Model, image: Pixels, mode: EvalMode | None = None, memory: int = DEFAULT_MEMORY, *, sure: bool = True
) -> Segmented:
    """Predict one image, and say how sure the network is, where it says so; as `predict_classes`.

    Of several views confidence is the largest of the averaged probabilities, without the temperature of a file.
    """
    mode = mode or EvalMode()
    if mode.scales == (1.0,) and not mode.flip:
        if sure:
            return model.segment(image, memory=memory, window=mode.window)
        return Segmented(model.mask(image, memory=memory, window=mode.window))
    # In place: with many classes one array of probabilities is already the largest thing in memory.
    views = _probabilities(model, image, mode, memory)
    total, count = next(views), 1
    for probabilities in views:
        total += probabilities
        count += 1
    ids: Ids = total.argmax(axis=0).astype(np.uint8 if len(total) <= 256 else np.uint16)
    confidence = (total.max(axis=0) * (255 / count) + 0.5).astype(np.uint8) if sure else None
    return Segmented(ids, confidence)


def _probabilities(model: Model, image: Pixels, mode: EvalMode, memory: int) -> Iterator[Floats]:
    """Yield the softmax probabilities (K, H, W) of every view of one image, turned back and at native size."""
    height, width = image.shape[:2]
    for scale in mode.scales:
        scaled = resized(image, (max(1, round(height * scale)), max(1, round(width * scale))))
        for mirrored in (False, True) if mode.flip else (False,):
            view = np.ascontiguousarray(scaled[:, ::-1]) if mirrored else scaled
            logits = model.logits(view, memory=memory, window=mode.window)
            logits = np.ascontiguousarray(logits[:, :, ::-1]) if mirrored else logits
            if logits.shape[1:] != (height, width):
                logits = np.stack([resized(channel, (height, width)) for channel in logits])
            yield _softmax(logits)


def _softmax(logits: Floats) -> Floats:
    """Return softmax over the first axis, a new array."""
    exponentials: Floats = np.exp(logits - logits.max(axis=0, keepdims=True))
    exponentials /= exponentials.sum(axis=0, keepdims=True)
    return exponentials
