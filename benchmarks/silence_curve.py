"""Label names in k images alone, and join datasets that say it in other words: experiment 3 of docs/experiments.md.

    python benchmarks/silence_curve.py --root data --out runs/curve --seeds 0,1,2 --images 0,5,20,all --figure curve.png

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

from _arms import MINILM, compared, table
from _silence import SETTINGS, SILENT, draw, joined, read, score
from bridgeseg.text import save_embeddings
from bridgeseg.vocabulary.bank import bank
from bridgeseg.vocabulary.embeddings import find_rows


def shuffled(file: Path) -> str:
    """Write MiniLM's bank with the vectors of the four exchanged in a circle; return the file."""
    found = bank(MINILM)
    assert found is not None
    rows = [row for row in find_rows(SILENT, found.names) if row is not None]
    vectors = found.vectors.copy()
    vectors[rows] = np.roll(found.vectors[rows], 1, axis=0)
    file.parent.mkdir(parents=True, exist_ok=True)
    return str(save_embeddings(file, torch.from_numpy(vectors), found.names))


def main() -> None:
    given, out, data, target = read(__doc__, "0,5,20,all")
    mixed = shuffled(out / "shuffled.safetensors")
    for count in given.images.split(","):
        home = out / f"k-{count}"
        sets = joined(data, None if count == "all" else int(count))

        def scored(run: Path) -> Mapping[str, float]:
            return score(run, target, mixed if run.name.startswith("shuffled") else None)

        found = compared(home, sets, given, SETTINGS, scored, "curve.json", shuffled=mixed)
        print(f"\nlabelled in {count} images")
        table(found)
    if given.figure is not None:
        draw(out, given.figure)


if __name__ == "__main__":
    main()
