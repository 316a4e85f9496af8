"""Files with more bands or more bits of colour than Pillow holds, through tifffile and imagecodecs (extra: raster)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.errors import DataError, MissingDependencyError
from bridgeseg.pixels import (
    Note,
    Pixels,
    Reading,
    cut_note,
    dark_note,
    ends_of,
    finite_range,
    is_deep,
    nan_note,
    scaled,
)

TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ORIENTATIONS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""Value of the tag -> how its image is turned upright, as EXIF defines them."""
ORIENTATION, SAMPLES = 274, 277
BYTES = 8
"""Of a pixel: more bands or larger values count as more pixels."""
TIGHTEST = 2000
"""No image is packed tighter than this; a file that claims it would only cost memory and time."""
ROWS = 1_000_000
"""Pixels that are scaled at a time."""
READ = 2**24
"""Bytes that are read from a file at a time."""


def is_tiff(file: Path | BinaryIO) -> bool:
    """Whether a file begins like a TIFF."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return opened.read(4) in TIFFS
    file.seek(0)
    return file.read(4) in TIFFS


def is_needed(image: Image.Image, how: Reading) -> bool:
    """Whether Pillow would not give what is asked for of an image that it has opened and not yet loaded."""
    deep = how.image_range is not None and image.format in ("TIFF", "PNG") and is_deep(image)
    bands = how.bands is not None and max(how.bands) >= len(image.getbands()) > 1 and extra_bands(image) > 0
    # of bands that are stored one after the other Pillow may open the first alone
    apart = image.format == "TIFF" and len(image.getbands()) == 1 and getattr(image, "tag_v2", {}).get(SAMPLES, 1) >= 3
    return deep or bands or apart


def extra_bands(image: Image.Image) -> int:
    """Return how many bands of a TIFF Pillow leaves out; only before it is loaded."""
    parts = [
        str(part[3][0] if isinstance(part[3], tuple) else part[3])
        for part in getattr(image, "tile", [])
        if len(part) > 3
    ]
    return parts[0].partition(";")[0].count("X") if image.format == "TIFF" and parts else 0


def bands_note(count: int) -> Note:
    """Say that there are more bands than three."""
    message = f"{count} bands: the first three are read as red, green and blue"
    return Note("bands", message, "name those of red, green and blue, or of grey: `bands: [0, 1, 2]`")


def read_raster(
    file: Path | BinaryIO,
    max_pixels: int,
    admit: Callable[[int], None] | None,
    how: Reading,
    notes: list[Note] | None,
) -> Pixels:
    """Read a file of any number of bands and bits as uint8 RGB (H, W, 3); arguments as in `images.read_image`.

    One tile or strip of a TIFF after the other is decoded and scaled: of the values themselves no more is in memory.

    Raises:
        MissingDependencyError: the packages of the extra are not installed.
        DataError: bands that are not there, values whose black and white are not known, or too many.
    """
    with _opened(file, max_pixels) as raster:
        height, width = raster.size
        if not height * width:
            raise DataError(f"the file says that it has {width}x{height} pixels", fix="export it again: it is damaged")
        if admit is not None:
            admit(height * width)
        said: list[Note] = []
        if how.bands is None and raster.count > 3:
            said.append(bands_note(raster.count))
        chosen = how.bands or ((0, 1, 2) if raster.count >= 3 else (0,))
        if max(chosen) >= raster.count:
            fix = f"name `bands` of 0..{raster.count - 1}"
            raise DataError(f"there is no band {max(chosen)}, it has {raster.count}", fix=fix)
        pixels = np.empty((height, width, 3), np.uint8)
        scale = _Scale(raster.dtype, how)
        for (top, left), bands, values in raster.parts(chosen):
            step = max(1, ROWS // values.shape[1])
            for row in range(0, len(values), step):
                part = values[row : row + step]
                place = slice(top + row, top + row + len(part)), slice(left, left + part.shape[1]), bands
                pixels[place] = scale.of(part)
    said += scale.said(height * width * len(chosen))
    if notes is not None:
        notes += said
    return pixels if raster.turn is None else raster.turn(pixels)


class _Scale:
    """Scales values to 8 bits, and keeps in mind what they were."""

    def __init__(self, dtype: np.dtype[Any], how: Reading) -> None:
        self._how, self._plain, self._floats = how, dtype == np.uint8, dtype.kind == "f"
        self._ends = how.image_range or (0.0, 1.0 if self._floats else 65535.0)
        self._low = self._high = np.nan
        self._outside = self._nan = 0

    def of(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        if self._plain:
            return values
        low, high = self._ends
        lowest, highest = finite_range(values)
        self._low, self._high = np.fmin(self._low, lowest), np.fmax(self._high, highest)
        self._nan += int(np.count_nonzero(np.isnan(values)))
        self._outside += int(np.count_nonzero((values < low) | (values > high)))
        return scaled(values, self._ends)

    def said(self, count: int) -> list[Note]:
        """Return what is to be said of so many values.

        Raises:
            DataError: nobody said what is black and white, and the values do not tell.
        """
        if self._plain:
            return []
        ends = ends_of(float(self._low), float(self._high), self._floats, self._how)
        dark = dark_note(float(self._high)) if self._how.image_range is None and not self._floats else None
        found = [dark] if dark is not None else []
        found += [cut_note(self._outside / count, ends)] if self._outside else []
        return [*found, nan_note(self._nan / count)] if self._nan else found


Part = tuple[tuple[int, int], Any, NDArray[Any]]
"""First row and column, the bands of the result (an index), and values (h, w, bands)."""


@dataclass(frozen=True)
class _Raster:
    """An open file.

    Attributes:
        size: (height, width) as it is stored.
        count: of bands.
        dtype: of its values.
        parts: chosen bands -> the parts that cover the image.
        turn: what makes the image upright; None if it is.
    """

    size: tuple[int, int]
    count: int
    dtype: np.dtype[Any]
    parts: Callable[[tuple[int, ...]], Iterator[Part]]
    turn: Callable[[NDArray[Any]], NDArray[Any]] | None = None


@contextmanager
def _opened(file: Path | BinaryIO, max_pixels: int) -> Iterator[_Raster]:
    """Open the first page of a TIFF, or a PNG."""
    try:
        import imagecodecs
        import tifffile
    except ModuleNotFoundError as error:
        message = "more bands or more bits of colour than Pillow reads need the packages tifffile and imagecodecs"
        raise MissingDependencyError(message, fix="pip install 'bridgeseg[raster]'") from error
    if not is_tiff(file):
        data = file.read_bytes() if isinstance(file, Path) else (file.seek(0), file.read())[1]
        values: NDArray[Any] = imagecodecs.png_decode(data)
        values = values if values.ndim == 3 else values[..., None]
        height, width, count = values.shape
        yield _Raster(
            (height, width),
            count,
            values.dtype,
            lambda chosen: iter([((0, 0), slice(None), values[..., list(chosen)])]),
        )
        return
    if not isinstance(file, Path):
        file.seek(0)
    with tifffile.TiffFile(file) as opened:
        page: Any = opened.pages.first
        height, width, count = page.imagelength, page.imagewidth, page.samplesperpixel
        needed = max(height * width, -(-int(page.nbytes) // BYTES))
        if needed > max_pixels:
            found = f"{width}x{height} of {count} bands of {page.dtype} is more than the limit of {max_pixels:,} pixels"
            raise DataError(found, fix=f"if you trust the file, raise the limit: `max_pixels={needed}`")
        if page.nbytes > opened.filehandle.size * (1 if page.compression == 1 else TIGHTEST):
            raise DataError(f"cut off: it says to hold {page.nbytes:,} bytes of values", fix="replace the damaged file")
        if page.axes not in ("YX", "YXS", "SYX") or page.dtype is None or page.dtype.kind not in "uif":
            raise DataError(f"{page.dtype} of axes {page.axes} is no image", fix="save it as (H, W, bands)")
        orientation = page.tags.get(ORIENTATION)
        turn = ORIENTATIONS.get(1 if orientation is None else orientation.value)
        yield _Raster((height, width), count, page.dtype, lambda chosen: _segments(page, chosen), turn)


def _segments(page: Any, chosen: tuple[int, ...]) -> Iterator[Part]:
    """Yield the tiles or strips of a page, of the bands that are chosen."""
    apart = page.axes == "SYX"
    for values, (band, _, top, left, _), (_, height, width, samples) in page.segments(maxworkers=1, buffersize=READ):
        height, width = min(height, page.imagelength - top), min(width, page.imagewidth - left)
        if values is None:  # a part that is left out of the file
            values = np.full((1, height, width, samples), page.nodata, page.dtype)
        values = values[0, :height, :width]
        if not apart:
            yield (top, left), slice(None), values[..., list(chosen)]
            continue
        for place, wanted in enumerate(chosen):
            if wanted == band:
                yield (top, left), slice(None) if len(chosen) == 1 else slice(place, place + 1), values[..., :1]
