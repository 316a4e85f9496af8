"""What a model says about one image."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg import outlines
from bridgeseg.classes import ClassSet, hexadecimal
from bridgeseg.errors import InputError, MissingDependencyError
from bridgeseg.images import Note, Pixels
from bridgeseg.outlines import Area
from bridgeseg.reading.own import MASK, OVERLAY
from bridgeseg.reading.video import Frame
from bridgeseg.report import draw
from bridgeseg.runtime.saving import Record, save_mask, save_overlay
from bridgeseg.wording import printable

LONGEST_STEM = 180
"""Bytes of a file name that are kept, so that the endings of results fit into the usual limit of 255."""

SHOWN = 800
"""Longest side of what a notebook shows, in pixels."""


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

    def confidence_image(self) -> Image.Image | None:
        """Return `confidence` as an image of 16-bit grey (mode `I;16`), 65535 for a probability of 1; None without it.

        The model gives it in 256 steps, so neighbouring values are 257 apart.
        """
        if self.confidence_bytes is None:
            return None
        return Image.fromarray(self.confidence_bytes.astype(np.uint16) * np.uint16(257))

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

    def show(self) -> None:
        """Show the overlay with its legend: in a notebook below the cell, else in the system's viewer of images."""
        inside = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if getattr(inside, "kernel", None) is not None:
            sys.modules["IPython"].display.display(self)
        else:
            self.overlay().show(title=self.name.name)

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows of it: the overlay with its legend, as PNG."""
        return draw.picture(self._small(legend=True), "PNG")

    def _repr_html_(self) -> str:
        """Return what a notebook shows of it: the overlay, and below it the classes, their colours and shares."""
        from bridgeseg.report.html import data_url, render

        colours = dict(zip(self.classes.names, map(hexadecimal, self.classes.palette), strict=True))
        legend = [(printable(name), colours[name], draw.percent(share)) for name, share in self._areas.items()]
        if self.unknown:
            legend.append(("unknown", hexadecimal(draw.UNKNOWN), draw.percent(self.unknown)))
        address = data_url(draw.picture(self._small(legend=False), "JPEG"), "image/jpeg")
        return render("result.html", name=printable(self.name), address=address, legend=legend)

    def _small(self, *, legend: bool) -> Image.Image:
        """Return the overlay, its sides at most `SHOWN` pixels: a notebook keeps what it shows."""
        drawn = self.overlay(legend=legend)
        drawn.thumbnail((SHOWN, SHOWN))
        return drawn

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

    def polygons(self, *, min_area: int = 1, simplify: float = 0.0) -> list[Area]:
        """Return the areas of every class with their outlines, along the borders of pixels.

        Args:
            min_area: leave out areas of fewer pixels.
            simplify: leave out corners as long as outlines move by no more pixels than this; 0 keeps all.
        """
        return outlines.areas(self.mask, self.classes.names, min_area, simplify)

    def to_coco(
        self, areas: Iterable[Area] | None = None, *, image_id: int = 1, first_id: int = 1
    ) -> dict[str, list[dict[str, Any]]]:
        """Return images, annotations and categories of COCO's JSON, an annotation for each area.

        Category ids are class ids plus 1. COCO knows no holes: they hang at the outline by a cut without width.

        Args:
            areas: those to write; all of `polygons()` by default.
            image_id: of this image.
            first_id: of the first annotation.
        """
        height, width = self.mask.shape
        annotations = [
            {
                "id": number,
                "image_id": image_id,
                "category_id": area.class_id + 1,
                "segmentation": [area.joined().ravel().tolist()],
                "area": area.pixels,
                "bbox": list(area.box),
                "iscrowd": 0,
            }
            for number, area in enumerate(self.polygons() if areas is None else areas, first_id)
        ]
        image = {"id": image_id, "file_name": self.name.as_posix(), "width": width, "height": height}
        categories = [{"id": number, "name": name} for number, name in enumerate(self.classes.names, 1)]
        return {"images": [image], "annotations": annotations, "categories": categories}

    def to_supervision(self) -> Any:
        """Return `supervision.Detections` with a detection for each class that occurs: its box, mask and name.

        Raises:
            MissingDependencyError: the package supervision is not installed.
        """
        try:
            from supervision import Detections, mask_to_xyxy
        except ImportError as error:
            message = "this needs the package 'supervision', which is not installed"
            raise MissingDependencyError(message, fix="pip install supervision") from error
        found = [value for value in np.unique(self.mask).tolist() if value < len(self.classes)]
        masks = self.mask[None] == np.array(found, self.mask.dtype)[:, None, None]
        names = np.array([self.classes.names[value] for value in found])
        return Detections(mask_to_xyxy(masks), masks, class_id=np.array(found), data={"class_name": names})

    def save_as(self, base: Path, *, mask: bool = True, overlay: bool = True, **options: Any) -> Record:
        """Write `<base>_mask.png` and `<base>_overlay.jpg`; as `save`, for callers that choose the names.

        Args:
            base: the files' path without its endings.
            mask: write the mask.
            overlay: write an overlay too.
            options: of the overlay, as in `draw.overlay`.
        """
        path = base.with_name(base.name + MASK) if mask else None
        if path is not None:
            save_mask(draw.palette_image(self.mask, self.classes), path)
        drawn = save_overlay(self.overlay(**options), base.with_name(base.name + OVERLAY)) if overlay else None
        height, width = self.mask.shape
        return Record(self.source, path, drawn, width, height, self.areas(), self.notes, self.unknown)


def stem(name: Path) -> Path:
    """Return the name of an image without its ending, cut so that results named after it fit on any file system."""
    short = name.stem
    while len(os.fsencode(short)) > LONGEST_STEM:
        short = short[:-1]
    return name.parent / short
