"""Make the bundled model from its run: export, score on the test split, write the file and its card.

bridgeseg train --config benchmarks/street.yaml --out runs/street
python benchmarks/bundle_street.py --run runs/street --data ../shared/data/camvid/data.yaml
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import bridgeseg
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.classes import ClassSet
from bridgeseg.export.onnx import export_segmentor

HOME = Path(__file__).parents[1]
WEIGHTS = HOME / "src" / "bridgeseg" / "weights" / "street.onnx"
CARD = HOME / "docs" / "street-model.md"
PICTURE = HOME / "docs" / "street.jpg"
COLOURS = {  # Cityscapes', for the eyes that are used to them
    "sky": (70, 130, 180), "building": (70, 70, 70), "pole": (153, 153, 153), "road": (128, 64, 128),
    "pavement": (244, 35, 232), "tree": (107, 142, 35), "traffic sign": (220, 220, 0), "fence": (190, 153, 153),
    "car": (0, 0, 142), "pedestrian": (220, 20, 60), "bicyclist": (255, 128, 0),
}  # fmt: skip
LICENCE = (
    "Apache-2.0 for the file; trained on CamVid, which is offered for research: check its terms before commercial use"
)
RECIPE = (
    "bridgeseg train --config benchmarks/street.yaml --out runs/street; for this file: stopped after 16 epochs of a "
    "schedule of 80 and continued on one of 62"
)
LIMITS = (
    "Made for pictures from a car in daylight, 480x360, as in CamVid (Cambridge, four drives). It knows 11 classes and "
    "gives every pixel one of them, whatever is there. Night, rain, other countries and points of view are untested. "
    "Not for any use on which safety depends."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/street")
    parser.add_argument("--data", default="../shared/data/camvid/data.yaml")
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.run)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "street.onnx"
        export_segmentor(checkpoint.segmentor, checkpoint.classes, checkpoint.provenance, plain)
        scores = bridgeseg.evaluate(model=plain, data=options.data, split="test")
    facts = {
        **checkpoint.provenance,
        "scores": {"split": "test", **scores.to_dict()},
        "recipe": RECIPE,
        "licence": LICENCE,
        "limits": LIMITS,
    }
    palette = {name: COLOURS[name] for name in checkpoint.classes.names}
    classes = ClassSet.build(checkpoint.classes.names, None, palette)
    written = export_segmentor(load_checkpoint(options.run).segmentor, classes, facts, WEIGHTS)
    model = bridgeseg.load()
    CARD.write_text(card(model.provenance, written.bytes), encoding="utf-8")
    model.predict(HOME / "examples" / "street.jpg").overlay().convert("RGB").save(PICTURE, quality=88)
    print(f"{WEIGHTS.name}: {written.bytes / 1e6:.1f} MB, test mIoU {scores.miou:.4f}")


def card(facts: dict[str, Any], size: int) -> str:
    """Return the model card, in Markdown."""
    scores, config = facts["scores"], facts["config"]
    rows = [f"| {name} | {value:.3f} |" for name, value in scores["iou"].items()]
    return "\n".join(
        [
            "# The bundled street-scene model",
            "",
            "`src/bridgeseg/weights/street.onnx`: what `bridgeseg predict` uses when no `--model` is given. "
            "Made by `benchmarks/bundle_street.py`; `bridgeseg info` prints the same facts from the file.",
            "",
            f"- network: method `{facts['method']}`, backbone `{facts['backbone']}` (ImageNet weights), decoder "
            f"`{facts['decoder']}`, class embeddings `{facts['text_encoder']}`",
            f"- size: {facts['parameters'] / 1e6:.2f} M parameters, {size / 1e6:.1f} MB",
            f"- data: CamVid, splits {' + '.join(config['train_splits'])} (468 pictures of 480x360), 11 classes",
            f"- recipe: {facts['recipe']} "
            f"(batch {config['batch_size']}, crop {'x'.join(str(side) for side in config['augment']['crop_size'])})",
            f"- seed {facts['seed']}, commit `{facts['commit']}`, bridgeseg {facts['bridgeseg']}",
            f"- licence: {facts['licence']}",
            f"- limits: {facts['limits']}",
            "",
            f"Scores on the test split ({scores['images']} pictures, native size, single scale): "
            f"**mIoU {scores['miou']:.4f}**, mean accuracy {scores['macc']:.4f}, "
            f"overall accuracy {scores['aacc']:.4f}. Printed by",
            "",
            "    bridgeseg evaluate --data ../shared/data/camvid/data.yaml --split test --json",
            "",
            "| class | IoU |",
            "|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
