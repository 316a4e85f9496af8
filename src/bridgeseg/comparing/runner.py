"""Runs of a comparison as processes: so many at a time, each with its log, its threads, and a clean stop."""

from __future__ import annotations

import csv
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen, TimeoutExpired
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bridgeseg.comparing.grid import Run
from bridgeseg.comparing.state import CONFIGS, LOGS, RUNS, is_finished, write_json
from bridgeseg.errors import InputError
from bridgeseg.report.progress import time_left
from bridgeseg.training.folder import TABLE

GRACE = 60.0
"""Seconds that a run gets to stop by itself before it is killed."""
TAIL = 15
"""Lines of a failed run's log that are shown."""
POLL = 0.2


@dataclass(frozen=True)
class Failed:
    """A run that did not finish: its name, its exit code, its log, and the end of it."""

    name: str
    code: int
    log: Path
    tail: str


@dataclass
class Job:
    """A run in progress."""

    run: Run
    process: Popen[bytes]
    log: Path
    epochs_before: int


def run_all(
    out: Path,
    runs: Sequence[Run],
    split: str,
    *,
    int8: bool = False,
    jobs: int = 1,
    threads: int = 1,
    quiet: bool = False,
) -> list[Failed]:
    """Make the runs, `jobs` at a time and each with `threads`; one that fails does not keep the others from being made.

    Args:
        out: folder of the comparison.
        runs: those that are not finished.
        split: scored besides the validation split.
        int8: score them in 8 bits too.
        jobs: runs at a time.
        threads: of each.
        quiet: tell nothing but what failed.

    Returns:
        The runs that failed.

    Raises:
        InputError: stopped by Ctrl-C or SIGTERM; runs in progress were stopped too and go on the next time.
    """
    waiting, active, failed, done = deque(runs), list[Job](), list[Failed](), 0
    with _stop_signals(), _Display(out, runs, quiet) as display:
        try:
            while waiting or active:
                while waiting and len(active) < jobs:
                    active.append(_start(out, waiting.popleft(), [split, "int8"] if int8 else [split], threads))
                    display.say(f"{active[-1].run.name}: started")
                for job in [job for job in active if job.process.poll() is not None]:
                    active.remove(job)
                    if not is_finished(out / RUNS / job.run.name, split, int8):
                        failed.append(_failed(job))
                        display.say(_text(failed[-1]), always=True)
                    else:
                        done += 1
                        display.say(f"{job.run.name}: finished")
                    display.finished(job)
                display.show(active)
                time.sleep(POLL)
        except KeyboardInterrupt:
            _stop(active)
            raise InputError(
                f"stopped; {done} of {len(runs)} runs were finished since the start",
                where=out,
                fix="the same command goes on from here; `report_only=True` reports on what is finished",
            ) from None
        except BaseException:
            _stop(active)
            raise
    return failed


def _start(out: Path, run: Run, scored: Sequence[str], threads: int) -> Job:
    flat = run.name.replace("/", "__")
    settings, log, place = out / CONFIGS / f"{flat}.json", out / LOGS / f"{flat}.log", out / RUNS / run.name
    write_json(settings, run.config.model_dump(mode="json"))
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "bridgeseg.comparing.work", str(settings), str(place), *scored]
    with log.open("wb") as file:
        process = Popen(
            words,
            # Nothing is ever written there: it closes with this process, and the run ends with it.
            stdin=PIPE,
            stdout=file,
            stderr=STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # Ctrl-C comes to this process alone, which then stops the runs
        )
    return Job(run, process, log, epochs_done(place))


def _stop(active: Sequence[Job]) -> None:
    """Stop runs at the end of the step they are in; a second Ctrl-C does not wait for that."""
    for job in active:
        if job.process.poll() is None:
            job.process.send_signal(signal.SIGTERM)
    end = time.monotonic() + GRACE
    try:
        for job in active:
            job.process.wait(max(0.0, end - time.monotonic()))
    except (TimeoutExpired, KeyboardInterrupt):
        pass
    finally:
        for job in active:
            if job.process.poll() is None:
                job.process.kill()
                job.process.wait()
            if job.process.stdin is not None:
                job.process.stdin.close()


def _failed(job: Job) -> Failed:
    lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
    code = job.process.returncode
    return Failed(job.run.name, code, job.log, "\n".join(lines[-TAIL:]) or f"no word, code {code}")


def _text(failed: Failed) -> str:
    tail = "\n".join(f"    {line}" for line in failed.tail.splitlines())
    fix = "correct it and give the same command again; delete the run's folder to start that run again"
    return f"{failed.name}: failed (code {failed.code}); the end of {failed.log}:\n{tail}\n  fix: {fix}"


def epochs_done(place: Path) -> int:
    """Return how many epochs the table of a run folder has; 0 where there is none."""
    try:
        with (place / TABLE).open(newline="", encoding="utf-8") as file:
            return max((int(row["epoch"]) for row in csv.DictReader(file)), default=0)
    except (OSError, ValueError, KeyError, TypeError):
        return 0


@contextmanager
def _stop_signals() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, where signals are handled at all: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        for number in before:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Display:
    """One bar over all runs on a terminal, a line for each event elsewhere; nothing if quiet."""

    def __init__(self, out: Path, runs: Sequence[Run], quiet: bool) -> None:
        self.out, self.quiet, self.start = out, quiet, time.monotonic()
        self.total = sum(run.config.whole - epochs_done(out / RUNS / run.name) for run in runs)
        self.runs, self.done_runs, self.done_epochs = len(runs), 0, 0
        self.console = Console(stderr=True, highlight=False)
        columns = (BarColumn(), TextColumn("{task.description}", markup=False))
        self.bar = Progress(*columns, console=self.console, disable=quiet or not self.console.is_terminal)
        self.task = self.bar.add_task("", total=max(1, self.total))

    def __enter__(self) -> _Display:
        self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.bar.stop()

    def say(self, text: str, always: bool = False) -> None:
        if always or not self.quiet:
            self.console.print(text, markup=False, soft_wrap=True)

    def finished(self, job: Job) -> None:
        self.done_runs += 1
        self.done_epochs += job.run.config.whole - job.epochs_before

    def show(self, active: Sequence[Job]) -> None:
        if self.bar.disable:
            return
        done, parts = float(self.done_epochs), []
        for job in active:
            epoch = epochs_done(self.out / RUNS / job.run.name)
            done += max(0, epoch - job.epochs_before)
            parts.append(f"{job.run.name} {epoch}/{job.run.config.whole}")
        left = time_left(time.monotonic() - self.start, done, self.total)
        text = f"{self.done_runs}/{self.runs} runs, {left} left; {'; '.join(parts)}"
        self.bar.update(self.task, completed=done, description=text)
