"""What the networks of a comparison cost: counted, timed together in one go, and kept for the next report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bridgeseg.comparing import measure
from bridgeseg.comparing.grid import safe
from bridgeseg.comparing.results import Done
from bridgeseg.comparing.state import INT8_FILE, RUNS, read_json, write_json
from bridgeseg.extend import BASELINE

LATENCY = "latency.json"
IN_8_BITS = " in 8 bits"
"""What stands behind the name of a network where its 8-bit file was timed."""


def costs(
    out: Path, runs: Sequence[Done], latency: bool, reference: str | None
) -> dict[tuple[str, str], dict[str, Any]]:
    """Measure one checkpoint of every variant and backbone, and one 8-bit file where there are some.

    Each is of the first run in the order given: of the first seed at the largest fraction.

    Args:
        out: folder of the comparison.
        runs: finished runs.
        latency: measure latencies now; otherwise those measured last are taken, if they are of the same networks.
        reference: variant whose float file on the same backbone has the ratio 1; None for no ratios.

    Returns:
        (variant, backbone) -> what `measure.cost` counts, `latency` and `int8_latency`, each `{"ms", "ratio"}` or None.
    """
    whole, small = _first(runs), _first([run for run in runs if run.int8 is not None])
    names = {key: f"{key[0]}/{safe(key[1])}" for key in whole}
    chosen = {names[key]: run for key, run in whole.items()}
    chosen |= {names[key] + IN_8_BITS: run for key, run in small.items()}
    if latency:
        checkpoints = {names[key]: out / RUNS / run.name / "last" for key, run in whole.items()}
        files = {names[key] + IN_8_BITS: out / RUNS / run.name / INT8_FILE for key, run in small.items()}
        times = measure.latencies(checkpoints, files)
        models = {name: run.settings["model"] for name, run in chosen.items()}
        write_json(out / LATENCY, {name: {"rounds": ms, "model": models[name]} for name, ms in times.items()})
    stored = read_json(out / LATENCY) or {}
    current = {name: stored[name] for name, run in chosen.items() if _fits(stored.get(name), run)}
    base = {name: names.get((reference or "", run.backbone), "") for name, run in chosen.items()}
    found = _summaries(current, base, reference)
    return {
        key: {
            **measure.cost(out / RUNS / run.name / "last"),
            "latency": found.get(names[key]),
            "int8_latency": found.get(names[key] + IN_8_BITS),
        }
        for key, run in whole.items()
    }


def _first(runs: Sequence[Done]) -> dict[tuple[str, str], Done]:
    found: dict[tuple[str, str], Done] = {}
    for run in runs:
        found.setdefault((run.variant, run.backbone), run)
    return found


def _fits(entry: Any, run: Done) -> bool:
    """Say whether a stored latency is of a network with the same settings."""
    return isinstance(entry, dict) and entry.get("model") == run.settings["model"]


def _summaries(
    stored: Mapping[str, dict[str, Any]], base: Mapping[str, str], reference: str | None
) -> dict[str, dict[str, float | None]]:
    """Return name -> median and ratio; files of an earlier version hold both, the ratio to the baseline."""
    found = measure.summarise({name: entry["rounds"] for name, entry in stored.items() if "rounds" in entry}, base)
    for name, entry in stored.items():
        if "rounds" not in entry and "ms" in entry:
            found[name] = {"ms": entry["ms"], "ratio": entry.get("ratio") if reference == BASELINE else None}
    return found
