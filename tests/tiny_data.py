"""A tiny dataset whose rule a network learns in a few steps: a pixel's class is its strongest colour channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NAMES = ("red", "green", "blue")
TINY: dict[str, Any] = {
    "model": {"backbone": "test_efficientnet", "bridge": {"dim": 16, "depth": 1, "heads": 2}, "width": 16},
    "backbone_weights": None,
    "text_encoder": "random:16/0",
    "epochs": 2,
    "batch_size": 4,
    "lr": 0.01,
    "backbone_lr": 1.0,
    "augment": {"crop_size": [32, 32], "scale": [1.0, 1.0], "photometric": 0.0},
    "workers": 0,
    "accelerator": "cpu",
}
"""Settings of a run of a second."""


def write_dataset(
    root: Path, train: int = 8, val: int = 4, height: int = 48, width: int = 64, names: tuple[str, ...] = NAMES
) -> Path:
    """Write images of coloured stripes, their masks with an ignored border, and the data.yaml; return its path."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            cuts = np.sort(random.integers(8, width - 8, len(names) - 1))
            ids = np.searchsorted(cuts, np.arange(width), side="right")
            mask = np.tile(random.permutation(len(names))[ids], (height, 1)).astype(np.uint8)
            image = random.integers(0, 60, (height, width, 3))
            image += 170 * (mask[..., None] % 3 == np.arange(3))
            mask[:2] = 255
            Image.fromarray(image.astype(np.uint8)).save(root / "images" / split / f"{index}.png")
            Image.fromarray(mask).save(root / "masks" / split / f"{index}.png")
    path = root / "data.yaml"
    listed = "".join(f"  {index}: {name}\n" for index, name in enumerate(names))
    path.write_text(f"path: .\ntrain: images/train\nval: images/val\nmasks_dir: masks\nnames:\n{listed}")
    return path
