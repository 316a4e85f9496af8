"""The folder of a comparison: where things are, what is finished, and what can go on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bridgeseg.comparing.grid import Run
from bridgeseg.errors import ConfigError
from bridgeseg.extend import METHODS
from bridgeseg.files import remove, write
from bridgeseg.hardware import usable_cores
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import differences
from bridgeseg.training import folder
from bridgeseg.training.contents import CONTENTS
from bridgeseg.training.progress import LOG
from bridgeseg.training.resolve import resolve
from bridgeseg.training.resuming import MACHINE

RUNS, LOGS, CONFIGS, SCORES, CLOCK = "runs", "logs", "configs", "scores.json", "clock.json"
INT8, INT8_FILE = "int8.json", "last-int8.onnx"
"""What a run folder holds of its last weights in 8 bits: the scores, and the file that they are of."""
MEMORY = "compare.json"
MOST_THREADS = 4
"""Threads of a run by default, at most: small networks gain little from more."""
TEXT = {"text_encoder", "templates"}
"""Settings that a network without language does not use."""
FINISHED, UNFINISHED, NEW = "finished", "to be continued", "new"


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all, and the folder before it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None where there is none or it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def scores_of(run_folder: Path, split: str) -> dict[str, Any] | None:
    """Return what a finished run scored; None if it is not finished or was not scored on `split`."""
    return _scored(run_folder / SCORES, split)


def int8_of(run_folder: Path, split: str) -> dict[str, Any] | None:
    """Return what a run scored in 8 bits; None if that was not done on `split`, or its file is gone."""
    return _scored(run_folder / INT8, split) if (run_folder / INT8_FILE).is_file() else None


def is_finished(run_folder: Path, split: str, int8: bool = False) -> bool:
    """Say whether a run is scored on `split`, also in 8 bits if these are wanted."""
    return scores_of(run_folder, split) is not None and (not int8 or int8_of(run_folder, split) is not None)


def _scored(path: Path, split: str) -> dict[str, Any] | None:
    found = read_json(path)
    good = found is not None and isinstance(found.get(split), dict) and isinstance(found[split].get("iou"), dict)
    return found if good else None


def status(out: Path, run: Run, split: str, int8: bool = False) -> str:
    """Say whether a run is finished, also in 8 bits if these are wanted, can be continued, or has to be started."""
    place = out / RUNS / run.name
    if is_finished(place, split, int8):
        return FINISHED
    return UNFINISHED if can_go_on(place) or scores_of(place, split) is not None else NEW


def can_go_on(run_folder: Path) -> bool:
    """Say whether a run folder holds what a run is continued from."""
    return all((run_folder / name).is_file() for name in (folder.SETTINGS, folder.RESUME))


def changed_settings(out: Path, run: Run, digest: str) -> list[str]:
    """List the settings in which what is in the run's folder differs from what is wanted, as `key: there -> wanted`.

    Settings of the machine do not count, those of the text encoder only for networks with language. `digest` is that of
    the data.yaml.
    """
    path = out / RUNS / run.name / folder.SETTINGS
    if not path.is_file():
        return []
    ignored = MACHINE | (set() if METHODS.get(run.config.model.method).needs_text else TEXT)
    found = differences(resolve(TrainConfig.load(path)), run.config)
    changed = [text for text in found if text.partition(":")[0] not in ignored]
    data = (read_json(path.with_name(folder.ENVIRONMENT)) or {}).get("data")
    if isinstance(data, dict) and data.get("sha256") not in (None, digest):
        changed.append("the content of the data.yaml")
    return changed


def check_unchanged(out: Path, runs: tuple[Run, ...], digest: str) -> None:
    """Refuse a comparison whose folder holds runs of other settings.

    Raises:
        ConfigError: there are such runs; the text shows the first and its differences.
    """
    changed = [(run.name, found) for run in runs if (found := changed_settings(out, run, digest))]
    if changed:
        name, found = changed[0]
        more = f" (and {len(changed) - 1} more runs)" if len(changed) > 1 else ""
        raise ConfigError(
            f"was made with other settings than are asked for now: {'; '.join(found)}{more}",
            where=out / RUNS / name,
            fix="choose another `out`, give the variant another name, or delete the folders of these runs",
        )


def threads_of(out: Path, wanted: int | None = None) -> int:
    """Return how many threads each run of a comparison has, whatever the number of jobs.

    Args:
        out: folder of the comparison; runs that are there decide.
        wanted: by the user; None for the default: a thread for each core, at most `MOST_THREADS` and OMP_NUM_THREADS.

    Raises:
        ConfigError: runs in the folder were made with another number.
    """
    known = (read_json(out / MEMORY) or {}).get("threads")
    if wanted is not None and known not in (None, wanted):
        raise ConfigError(
            f"the runs there were made with {known} threads, found `threads={wanted}`",
            where=out,
            fix="leave `threads` out, or choose another `out`",
        )
    given = os.environ.get("OMP_NUM_THREADS", "")
    most = min(MOST_THREADS, int(given)) if given.isdigit() and int(given) > 0 else MOST_THREADS
    return int(wanted or known or min(usable_cores(), most))


def clear(run_folder: Path) -> None:
    """Delete what a run that cannot go on left in its folder, and nothing else."""
    ours = [*folder.OURS, folder.ENVIRONMENT, folder.LOGS, CONTENTS, LOG, SCORES, CLOCK, INT8, INT8_FILE]
    ours += ["best.old", "best.new", "last.old", "last.new"]
    for name in ours:
        remove(run_folder / name)


def finished(out: Path, split: str) -> tuple[list[Path], list[Path]]:
    """Return the run folders that are scored on `split`, and those that are not, in the order of their names."""
    places = sorted(path.parent for path in (out / RUNS).glob(f"*/*/f*/s*/{folder.SETTINGS}"))
    done = [place for place in places if scores_of(place, split) is not None]
    return done, [place for place in places if place not in done]
