"""One run of a comparison in a process of its own: train, then score the last weights, in 8 bits too if asked for.

Started as `python -m bridgeseg.comparing.work SETTINGS FOLDER SPLIT [int8]`; ends as soon as its starter does.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_only

from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.comparing.starter import end_with_starter
from bridgeseg.comparing.state import (
    CLOCK,
    INT8,
    INT8_FILE,
    SCORES,
    can_go_on,
    clear,
    int8_of,
    read_json,
    scores_of,
    write_json,
)
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import BridgeSegError, InputError
from bridgeseg.evaluating.evaluate import evaluate_split
from bridgeseg.exporting.int8 import export_int8
from bridgeseg.locking import lock
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.torch_runtime import TorchRuntime
from bridgeseg.settings.train import Train, TrainConfig
from bridgeseg.training import folder
from bridgeseg.training.start import train

PATIENCE = 60.0
"""Seconds to wait for the process of a killed comparison to leave the run's folder."""


def work(settings: Path, place: Path, split: str, int8: bool = False) -> None:
    """Bring a run from wherever it stands to its `scores.json`, and to its `int8.json` if that is wanted.

    Args:
        settings: file of a `TrainConfig`.
        place: the run folder; a run in it is continued; one that cannot be continued starts over.
        split: scored besides the validation split.
        int8: score the last weights in 8 bits too, on `split` alone.

    Raises:
        InputError: as `train`, or another process works on this run.
        ModelFileError: the network cannot be exported in 8 bits.
    """
    config = TrainConfig.load(settings)
    if getattr(rank_zero_only, "rank", 0):  # a process for a further device takes part in the training alone
        _train(config, place)
        return
    with lock(place, PATIENCE):
        if scores_of(place, split) is None:
            _finish(config, place, split)
        if int8 and int8_of(place, split) is None:
            _score_in_8_bits(config, place, split)


def _finish(config: TrainConfig, place: Path, split: str) -> None:
    if not can_go_on(place):
        clear(place)
    done = folder.epochs_saved(place)
    start = time.perf_counter()
    _train(config, place)
    if done < config.whole:
        # Of an interrupted run the part that was made in one go stands for the whole.
        seconds = (time.perf_counter() - start) * config.whole / (config.whole - done)
        write_json(place / CLOCK, {"seconds": round(seconds, 1), "measured_epochs": config.whole - done})
    clock = read_json(place / CLOCK) or {}
    scores = score(place, config, split)
    write_json(place / SCORES, {**scores, "seconds": clock.get("seconds"), "epochs": config.epochs})


def _train(config: TrainConfig, place: Path) -> None:
    if can_go_on(place):
        train(Train(out=place, resume=True, quiet=True), {})
    else:
        train(Train(config=config, out=place, quiet=True), {})


def score(place: Path, config: TrainConfig, split: str) -> dict[str, object]:
    """Score the last weights of a run: split name -> scores; those on the validation split are the training's own."""
    spec = DataSpec.load(config.datasets[0], config.val_share)
    checkpoint = load_checkpoint(place / "last")
    validated = dict(checkpoint.provenance.get("scores") or {})
    result: dict[str, object] = {}
    if validated and validated.pop("split") == config.val_split and config.val_split is not None:
        result[config.val_split] = validated
    if split not in result:
        gpu = torch.cuda.is_available() and config.accelerator != "cpu"
        runtime = TorchRuntime(checkpoint.segmentor, "cuda" if gpu else "cpu")
        model = Model(runtime, checkpoint.classes, {})
        result[split] = evaluate_split(model, spec.samples(split), spec, progress=False).to_dict()
    return result


def _score_in_8_bits(config: TrainConfig, place: Path, split: str) -> None:
    """Write the last weights as an 8-bit file, calibrated on training images, and what it scores in ONNX Runtime."""
    known, path = read_json(place / INT8), place / INT8_FILE
    if known is None or not path.is_file():
        known = export_int8({"model": place / "last", "out": path}, report=False)
    spec = DataSpec.load(config.datasets[0], config.val_share)
    model = Model.load(path, threads=torch.get_num_threads())
    scores = evaluate_split(model, spec.samples(split), spec, progress=False)
    write_json(place / INT8, {**known, split: scores.to_dict()})


def main(words: list[str]) -> int:
    """Run from the command line; return 0, 2 for what a user can mend, 1 for all else (with a traceback)."""
    end_with_starter()
    settings, place, split, *more = words
    try:
        work(Path(settings), Path(place), split, int8=more == ["int8"])
    except BridgeSegError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2 if isinstance(error, InputError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
