"""What quantisation cost and what it earned: size, mIoU, latency, the float file beside the 8-bit one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from bridgeseg.evaluating.evaluate import evaluate
from bridgeseg.hardware import describe
from bridgeseg.measuring.image import sample_image
from bridgeseg.measuring.machine import quartiles, take_turns
from bridgeseg.report.tables import Table
from bridgeseg.runtime.runtimes import file_runtimes, open_runtime
from bridgeseg.settings.evaluate import Evaluate
from bridgeseg.settings.export import Compared

ROUNDS, SIZE = 10, (512, 512)
"""What is timed if nothing else is asked for: rounds, height and width."""


def compare(
    before: str | Path,
    after: str | Path,
    asked: Compared,
    *,
    size: tuple[int, int] | None = None,
    rounds: int | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Compare a float file with the 8-bit one made from it, in every runtime that is installed.

    Args:
        before: the float .onnx file.
        after: the 8-bit one.
        asked: the data that both are scored on, in ONNX Runtime, if there are any, and the threads.
        size: (height, width) of the image that is timed; 512x512 by default.
        rounds: timed rounds, 10 by default; all files and runtimes take turns in one process.
        quiet: no progress bar.

    Returns:
        JSON-ready: `bytes` {before, after}; `miou` {before, after, lost}, the last in points, and `split`, or None;
        `latency` with a row for each runtime: `runtime`, `ms_before`, `ms_after` (medians), `ratio` (median over the
        rounds); `machine`.

    Raises:
        InputError: a file or the data cannot be used.
    """
    files = {"before": Path(before), "after": Path(after)}
    machine = describe("onnxruntime", "openvino")
    names = [name for name in file_runtimes() if find_spec(name) is not None]
    opened = {(name, side): open_runtime(path, asked.threads, name) for name in names for side, path in files.items()}
    image = sample_image(*(size or SIZE))[None]
    calls = {" ".join(key): (lambda runtime=runtime: runtime.classes(image)) for key, runtime in opened.items()}
    times = take_turns(calls, rounds or ROUNDS)
    latency = []
    for name in names:
        first, second = times[f"{name} before"], times[f"{name} after"]
        ratios = [new / old for old, new in zip(first, second, strict=True)]
        latency.append(
            {
                "runtime": name,
                "ms_before": 1e3 * quartiles(first)["median"],
                "ms_after": 1e3 * quartiles(second)["median"],
                "ratio": quartiles(ratios)["median"],
            }
        )
    scores = None
    if asked.data is not None:
        miou = {}
        for side, path in files.items():
            wanted = Evaluate(model=path, data=asked.data, split=asked.split, threads=asked.threads, quiet=quiet)
            miou[side] = evaluate(wanted).miou
        scores = {**miou, "lost": 100 * (miou["before"] - miou["after"]), "split": asked.split}
    return {
        "bytes": {side: path.stat().st_size for side, path in files.items()},
        "miou": scores,
        "latency": latency,
        "size": list(size or SIZE),
        "machine": machine,
    }


def print_report(report: dict[str, Any]) -> None:
    """Print what `compare` returns, and what is said of the quantisation, if that is there."""
    sizes, scores, (height, width) = report["bytes"], report["miou"], report["size"]
    before, after = (sizes[side] / 1e6 for side in ("before", "after"))
    rows = [["file, MB", f"{before:.1f}", f"{after:.1f}", f"{after / before:.2f}x"]]
    if scores is not None:
        change = f"{-scores['lost']:+.2f} points"
        rows.append([f"mIoU, {scores['split']}", f"{scores['before']:.4f}", f"{scores['after']:.4f}", change])
    for row in report["latency"]:
        name = f"{row['runtime']}, ms at {height}x{width}"
        rows.append([name, f"{row['ms_before']:.1f}", f"{row['ms_after']:.1f}", f"{row['ratio']:.2f}x"])
    console = Console(highlight=False, soft_wrap=True)
    Table(["", "float", "8-bit", "change"], rows).print(console)
    load = report["machine"]["load"]
    if load is not None and load > 0.5:
        console.print(f"load average before the start: {load} (other programs were running: trust ratios only)")
    if "quantisation" in report:
        used = report["quantisation"]["calibration"]
        console.print(f"calibrated on {used['pictures']} images: {used['from']}", markup=False)
