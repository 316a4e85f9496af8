"""One call: plan the runs, make those that are missing, and report on all that is finished."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from bridgeseg import __version__
from bridgeseg.comparing import measure
from bridgeseg.comparing.costs import costs
from bridgeseg.comparing.grid import Plan, Run, Settings, make_plan, with_lengths
from bridgeseg.comparing.page import make_page
from bridgeseg.comparing.plots import save_plots
from bridgeseg.comparing.results import environments, in_order, make_cells, read_run
from bridgeseg.comparing.runner import Failed, run_all
from bridgeseg.comparing.state import (
    FINISHED,
    MEMORY,
    NEW,
    RUNS,
    check_unchanged,
    finished,
    read_json,
    status,
    threads_of,
    write_json,
)
from bridgeseg.comparing.tables import main_table, note, tradeoff_table
from bridgeseg.comparing.tradeoff import as_csv, tradeoff
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, InputError, nearest
from bridgeseg.files import remove, write
from bridgeseg.locking import lock
from bridgeseg.models.backbone import refuse_unknown_backbone
from bridgeseg.report.figures import require_matplotlib
from bridgeseg.settings.compare import Compare
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import flatten
from bridgeseg.training.datasets import load_joined
from bridgeseg.training.missing import refuse_missing

RESULTS, TABLE, PAGE, TRADEOFF = "results.json", "results.md", "report.html", "tradeoff.csv"


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


def compare(asked: Compare, settings: Settings) -> Comparison:
    """Train variants x backbones x seeds x fractions into one folder, and report; see `bridgeseg.compare`.

    The number of jobs changes nothing of what comes out; the weights of a run on CPUs depend on its threads in the last
    digits.

    Args:
        asked: the grid, and what is done with it.
        settings: of all runs, with dotted keys.
    """
    out, split = Path(asked.out), asked.split
    require_matplotlib()
    if asked.report_only:
        return Comparison(out, {}, (), _report_beside(out, asked))
    plan = make_plan(asked, settings)
    threads = threads_of(out, asked.threads)
    _check_reference(out, asked.reference, plan.variants)
    spec = _check_data(plan)
    plan = with_lengths(plan, spec)
    check_unchanged(out, plan.runs, spec.digest)
    states = {run.name: status(out, run, split, asked.int8) for run in plan.runs}
    if asked.dry_run:
        return Comparison(out, states, (), None)
    _refuse_missing([run for run in plan.runs if states[run.name] == NEW])
    with lock(out):
        _remember(out, plan, _command(plan, asked, settings), threads)
        todo = [run for run in plan.runs if states[run.name] != FINISHED]
        jobs = min(asked.jobs, max(1, len(todo)))
        failed = run_all(out, todo, split, int8=asked.int8, jobs=jobs, threads=threads, quiet=asked.quiet)
        results = report(out, asked, asked.latency, failed) if finished(out, split)[0] else None
        return Comparison(out, states, tuple(failed), results)


def report(out: Path, asked: Compare, latency: bool, failed: Sequence[Failed] = ()) -> dict[str, Any]:
    """Write `results.json`, `results.md`, `tradeoff.csv`, `report.html` and `plots/`; return the results.

    Args:
        out: folder of the comparison.
        asked: the split, and what scores and times are compared with.
        latency: measure latencies now.
        failed: runs that failed now.

    Raises:
        InputError: no run is finished, or the folder cannot be written.
    """
    split, against = asked.split, asked.against
    done, unfinished = finished(out, split)
    if not done:
        raise InputError(
            f"holds no finished run that is scored on {split!r}",
            where=out,
            fix="train first: bridgeseg compare --data FOLDER/data.yaml --out ...",
        )
    memory = read_json(out / MEMORY) or {}
    runs = in_order([read_run(out, place, split) for place in done], list(memory.get("variants", {})))
    there = {run.variant for run in runs}
    reference = asked.reference or next((name for name in against if name in there), None)
    cells = make_cells(runs, split, against, costs(out, runs, latency, reference), reference)
    rows = tradeoff(cells)
    results: dict[str, Any] = {
        "bridgeseg": __version__,
        "split": split,
        "against": list(against),
        "reference": reference,
        "commands": memory.get("commands", []),
        "variants": memory.get("variants", {}),
        "cells": cells,
        "tradeoff": rows,
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
    text = main_table(cells, split, against).markdown() + f"\n{note(reference)}\n"
    write(out / TABLE, text + ("\n" + tradeoff_table(rows, split).markdown() if rows else ""))
    if rows:
        write(out / TRADEOFF, as_csv(rows))
    else:  # one of an earlier report would no longer fit
        remove(out / TRADEOFF)
    write(out / PAGE, make_page(results, made))
    return results


def _report_beside(out: Path, asked: Compare) -> dict[str, Any]:
    """Report, also while runs are being made; but then measure no latency."""
    if not (out / RUNS).is_dir():
        raise InputError("is no folder of a comparison", where=out, fix="correct `out`")
    _check_reference(out, asked.reference)
    latency = asked.latency
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(out))
        except InputError:
            if latency:
                print(f"{out}: is being worked in, so no latency is measured now", file=sys.stderr)
            latency = False
        return report(out, asked, latency)


def _check_reference(out: Path, name: str | None, planned: Iterable[str] = ()) -> None:
    """Refuse a reference that is neither planned nor in the folder."""
    known = [*planned, *(read_json(out / MEMORY) or {}).get("variants", {})]
    if name is not None and name not in known:
        message = f"no variant {name!r}; {nearest(name, known)}"
        raise ConfigError(message, where="reference", fix="name one of the variants, or leave `reference` out")


def _check_data(plan: Plan) -> DataSpec:
    """Find now, and not after the first training, that a split or a backbone is missing; return the dataset."""
    specs: dict[float, DataSpec] = {}
    for config in _distinct(plan.runs):
        if config.val_share not in specs:
            specs[config.val_share] = DataSpec.load(config.datasets[0], config.val_share)
        for split in dict.fromkeys([*config.train_splits, config.val_split, plan.split]):
            if split is not None:
                specs[config.val_share].samples(split)
        refuse_unknown_backbone(config.model.backbone)
    return next(iter(specs.values()))


def _refuse_missing(runs: Sequence[Run]) -> None:
    """Find now what new runs would have to fetch from a network that is not there."""
    for config in _distinct(runs):
        refuse_missing(config, load_joined(config).classes)


def _distinct(runs: Sequence[Run]) -> list[TrainConfig]:
    """Return the settings of the runs that differ in more than their seed and their share of the labels."""
    changes = {"seed": 0, "fraction": 1.0, "repeat": 1}
    return list({run.config.model_copy(update=changes).model_dump_json(): run.config for run in runs}.values())


def _remember(out: Path, plan: Plan, command: str, threads: int) -> None:
    """Keep the command and the variants' settings; a folder may be filled by several commands."""
    memory = read_json(out / MEMORY) or {}
    commands = [*(known for known in memory.get("commands", []) if known != command), command]
    variants = {**memory.get("variants", {}), **plan.variants}
    write_json(out / MEMORY, {"commands": commands, "variants": variants, "threads": threads})


def _command(plan: Plan, asked: Compare, settings: Settings) -> str:
    """Write the command line that asks for this plan."""
    words = ["bridgeseg", "compare"]
    words += [] if asked.data is None else ["--data", plan.runs[0].config.datasets[0]]
    words += ["--out", str(asked.out)]
    words += [] if asked.config is None else ["--config", str(asked.config)]
    methods = [name for name, changes in plan.variants.items() if changes == {"model.method": name}]
    words += ["--methods", ",".join(methods)] if methods else []
    for name, changes in plan.variants.items():
        if name not in methods:
            words += ["--variant", f"{name}: {' '.join(shlex.quote(f'{k}={_value(v)}') for k, v in changes.items())}"]
    words += (
        [] if asked.backbones is None else ["--backbones", ",".join(dict.fromkeys(run.backbone for run in plan.runs))]
    )
    words += ["--seeds", ",".join(dict.fromkeys(str(run.seed) for run in plan.runs))]
    words += ["--fractions", ",".join(dict.fromkeys(f"{run.fraction:g}" for run in plan.runs))]
    words += ["--split", plan.split, *(["--int8"] if asked.int8 else [])]
    for key, value in flatten(settings).items():
        words += ["--set", f"{key}={_value(value)}"]
    return shlex.join(words)


def _value(value: Any) -> str:
    """Write a setting so that `--set` reads the same."""
    if isinstance(value, str) and yaml.safe_load(value or "null") == value:
        return value
    return json.dumps(list(value) if isinstance(value, tuple) else value)
