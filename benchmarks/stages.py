"""Print what each stage around the network costs for an image of a megapixel: processor time of one thread.

    python benchmarks/stages.py
    python benchmarks/stages.py --model street --rounds 30

The smallest of `--rounds`. Stages overlap in `bridgeseg predict`; benchmarks/pipeline.py measures what is left of that.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import bridgeseg
from bridgeseg.images import read_image
from bridgeseg.report import draw
from bridgeseg.runtime.saving import save_mask, save_overlay

PHOTO = Path(__file__).parents[1] / "examples" / "street.jpg"
SIZE = (1152, 864)


def milliseconds(call: Callable[[], Any], rounds: int) -> float:
    """Return the least processor time of a call in this thread."""
    found = []
    for _ in range(rounds):
        begin = time.thread_time()
        call()
        found.append(1000 * (time.thread_time() - begin))
    return min(found)


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="street-int8")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        Image.open(PHOTO).convert("RGB").resize(SIZE).save(photo, quality=90)
        image, model = read_image(photo), bridgeseg.load(given.model, threads=1)
        result = model.predict(image)
        overlay, mask = result.overlay(), draw.palette_image(result.mask, result.classes)
        stages = {
            "network": lambda: model.mask(image),
            "read and decode the JPEG": lambda: read_image(photo),
            "draw the overlay": lambda: draw.overlay(image, result.mask, result.classes),
            "of it the legend": lambda: draw.key(SIZE, result.classes),
            "encode and write it as JPEG": lambda: save_overlay(overlay, Path(folder) / "overlay.jpg"),
            "of it encoding": lambda: overlay.save(io.BytesIO(), "JPEG", quality=92, subsampling=0),
            "encode and write the mask as PNG": lambda: save_mask(mask, Path(folder) / "mask.png"),
        }
        print("| stage | ms |\n|---|---|")
        for name, call in stages.items():
            print(f"| {name} | {milliseconds(call, given.rounds):.1f} |")
    print(f"\n{np.prod(SIZE) / 1e6:.1f} megapixels, {len(result.areas())} of {len(result.classes)} classes")


if __name__ == "__main__":
    main()
