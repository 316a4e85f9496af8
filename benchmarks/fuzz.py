"""Give damaged and hostile inputs to everything that reads files, and count what becomes of them.

    python benchmarks/fuzz.py --inputs 1000
    python benchmarks/fuzz.py --only data.yaml --inputs 100000 --seconds 600
    python benchmarks/fuzz.py --only data.yaml --inputs 100000 --coverage     # guided by coverage, needs `atheris`

Each input must be used, or refused with a `BridgeSegError` that says what to do. Anything else is a bug: another
exception, a crash, more than 10 s of the processor, or more than 512 MB. A bug is made smaller, written into the folder
`--out`, and named by its number, which `--first NUMBER --inputs 1` gives again.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from rich.console import Console
from rich.table import Table

from fuzzing import TARGETS, Target

SECONDS = 10.0
"""Of the processor, for one input; far more than any valid one takes."""
PATIENCE = 300.0
"""Seconds of the clock after which an input is taken to wait for something that never comes."""
BYTES = 512 << 20
"""By which one input may raise the process's memory."""
SMALLER = 300
"""Attempts at making a bug smaller."""


@dataclass
class Count:
    """What became of the inputs of a target."""

    inputs: int = 0
    ok: int = 0
    refused: int = 0
    seconds: float = 0.0
    bugs: dict[int, str] = field(default_factory=dict)


def peak() -> int:
    """Return the most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def verdict(target: Target, content: bytes) -> str:
    """Return "ok", "refused", or what is wrong."""
    before = peak()
    try:
        found = "ok" if target.accepts(content) else "refused"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:150]} ({Path(last.filename).name}:{last.lineno})"
    grown = peak() - before
    return found if grown < BYTES else f"memory rose by {grown >> 20} MB"


def work(name: str, folder: str, seed: int, first: int, last: int, seconds: float, shared: Any) -> None:
    """Try inputs; `shared` holds the next number, ok, refused, when the present one began, seconds of all so far."""
    space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    target = TARGETS[name](Path(folder), seed)
    target.accepts(target.make(0))  # what is imported on first use does not count
    resource.setrlimit(resource.RLIMIT_AS, (max(space, 4 << 30) + 4 * BYTES,) * 2)
    for index in range(first, last):
        content = target.make(index)
        shared[0], shared[3] = index, time.monotonic()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        found = verdict(target, content)
        signal.setitimer(signal.ITIMER_PROF, 0)
        shared[0], shared[4] = index + 1, shared[4] + time.monotonic() - shared[3]
        if found == "ok":
            shared[1] += 1
        elif found == "refused":
            shared[2] += 1
        else:
            Path(folder, f"bug-{index}.txt").write_text(found)
        if shared[4] > seconds:
            break
    os._exit(0)


def supervise(name: str, folder: Path, seed: int, first: int, inputs: int, seconds: float) -> Count:
    """Run `work` in processes that may crash or hang."""
    count, position = Count(), first
    while position < first + inputs and count.seconds < seconds:
        shared = multiprocessing.Array(ctypes.c_double, [position, 0, 0, time.monotonic(), 0])
        arguments = (name, str(folder), seed, position, first + inputs, seconds - count.seconds, shared)
        process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
        process.start()
        while process.exitcode is None and time.monotonic() - shared[3] < PATIENCE:
            process.join(0.2)
        hangs = process.exitcode is None
        if hangs:
            process.kill()
            process.join()
        position = int(shared[0])
        count.ok, count.refused = count.ok + int(shared[1]), count.refused + int(shared[2])
        count.seconds += shared[4]
        if hangs or process.exitcode != 0:
            slow = hangs or process.exitcode == -signal.SIGPROF
            count.bugs[position] = "takes too long" if slow else f"died with {process.exitcode}"
            position += 1
    count.bugs |= {int(path.stem.partition("-")[2]): path.read_text() for path in folder.glob("bug-*.txt")}
    count.inputs = position - first
    return count


def smaller(target: Target, content: bytes, what: str) -> bytes:
    """Remove parts of an input as long as the same thing is wrong with it."""
    kind, attempts = what.partition(":")[0], 0
    piece = len(content) // 2
    while piece and attempts < SMALLER:
        at = 0
        while at < len(content) and attempts < SMALLER:
            attempts += 1
            part = content[:at] + content[at + piece :]
            if verdict(target, part).partition(":")[0] == kind:
                content = part
            else:
                at += piece
        piece //= 2
    return content


def keep(name: str, folder: Path, seed: int, out: Path, bugs: dict[int, str]) -> None:
    """Write the first bug of each kind as a file, made smaller where it is an exception."""
    target, kinds = TARGETS[name](folder / "again", seed), set[str]()
    for index, what in sorted(bugs.items()):
        print(f"{name} {index} (seed {seed}): {what}")
        if (kind := what.rpartition("(")[2]) in kinds:
            continue
        kinds.add(kind)
        content = target.make(index)
        if ":" in what:
            content = smaller(target, content, what)
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}-{index}{target.suffix}").write_bytes(content)


def guided(name: str, folder: Path, seed: int, inputs: int, seconds: float) -> None:
    """Let libFuzzer choose the inputs by the lines that they reach; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["bridgeseg", "yaml", "PIL"]):
        target = TARGETS[name](folder / "work", seed)
        target.accepts(target.make(0))
    corpus = folder / "corpus"
    corpus.mkdir()
    for index, content in enumerate(target.seeds):
        (corpus / str(index)).write_bytes(content)
    counts = [0, 0]

    def one(content: bytes) -> None:
        counts[target.accepts(content)] += 1
        if sum(counts) % 1000 == 0:
            print(f"{name}: {sum(counts)} inputs, {counts[1]} ok, {counts[0]} refused", flush=True)

    limits = [f"-runs={inputs}", f"-max_total_time={int(min(seconds, 1e6))}", "-rss_limit_mb=2048", "-timeout=20"]
    atheris.Setup([sys.argv[0], *limits, f"-seed={seed + 1}", "-max_len=4096", str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="of each target")
    parser.add_argument("--seconds", type=float, default=1e9, help="at most, for each target")
    parser.add_argument("--only", choices=list(TARGETS), action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--out", type=Path, default=Path("fuzz-bugs"), help="where bugs are written")
    parser.add_argument("--coverage", action="store_true", help="let atheris choose the inputs; for one target")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = options.only or list(TARGETS)
    table = Table("target", "inputs", "ok", "refused", "bugs", "inputs/s")
    found = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as place:
        if options.coverage:
            guided(names[0], Path(place), options.seed, options.inputs, options.seconds)
        for name in names:
            folder = Path(place) / name
            folder.mkdir()
            count = supervise(name, folder, options.seed, options.first, options.inputs, options.seconds)
            keep(name, folder, options.seed, options.out, count.bugs)
            rate = count.inputs / max(count.seconds, 1e-9)
            numbers = (count.inputs, count.ok, count.refused, len(count.bugs))
            print(f"{name}: {numbers}", flush=True)
            table.add_row(name, *(f"{number:,}" for number in numbers), f"{rate:.0f}")
            found += len(count.bugs)
    Console().print(table)
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
