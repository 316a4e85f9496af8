"""Learned prompts in training: the contexts move, and what they give in the end is frozen into the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bridgeseg.api import train
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.errors import ConfigError
from bridgeseg.runtime.torch_runtime import DeployNetwork
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import set_values
from bridgeseg.text.learned import LearnedPrompts
from bridgeseg.training.folder import read_state
from text_models import tiny_open_clip
from tiny_data import NAMES, TINY, write_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"open_clip:tiny-prompts/{tiny_open_clip(tmp_path_factory.mktemp('clip'), 'tiny-prompts')}"


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridgeseg.training.fit.write_images", lambda *_: None)


def run(data: Path, out: Path, encoder: str, **changes: Any) -> None:
    settings = {"prompt": "learned", "text_encoder": encoder, **changes}
    train(data, out, config=TrainConfig.parse(set_values({**TINY, "data": str(data)}, settings)), quiet=True)


@pytest.mark.parametrize("method", ["bridge", "lseg", "denseclip"])
def test_what_was_learned_is_in_the_checkpoint_and_no_text_encoder(
    data: Path, tmp_path: Path, encoder: str, method: str
) -> None:
    run(data, tmp_path / "run", encoder, **{"model.method": method, "learned.length": 3})
    contexts = read_state(tmp_path / "run")["state_dict"]["contexts"]  # type: ignore[index]
    assert contexts.shape == (1, 3, 16)
    prompts = LearnedPrompts.load(encoder, NAMES, length=3)
    torch.manual_seed(0)
    start = LearnedPrompts.load(encoder, NAMES, length=3).contexts
    prompts.load_state_dict({"contexts": contexts})
    assert (contexts - start).abs().max() > 1e-3, "the contexts did not move"
    expected = prompts.frozen(normalize=method != "denseclip")
    for name in ("best", "last"):
        checkpoint = load_checkpoint(tmp_path / "run" / name)
        assert checkpoint.provenance["config"]["prompt"] == "learned"
        stored = checkpoint.segmentor.class_embeddings
        assert stored is not None
        assert stored.shape == (3, 24)
        if name == "last":
            torch.testing.assert_close(stored, expected)
        tensors = [key for key in checkpoint.segmentor.state_dict() if "tower" in key or "transformer.resblocks" in key]
        assert tensors == []


def test_the_last_validation_saw_what_is_kept(data: Path, tmp_path: Path, encoder: str) -> None:
    run(data, tmp_path / "run", encoder, val_every=2)
    best, last = (load_checkpoint(tmp_path / "run" / name).segmentor.class_embeddings for name in ("best", "last"))
    assert best is not None
    assert last is not None
    torch.testing.assert_close(best, last)


def test_resumed_equals_uninterrupted(
    data: Path, tmp_path: Path, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data, tmp_path / "whole", encoder, epochs=3)
    from bridgeseg.training.module import TrainModule

    begin = TrainModule.on_train_epoch_start

    def stop(module: TrainModule) -> None:
        if module.current_epoch == 1:
            raise KeyboardInterrupt
        begin(module)

    monkeypatch.setattr(TrainModule, "on_train_epoch_start", stop)
    with pytest.raises(BaseException):  # noqa: B017, PT011 (what a stop raises is the subject of another test)
        run(data, tmp_path / "stopped", encoder, epochs=3)
    monkeypatch.setattr(TrainModule, "on_train_epoch_start", begin)
    train(out=tmp_path / "stopped", resume=True, quiet=True)
    whole, stopped = (load_checkpoint(tmp_path / name / "last").segmentor.state_dict() for name in ("whole", "stopped"))
    assert list(whole) == list(stopped)
    assert all(torch.equal(whole[key], stopped[key]) for key in whole)


def test_what_is_exported_is_what_fixed_prompts_would_give(data: Path, tmp_path: Path, encoder: str) -> None:
    run(data, tmp_path / "learned", encoder, epochs=1)
    run(data, tmp_path / "fixed", "random:24/0", epochs=1, prompt="fixed")
    shapes = []
    for name in ("learned", "fixed"):
        network = DeployNetwork(load_checkpoint(tmp_path / name).segmentor)
        shapes.append({key: value.shape for key, value in network.state_dict().items()})
    assert shapes[0] == shapes[1]  # no text encoder, no contexts, no projection of the text


def test_it_needs_a_method_with_language_and_an_encoder_to_learn_through(
    data: Path, tmp_path: Path, encoder: str
) -> None:
    with pytest.raises(ConfigError, match="needs a method that language guides"):
        run(data, tmp_path / "run", encoder, **{"model.method": "none"})
    with pytest.raises(ConfigError, match="need a text encoder to learn through"):
        run(data, tmp_path / "run", "random:16/0")


def test_fixed_prompts_of_unit_length_stay_as_they_are(data: Path, tmp_path: Path, encoder: str) -> None:
    run(data, tmp_path / "run", encoder, prompt="fixed", epochs=1)
    vectors = load_checkpoint(tmp_path / "run" / "last").segmentor.class_embeddings
    assert vectors is not None
    torch.testing.assert_close(vectors, F.normalize(vectors, dim=-1))
