"""Trainings in processes of their own that can be killed: forked from a server that has imported everything once."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

SAME = tuple(f"{name}/{file}" for name in ("best", "last") for file in ("model.safetensors", "config.json"))
"""Files of a run folder that must not depend on whether the run was killed; `metrics.csv` is one more."""


def start(settings: dict[str, Any], out: Path, die_at: tuple[str, int] | None = None) -> BaseProcess:
    """Start a run, or go on with the one that was killed in `out`.

    Args:
        settings: of the run.
        out: its folder.
        die_at: (name, n) of `moments`: the process kills itself with SIGKILL right before the n-th such call (from 1).
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bridgeseg.training.fit"])
    process = context.Process(target=_train, args=(settings, str(out), die_at))
    process.start()
    return process


def differing(first: Path, second: Path) -> list[str]:
    """Return the files in which two finished run folders differ: byte by byte, descriptions but for the commit."""
    names = [name for name in (*SAME, "metrics.csv") if (first / name).exists() or (second / name).exists()]
    return [name for name in names if _content(first / name) != _content(second / name)]


def _content(path: Path) -> Any:
    if not path.is_file():
        return None
    if path.suffix == ".json":
        description = json.loads(path.read_text())
        del description["provenance"]["commit"]  # of the sources, which may move on between two runs
        return description
    return path.read_bytes()


def _train(settings: dict[str, Any], out: str, die_at: tuple[str, int] | None) -> None:
    import torch

    from bridgeseg.api import train
    from bridgeseg.errors import BridgeSegError
    from bridgeseg.training import fit

    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of loading processes: as in a run of its own
    fit.write_images = lambda *_: None  # they take longer than the rest of a tiny run
    if die_at is not None:
        _lay_trap(*die_at)
    begun = (Path(out) / "train.json").is_file()
    try:
        train(out=out, resume=begun, quiet=True, **({} if begun else settings))
    except BridgeSegError as error:
        print(f"error: {error}", file=sys.stderr)
        os._exit(2)


def _lay_trap(name: str, count: int) -> None:
    """Kill this process right before the `count`-th call of something that writes."""
    place, attribute = _moments()[name]
    real, left = getattr(place, attribute), [count]

    def call(*args: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            if name == "half a state":
                Path(args[1]).write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)

    setattr(place, attribute, call)


def _moments() -> dict[str, tuple[Any, str]]:
    from bridgeseg import checkpoint
    from bridgeseg.training import fit, folder
    from bridgeseg.training.module import TrainModule

    return {
        "a step": (TrainModule, "training_step"),
        "a validated image": (TrainModule, "validation_step"),
        "weights": (checkpoint, "save_file"),
        "a card": (checkpoint, "model_card"),
        "moving a checkpoint": (Path, "rename"),
        "clearing a checkpoint": (checkpoint.shutil, "rmtree"),
        "half a state": (folder.torch, "save"),
        "moving a file": (Path, "replace"),
        "pictures": (fit, "write_images"),
    }
