"""The tables of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridgeseg.comparing.tradeoff import PRECISIONS
from bridgeseg.metrics import percent
from bridgeseg.report.tables import Table

Cells = Sequence[dict[str, Any]]
LABELS = 3
"""Columns at the left that name the cell."""


def note(reference: str | None) -> str:
    """Return what stands below the tables; `reference` is the variant that times are divided by, if there is one."""
    ratios = "" if reference is None else f"; ratios are to `{reference}` in float on the same backbone"
    return (
        "mIoU in percent: mean ± standard deviation over the seeds. Differences in points, paired by seed: mean ± "
        "standard error; * marks more than two standard errors from zero. GFLOPs: 512x512, a multiplication and its "
        "addition are two operations. Latency: ONNX Runtime on the processor, 512x512, raw pixels to class ids"
        f"{ratios}."
    )


def main_table(cells: Cells, split: str, against: Sequence[str], title: str = "") -> Table:
    """Return the main table; columns that no cell fills are left out."""
    shown = [name for name in against if any(name in cell["differences"] for cell in cells)]
    header = ["variant", "backbone", "labels", "n", f"{split} mIoU", *(f"- {name}" for name in shown)]
    header += [] if split == "val" else ["val mIoU"]
    header += ["params M", "trained M", "GFLOPs", "ms", "ms ratio", "train s", "train ratio"]
    rows = []
    for cell in cells:
        row = [cell["variant"], cell["backbone"], f"{100 * cell['fraction']:g} %", str(len(cell["seeds"]))]
        row += [_spread(cell["miou"]), *(_difference(cell["differences"].get(name)) for name in shown)]
        row += [] if split == "val" else [_spread(cell["val_miou"])]
        row += [_number(cell.get("parameters"), 1e6, 2), _number(cell.get("parameters_trained"), 1e6, 2)]
        row += [_number(cell.get("gflops"), 1, 2)]
        latency = cell.get("latency") or {}
        row += [_number(latency.get("ms"), 1, 1), _number(latency.get("ratio"), 1, 3)]
        row += [_number(cell["seconds"], 1, 0), _number(cell["seconds_ratio"], 1, 3)]
        rows.append(row)
    kept = [place for place in range(len(header)) if any(row[place] for row in rows)]
    shown_rows = [[row[place] for place in kept] for row in rows]
    return Table([header[place] for place in kept], shown_rows, title, LABELS)


def tradeoff_table(rows: Cells, split: str) -> Table:
    """Return the table of accuracy beside time, a row for each mark of the figure.

    Args:
        rows: as `tradeoff.tradeoff` returns them.
        split: whose mIoU it is.
    """
    shown = []
    for row in rows:
        where = [row["variant"], row["backbone"], f"{100 * row['fraction']:g} %", PRECISIONS[row["precision"]]]
        scores = [str(row["miou"]["n"]), _spread(row["miou"]), _difference(row["difference"])]
        shown.append([*where, *scores, _number(row["ms"], 1, 1), _number(row["ratio"], 1, 3)])
    header = ["variant", "backbone", "labels", "precision", "n", f"{split} mIoU", "- float", "ms", "ms ratio"]
    return Table(header, shown, "Accuracy and time", LABELS + 1)


def class_table(cells: Cells) -> Table:
    """Return the IoU per class: a row for each cell, mean over the seeds in percent."""
    names = list(dict.fromkeys(name for cell in cells for name in cell["iou"]))
    rows = [
        [cell["variant"], cell["backbone"], f"{100 * cell['fraction']:g} %"]
        + [percent(cell["iou"].get(name)) for name in names]
        for cell in cells
    ]
    return Table(["variant", "backbone", "labels", *names], rows, names=LABELS)


def run_table(runs: Sequence[dict[str, Any]], split: str) -> Table:
    """Return the table of all runs."""
    header = ["variant", "backbone", "labels", "seed", f"{split} mIoU", "val mIoU", "train s"]
    rows = [
        [run["variant"], run["backbone"], f"{100 * run['fraction']:g} %", str(run["seed"])]
        + [percent(run["scores"].get(name, {}).get("miou")) for name in (split, "val")]
        + [_number(run["seconds"], 1, 0)]
        for run in runs
    ]
    return Table(header, rows, names=LABELS)


def _spread(value: dict[str, Any] | None) -> str:
    if value is None:
        return ""
    deviation = value["deviation"]
    return f"{100 * value['mean']:.2f}" + ("" if deviation is None else f" ± {100 * deviation:.2f}")


def _difference(value: dict[str, Any] | None) -> str:
    if value is None:
        return ""
    error = "" if value["error"] is None else f" ± {100 * value['error']:.2f}"
    return f"{100 * value['mean']:+.2f}{error}{' *' if value['clear'] else ''}"


def _number(value: float | None, unit: float, digits: int) -> str:
    return "" if value is None else f"{value / unit:.{digits}f}"
