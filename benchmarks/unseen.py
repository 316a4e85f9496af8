"""Ask networks for names that were never labelled: experiment 1 of docs/experiments.md. Prints a table.

    python benchmarks/unseen.py --root data --out runs/unseen --seeds 0,1,2 --text-encoder ViT-B-16.safetensors
    python benchmarks/unseen.py ... --choose "bank: model.text_space=bank" --choose "pca: model.projection=pca"

`--root` holds nyuv2/ with a data.yaml. Images are halved, to 320x240. 33 names are trained, six are ignored, and asked
for afterwards. With `--choose`, settings are compared: trained on four fifths of the training split, scored on the
fifth. What is finished is not trained again.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

import bridgeseg
from _arms import compared, parser, table

NEVER = ("sofa", "desk", "blinds", "towel", "counter", "toilet")
PHRASES = {  # names of the data -> phrases of the bank of ViT-B/16
    "sofa": ["couch"], "blinds": ["window blind"], "counter": ["counter"], "bookshelf": ["shelf", "book"],
    "shelves": ["shelf"], "picture": ["paper", "wood"], "dresser": ["cupboard", "furniture"], "floor mat": ["mat"],
    "books": ["book"], "television": ["tv"], "shower curtain": ["curtain", "textile"], "box": ["cardboard"],
    "whiteboard": ["panel wall"], "night stand": ["table", "cupboard"], "lamp": ["light"], "bathtub": ["sink", "water"],
    "bag": ["handbag", "backpack"], "structure": ["structural"], "furniture": ["furniture"],
}  # fmt: skip
CONSTANTS = np.arange(0.0, 6.01, 0.5)
"""Taken off the logits of the trained names."""
FOURTH = 4
"""Of the training images every fourth is looked at to choose the constant."""
SETTINGS = {"lr": 0.003, "backbone_lr": 0.083, "batch_size": 8, "crop_size": (192, 256)}
COST = 0.01
"""mIoU of the trained names that the constant may cost them."""
Matrix = NDArray[np.int64]


def make_data(source: Path, home: Path, held_out: bool) -> Path:
    """Write the halved dataset with the six names unlabelled; return its data.yaml.

    Args:
        source: folder of the dataset.
        home: where it is written.
        held_out: score every fifth image of the training split instead of the split val.
    """
    target = home / "data.yaml"
    if target.is_file():
        return target
    given = yaml.safe_load((source / "data.yaml").read_text())
    train = sorted((source / "images" / "train").iterdir())
    splits = {"train": train, "val": sorted((source / "images" / "val").iterdir())}
    if held_out:
        splits = {"train": [path for index, path in enumerate(train) if index % 5], "val": train[::5]}
    for split, paths in splits.items():
        for kind in ("images", "masks"):
            (home / kind / split).mkdir(parents=True, exist_ok=True)
        for path in paths:
            mask = source / "masks" / path.parent.name / f"{path.stem}.png"
            image = Image.open(path).convert("RGB")
            half = (image.width // 2, image.height // 2)
            image.resize(half, Image.Resampling.BOX).save(
                home / "images" / split / f"{path.stem}.png", compress_level=1
            )
            Image.open(mask).resize(half, Image.Resampling.NEAREST).save(home / "masks" / split / f"{path.stem}.png")
    names = given["names"]
    kept = [name for name in names.values() if name not in NEVER]
    label_map = {value: None if name in NEVER else name for value, name in names.items()}
    prompts = {name: phrases for name, phrases in PHRASES.items() if name in kept}
    values = {"path": ".", "train": "images/train", "val": "images/val", "masks_dir": "masks", "names": kept}
    written = yaml.safe_dump({**values, "label_map": label_map, "prompts": prompts}, sort_keys=False)
    (home / "names.json").write_text(json.dumps(list(names.values())))
    target.write_text(written)
    return target


def confusions(run: Path, data: Path, split: str, constants: Sequence[float]) -> tuple[Matrix, Matrix]:
    """Ask a run for all names on the images of a split.

    Returns:
        Counts (C, K, K) of pixels with truth in rows, one matrix for each constant taken off the trained names' logits;
        and (6, 6) where the six alone are asked for, on their own pixels.
    """
    names = json.loads((data.parent / "names.json").read_text())
    train = json.loads((run / "train.json").read_text())
    bank = train["text_encoder"] if str(train["text_encoder"]).endswith(".safetensors") else None
    model = bridgeseg.load(run, names={name: PHRASES.get(name, [name]) for name in names}, embeddings=bank)
    never = np.array([names.index(name) for name in NEVER])
    seen = np.array([index for index, name in enumerate(names) if name not in NEVER])
    count = len(names)
    whole = np.zeros((len(constants), count, count), np.int64)
    among = np.zeros((len(NEVER), len(NEVER)), np.int64)
    place = np.full(256, -1)
    place[never] = range(len(NEVER))
    for path in sorted((data.parent / "images" / split).iterdir())[:: FOURTH if split == "train" else 1]:
        mask = np.asarray(Image.open(data.parent / "masks" / split / path.name))
        logits = model.logits(np.asarray(Image.open(path)))
        known = mask < count
        truth, scores = mask[known].astype(np.int64), logits[:, known]
        best = [(own[scores[own].argmax(0)], scores[own].max(0)) for own in (seen, never)]
        for index, constant in enumerate(constants):
            found = np.where(best[0][1] - constant >= best[1][1], best[0][0], best[1][0])
            whole[index] += np.bincount(truth * count + found, minlength=count**2).reshape(count, count)
        six = place[truth] >= 0
        pairs = place[truth[six]] * len(NEVER) + place[best[1][0][six]]
        among += np.bincount(pairs, minlength=len(NEVER) ** 2).reshape(among.shape)
    return whole, among


def miou(matrix: Matrix, of: Sequence[int]) -> float:
    """Return the mean IoU of some names of a confusion matrix (K, K), of those that occur."""
    hit, total = np.diag(matrix), matrix.sum(0) + matrix.sum(1)
    return float(np.mean([hit[i] / (total[i] - hit[i]) for i in of if matrix[i].sum()]))


def score(run: Path, data: Path) -> dict[str, float]:
    """Return accuracy among the six, and IoU of the six and of the others, with and without a constant."""
    names = json.loads((data.parent / "names.json").read_text())
    never = [names.index(name) for name in NEVER]
    seen = [index for index in range(len(names)) if index not in never]
    whole, _ = confusions(run, data, "train", CONSTANTS)
    among_seen = whole.copy()
    among_seen[:, never] = 0  # pixels of the six have no label here
    costs = [miou(among_seen[0], seen) - miou(matrix, seen) for matrix in among_seen]
    constant = max(index for index, cost in enumerate(costs) if index == 0 or cost <= COST)
    whole, among = confusions(run, data, "val", CONSTANTS[[0, constant]])
    share = among / np.maximum(1, among.sum(1, keepdims=True))
    orders = [o for o in itertools.permutations(range(6)) if all(i != j for i, j in enumerate(o))]
    return {
        "accuracy": float(np.diag(share).mean()),
        "shuffled": float(np.mean([share[range(6), order].mean() for order in orders])),
        "unseen": miou(whole[0], never),
        "unseen, constant": miou(whole[1], never),
        "seen": miou(whole[0], seen),
        "seen, constant": miou(whole[1], seen),
        "constant": float(CONSTANTS[constant]),
    }


def main() -> None:
    options = parser(__doc__, "runs/unseen")
    options.add_argument("--choose", action="append", default=[], help='"NAME: KEY=VALUE ...", CLIP on a part of train')
    given = options.parse_args()
    folder = given.out.resolve() / ("choose" if given.choose else "report")
    data = make_data(given.root / "nyuv2", folder / "data", bool(given.choose))
    chosen = [text.partition(":") for text in given.choose]
    runs = {name.strip(): (given.text_encoder, settings.split()) for name, _, settings in chosen}
    found = compared(folder, data, given, SETTINGS, lambda run: score(run, data), "unseen.json", runs or None)
    table(found, plain=["constant"])


if __name__ == "__main__":
    main()
