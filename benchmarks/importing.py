"""What `bridgeseg data import` needs for a COCO export of many images: time and memory; and again, if it is repeated.

    python benchmarks/importing.py --images 10000

Images of 640x480 with ten polygons each are made first. The import runs in a process of its own, whose peak memory the
system tells.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT, OBJECTS, CLASSES, CORNERS = 640, 480, 10, 20, 24
CHILD = """
import json, resource, sys, time
from bridgeseg import import_data
start = time.perf_counter()
report = import_data(sys.argv[1], out=sys.argv[2])
unit = 1 if sys.platform == "darwin" else 1024
facts = {"seconds": time.perf_counter() - start, "files": report.files}
print(json.dumps({**facts, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}))
"""


def write_export(folder: Path, images: int) -> None:
    """Write an export of COCO; all images are the same file under many names."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    one = folder / "images" / "000000.jpg"
    Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(one, quality=30)
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    with (folder / "instances.json").open("w") as file:
        file.write('{"images": [')
        for number in range(images):
            if number:
                shutil.copy(one, folder / "images" / f"{number:06d}.jpg")
            image = {"id": number, "file_name": f"{number:06d}.jpg", "height": HEIGHT, "width": WIDTH}
            file.write((", " if number else "") + json.dumps(image))
        file.write('], "annotations": [')
        for number in range(images * OBJECTS):
            middle = rng.uniform((0, 0), (WIDTH, HEIGHT))
            away = rng.uniform(20, 100) * rng.uniform(0.7, 1.3, CORNERS)
            ring = middle + np.stack([np.cos(angles), np.sin(angles)], 1) * away[:, None]
            annotation = {"id": number, "image_id": number // OBJECTS, "category_id": number % CLASSES, "iscrowd": 0}
            annotation["segmentation"] = [ring.round(2).ravel().tolist()]
            file.write((", " if number else "") + json.dumps(annotation))
        names = [{"id": number, "name": f"class {number}"} for number in range(CLASSES)]
        file.write('], "categories": ' + json.dumps(names) + "}")


def measured(source: Path, out: Path) -> dict[str, float]:
    """Import in a process of its own."""
    done = subprocess.run([sys.executable, "-c", CHILD, source, out], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10000], help="(default: %(default)s)")
    options = parser.parse_args()
    print(
        "| images | JSON, MB | first import, images/s | repeated, images/s | peak memory, MB |\n|---|---|---|---|---|"
    )
    for images in options.images:
        with tempfile.TemporaryDirectory() as folder:
            source, out = Path(folder, "export"), Path(folder, "out")
            write_export(source, images)
            size = (source / "instances.json").stat().st_size / 1e6
            first, again = measured(source, out), measured(source, out)
            rates = " | ".join(f"{images / run['seconds']:.0f}" for run in (first, again))
            print(f"| {images:,} | {size:.0f} | {rates} | {max(first['peak'], again['peak']) / 1e6:.0f} |", flush=True)


if __name__ == "__main__":
    main()
