"""YOLO polygons: `yolo/labels/NAME.txt`, named as the image, a line for each area; `yolo/data.yaml`, the classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from bridgeseg.files import write
from bridgeseg.images import Note
from bridgeseg.outlines import Area
from bridgeseg.predicting.unique import Unique
from bridgeseg.runtime.result import Result, stem
from bridgeseg.runtime.saving import FIX
from bridgeseg.wording import printable


class Form:
    """Writes one file an image, and at the end the classes."""

    outlined, sure = True, False

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "yolo"
        self._names: tuple[str, ...] = ()
        self._unique = Unique()
        self._images: dict[int, str] = {}  # hash of a name that was given -> the image that has it

    def write(self, result: Result, name: str, areas: list[Area]) -> Path | tuple[Path, Note]:  # noqa: D102
        own = stem(result.name).as_posix()
        chosen = self._unique(own)
        self._images[hash(chosen.casefold())] = result.name.as_posix()
        path = self._folder / "labels" / f"{chosen}.txt"
        self._names = result.classes.names
        size = np.array(result.mask.shape[::-1])
        lines = (
            " ".join([str(area.class_id), *(f"{value:.8g}" for value in (area.joined() / size).ravel())])
            for area in areas
        )
        write(path, "".join(f"{line}\n" for line in lines), FIX)
        if chosen == own or result.source is None:
            return path
        message = (
            f"the labels of {printable(result.name)} are {printable(path.name)}, for {printable(Path(own).name)}.txt "
            f"belongs to {printable(self._images[hash(own.casefold())])}: tools pair images and labels by their names, "
            "and miss these"
        )
        return path, Note("labels", message, "rename one of the two images, and run it again")

    def close(self) -> None:  # noqa: D102
        if self._names:
            names = {"names": dict(enumerate(self._names))}
            write(self._folder / "data.yaml", yaml.safe_dump(names, sort_keys=False, allow_unicode=True), FIX)
