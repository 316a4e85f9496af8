"""A mask file -> its pixels, or which values it holds and how often, or the reason why it can be no mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bridgeseg.data.containers import LOSSY_TIFF, container
from bridgeseg.data.edges import blended_values
from bridgeseg.data.entries import MaskFacts, Problem
from bridgeseg.data.finding import FileError
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import InputError
from bridgeseg.wording import shown

FORMATS = ("PNG", "BMP", "TIFF")
"""Lossless formats that a mask may have, whatever its suffix says."""
MOST_VALUES = 4096
"""Values or colours of one mask that are kept; a mask has more if its edges are smooth, or if it is no mask."""
STRIPE = 4_000_000
"""Pixels that are counted at a time: NumPy widens what it counts to 8 bytes."""
MOST_UNASKED = 25_000_000
"""Pixels of a mask that is decoded although its size is not that of its image."""

_FIX = "replace the file by an intact single-channel PNG of class ids"
_FIX_LOSSY = "export the masks again, as PNG; renaming or converting them does not help"
_TILES = "cut image and mask into tiles"
_ORIENTATION, _SUB_IMAGES, _LAYERS = 0x0112, 330, 37724
_STRETCHED = {"L;2": 85, "L;4": 17}
"""Pillow stretches greys of 2 and 4 bits to 0..255, by these factors."""


def most_values(spec: DataSpec) -> int:
    """Return how many values or colours of a mask to keep: of those left out, one more than known is among them."""
    known = max(len(spec.classes), len(spec.label_map or ()), len(spec.colour_map or ()))
    return max(MOST_VALUES, known + 2)  # with the ignore value, and one that is not known


@contextmanager
def refusing(kind: str, path: Path) -> Iterator[None]:
    """Turn what a file's reader raises into a `FileError` with the code of its finding; `kind` is image or mask."""
    code, fix = f"{kind}-unreadable", f"replace the file by an intact {kind}, or remove image and mask"
    try:
        yield
    except FileError as error:
        raise FileError(error.code, error.message, where=path, fix=error.fix or fix) from error
    except FileNotFoundError as error:
        message = "the file does not exist, or is a link to nothing"
        raise FileError(f"{kind}-missing", message, where=path, fix=fix) from error
    except UnidentifiedImageError as error:
        raise FileError(code, "not an image in a known format", where=path, fix=fix) from error
    except Image.DecompressionBombError as error:
        raise FileError(f"{kind}-too-large", f"too many pixels: {shown(error)}", where=path, fix=_TILES) from error
    except MemoryError as error:
        message = "there is not enough memory to decode it"
        raise FileError(f"{kind}-too-large", message, where=path, fix=_TILES) from error
    except InputError as error:
        raise FileError(code, error.message, where=path, fix=error.fix or fix) from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise FileError(code, f"cannot be read: {shown(error)}", where=path, fix=fix) from error


def look(path: Path, wanted: tuple[int, int] | None, colours: bool, most: int, *, decode: bool = True) -> MaskFacts:
    """Look into a mask file; a file that can be no mask is one with a `problem`.

    Args:
        path: the file.
        wanted: (width, height) of its image; a mask of another size is not decoded if it is large.
        colours: whether the dataset's masks hold colours (that is, `label_map` lists colours).
        most: values or colours that are kept; if that is more than the dataset knows, an unknown one is among them.
        decode: False looks at the header only.
    """
    facts = MaskFacts()

    def admit(image: Image.Image) -> bool:
        nonlocal facts
        facts = MaskFacts(image.size, image.mode)
        fits = wanted is None or wanted in (image.size, image.size[::-1])
        return decode and (fits or image.width * image.height <= MOST_UNASKED)

    try:
        with refusing("mask", path):
            image, stretch = read(path, colours, admit)
            return _count(image, stretch, colours, most) if image is not None else facts
    except FileError as error:
        return replace(MaskFacts(), problem=Problem(error.code, error.message, error.fix or ""))


def read(path: Path, colours: bool, admit: Callable[[Image.Image], bool]) -> tuple[Image.Image | None, int]:
    """Return the upright, decoded image of a mask file, and the factor by which Pillow stretched its greys.

    Args:
        path: the file.
        colours: whether its colours are wanted, not its values.
        admit: called with the image's header before it is decoded; if it returns False, None is returned.

    Raises:
        FileError: it is of a kind that can be no mask.
        Exception: whatever Pillow raises on a file that cannot be read.
    """
    if path.exists() and not path.is_file():
        raise FileError("mask-unreadable", "not a regular file", fix=_FIX)
    if path.stat().st_size == 0:
        raise FileError("mask-unreadable", "the file is empty", fix=_FIX)
    with _open(path) as image:
        if not admit(image):
            return None, 1
        if (frames := getattr(image, "n_frames", 1)) > 1:
            fix = "save every frame as a file of its own"
            raise FileError("mask-frames", f"the file holds {frames} frames", fix=fix)
        if (compression := str(image.info.get("compression"))) in LOSSY_TIFF:
            text = f"a TIFF compressed as {compression.removeprefix('tiff_').upper()}, which smears ids"
            raise FileError("mask-lossy", text, fix=_FIX_LOSSY)
        tile = getattr(image, "tile", None)
        raw: Any = tile[0][3] if tile else None
        raw = str(raw[0] if isinstance(raw, tuple) and raw else raw)
        image.load()
    if problem := _kind(image.mode, raw, colours):
        raise FileError("mask-kind", problem, fix=_FIX)
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    return image, _STRETCHED.get(raw, 1)


def _open(path: Path) -> Image.Image:
    known = ", ".join(FORMATS)
    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError as error:
        found = container(path)
        if found is None:
            raise FileError("mask-unreadable", f"this is no image, or not one of {known}", fix=_FIX) from error
        if found.lossy:
            text = f"{found.name}, not one of {known}: its compression smears ids"
            raise FileError("mask-lossy", text, fix=_FIX_LOSSY) from error
        raise FileError("mask-format", f"{found.name}, not one of {known}", fix="convert the masks to PNG") from error


def _kind(mode: str, raw: str, colours: bool) -> str | None:
    """Say what keeps pixels of a kind from being those of a mask; `raw` names the file's bytes."""
    if ";16" in raw and mode[0] in "LR":
        return "it has several channels of 16 bits, and only the upper 8 of each can be read"
    if colours:
        return "it has greys of 16 bits or more, and `label_map` lists colours" if mode[0] in "IF" else None
    if mode not in ("L", "P", "1", "LA", "PA", "RGB", "RGBA") and not mode.startswith("I"):
        return f"a mask cannot have pixels of kind {mode}"
    return None


def is_transparent(image: Image.Image) -> bool:
    """Return whether an alpha channel has pixels that are not opaque."""
    return image.mode.endswith("A") and image.getchannel("A").getextrema() != (255, 255)


def values_of(image: Image.Image, stretch: int) -> NDArray[Any] | None:
    """Return the numbers (H, W) that a mask holds; None if they are colours. Grey saved as RGB is grey."""
    if image.mode in ("LA", "PA", "RGB", "RGBA"):
        bands = np.asarray(image)
        if image.mode.startswith("RGB") and not bool((bands[..., :3] == bands[..., :1]).all()):
            return None
        return np.ascontiguousarray(bands[..., 0])
    array = np.array(image)
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    return array // stretch if stretch > 1 else array


def pack(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return (H, W, 3) colours as (H, W) numbers 0xRRGGBB."""
    wide = rgb.astype(np.int32)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])


def _count(image: Image.Image, stretch: int, colours: bool, most: int) -> MaskFacts:
    facts = MaskFacts(image.size, image.mode, transparent=is_transparent(image), extras=_extras(image))
    numbers = None if colours else values_of(image, stretch)
    if numbers is not None:
        counted, more = _histogram(image, stretch) or _values(numbers.ravel(), most)
        palette, repeated = _palette(image, counted) if image.mode == "P" else ({}, frozenset[int]())
        return replace(
            facts, values=counted, more=more, palette=palette, repeated=repeated, blended=blended_values(numbers)
        )
    counted, more = _colours(image, most)
    return replace(facts, colours=counted, more=more)


def _extras(image: Image.Image) -> str:
    """Return what a TIFF holds besides its image."""
    tags = getattr(image, "tag_v2", {})
    return "layers" if _LAYERS in tags else "sub images" if _SUB_IMAGES in tags else ""


def _palette(image: Image.Image, used: Iterable[int]) -> tuple[dict[int, int], frozenset[int]]:
    """Return the colours 0xRRGGBB of the indices that occur, and the colours that stand in the palette repeatedly."""
    colours = pack(np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)).tolist()
    repeated = frozenset(colour for colour, count in Counter(colours).items() if count > 1)
    return {index: colours[index] for index in used if index < len(colours)}, repeated


def _histogram(image: Image.Image, stretch: int) -> tuple[dict[int, int], int] | None:
    """Return the pixels of each value of an image of 8 bits and one channel, fast; None for any other."""
    if image.mode not in ("L", "P", "1"):
        return None
    step = 255 if image.mode == "1" else stretch
    return {value // step: count for value, count in enumerate(image.histogram()) if count}, 0


def _values(numbers: NDArray[Any], most: int) -> tuple[dict[int, int], int]:
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


def _colours(image: Image.Image, most: int) -> tuple[dict[int, int], int]:
    """Return the pixels of each colour, the most frequent first, and how many colours are left out."""
    rgb = image.convert("RGB")
    few: Any = rgb.getcolors(most)
    if few is not None:
        found = [(red << 16 | green << 8 | blue, count) for count, (red, green, blue) in few]
    else:
        codes, counts = np.unique(pack(np.asarray(rgb)), return_counts=True)
        found = list(zip(codes.tolist(), counts.tolist(), strict=True))
    found.sort(key=lambda item: (-item[1], item[0]))
    return dict(found[:most]), max(0, len(found) - most)
