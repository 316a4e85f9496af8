"""What a network costs: parameters, arithmetic, and the latency of its exported files beside the others'."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.errors import ModelFileError
from bridgeseg.exporting.onnx import export_folder
from bridgeseg.hardware import describe
from bridgeseg.measuring.image import sample_image
from bridgeseg.measuring.machine import take_turns
from bridgeseg.runtime.onnx_runtime import OnnxRuntime
from bridgeseg.runtime.torch_runtime import DeployNetwork
from bridgeseg.training.provenance import source_commit

SIDE = 512
"""Height and width of the image that costs are measured on."""
ROUNDS = 30


def cost(checkpoint: Path, side: int = SIDE) -> dict[str, Any]:
    """Count a checkpoint's parameters and arithmetic.

    Args:
        checkpoint: its folder.
        side: height and width of the image.

    Returns:
        `parameters` of the network as it ships, without what only text and training need; `parameters_trained`;
        `gflops` of one image through the shipped network, in 1e9 floating-point operations. A multiplication and
        the addition after it count as two, as PyTorch's counter does; it counts convolutions and matrix products,
        which are nearly all.
    """
    segmentor = load_checkpoint(checkpoint).segmentor
    trained = sum(parameter.numel() for parameter in segmentor.parameters())
    network = DeployNetwork(segmentor)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "parameters_trained": trained,
        "gflops": counter.get_total_flops() / 1e9,
    }


def latencies(
    checkpoints: Mapping[str, Path],
    files: Mapping[str, Path] | None = None,
    *,
    side: int = SIDE,
    rounds: int = ROUNDS,
    threads: int | None = None,
) -> dict[str, list[float]]:
    """Export checkpoints and time their files turn by turn in this process: raw pixels in, class ids out.

    Args:
        checkpoints: name -> folder.
        files: name -> .onnx file that takes turns with them.
        side: height and width of the image.
        rounds: timed rounds, as `take_turns` makes them.
        threads: of ONNX Runtime; one per core by default.

    Returns:
        name -> milliseconds of every round; the rounds of all names belong together. What cannot be exported is not
        among them and named on standard error.
    """
    image = sample_image(side, side)[None]
    with tempfile.TemporaryDirectory() as folder:
        runtimes = []
        for number, (name, place) in enumerate(checkpoints.items()):
            path = Path(folder) / f"{number}.onnx"
            try:
                export_folder(place, path)
            except ModelFileError as error:
                print(f"warning: no latency of {name}: {error}", file=sys.stderr)
                continue
            runtimes.append((name, OnnxRuntime(path, threads)))
        runtimes += [(name, OnnxRuntime(path, threads)) for name, path in (files or {}).items()]
        calls = {name: partial(runtime.classes, image) for name, runtime in runtimes}
        seconds = take_turns(calls, rounds)
    return {name: [1e3 * value for value in values] for name, values in seconds.items()}


def summarise(times: Mapping[str, list[float]], reference: Mapping[str, str]) -> dict[str, dict[str, float | None]]:
    """Turn times into medians, and into ratios to another name's.

    Args:
        times: name -> milliseconds of every round.
        reference: name -> the name it is divided by. The ratio is the median over the rounds, so that what slows a
            whole round cancels.
    """
    result: dict[str, dict[str, float | None]] = {}
    for name, values in times.items():
        other = times.get(reference.get(name, ""))
        ratio = None if other is None else median(a / b for a, b in zip(values, other, strict=True))
        result[name] = {"ms": median(values), "ratio": ratio}
    return result


def machine() -> dict[str, Any]:
    """Describe the machine and the versions that costs are measured with; nothing in it names the machine."""
    return {**describe("torch", "timm", "onnx", "onnxruntime"), "commit": source_commit()}
