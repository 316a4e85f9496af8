"""CSV: `areas.csv`, one file for all images of a run, with a line for each class of each image."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from bridgeseg.outlines import Area
from bridgeseg.predicting.formats.spool import Spool, written
from bridgeseg.report.draw import count_pixels
from bridgeseg.runtime.result import Result

HEAD = ("image", "width", "height", "class_id", "class", "pixels", "share")


class Form:
    """Gathers the lines on the disk."""

    outlined, sure = False, False

    def __init__(self, folder: Path) -> None:
        self._path, self._lines = folder / "areas.csv", Spool()

    def write(self, result: Result, name: str, areas: list[Area]) -> Path:  # noqa: D102
        height, width = result.mask.shape
        text = io.StringIO()
        rows = csv.writer(text)
        image = str(result.name if result.source is None else result.source)
        for number, count in enumerate(count_pixels(result.mask, len(result.classes)).tolist()):
            if count:
                share = f"{count / result.mask.size:.6f}"
                rows.writerow((image, width, height, number, result.classes.names[number], count, share))
        self._lines.add(text.getvalue())
        return self._path

    def close(self) -> None:  # noqa: D102
        if not self._lines.empty:
            written(self._path, (",".join(HEAD) + "\r\n").encode(), self._lines)
