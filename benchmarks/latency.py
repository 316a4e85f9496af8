"""How long does the network take? ONNX Runtime on the CPU, raw pixels in, class ids out, with peers in the same run.

    python benchmarks/latency.py
    python benchmarks/latency.py --threads 1 --size 384x480 --json latency.json

Needs the train extra: pip install '.[train]'. Weights are random (time does not depend on them) and nothing is fetched.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import timm.data
import torch
from rich.progress import Progress, track
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from _machine import describe, run, show, spread, take_turns, write_json
from bridgeseg.arguments import size
from bridgeseg.deploy import DeployNetwork
from bridgeseg.export.onnx import to_graph
from bridgeseg.inference.runtimes import OnnxRuntime
from bridgeseg.models.backbone import STRIDES, Backbone
from bridgeseg.models.registry import ModelConfig, build

CLASSES, TEXT_DIM = 11, 512
PEER = "LR-ASPP, mobilenet_v3_large (torchvision)"
BACKBONES = ("efficientnet_lite0", "mobilenetv4_conv_small")


class FromPixels(nn.Module):
    """Puts a peer behind the interface of our own files.

    Args:
        network: takes normalised images (B, 3, H, W).
        mean, std: of RGB in 0..1.
        finish: what the network returns -> what the file returns.
    """

    with_logits = False

    def __init__(
        self,
        network: nn.Module,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        finish: Callable[[Any], Tensor],
    ) -> None:
        super().__init__()
        self.network, self.finish = network, finish
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def forward(self, image: Tensor) -> Tensor:
        """Normalise uint8 RGB (B, H, W, 3), run the network, finish."""
        return self.finish(self.network((image.permute(0, 3, 1, 2).float() - self.mean) / self.std))


def upsampled_ids(logits: Tensor) -> Tensor:
    """Turn the peer's logits (B, K, H/8, W/8) into class ids (B, H, W) uint8, with our own upsampling and argmax."""
    return F.interpolate(logits, scale_factor=8.0, mode="bilinear").argmax(dim=1).to(torch.uint8)


def deepest(levels: list[Tensor]) -> Tensor:
    """Reduce a backbone's levels to (B, H/32, W/32), which takes next to no time and needs all of them."""
    return levels[-1].mean(dim=1)


@dataclass
class Row:
    """One file in the run: its runtime, its size, and its times in seconds, one a round."""

    name: str
    backbone: str | None
    runtime: OnnxRuntime
    parameters: int | None
    megabytes: float
    times: list[float]


def networks() -> Iterator[tuple[str, str | None, nn.Module]]:
    """Yield (name, backbone or None, raw pixels -> ids), the peer first."""
    mean, std = timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD
    whole = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES)
    peer = settle(nn.Sequential(whole.backbone, whole.classifier))  # all but its upsampling, which comes from us
    yield PEER, None, FromPixels(peer, mean, std, upsampled_ids)
    embeddings = nn.functional.normalize(torch.randn(CLASSES, TEXT_DIM), dim=1)
    for name in BACKBONES:
        backbone = settle(Backbone(name))
        yield f"{name}, backbone alone", name, FromPixels(backbone, backbone.mean, backbone.std, deepest)
        for method, decoder in (("none", "light"), ("bridge", "light"), ("none", "fpn")):
            if decoder == "light" or name == BACKBONES[0]:
                config = ModelConfig(method=method, backbone=name, decoder=decoder)
                segmentor = build(config, CLASSES, None if method == "none" else embeddings)
                yield f"{name}, {method}, {decoder}", name, DeployNetwork(settle(segmentor))


def settle(network: nn.Module) -> Any:
    """Set the batch norms from two random images.

    Without it, activations of random weights shrink layer by layer, and a CPU slows down on numbers close to zero.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(2, 3, 128, 128))
    return network.eval()


def prepare(folder: Path, threads: int, files: list[Path]) -> list[Row]:
    """Export every network the same way and open the files as `bridgeseg predict` does."""
    own = [Row(path.name, None, OnnxRuntime(path, threads), None, path.stat().st_size / 1e6, []) for path in files]
    rows = []
    for name, backbone, network in track(list(networks()), "exporting", transient=True):
        path = folder / f"{len(rows)}.onnx"
        onnx.save(to_graph(network), path)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        rows.append(Row(name, backbone, OnnxRuntime(path, threads), parameters, path.stat().st_size / 1e6, []))
    return rows + own


def measure(rows: list[Row], image: np.ndarray, rounds: int, warmup: int) -> None:
    """Time all files round by round, as `take_turns` does."""
    calls = {row.name: partial(row.runtime.classes, image) for row in rows}
    with Progress(transient=True) as progress:
        task = progress.add_task("timing", total=warmup + rounds)
        times = take_turns(calls, rounds, warmup, on_round=lambda: progress.advance(task))
    for row in rows:
        row.times.extend(times[row.name])


def report(rows: list[Row]) -> list[dict[str, Any]]:
    """Summarise the times; ratios are medians over the rounds, so that what slows a whole round cancels."""
    alone = {row.backbone: row for row in rows if row.name.endswith("backbone alone")}
    result = []
    for row in rows:
        half = alone.get(row.backbone) if row.name != PEER else None
        share = None
        if half is not None and half is not row:
            share = spread([1 - b / t for b, t in zip(half.times, row.times, strict=True)])["median"]
        result.append(
            {
                "name": row.name,
                "ms": {key: value * 1e3 for key, value in spread(row.times).items()},
                "ratio": spread([t / p for t, p in zip(row.times, rows[0].times, strict=True)])["median"],
                "fastest_ms": min(row.times) * 1e3,
                "fastest_ratio": min(row.times) / min(rows[0].times),
                "after_backbone": share,
                "parameters": row.parameters,
                "megabytes": row.megabytes,
            }
        )
    return result


def table_row(row: dict[str, Any]) -> list[str]:
    ms, share, count = row["ms"], row["after_backbone"], row["parameters"]
    return [
        row["name"],
        f"{ms['median']:.1f}",
        f"{row['ratio']:.2f}",
        f"{row['fastest_ms']:.1f}",
        f"{row['fastest_ratio']:.2f}",
        "" if share is None else f"{share:.0%}",
        "" if count is None else f"{count / 1e6:.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="threads of ONNX Runtime (default: 2)")
    parser.add_argument("--size", default="512x512", help="HEIGHTxWIDTH, multiples of 32 (default: 512x512)")
    parser.add_argument("--rounds", type=int, default=40, help="timed rounds (default: 40)")
    parser.add_argument("--warmup", type=int, default=3, help="untimed rounds before them (default: 3)")
    parser.add_argument("--model", type=Path, action="append", default=[], help="an exported file to time as well")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()
    height, width = size(options.size, "--size")
    if height % STRIDES[-1] or width % STRIDES[-1]:
        parser.error(f"--size {options.size}: use multiples of {STRIDES[-1]}, so that no network has more pixels to do")
    machine = describe("onnxruntime", "torch", "torchvision", "timm")
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        rows = prepare(Path(folder), options.threads, options.model)
        image = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
        measure(rows, image, options.rounds, options.warmup)
    numbers = report(rows)
    settings = {"size": [height, width], "threads": options.threads, "rounds": options.rounds, "classes": CLASSES}
    columns = [
        "network",
        "median ms",
        "ratio",
        "fastest ms",
        "ratio",
        "after backbone",
        "params M",
    ]
    title = (
        f"uint8 pixels {height}x{width} -> class ids, ONNX Runtime, {options.threads} threads, {options.rounds} rounds"
    )
    notes = [
        "ratio: time over LR-ASPP's, median over the rounds; then the same of each file's fastest round",
        f"weights are random, {CLASSES} classes throughout",
    ]
    show(title, machine, columns, [table_row(row) for row in numbers], notes)
    write_json(options.json, benchmark="latency", machine=machine, settings=settings, rows=numbers)


if __name__ == "__main__":
    run(main)
