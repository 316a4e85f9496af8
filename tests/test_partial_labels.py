"""Labels that leave names out: what is scored, what the losses take part of, what classes weigh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from bridgeseg.data.joining import Joined, join
from bridgeseg.data.spec import DataSpec
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.building import make_task
from bridgeseg.training.task import Task

Make = Callable[..., Path]
FIRST = torch.zeros(1, dtype=torch.int64)
"""The place of a batch of the first image alone."""


@pytest.fixture
def dataset(tmp_path: Path) -> Make:
    """Give a function that writes a data.yaml."""

    def make(name: str, names: list[str], **keys: Any) -> Path:
        path = tmp_path / name / "data.yaml"
        (path.parent / "images").mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"train": "images", "names": names, **keys}))
        return path

    return make


def joined(*paths: Path, **more: Any) -> Joined:
    return join([DataSpec.load(path) for path in paths], **more)


def task_of(whole: Joined, index: int = 0, **loss: Any) -> Task:
    config = TrainConfig.parse({"data": ["a", "b"], "loss": loss})
    task = make_task(config, whole.members[index], len(whole.classes), None, chooses=True)
    task.start("cpu")
    return task


def predicted(ids: Any, names: int) -> torch.Tensor:
    """Return logits (B, V, H, W) of predicted ids (B, H, W)."""
    return torch.nn.functional.one_hot(torch.as_tensor(ids), names).movedim(-1, 1).float()


def test_a_name_of_another_dataset_counts_as_none_of_those_that_are_labelled(dataset: Make) -> None:
    street = dataset("street", ["road", "car"], labelled=["road", "car"])
    whole = joined(street, dataset("rooms", ["bed", "wall"]))
    task = task_of(whole)
    masks = torch.tensor([[[0, 0, 1, 255]]])
    task.count(predicted([[[0, 3, 2, 3]]], 4), masks, FIRST)
    assert task.confusion.matrix.tolist() == [[1, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert task.scores(torch.from_numpy(task.confusion.matrix), 1).iou == {"road": 0.5, "car": 0.0}
    assert task.targets(masks, FIRST).tolist() == [[[0, 0, 1, -1]]]
    assert np.isfinite(float(task.loss(predicted([[[0, 3, 2, 3]]], 4), task.targets(masks, FIRST))))
