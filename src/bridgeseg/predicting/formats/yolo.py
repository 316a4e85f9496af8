"""YOLO polygons: `yolo/labels/NAME.txt`, named as the image, a line for each area; `yolo/data.yaml`, the classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from bridgeseg.files import write
from bridgeseg.outlines import Area
from bridgeseg.predicting.unique import Unique
from bridgeseg.runtime.result import Result, stem
from bridgeseg.runtime.saving import FIX


class Form:
    """Writes one file an image, and at the end the classes."""

    outlined, sure = True, False

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "yolo"
        self._names: tuple[str, ...] = ()
        self._unique = Unique()

    def write(self, result: Result, name: str, areas: list[Area]) -> Path:  # noqa: D102
        path = self._folder / "labels" / f"{self._unique(stem(result.name).as_posix())}.txt"
        self._names = result.classes.names
        size = np.array(result.mask.shape[::-1])
        lines = (
            " ".join([str(area.class_id), *(f"{value:.8g}" for value in (area.joined() / size).ravel())])
            for area in areas
        )
        write(path, "".join(f"{line}\n" for line in lines), FIX)
        return path

    def close(self) -> None:  # noqa: D102
        if self._names:
            names = {"names": dict(enumerate(self._names))}
            write(self._folder / "data.yaml", yaml.safe_dump(names, sort_keys=False, allow_unicode=True), FIX)
