"""The process that a file is measured in: fresh, so that its start and its memory are its own.

    python -m bridgeseg.measuring.child MODEL RUNTIME THREADS HEIGHT WIDTH BATCH

It runs one image and says so; then it answers words on its standard input, one line of JSON each: `latency` (seconds
of one image), `memory` (bytes at most so far), `throughput` (images a second in batches). It ends with its input.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

SECONDS = 1.0
"""Batches are run for so long, and at least twice."""


def main(words: list[str]) -> None:
    """Load a file, run it, answer until standard input ends."""
    import numpy as np

    from bridgeseg.errors import BridgeSegError, NetworkError
    from bridgeseg.measuring.image import sample_image
    from bridgeseg.runtime.model import Model

    path, runtime, *numbers = words
    threads, height, width, batch = map(int, numbers)
    images = np.repeat(sample_image(height, width)[None], batch, axis=0)
    try:
        network = Model.load(path, threads=threads or None, runtime=runtime).runtime
        network.classes(images[:1])
    except BridgeSegError as error:
        _answer({"error": error.message, "fix": error.fix, "network": isinstance(error, NetworkError)})
        return
    _answer({"ready": True})
    for line in sys.stdin:
        if line.strip() == "latency":
            network.classes(images[:1])
            start = time.perf_counter()
            network.classes(images[:1])
            _answer({"seconds": time.perf_counter() - start})
        elif line.strip() == "memory":
            _answer({"bytes": peak_memory()})
        else:
            _answer({"rate": _rate(network, images)})


def _rate(network: Any, images: Any) -> float:
    """Return images a second, in whole batches."""
    network.classes(images)
    start, done = time.perf_counter(), 0
    while done < 2 * len(images) or time.perf_counter() - start < SECONDS:
        network.classes(images)
        done += len(images)
    return done / (time.perf_counter() - start)


def peak_memory() -> int | None:
    """Return the most memory this process has held at once, in bytes; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: unlike `getrusage`, it does not count what the parent held before the start
        lines = status.read_text(encoding="utf-8").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
