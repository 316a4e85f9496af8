"""Two processes do what one does: the same samples, losses and weights, however they are started."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.layers.norm_act import SyncBatchNormAct
from torch.nn.modules.batchnorm import _BatchNorm

from bridgeseg.settings.model import ModelConfig
from bridgeseg.settings.values import set_values
from bridgeseg.training import folder
from bridgeseg.training.processes import SyncBatchNorm, own, total
from tiny_data import TINY, write_dataset
from tiny_networks import make_network, noise

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
BASE = set_values(TINY, {"model.dropout": 0.0, "epochs": 2, "batch_size": 4, "ema": 0.9, "warmup": 0.0, "lr": 0.0003})
SAME: dict[str, dict[str, Any]] = {
    "weighted": {"loss.class_weights": True, "loss.dice": 0.5, "loss.label_smoothing": 0.1},
    "accumulated": {"accumulate": 2, "augment.photometric": 1.0, "augment.scale": [0.7, 1.5], "loss.aux_at": "pixels"},
    "no score map": {"model.head": "linear", "loss.aux": 0.0, "augment.rare_class_prob": 0.5},
}
"""Every loss that does not sort pixels, and a network with parameters that no loss depends on."""
OTHER: dict[str, Any] = {"loss.ohem": 0.3, "loss.lovasz": 0.5}


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **more}


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def alone(settings: Path) -> list[subprocess.Popen[str]]:
    return [start([sys.executable, HERE / "steady_runs.py", settings], environment())]


def by_torchrun(settings: Path) -> list[subprocess.Popen[str]]:
    """Start two machines of one device each, as the documentation says; here both are this one."""
    port, processes = free_port(), []
    for rank in range(2):
        launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        place = ["--node-rank", str(rank), "--master-addr", "127.0.0.1", "--master-port", port]
        processes.append(start([*launch, *place, HERE / "steady_runs.py", settings], environment()))
    return processes


def by_slurm(settings: Path) -> list[subprocess.Popen[str]]:
    """Start two tasks with the variables that srun gives to those of two machines."""
    port, processes = free_port(), []
    for rank in range(2):
        names = {
            "NTASKS": "2",
            "NNODES": "2",
            "NTASKS_PER_NODE": "1",
            "JOB_ID": "7",
            "JOB_NAME": "train",
            "LOCALID": "0",
        }
        own_place = {"PROCID": str(rank), "NODEID": str(rank)}
        variables = {f"SLURM_{name}": value for name, value in (names | own_place).items()}
        variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        processes.append(start([sys.executable, HERE / "steady_runs.py", settings], environment(**variables)))
    return processes


def start(command: list[Any], variables: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(processes: list[subprocess.Popen[str]]) -> None:
    try:
        said = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(said)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose images have very different numbers of labelled pixels, two of them none."""
    path = write_dataset(tmp_path_factory.mktemp("data"), train=13, val=5)
    for index in range(13):
        file = path.parent / "masks" / "train" / f"{index}.png"
        ids = np.array(Image.open(file))
        ids[: 48 if index >= 11 else 4 * index] = 255
        Image.fromarray(ids).save(file)
    return path


def joined(data: Path, root: Path) -> dict[str, dict[str, Any]]:
    """Return the settings of a run on a second dataset, too, and of one that goes on from `weighted` with it alone."""
    more = write_dataset(root / "more", train=7, val=3)
    partial = "  3: gold\nlabelled: [gold]\nunlabelled: other\nlabel_map: {0: 3, 1: 1, 2: 2}\n"
    more.write_text(more.read_text() + partial)
    both = {"data": [str(data), str(more)], "shares": [2, 1], "loss.class_weights": True}
    return {"joined": both, "kept": {"data": str(more), "init": str(root / "one" / "weighted"), "freeze": ["backbone"]}}


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders KIND/NAME of the runs: by one process, by two machines of torchrun, by two of Slurm."""
    root = tmp_path_factory.mktemp("runs")
    two = {"batch_size": 2, "num_nodes": 2, "devices": "1", "strategy": "ddp"}
    more = joined(data, root)
    kinds: dict[str, tuple[Any, dict[str, Any], dict[str, dict[str, Any]]]] = {
        "one": (alone, {}, SAME | more),
        "torchrun": (by_torchrun, two, SAME | more | {"sorted": OTHER, "refused": {"sync_batchnorm": True}}),
        "slurm": (by_slurm, two, {"no score map": SAME["no score map"]}),
    }
    for kind, (begin, place, chosen) in kinds.items():
        listed = {name: set_values(BASE, {"data": str(data)} | place | changes) for name, changes in chosen.items()}
        file = root / f"{kind}.json"
        file.write_text(json.dumps({str(root / kind / name): settings for name, settings in listed.items()}))
        finish(begin(file))
    return root


def steps(run: Path, rank: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((run / f"steps-{rank}.json").read_text())
    return found


@pytest.mark.parametrize(("kind", "name"), [*(("torchrun", name) for name in SAME), ("slurm", "no score map")])
class TestSame:
    def test_every_step_sees_the_same_samples(self, runs: Path, kind: str, name: str) -> None:
        one, parts = steps(runs / "one" / name), [steps(runs / kind / name, rank) for rank in range(2)]
        assert len(one) == 2 * (2 if name == "accumulated" else 3)
        for whole, *shares in zip(one, *parts, strict=True):
            assert sorted(whole["seen"]) == sorted(shares[0]["seen"] + shares[1]["seen"])
            assert len(shares[0]["seen"]) == len(shares[1]["seen"]) == 2
        labelled = [(first["labelled"], second["labelled"]) for first, second in zip(*parts, strict=True)]
        assert any(max(pair) > 1.5 * min(pair) for pair in labelled)  # a mean of their means would be another number

    def test_losses_and_gradients(self, runs: Path, kind: str, name: str) -> None:
        one = steps(runs / "one" / name)
        for rank in range(2):
            two = steps(runs / kind / name, rank)
            for key, tolerance in (("loss", 1e-5), ("gradient", 1e-4)):
                assert [step[key] for step in two] == pytest.approx([step[key] for step in one], rel=tolerance), key

    def test_tables_and_weights(self, runs: Path, kind: str, name: str) -> None:
        tables = []
        for place in ("one", kind):
            with (runs / place / name / "metrics.csv").open(newline="") as file:
                tables.append(
                    [{key: float(value or "nan") for key, value in row.items()} for row in csv.DictReader(file)]
                )
        for whole, shared in zip(*tables, strict=True):
            losses = [key for key in whole if key == "lr" or key.endswith("loss")]
            assert {"train_loss", "val_loss"} <= set(losses)
            assert [shared[key] for key in losses] == pytest.approx([whole[key] for key in losses], rel=1e-5)
        one, two = (load_file(runs / place / name / "last" / "model.safetensors") for place in ("one", kind))
        assert one.keys() == two.keys()
        for key in one:
            torch.testing.assert_close(
                two[key], one[key], rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}"
            )

    def test_the_confusion_matrix_counts_every_validation_image_once(self, runs: Path, kind: str, name: str) -> None:
        state = folder.read_state(runs / kind / name)
        assert state is not None
        (kept,) = [value for value in state["callbacks"].values() if "latest" in value]
        assert kept["latest"]["images"] == 5
        assert kept["latest"]["confusion"].sum() == 5 * 46 * 64


@pytest.mark.parametrize("name", ["joined", "kept"])
def test_steps_on_several_datasets_and_with_a_teacher_are_those_of_one_process(runs: Path, name: str) -> None:
    one, parts = steps(runs / "one" / name), [steps(runs / "torchrun" / name, rank) for rank in range(2)]
    assert len(one) == 2 * (4 if name == "joined" else 1)
    for whole, *shares in zip(one, *parts, strict=True):
        assert sorted(whole["seen"]) == sorted(shares[0]["seen"] + shares[1]["seen"])
        for share in shares:
            assert share["loss"] == pytest.approx(whole["loss"], rel=1e-5)
            assert share["gradient"] == pytest.approx(whole["gradient"], rel=1e-4)
    datasets = [{int(place >= 13) for place, _ in step["seen"]} for step in one]
    assert all(len(found) == 1 for found in datasets)  # a step is on one dataset
    weights = [load_file(runs / kind / name / "last" / "model.safetensors") for kind in ("one", "torchrun")]
    assert all(torch.allclose(value, weights[1][key], rtol=1e-3, atol=1e-4) for key, value in weights[0].items())


def test_losses_that_sort_pixels_are_the_same_number_in_every_process(runs: Path) -> None:
    first, second = ([step["loss"] for step in steps(runs / "torchrun" / "sorted", rank)] for rank in range(2))
    assert first == second
    assert all(0 < loss < 10 for loss in first)


def test_batch_norm_cannot_be_synchronised_on_cpus(runs: Path) -> None:
    for rank in range(2):
        text = (runs / "torchrun" / f"refused-error-{rank}.txt").read_text()
        assert "batch norm cannot be synchronised" in text
        assert "leave sync_batchnorm out" in text


def test_synchronised_batch_norms_keep_their_activations() -> None:
    network, images = make_network(ModelConfig.model_validate(TINY["model"])), noise(2, 3, 64, 64)
    with torch.no_grad():
        before, names = network(images).logits, list(network.state_dict())
        plugin = SyncBatchNorm()
        assert plugin.apply(network) is network
        assert torch.equal(network(images).logits, before)
    assert list(network.state_dict()) == names
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    assert all(isinstance(module, torch.nn.SyncBatchNorm) for module in norms)
    assert any(isinstance(module, SyncBatchNormAct) for module in norms)
    assert plugin.revert(network) is network


def test_alone_a_sum_is_the_part_itself() -> None:
    part = torch.ones(3, requires_grad=True)
    assert total(part) is own(part) is part
