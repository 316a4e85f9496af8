"""Files with more bands or more bits of colour than Pillow holds, through tifffile and imagecodecs (extra: raster)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridgeseg.errors import DataError, MissingDependencyError
from bridgeseg.pixels import Note, Pixels, Reading, cut_note, dark_note, ends_of, is_deep, scaled

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
ORIENTATION = 274
BYTES = 8
"""Of a pixel: more bands or larger values count as more pixels."""
TIGHTEST = 2000
"""No image is packed tighter than this; a file that claims it would only cost memory and time."""
ROWS = 1_000_000
"""Values that are scaled at a time."""


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
    return deep or bands


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

    Raises:
        MissingDependencyError: the packages of the extra are not installed.
        DataError: bands that are not there, values whose black and white are not known, or too many.
    """
    values = _values(file, max_pixels)
    height, width, count = values.shape
    if admit is not None:
        admit(height * width)
    said: list[Note] = []
    if how.bands is None and count > 3:
        said.append(bands_note(count))
    chosen = how.bands or ((0, 1, 2) if count >= 3 else (0,))
    if max(chosen) >= count:
        raise DataError(f"there is no band {max(chosen)}, it has {count}", fix=f"name `bands` of 0..{count - 1}")
    values = values[..., list(chosen)]
    pixels = np.empty((height, width, 3), np.uint8)
    if values.dtype == np.uint8:
        pixels[:] = values
    else:
        floats, high = values.dtype.kind == "f", float(np.nanmax(values))
        ends = ends_of(float(np.nanmin(values)), high, floats, how)
        if how.image_range is None and not floats and (note := dark_note(high)):
            said.append(note)
        if outside := np.count_nonzero((values < ends[0]) | (values > ends[1])):
            said.append(cut_note(outside / values.size, ends))
        rows = max(1, ROWS // width)
        for top in range(0, height, rows):
            pixels[top : top + rows] = scaled(values[top : top + rows], ends)
    if notes is not None:
        notes += said
    return pixels


def _values(file: Path | BinaryIO, max_pixels: int) -> NDArray[Any]:
    """Return the values (H, W, bands) of the first page of a TIFF, or of a PNG."""
    try:
        import imagecodecs
        import tifffile
    except ModuleNotFoundError as error:
        message = "more bands or more bits of colour than Pillow reads need the packages tifffile and imagecodecs"
        raise MissingDependencyError(message, fix="pip install 'bridgeseg[raster]'") from error
    if not is_tiff(file):
        data = file.read_bytes() if isinstance(file, Path) else (file.seek(0), file.read())[1]
        decoded: NDArray[Any] = imagecodecs.png_decode(data)
        return decoded if decoded.ndim == 3 else decoded[..., None]
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
        values: NDArray[Any] = page.asarray()
        if values.ndim == 3 and page.axes == "SYX":
            values = np.moveaxis(values, 0, 2)
        orientation = page.tags.get(ORIENTATION)
    if values.ndim not in (2, 3) or values.dtype.kind not in "uif":
        raise DataError(f"{values.dtype} of axes {page.axes} is no image", fix="save it as (H, W, bands)")
    values = values if values.ndim == 3 else values[..., None]
    turn = ORIENTATIONS.get(1 if orientation is None else orientation.value)
    return values if turn is None else turn(values)
