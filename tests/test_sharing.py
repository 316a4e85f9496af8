"""Models to and from the hub: what is uploaded, what is taken, and what is said where that fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import bridgeseg
from bridgeseg.cli import main
from bridgeseg.description import WEIGHTS
from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.hub.repository import Repository
from bridgeseg.naming import named
from bridgeseg.training.origin import completed
from conftest import RGB_CLASSES, write_onnx
from hub_server import Hub

pytest.importorskip("huggingface_hub")
from huggingface_hub import constants

SCORES = {"split": "val", "miou": 0.5, "macc": 0.6, "aacc": 0.75, "iou": {"red": 0.5, "green": None, "blue": 0.25}}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, and a user who is logged in to it."""
    with Hub().serve() as served:
        values = {"ENDPOINT": served.url, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": False}
        values["HUGGINGFACE_CO_URL_TEMPLATE"] = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        for name, value in (values | {"HF_HUB_DISABLE_XET": True}).items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", "hf_mine")
        yield served


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "rgb.onnx", provenance={"method": "rule", "seed": 0, "scores": SCORES})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a run folder is: a checkpoint, settings with places of this machine, pictures, logs."""
    pytest.importorskip("torch")
    from bridgeseg.checkpoint import Checkpoint, save_checkpoint
    from bridgeseg.settings.model import ModelConfig
    from tiny_networks import BACKBONE, make_network

    config = ModelConfig(backbone=BACKBONE, method="none", width=16)
    facts: dict[str, Any] = {
        "method": "none",
        "backbone": BACKBONE,
        "data": {"file": "data.yaml", "sha256": "ab", "splits": {"train": [str(tmp_path / "photos")]}},
        "config": {"data": str(tmp_path / "data.yaml"), "weights": "C:\\Users\\me\\w.pt", "init": "hf:them/base@main"},
        "scores": SCORES,
    }
    save_checkpoint(tmp_path / "run" / "best", Checkpoint(make_network(config, 3), config, RGB_CLASSES, facts))
    (tmp_path / "run" / "train.json").write_text(json.dumps({"data": str(tmp_path / "data.yaml")}))
    (tmp_path / "run" / "train.log").write_text("started")
    for name in ("iou.png", "curves.png", "examples.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / "run" / name)
    return tmp_path / "run"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    picture = np.zeros((8, 12, 3), np.uint8)
    picture[:, 4:8, 1] = picture[:, 8:, 2] = 200
    Image.fromarray(picture).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def failed(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    return " ".join(capsys.readouterr().err.split())


class TestUpload:
    def test_a_file(self, hub: Hub, onnx: Path) -> None:
        done = bridgeseg.push("me/streets", onnx, license="apache-2.0")
        files = hub.repos["me/streets"].files()
        assert set(files) == {"README.md", "model.onnx"} == set(done.files)
        assert files["model.onnx"] == onnx.read_bytes()
        assert {name: len(data) for name, data in files.items()} == done.files
        assert (done.name, done.url) == ("hf:me/streets", f"{hub.url}/me/streets")
        assert hub.repos["me/streets"].commit() == done.commit
        assert hub.messages == [f"Upload with bridgeseg {bridgeseg.__version__}"]
        assert not hub.repos["me/streets"].private

    def test_the_card(self, hub: Hub, onnx: Path) -> None:
        bridgeseg.push("me/streets", onnx, license="apache-2.0")
        _, head, text = hub.repos["me/streets"].files()["README.md"].decode().split("---\n", 2)
        known = yaml.safe_load(head)
        assert (known["license"], known["library_name"]) == ("apache-2.0", "bridgeseg")
        assert known["pipeline_tag"] == "image-segmentation"
        (result,) = known["model-index"][0]["results"]
        assert {item["type"]: item["value"] for item in result["metrics"]}["mean_iou"] == 0.5
        assert result["dataset"]["split"] == "val"
        assert 'bridgeseg.load("hf:me/streets")' in text
        assert "mIoU 0.5000" in text
        assert "| 1 | green | - |\n| 2 | blue | 0.2500 |" in text

    def test_a_licence_is_one_of_the_hub(self, run: Path) -> None:
        with pytest.raises(ConfigError, match="license: the hub spells a licence as in"):
            bridgeseg.push("me/streets", run, license="MIT\nbase_model: x")

    def test_a_run_and_its_file(self, hub: Hub, run: Path, onnx: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"another network than that of the run: they differ in 'method'"):
            bridgeseg.push("me/streets", run, onnx=onnx)
        write_onnx(onnx, provenance={"method": "none", "scores": SCORES})
        bridgeseg.push("me/streets", run, onnx=onnx, private=True)
        repo = hub.repos["me/streets"]
        drawn = {"iou.png", "curves.png"}
        assert set(repo.files()) == {"README.md", "model.onnx", "model.safetensors", "config.json", *drawn}
        assert repo.private
        assert repo.files()["model.safetensors"] == (run / "best" / WEIGHTS).read_bytes()
        assert not [name for name, data in repo.files().items() if str(tmp_path).encode() in data or b"Users" in data]
        config = json.loads(repo.files()["config.json"])["provenance"]
        assert config["data"]["splits"] == {"train": ["photos"]}
        assert config["config"] == {"data": "data.yaml", "weights": "w.pt", "init": "hf:them/base@main"}
        card = repo.files()["README.md"].decode()
        assert "base_model: them/base\n" in card
        assert "![IoU of each class](iou.png)" in card
        assert "examples.png" not in card
        assert "bridgeseg train --init hf:me/streets" in card
        bridgeseg.push("me/streets", run, with_pictures=True)
        assert {*drawn, "examples.png"} <= set(repo.files())

    def test_what_is_another_models_goes(self, hub: Hub, run: Path, onnx: Path) -> None:
        bridgeseg.push("me/streets", run)
        before = hub.repos["me/streets"].files()
        hub.repos["me/streets"].write({**before, "notes.txt": b"mine"})
        bridgeseg.push("me/streets", onnx)
        assert set(hub.repos["me/streets"].files()) == {"README.md", "model.onnx", "notes.txt"}

    def test_a_branch(self, hub: Hub, onnx: Path) -> None:
        for _ in range(2):
            done = bridgeseg.push("me/streets", onnx, revision="small")
        repo = hub.repos["me/streets"]
        assert (repo.files("main"), set(repo.files("small"))) == ({}, {"README.md", "model.onnx"})
        assert done.name == "hf:me/streets@small"

    def test_a_dry_run_writes_what_would_be_uploaded(
        self, hub: Hub, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["push", "me/streets", "--model", run, "--dry-run", "--out", tmp_path / "new" / "dry"]
        for neighbour in ("dry.new", "dry.old"):
            (tmp_path / "new" / neighbour).mkdir(parents=True)
        assert main([*map(str, words), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert hub.requests == []
        assert told["url"] is None
        written = {file.name: file.read_bytes() for file in Path(told["folder"]).iterdir()}
        assert {name: len(data) for name, data in written.items()} == told["files"]
        bridgeseg.push("me/streets", run)
        assert hub.repos["me/streets"].files() == written
        assert {place.name for place in (tmp_path / "new").iterdir()} == {"dry", "dry.new", "dry.old"}
        assert "not empty" in failed(capsys, *words)
        neighbours = [tmp_path / f"other{ending}" / "mine.txt" for ending in (".new", ".old")]
        for file in (*neighbours, tmp_path / "other" / "empty"):
            file.parent.mkdir()
            file.write_text("mine")
        (tmp_path / "other" / "empty").unlink()
        assert main([*map(str, words[:-1]), str(tmp_path / "other")]) == 0
        assert [file.read_text() for file in neighbours] == ["mine", "mine"]
        assert {file.name for file in tmp_path.iterdir()} >= {"other", "new", "other.new", "other.old"}
        assert not list(tmp_path.glob(".other*"))
        assert "nothing was uploaded" in capsys.readouterr().out

    def test_links_in_a_run_folder_are_not_followed(self, hub: Hub, run: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        (run / "iou.png").unlink()
        (run / "iou.png").symlink_to(tmp_path / "secret")
        assert "iou.png" not in bridgeseg.push("me/streets", run).files

    def test_models_that_do_not_go_together(self, hub: Hub, run: Path, tmp_path: Path, onnx: Path) -> None:
        other = bridgeseg.ClassSet.build(["a", "b", "c"])
        with pytest.raises(ConfigError, match="its 3 classes are not the 3 of the run"):
            bridgeseg.push("me/streets", run, onnx=write_onnx(tmp_path / "abc.onnx", classes=other))
        with pytest.raises(ConfigError, match="already"):
            bridgeseg.push("me/streets", onnx, onnx=onnx)
        with pytest.raises(ModelFileError, match="names folders"):
            bridgeseg.push("me/streets", write_onnx(tmp_path / "b.onnx", provenance={"data": "/home/me/data.yaml"}))
        with (run / "best" / WEIGHTS).open("ab") as file:
            file.write(b"more")
        with pytest.raises(ModelFileError, match="is not the file that was written"):
            bridgeseg.push("me/streets", run)
        assert hub.repos == {}


class TestUploadThatFails:
    def test_nobody_is_logged_in(
        self, hub: Hub, onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("HF_TOKEN")
        text = failed(capsys, "push", "me/streets", "--model", onnx)
        assert "you are not logged in" in text
        assert text.endswith("fix: hf auth login")
        Path(constants.HF_TOKEN_PATH).write_text("hf_mine")  # what that command does
        assert main(["push", "me/streets", "--model", str(onnx), "--quiet"]) == 0

    @pytest.mark.parametrize(
        ("token", "name", "message"),
        [
            ("hf_wrong", "me/streets", "not open to you"),
            ("hf_read", "me/streets", "does not allow this"),
            ("hf_mine", "you/streets", "does not allow this"),
        ],
    )
    def test_rights_are_missing(
        self, token: str, name: str, message: str, hub: Hub, onnx: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(InputError, match=message) as caught:
            bridgeseg.push(name, onnx)
        assert "hf auth login" in str(caught.value.fix)
        assert hub.repos == {}

    def test_there_is_no_network(
        self, onnx: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.chdir(onnx.parent)
        text = failed(capsys, "push", "me/streets", "--model", onnx)
        assert "http://127.0.0.1:9: the hub cannot be reached" in text
        assert "--dry-run" in text
        assert main(["push", "me/streets", "--model", str(onnx), "--dry-run", "--quiet"]) == 0
        assert sorted(file.name for file in (onnx.parent / "streets").iterdir()) == ["README.md", "model.onnx"]
        assert not constants.HF_HUB_OFFLINE

    @pytest.mark.parametrize(
        "name", ["streets", "me/", "/streets", "me/str eets", "a/b/c", "../x", "hf:", "me/a@..", ""]
    )
    def test_the_name_is_none(self, name: str, onnx: Path, capsys: pytest.CaptureFixture[str]) -> None:
        text = failed(capsys, "push", name, "--model", onnx)
        assert "fix: write OWNER/NAME, as in me/streets" in text or "fix: name a branch" in text

    def test_the_hub_has_rules_of_its_own(self, hub: Hub, onnx: Path) -> None:
        with pytest.raises(InputError, match="Cannot have -- or"):
            bridgeseg.push("me/a--b", onnx)
        with pytest.raises(InputError, match='"license" must be one of'):
            bridgeseg.push("me/streets", onnx, license="mine")

    def test_private_things_go_to_no_public_place(self, hub: Hub, onnx: Path) -> None:
        bridgeseg.push("me/streets", onnx)
        before = hub.repos["me/streets"].commit()
        with pytest.raises(InputError, match="is public already"):
            bridgeseg.push("me/streets", onnx, private=True)
        assert hub.repos["me/streets"].commit() == before
        bridgeseg.push("me/streets", onnx)
        bridgeseg.push("me/mine", onnx, private=True)


def test_the_client_of_the_hub_is_missing(
    onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("huggingface_hub", "bridgeseg.sharing.card"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "bridgeseg.sharing.card")
    for words in (["push", "me/streets", "--model", onnx], ["info", "--model", "hf:me/streets"]):
        assert "fix: pip install 'bridgeseg[hub]'" in failed(capsys, *words)


class TestDownload:
    def test_a_file(self, hub: Hub, onnx: Path, picture: Path, tmp_path: Path) -> None:
        bridgeseg.push("me/streets", onnx)
        model = bridgeseg.load("hf:me/streets")
        assert model.classes == RGB_CLASSES
        assert model.path is not None
        assert model.path.read_bytes() == onnx.read_bytes()
        assert main(["predict", str(picture), "--model", "hf:me/streets", "--out", str(tmp_path / "out"), "-q"]) == 0
        assert np.array_equal(Image.open(tmp_path / "out" / "a_mask.png"), bridgeseg.load(onnx).predict(picture).mask)
        taken = [line for line in hub.requests if line.startswith("GET") and "/resolve/" in line]
        assert taken == ["GET /me/streets/resolve/main/model.onnx"], "once, and nothing else"

    def test_a_checkpoint(self, hub: Hub, run: Path, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
        bridgeseg.push("me/streets", run)
        hub.repos["me/streets"].write(hub.repos["me/streets"].files() | {"setup.py": b"1/0", "a.pt": b"x"})
        mask = bridgeseg.load("hf:me/streets").predict(picture).mask
        assert np.array_equal(mask, bridgeseg.load(run).predict(picture).mask)
        assert main(["info", "--model", "hf:me/streets", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["provenance"]["scores"] == SCORES
        taken = {line.rpartition("/")[2] for line in hub.requests if "/resolve/" in line}
        assert taken == {"config.json", "model.safetensors"}

    def test_of_both_the_file_runs_and_the_checkpoint_is_trained_on(self, hub: Hub, run: Path, onnx: Path) -> None:
        file = write_onnx(onnx, provenance={"method": "none", "scores": SCORES})
        bridgeseg.push("me/streets", run, onnx=file)
        assert named("hf:me/streets").name == "model.onnx"
        assert sorted(file.name for file in named("hf:me/streets", "folder").iterdir()) == [
            "config.json", "model.onnx", "model.safetensors",
        ]  # fmt: skip
        loaded = bridgeseg.load("hf:me/streets", runtime="torch")
        assert loaded.path is not None
        assert loaded.path.is_dir()

    def test_a_training_goes_on_from_the_commit_of_today(self, hub: Hub, run: Path) -> None:
        bridgeseg.push("me/streets", run)
        commit = hub.repos["me/streets"].commit()
        settings = completed({"init": "hf:me/streets", "epochs": 1})
        assert settings["init"] == f"hf:me/streets@{commit}"
        assert settings["model"]["backbone"] == "test_efficientnet"
        asked = len(hub.requests)
        assert completed(settings)["model"] == settings["model"]
        assert len(hub.requests) == asked, "a commit that is here needs no network"

    def test_revisions(self, hub: Hub, onnx: Path, tmp_path: Path) -> None:
        first = bridgeseg.push("me/streets", onnx).commit
        two = bridgeseg.ClassSet.build(["a", "b", "c"])
        bridgeseg.push("me/streets", write_onnx(tmp_path / "b.onnx", classes=two), revision="refs/two")
        assert bridgeseg.load("hf:me/streets@refs/two").classes.names == ("a", "b", "c")
        assert bridgeseg.load(f"hf:me/streets@{first}").classes == RGB_CLASSES
        with pytest.raises(InputError, match="there is no such revision"):
            bridgeseg.load("hf:me/streets@three")

    def test_without_network_what_is_here_is_taken(self, hub: Hub, onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bridgeseg.push("me/streets", onnx)
        bridgeseg.load("hf:me/streets")
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        assert bridgeseg.load("hf:me/streets").classes == RGB_CLASSES
        assert named("hf:me/streets", "folder").name == "model.onnx"
        with pytest.raises(ModelFileError, match="is not on this machine"):
            bridgeseg.load("hf:me/other")

    def test_private_repositories_are_their_owners(
        self, hub: Hub, onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bridgeseg.push("me/streets", onnx, private=True)
        assert bridgeseg.load("hf:me/streets").classes == RGB_CLASSES
        monkeypatch.delenv("HF_TOKEN")
        text = failed(capsys, "info", "--model", "hf:me/streets@main")
        assert "or it is not open to you fix: check the spelling; if it is a private one, log in: hf auth login" in text


class TestStrangers:
    def test_only_three_names_are_models(self, hub: Hub, onnx: Path) -> None:
        bridgeseg.push("me/streets", onnx)
        hub.repos["me/streets"].write({"model.bin": b"x", "config.json": b"{}", "other.onnx": onnx.read_bytes()})
        with pytest.raises(ModelFileError, match="holds no model of bridgeseg"):
            bridgeseg.load("hf:me/streets")
        assert not [line for line in hub.requests if "/resolve/" in line]

    @pytest.mark.parametrize("size", [2**31 + 1, 0, -1])
    def test_sizes_are_looked_at_first(self, size: int, hub: Hub, onnx: Path) -> None:
        bridgeseg.push("me/streets", onnx)
        hub.sizes["model.onnx"] = size
        with pytest.raises(ModelFileError, match="at most 2,147,483,648 are taken") as caught:
            bridgeseg.load("hf:me/streets")
        assert "hf download me/streets --local-dir" in str(caught.value.fix)
        assert not [line for line in hub.requests if "/resolve/" in line]

    def test_files_are_checked_as_any_others(self, hub: Hub, run: Path, onnx: Path) -> None:
        bridgeseg.push("me/streets", onnx)
        hub.repos["me/streets"].write({"model.onnx": b"\x80\x04no model"})
        with pytest.raises(ModelFileError):
            bridgeseg.load("hf:me/streets")
        bridgeseg.push("me/streets", run)
        files = hub.repos["me/streets"].files()
        hub.repos["me/streets"].write(files | {"config.json": files["config.json"].replace(b'"red"', b"3")})
        with pytest.raises(ModelFileError):
            bridgeseg.load("hf:me/streets")

    @pytest.mark.parametrize("name", ["hf:", "hf:streets", "hf:../../x", "hf:a/b/c", "hf:me/x@../../y", "hf:me/x@"])
    def test_names_that_are_none(self, name: str) -> None:
        with pytest.raises(ConfigError):
            bridgeseg.load(name)

    def test_names_are_read_and_written(self) -> None:
        for name in ("hf:me/streets", "hf:me/streets@v1.2", f"hf:me/streets@{'a' * 40}"):
            assert str(Repository.of(name)) == name
        assert str(Repository.of("me/streets@main")) == "hf:me/streets"

    def test_an_empty_training_set_of_names(self, hub: Hub, onnx: Path) -> None:
        bridgeseg.push("me/streets", onnx)
        with pytest.raises(ModelFileError, match="cannot be trained any further"):
            completed({"init": "hf:me/streets"})


@pytest.fixture
def called(hub: Hub, tmp_path: Path) -> Callable[..., str]:
    """Run a module in a process that knows the hub by its address alone; return what it prints."""
    bare = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "BRIDGESEG"))}
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_mine"}
    settings |= {"HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(Path(bridgeseg.__file__).parents[1])}

    def call(*words: object) -> str:
        command = [sys.executable, "-m", *map(str, words)]
        done = subprocess.run(command, env=bare | settings, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.mark.slow
def test_what_is_too_large_is_taken_by_hand(hub: Hub, onnx: Path, called: Callable[..., str], tmp_path: Path) -> None:
    bridgeseg.push("me/streets", onnx)
    hub.sizes["model.onnx"] = 2**40
    with pytest.raises(ModelFileError, match="at most") as caught:
        bridgeseg.load("hf:me/streets")
    command = str(caught.value.fix).partition(": hf ")[2].replace("DIR", str(tmp_path / "taken"))
    called("huggingface_hub.cli.hf", *command.split())
    assert bridgeseg.load(tmp_path / "taken" / "model.onnx").classes == RGB_CLASSES


@pytest.mark.slow
def test_from_a_training_to_another_by_the_command_line(
    hub: Hub, called: Callable[..., str], tmp_path: Path, picture: Path
) -> None:
    """A run on absolute paths is uploaded, predicts and is trained on, each in a process of its own."""
    pytest.importorskip("lightning")
    from tiny_data import TINY, write_dataset

    home, following = tmp_path / "home", tmp_path / "next"
    data = write_dataset(home / "data").absolute()
    bridgeseg.train(data=data, out=home / "run", quiet=True, **TINY)
    bridgeseg.export(home / "run", home / "run.onnx")
    called("bridgeseg", "push", "me/tiny", "--model", home / "run", "--onnx", home / "run.onnx")
    files = hub.repos["me/tiny"].files()
    assert {"curves.png", "iou.png", "confusion.png", "model.onnx", "model.safetensors"} < set(files)
    assert not [name for name, content in files.items() if str(tmp_path).encode() in content]
    assert not [name for name, content in files.items() if str(Path.home()).encode() + b"/" in content]
    words = ["predict", picture, "--model", "hf:me/tiny", "--out", tmp_path / "out", "--json"]
    assert json.loads(called("bridgeseg", *words))["areas"]
    small = ["augment.crop_size=[32,32]", "batch_size=4", "workers=0", "epochs=1", "accelerator=cpu"]
    words = ["train", "--data", data, "--init", "hf:me/tiny", "--out", following, "--quiet"]
    words += [word for setting in small for word in ("--set", setting)]
    called("bridgeseg", *words)
    assert json.loads((following / "train.json").read_text())["init"] == f"hf:me/tiny@{hub.repos['me/tiny'].commit()}"
    assert "tensors carried over" in (following / "train.log").read_text()
