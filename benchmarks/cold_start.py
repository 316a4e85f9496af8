"""How long does `bridgeseg predict PHOTO` take from nothing, and how much memory at most?

    python benchmarks/cold_start.py
    python benchmarks/cold_start.py --model demo.onnx --runs 10 --json cold_start.json

Every run is a new process. Needs the light core only: pip install .
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from _machine import describe, show, write_json

HEAVY = ("torch", "torchvision", "timm", "lightning", "transformers", "open_clip", "onnx", "matplotlib", "scipy")
"""What no `predict` may import."""
PHOTO = Path(__file__).parents[1] / "examples" / "temple.jpg"
IMPORT = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \| +(\S+)$")


@dataclass
class Run:
    """One process: seconds from start to end, and the most memory it held, in MB (None where the system cannot say)."""

    seconds: float
    megabytes: float | None


def run(arguments: list[str]) -> Run:
    """Run a command line of bridgeseg in a new process; its own words are shown only if it fails."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=output, stderr=subprocess.STDOUT)
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            code: int = os.waitstatus_to_exitcode(status)
            process.returncode = code  # the process is gone; without this Popen would look for it
            # kilobytes on Linux, bytes on macOS
            megabytes: float | None = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
        else:
            code, megabytes = process.wait(), None
        seconds = time.perf_counter() - start
        if code:
            output.seek(0)
            sys.exit(f"bridgeseg {' '.join(arguments[2:])} failed:\n{output.read().decode(errors='replace')}")
    return Run(seconds, megabytes)


def imports(arguments: list[str]) -> Counter[str]:
    """Run once more and return the microseconds that importing took, by top-level package."""
    command = [sys.executable, "-X", "importtime", *arguments]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    times: Counter[str] = Counter()
    for line in text.splitlines():
        if match := IMPORT.match(line):
            times[match[2].partition(".")[0]] += int(match[1])
    return times


def make_photo(source: Path, folder: Path, side: int) -> Path:
    """Write a square JPEG of a photo."""
    path = folder / "photo.jpg"
    with Image.open(source) as photo:
        photo.convert("RGB").resize((side, side), Image.Resampling.BICUBIC).save(path, quality=92)
    return path


def measure(name: str, arguments: list[str], runs: int) -> dict[str, Any]:
    """Measure one command line: `runs` processes, then one more that lists its imports."""
    done = [run(arguments) for _ in range(runs)]
    times = imports(arguments)
    peaks = [one.megabytes for one in done if one.megabytes is not None]
    return {
        "name": name,
        "first_s": done[0].seconds,
        "median_s": median(one.seconds for one in done),
        "max_s": max(one.seconds for one in done),
        "peak_mb": max(peaks, default=None),
        "heavy_imports": [package for package in HEAVY if package in times],
        "imports_ms": {package: round(micros / 1000, 1) for package, micros in times.most_common(6)},
    }


def table_row(row: dict[str, Any]) -> list[str]:
    peak, heavy = row["peak_mb"], row["heavy_imports"]
    return [
        row["name"],
        *(f"{row[key]:.2f}" for key in ("first_s", "median_s", "max_s")),
        "" if peak is None else f"{peak:.0f}",
        ", ".join(heavy) or "none",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="an exported .onnx file (default: the bundled model)")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="resized to a square (default: examples/temple.jpg)")
    parser.add_argument("--side", type=int, default=1000, help="of the square, pixels (default: 1000)")
    parser.add_argument("--runs", type=int, default=7, help="processes per command (default: 7)")
    parser.add_argument("--cores", type=int, default=2, help="cores the processes may use (default: 2; Linux only)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()
    if not options.photo.is_file():
        parser.error(f"--photo {options.photo}: there is no such file")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    machine = describe("onnxruntime", "numpy", "pillow", "torch")
    with tempfile.TemporaryDirectory() as folder:
        photo = make_photo(options.photo, Path(folder), options.side)
        predict = ["-m", "bridgeseg", "predict", str(photo), "--out", str(Path(folder) / "out")]
        predict += [] if options.model is None else ["--model", str(options.model)]
        megapixels = options.side**2 / 1e6
        rows = [measure(f"bridgeseg predict, {megapixels:.1f} megapixel", predict, options.runs)]
    rows.append(measure("bridgeseg --help", ["-m", "bridgeseg", "--help"], options.runs))
    model = "bundled" if options.model is None else options.model.name
    settings = {"side": options.side, "runs": options.runs, "model": model}
    columns = ["command", "first s", "median s", "max s", "peak MB", "heavy imports"]
    notes = [f"heavy imports: any of {', '.join(HEAVY)}"]
    notes += [
        f"imports of {row['name']}: " + ", ".join(f"{package} {ms:.0f} ms" for package, ms in row["imports_ms"].items())
        for row in rows
    ]
    title = f"cold processes, model: {model}, {options.runs} runs each"
    show(title, machine, columns, [table_row(row) for row in rows], notes)
    write_json(options.json, benchmark="cold_start", machine=machine, settings=settings, rows=rows)


if __name__ == "__main__":
    main()
