"""GeoJSON (RFC 7946): `NAME.geojson`, a polygon for each area, in pixels, or on the map where a GeoTIFF says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridgeseg.files import write
from bridgeseg.outlines import Area, Ring
from bridgeseg.predicting.formats.georeference import Georeference, georeference
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import FIX


class Form:
    """Writes one file an image."""

    outlined, sure = True, False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, result: Result, name: str, areas: list[Area]) -> Path:  # noqa: D102
        path = self._folder / f"{name}.geojson"
        place = None if result.source is None else georeference(result.source)
        found: dict[str, Any] = {"type": "FeatureCollection"}
        if place is not None and place.epsg is not None:  # of the form before RFC 7946: GIS programs read it
            found["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{place.epsg}"}}
        found["features"] = [_feature(area, place) for area in areas]
        write(path, json.dumps(found, ensure_ascii=False), FIX)
        return path

    def close(self) -> None:  # noqa: D102
        return


def _feature(area: Area, place: Georeference | None) -> dict[str, Any]:
    rings = [_closed(ring, place) for ring in (area.outline, *area.holes)]
    properties = {"class": area.name, "class_id": area.class_id, "pixels": area.pixels}
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": rings}}


def _closed(ring: Ring, place: Georeference | None) -> list[list[float]]:
    """Return a ring with its first point at the end, as GeoJSON wants it, on the map if that is known."""
    placed: NDArray[np.float64] = ring if place is None else place.on_map(ring)
    return [*placed.tolist(), placed[0].tolist()]
