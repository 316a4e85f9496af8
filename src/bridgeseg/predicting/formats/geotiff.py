"""GeoTIFF: `NAME_mask.tif`, class ids (H, W) in tiles, on the map where the image is a GeoTIFF (extra: raster)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bridgeseg.classes import ClassSet
from bridgeseg.extras import extra
from bridgeseg.files import replacing
from bridgeseg.outlines import Area
from bridgeseg.predicting.formats.georeference import place_tags
from bridgeseg.reading.own import GEOTIFF, MARK
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import FIX

TILE = 256
NO_DATA = 42113
"""The tag in which GDAL looks for the value that stands for nothing."""


class Form:
    """Writes one file an image."""

    outlined, sure = False, False

    def __init__(self, folder: Path) -> None:
        with extra("raster"):
            import tifffile
        self._folder, self._write = folder, tifffile.imwrite

    def write(self, result: Result, name: str, areas: list[Area]) -> Path:  # noqa: D102
        path = self._folder / f"{name}{GEOTIFF}"
        tags: list[Any] = [] if result.source is None else place_tags(result.source)
        if result.unknown is not None:
            tags.append((NO_DATA, "s", 0, str(result.classes.ignore_index), True))
        options: dict[str, Any] = {"compression": "zlib", "tile": (TILE, TILE), "software": MARK, "metadata": None}
        if result.mask.dtype == np.uint8:
            options |= {"photometric": "palette", "colormap": _colours(result.classes)}
        with replacing(path, FIX) as part:
            self._write(part, result.mask, **options, extratags=tags, maxworkers=1)
        return path

    def close(self) -> None:  # noqa: D102
        return


def _colours(classes: ClassSet) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return the colours (3, 256) of class ids, 0 to 65535."""
    table = np.zeros((256, 3), np.uint16)
    table[: len(classes)] = np.array(classes.palette, np.uint16) * 257
    return table.T
