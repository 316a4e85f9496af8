"""How much of a training step is training? The real loop against a bare PyTorch loop over the same network.

    python benchmarks/train_throughput.py
    python benchmarks/train_throughput.py --data DATASET/data.yaml --batch-size 16 --explain --json train.json
    python benchmarks/train_throughput.py --data ONE/data.yaml --data OTHER/data.yaml

Needs the train extra: pip install '.[train]'. Weights, class embeddings and (without --data) images are random.

One process, one run of the real trainer with its loader, callbacks and loggers. Every few steps it is held, and bare
loops over prepared batches take their turn: what slows the machine slows all of them. Of several datasets the real loop
trains on all, and the bare ones on the first: what joining costs is the difference to a run on the first alone.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from _loops import REAL, SKIP, Bare, Batch, TakeTurns
from _machine import describe, quartiles, run, show, write_json
from bridgeseg.commands.arguments import size
from bridgeseg.models.build import build
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.building import make_module, make_trainer
from bridgeseg.training.callbacks import KeepBest
from bridgeseg.training.datamodule import DataModule
from bridgeseg.training.datasets import load_joined
from bridgeseg.training.defaults import settled_head
from bridgeseg.training.losses import SegmentationLoss

CLASSES, TEXT_DIM, IMAGES = 11, 512, 64
PREPARED = 4
"""Batches that the bare loops go round and round."""


def make_dataset(folder: Path) -> Path:
    """Write images of CamVid's size, 480x360, as JPEG, with masks as PNG; return the data.yaml."""
    rng = np.random.default_rng(0)
    (folder / "images" / "train").mkdir(parents=True)
    (folder / "masks" / "train").mkdir(parents=True)
    for index in range(IMAGES):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        noise = rng.normal(0, 6, (360, 480, 3))
        pixels = np.asarray(coarse.resize((480, 360), Image.Resampling.BICUBIC)) + noise
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "images" / "train" / f"{index}.jpg")
        regions = Image.fromarray(rng.integers(0, CLASSES, (9, 12), dtype=np.uint8))
        regions.resize((480, 360), Image.Resampling.NEAREST).save(folder / "masks" / "train" / f"{index}.png")
    path = folder / "data.yaml"
    names = "\n".join(f"  {index}: class {index}" for index in range(CLASSES))
    path.write_text(f"path: .\ntrain: images/train\nmasks_dir: masks\nnames:\n{names}\n", encoding="utf-8")
    return path


def make_network(config: TrainConfig, classes: int, method: str) -> Segmentor:
    """Build a network in training mode with random weights, laid out as `bridgeseg train` lays it out."""
    torch.manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(classes, TEXT_DIM), dim=1)
    model = config.model.model_copy(update={"method": method})
    segmentor = build(model, classes, None if method == "none" else embeddings)
    return segmentor.train().to(memory_format=torch.channels_last)


def make_config(options: argparse.Namespace, data: list[Path]) -> TrainConfig:
    """Return the settings of `bridgeseg train`; images are repeated, so that one epoch lasts for the run."""
    config = TrainConfig.parse(
        {
            "data": [str(path) for path in data],
            "val_split": None,
            "model": {"method": options.method, "backbone": options.backbone},
            "backbone_weights": None,
            "epochs": 1,
            "batch_size": options.batch_size,
            "augment": {"crop_size": size(options.crop, "--crop")},
            "workers": options.workers,
            "cache": options.cache,
            "devices": "1",
        }
    )
    steps = options.rounds * (SKIP + options.steps)
    joined = load_joined(config)
    config = settled_head(config, joined)
    images = min(len(member.spec.samples("train")) for member in joined.members)
    if images < options.batch_size:
        raise SystemExit(f"--batch-size {options.batch_size} is more than the {images} images of a training split")
    return config.model_copy(update={"repeat": 1 + steps * options.batch_size // images})


def measure(config: TrainConfig, options: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Run trainer and bare loops in turns; return seconds a step, one number a round."""
    joined = load_joined(config)
    data, first = DataModule(joined, config), joined.first.classes
    loss = SegmentationLoss(config.loss, first.ignore_index)
    module = make_module(config, joined, make_network(config, len(joined.classes), options.method), data)
    keep_best = KeepBest(lambda *_: None, folder / "metrics.csv", lambda epochs: epochs)
    trainer = make_trainer(config, folder, keep_best, quiet=options.quiet, validates=False)
    trainer.limit_train_batches = options.rounds * (SKIP + options.steps)
    module.to(trainer.strategy.root_device)

    def loaded(batch: Any) -> Batch:
        images, masks = (part.to(module.device) for part in batch[:2])
        return module.segmentor.normalise(images).contiguous(memory_format=torch.channels_last), masks

    def bare(method: str, batches: Iterator[Batch], **extra: bool) -> Callable[[], None]:
        segmentor = make_network(config, len(first), method).to(module.device)
        return Bare(segmentor, config, loss, batches, **extra).step

    method, other = options.method, "none" if options.method == "bridge" else "bridge"

    def own() -> Iterator[Batch]:
        """Yield the batches of the first dataset."""
        return (loaded(batch) for batch in data.train_dataloader() if not batch[3:] or batch[3] == 0)

    prepared = cycle(list(islice(own(), PREPARED)))
    loops = {f"bare loop, {method}": bare(method, prepared), f"bare loop, {other}": bare(other, prepared)}
    if options.explain:
        loops["bare + clipping"] = bare(method, prepared, clip=True)
        loops["bare + clipping, averaging"] = bare(method, prepared, clip=True, average=True)
        endless = (batch for _ in count() for batch in own())
        loops["bare + clipping, averaging, loader"] = bare(method, endless, clip=True, average=True)
    turns = TakeTurns(loops, options.steps)
    trainer.callbacks.append(turns)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, datamodule=data)
    return turns.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, metavar="YAML", action="append", help="a data.yaml, or several (default: random images)"
    )
    parser.add_argument("--method", choices=("bridge", "none"), default="bridge", help="of the real training")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a timm name (default: efficientnet_lite0)")
    parser.add_argument("--batch-size", type=int, default=8, help="images of a step (default: 8)")
    parser.add_argument("--crop", default="256x320", help="HEIGHTxWIDTH of the crops (default: 256x320)")
    parser.add_argument("--workers", type=int, default=1, help="processes that load data (default: 1)")
    parser.add_argument("--cache", action=argparse.BooleanOptionalAction, default=True, help="keep decoded images")
    parser.add_argument("--rounds", type=int, default=6, help="turns of every loop (default: 6)")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of a turn (default: 6)")
    parser.add_argument(
        "--explain", action="store_true", help="add what makes the difference to the bare loop bit by bit"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar (which is part of the real training)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()
    machine = describe("torch", "torchvision", "timm", "lightning")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run").mkdir()
        config = make_config(options, options.data or [make_dataset(folder / "data")])
        seconds = measure(config, options, folder / "run")
    report(seconds, options, machine)


def table_row(row: dict[str, Any]) -> list[str]:
    ms = row["step_ms"]
    numbers = [f"{row['images_per_s']:.2f}", f"{ms['median']:.0f}", f"{ms['q1']:.0f}-{ms['q3']:.0f}"]
    return [row["name"], *numbers, f"{row['throughput_ratio']:.3f}"]


def report(seconds: dict[str, list[float]], options: argparse.Namespace, machine: dict[str, Any]) -> None:
    """Print and write the numbers; ratios are medians over the rounds."""
    base = seconds[f"bare loop, {options.method}"]
    rows = []
    for name, times in seconds.items():
        summary = quartiles(times)
        rows.append(
            {
                "name": f"{name}, {options.method}" if name == REAL else name,
                "images_per_s": options.batch_size / summary["median"],
                "step_ms": {key: value * 1e3 for key, value in summary.items()},
                "throughput_ratio": quartiles([b / t for b, t in zip(base, times, strict=True)])["median"],
            }
        )
    none, bridge = (seconds[f"bare loop, {method}"] for method in ("none", "bridge"))
    cost = quartiles([b / n for b, n in zip(bridge, none, strict=True)])["median"]
    notes = [
        f"throughput: images/s over the bare loop's ({options.method}) in the same round",
        f"a step of bridge takes {cost:.3f} times a step of none (bare loops)",
    ]
    keys = ("backbone", "batch_size", "crop", "workers", "cache", "rounds", "steps")
    settings = {key: getattr(options, key) for key in keys} | {"threads": torch.get_num_threads()}
    title = "training: " + ", ".join(f"{key} {value}" for key, value in settings.items())
    columns = ["loop", "images/s", "median ms", "quartiles", "throughput"]
    show(title, machine, columns, [table_row(row) for row in rows], notes)
    facts = {"rows": rows, "bridge_over_none": cost}
    write_json(options.json, benchmark="train_throughput", machine=machine, settings=settings, **facts)


if __name__ == "__main__":
    run(main)
