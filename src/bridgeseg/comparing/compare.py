"""One call: plan the runs, make those that are missing, and report on all that is finished."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from bridgeseg import __version__
from bridgeseg.comparing import measure
from bridgeseg.comparing.grid import Plan, Settings, make_plan, safe
from bridgeseg.comparing.page import make_page
from bridgeseg.comparing.plots import save_plots
from bridgeseg.comparing.results import Done, environments, in_order, make_cells, read_run
from bridgeseg.comparing.runner import Failed, run_all
from bridgeseg.comparing.state import (
    FINISHED,
    MEMORY,
    RUNS,
    check_unchanged,
    finished,
    read_json,
    status,
    threads_of,
    write_json,
)
from bridgeseg.comparing.tables import NOTE, main_table
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, InputError
from bridgeseg.extend import BASELINE, REFERENCES
from bridgeseg.files import write
from bridgeseg.locking import lock
from bridgeseg.report.figures import require_matplotlib
from bridgeseg.settings.values import flatten

LATENCY, RESULTS, TABLE, PAGE = "latency.json", "results.json", "results.md", "report.html"


@dataclass(frozen=True)
class Comparison:
    """What came of a comparison.

    Attributes:
        folder: where it is.
        runs: name of every run that was asked for -> `finished`, `to be continued` or `new`, before anything was done.
        failed: runs that failed now.
        results: what `results.json` holds; None after a dry run.
    """

    folder: Path
    runs: dict[str, str]
    failed: tuple[Failed, ...]
    results: dict[str, Any] | None


def compare(
    data: str | Path | None = None,
    out: str | Path = "runs/compare",
    *,
    methods: Iterable[str] | None = None,
    variants: Mapping[str, Settings] | None = None,
    backbones: Iterable[str] | None = None,
    seeds: Iterable[int] = (0, 1, 2),
    fractions: Iterable[float] = (1.0,),
    config: str | Path | None = None,
    split: str = "test",
    against: Sequence[str] = REFERENCES,
    jobs: int = 1,
    threads: int | None = None,
    latency: bool = True,
    dry_run: bool = False,
    report_only: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Comparison:
    """Train variants x backbones x seeds x fractions into one folder, and report on all that is finished there.

    Runs that are finished are left alone, and runs that were stopped go on, so the same call continues a comparison.

    Args:
        data: path of the data.yaml.
        out: folder of the comparison; runs of other calls in it are reported too.
        methods, variants, backbones, seeds, fractions, config, split: see `grid.make_plan`.
        against: variants that paired differences are taken to, where they are there.
        jobs: runs at a time; they change nothing of what comes out.
        threads: of each run; by default as many as for the runs in the folder, else one per core and at most
            `MOST_THREADS`. The weights of a run on CPUs depend on them in the last digits.
        latency: measure the latency of the exported networks once nothing else runs; else the one measured last is
            reported.
        dry_run: say what would be done, and do nothing.
        report_only: report on what is finished, and train nothing; the grid is not needed.
        quiet: no progress.
        settings: of all runs, keys as in `bridgeseg.train`.

    Raises:
        InputError: something named is unknown or named twice, the folder holds runs of other settings or is in use,
            there is nothing to report, or it was stopped. Runs that fail do not raise: see `Comparison.failed`.
    """
    out = Path(out)
    if jobs < 1:
        raise ConfigError(f"at least one job is needed, found {jobs}", where="jobs", fix="`jobs=1`")
    require_matplotlib()
    if report_only:
        return Comparison(out, {}, (), _report_beside(out, split, against, latency))
    backbones = None if backbones is None else list(backbones)
    plan = make_plan(
        data, methods=methods, variants=variants, backbones=backbones, seeds=seeds, fractions=fractions,
        settings=settings, config=config, split=split,
    )  # fmt: skip
    threads = threads_of(out, threads)
    check_unchanged(out, plan.runs, _check_data(plan).digest)
    states = {run.name: status(out, run, split) for run in plan.runs}
    if dry_run:
        return Comparison(out, states, (), None)
    with lock(out):
        command = _command(plan, data, out, backbones, config, settings)
        _remember(out, plan, command, threads)
        todo = [run for run in plan.runs if states[run.name] != FINISHED]
        failed = run_all(out, todo, split, jobs=min(jobs, max(1, len(todo))), threads=threads, quiet=quiet)
        results = report(out, split, against, latency, failed) if finished(out, split)[0] else None
        return Comparison(out, states, tuple(failed), results)


def report(
    out: Path, split: str, against: Sequence[str] = REFERENCES, latency: bool = True, failed: Sequence[Failed] = ()
) -> dict[str, Any]:
    """Write `results.json`, `results.md`, `report.html` and `plots/` from the run folders; return the results.

    Raises:
        InputError: no run is finished, or the folder cannot be written.
    """
    done, unfinished = finished(out, split)
    if not done:
        raise InputError(
            f"holds no finished run that is scored on {split!r}",
            where=out,
            fix="train first: bridgeseg compare --data FOLDER/data.yaml --out ...",
        )
    memory = read_json(out / MEMORY) or {}
    runs = in_order([read_run(out, place, split) for place in done], list(memory.get("variants", {})))
    cells = make_cells(runs, split, against, _costs(out, runs, latency))
    results: dict[str, Any] = {
        "bridgeseg": __version__,
        "split": split,
        "against": list(against),
        "commands": memory.get("commands", []),
        "variants": memory.get("variants", {}),
        "cells": cells,
        "runs": [{key: value for key, value in asdict(run).items() if key != "environment"} for run in runs],
        "unfinished": [place.relative_to(out / RUNS).as_posix() for place in unfinished],
        "failed": [item.name for item in failed],
        "environments": environments(runs),
        "machine": measure.machine(),
    }
    plots = out / "plots"
    plots.mkdir(exist_ok=True)
    made = save_plots(plots, cells, results["runs"], split)
    write_json(out / RESULTS, results)
    text = main_table(cells, split, against).markdown() + f"\n{NOTE}\n"
    write(out / TABLE, text)
    write(out / PAGE, make_page(results, made))
    return results


def _report_beside(out: Path, split: str, against: Sequence[str], latency: bool) -> dict[str, Any]:
    """Report, also while runs are being made; but then measure no latency."""
    if not (out / RUNS).is_dir():
        raise InputError("is no folder of a comparison", where=out, fix="correct `out`")
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(out))
        except InputError:
            if latency:
                print(f"{out}: is being worked in, so no latency is measured now", file=sys.stderr)
            latency = False
        return report(out, split, against, latency)


def _check_data(plan: Plan) -> DataSpec:
    """Find now, and not after the first training, that a split is missing; return the dataset."""
    config = plan.runs[0].config
    spec = DataSpec.load(config.data, config.val_share)
    for split in dict.fromkeys([*config.train_splits, config.val_split, plan.split]):
        if split is not None:
            spec.samples(split)
    return spec


def _costs(out: Path, runs: Sequence[Done], latency: bool) -> dict[tuple[str, str], dict[str, Any]]:
    """Measure one checkpoint of every variant and backbone: the first seed at the largest fraction."""
    chosen: dict[tuple[str, str], Done] = {}
    for run in runs:
        chosen.setdefault((run.variant, run.backbone), run)
    places = {key: out / RUNS / run.name / "last" for key, run in chosen.items()}
    stored: dict[str, Any] = read_json(out / LATENCY) or {}
    names = {key: f"{key[0]}/{safe(key[1])}" for key in chosen}
    if latency:
        times = measure.latencies({names[key]: place for key, place in places.items()})
        ratios = measure.summarise(times, {name: names.get((BASELINE, key[1]), "") for key, name in names.items()})
        models = {names[key]: run.settings["model"] for key, run in chosen.items()}
        stored = {name: {**found, "model": models[name]} for name, found in ratios.items()}
        write_json(out / LATENCY, stored)
    costs = {}
    for key, place in places.items():
        found = stored.get(names[key], {})
        current = found.get("model") == chosen[key].settings["model"]
        latencies = {"latency": {"ms": found["ms"], "ratio": found["ratio"]}} if current else {"latency": None}
        costs[key] = {**measure.cost(place), **latencies}
    return costs


def _remember(out: Path, plan: Plan, command: str, threads: int) -> None:
    """Keep the command and the variants' settings; a folder may be filled by several commands."""
    memory = read_json(out / MEMORY) or {}
    commands = [*(known for known in memory.get("commands", []) if known != command), command]
    variants = {**memory.get("variants", {}), **plan.variants}
    write_json(out / MEMORY, {"commands": commands, "variants": variants, "threads": threads})


def _command(
    plan: Plan,
    data: str | Path | None,
    out: Path,
    backbones: Sequence[str] | None,
    config: str | Path | None,
    settings: Settings,
) -> str:
    """Write the command line that asks for this plan."""
    words = ["bridgeseg", "compare"]
    words += [] if data is None else ["--data", str(data)]
    words += ["--out", str(out)]
    words += [] if config is None else ["--config", str(config)]
    methods = [name for name, changes in plan.variants.items() if changes == {"model.method": name}]
    words += ["--methods", ",".join(methods)] if methods else []
    for name, changes in plan.variants.items():
        if name not in methods:
            words += ["--variant", f"{name}: {' '.join(shlex.quote(f'{k}={_value(v)}') for k, v in changes.items())}"]
    words += [] if backbones is None else ["--backbones", ",".join(backbones)]
    words += ["--seeds", ",".join(dict.fromkeys(str(run.seed) for run in plan.runs))]
    words += ["--fractions", ",".join(dict.fromkeys(f"{run.fraction:g}" for run in plan.runs))]
    words += ["--split", plan.split]
    for key, value in flatten(settings).items():
        words += ["--set", f"{key}={_value(value)}"]
    return shlex.join(words)


def _value(value: Any) -> str:
    """Write a setting so that `--set` reads the same."""
    if isinstance(value, str) and yaml.safe_load(value or "null") == value:
        return value
    return json.dumps(list(value) if isinstance(value, tuple) else value)
