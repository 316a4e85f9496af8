"""Deep supervision: what its classifiers learn, and that nothing of it is left in a checkpoint."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F

from bridgeseg.api import train
from bridgeseg.models.segmentor import Segmentor
from bridgeseg.settings.loss import LossConfig
from bridgeseg.settings.model import ModelConfig
from bridgeseg.training import fit
from bridgeseg.training.deep import DeepHeads
from bridgeseg.training.losses import SegmentationLoss
from tiny_data import TINY, write_dataset
from tiny_networks import BACKBONE, make_network, noise

CLASSES = 5


@pytest.fixture(scope="module", params=["none", "bridge"])
def network(request: pytest.FixtureRequest) -> Segmentor:
    return make_network(ModelConfig(method=request.param, backbone=BACKBONE, width=16), CLASSES)


def test_the_loss_is_the_mean_of_three_levels(network: Segmentor) -> None:
    heads, loss = DeepHeads(network, CLASSES), SegmentationLoss(LossConfig(), 255)
    images, masks = noise(2, 3, 50, 90), torch.full((2, 50, 90), 255)
    masks[0, :32, :64] = 3  # whole cells at every stride
    features = network.train()(images).features
    wanted = []
    for head, maps, stride in zip(heads.heads, features[1:], (8, 16, 32), strict=True):
        cells = F.conv2d(maps, head.weight, head.bias)[0, :, : 32 // stride, : 64 // stride]
        wanted.append(F.cross_entropy(cells.flatten(1).T, torch.full((cells[0].numel(),), 3)))
    torch.testing.assert_close(heads(features, masks, loss), torch.stack(wanted).mean())


def test_it_reaches_the_backbone_and_not_the_decoder(network: Segmentor) -> None:
    heads, loss = DeepHeads(network, CLASSES), SegmentationLoss(LossConfig(), 255)
    network.train().zero_grad()
    heads(network(noise(2, 3, 64, 64)).features, torch.ones(2, 64, 64, dtype=torch.int64), loss).backward()
    reached = {name.partition(".")[0] for name, value in network.named_parameters() if value.grad is not None}
    assert "backbone" in reached
    assert not reached & {"decoder", "head"}
    assert all(value.grad is not None and value.grad.any() for value in heads.parameters())


def test_features_are_kept_in_training_only(network: Segmentor) -> None:
    assert network.eval()(noise(1, 3, 64, 64)).features == ()


def test_no_random_number_of_others_is_used_up(network: Segmentor) -> None:
    torch.manual_seed(3)
    DeepHeads(network, CLASSES, seed=1)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.slow
def test_a_run_leaves_the_same_network_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "write_images", lambda *_: None)
    data = write_dataset(tmp_path / "data")

    def run(name: str, **changes: Any) -> dict[str, torch.Tensor]:
        train(data, tmp_path / name, quiet=True, **TINY | {"model.method": "none", "epochs": 1} | changes)
        with safe_open(tmp_path / name / "last" / "model.safetensors", "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118

    plain, deep = run("plain"), run("deep", **{"loss.deep": 0.5})
    assert {key: value.shape for key, value in plain.items()} == {key: value.shape for key, value in deep.items()}
    assert any(not torch.equal(plain[key], deep[key]) for key in plain)
    train(out=tmp_path / "deep", resume=True, quiet=True, epochs=2)
    with (tmp_path / "deep" / "metrics.csv").open(newline="") as file:
        assert [float(row["train_deep_loss"]) > 0 for row in csv.DictReader(file)] == [True, True]
