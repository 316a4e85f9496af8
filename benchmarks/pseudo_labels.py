"""Label silent pixels with the network itself, and train once more: experiment 5 of docs/experiments.md.

    python benchmarks/pseudo_labels.py --root data --out runs/curve --seeds 0,1,2 --images 0,5

The runs of `silence_curve.py` with the same `--out` are the teachers; they are trained first if they are not there.
Where a teacher is sure that a pixel of the four silent names or of the void is one of the four, its image gets that
label; the rest of these pixels are ignored. Prints a table for every k: before, and after.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

import bridgeseg
from _arms import arms, parser, table, trained
from _parts import Data
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec
from bridgeseg.images import read_image
from silence_curve import SETTINGS, SILENT, joined, score

SURE = 0.5
"""Probability from which a teacher is believed."""


def filled(run: Path, camvid: Path, home: Path) -> Path:
    """Write CamVid again, its silent pixels labelled by a run where that is sure; return the data.yaml.

    Args:
        run: the teacher.
        camvid: the dataset it was trained on, the four names silent in some images or in all.
        home: a folder for the dataset.
    """
    data = Data(camvid.parents[1], home).part(camvid.parent.name, "filled", labelled=None, labelled_file=None)
    spec = DataSpec.load(data)
    names, ignore = list(spec.classes.names), spec.classes.ignore_index
    teacher = bridgeseg.load(run, names=dict(zip(names, spec.classes.prompts, strict=True)))
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


def main() -> None:
    options = parser(__doc__, "runs/curve")
    options.add_argument("--images", default="0,5", help="numbers of images in which the four are labelled")
    options.set_defaults(arms="text only,random", epochs=3)
    given = options.parse_args()
    out = given.out.resolve()
    data = Data(given.root.resolve(), out / "data")
    target = data.part("camvid", "camvid-all", prompts={})
    for count in given.images.split(","):
        results: dict[str, list[Mapping[str, float]]] = {}
        for seed in map(int, given.seeds.split(",")):
            for name, encoder in arms(given.arms, given.text_encoder, seed).items():
                every = {**SETTINGS, "epochs": given.epochs, "text_encoder": encoder, "seed": seed}
                sets, home = joined(data, int(count)), out / f"k-{count}" / f"{name.replace(' ', '-')}-s{seed}"
                teacher = trained(home, sets, every, given.set) if not (home / "last").is_dir() else home
                after = home.with_name(f"{home.name}-after")
                for title, run in ((name, teacher), (f"{name}, after", after)):
                    kept = run / "curve.json"
                    if not kept.is_file():
                        if run is after:
                            again = [filled(teacher, sets[0], out / "filled" / f"{count}-{home.name}"), *sets[1:]]
                            trained(run, again, every, given.set)
                        kept.write_text(json.dumps(score(run, target, None), indent=1))
                    results.setdefault(title, []).append(json.loads(kept.read_text()))
                    print(f"{title}, {count} images, seed {seed}: {results[title][-1]}", flush=True)
        print(f"\nlabelled in {count} images")
        table(results)


if __name__ == "__main__":
    main()
