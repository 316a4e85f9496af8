"""A file at several sizes, threads and runtimes -> latency, throughput, memory, cold start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
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
from bridgeseg.runtime.runtimes import file_runtimes, open_runtime
from bridgeseg.runtime.taking import Taking
from bridgeseg.settings.benchmark import Benchmark

PERCENTILES = (50, 90, 99)
SIZE = (512, 512)
"""Height and width of the image, if nothing else is said."""


def benchmark(asked: Benchmark) -> dict[str, Any]:
    """Measure an exported file on this machine; see `bridgeseg.benchmark`.

    Returns:
        JSON-ready: `model`, `bytes`, `settings`, `machine`, and `rows`, each with `runtime`, `threads` (None: one per
        core), `size` [h, w], `ms` (p50, p90, p99, min), `ratio`, `images_per_second` in batches, `peak_mb` (1e6 bytes;
        of a process that does one image at a time) and `cold_start_s` (median; import to first result).
    """
    _check(asked)
    path = Model.load(asked.model).path or Path()  # the bundled one has a path too
    opened = [open_runtime(path, 1, name) for name in asked.runtimes]  # what is missing is said before it is measured
    taking = Taking.of(opened[0].inputs) or Taking()
    batch = taking.batch or asked.batch
    del opened
    machine = describe("onnxruntime", "openvino", "numpy")
    rows: list[dict[str, Any]] = []
    for height, width in _sizes(asked, taking):
        combinations = [
            Setting(name, count or 0, height, width, batch) for name in asked.runtimes for count in asked.threads
        ]
        rows += _measure(path, combinations, asked.rounds, asked.starts, asked.on_step or (lambda _: None))
    return {
        "model": path.name,
        "bytes": path.stat().st_size,
        "settings": {"rounds": asked.rounds, "batch": batch, "starts": asked.starts},
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


def _check(asked: Benchmark) -> None:
    for name in ("sizes", "threads", "runtimes"):
        if getattr(asked, name) is not None and not getattr(asked, name):
            raise ConfigError("nothing is given", where=name, fix=f"leave `{name}` out for its default")
    if wrong := [size for size in asked.sizes or () if not isinstance(size, list | tuple) or len(size) != 2]:
        message = f"a size is (height, width) in pixels, found {wrong[0]!r}"
        raise ConfigError(message, where="sizes", fix="`sizes=[(512, 512)]`")
    for count in asked.threads:
        if count is not None and count < 1:
            raise ConfigError(f"at least one thread is needed, found {count}", where="threads", fix="`threads=1,2`")
    for runtime in asked.runtimes:
        if runtime not in file_runtimes():
            message = f"no runtime {runtime!r}; {nearest(runtime, file_runtimes())}"
            raise ConfigError(message, where="runtimes", fix=f"`runtimes={','.join(file_runtimes())}`")


def _sizes(asked: Benchmark, taking: Taking) -> list[tuple[int, int]]:
    """Return the sizes to measure at; those of a file that takes one only are that."""
    sizes = [taking.size or SIZE] if asked.sizes is None else [(height, width) for height, width in asked.sizes]
    if taking.size is not None and (wrong := [size for size in sizes if size != taking.size]):
        found, only = ("x".join(map(str, size)) for size in (wrong[0], taking.size))
        message = f"the file takes images of {only} (height x width) only, found {found}"
        raise ConfigError(message, where="sizes", fix="leave `sizes` out, or export again without a size")
    return sizes


def steps(asked: Benchmark) -> int:
    """Return how often `benchmark` calls `on_step`, for a progress bar."""
    combinations = len(asked.runtimes) * len(asked.threads)
    return len(asked.sizes or (SIZE,)) * (combinations * (asked.starts + 1) + asked.rounds)
