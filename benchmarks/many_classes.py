"""More names for a dataset, without labels: what do many classes cost a trained network?

    python benchmarks/many_classes.py --data data.yaml --classes 150 --out many.yaml

The names are ADE20K's. A network with random weights draws noise, whose many borders cost time; one that was trained
with these names draws what is in the image, at the price of as many classes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from bridgeseg.catalog import entry
from bridgeseg.data.spec import DataSpec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--classes", type=int, default=150, help="how many, at most 150 (default: 150)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    names = list(DataSpec.load(options.data).classes.names)
    names += [one.name for one in entry("ade20k").classes if one.name not in names]
    content = yaml.safe_load(options.data.read_text(encoding="utf-8"))
    content["path"] = str((options.data.parent / content.get("path", ".")).resolve())
    content["names"] = dict(enumerate(names[: options.classes]))
    options.out.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main()
