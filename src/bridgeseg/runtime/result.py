"""What a model says about one image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.classes import ClassSet
from bridgeseg.errors import InputError
from bridgeseg.images import Note, Pixels
from bridgeseg.reading.own import MASK, OVERLAY
from bridgeseg.reading.video import Frame
from bridgeseg.report import draw
from bridgeseg.runtime.saving import Record, save_mask, save_overlay

LONGEST_STEM = 180
"""Bytes of a file name that are kept, so that the endings of results fit into the usual limit of 255."""


@dataclass(frozen=True, eq=False)
class Result:
    """Class ids of every pixel of an image.

    Attributes:
        image: the image, uint8 RGB (H, W, 3).
        mask: class ids (H, W), uint8 (uint16 above 256 classes), positions in `classes`.
        classes: names and colours.
        source: the file it was read from; None for an image in memory.
        name: what outputs are named after: the path below the folder that was searched, or the file's name.
        frame: which frame of a video it is; None for an image.
        notes: what was dropped or reinterpreted when the image was read.
        confidence_bytes: probability of the likeliest class of every pixel, uint8 (H, W), 0 to 255; None if the model
            does not say. `confidence` has it as numbers of 0..1.
        least: the confidence, 0..1, below which pixels got `classes.ignore_index` in place of an id; None for all ids.
    """

    image: Pixels
    mask: NDArray[np.uint8] | NDArray[np.uint16]
    classes: ClassSet
    source: Path | None = None
    name: Path = Path("image")
    frame: Frame | None = None
    notes: tuple[Note, ...] = ()
    confidence_bytes: NDArray[np.uint8] | None = None
    least: float | None = None

    @property
    def confidence(self) -> NDArray[np.float32] | None:
        """The probability of the likeliest class of every pixel, float32 (H, W), 0..1; None if the model gives none."""
        return None if self.confidence_bytes is None else self.confidence_bytes.astype(np.float32) / np.float32(255)

    def areas(self) -> dict[str, float]:
        """Return class name -> share of the image (0..1), largest first, absent classes left out.

        They sum to 1, without what `unknown` counts.
        """
        return dict(self._areas)

    @property
    def unknown(self) -> float | None:
        """The share of pixels (0..1) that the model is not sure enough of; None if nothing was asked."""
        return None if self.least is None else max(0.0, 1 - sum(self._areas.values()))

    @cached_property
    def _areas(self) -> dict[str, float]:
        return draw.area_shares(self.mask, self.classes)

    def overlay(self, **options: Any) -> Image.Image:
        """Return the image under the colours of its classes, with a legend; options as in `draw.overlay`.

        Pixels that have no id are dark and hatched.
        """
        if options.get("legend", True):
            options.setdefault("areas", self._areas)
        return draw.overlay(self.image, self.mask, self.classes, **options)

    def save(self, folder: str | Path, *, overlay: bool = True) -> Record:
        """Write `<name>_mask.png` and `<name>_overlay.jpg` into a folder, replacing those of an earlier call.

        To write many images, some of the same name, into one folder use one `Writer` for all of them.

        Raises:
            InputError: the folder or the files cannot be written.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise InputError("results go into a folder, this is a file", where=folder, fix="name another folder")
        return self.save_as(folder / stem(self.name), overlay=overlay)

    def save_as(self, base: Path, *, overlay: bool = True, **options: Any) -> Record:
        """Write `<base>_mask.png` and `<base>_overlay.jpg`; as `save`, for callers that choose the names.

        Args:
            base: the files' path without its endings.
            overlay: write an overlay too.
            options: of the overlay, as in `draw.overlay`.
        """
        mask = base.with_name(base.name + MASK)
        save_mask(draw.palette_image(self.mask, self.classes), mask)
        drawn = save_overlay(self.overlay(**options), base.with_name(base.name + OVERLAY)) if overlay else None
        height, width = self.mask.shape
        return Record(self.source, mask, drawn, width, height, self.areas(), self.notes, self.unknown)


def stem(name: Path) -> Path:
    """Return the name of an image without its ending, cut so that results named after it fit on any file system."""
    short = name.stem
    while len(os.fsencode(short)) > LONGEST_STEM:
        short = short[:-1]
    return name.parent / short
