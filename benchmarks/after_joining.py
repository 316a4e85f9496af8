"""Train on a few labels after a joined pre-training: experiment 4 of docs/experiments.md. Prints a table per share.

    python benchmarks/after_joining.py --root data --out runs/after --seeds 0,1,2 --fractions 0.01,0.02,0.05,0.1

`--root` holds camvid/, labelmefacade/ and nyuv2/, each with a data.yaml. Each arm but `ImageNet` is pre-trained on
LabelMeFacade and NYUv2, and then trained on a share of CamVid's labels by `--init`; all are scored on CamVid's test
split. What is finished is not trained again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bridgeseg
from _arms import MINILM, arms, parser, table, trained

BOTH = {"batch_size": 8, "crop_size": (192, 256), "val_split": None}
STEPS = 250
"""Of the training on a share of CamVid, whatever the share is."""


def score(run: Path, data: Path) -> dict[str, float]:
    """Return mIoU on the test split."""
    found = run / "after.json"
    if not found.is_file():
        found.write_text(json.dumps({"mIoU": bridgeseg.evaluate(run, data, split="test", quiet=True).miou}))
    read: dict[str, float] = json.loads(found.read_text())
    return read


def main() -> None:
    options = parser(__doc__, "runs/after")
    options.add_argument("--fractions", default="0.02,0.1")
    options.set_defaults(arms="CLIP,text only,random,none,ImageNet", epochs=4)
    given = options.parse_args()
    out, root = given.out.resolve(), given.root.resolve()
    camvid, before = root / "camvid" / "data.yaml", [root / name / "data.yaml" for name in ("labelmefacade", "nyuv2")]
    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    for seed in map(int, given.seeds.split(",")):
        every = arms(given.arms, given.text_encoder, seed, none=given.text_encoder, ImageNet=MINILM)
        for name, encoder in every.items():
            own: dict[str, Any] = (
                {"method": "none", "model.head": "auto"} if name == "none" else {"text_encoder": encoder}
            )
            home = out / f"{name.replace(' ', '-')}-s{seed}"
            chosen = [] if name == "none" else given.set
            if name != "ImageNet":
                trained(home, before, {**BOTH, **own, "shares": [1, 1], "epochs": given.epochs, "seed": seed}, chosen)
                own["init"] = str(home)
            for share in map(float, given.fractions.split(",")):
                after = {**BOTH, **own, "fraction": share, "steps": STEPS, "repeat": 8, "seed": seed}
                run = trained(out / f"{home.name}-{share}", camvid, after, chosen)
                results.setdefault(f"{share:.0%}", {}).setdefault(name, []).append(score(run, camvid))
                print(f"{name}, seed {seed}, {share:.0%}: {results[f'{share:.0%}'][name][-1]}", flush=True)
    for share_text, found in results.items():
        print(f"\n{share_text} of CamVid's labels")
        table(found)


if __name__ == "__main__":
    main()
