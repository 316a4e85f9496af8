"""Give damaged and hostile inputs to everything that reads files, and count what becomes of them.

    python benchmarks/fuzz.py --inputs 1000
    python benchmarks/fuzz.py --only data.yaml --inputs 100000 --processes 2
    python benchmarks/fuzz.py --only images --first 4711 --inputs 1           # one input again
    python benchmarks/fuzz.py --coverage --inputs 1000                        # guided by coverage: pip install atheris

Each input must be used, or refused with a `BridgeSegError` that says what to do. Anything else is a bug: another
exception, a crash, more than 10 s of the processor, or more than 512 MB. A bug is made smaller, written into the folder
`--out`, and named by its number, which `--first NUMBER --inputs 1` gives again.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
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
CHUNK = 10_000
"""Inputs that one process tries before another takes its place."""


@dataclass
class Count:
    """What became of the inputs of a target."""

    inputs: int = 0
    ok: int = 0
    refused: int = 0
    seconds: float = 0.0
    bugs: dict[int, str] = field(default_factory=dict)


@dataclass
class Job:
    """Inputs of a target, from `position` to before `last`, that one process after the other tries until all are done.

    `shared` holds the next number (-1 before the first), ok, refused, when this one began, and the seconds of all.
    """

    name: str
    folder: Path
    seed: int
    position: int
    last: int
    limit: float
    count: Count
    process: BaseProcess | None = None
    shared: Any = None

    def start(self) -> None:
        """Begin, or go on behind the input that ended the process before."""
        self.shared = multiprocessing.Array(ctypes.c_double, [-1, 0, 0, time.monotonic(), 0])
        arguments = (self.name, str(self.folder), self.seed, self.position, self.last, self.limit, self.shared)
        self.process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
        self.process.start()

    def ended(self) -> bool:
        """Say whether the process has ended, and count what it did."""
        assert self.process is not None
        hangs = self.process.exitcode is None and time.monotonic() - self.shared[3] > PATIENCE
        if hangs:
            self.process.kill()
            self.process.join()
        elif self.process.exitcode is None:
            return False
        reached = int(self.shared[0])
        if reached < 0:
            sys.exit(f"error: {self.name}: the process ended with {self.process.exitcode} before its first input")
        self.count.ok, self.count.refused = (
            self.count.ok + int(self.shared[1]),
            self.count.refused + int(self.shared[2]),
        )
        self.count.seconds += self.shared[4]
        if hangs or self.process.exitcode != 0:
            slow = hangs or self.process.exitcode == -signal.SIGPROF
            self.count.bugs[reached] = "takes too long" if slow else f"died with {self.process.exitcode}"
            reached += 1
        self.count.inputs += reached - self.position
        self.position = reached
        return True

    def goes_on(self) -> bool:
        """Say whether there is more to do."""
        return self.position < self.last and self.count.seconds < self.limit


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


def hush() -> None:
    """Leave out the warnings of decoders, of which every second input has one."""
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def work(name: str, folder: str, seed: int, first: int, last: int, seconds: float, shared: Any) -> None:
    """Try inputs; `shared` is that of a `Job`."""
    hush()
    space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    target = TARGETS[name](Path(folder), seed)
    target.accepts(target.make(0))  # what is imported on first use does not count
    resource.setrlimit(resource.RLIMIT_AS, (max(space, 4 << 30) + 4 * BYTES,) * 2)
    for index in range(first, last):
        shared[0], shared[3] = index, time.monotonic()
        content = target.make(index)
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


def supervise(waiting: list[Job], processes: int) -> None:
    """Do the jobs, some at a time, in processes that may crash or hang."""
    running: list[Job] = []
    while waiting or running:
        while waiting and len(running) < processes:
            job = waiting.pop(0)
            if job.goes_on():
                job.start()
                running.append(job)
        time.sleep(0.02)
        ended = [job for job in running if job.ended()]
        running = [job for job in running if job not in ended]
        waiting[:0] = ended


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


def try_all(names: Iterable[str], place: Path, options: argparse.Namespace) -> dict[str, Count]:
    """Try the inputs of all targets."""
    counts, jobs, end = {name: Count() for name in names}, [], options.first + options.inputs
    step = min(CHUNK, -(-options.inputs // options.processes))
    for name, count in counts.items():
        for module in TARGETS[name].modules:  # once, before the processes part
            importlib.import_module(module)
        for first in range(options.first, end, step):
            folder, last = place / name / str(first), min(first + step, end)
            jobs.append(Job(name, folder, options.seed, first, last, options.seconds, count))
    supervise(list(jobs), options.processes)
    for job in jobs:
        found = {int(path.stem.partition("-")[2]): path.read_text() for path in job.folder.glob("bug-*.txt")}
        job.count.bugs |= found
    return counts


def guided(name: str, options: argparse.Namespace) -> int:
    """Let atheris choose the inputs, in a process of its own; return its exit code."""
    script = [
        sys.executable,
        str(Path(__file__).with_name("fuzz_guided.py")),
        "--only",
        name,
        "--out",
        str(options.out),
    ]
    limits = ["--inputs", str(options.inputs), "--seconds", str(options.seconds), "--seed", str(options.seed)]
    with temporary() as place:
        return subprocess.call([*script, *limits, "--folder", place])


def temporary() -> tempfile.TemporaryDirectory[str]:
    """Return a folder in memory, where there is one."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="of each target")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="at work at a time")
    parser.add_argument("--seconds", type=float, default=1e9, help="of work at most, for each target")
    parser.add_argument("--only", choices=list(TARGETS), action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--out", type=Path, default=Path("fuzz-bugs"), help="where bugs are written")
    parser.add_argument("--coverage", action="store_true", help="let atheris choose the inputs, see fuzz_guided.py")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = options.only or list(TARGETS)
    if options.coverage:
        sys.exit(max(guided(name, options) for name in names))
    table, found, began = Table("target", "inputs", "ok", "refused", "bugs", "inputs/s"), 0, time.monotonic()
    with temporary() as place:
        for name, count in try_all(names, Path(place), options).items():
            keep(name, Path(place), options.seed, options.out, count.bugs)
            numbers = (count.inputs, count.ok, count.refused, len(count.bugs))
            table.add_row(
                name, *(f"{number:,}" for number in numbers), f"{count.inputs / max(count.seconds, 1e-9):.0f}"
            )
            found += len(count.bugs)
    Console().print(table)
    print(f"{time.monotonic() - began:.0f} s with {options.processes} processes")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
