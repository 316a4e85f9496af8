"""Where the pixels of a GeoTIFF lie on the map, from its tags (OGC 19-008r4, GeoTIFF 1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SCALE, TIE_POINTS, TRANSFORMATION, KEYS = 33550, 33922, 34264, 34735
PLACE = (SCALE, TIE_POINTS, TRANSFORMATION, KEYS, 34736, 34737)
"""All tags that say where an image lies: the last two hold numbers and texts of `KEYS`."""
ORIENTATION = 274
MOST = 2**20
"""Bytes of a tag."""
RASTER_TYPE, GEOGRAPHIC, PROJECTED = 1025, 2048, 3072
ASCII = 2
"""Type of a tag that holds text."""
POINT = 2
"""Value of `RASTER_TYPE` where coordinates are those of the middles of pixels."""
SUFFIXES = (".tif", ".tiff")
OWN = 32767
"""Number of a reference system that is described in the file, not by EPSG."""


@dataclass(frozen=True)
class Georeference:
    """From pixels to the map: (x, y) -> `matrix` @ (x, y, 1).

    Attributes:
        matrix: (2, 3).
        epsg: the number of the coordinate reference system; None if the file names none.
    """

    matrix: NDArray[np.float64]
    epsg: int | None

    def on_map(self, ring: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (N, 2) in pixels as coordinates of the map."""
        placed: NDArray[np.float64] = ring @ self.matrix[:, :2].T + self.matrix[:, 2]
        return placed


def georeference(path: Path) -> Georeference | None:
    """Return where the pixels of a file lie; None if it does not say."""
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        with Image.open(path, formats=("TIFF",)) as image:
            tags: Any = getattr(image, "tag_v2", {})
            if tags.get(ORIENTATION, 1) != 1:  # it is turned when it is read, and its place is not
                return None
            keys = _keys(tags.get(KEYS))
            matrix = _matrix(tags)
    except Exception:  # it was read as an image by another reader; without tags that can be read it has no place
        return None
    if matrix is None or not np.isfinite(matrix).all():
        return None
    if keys.get(RASTER_TYPE) == POINT:
        matrix[:, 2] -= matrix[:, :2] @ (0.5, 0.5)
    code = keys.get(PROJECTED) or keys.get(GEOGRAPHIC)
    return Georeference(matrix, code if code is not None and 0 < code < OWN else None)


def place_tags(path: Path) -> list[tuple[int, int, int, Any, bool]]:
    """Return the tags of a file that say where its pixels lie, as tifffile writes them; none if it does not say."""
    import tifffile

    if path.suffix.lower() not in SUFFIXES:
        return []
    found = []
    try:
        with tifffile.TiffFile(path) as opened:
            known: Any = opened.pages.first.tags
            turned = known.get(ORIENTATION)
            for tag in (known.get(code) for code in PLACE if turned is None or turned.value == 1):
                if tag is None or tag.valuebytecount > MOST:
                    continue
                opened.filehandle.seek(tag.valueoffset)
                text = tag.dtype == ASCII
                value = opened.filehandle.read(tag.valuebytecount) if text else tag.value
                found.append((tag.code, int(tag.dtype), tag.count, value, True))
    except Exception:  # as above
        return []
    return found


def _matrix(tags: Any) -> NDArray[np.float64] | None:
    given = tags.get(TRANSFORMATION)
    if given is not None and len(given) == 16:
        whole = np.array(given, np.float64).reshape(4, 4)
        return whole[:2][:, [0, 1, 3]]
    scale, tie = tags.get(SCALE), tags.get(TIE_POINTS)
    if scale is None or tie is None or len(scale) < 2 or len(tie) != 6:
        return None
    across, down = float(scale[0]), -float(scale[1])
    return np.array([[across, 0, tie[3] - tie[0] * across], [0, down, tie[4] - tie[1] * down]], np.float64)


def _keys(given: Any) -> dict[int, int]:
    """Return the keys whose value stands in the directory itself."""
    rows = np.array(given if given is not None else [], np.int64)
    rows = rows[: len(rows) // 4 * 4].reshape(-1, 4)[1:]
    return {int(key): int(value) for key, place, _, value in rows.tolist() if place == 0}
