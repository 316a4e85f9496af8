"""A file at several sizes, threads and runtimes -> latency, throughput, memory, cold start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bridgeseg.errors import ConfigError, nearest
from bridgeseg.hardware import describe
from bridgeseg.measuring.machine import PAUSE_S
from bridgeseg.measuring.process import Child, Setting
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.runtimes import FILES, file_runtimes, open_runtime

PERCENTILES = (50, 90, 99)


def benchmark(
    model: str | Path | None = None,
    *,
    sizes: Sequence[tuple[int, int]] = ((512, 512),),
    threads: Sequence[int | None] = (None,),
    runtimes: Sequence[str] = (FILES,),
    rounds: int = 50,
    batch: int = 4,
    starts: int = 3,
    on_step: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measure an exported file on this machine.

    Every combination has a process of its own. Those of one size take turns, one image each, so a slow moment of the
    machine slows them all; ratios are the median over the rounds of the ratio within a round, to the first of a size.

    Args:
        model: an .onnx file; None for the bundled street-scene model.
        sizes: (height, width) of the image.
        threads: numbers of CPU threads; None for one per core.
        runtimes: names, as in `bridgeseg.load`.
        rounds: timed images of each combination.
        batch: images at a time when throughput is measured.
        starts: fresh processes whose cold start is measured, for each combination.
        on_step: called with the name of each thing that begins.

    Returns:
        JSON-ready: `model`, `bytes`, `settings`, `machine`, and `rows`, each with `runtime`, `threads` (None: one per
        core), `size` [h, w], `ms` (p50, p90, p99, min), `ratio`, `images_per_second` in batches, `peak_mb` (1e6 bytes;
        of a process that does one image at a time) and `cold_start_s` (median; import to first result).

    Raises:
        ConfigError: a number below one, an unknown runtime, or nothing to measure.
        ModelFileError: the file cannot be used.
        MissingDependencyError: a runtime's package is not installed.
    """
    _check(sizes, threads, runtimes, rounds, batch, starts)
    path = Model.load(model).path or Path()  # the bundled one has a path too
    for name in runtimes:
        open_runtime(path, 1, name)  # what is missing is said before anything is measured
    machine = describe("onnxruntime", "openvino", "numpy")
    rows: list[dict[str, Any]] = []
    for height, width in sizes:
        settings = [Setting(name, count or 0, height, width, batch) for name in runtimes for count in threads]
        rows += _measure(path, settings, rounds, starts, on_step or (lambda _: None))
    return {
        "model": path.name,
        "bytes": path.stat().st_size,
        "settings": {"rounds": rounds, "batch": batch, "starts": starts},
        "machine": machine,
        "rows": rows,
    }


def _measure(
    path: Path, settings: list[Setting], rounds: int, starts: int, on_step: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Measure the combinations of one size, which take turns."""
    cold: list[list[float]] = [[] for _ in settings]
    for _ in range(starts - 1):
        for index, setting in enumerate(settings):
            on_step("cold start")
            with Child(path, setting) as child:
                cold[index].append(child.start_s)
    with ExitStack() as stack:
        children = []
        for index, setting in enumerate(settings):
            on_step("cold start")
            children.append(stack.enter_context(Child(path, setting)))
            cold[index].append(children[-1].start_s)
        times = np.zeros((len(children), rounds))
        order = np.random.default_rng(0)
        for number in range(rounds):
            on_step("latency")
            for index in order.permutation(len(children)):
                time.sleep(PAUSE_S)
                times[index, number] = children[index].ask("latency")
        peaks = [child.ask("memory") for child in children]
        rates = []
        for child in children:
            on_step("throughput")
            rates.append(child.ask("throughput"))
    for index, setting in enumerate(settings):
        marks = np.percentile(times[index], PERCENTILES) * 1e3
        yield {
            "runtime": setting.runtime,
            "threads": setting.threads or None,
            "size": [setting.height, setting.width],
            "ms": {
                **{f"p{p}": float(m) for p, m in zip(PERCENTILES, marks, strict=True)},
                "min": times[index].min() * 1e3,
            },
            "ratio": float(np.median(times[index] / times[0])),
            "images_per_second": rates[index],
            "peak_mb": None if peaks[index] is None else peaks[index] / 1e6,
            "cold_start_s": median(cold[index]),
        }


def _check(
    sizes: Sequence[tuple[int, int]],
    threads: Sequence[int | None],
    runtimes: Sequence[str],
    rounds: int,
    batch: int,
    starts: int,
) -> None:
    for name, value in {"rounds": rounds, "batch": batch, "starts": starts}.items():
        if value < 1:
            raise ConfigError(f"at least one is needed, found {value}", where=name, fix=f"--{name} 1")
    for name, items in {"sizes": sizes, "threads": threads, "runtimes": runtimes}.items():
        if not items:
            raise ConfigError("nothing is given", where=name, fix=f"leave --{name} out for its default")
    for count in threads:
        if count is not None and count < 1:
            raise ConfigError(f"at least one thread is needed, found {count}", where="threads", fix="--threads 1,2")
    for runtime in runtimes:
        if runtime not in file_runtimes():
            message = f"no runtime {runtime!r}; {nearest(runtime, file_runtimes())}"
            raise ConfigError(message, where="runtimes", fix=f"--runtimes {','.join(file_runtimes())}")


def steps(sizes: int, combinations: int, rounds: int, starts: int) -> int:
    """Return how often `benchmark` calls `on_step`, for a progress bar.

    Args:
        sizes: number of sizes.
        combinations: number of runtimes times numbers of threads.
        rounds, starts: as in `benchmark`.
    """
    return sizes * (combinations * (starts + 1) + rounds)
