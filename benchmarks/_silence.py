"""CamVid with four names labelled in some of its images, joined with datasets that know them by other words."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml

import bridgeseg
from _arms import parser
from _parts import Data, holding
from bridgeseg.comparing.statistics import spread
from bridgeseg.report.figures import LINES, new_figure, plain, save_png

SILENT = ("pedestrian", "bicyclist", "car", "traffic sign")
SETTINGS = {"batch_size": 8, "crop_size": (192, 256), "val_split": None, "shares": [1, 1, 1]}


def silenced(data: Data, count: int) -> Path:
    """Return CamVid's data.yaml with the four labelled in so many training images, which hold pedestrians."""
    names = list(yaml.safe_load(data.whole("camvid").read_text())["names"].values())
    others = [name for name in names if name not in SILENT]
    if not count:
        return data.part("camvid", "void-0", prompts={}, labelled=others, unlabelled="other", **data.void("camvid"))
    keys = {"labelled_file": "labelled.csv", "unlabelled": "other", **data.void("camvid")}
    home = data.part("camvid", f"void-{count}", prompts={}, labelled=names, **keys)
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


def score(run: Path, data: Path, encoder: str | None) -> Mapping[str, float]:
    """Return the mean IoU of the four and of the others on the test split, and that of each of the four."""
    found = bridgeseg.evaluate(run, data, split="test", embeddings=encoder, quiet=True).iou
    iou = {name: value or 0.0 for name, value in found.items()}
    four, rest = ([value for name, value in iou.items() if (name in SILENT) is part] for part in (True, False))
    return {"the four": float(np.mean(four)), "others": float(np.mean(rest)), **{name: iou[name] for name in SILENT}}


def read(doc: str | None, images: str) -> tuple[argparse.Namespace, Path, Data, Path]:
    """Read the command line; return it, the folder of runs, where datasets are made, and CamVid with all labels.

    Args:
        doc: of the script.
        images: in how many the four are labelled, by default.
    """
    options = parser(doc, "runs/curve")
    options.add_argument("--images", default=images, help="numbers of images in which the four are labelled")
    options.add_argument("--figure", type=Path, help="draw what is scored in --out, to this .png")
    options.set_defaults(arms="text only,random", epochs=3)
    given = options.parse_args()
    out = given.out.resolve()
    data = Data(given.root.resolve(), out / "data")
    return given, out, data, data.part("camvid", "camvid-all", prompts={})


def draw(out: Path, file: Path) -> None:
    """Draw IoU against the number of labelled images, with every run that has been scored, mean and deviation.

    Args:
        out: the folder of runs.
        file: the picture to write.
    """
    scores: dict[str, dict[str, list[Mapping[str, float]]]] = {}
    for found in sorted(out.glob("k-*/*/curve.json")):
        arm, count = found.parent.name.rpartition("-s")[0], found.parent.parent.name.removeprefix("k-")
        if not (count.isdigit() or count == "all"):
            continue
        scores.setdefault(arm.replace("-", " "), {}).setdefault(count, []).append(json.loads(found.read_text()))
    counts = sorted({count for found in scores.values() for count in found}, key=lambda count: (len(count), count))
    made = new_figure(8, 3.2)
    for place, (key, title) in enumerate((("car", "car, elsewhere automobile"), ("the four", "mean of the four")), 1):
        axes = made.add_subplot(1, 2, place)
        plain(axes, "y")
        for colour, (arm, by_count) in zip(LINES, scores.items(), strict=False):
            known = [count for count in counts if count in by_count]
            cells = [spread([100 * score[key] for score in by_count[count]]) for count in known]
            means, errors = [cell.mean for cell in cells], [cell.deviation or 0 for cell in cells]
            places = [counts.index(count) for count in known]
            axes.errorbar(places, means, errors, marker="o", capsize=3, color=colour, label=arm)
        axes.set_xticks(range(len(counts)), counts)
        axes.set(title=title, xlabel="images in which the four are labelled", ylabel="IoU on test, %", ylim=(0, None))
        axes.legend(frameon=False)
    save_png(made, file)
