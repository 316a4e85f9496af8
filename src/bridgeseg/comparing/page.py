"""The report of a comparison as one HTML page: tables, plots, what reproduces them; nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridgeseg.comparing.tables import class_table, main_table, note, run_table, tradeoff_table
from bridgeseg.report.html import data_url, render

CAPTIONS = {
    "scores.png": "mIoU: mean (bar), standard deviation (line) and every seed (dots). The axis does not begin at zero.",
    "latency.png": "mIoU against latency: filled marks in float, hollow ones in 8 bits, mean over the seeds. Upright "
    "lines are the standard deviation; dotted ones join the two forms of a variant.",
    "fractions.png": "mIoU against the share of labelled images; every share trains for the same number of steps.",
    "classes.png": "IoU of every class minus that of none, paired by seed.",
}


def make_page(results: dict[str, Any], plots: Sequence[Path]) -> str:
    """Return the page.

    Args:
        results: what `results.json` holds.
        plots: PNG files, which are put into the page.
    """
    split, cells, runs = results["split"], results["cells"], results["runs"]
    missing = [f"{name}: failed" for name in results["failed"]]
    missing += [f"{name}: not finished" for name in results["unfinished"] if name not in results["failed"]]
    return render(
        "compare.html",
        title=f"Comparison on {split}: {', '.join(dict.fromkeys(cell['variant'] for cell in cells))}",
        results=results,
        missing=missing,
        main=main_table(cells, split, results["against"]),
        note=note(results["reference"]),
        tradeoff=tradeoff_table(results["tradeoff"], split),
        figures=[(data_url(path.read_bytes()), CAPTIONS[path.name]) for path in plots],
        classes=class_table(cells),
        runs=run_table(runs, split),
    )
