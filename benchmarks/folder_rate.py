"""What do reading, drawing and writing cost besides the network? Folder and video prediction against the network alone.

    python benchmarks/folder_rate.py
    python benchmarks/folder_rate.py --model demo.onnx --pictures 100 --rounds 5 --json folder_rate.json

In each round the same pictures of a megapixel go through the network alone, as arrays in memory, then through
`bridgeseg predict` from a folder of JPEGs to a folder of masks and overlays, and then (with PyAV) from a video to an
overlay video. Only the ratios within one run mean something. Needs the light core: pip install '.[video]'.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

import bridgeseg
from _machine import describe, show, write_json
from bridgeseg.inference.batch import Batch

PHOTOS = sorted((Path(__file__).parents[1] / "examples").glob("*.jpg"))
SIZE = (1152, 864)


def make_pictures(photos: list[Path], count: int) -> list[np.ndarray]:
    """Cut pictures of a megapixel out of enlarged photos; half of them in a row, as a camera sees that turns slowly."""
    large = []
    for photo in photos:
        with Image.open(photo) as image:
            larger = (SIZE[0] * 5 // 4, SIZE[1] * 5 // 4)
            large.append(np.asarray(image.convert("RGB").resize(larger, Image.Resampling.BICUBIC)))
    each = -(-count // len(large))
    pictures = []
    for index in range(count):
        top, left = index % each % (SIZE[1] // 4), 3 * (index % each) % (SIZE[0] // 4)
        view = large[index // each][top : top + SIZE[1], left : left + SIZE[0]]
        pictures.append(np.ascontiguousarray(view))
    return pictures


def make_video(path: Path, pictures: list[np.ndarray]) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height = SIZE
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Return wall seconds and the seconds of all cores together."""
    wall, cores = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="an exported .onnx file (default: the bundled model)")
    parser.add_argument("--pictures", type=int, default=24, help="of one megapixel (default: 24)")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--threads", type=int, help="of the network (default: one per core)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()
    machine = describe("onnxruntime", "numpy", "pillow", "av")
    model = bridgeseg.load(options.model, threads=options.threads)
    pictures = make_pictures(PHOTOS, options.pictures)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for index, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / "in" / f"{index:04d}.jpg", quality=92)
        sources = {"folder, masks and overlays": folder / "in"}
        if importlib.util.find_spec("av") is not None:
            sources["video, overlay"] = make_video(folder / "film.mp4", pictures)
        works: dict[str, Callable[[], Any]] = {
            "network alone": lambda: [model.runtime.classes(picture[None]) for picture in pictures]
        }
        for kind, source in sources.items():
            works[kind] = lambda source=source: list(Batch([source], folder / "out").run(model))
        works["network alone"]()
        times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in works}
        for _ in range(options.rounds):
            for kind, work in works.items():
                times[kind].append(timed(work))
    alone = times["network alone"]
    rows, shown = [], []
    for kind, done in times.items():
        rate = options.pictures / median(wall for wall, _ in done)
        ratio = median(first[0] / own[0] for first, own in zip(alone, done, strict=True))
        work = median(own[1] / first[1] for first, own in zip(alone, done, strict=True))
        rows.append({"kind": kind, "per_second": rate, "rate_ratio": ratio, "work_ratio": work})
        shown.append([kind, f"{rate:.2f}", f"{ratio:.2f}", f"{work:.2f}"])
    name = "bundled" if options.model is None else options.model.name
    title = f"{options.pictures} pictures of {SIZE[0]}x{SIZE[1]}, {options.rounds} rounds, model: {name}"
    notes = ["rate: against the network alone; work: seconds of all cores against it"]
    show(title, machine, ["", "pictures/s", "rate", "work"], shown, notes)
    settings = {"pictures": options.pictures, "rounds": options.rounds, "threads": options.threads, "model": name}
    write_json(options.json, benchmark="folder_rate", machine=machine, settings=settings, rows=rows)


if __name__ == "__main__":
    main()
