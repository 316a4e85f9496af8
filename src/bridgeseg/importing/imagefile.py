"""The size of an image, from the head of its file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from bridgeseg.data.files import SWAPPED
from bridgeseg.errors import InputError
from bridgeseg.images import DEFAULT_MAX_PIXELS, open_image
from bridgeseg.importing.model import Unusable
from bridgeseg.wording import shown

ORIENTATION = 0x0112


@dataclass(frozen=True)
class Head:
    """What the head of a file says.

    Attributes:
        size: (height, width) of the upright image, as training reads it.
        stored: (height, width) in the file.
        orientation: of EXIF, 1..8.
        format: Pillow's name of the file's format.
    """

    size: tuple[int, int]
    stored: tuple[int, int]
    orientation: int
    format: str


def head(image: Path | bytes) -> Head:
    """Read the head of an image's file, or of its bytes.

    Raises:
        Unusable: it is no image that can be read, or too large.
    """
    try:
        with open_image(image if isinstance(image, Path) else io.BytesIO(image), DEFAULT_MAX_PIXELS) as opened:
            try:
                found = opened.getexif().get(ORIENTATION, 1)
            except Exception:  # a broken EXIF block, which readers pass over too
                found = 1
            turn = found if isinstance(found, int) and 1 <= found <= 8 else 1
            width, height = opened.size
            size = (width, height) if turn >= SWAPPED else (height, width)
            return Head(size, (height, width), turn, opened.format or "")
    except InputError as error:
        raise Unusable(error.message) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise Unusable(f"it cannot be read as an image: {shown(error)}") from error
