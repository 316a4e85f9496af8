"""What every benchmark needs besides its numbers: the machine, the versions, spreads, turns, a table, a JSON file."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

WIDTH = 120
"""Columns of a table that is not printed to a terminal."""


def describe(*packages: str) -> dict[str, Any]:
    """Return processor, cores, memory, load and versions: what a reader compares by, nothing that names the machine.

    Args:
        packages: distributions whose versions matter for the numbers; those not installed are left out.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {name: number for name in ("bridgeseg", *packages) if (number := _version(name))}
    return {
        "cpu": _cpu(),
        "cores": usable,
        "memory_gb": _memory(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **found},
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles of one or more numbers.

    >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
    {'median': 3.0, 'q1': 2.0, 'q3': 4.0}
    """
    if len(values) == 1:
        return {"median": values[0], "q1": values[0], "q3": values[0]}
    q1, _, q3 = quantiles(values, n=4, method="inclusive")
    return {"median": median(values), "q1": q1, "q3": q3}


PAUSE_S = 0.05
"""How long the threads of a runtime spin at most, in wait for more work, and keep a core from the next one's."""


def take_turns(
    calls: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 2, on_round: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Time several calls round by round, in another order each round, so that a slow moment slows them all.

    Before every timed call comes a pause of `PAUSE_S`, and the same call once untimed, so that its weights are in the
    caches again.

    Args:
        calls: name -> what to time.
        rounds: timed rounds.
        warmup: untimed rounds before them.
        on_round: called after each round.

    Returns:
        name -> seconds of every timed round; the rounds of all names belong together.
    """
    order, names = np.random.default_rng(0), list(calls)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(warmup + rounds):
        for index in order.permutation(len(names)):
            call = calls[names[index]]
            time.sleep(PAUSE_S)
            call()
            start = time.perf_counter()
            call()
            if number >= warmup:
                times[names[index]].append(time.perf_counter() - start)
        on_round()
    return times


def show(
    title: str,
    machine: dict[str, Any] | None,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str] = (),
) -> None:
    """Print a table: the first column on the left, numbers on the right, then notes and the machine, if it is given."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # All of every number, also where the terminal is too narrow: one cut short is worse than a line that wraps.
    usual = Console().width if Console().is_terminal else WIDTH
    console = Console(width=max(usual, Console(width=1000).measure(table).maximum), highlight=False)
    console.print(table)
    for note in notes:
        console.print(note, markup=False)
    if machine is None:
        return
    facts = [machine["cpu"], f"cores: {machine['cores']}", machine["system"]]
    facts += [] if machine["memory_gb"] is None else [f"{machine['memory_gb']} GB"]
    facts += [f"{name} {number}" for name, number in machine["versions"].items()]
    console.print("machine: " + ", ".join(facts), markup=False)
    if machine["load"] is not None and machine["load"] > 0.5:
        console.print(f"load average before the start: {machine['load']} (other programs were running)", markup=False)


def write_json(path: str | Path | None, **facts: Any) -> None:
    """Write what was measured, if a file was asked for."""
    if path is not None:
        Path(path).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """Return the processor's name; the kernel knows it better than Python's `platform`."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> int | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9)
