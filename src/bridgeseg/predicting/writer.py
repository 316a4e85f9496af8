"""Results -> files: names that never collide, and files that are whole or not there at all."""

from __future__ import annotations

import os
import uuid
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from bridgeseg.classes import ClassSet
from bridgeseg.errors import InputError
from bridgeseg.predicting.video import Video
from bridgeseg.predicting.video_writer import DEFAULT_CODEC, VideoSink
from bridgeseg.report.draw import palette_image
from bridgeseg.runtime.result import Result

MASK, OVERLAY = "_mask.png", "_overlay.jpg"
VIDEO, MASKS = "_overlay.mp4", "_masks"
JPEG_SIDE = 65_535
"""JPEG cannot hold a longer side; such an overlay is written as PNG."""
LONGEST_STEM = 180
"""Bytes of a file name that are kept, so that the endings above fit into the usual limit of 255."""


@dataclass(frozen=True)
class Record:
    """What was written for one picture.

    Attributes:
        source: the file it was read from; None for a picture in memory.
        mask: the PNG of class ids.
        overlay: the picture with its classes and legend; None if none was asked for.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        areas: class name -> share of the picture (0..1), largest first.
    """

    source: Path | None
    mask: Path
    overlay: Path | None
    width: int
    height: int
    areas: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict; shares are rounded to six digits."""
        return {
            "source": None if self.source is None else str(self.source),
            "mask": str(self.mask),
            "overlay": None if self.overlay is None else str(self.overlay),
            "width": self.width,
            "height": self.height,
            "areas": {name: round(share, 6) for name, share in self.areas.items()},
        }


class Writer:
    """Writes the results of one run into a folder.

    A picture `street.jpg` becomes `street_mask.png` and `street_overlay.jpg`; pictures found in subfolders keep them.
    A second picture that would take the same names (`other/street.jpg`, `street.png`) becomes `street-2_mask.png` and
    so on, in the order of the run. Files of earlier runs are replaced, pictures listed in `inputs` never.

    Args:
        folder: made when the first result is written.
        overlay: write overlays too.
        inputs: real paths of files that must not be replaced.

    Raises:
        InputError: `folder` is a file.
    """

    def __init__(self, folder: str | Path, *, overlay: bool = True, inputs: Iterable[str] = ()) -> None:
        self.folder, self.overlay = Path(folder), overlay
        self._inputs = frozenset(path.casefold() for path in inputs)
        self._taken: set[int] = set()  # of a million names the hashes; two of the same cost no more than a "-2"
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError("results go into a folder, this is a file", where=self.folder, fix="name another folder")

    def write(self, result: Result) -> Record:
        """Write the files of one picture.

        Raises:
            InputError: the disk is full, the folder cannot be written or the like; no partial file is left behind.
        """
        stem = self._stem(result.name)
        mask = self.folder / f"{stem}{MASK}"
        save_mask(palette_image(result.mask, result.classes), mask)
        overlay = None
        if self.overlay:
            picture = result.overlay()
            overlay = self.folder / f"{stem}{OVERLAY}"
            if max(picture.size) > JPEG_SIDE:
                overlay = overlay.with_suffix(".png")
                _save(picture, overlay, "PNG")
            else:
                _save(picture, overlay, "JPEG", quality=92, subsampling=0)
        height, width = result.mask.shape
        return Record(result.source, mask, overlay, width, height, result.areas())

    def video(self, video: Video, classes: ClassSet, *, masks: bool = False, codec: str = DEFAULT_CODEC) -> VideoSink:
        """Choose the names for a video, `<name>_overlay.mp4` and the folder `<name>_masks`; nothing is written yet."""
        stem = self._stem(video.name)
        return VideoSink(
            video,
            classes,
            self.folder / f"{stem}{VIDEO}" if self.overlay else None,
            self.folder / f"{stem}{MASKS}" if masks else None,
            codec,
            save_mask,
        )

    def _stem(self, name: Path) -> str:
        """Choose the path below the folder, without ending, that no other picture of this run has."""
        short = name.stem
        while len(os.fsencode(short)) > LONGEST_STEM:
            short = short[:-1]
        first = str(name.parent / short)
        stem, number = first, 1
        # Upper and lower case count as the same: on some file systems they are.
        while hash(stem.casefold()) in self._taken or self._is_input(stem):
            number += 1
            stem = f"{first}-{number}"
        self._taken.add(hash(stem.casefold()))
        return stem

    def _is_input(self, stem: str) -> bool:
        if not self._inputs:
            return False
        base = os.path.realpath(self.folder)
        endings = (MASK, OVERLAY, str(Path(OVERLAY).with_suffix(".png")), VIDEO)
        return any(os.path.join(base, stem + ending).casefold() in self._inputs for ending in endings)  # noqa: PTH118


def save_mask(image: Image.Image, path: Path) -> None:
    """Write a picture of class ids as PNG, in the way that is fast and small for large areas of one value.

    Raises:
        InputError: it cannot be written.
    """
    _save(image, path, "PNG", compress_level=1, compress_type=zlib.Z_RLE)


def _save(image: Image.Image, path: Path, kind: str, **options: Any) -> None:
    """Write a picture under a temporary name in the same folder, then move it into place."""
    part = path.parent / f".bridgeseg-{uuid.uuid4().hex}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            image.save(file, kind, **options)
        part.replace(path)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror or error}", where=path, fix="free some space, or choose another --out"
        ) from error
    finally:
        with suppress(OSError):  # it is in place, or was never made
            part.unlink()
