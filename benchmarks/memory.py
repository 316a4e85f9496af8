"""How much memory does an image of 100 megapixels take, and does memory grow over 10,000 frames?

    python benchmarks/memory.py
    python benchmarks/memory.py --model demo.onnx --side 6000 --memory 400 --frames 2000 --json memory.json

The image, a photo enlarged, goes through `bridgeseg predict` in a process of its own, masks and overlays included.
The video (made by another process) goes through `model.stream` in this one, whose resident size is read every 100
frames. Ends with 1 if a limit is not kept. Needs the light core: pip install '.[video]'.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import bridgeseg
import cold_start
from _machine import describe, run, show, write_json
from _video import make_video
from bridgeseg.commands.arguments import size
from bridgeseg.reading.sources import Failure
from bridgeseg.report.progress import ProgressBar

LIMIT_MB = 1500
"""What the large image may take, with --memory at its default or below."""
DEFAULT_MEMORY = 768
FLAT_MB = 1.0
"""What 1,000 frames may add, judged from `JUDGED` frames on."""
JUDGED = 5000
EVERY = 100
"""Frames between two looks at the memory."""
WARM = 0.1
"""Share of the frames at the start that the slope leaves out."""


def apart(make: Callable[..., None], *arguments: Any) -> None:
    """Run a function in a fresh process, so that its memory is not this one's."""
    process = multiprocessing.get_context("spawn").Process(target=make, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"{make.__name__} failed")


def make_image(photo: Path, path: Path, side: int) -> None:
    """Write a square JPEG of a photo."""
    with Image.open(photo) as image:
        image.convert("RGB").resize((side, side)).save(path, quality=90)


def large_image(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return seconds and peak memory of `bridgeseg predict`, for each value of --memory."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "big.jpg"
        apart(make_image, options.photo, image, options.side)
        for memory in options.memory:
            command = ["-m", "bridgeseg", "predict", str(image), "--out", str(Path(folder) / "out")]
            command += ["--memory", str(memory), *(["--model", str(options.model)] if options.model else [])]
            done = cold_start.run(command)
            rows.append({"memory_mb": memory, "seconds": done.seconds, "peak_mb": done.megabytes})
    return rows


def resident() -> float:
    """Return the memory this process holds now, in MB; Linux only."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def stream(options: argparse.Namespace) -> dict[str, Any]:
    """Segment a video frame by frame and look at the memory on the way."""
    height, width = size(options.frame_size, "--frame-size")
    model = bridgeseg.load(options.model)
    samples: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as folder, ProgressBar("frames", options.frames) as bar:
        film = Path(folder) / "film.mp4"
        apart(make_video, film, options.frames, height, width)
        start, done = time.perf_counter(), 0
        for result in model.stream(film):
            if isinstance(result, Failure):
                raise result.error
            done += 1
            if done % EVERY == 0:
                samples.append((done, resident()))
                bar.move(done)
        seconds = time.perf_counter() - start
    return {"frames": done, "size": [height, width], "seconds": seconds, "samples": samples, **summary(samples)}


def summary(samples: list[tuple[int, float]]) -> dict[str, float]:
    """Return the first, the last and the highest resident size in MB, and its slope in MB per 1,000 frames.

    The slope is that of the straight line with the least squares, without the first tenth of the frames: there buffers
    reach their size.
    """
    frames, held = np.array(samples, dtype=np.float64).T
    later = frames > WARM * frames[-1]
    slope = float(np.polyfit(frames[later], held[later], 1)[0]) * 1000
    return {"first_mb": held[0], "last_mb": held[-1], "peak_mb": held.max(), "slope_mb": slope}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="an exported .onnx file (default: the bundled model)")
    parser.add_argument("--photo", type=Path, default=cold_start.PHOTO, help="enlarged to a square")
    parser.add_argument("--side", type=int, default=10_000, help="of the square, pixels, 0 for none (default: 10000)")
    parser.add_argument("--memory", type=int, nargs="+", default=[DEFAULT_MEMORY], help="values of --memory to try")
    parser.add_argument("--frames", type=int, default=10_000, help="at least 400, 0 for none (default: 10000)")
    parser.add_argument("--frame-size", default="240x320", help="HEIGHTxWIDTH, even (default: 240x320)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()
    if 0 < options.frames < 4 * EVERY:
        parser.error(f"--frames {options.frames}: at least {4 * EVERY}")
    machine = describe("onnxruntime", "numpy", "pillow", "av")
    name = "bundled" if options.model is None else options.model.name
    readable = Path("/proc/self/statm").is_file() and importlib.util.find_spec("av") is not None
    if options.frames and not readable:
        print("no frames: that needs Linux, where a process can read its resident size, and PyAV")
    images = large_image(options) if options.side else []  # first, while this process is small
    frames = stream(options) if options.frames and readable else None
    if images:
        shown = [[str(row["memory_mb"]), f"{row['seconds']:.0f}", f"{row['peak_mb'] or 0:.0f}"] for row in images]
        title = f"one image of {options.side**2 / 1e6:.0f} megapixels, model: {name}"
        notes = [f"the peak is to stay below {LIMIT_MB} MB"]
        show(title, None if frames else machine, ["--memory", "seconds", "peak MB"], shown, notes)
    if frames:
        keys = ("first_mb", "last_mb", "peak_mb", "slope_mb")
        shown = [[f"{frames['frames']}", *(f"{frames[key]:.1f}" for key in keys), f"{frames['seconds']:.0f}"]]
        columns = ["frames", "first MB", "last MB", "peak MB", "MB per 1,000 frames", "seconds"]
        title = f"resident size over a video of {options.frame_size}, model: {name}"
        notes = [f"first: after {EVERY} frames; growth: without the first tenth, to stay below {FLAT_MB} MB"]
        show(title, machine, columns, shown, notes)
    settings = {"side": options.side, "model": name}
    write_json(options.json, benchmark="memory", machine=machine, settings=settings, images=images, frames=frames)
    too_large = any((row["peak_mb"] or 0) > LIMIT_MB for row in images if row["memory_mb"] <= DEFAULT_MEMORY)
    if too_large or (frames and frames["frames"] >= JUDGED and frames["slope_mb"] > FLAT_MB):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
