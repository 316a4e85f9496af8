"""Accuracy beside time: every variant in float and in 8 bits, as rows that the table, the figure and the CSV are of."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

FLOAT, INT8 = "float", "int8"
PRECISIONS = {FLOAT: "float", INT8: "8 bits"}
"""How files call a precision, and how people read it."""
COLUMNS = (
    "variant", "backbone", "fraction", "precision", "n", "miou", "deviation", "difference", "error", "ms", "ratio",
)  # fmt: skip


def tradeoff(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each cell and precision, the fastest of a fraction first.

    Args:
        cells: as in `results.json`.

    Returns:
        JSON-ready rows: `variant`, `backbone`, `fraction`, `precision` (`float` or `int8`), `miou` (mean, deviation,
        n), `difference` of 8 bits to float (mean, error, n; None in float), `ms` and its `ratio` to the reference, None
        where they were not measured. There are none where nothing was timed or scored in 8 bits.
    """
    rows = [row for cell in cells for row in _rows(cell)]
    rows.sort(key=lambda row: (-row["fraction"], math.inf if row["ms"] is None else row["ms"]))
    return rows if any(row["ms"] is not None or row["precision"] == INT8 for row in rows) else []


def _rows(cell: dict[str, Any]) -> Iterator[dict[str, Any]]:
    where = {key: cell[key] for key in ("variant", "backbone", "fraction")}
    for precision, prefix in ((FLOAT, ""), (INT8, "int8_")):
        if cell[f"{prefix}miou"] is not None:
            latency = cell.get(f"{prefix}latency") or {}
            yield {
                **where,
                "precision": precision,
                "miou": cell[f"{prefix}miou"],
                "difference": cell["int8_difference"] if precision == INT8 else None,
                "ms": latency.get("ms"),
                "ratio": latency.get("ratio"),
            }


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as CSV with a header; scores are fractions of 1, what is not known is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        miou, difference = row["miou"], row["difference"] or {}
        scores = {"n": miou["n"], "miou": miou["mean"], "deviation": miou["deviation"]}
        writer.writerow({**row, **scores, "difference": difference.get("mean"), "error": difference.get("error")})
    return text.getvalue()
