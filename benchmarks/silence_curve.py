"""Label names in k images alone, and join datasets that say it in other words: experiment 3 of docs/experiments.md.

    python benchmarks/silence_curve.py --root data --out runs/curve --seeds 0,1,2 --images 0,5,20,all

`--root` holds camvid/, labelmefacade/ and nyuv2/, each with a data.yaml. In CamVid the four `SILENT` names are labelled
in k images; in all others they and the void are unknown together. LabelMeFacade says automobile for car, NYUv2 person
for pedestrian, and every name is its own phrase. Prints a table for every k: IoU of the four on the test split. What is
finished is not trained again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import yaml

import bridgeseg
from _arms import MINILM, compared, parser, table
from _parts import Data, holding
from bridgeseg.text import save_embeddings
from bridgeseg.vocabulary.bank import bank
from bridgeseg.vocabulary.embeddings import find_rows

SILENT = ("pedestrian", "bicyclist", "car", "traffic sign")
SETTINGS = {"batch_size": 8, "crop_size": (192, 256), "val_split": None, "shares": [1, 1, 1]}


def silenced(data: Data, count: int) -> Path:
    """Return CamVid's data.yaml with the four labelled in so many training images, which hold pedestrians."""
    names = list(yaml.safe_load(data.whole("camvid").read_text())["names"].values())
    others = [name for name in names if name not in SILENT]
    if not count:
        return data.part("camvid", "camvid-0", prompts={}, labelled=others)
    home = data.part("camvid", f"camvid-{count}", prompts={}, labelled_file="labelled.csv")
    images = sorted((home.parent / "images" / "train").iterdir())
    whole = set(holding(names.index(SILENT[0]), count)(images))
    rows = [f"images/train/{path.name},{';'.join(others)}" for path in images if path not in whole]
    (home.parent / "labelled.csv").write_text("\n".join(["image,labelled", *rows]) + "\n")
    return home


def joined(data: Data, count: int | None) -> list[Path]:
    """Return the three datasets; None for CamVid with all of its labels."""
    camvid = data.part("camvid", "camvid-all", prompts={}) if count is None else silenced(data, count)
    facade = yaml.safe_load(data.whole("labelmefacade").read_text())["names"]
    words = {value: "automobile" if name == "car" else name for value, name in facade.items()}
    return [
        camvid,
        data.part("labelmefacade", "facade", names=words),
        data.part("nyuv2", "rooms", prompts={}),
    ]


def shuffled(file: Path) -> str:
    """Write MiniLM's bank with the vectors of the four exchanged in a circle; return the file."""
    found = bank(MINILM)
    assert found is not None
    rows = [row for row in find_rows(SILENT, found.names) if row is not None]
    vectors = found.vectors.copy()
    vectors[rows] = np.roll(found.vectors[rows], 1, axis=0)
    file.parent.mkdir(parents=True, exist_ok=True)
    return str(save_embeddings(file, torch.from_numpy(vectors), found.names))


def score(run: Path, data: Path, encoder: str | None) -> Mapping[str, float]:
    """Return the mean IoU of the four and of the others on the test split, and that of each of the four."""
    found = bridgeseg.evaluate(run, data, split="test", embeddings=encoder, quiet=True).iou
    iou = {name: value or 0.0 for name, value in found.items()}
    four, rest = ([value for name, value in iou.items() if (name in SILENT) is part] for part in (True, False))
    return {"the four": float(np.mean(four)), "others": float(np.mean(rest)), **{name: iou[name] for name in SILENT}}


def main() -> None:
    options = parser(__doc__, "runs/curve")
    options.add_argument("--images", default="0,5,20,all", help="numbers of images in which the four are labelled")
    options.set_defaults(arms="text only,random", epochs=3)
    given = options.parse_args()
    out = given.out.resolve()
    data, mixed = Data(given.root.resolve(), out / "data"), shuffled(out / "shuffled.safetensors")
    target = data.part("camvid", "camvid-all", prompts={})
    for count in given.images.split(","):
        home = out / f"k-{count}"
        sets = joined(data, None if count == "all" else int(count))

        def scored(run: Path) -> Mapping[str, float]:
            return score(run, target, mixed if run.name.startswith("shuffled") else None)

        found = compared(home, sets, given, SETTINGS, scored, "curve.json", shuffled=mixed)
        print(f"\nlabelled in {count} images")
        table(found)


if __name__ == "__main__":
    main()
