"""How long does the network take? ONNX Runtime on the CPU, raw pixels in, class ids out, with peers in the same run.

    python benchmarks/latency.py
    python benchmarks/latency.py --all --sizes 512x512,1024x512 --classes 11,150 --json latency.json
    python benchmarks/latency.py --file int8=street-int8.onnx --file yolo26n-sem=yolo26n-sem-11.onnx

Needs the train extra: pip install '.[train]'. Nothing is fetched: the image is examples/street.jpg, the weights are
random but for the bundled models and `--file`. Time depends on weights at one place: our own files decide pixel by
pixel only where classes meet (`borders`). Peers upsample all logits, as their users' files do; how fast LR-ASPP would
be with the end of our files is a row of its own.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from _dense import channels_last
from _files import Row, bundled, given
from _machine import describe, quartiles, run, show, take_turns, write_json
from _networks import PEER, candidates, has_smp
from _video import photo
from bridgeseg.commands.arguments import numbers, size
from bridgeseg.exporting.onnx import to_graph
from bridgeseg.exporting.tail import borders_only
from bridgeseg.models.base import STRIDES
from bridgeseg.report.progress import ProgressBar, track
from bridgeseg.runtime.onnx_runtime import OnnxRuntime


def export(folder: Path, classes: list[int], everything: bool, only: str) -> list[Row]:
    """Build and export the peer, and every network whose name contains `only`, the same way."""
    wanted = [one for one in candidates(classes, everything) if one.name == PEER or only in one.name]
    rows: list[Row] = []
    for candidate in track(wanted, "exporting"):
        network = candidate.build()
        path = folder / f"{len(rows)}.onnx"
        onnx.save(to_graph(network, tail=channels_last if candidate.dense else borders_only), path)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        rows.append(Row(candidate.name, candidate.family, candidate.classes, path, parameters, candidate.alone))
    return rows


def heats(rows: list[Row], everything: bool) -> list[list[Row]]:
    """Group what is timed in turns: all together, or, of everything, by family, each with the peer.

    Many files at a time would take more memory than the usual machine has.
    """
    if not everything:
        return [rows]
    peer = [row for row in rows if row.name == PEER]
    families = dict.fromkeys(row.family for row in rows)
    return [[*peer, *(row for row in rows if row.family == family and row not in peer)] for family in families]


def measure(heat: list[Row], image: np.ndarray, options: argparse.Namespace) -> tuple[list[list[float]], list[float]]:
    """Time the files of a heat round by round, as `take_turns` does; return the seconds, and the borders of each."""
    opened = [OnnxRuntime(row.path, options.threads) for row in heat]
    borders = [meetings(runtime.classes(image)[0]) for runtime in opened]
    calls = {str(index): partial(runtime.classes, image) for index, runtime in enumerate(opened)}
    with ProgressBar("timing", options.warmup + options.rounds) as bar:
        times = take_turns(calls, options.rounds, options.warmup, on_round=bar.advance)
    return [times[name] for name in calls], borders


def meetings(ids: np.ndarray) -> float:
    """Return the share of the squares between four logits in which classes meet: ids (H, W) -> 0..1."""
    inner = ids[2:-2, 2:-2]
    if inner.shape[0] % 4 or inner.shape[1] % 4:  # a backbone alone, whose output is no image
        return 0.0
    squares = inner.reshape(inner.shape[0] // 4, 4, inner.shape[1] // 4, 4)
    return float((squares != squares[:, :1, :, :1]).any(axis=(1, 3)).mean())


def report(
    heat: list[Row], times: list[list[float]], borders: list[float], sides: tuple[int, int]
) -> list[dict[str, Any]]:
    """Summarise the times; ratios are medians over the rounds, so that what slows a whole round cancels."""
    seconds = {(row.name, row.classes): own for row, own in zip(heat, times, strict=True)}
    alone = {row.family: own for row, own in zip(heat, times, strict=True) if row.alone}
    first = heat[0].classes  # the first row is the peer, with the first number of classes
    result = []
    for row, own, meeting in zip(heat, times, borders, strict=True):
        peer = seconds.get((PEER, row.classes), times[0])
        exact = row.name.replace(", approximate", ", light")
        fewer = seconds.get((exact, first)) if row.classes not in (None, first) else None
        half = alone.get(row.family) if not row.alone else None
        result.append(
            {
                "name": row.name,
                "size": list(sides),
                "classes": row.classes,
                "ms": {key: value * 1e3 for key, value in quartiles(own).items()},
                "ratio": _ratio(own, peer),
                "fastest_ms": min(own) * 1e3,
                "fastest_ratio": min(own) / min(peer),
                "over_first_classes": None if fewer is None else _ratio(own, fewer),
                "after_backbone": None if half is None else 1 - _ratio(half, own),
                "borders": None if row.alone else meeting,
                "parameters": row.parameters,
                "megabytes": row.path.stat().st_size / 1e6,
            }
        )
    return result


def _ratio(times: list[float], others: list[float]) -> float:
    return quartiles([one / other for one, other in zip(times, others, strict=True)])["median"]


def table_row(row: dict[str, Any]) -> list[str]:
    more, share, count = row["over_first_classes"], row["after_backbone"], row["parameters"]
    borders = row["borders"]
    return [
        row["name"],
        "" if row["classes"] is None else str(row["classes"]),
        f"{row['ms']['median']:.1f}",
        f"{row['ratio']:.2f}",
        f"{row['fastest_ms']:.1f}",
        f"{row['fastest_ratio']:.2f}",
        "" if more is None else f"{more:.2f}",
        "" if share is None else f"{share:.0%}",
        "" if borders is None else f"{borders:.0%}",
        "" if count is None else f"{count / 1e6:.2f}",
    ]


def print_tables(rows: list[dict[str, Any]], classes: list[int], settings: str, machine: dict[str, Any]) -> None:
    """Print a table for each size; the machine comes after the last."""
    first = classes[0]
    columns = ["network", "classes", "ms", "ratio", "fastest", "ratio", f"to {first} cl.", "after b.", "borders", "M"]
    notes = [
        "ms, ratio: median, and over LR-ASPP's with as many classes, median over rounds; then of the fastest rounds",
        f"to {first} cl.: time over the same network's with {first} classes; after b.: share of it after the backbone; "
        "borders: share of 4x4 squares with several classes; M: million parameters",
    ]
    sizes = list(dict.fromkeys(tuple(row["size"]) for row in rows))
    for sides in sizes:
        title = f"uint8 pixels {sides[0]}x{sides[1]} -> class ids, ONNX Runtime, {settings}"
        cells = [table_row(row) for row in rows if tuple(row["size"]) == sides]
        last = sides == sizes[-1]
        show(title, machine if last else None, columns, cells, notes if last else ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every method, decoder and peer, with every --classes")
    parser.add_argument("--sizes", default="512x512", help="HEIGHTxWIDTH, multiples of 32 (default: 512x512)")
    parser.add_argument("--classes", default="11,150", help="numbers of classes (default: 11,150)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only networks whose name contains this")
    parser.add_argument("--file", action="append", default=[], metavar="NAME=PATH", help="time this file as well")
    parser.add_argument("--threads", type=int, default=2, help="threads of ONNX Runtime (default: 2)")
    parser.add_argument("--rounds", type=int, default=40, help="timed rounds (default: 40)")
    parser.add_argument("--warmup", type=int, default=3, help="untimed rounds before them (default: 3)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()
    sizes = [size(text, "--sizes") for text in options.sizes.split(",")]
    classes = [int(number) for number in numbers(options.classes, "--classes")]
    if any(side % STRIDES[-1] for sides in sizes for side in sides):
        parser.error(
            f"--sizes {options.sizes}: use multiples of {STRIDES[-1]}, so that no network has more pixels to do"
        )
    if any(not 2 <= count <= 256 for count in classes):
        parser.error(f"--classes {options.classes}: use 2 to 256, so that all files give ids of one byte")
    if options.all and not has_smp():
        print("networks of segmentation_models.pytorch are left out: it is not installed")
    machine = describe("onnxruntime", "torch", "torchvision", "timm", "segmentation-models-pytorch")
    torch.manual_seed(0)
    result = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [*bundled(), *given(options.file, folder)]
        rows = [*export(folder, classes, options.all, options.only), *files]
        for sides in sizes:
            image = photo(sides)[None]
            for number, heat in enumerate(heats(rows, options.all)):
                part = report(heat, *measure(heat, image, options), sides)
                result += [row for row in part if row["name"] != PEER or not number]
    print_tables(result, classes, f"{options.threads} threads, {options.rounds} rounds", machine)
    settings = {"sizes": [list(sides) for sides in sizes], "classes": classes, "threads": options.threads}
    settings |= {"rounds": options.rounds, "all": options.all}
    write_json(options.json, benchmark="latency", machine=machine, settings=settings, rows=result)


if __name__ == "__main__":
    run(main)
