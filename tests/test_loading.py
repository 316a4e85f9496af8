"""Checkpoints of strangers: what would eat the machine, or reach beyond the folder, is refused before it is built."""

from __future__ import annotations

import json
import math
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bridgeseg.checkpoint import CONFIG, WEIGHTS, Checkpoint, load_checkpoint, save_checkpoint
from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.models.backbone import TimmBackbone
from bridgeseg.models.check import check_model
from bridgeseg.settings.model import ModelConfig
from bridgeseg.tensors import TENSORS, read_shapes
from tiny_networks import BACKBONE, make_network


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = check_model(ModelConfig(backbone=BACKBONE, width=16, bridge={"dim": 16, "heads": 2}))
    checkpoint = Checkpoint(make_network(config), config, ClassSet.build(list("abcde")))
    return save_checkpoint(tmp_path_factory.mktemp("runs") / "best", checkpoint)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "stranger"))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hosts that were looked up; none is answered."""
    asked: list[str] = []

    def refuse(host: str, *rest: Any, **options: Any) -> Any:
        asked.append(host)
        raise socket.gaierror("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return asked


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of the largest parameter that was made in memory, by every registration of one."""
    sizes = [0]
    register = torch.nn.Module.register_parameter

    def spy(self: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        if parameter is not None and parameter.device.type != "meta":
            sizes[0] = max(sizes[0], parameter.numel())
        register(self, name, parameter)

    monkeypatch.setattr(torch.nn.Module, "register_parameter", spy)
    return sizes


def set_backbone(folder: Path, name: str) -> None:
    description = json.loads((folder / CONFIG).read_text())
    description["model"]["backbone"] = name
    (folder / CONFIG).write_text(json.dumps(description))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["regnety_1280", "convnext_xxlarge", "open_clip:RN50x64"])
def test_a_giant_backbone_is_not_built(folder: Path, name: str, built: list[int]) -> None:
    set_backbone(folder, name)
    with pytest.raises(ModelFileError, match=r"model.safetensors holds another network than config.json describes"):
        load_checkpoint(folder)
    assert built[0] <= 2**20


@pytest.mark.parametrize(
    "name",
    [
        "hf-hub:someone/something",
        "hf_hub:someone/something",
        "local-dir:FOLDER",
        "open_clip:local-dir:FOLDER",
        "open_clip:hf-hub:someone/something",
        "someone/something",
        "../FOLDER",
    ],
)
def test_a_name_leads_neither_to_a_hub_nor_to_a_folder(folder: Path, name: str, network: list[str]) -> None:
    other = folder / "other"
    other.mkdir()
    values = {"architecture": BACKBONE, "model_args": {}, "pretrained_cfg": {"num_classes": 10}}
    (other / "config.json").write_text(json.dumps(values))
    set_backbone(folder, name.replace("FOLDER", str(other)))
    with pytest.raises(ModelFileError, match="cannot be built"):
        load_checkpoint(folder)
    assert network == []


def test_a_backbone_is_not_trained_that_its_checkpoint_could_not_name() -> None:
    with pytest.raises(ConfigError, match=r"`model.backbone=NAME` and `backbone_weights=FILE`"):
        TimmBackbone("local-dir:somewhere")


def header(entries: dict[str, Any], size: int = 0, length: int | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        text = json.dumps(entries).encode()
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(text) if length is None else length) + text)
            file.truncate(file.tell() + size)

    return write


def entry(shape: list[Any], size: int = 0) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (header({}, length=2**63), "is cut, or no safetensors file"),
        (header({}, length=2**23 + 1, size=2**23), "is cut, or no safetensors file"),
        (header({f"t{n}": entry([0]) for n in range(TENSORS + 1)}), f"names {TENSORS + 1} tensors"),
        (header({"t": entry([2**40])}), "0 bytes for a tensor of shape"),
        (header({"t": entry([3], 12)}, size=4), "4 bytes of 12 are there"),
        (header({"t": entry([3], 12)}, size=400), "400 bytes of 12 are there"),
        (header({"t": {"shape": [1]}}), "no safetensors file: 'data_offsets'"),
        (header({"t": 3}), "no safetensors file"),
        (header({"t": entry([math.inf])}), "no safetensors file: a size or a place that is no whole"),
        (header({"t": {"shape": [1], "data_offsets": [0, math.inf]}}), "no safetensors file"),
        (header({"t": {"shape": [True], "data_offsets": [0, 4.5]}}), "no safetensors file"),
        (lambda path: path.write_bytes(b"\x05"), "is cut"),
        (lambda path: path.mkdir(), "is no file"),
    ],
)
def test_a_header_is_bounded(tmp_path: Path, write: Callable[[Path], None], message: str) -> None:
    write(tmp_path / "w.safetensors")
    with pytest.raises(ModelFileError, match=message):
        read_shapes(tmp_path / "w.safetensors")


def test_shapes_are_those_of_the_file(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(())}, tmp_path / WEIGHTS, metadata={"x": "y"})
    assert read_shapes(tmp_path / WEIGHTS) == {"a": (2, 3), "b": ()}


@pytest.mark.parametrize("text_dim", [2**30, -1, "many"])
def test_a_width_of_class_embeddings_that_the_weights_lack(folder: Path, text_dim: Any) -> None:
    description = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(description | {"text_dim": text_dim}))
    with pytest.raises(ModelFileError, match="class embeddings of shape"):
        load_checkpoint(folder)
