"""Scores that do not depend on who counts, on batches or on loading processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix

from bridgeseg.classes import ClassSet
from bridgeseg.confusion import ConfusionMatrix
from bridgeseg.data.joining import join
from bridgeseg.data.spec import DataSpec
from bridgeseg.models.build import build
from bridgeseg.runtime.torch_runtime import TorchRuntime
from bridgeseg.settings.loss import LossConfig
from bridgeseg.settings.train import TrainConfig
from bridgeseg.training.datamodule import DataModule
from bridgeseg.training.losses import SegmentationLoss
from bridgeseg.training.module import TrainModule
from bridgeseg.training.task import Task
from test_metrics import CASES, case
from tiny_data import NAMES, TINY, write_dataset
from tiny_networks import embeddings


def module_of(segmentor: Any, count: int, ignore: int) -> TrainModule:
    """Return a training module whose network is `segmentor`, ready to validate."""
    classes = replace(ClassSet.build([f"class {index}" for index in range(count)]), ignore_index=ignore)
    member = join([DataSpec(Path("data.yaml"), Path(), classes, {})]).members[0]
    task = Task(member, count, SegmentationLoss(LossConfig(), ignore), chooses=False)
    task.start("cpu")
    module = TrainModule(torch.nn.Identity(), TrainConfig(data="d"), [task])  # type: ignore[arg-type]
    object.__setattr__(module, "segmentor", segmentor)
    return module


def task_of(module: TrainModule) -> Task:
    return module.tasks[0]  # type: ignore[return-value]


@pytest.mark.parametrize("name", CASES)
def test_validation_in_training_counts_as_evaluation_does(name: str) -> None:
    count, ignore, prediction, truth = case(name)
    answers = iter(torch.from_numpy(prediction.astype(np.int64)))

    class Oracle:
        class_embeddings = None

        def normalise(self, images: torch.Tensor) -> torch.Tensor:
            return images.float()

        def logits(self, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(next(answers), count).permute(2, 0, 1)[None].float()

    module = module_of(Oracle(), count, ignore)
    expected = ConfusionMatrix(count, ignore)
    for answer, mask in zip(prediction, truth, strict=True):
        masks = torch.from_numpy(mask.astype(np.int64))[None]
        module.validation_step((torch.zeros(1, 3, *mask.shape, dtype=torch.uint8), masks, torch.zeros(1)), 0)
        expected.update(answer, mask)
    assert np.array_equal(task_of(module).confusion.matrix, expected.matrix)
    theirs = multiclass_confusion_matrix(
        torch.from_numpy(prediction.astype(np.int64)),
        torch.from_numpy(truth.astype(np.int64)),
        max(count, 2),
        None,
        ignore,
    )
    assert np.array_equal(task_of(module).confusion.matrix, theirs.numpy()[:count, :count])
    assert torch.isfinite(task_of(module).val_loss)  # an image without a label has a loss of 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), val=5)


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    return build(TrainConfig.parse(TINY | {"data": "d"}).model, len(NAMES), embeddings(len(NAMES))).eval()


@pytest.mark.slow
def test_validation_does_not_depend_on_batch_size_and_workers(data: Path, network: Any) -> None:
    spec, found = DataSpec.load(data), []
    for batch_size, workers, cache in ((4, 0, True), (1, 1, False), (3, 2, False)):
        changes = {"data": str(data), "batch_size": batch_size, "workers": workers, "cache": cache}
        loader: Any = DataModule(join([spec]), TrainConfig.parse(TINY | changes)).val_dataloader()
        module = module_of(network, len(NAMES), 255)
        with torch.no_grad():
            for index, batch in enumerate(loader):
                module.validation_step(batch, index)
        found.append((task_of(module).confusion.matrix.tolist(), float(task_of(module).val_loss)))
    assert found[0] == found[1] == found[2]
    assert int(torch.tensor(found[0][0]).sum()) == 5 * 46 * 64


def test_a_picture_is_predicted_alike_in_every_batch(network: Any) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
    runtime = TorchRuntime(network)
    together = runtime.logits(images)
    for size in (1, 2, 3):
        parts = np.concatenate([runtime.logits(images[start : start + size]) for start in range(0, 5, size)])
        np.testing.assert_allclose(parts, together, rtol=0, atol=1e-4 * np.ptp(together))
    mirrored = runtime.logits(images[::-1])[::-1]
    np.testing.assert_allclose(mirrored, together, rtol=0, atol=1e-4 * np.ptp(together))


def test_the_mean_loss_counts_every_image_once() -> None:
    module = module_of(None, 2, 255)
    task_of(module).val_loss = torch.tensor(6.0)
    module._trainer = SimpleNamespace(world_size=1, datamodule=SimpleNamespace(vals=[[0, 0, 0]]))  # type: ignore[assignment]
    assert module.gather_losses() == [2.0]
