"""What a model says about one picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.classes import ClassSet
from bridgeseg.images import Pixels
from bridgeseg.report import draw

if TYPE_CHECKING:
    from bridgeseg.predicting.video import Frame
    from bridgeseg.predicting.writer import Record


@dataclass(frozen=True, eq=False)
class Result:
    """Class ids of every pixel of a picture.

    Attributes:
        image: the picture, uint8 RGB (H, W, 3).
        mask: class ids (H, W), uint8 (uint16 above 256 classes), positions in `classes`.
        classes: names and colours.
        source: the file it was read from; None for a picture in memory.
        name: what outputs are named after: the path below the folder that was searched, or the file's name.
        frame: which frame of a video it is; None for a picture.
    """

    image: Pixels
    mask: NDArray[np.uint8] | NDArray[np.uint16]
    classes: ClassSet
    source: Path | None = None
    name: Path = Path("picture")
    frame: Frame | None = None

    def areas(self) -> dict[str, float]:
        """Return class name -> share of the picture (0..1), largest first, absent classes left out; they sum to 1."""
        return dict(self._areas)

    @cached_property
    def _areas(self) -> dict[str, float]:
        return draw.area_shares(self.mask, self.classes)

    def overlay(self, **options: Any) -> Image.Image:
        """Return the picture under the colours of its classes, with a legend; options as in `draw.overlay`."""
        if options.get("legend", True):
            options.setdefault("areas", self._areas)
        return draw.overlay(self.image, self.mask, self.classes, **options)

    def save(self, folder: str | Path, *, overlay: bool = True) -> Record:
        """Write `<name>_mask.png` and `<name>_overlay.jpg` into a folder, replacing those of an earlier call.

        To write many pictures, some of the same name, into one folder use one `Writer` for all of them.

        Raises:
            InputError: the folder or the files cannot be written.
        """
        from bridgeseg.predicting.writer import Writer

        return Writer(folder, overlay=overlay).write(self)
