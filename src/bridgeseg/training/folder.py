"""The run folder: what it holds, who may write into it, and what a stopped run left there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from bridgeseg.errors import DataError, InputError, ModelFileError
from bridgeseg.locking import lock
from bridgeseg.settings.train import TrainConfig

RESUME, SETTINGS, ENVIRONMENT, TABLE = "resume.ckpt", "train.json", "environment.json", "metrics.csv"
RUNNING = ".running"
"""Held while a training writes into the folder."""
OURS = (RESUME, SETTINGS, TABLE, "best", "last")


@contextmanager
def claim(out: Path, resume: bool) -> Iterator[None]:
    """Make the run folder and hold it; refuse one that holds a run, unless it is to be resumed.

    Raises:
        InputError: it is a file, cannot be written, holds a run, holds none to resume, or is being trained in.
    """
    if out.exists() and not out.is_dir():
        raise InputError("is a file, not a run folder", where=out, fix="choose another --out")
    refuse_nothing(out, resume)
    with lock(out, name=RUNNING):
        if not resume and any((out / name).exists() for name in OURS):
            raise InputError("holds a run already", where=out, fix="choose another --out, or continue it with --resume")
        yield


def refuse_nothing(out: Path, resume: bool) -> None:
    """Refuse to resume where there is no run.

    Raises:
        InputError: there is none.
    """
    if resume and not (out / SETTINGS).exists():
        raise InputError("holds no run to resume", where=out, fix="start it without --resume, or correct --out")


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
        temporary = out / f"{name}.tmp"
        try:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            temporary.replace(out / name)
        except OSError as error:
            fix = "free some space or choose another --out"
            raise InputError(f"cannot be written ({error.strerror})", where=out / name, fix=fix) from error


def check_same_data(out: Path, digest: str) -> None:
    """Refuse to continue a run on a data.yaml that is no longer the one it was started with.

    Raises:
        DataError: its SHA-256 is another.
    """
    try:
        started = json.loads((out / ENVIRONMENT).read_text(encoding="utf-8"))["data"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # lost or from elsewhere: nothing to compare with
    if started != digest:
        raise DataError(
            "the data.yaml has changed since this run was started",
            where=out,
            fix="undo the change, or train anew with another --out",
        )


def read_state(out: Path) -> dict[str, Any] | None:
    """Return what `resume.ckpt` holds, without executing code; None if no epoch was finished.

    Keys of interest: `epoch` (index of the last finished one), `state_dict` (the weights that count: averaged ones, if
    weights are averaged), `callbacks`.

    Raises:
        ModelFileError: it is damaged, or it is gone although the run is finished.
    """
    path = out / RESUME
    if not path.is_file():
        if (out / "last").is_dir():
            raise ModelFileError(
                "is gone, so this finished run cannot be continued",
                where=path,
                fix="its results are in best/ and last/; train anew with another --out",
            )
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        kinds = {"epoch": int, "state_dict": dict, "callbacks": dict}
        if not isinstance(state, dict) or not all(isinstance(state.get(key), kind) for key, kind in kinds.items()):
            raise ValueError("keys are missing")
    except Exception as error:  # pickle, zip and torch each have errors of their own
        raise ModelFileError(
            f"is damaged ({type(error).__name__}), so the run cannot be continued",
            where=path,
            fix="train anew with another --out; a checkpoint in best/ can still be used",
        ) from error
    return dict(state)


class SafeCheckpointIO(TorchCheckpointIO):
    """Stores Lightning's checkpoint beside the old one first: a killed process or a full disk leaves a complete one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`, whole or not at all.

        Raises:
            ModelFileError: the disk is full or the folder cannot be written.
        """
        temporary = Path(f"{path}.tmp")
        try:
            torch.save(checkpoint, temporary)
            temporary.replace(path)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError when the disk is full
            raise ModelFileError(
                f"cannot be written ({str(error).splitlines()[0][:200]}); the one of the epoch before was kept",
                where=path,
                fix="free some space, then continue with --resume",
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
