"""What `bridgeseg benchmark` shows: a progress bar on stderr, then a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bridgeseg.measuring.machine import show
from bridgeseg.report.progress import ProgressBar

COLUMNS = ("runtime", "threads", "p50 ms", "p90 ms", "p99 ms", "ratio", "images/s", "peak MB", "cold start s")


@contextmanager
def progress(total: int, show: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that moves a bar on and says what is measured; no bar if stderr is no terminal."""
    with ProgressBar("benchmark", total, show=show) as bar:
        yield lambda name: bar.advance(title=name)


def print_table(report: dict[str, Any]) -> None:
    """Print what `measure.benchmark` returns, one table for each size."""
    settings = report["settings"]
    sizes = dict.fromkeys(tuple(row["size"]) for row in report["rows"])
    batches = f"in batches of {settings['batch']}" if settings["batch"] > 1 else "one image at a time"
    notes = [
        "ratio: to the first row, the median over the rounds of the ratio within a round",
        f"images/s: {batches}; peak MB: of a process that does one image at a time; cold start: import to first result",
    ]
    for index, size in enumerate(sizes):
        rows = [table_row(row) for row in report["rows"] if tuple(row["size"]) == size]
        title = f"{report['model']} ({report['bytes'] / 1e6:.1f} MB), {size[0]}x{size[1]}, {settings['rounds']} rounds"
        last = index == len(sizes) - 1
        show(title, report["machine"] if last else None, COLUMNS, rows, notes if last else ())


def table_row(row: dict[str, Any]) -> list[str]:
    """Return the cells of a row as text."""
    return [
        row["runtime"],
        "all" if row["threads"] is None else str(row["threads"]),
        *(f"{row['ms'][key]:.1f}" for key in ("p50", "p90", "p99")),
        f"{row['ratio']:.2f}",
        f"{row['images_per_second']:.1f}",
        "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}",
        f"{row['cold_start_s']:.2f}",
    ]
