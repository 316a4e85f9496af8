"""How well polygons become pixels: our fill, Pillow's, OpenCV's and pycocotools', against areas counted 32 times finer.

    pip install pycocotools opencv-python-headless    # both are optional: what is not there is left out
    python benchmarks/fill.py

A pixel belongs to an object if more than half of it does. For random outlines of several sizes the table has the mean
intersection over union with that, and the mean of drawn over true pixels: above 1 objects become larger.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from PIL import Image, ImageDraw

from bridgeseg.importing.fill import filled

SIDE, FINER = 128, 32
RADII = (4, 8, 16, 32)
"""Mean distance of corners from the middle, in pixels."""
CORNERS = 12


def outline(rng: np.random.Generator, radius: float) -> np.ndarray:
    """Draw an outline (N, 2) around the middle of the image."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, CORNERS))
    away = radius * rng.uniform(0.6, 1.4, CORNERS)
    middle = SIDE / 2 + rng.uniform(-0.5, 0.5, 2)
    return np.stack([np.cos(angles), np.sin(angles)], 1) * away[:, None] + middle


def true(ring: np.ndarray) -> np.ndarray:
    """Return the pixels (SIDE, SIDE) of which more than half lie inside."""
    fine = filled(ring * FINER, SIDE * FINER, SIDE * FINER)
    return fine.reshape(SIDE, FINER, SIDE, FINER).mean((1, 3)) > 0.5


def pillow(ring: np.ndarray) -> np.ndarray:
    image = Image.new("1", (SIDE, SIDE))
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in ring.tolist()], fill=1)
    return np.asarray(image)


def opencv(ring: np.ndarray) -> np.ndarray:
    import cv2

    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [np.round(ring).astype(np.int32)], 1)
    return mask > 0


def pycocotools(ring: np.ndarray) -> np.ndarray:
    from pycocotools import mask

    return np.asarray(mask.decode(mask.frPyObjects([ring.ravel().tolist()], SIDE, SIDE))[..., 0] > 0)


def ours(ring: np.ndarray) -> np.ndarray:
    return filled(ring, SIDE, SIDE)


WAYS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "bridgeseg": ("bridgeseg", ours),
    "pycocotools": ("pycocotools", pycocotools),
    "Pillow": ("PIL", pillow),
    "OpenCV": ("cv2", opencv),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outlines", type=int, default=200, help="of each size (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ways = {name: way for name, (module, way) in WAYS.items() if find_spec(module) is not None}
    print(f"| radius | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}")
    for radius in RADII:
        rng = np.random.default_rng(options.seed)
        rings = [outline(rng, radius) for _ in range(options.outlines)]
        wanted = [true(ring) for ring in rings]
        cells = []
        for way in ways.values():
            pairs = [(way(ring), mask) for ring, mask in zip(rings, wanted, strict=True)]
            score = np.mean([(drawn & mask).sum() / max(1, (drawn | mask).sum()) for drawn, mask in pairs])
            size = np.mean([drawn.sum() / max(1, mask.sum()) for drawn, mask in pairs])
            cells.append(f"{score:.3f} ({size:.2f})")
        print(f"| {radius} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
