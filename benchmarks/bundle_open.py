"""Make the bundled model for any names from its run: export, score, write the file, its checkpoint and card.

bridgeseg train --config benchmarks/open.yaml --out runs/open
python benchmarks/bundle_open.py --run runs/open --root data

`--root` holds camvid/, labelmefacade/ and nyuv2/, each with a data.yaml, as the recipe has them. Each is scored by its
own names, and then with some of them said in words that the network never read.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import bridgeseg
from _bundling import BUNDLED, HOME, network, note, ship
from bridgeseg.checkpoint import load_checkpoint, save_checkpoint
from bridgeseg.data.spec import DataSpec
from bridgeseg.metrics import Scores

FILE = BUNDLED / "open.onnx"
CARD = HOME / "docs" / "open-model.md"
OVERLAY = HOME / "docs" / "open.jpg"
RECIPE = "bridgeseg train --config benchmarks/open.yaml --out runs/open"
LICENCE = "for research only, as are LabelMeFacade and NYU Depth v2, on which it was trained; CamVid: check its terms"
LIMITS = (
    "Street scenes from a car, house fronts and rooms, in daylight or lit. Other names are understood as far as their "
    "words are close to trained ones. Not for any use on which safety depends."
)
TESTS = {"camvid": "test", "labelmefacade": "val", "nyuv2": "val"}
"""Dataset -> the split that was not trained on."""
OTHER_WORDS = {
    "camvid": {
        "building": "house", "car": "automobile", "fence": "railing", "pedestrian": "man|woman", "bicyclist": "rider",
        "traffic sign": "signboard",
    },
    "nyuv2": {
        "sofa": "couch", "television": "tv", "picture": "painting", "bookshelf": "bookcase", "blinds": "window blind",
        "floor mat": "carpet", "night stand": "cupboard", "lamp": "light",
    },
}  # fmt: skip
"""Dataset -> name -> words of the bank that none of its phrases has; chosen before the network was trained."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="the run folder (default: keep the file)")
    parser.add_argument("--root", type=Path, default=Path("data"), help="default: data")
    options = parser.parse_args()
    if options.run is not None:
        export(options.run, options.root)
    scored = {}
    for name, split in TESTS.items():
        data = options.root / name / "data.yaml"
        own = bridgeseg.evaluate(FILE, data, split=split)
        scored[name] = {"split": split, **own.to_dict(), **in_other_words(name, data, own)}
        print(f"{name}: mIoU {own.miou:.4f}")
    note(FILE, {"tested": scored})
    model = bridgeseg.load(FILE)
    CARD.write_text(card(model.provenance, model.classes.names), encoding="utf-8")
    street = model.with_names("sky, building, road, car, tree, person, wall")
    street.predict(HOME / "examples" / "street.jpg").overlay().convert("RGB").save(OVERLAY, quality=88)


def export(run: Path, root: Path) -> None:
    """Write the file, with confidence, and the checkpoint."""
    checkpoint = load_checkpoint(run)
    facts = {**checkpoint.provenance, "recipe": RECIPE, "licence": LICENCE, "limits": LIMITS}
    checkpoint = replace(checkpoint, provenance=facts)
    ship(checkpoint, FILE.with_suffix(""))
    save_checkpoint(run / "told", checkpoint)
    bridgeseg.export(run / "told", FILE, open=True, confidence=True, confidence_data=f"{root}/camvid/data.yaml:val")


def in_other_words(name: str, data: Path, own: Scores) -> dict[str, Any]:
    """Score names of a dataset by words that the network never read, beside the others as they are.

    Returns:
        Under "other_words": name -> words, IoU by its own phrases, and IoU by these; nothing where there are none.
    """
    if not (words := OTHER_WORDS.get(name)):
        return {}
    known = DataSpec.load(data).classes
    asked = {
        one: words.get(one, "|".join(told)).split("|") for one, told in zip(known.names, known.prompts, strict=True)
    }
    other = bridgeseg.evaluate(FILE, data, split=TESTS[name], names=asked)
    return {"other_words": {one: [words[one], own.iou[one], other.iou[one]] for one in words}}


def card(facts: dict[str, Any], names: Sequence[str]) -> str:
    """Return the model card, in Markdown."""
    lines = [
        "# The bundled model for any names",
        "",
        "```bash",
        'bridgeseg predict --model open --names "sofa, window, person" examples/*.jpg --out out/',
        "bridgeseg train --init open --data mine/data.yaml",
        "```",
        "",
        "`src/bridgeseg/weights/open.onnx` takes the names as an input, those of [MiniLM's bank](vocabulary.md"
        "#where-the-vectors-come-from) without a text encoder. `benchmarks/bundle_open.py` made it and this page; "
        "`bridgeseg info --model open` prints the same facts.",
        "",
        "![A street, by seven names](open.jpg)",
        "",
        *network(facts),
        f"- size: {FILE.stat().st_size / 1e6:.1f} MB, floats, with confidence",
        "",
        "| data | scored on | images | mIoU | mean accuracy | overall accuracy |",
        "|---|---|---|---|---|---|",
    ]
    replaced = []
    for name, one in facts["tested"].items():
        values = " | ".join(f"{100 * one[key]:.1f}" for key in ("miou", "macc", "aacc"))
        lines.append(f"| {name} | {one['split']} | {one['images']} | {values} |")
        replaced += [(name, title, *told) for title, told in one.get("other_words", {}).items()]
    own, other = (100 * float(np.mean([row[place] for row in replaced])) for place in (3, 4))
    lines += [
        "",
        "In percent, each by the names of its own. In words that it never read, beside the other names as they are:",
        "",
        "| data | name | asked for as | IoU, its own phrases | IoU, these words |",
        "|---|---|---|---|---|",
        *(
            f"| {data} | {name} | {words.replace('|', ' or ')} | {100 * before:.1f} | {100 * after:.1f} |"
            for data, name, words, before, after in replaced
        ),
        f"| | **mean** | | **{own:.1f}** | **{other:.1f}** |",
        "",
        "All names of the three datasets were trained. What networks say of things that were never labelled under any "
        "name is measured in [experiments](experiments.md#1-names-that-were-never-labelled).",
        "",
        f"Without `--names` it tells these apart: {', '.join(names)}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
