"""How many wrong labels `bridgeseg check --model` finds: errors are planted in the masks of a split, one an image.

python benchmarks/planted_labels.py --data data/camvid --split test

Of every `--every`th mask one area of 400 to 20,000 pixels, drawn by the seed, gets another class, drawn too. The model
is the bundled one in float, with confidence; `--plain` leaves that out. It must not have been trained on the split.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

import bridgeseg
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec
from bridgeseg.outlines import numbered

LEAST, MOST = 400, 20_000
"""Pixels of the areas whose class is changed."""


def plant(spec: DataSpec, split: str, out: Path, every: int, seed: int) -> dict[str, tuple[np.ndarray, str]]:
    """Copy a split with errors in it; return mask -> where it is wrong (H, W), and as what it is labelled there."""
    random, planted, names = np.random.default_rng(seed), {}, spec.classes.names
    for folder in ("images", "masks"):
        (out / folder / split).mkdir(parents=True)
    for place, sample in enumerate(spec.samples(split)):
        shutil.copy(sample.image, out / "images" / split)
        ids, file = read_mask(sample.mask, spec), f"masks/{split}/{sample.image.stem}.png"
        if place % every == 0:
            areas = []
            for value in np.unique(ids[ids < len(names)]).tolist():
                found, numbers = numbered(ids == value, names[value], value)
                areas += [(numbers == n, value) for n, area in enumerate(found) if LEAST <= area.pixels <= MOST]
            if areas:
                where, value = areas[random.integers(len(areas))]
                wrong = int(random.choice([other for other in range(len(names)) if other != value]))
                ids[where] = wrong
                planted[file] = (where, names[wrong])
        Image.fromarray(ids).save(out / file)
    told = {split: f"images/{split}", "names": list(names)}
    (out / "data.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
    return planted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/camvid")
    parser.add_argument("--split", default="test")
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out, spec = Path(folder), DataSpec.load(asked.data)
        planted = plant(spec, asked.split, out / "data", asked.every, asked.seed)
        model = "street" if asked.plain else bridgeseg.export("street", out / "sure.onnx", confidence=True).path
        disputes = bridgeseg.check(out / "data", model=model, quiet=False).disputes
    if disputes is None:
        raise SystemExit("the dataset cannot be read")
    found: dict[str, int] = {}
    for rank, region in enumerate(disputes.regions, 1):
        where, label = planted.get(region.mask, (None, ""))
        left, top, width, height = region.box
        if where is not None and label == region.labelled and where[top : top + height, left : left + width].any():
            found.setdefault(region.mask, rank)
    ranks = sorted(found.values())
    print(f"{len(planted)} planted, {len(ranks)} found among {len(disputes.regions)} regions; their ranks: {ranks}")


if __name__ == "__main__":
    main()
