"""COCO JSON: `coco.json`, one file for all images of a run; each area is an annotation (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from pathlib import Path

from bridgeseg.outlines import Area
from bridgeseg.predicting.formats.spool import Spool, written
from bridgeseg.runtime.result import Result


class Form:
    """Gathers images and annotations on the disk, and puts the file together at the end."""

    outlined, sure = True, False

    def __init__(self, folder: Path) -> None:
        self._path = folder / "coco.json"
        self._images, self._annotations = Spool(), Spool()
        self._count = self._number = 0
        self._categories: list[dict[str, object]] = []

    def write(self, result: Result, name: str, areas: list[Area]) -> Path:  # noqa: D102
        found = result.to_coco(areas, image_id=self._count + 1, first_id=self._number + 1)
        self._categories = found["categories"]
        for spool, key, count in (
            (self._images, "images", self._count),
            (self._annotations, "annotations", self._number),
        ):
            lines = [json.dumps(one, ensure_ascii=False) for one in found[key]]
            if lines:
                spool.add((",\n" if count else "") + ",\n".join(lines))
        self._count += 1
        self._number += len(found["annotations"])
        return self._path

    def close(self) -> None:  # noqa: D102
        if not self._count:
            return
        head = json.dumps({"description": "predicted by bridgeseg"}).encode()
        categories = json.dumps(self._categories, ensure_ascii=False).encode()
        pieces = (b'{"info": ', head, b',\n"images": [\n', self._images, b'\n],\n"annotations": [\n', self._annotations)
        written(self._path, *pieces, b'\n],\n"categories": ', categories, b"}\n")
