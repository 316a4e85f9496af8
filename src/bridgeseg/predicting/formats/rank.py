"""Rank: `rank.csv`, the images of a run, those that the model is least sure of first."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from bridgeseg.files import write
from bridgeseg.outlines import Area
from bridgeseg.runtime.network import unsure
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import FIX

HEAD = ("image", "confidence", "unknown")


class Form:
    """Keeps two numbers of each image, and writes all of them at the end."""

    outlined, sure = False, True

    def __init__(self, folder: Path) -> None:
        self._path = folder / "rank.csv"
        self._rows: list[tuple[float, str, float | None]] = []

    def write(self, result: Result, name: str, areas: list[Area]) -> Path:  # noqa: D102
        if result.confidence_bytes is None:
            raise unsure("the form `rank`")
        image = str(result.name if result.source is None else result.source)
        self._rows.append((float(np.mean(result.confidence_bytes)) / 255, image, result.unknown))
        return self._path

    def close(self) -> None:  # noqa: D102
        if self._rows:
            text = io.StringIO()
            rows = csv.writer(text)
            rows.writerow(HEAD)
            for sure, image, unknown in sorted(self._rows, key=lambda row: row[:2]):
                rows.writerow((image, f"{sure:.6f}", "" if unknown is None else f"{unknown:.6f}"))
            write(self._path, text.getvalue().encode("utf-8", "backslashreplace"), FIX)
