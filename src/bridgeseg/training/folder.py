"""The run folder: what it holds, who may write into it, and what a stopped run left there."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from bridgeseg.errors import InputError, ModelFileError
from bridgeseg.files import sweep, write
from bridgeseg.locking import lock
from bridgeseg.settings.train import TrainConfig

RESUME, SETTINGS, ENVIRONMENT, TABLE, LOGS = "resume.ckpt", "train.json", "environment.json", "metrics.csv", "logs"
ORIGIN = "init"
"""A copy of the network that a run goes on from, where it teaches: the run needs it to the end."""
RUNNING = ".running"
"""Held while a training writes into the folder."""
OURS = (RESUME, SETTINGS, TABLE, "best", "last")
FULL = "free some space, then continue with `resume=True`"


@contextmanager
def claim(out: Path, resume: bool) -> Iterator[None]:
    """Make the run folder and hold it; refuse one that holds a run, unless it is to be resumed.

    A folder that was made here and is empty in the end is removed.

    Raises:
        InputError: it is a file, cannot be written, holds a run, holds none to resume, or is being trained in; or a
            link in it leads elsewhere.
    """
    refuse(out, resume)
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        with lock(out, name=RUNNING):
            if not resume and any((out / name).exists() for name in OURS):
                fix = "choose another `out`, or continue it with `resume=True`"
                raise InputError("holds a run already", where=out, fix=fix)
            if (out / LOGS).is_symlink():  # TensorBoard would write through it
                raise InputError("is a link that leads out of the run folder", where=out / LOGS, fix="remove the link")
            sweep(out, age_s=0)
            yield
    finally:
        with suppress(OSError):  # one that holds something stays
            for folder in missing:
                folder.rmdir()


def refuse(out: Path, resume: bool) -> None:
    """Refuse what can be no run folder, and to resume where there is no run.

    Raises:
        InputError: it is a file, or there is none to resume.
    """
    if out.exists() and not out.is_dir():
        raise InputError("is a file, not a run folder", where=out, fix="choose another `out`")
    if resume and not (out / SETTINGS).exists():
        raise InputError("holds no run to resume", where=out, fix="start it without `resume`, or correct `out`")


def epochs_saved(out: Path) -> int:
    """Return how many epochs a run can go on after; 0 if there is nothing to go on from."""
    try:
        state = read_state(out)
    except ModelFileError:
        return 0
    return 0 if state is None else int(state["epoch"]) + 1


def describe(out: Path, config: TrainConfig, environment: dict[str, Any]) -> None:
    """Write the settings and the environment of a new run.

    Raises:
        InputError: the folder cannot be written.
    """
    for name, content in ((ENVIRONMENT, environment), (SETTINGS, config.model_dump(mode="json"))):
        write(out / name, json.dumps(content, indent=2) + "\n", fix="free some space or choose another `out`")


def read_state(out: Path) -> dict[str, Any] | None:
    """Return what `resume.ckpt` holds, without executing code; None if no epoch was finished.

    Keys of interest: `epoch` (index of the last finished one), `state_dict` (the weights that count: averaged ones, if
    weights are averaged), `callbacks`.

    Raises:
        ModelFileError: it is damaged (its checksums do not fit), or it is gone although the run is finished.
    """
    path = out / RESUME
    if not path.is_file():
        if (out / "last").is_dir():
            raise ModelFileError(
                "is gone, so this finished run cannot be continued",
                where=path,
                fix="its results are in best/ and last/; start a new run with another `out`",
            )
        return None
    try:
        with zipfile.ZipFile(path) as archive:  # PyTorch itself does not compare the checksums
            if (part := archive.testzip()) is not None:
                raise ValueError(f"checksum of {part}")
        state = torch.load(path, map_location="cpu", weights_only=True)
        kinds = {"epoch": int, "state_dict": dict, "callbacks": dict}
        if not isinstance(state, dict) or not all(isinstance(state.get(key), kind) for key, kind in kinds.items()):
            raise ValueError("keys are missing")
    except Exception as error:  # pickle, zip and torch each have errors of their own
        raise ModelFileError(
            f"is damaged ({type(error).__name__}), so the run cannot be continued",
            where=path,
            fix="start a new run with another `out`; a checkpoint in best/ can still be used",
        ) from error
    return dict(state)
