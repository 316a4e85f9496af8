"""What every benchmark needs besides its numbers: quartiles, turns, a table, a JSON file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
from rich.console import Console

from bridgeseg.files import write
from bridgeseg.report.tables import Table


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles of one or more numbers.

    >>> quartiles([1.0, 2.0, 3.0, 4.0, 5.0])
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
    console = Console(highlight=False, soft_wrap=True)
    Table(columns, rows, title).print(console)
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
    """Write what was measured, whole or not at all, if a file was asked for.

    Raises:
        InputError: the file cannot be written.
    """
    if path is not None:
        write(path, json.dumps(facts, indent=2) + "\n")
