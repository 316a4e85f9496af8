"""Train on one dataset, ask for the names of another: experiment 2 of docs/experiments.md. Prints a table.

    python benchmarks/other_words.py --root data --out runs/words --seeds 0,1,2 --text-encoder ViT-B-16.safetensors

`--root` holds camvid/ and labelmefacade/, each with a data.yaml. Trained on LabelMeFacade, scored on a split of CamVid,
of which no label was seen: by CamVid's names, and by LabelMeFacade's with a mapping written by hand. What is finished
is not trained again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

import bridgeseg
from _arms import compared, parser, table
from bridgeseg.confusion import ConfusionMatrix
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec
from bridgeseg.images import read_image
from bridgeseg.metrics import Scores

BY_HAND = {
    "building": "building", "door": "building", "window": "building", "car": "car", "pavement": "pavement",
    "road": "road", "sky": "sky", "vegetation": "tree",
}  # fmt: skip
"""Names of LabelMeFacade -> what they are in CamVid."""
SHARED = tuple(dict.fromkeys(BY_HAND.values()))
SETTINGS = {"lr": 0.003, "backbone_lr": 0.083, "batch_size": 8, "crop_size": (192, 256), "val_split": None}


def by_hand(run: Path, data: Path, split: str) -> Mapping[str, float]:
    """Score what a run says in its own names, mapped: name of the data -> IoU."""
    model, spec = bridgeseg.load(run), DataSpec.load(data)
    names = spec.classes.names
    ids = np.array([names.index(BY_HAND[name]) for name in model.classes.names])
    matrix = ConfusionMatrix(len(names), spec.classes.ignore_index)
    for sample in spec.samples(split):
        matrix.update(ids[model.mask(read_image(sample.image))], read_mask(sample.mask, spec))
    found = Scores.from_confusion(matrix.matrix, names, len(spec.samples(split)))
    return {name: value for name, value in found.iou.items() if value is not None}


def score(run: Path, data: Path, split: str) -> dict[str, float]:
    """Return the mean IoU over what both datasets know: by language, by hand, and the one over the other."""
    found = bridgeseg.evaluate(run, data, split=split, quiet=True).iou
    language, hand = (
        float(np.mean([scores[name] for name in SHARED])) for scores in (found, by_hand(run, data, split))
    )
    return {"language": language, "by hand": hand, "share": language / hand, "tree": float(found["tree"] or 0)}


def main() -> None:
    options = parser(__doc__, "runs/words")
    options.add_argument("--split", default="test")
    given = options.parse_args()
    data, target = given.root / "labelmefacade" / "data.yaml", given.root / "camvid" / "data.yaml"
    file = f"{given.split}.json"
    table(compared(given.out.resolve(), data, given, SETTINGS, lambda run: score(run, target, given.split), file))


if __name__ == "__main__":
    main()
