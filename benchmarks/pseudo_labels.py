"""Label silent pixels with the network itself, and train once more: experiment 5 of docs/experiments.md.

    python benchmarks/pseudo_labels.py --root data --out runs/curve --seeds 0,1,2 --images 0,5

The runs of `silence_curve.py` with the same `--out` are the teachers; they are trained first if they are not there.
Where a teacher is sure that a pixel of the four silent names or of the void is one of the four, its image gets that
label; the rest of these pixels are ignored. Prints a table for every k: before, and after.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

import bridgeseg
from _arms import compared, table
from _parts import Data
from _silence import SETTINGS, SILENT, joined, read, score
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec
from bridgeseg.images import read_image

SURE = 0.5
"""Probability from which a teacher is believed."""


def filled(run: Path, camvid: Path, home: Path) -> Path:
    """Write CamVid again, its silent pixels labelled by a run where that is sure; return the data.yaml.

    Args:
        run: the teacher.
        camvid: the dataset it was trained on, the four names silent in some images or in all.
        home: a folder for the dataset.
    """
    names = [name for name in yaml.safe_load(camvid.read_text(encoding="utf-8"))["names"] if name != "void"]
    keys = dict.fromkeys(("labelled", "labelled_file", "unlabelled", "label_map"))
    data = Data(camvid.parents[1], home).part(camvid.parent.name, "filled", names=names, **keys)
    spec = DataSpec.load(data)
    ignore = spec.classes.ignore_index
    teacher = bridgeseg.load(run, names=spec.classes)
    four = [names.index(name) for name in SILENT]
    listed = camvid.parent / "labelled.csv"
    rows = csv.reader(listed.read_text(encoding="utf-8").splitlines()) if listed.is_file() else ()
    silent = {Path(row[0]).name for row in rows}
    for sample in spec.samples("train"):
        if silent and sample.image.name not in silent:
            continue
        truth, found = read_mask(sample.mask, spec), teacher.predict(read_image(sample.image))
        assert found.confidence is not None
        unknown = np.isin(truth, [*four, ignore])
        sure = np.isin(found.mask, four) & (found.confidence >= SURE)
        truth[unknown] = np.where(sure, found.mask, ignore)[unknown]
        sample.mask.unlink()  # a link to the labels of the whole dataset
        Image.fromarray(truth.astype(np.uint8)).save(sample.mask)
    return data


def again(sets: Sequence[Path], teachers: Path, run: Path) -> list[Path]:
    """Return the datasets of a run, the first with the labels of the run of the same name among the teachers."""
    return [filled(teachers / run.name, sets[0], run.with_name(f"{run.name}-data")), *sets[1:]]


def main() -> None:
    given, out, data, target = read(__doc__, "0,5")
    scored = partial(score, data=target, encoder=None)
    for count in given.images.split(","):
        home, sets = out / f"k-{count}", joined(data, int(count))
        before = compared(home, sets, given, SETTINGS, scored, "curve.json")
        after = compared(out / f"k-{count}-after", partial(again, sets, home), given, SETTINGS, scored, "curve.json")
        print(f"\nlabelled in {count} images")
        table({**before, **{f"{name}, after": scores for name, scores in after.items()}})


if __name__ == "__main__":
    main()
