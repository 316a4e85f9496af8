"""Kill trainings with SIGKILL at random moments, let them go on, and compare what comes out with an undisturbed run.

    python benchmarks/kill_resume.py --kills 20

The dataset and the network are tiny and made on the spot. Every run is killed at a moment drawn evenly from the length
of the undisturbed run, goes on, and is killed again with a chance of a half, until it ends. Compared byte by byte: the
weights of `best/` and `last/`, what describes them, and `metrics.csv`. Two parts of a run are left out, for time:
Python's imports, which a server of processes makes once, and the images of the finished run.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

# Before torch is loaded: sums must be made in one order, and a process with threads cannot be forked.
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from tiny_data import TINY, write_dataset
from tiny_runs import differing, start

LIMIT = 600.0
"""Seconds after which a run is taken to hang."""


def length(settings: dict[str, object], out: Path) -> float:
    """Make a run without disturbing it; return its seconds."""
    began = time.monotonic()
    process = start(settings, out)
    process.join(LIMIT)
    if process.exitcode != 0:
        process.kill()
        sys.exit(f"a run that nobody disturbed ended with exit code {process.exitcode}")
    return time.monotonic() - began


def place(out: Path, epochs: int) -> str:
    """Say what a killed run left behind."""
    if not (out / "train.json").is_file():
        return "before the first step"
    if (out / "last").is_dir():
        return "while the results were written"
    lines = (out / "metrics.csv").read_text().count("\n") - 1 if (out / "metrics.csv").is_file() else 0
    halves = sorted(path.name for path in out.iterdir() if path.suffix in (".new", ".old") or ".part" in path.name)
    moment = f"in epoch {lines + 1}" if lines < epochs else "after the last epoch"
    return moment + (f", writing ({', '.join(halves)})" if halves else "")


def disturbed(settings: dict[str, object], out: Path, seconds: float, draw: random.Random) -> list[str]:
    """Kill a run at least once and let it end; return where it was hit."""
    hits: list[str] = []
    while True:
        process = start(settings, out)
        wanted = draw.uniform(0, seconds) if not hits or draw.random() < 0.5 else LIMIT
        process.join(wanted)
        if process.exitcode is None:
            process.kill()
            process.join()
            hits.append(place(out, int(str(settings["epochs"]))) if wanted < LIMIT else "hangs")
            if wanted == LIMIT:
                return hits
        elif process.exitcode != 0:
            return [*hits, f"ended with exit code {process.exitcode}"]
        elif hits:
            return hits
        else:  # it was faster than its killer
            shutil.rmtree(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="runs that are killed at least once")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--workers", type=int, default=1, help="processes that load data")
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings = TINY | {"data": str(write_dataset(root / "data", train=12)), "epochs": options.epochs, "ema": 0.9}
        settings |= {"workers": options.workers}
        length(settings, root / "warm")
        seconds = length(settings, root / "whole")
        print(f"undisturbed: {options.epochs} epochs of 3 steps, {seconds:.1f} s", flush=True)
        identical = kills = 0
        for run in range(options.kills):
            out = root / f"run{run}"
            hits = disturbed(settings, out, seconds, draw)
            wrong = differing(root / "whole", out)
            identical, kills = identical + (not wrong), kills + len(hits)
            verdict = "identical" if not wrong else f"DIFFERENT: {', '.join(wrong)}"
            print(f"run {run + 1}: killed {'; then '.join(hits)}: {verdict}", flush=True)
    print(f"{kills} kills in {options.kills} runs")
    print(f"identical: {identical}/{options.kills}")
    sys.exit(identical != options.kills)


if __name__ == "__main__":
    main()
