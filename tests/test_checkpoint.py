"""Checkpoint folders: read back as written, swapped in whole, and never executed."""

from __future__ import annotations

import json
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import bridgeseg
from bridgeseg import checkpoint as room
from bridgeseg.checkpoint import Checkpoint, find_checkpoint, load_checkpoint, save_checkpoint
from bridgeseg.classes import ClassSet
from bridgeseg.errors import ModelFileError
from bridgeseg.models.guidance.bridge import BridgeConfig
from bridgeseg.settings.model import ModelConfig
from tiny_networks import BACKBONE, make_network, noise

CLASSES = ClassSet.build(["road", "sky", "person"], prompts={"person": ["person", "rider"]})
SCORES = {"split": "val", "miou": 0.5, "macc": 0.6, "aacc": 0.75, "iou": {"road": 0.5, "sky": None, "person": 0.25}}
CONFIGS = {
    "bridge": ModelConfig(backbone=BACKBONE, bridge=BridgeConfig(dim=16, depth=1), width=16),
    "none": ModelConfig(method="none", backbone=BACKBONE, decoder="fpn", width=16),
}


def make(method: str = "bridge", seed: int = 0) -> Checkpoint:
    facts = {"method": method, "backbone": BACKBONE, "seed": seed, "scores": SCORES, "data": {"file": "data.yaml"}}
    return Checkpoint(make_network(CONFIGS[method], len(CLASSES), seed), CONFIGS[method], CLASSES, facts)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("run") / "best", make())


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    copy = tmp_path / "best"
    copy.mkdir()
    for file in saved.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


@pytest.mark.parametrize("method", CONFIGS)
def test_round_trip(method: str, tmp_path: Path) -> None:
    written = make(method)
    read = load_checkpoint(save_checkpoint(tmp_path / "best", written))
    images = noise(1, 3, 40, 50)
    with torch.no_grad():
        assert torch.equal(read.segmentor.logits(images), written.segmentor.logits(images))
    assert (read.config, read.classes, read.provenance) == (written.config, written.classes, written.provenance)
    assert read.path == tmp_path / "best"
    assert not read.segmentor.training
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == [
        "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip


def test_the_card_is_for_people(saved: Path) -> None:
    card = (saved / "README.md").read_text()
    assert "# bridge on test_efficientnet" in card
    assert "mIoU 0.5000, mean accuracy 0.6000, overall accuracy 0.7500" in card
    assert "| 0 | road | 0.5000 |\n| 1 | sky | - |\n| 2 | person | 0.2500 |" in card


def test_a_card_without_any_fact(tmp_path: Path) -> None:
    bare = make("none")
    bare.provenance = {}
    assert "| 2 | person |" in (save_checkpoint(tmp_path / "best", bare) / "README.md").read_text()


@pytest.mark.skipif(os.name == "nt", reason="permissions of Unix")
def test_others_may_read_what_they_may_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        folder = save_checkpoint(tmp_path / "best", make("none"))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error: No space left")])
def test_a_full_disk_keeps_the_older_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(state: Any, path: Path) -> None:
        Path(path).write_bytes(b"half of it")
        raise error

    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(room, "save_file", full)
    with pytest.raises(ModelFileError, match=r"No space left.*older one there was kept\n  fix: free some space"):
        save_checkpoint(folder, make(seed=1))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["best"]


def test_a_failing_swap_keeps_the_older_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "best.new":
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(ModelFileError, match="Permission denied"):
        save_checkpoint(folder, make(seed=1))
    assert load_checkpoint(folder).provenance["seed"] == 0
    assert [path.name for path in folder.parent.iterdir()] == ["best"]


def test_a_writer_killed_before_the_last_rename(folder: Path) -> None:
    folder.rename(folder.with_name("best.old"))
    for path in (folder, folder.parent):  # the checkpoint itself, and its run
        assert find_checkpoint(path) == folder.with_name("best.old")
    save_checkpoint(folder, make(seed=1))
    assert load_checkpoint(folder.parent).provenance["seed"] == 1
    assert [path.name for path in folder.parent.iterdir()] == ["best"]


def test_the_best_is_taken_before_the_last(folder: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", make(seed=2))
    assert load_checkpoint(tmp_path).provenance["seed"] == 0
    folder.rename(tmp_path / "elsewhere")
    assert load_checkpoint(tmp_path).provenance["seed"] == 2


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such checkpoint folder"):
        load_checkpoint(tmp_path / "absent")
    with pytest.raises(ModelFileError, match="holds no checkpoint"):
        load_checkpoint(tmp_path)
    (tmp_path / "resume.ckpt").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"stopped and has no checkpoint.*\n.*--resume"):
        load_checkpoint(tmp_path)


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        description = json.loads((folder / "config.json").read_text())
        change(description)
        (folder / "config.json").write_text(json.dumps(description))

    return damage


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 0x40
    (folder / "model.safetensors").write_bytes(content)


def without_checksum(damage: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Damage a checkpoint that was written before there were checksums."""

    def both(folder: Path) -> None:
        edit(lambda description: description.pop("sha256"))(folder)
        damage(folder)

    return both


def cut_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def drop_tensor(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state.pop("head.log_scale")
    save_file(state, folder / "model.safetensors")


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a bit of the weights": (
        flip_a_bit,
        "is damaged .*model.safetensors is not the file that was written: its SHA-2",
    ),
    "half the weights": (cut_weights, "is damaged .*model.safetensors"),
    "half the weights, no checksum": (without_checksum(cut_weights), "is damaged .*model.safetensors is cut: "),
    "no weights": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "is damaged"),
    "a tensor less": (drop_tensor, "is damaged .*model.safetensors"),
    "a tensor less, no checksum": (without_checksum(drop_tensor), "is damaged .*head.log_scale"),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), "is damaged .*JSONDecodeError"),
    "a list": (lambda folder: (folder / "config.json").write_text("[1]"), "is damaged"),
    "no format": (edit(lambda description: description.pop("format")), "is damaged .*format"),
    "a later format": (edit(lambda description: description.update(format=2)), "format 2, this version reads 1"),
    "another class": (edit(lambda description: description["classes"]["names"].append("car")), "is damaged"),
    "no classes": (edit(lambda description: description.update(classes={})), "is damaged .*description of classes"),
    "an unknown setting": (edit(lambda description: description["model"].update(x=1)), "is damaged .*x"),
    "an unknown backbone": (edit(lambda description: description["model"].update(backbone="y")), "no model 'y'"),
    "another width": (edit(lambda description: description["model"].update(width=24)), "is damaged .*another shape"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged(name: str, folder: Path) -> None:
    damage, message = DAMAGES[name]
    damage(folder)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_checkpoint(folder)
    assert caught.value.where == folder
    assert caught.value.fix


def test_a_checkpoint_of_before_has_no_checksum(folder: Path) -> None:
    without_checksum(lambda _: None)(folder)
    assert load_checkpoint(folder).provenance["seed"] == 0


def test_links_are_replaced_and_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "keep").write_text("keep")
    for name in ("best", "best.new"):
        (tmp_path / name).symlink_to(mine)
    save_checkpoint(tmp_path / "best", make("none"))
    assert [path.name for path in mine.iterdir()] == ["keep"]
    assert not (tmp_path / "best").is_symlink()


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("exploded"),)


def test_no_code_is_executed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFileError, match="is damaged"):
        load_checkpoint(folder)
    torch.save(Bomb(), folder / "model.safetensors")
    with pytest.raises(ModelFileError, match="is damaged"):
        load_checkpoint(folder)
    assert not Path("exploded").exists()


def test_a_folder_loads_as_a_model(saved: Path) -> None:
    model = bridgeseg.load(saved)
    images = (noise(1, 33, 47, 3).abs() * 90).clamp(max=255).byte().numpy()
    logits, ids = model.runtime.logits(images), model.runtime.classes(images)
    assert (logits.shape, logits.dtype, ids.shape, ids.dtype) == ((1, 3, 33, 47), "float32", (1, 33, 47), "uint8")
    assert (logits.argmax(axis=1) == ids).all()
    expected = load_checkpoint(saved).segmentor  # not folded
    with torch.no_grad():
        plain = expected.logits(expected.normalise(torch.from_numpy(images).permute(0, 3, 1, 2)))
    torch.testing.assert_close(torch.from_numpy(logits), plain, atol=1e-4, rtol=0)
    assert model.classes == CLASSES
    assert model.provenance["seed"] == 0
