"""Trainings that any number of processes must make alike: batch norms keep the statistics that they are given first.

Started in every process as `python steady_runs.py FILE`, where FILE is JSON: folder of a run -> its settings. Each run
folder gets `steps-RANK.json`: of every step the loss, the length of the gradient before it is cut, and of every sample
its place and the digest of its pixels; a refused run gets `NAME-error-RANK.txt` beside its folder.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from bridgeseg.api import train
from bridgeseg.errors import BridgeSegError
from bridgeseg.training import fit
from tiny_networks import noise, settle


class Notes(pl.Callback):
    """Keeps batch norms in evaluation mode and notes what every step saw."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.gradient = 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        for module in pl_module.modules():
            if isinstance(module, _BatchNorm):
                module.eval()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        found = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        self.gradient = float(torch.nn.utils.get_total_norm(found))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        seen = [
            [place, hashlib.blake2b(image.numpy().tobytes() + mask.numpy().tobytes()).hexdigest()]
            for image, mask, place in zip(batch[0], batch[1], batch[2].tolist(), strict=True)
        ]
        labelled = int((batch[1] != 255).sum())
        loss = float(outputs["loss"])
        self.steps.append({"loss": loss, "gradient": self.gradient, "seen": seen, "labelled": labelled})


def run(out: Path, settings: dict[str, Any]) -> None:
    """Train, and write the notes."""
    notes, rank = Notes(), fit.rank_zero_only.rank
    network, trainer = fit.make_network, fit.make_trainer

    def settled(*args: Any) -> Any:
        segmentor, prompts = network(*args)
        settle(segmentor, noise(8, 3, 64, 64))
        return segmentor.train(), prompts

    def noting(*args: Any, **options: Any) -> pl.Trainer:
        made = trainer(*args, **options)
        made.callbacks.append(notes)  # type: ignore[attr-defined]
        return made

    fit.make_network, fit.make_trainer, fit.write_images = settled, noting, lambda *_: None
    try:
        assert train(out=out, quiet=True, **settings).first is (rank == 0)
    except BridgeSegError as error:  # beside the folder: the process that made it takes it away again
        out.with_name(f"{out.name}-error-{rank}.txt").write_text(str(error))
        return
    finally:
        fit.make_network, fit.make_trainer = network, trainer
    (out / f"steps-{rank}.json").write_text(json.dumps(notes.steps))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for place, chosen in json.loads(Path(sys.argv[1]).read_text()).items():
        run(Path(place), chosen)
