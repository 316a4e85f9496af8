"""A mask file -> which values it holds, how often, and in what form. Reads on where training would stop.

What is an error here is what `bridgeseg.data.masks.read_mask` refuses; the tests hold the two against each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bridgeseg.data.findings import pack
from bridgeseg.data.masks import FORMATS, no_colours, too_deep

MOST_VALUES = 4096
"""Values or colours of one mask that are kept; a mask has more if its edges are smooth, or if it is no mask."""
STRIPE = 4_000_000
"""Pixels that are counted at a time: NumPy widens what it counts to 8 bytes."""
MOST_UNASKED = 25_000_000
"""Pixels of a mask that is decoded although its size is not that of its image."""
_FIX = "replace the file by an intact single-channel PNG of class ids"
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Problem:
    """Why a file cannot be used: the code of its finding, what was found, what to do."""

    code: str
    text: str
    fix: str


class MaskProblemError(Exception):
    """A mask that cannot be read, with the `problem`."""

    def __init__(self, code: str, text: str, fix: str = _FIX) -> None:
        super().__init__(text)
        self.problem = Problem(code, text, fix)


@dataclass(frozen=True)
class MaskFacts:
    """What a mask file holds.

    Attributes:
        size: (width, height), upright; None if the file cannot be read.
        mode: Pillow's name of its kind of pixels.
        values: value -> pixels; None if it was not decoded, or holds colours.
        colours: 0xRRGGBB -> pixels, the most frequent first; None unless it holds colours.
        more: values or colours that are left out.
        transparent: whether it has an alpha channel with pixels that are not opaque.
        problem: why it cannot be used.
    """

    size: tuple[int, int] | None = None
    mode: str = ""
    values: dict[int, int] | None = None
    colours: dict[int, int] | None = None
    more: int = 0
    transparent: bool = False
    problem: Problem | None = None


def read(path: Path, wanted: tuple[int, int] | None, colours: bool, most: int, *, decode: bool = True) -> MaskFacts:
    """Look into a mask file.

    Args:
        path: the file.
        wanted: (width, height) of its image; a mask of another size is not decoded if it is large.
        colours: whether the dataset's masks hold colours (that is, `label_map` lists colours).
        most: values or colours that are kept; if that is more than the dataset knows, an unknown one is among them.
        decode: False looks at the header only.

    Raises:
        MaskProblemError: it is of a kind that cannot be a mask.
        Exception: whatever Pillow raises on a file that cannot be read.
    """
    if path.exists() and not path.is_file():
        raise MaskProblemError("mask-unreadable", "not a regular file")
    if path.stat().st_size == 0:
        raise MaskProblemError("mask-unreadable", "the file is empty")
    picture = _open(path)
    with picture:
        size = picture.size
        turned = (size[1], size[0])
        if wanted is not None and wanted not in (size, turned) and size[0] * size[1] > MOST_UNASKED:
            return MaskFacts(size, picture.mode)
        if getattr(picture, "n_frames", 1) > 1:
            text = f"the file holds {picture.n_frames} frames"
            raise MaskProblemError("mask-frames", text, "save every frame as a file of its own")
        if not decode:
            return MaskFacts(size, picture.mode)
        raw = picture.tile[0][3] if picture.tile else None
        picture.load()
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if problem := too_deep(picture.mode, raw) or (no_colours(picture.mode) if colours else None):
        raise MaskProblemError("mask-kind", problem)
    if colours:
        found, more = _colours(picture, most)
        return MaskFacts(picture.size, picture.mode, colours=found, more=more, transparent=_transparent(picture))
    return _values(picture, str(raw[0] if isinstance(raw, tuple) and raw else raw), most)


def _open(path: Path) -> Any:
    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError as error:
        lossy = path.read_bytes()[:3] == b"\xff\xd8\xff"
        if lossy:
            text, fix = "a JPEG, whose compression smears ids", "export the masks again, as PNG; renaming does not help"
            raise MaskProblemError("mask-lossy", text, fix) from error
        raise MaskProblemError("mask-unreadable", f"this is no image, or not one of {', '.join(FORMATS)}") from error


def _values(picture: Image.Image, raw: str, most: int) -> MaskFacts:
    mode, size = picture.mode, picture.size
    if mode in ("L", "P", "1"):
        counts = picture.histogram()
        values = {value: count for value, count in enumerate(counts) if count}
        if mode == "1":
            values = {value // 255: count for value, count in values.items()}
        # Pillow stretches greys of 2 and 4 bits to 0..255.
        bits = re.fullmatch(r"L;([24])", raw)
        step = 255 // (2 ** int(bits[1]) - 1) if bits else 1
        return MaskFacts(size, mode, {value // step: count for value, count in values.items()})
    if mode.startswith("I"):
        values, more = _count(np.asarray(picture).ravel(), most)
        return MaskFacts(size, mode, values, more=more)
    if mode not in ("LA", "PA", "RGB", "RGBA"):
        raise MaskProblemError("mask-kind", f"a mask cannot have pixels of kind {mode}")
    transparent = _transparent(picture)
    first = picture.getchannel(0)
    grey = mode in ("LA", "PA") or all(picture.getchannel(band).tobytes() == first.tobytes() for band in (1, 2))
    if grey:
        values = {value: count for value, count in enumerate(first.histogram()) if count}
        return MaskFacts(size, mode, values, transparent=transparent)
    colours, more = _colours(picture, most)
    return MaskFacts(size, mode, colours=colours, more=more, transparent=transparent)


def _transparent(picture: Image.Image) -> bool:
    return picture.mode.endswith("A") and picture.getchannel("A").getextrema() != (255, 255)


def _count(numbers: NDArray[Any], most: int) -> tuple[dict[int, int], int]:
    """Return the pixels of each value, and how many values are left out; numbers that no mask holds are kept first."""
    total, strange = np.zeros(65536, np.int64), dict[int, int]()
    for start in range(0, len(numbers), STRIPE):
        part = numbers[start : start + STRIPE]
        if int(part.min()) < 0 or int(part.max()) > 65535:
            inside = (part >= 0) & (part <= 65535)
            found, counts = np.unique(part[~inside], return_counts=True)
            for value, count in zip(found[:most].tolist(), counts[:most].tolist(), strict=True):
                if value in strange or len(strange) < most:
                    strange[value] = strange.get(value, 0) + count
            part = part[inside]
        total += np.bincount(part, minlength=65536)
    values = np.flatnonzero(total)
    kept = strange | {int(value): int(total[value]) for value in values[: max(0, most - len(strange))]}
    return kept, len(values) + len(strange) - len(kept)


def _colours(picture: Image.Image, most: int) -> tuple[dict[int, int], int]:
    """Return the pixels of each colour, the most frequent first, and how many colours are left out."""
    rgb = picture.convert("RGB")
    few: Any = rgb.getcolors(most)
    if few is not None:
        found = [(red << 16 | green << 8 | blue, count) for count, (red, green, blue) in few]
    else:
        codes, counts = np.unique(pack(np.asarray(rgb)), return_counts=True)
        found = list(zip(codes.tolist(), counts.tolist(), strict=True))
    found.sort(key=lambda item: (-item[1], item[0]))
    return dict(found[:most]), max(0, len(found) - most)
