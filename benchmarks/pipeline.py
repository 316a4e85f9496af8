"""What do reading, drawing and writing cost besides the network? Folders and videos against the network alone.

    python benchmarks/pipeline.py
    python benchmarks/pipeline.py --model demo.onnx --photos 100 --frames 100 --rounds 2 --json pipeline.json

Photos and frames of a megapixel are made from those of `examples/`. In each round a part of the photos goes from a
folder of JPEGs to a folder of masks and overlays as `bridgeseg predict` does it, and as many images, arrays in
memory, through the network alone; then the same for a part of the frames, from a video to an overlay video (with
PyAV). Only the ratios within one run mean something. Needs the light core: pip install '.[video]'.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

import bridgeseg
from _machine import describe, run, show, write_json
from _video import make_video, views
from bridgeseg.predicting.batch import Batch
from bridgeseg.reading.sources import Failure
from bridgeseg.report.progress import ProgressBar
from bridgeseg.runtime.model import Model

SIZE = (864, 1152)
"""Height and width: a megapixel."""
PREPARED = 24
"""Arrays in memory that the network alone goes through again and again."""
COLUMNS = {
    "network alone /s": "alone_per_second",
    "images/s": "per_second",
    "ratio": "rate_ratio",
    "work": "work_ratio",
}
"""Heading -> key of a row."""
Seconds = tuple[float, float]
"""Wall seconds, and the seconds of all cores together."""


def timed(work: Callable[[], Any]) -> Seconds:
    wall, cores = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cores


def write_photos(folder: Path, count: int, start: int) -> Path:
    """Write JPEGs of a megapixel and return the folder that holds them."""
    photos = folder / "photos"
    photos.mkdir()
    for index, view in enumerate(islice(views(*SIZE, start), count)):
        Image.fromarray(view).save(photos / f"{index:06d}.jpg", quality=92)
    return photos


def write_film(folder: Path, count: int, start: int) -> Path:
    """Write a video of frames of a megapixel and return its path."""
    make_video(folder / "film.mp4", count, *SIZE, start)
    return folder / "film.mp4"


def predict(model: Model, source: Path, out: Path) -> None:
    """Do what `bridgeseg predict SOURCE --out OUT` does; an image that fails ends the benchmark."""
    for record in Batch([source], out).run(model):
        if isinstance(record, Failure):
            raise record.error


def through_network(model: Model, images: list[np.ndarray], count: int) -> None:
    """Run the network alone on `count` of the images, in turn."""
    for index in range(count):
        model.runtime.classes(images[index % len(images)][None])


def compare(
    model: Model, make: Callable[[Path, int, int], Path], count: int, rounds: int, on_round: Callable[[], None]
) -> list[tuple[Seconds, Seconds]]:
    """Time one kind of source and the network alone in turns.

    Args:
        model: the network.
        make: writes the source of a round, given an empty folder, `count`, and the number of its first view; not timed.
        count: images of each round.
        rounds: at least 1.
        on_round: called after each.

    Returns:
        of each round: seconds of the network alone, and of the source.
    """
    images = list(islice(views(*SIZE, each=PREPARED // 4), min(count, PREPARED)))
    through_network(model, images, min(count, 3))
    done = []
    for number in range(rounds):
        folder = Path(tempfile.mkdtemp())
        try:
            source = make(folder, count, number * count)
            works = [
                lambda: through_network(model, images, count),
                lambda source=source, out=folder / "out": predict(model, source, out),
            ]
            first = number % 2  # whatever grows warm or slow with time meets both alike
            times = {index: timed(works[index]) for index in (first, 1 - first)}
            done.append((times[0], times[1]))
        finally:
            shutil.rmtree(folder)
        on_round()
    return done


def summarise(kind: str, count: int, done: list[tuple[Seconds, Seconds]]) -> dict[str, Any]:
    """Return rates (images a second) and ratios, medians over the rounds."""
    return {
        "kind": kind,
        "pictures": count * len(done),
        "alone_per_second": median(count / alone[0] for alone, _ in done),
        "per_second": median(count / own[0] for _, own in done),
        "rate_ratio": median(alone[0] / own[0] for alone, own in done),
        "work_ratio": median(own[1] / alone[1] for alone, own in done),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="an exported .onnx file (default: the bundled model)")
    parser.add_argument("--photos", type=int, default=1000, help="of one megapixel, 0 for none (default: 1000)")
    parser.add_argument("--frames", type=int, default=1000, help="of the videos, 0 for none (default: 1000)")
    parser.add_argument("--rounds", type=int, default=10, help="that photos and frames are divided among (default: 10)")
    parser.add_argument("--threads", type=int, help="of the network (default: one per core)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least one")
    machine = describe("onnxruntime", "numpy", "pillow", "av")
    model = bridgeseg.load(options.model, threads=options.threads)
    kinds = [("folder, masks and overlays", write_photos, options.photos // options.rounds)]
    kinds.append(("video, overlay video", write_film, options.frames // options.rounds))
    if importlib.util.find_spec("av") is None and kinds.pop()[2]:
        print("no video: PyAV is not installed")
    rows = []
    for kind, make, count in kinds:
        if count:
            with ProgressBar(kind, options.rounds) as bar:
                rows.append(summarise(kind, count, compare(model, make, count, options.rounds, bar.advance)))
    shown = [[row["kind"], str(row["pictures"]), *(f"{row[key]:.2f}" for key in COLUMNS.values())] for row in rows]
    name = "bundled" if options.model is None else options.model.name
    title = f"pictures of {SIZE[1]}x{SIZE[0]}, {options.rounds} rounds, model: {name}"
    notes = ["ratio: rate against the network alone; work: seconds of all cores against the network alone"]
    show(title, machine, ["", "images", *COLUMNS], shown, notes)
    settings = {"size": list(SIZE), "rounds": options.rounds, "threads": options.threads, "model": name}
    write_json(options.json, benchmark="pipeline", machine=machine, settings=settings, rows=rows)


if __name__ == "__main__":
    run(main)
