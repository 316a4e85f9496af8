"""Train where labels are silent: joined datasets, names without labels, a class more. Prints a table per experiment.

    python benchmarks/silent.py joined few partial more --root data --out runs/silent --seeds 0,1,2 \
        --text-encoder ViT-B-16.safetensors

`--root` holds camvid/, labelmefacade/ and nyuv2/, each with a data.yaml. What is finished is not trained again.
Every arm is scored on CamVid's test split (LabelMeFacade: val) by the names of that dataset.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import bridgeseg
from _arms import trained
from _parts import Data, every, holding
from bridgeseg.comparing.statistics import spread

PEOPLE, MORE = "pedestrian", "bicyclist"


@dataclass(frozen=True)
class Arm:
    """One training: its datasets, other settings, and the datasets whose scores count.

    Attributes:
        data: data.yaml files.
        tests: data.yaml -> split.
        settings: of the training, besides those that all have.
        init: the arm whose run it goes on from.
    """

    data: Sequence[Path]
    tests: Mapping[Path, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    init: str | None = None


def joined(data: Data) -> dict[str, Arm]:
    """Two datasets in one network, each by its own names, beside each alone with as many of its images seen."""
    camvid, facade = data.whole("camvid"), data.whole("labelmefacade")
    tests, both = {camvid: "test", facade: "val"}, {"epochs": 7, "shares": [1, 1]}
    return {
        "camvid alone": Arm([camvid], {camvid: "test"}, {"epochs": 12}),
        "labelmefacade alone": Arm([facade], {facade: "val"}, {"epochs": 5}),
        "joined": Arm([camvid, facade], tests, {**both, "fix_norms": 1.0}),
        "joined, norms are fixed": Arm([camvid, facade], tests, both),
    }


def few(data: Data) -> dict[str, Arm]:
    """The same with a tenth of CamVid's labels."""
    facade = data.whole("labelmefacade")
    camvid = data.part("camvid", "camvid-tenth", every(36))
    both, test = {"epochs": 5, "shares": [1, 1]}, {camvid: "test"}
    return {
        "labelmefacade alone": joined(data)["labelmefacade alone"],
        "tenth alone": Arm([camvid], test, {"epochs": 7, "repeat": 10}),
        "tenth joined": Arm([camvid, facade], test, {**both, "fix_norms": 1.0}),
        "tenth joined, norms are fixed": Arm([camvid, facade], test, both),
        "tenth joined, as many steps": Arm([camvid, facade], test, {"steps": 630, "shares": [1, 1]}),
        "tenth joined, more of the other": Arm([camvid, facade], test, {"steps": 1260, "shares": [1, 3]}),
        "tenth joined, after the other": Arm(
            [camvid, facade], test, {"steps": 630, "shares": [1, 1], "init_share": 0.0}, init="labelmefacade alone"
        ),
    }


def partial(data: Data) -> dict[str, Arm]:
    """CamVid without labels of pedestrians, alone and joined with rooms in which only people are labelled.

    What has no label in CamVid, pedestrians and the void, is unknown, or is said to be none of its ten names.
    """
    names = yaml.safe_load(data.whole("camvid").read_text())["names"].values()
    told = [name for name in names if name != PEOPLE]
    silent = data.part("camvid", "camvid-silent", labelled=told)
    void = data.void("camvid")
    none_of_these = data.part("camvid", "camvid-silent-void", labelled=told, unlabelled="other", **void)
    people = data.part(
        "nyuv2", "nyuv2-people", None, labelled=["person"], unlabelled="other", same=[[PEOPLE, "person"]]
    )
    tests, both = {data.whole("camvid"): "test"}, {"epochs": 6, "shares": [2, 1]}
    known = {**both, "names": [*names, "void=structural"]}
    return {
        "without pedestrian": Arm([silent], tests, {"epochs": 12}),
        "with people of rooms": Arm([silent, people], tests, {**both, "fix_norms": 1.0}),
        "and the rest is other": Arm([none_of_these, people], tests, {**both, "fix_norms": 1.0}),
        "and norms are fixed": Arm([none_of_these, people], tests, both),
        "and sigmoid": Arm([none_of_these, people], tests, {**both, "loss.partial": "sigmoid"}),
        "and a name for nothing, balance=0": Arm([none_of_these, people], tests, {**known, "loss.balance": 0.0}),
        "and a name for nothing": Arm([none_of_these, people], tests, known),
    }


def more(data: Data) -> dict[str, Arm]:
    """A class more from ten images in which nothing else is labelled."""
    names = yaml.safe_load(data.whole("camvid").read_text())["names"].values()
    before = data.part("camvid", "camvid-before", labelled=[name for name in names if name != MORE])
    short = {"epochs": 10, "repeat": 10, "lr": 3e-4}
    ten = data.part("camvid", "camvid-ten", holding(list(names).index(MORE), 10), labelled=[MORE], unlabelled="other")
    tests = {data.whole("camvid"): "test"}
    return {
        "ten classes": Arm([before], tests, {"epochs": 12}),
        "one more": Arm([ten], tests, {**short, "init_share": 0.0}, init="ten classes"),
        "one more, half the weights of before": Arm([ten], tests, short, init="ten classes"),
        "camvid alone": Arm([data.whole("camvid")], tests, {"epochs": 12}),
    }


EXPERIMENTS = {"joined": joined, "few": few, "partial": partial, "more": more}


def slug(name: str) -> str:
    """Name the folder of an arm."""
    return name.replace(",", "").replace(" ", "-")


def run(
    name: str, arms: Mapping[str, Arm], seed: int, out: Path, common: Mapping[str, Any], more: Sequence[str]
) -> dict[str, Any]:
    """Train an arm unless it is done, score it, and return test -> scores as `bridgeseg.evaluate` gives them."""
    arm = arms[name]
    folder = out / f"{slug(name)}-s{seed}"
    found = folder / "silent.json"
    if not found.is_file():
        settings = {**common, **arm.settings}
        if arm.init is not None:
            run(arm.init, arms, seed, out, common, more)
            settings["init"] = str(out / f"{slug(arm.init)}-s{seed}")
        trained(folder, arm.data, {**settings, "seed": seed}, more)
        scores = {
            str(path): bridgeseg.evaluate(folder, path, split=split, quiet=True).to_dict()
            for path, split in arm.tests.items()
        }
        found.write_text(json.dumps(scores, indent=1))
    read: dict[str, Any] = json.loads(found.read_text())
    return read


def table(title: str, arms: Mapping[str, Arm], results: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> None:
    """Print mIoU and the IoU of the silent classes, mean and deviation over the seeds."""
    print(f"\n{title}\n\n| arm | data | mIoU | {PEOPLE} | {MORE} | seeds |\n|---|---|---|---|---|---|")
    for name, arm in arms.items():
        for path in map(str, arm.tests):
            found = [scores[path] for scores in results[name].values() if path in scores]
            cells = [[scores["miou"] for scores in found]]
            cells += [
                [scores["iou"][key] for scores in found if scores["iou"].get(key) is not None] for key in (PEOPLE, MORE)
            ]
            words = [
                f"{100 * s.mean:.1f} ± {100 * (s.deviation or 0):.1f}" if (s := spread(c)) else "" for c in cells if c
            ]
            words += [""] * (3 - len(words))
            print(f"| {name} | {Path(path).parent.name} | {' | '.join(words)} | {len(found)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", choices=EXPERIMENTS)
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("runs/silent"))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--text-encoder", default="open_clip:ViT-B-16/openai")
    parser.add_argument("--set", nargs="*", default=[], help="settings of all arms, with an `--out` of their own")
    options = parser.parse_args()
    common = {"text_encoder": options.text_encoder, "batch_size": 8, "crop_size": (192, 256)}
    data = Data(options.root.resolve(), options.out.resolve() / "data")
    for title in options.experiments:
        arms = EXPERIMENTS[title](data)
        results: dict[str, dict[int, Any]] = {name: {} for name in arms}
        for seed in map(int, options.seeds.split(",")):
            for name in arms:
                results[name][seed] = run(name, arms, seed, options.out, common, options.set)
                print(f"{title}: {name}, seed {seed}", flush=True)
        table(title, arms, results)


if __name__ == "__main__":
    main()
