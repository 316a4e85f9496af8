"""Datasets made of parts of others: fewer images, fewer names that are labelled."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image


class Data:
    """Datasets made of parts of others, with hard links.

    Args:
        root: folder of the datasets.
        out: where they are made.
    """

    def __init__(self, root: Path, out: Path) -> None:
        self.root, self.out = root, out

    def whole(self, name: str) -> Path:
        """Return the data.yaml of a dataset."""
        return self.root / name / "data.yaml"

    def void(self, name: str) -> dict[str, Any]:
        """Return keys of a data.yaml that call its ignored pixels `void`, a name that no one labels.

        Where a name is silent, void pixels must be as silent as its own: else the hole in the labels is the class.
        """
        names = yaml.safe_load(self.whole(name).read_text())["names"].values()
        return {"names": [*names, "void"], "label_map": {**dict(enumerate(names)), 255: "void"}}

    def part(self, name: str, title: str, keep: Callable[[list[Path]], list[Path]] | None = None, **keys: Any) -> Path:
        """Return the data.yaml of a part of a dataset, made if it is not there.

        Args:
            name: the dataset.
            title: of the part.
            keep: chooses training images, of all in order; all by default.
            keys: keys of its data.yaml that differ; None takes one out.
        """
        home, source = self.out / title, self.root / name
        target = home / "data.yaml"
        if target.is_file():
            return target
        given = yaml.safe_load((source / "data.yaml").read_text())
        for split in ("train", "val", "test"):
            images = sorted(path for path in (source / "images" / split).glob("*") if path.is_file())
            for image in keep(images) if keep and split == "train" else images:
                mask = source / "masks" / split / f"{image.stem}.png"
                for path in (image, mask):
                    link = home / path.relative_to(source)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    if not link.exists():
                        os.link(path, link)
        content = {key: value for key, value in {**given, **keys}.items() if value is not None}
        target.write_text(yaml.safe_dump(content, sort_keys=False))
        return target


def holding(value: int, count: int) -> Callable[[list[Path]], list[Path]]:
    """Return what keeps `count` images, at even distances, of those whose masks have 500 pixels of a value or more."""

    def keep(images: list[Path]) -> list[Path]:
        masks = [path.parents[2] / "masks" / path.parent.name / f"{path.stem}.png" for path in images]
        with_it = [
            i for i, mask in zip(images, masks, strict=True) if (np.asarray(Image.open(mask)) == value).sum() >= 500
        ]
        return every(count)(with_it)

    return keep


def every(count: int) -> Callable[[list[Path]], list[Path]]:
    """Return what keeps `count` images at even distances."""
    return lambda images: [images[round(index * (len(images) - 1) / max(1, count - 1))] for index in range(count)]
