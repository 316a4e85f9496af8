"""How much memory does a GeoTIFF of 100 megapixels take, in and out, and does its place on the map stay?

    python benchmarks/geotiff.py
    python benchmarks/geotiff.py --side 2000 --kinds rgb --model demo.onnx --json geotiff.json

Each image, a photo enlarged, in tiles of 256 pixels, deflated, goes through `bridgeseg predict --format geotiff` in a
process of its own. `rgb` has three bands of 8 bits, `deep` four of 16. Ends with 1 if the peak is above the limit, or
if a tag that says where the image lies is another in the result. Needs: pip install '.[raster]'.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

import cold_start
from _machine import describe, run, show, write_json
from bridgeseg.predicting.formats.georeference import place_tags
from memory import LIMIT_MB, apart

TILE = 256
KINDS = {"rgb": (3, np.uint8), "deep": (4, np.uint16)}
KEYS = (1, 1, 0, 5, 1024, 0, 1, 1, 1025, 0, 1, 1, 1026, 34737, 22, 0, 2049, 34737, 7, 22, 3072, 0, 1, 32633)
PLACE = [
    (33550, "d", 3, (0.2, 0.2, 0.0), True),
    (33922, "d", 6, (0.0, 0.0, 0.0, 412345.6, 5654321.2, 0.0), True),
    (34735, "H", len(KEYS), KEYS, True),
    (34737, "s", 0, "WGS 84 / UTM zone 33N|WGS 84|", True),
]
"""Tags of an aerial image of 20 cm a pixel in UTM zone 33."""


def make_raster(photo: Path, path: Path, side: int, kind: str) -> None:
    """Write a square GeoTIFF of a photo, a row of tiles in memory at a time."""
    bands, dtype = KINDS[kind]

    def tiles() -> Iterator[np.ndarray[Any, Any]]:
        with Image.open(photo) as opened:
            image = opened.convert("RGB")
        for top in range(0, side, TILE):
            rows = min(TILE, side - top)
            box = (0, top / side * image.height, image.width, (top + rows) / side * image.height)
            part = np.asarray(image.resize((side, rows), box=box))
            part = np.concatenate([part, part[..., : bands - 3]], axis=2).astype(dtype)
            part = part if dtype is np.uint8 else part * 257
            for left in range(0, side, TILE):
                tile = np.zeros((TILE, TILE, bands), dtype)
                piece = part[:, left : left + TILE]
                tile[: piece.shape[0], : piece.shape[1]] = piece
                yield tile

    options: dict[str, Any] = {"shape": (side, side, bands), "dtype": dtype, "tile": (TILE, TILE), "metadata": None}
    options |= {"extrasamples": ["unspecified"]} if bands > 3 else {}
    tifffile.imwrite(path, tiles(), photometric="rgb", compression="zlib", extratags=PLACE, **options)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return seconds, peak memory and whether the place stayed, of each kind."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            image, out = Path(folder) / f"{kind}.tif", Path(folder) / "out"
            apart(make_raster, options.photo, image, options.side, kind)
            command = ["-m", "bridgeseg", "predict", str(image), "--out", str(out), "--format", "geotiff"]
            command += ["--no-overlay", "--memory", str(options.memory), "--max-pixels", "1000000000"]
            done = cold_start.run(command + (["--model", str(options.model)] if options.model else []))
            mask = out / f"{kind}_mask.tif"
            with tifffile.TiffFile(mask) as written:
                same = written.pages.first.shape == (options.side, options.side)
            same = same and len(place_tags(image)) == len(PLACE) and place_tags(image) == place_tags(mask)
            row = {"kind": kind, "input_bytes": image.stat().st_size, "output_bytes": mask.stat().st_size}
            rows.append(row | {"seconds": done.seconds, "peak_mb": done.megabytes, "same_place": same})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="an exported .onnx file (default: the bundled model)")
    parser.add_argument("--photo", type=Path, default=cold_start.PHOTO, help="enlarged to a square")
    parser.add_argument("--side", type=int, default=10_000, help="of the square, pixels (default: 10000)")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="(default: all)")
    parser.add_argument("--memory", type=int, default=768, help="of predict (default: 768)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()
    machine = describe("onnxruntime", "numpy", "pillow", "tifffile", "imagecodecs")
    rows = measure(options)
    columns = ["image", "in MB", "out MB", "seconds", "peak MB", "same place"]
    shown = [
        [
            row["kind"],
            f"{row['input_bytes'] / 1e6:.0f}",
            f"{row['output_bytes'] / 1e6:.1f}",
            f"{row['seconds']:.0f}",
            f"{row['peak_mb'] or 0:.0f}",
            "yes" if row["same_place"] else "no",
        ]
        for row in rows
    ]
    title = f"GeoTIFFs of {options.side}x{options.side} in, GeoTIFFs out"
    show(title, machine, columns, shown, [f"the peak is to stay below {LIMIT_MB} MB"])
    write_json(options.json, benchmark="geotiff", machine=machine, settings={"side": options.side}, rows=rows)
    if any((row["peak_mb"] or 0) > LIMIT_MB or not row["same_place"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
