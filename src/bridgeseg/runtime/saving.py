"""Class ids and overlays as files that are whole or not there at all."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bridgeseg.files import replacing
from bridgeseg.pixels import Note
from bridgeseg.reading.own import MARK

JPEG_SIDE = 65_535
"""JPEG cannot hold a longer side; such an overlay is written as PNG."""
FIX = "free some space, or choose another `out`"


@dataclass(frozen=True)
class Record:
    """What was written for one image.

    Attributes:
        source: the file it was read from; None for an image in memory.
        mask: the PNG of class ids; None if none was asked for.
        overlay: the image with its classes and legend; None if none was asked for.
        width: of the image, in pixels.
        height: of the image, in pixels.
        areas: class name -> share of the image (0..1), largest first.
        notes: what was dropped or reinterpreted when the image was read, and labels that tools will not find.
        unknown: share of the image (0..1) that the model is not sure enough of; None if nothing was asked.
        files: form -> the file that the image's result went into, of the forms that were asked for beside PNG.
    """

    source: Path | None
    mask: Path | None
    overlay: Path | None
    width: int
    height: int
    areas: dict[str, float]
    notes: tuple[Note, ...] = ()
    unknown: float | None = None
    files: Mapping[str, Path] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; shares are rounded to six digits."""
        return {
            "source": None if self.source is None else str(self.source),
            "mask": None if self.mask is None else str(self.mask),
            "overlay": None if self.overlay is None else str(self.overlay),
            "width": self.width,
            "height": self.height,
            "areas": {name: round(share, 6) for name, share in self.areas.items()},
            **({} if self.unknown is None else {"unknown": round(self.unknown, 6)}),
            **({"files": {form: str(path) for form, path in self.files.items()}} if self.files else {}),
            **({"notes": [asdict(note) for note in self.notes]} if self.notes else {}),
        }


def save_mask(image: Image.Image, path: Path, about: dict[str, str] | None = None) -> None:
    """Write an image of class ids as PNG, in the way that is fast and small for large areas of one value.

    Args:
        image: the class ids.
        path: where it goes.
        about: names and texts that the file holds beside the mark of a result.

    Raises:
        InputError: it cannot be written.
    """
    with replacing(path, FIX) as part:
        image.save(part, "PNG", compress_level=1, compress_type=zlib.Z_RLE, pnginfo=marked(about))


def save_overlay(image: Image.Image, path: Path) -> Path:
    """Write an overlay as JPEG, or as PNG if it is too large for that, and return where it is.

    Raises:
        InputError: it cannot be written.
    """
    large = max(image.size) > JPEG_SIDE
    path = path.with_suffix(".png") if large else path
    with replacing(path, FIX) as part:
        if large:
            image.save(part, "PNG", pnginfo=marked())
        else:
            image.save(part, "JPEG", quality=92, subsampling=0, comment=MARK)
    return path


def marked(about: dict[str, str] | None = None) -> PngInfo:
    """Return the text of a PNG: the mark by which a later run recognises its results, and what else is to be said."""
    info = PngInfo()
    for key, value in {"Software": MARK, **(about or {})}.items():
        info.add_text(key, value)
    return info
