"""The command line from a dataset to masks: train, evaluate, export, predict, as a user runs them."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import signal
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import onnx
import pytest
import yaml
from PIL import Image

import bridgeseg
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.cli import main
from bridgeseg.runtime.torch_runtime import TorchRuntime
from bridgeseg.text import save_embeddings
from bridgeseg.training import fit as room
from tiny_data import NAMES, TINY, write_dataset
from tiny_networks import TEXT_DIM, embeddings

pytestmark = pytest.mark.slow

PICTURES = ("curves.png", "iou.png", "confusion.png", "examples.png")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, a file of class embeddings and a file of settings."""
    folder = tmp_path_factory.mktemp("home-of-a-user")
    write_dataset(folder / "data")
    save_embeddings(folder / "clip.safetensors", embeddings(len(NAMES)), NAMES)
    settings = TINY | {"epochs": 12, "batch_size": 2, "ema": 0.9}
    settings |= {"augment": TINY["augment"] | {"crop_size": [48, 64]}, "text_encoder": str(folder / "clip.safetensors")}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(settings))
    return folder


class Shell:
    """Runs commands in this process and keeps what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: object, code: int = 0) -> tuple[str, str]:
        self.capsys.readouterr()
        found = main([str(word) for word in words])
        printed = self.capsys.readouterr()
        assert found == code, printed.err
        return printed.out, printed.err

    def json(self, *words: object) -> Any:
        """Return the one JSON object that a command prints; nothing else may be on stdout."""
        return json.loads(self(*words, "--json")[0])


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


class Done(NamedTuple):
    """A finished run and its exported file; what `train --json` and `export --json` printed."""

    method: str
    run: Path
    file: Path
    trained: Any
    exported: Any


@pytest.fixture(scope="module", params=["none", "bridge"])
def done(request: pytest.FixtureRequest, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder, printed = tmp_path_factory.mktemp("done"), []
    run, file = folder / "run", folder / "demo.onnx"
    train = ["train", "--data", home / "data" / "data.yaml", "--config", home / "tiny.yaml", "--out", run]
    for words in ([*train, "--method", request.param], ["export", "--model", run, "--out", file, "--logits"]):
        with contextlib.redirect_stdout(io.StringIO()) as stdout:
            assert main([*map(str, words), "--json"]) == 0
        printed.append(json.loads(stdout.getvalue()))
    return Done(request.param, run, file, *printed)


def test_a_run_folder_holds_everything(done: Done) -> None:
    assert done.trained["run"] == str(done.run)
    assert done.trained["scores"]["miou"] > 0.8
    names = {"train.json", "environment.json", "resume.ckpt", "metrics.csv", "best", "last", "logs", *PICTURES}
    names |= {"data.sha256", "train.log"}
    assert {path.name for path in done.run.iterdir()} == names
    for name in PICTURES:
        with Image.open(done.run / name) as picture:
            assert min(picture.size) > 200
    assert list((done.run / "logs").glob("events.out.tfevents.*"))


def test_checkpoint_and_file_score_alike(done: Done, home: Path, shell: Shell) -> None:
    data = ("--data", home / "data" / "data.yaml", "--split", "val")
    scored = shell.json("evaluate", "--model", done.run, *data)
    assert 0 <= scored.pop("ece") <= 1  # which a training does not count
    assert scored == done.trained["scores"]
    again = shell.json("evaluate", "--model", done.file, *data)
    assert again["miou"] == pytest.approx(done.trained["scores"]["miou"], abs=2e-3)


def test_the_file_predicts(done: Done, home: Path, tmp_path: Path, shell: Shell) -> None:
    record = shell.json("predict", home / "data" / "images" / "val" / "0.png", "--model", done.file, "--out", tmp_path)
    assert record["areas"].keys() <= set(NAMES)
    with Image.open(record["mask"]) as mask, Image.open(home / "data" / "masks" / "val" / "0.png") as truth:
        found, expected = np.asarray(mask), np.asarray(truth)
    assert found.shape == expected.shape == (48, 64)
    assert (found == expected)[expected != 255].mean() > 0.8


def test_the_file_tells_where_it_comes_from_but_no_folders(done: Done, home: Path, shell: Shell) -> None:
    assert done.exported == {"model": str(done.file), "bytes": done.file.stat().st_size}
    facts = shell.json("info", "--model", done.file)["provenance"]
    assert (facts["method"], facts["backbone"]) == (done.method, "test_efficientnet")
    assert facts["scores"]["miou"] == done.trained["scores"]["miou"]
    assert facts.get("text_encoder") == (None if done.method == "none" else "clip.safetensors")
    assert facts["data"]["file"] == "data.yaml"
    content = done.file.read_bytes()
    assert home.name.encode() not in content
    for place in (done.run.parent, Path.cwd(), Path(bridgeseg.__file__).parent, Path(np.__file__).parent):
        assert str(place).encode() not in content, place


def test_nothing_of_the_text_encoder_is_in_the_file(done: Done) -> None:
    tensors = {tensor.name: tuple(tensor.dims) for tensor in onnx.load(done.file).graph.initializer}
    network = TorchRuntime(load_checkpoint(done.run).segmentor).network  # folded
    numbers = sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    assert sum(math.prod(dims) for dims in tensors.values()) < 1.05 * numbers + 100
    assert not [name for name, dims in tensors.items() if TEXT_DIM in dims or "token_in" in name]
    embeddings = load_checkpoint(done.run).segmentor.class_embeddings
    assert embeddings is None if done.method == "none" else embeddings.shape == (len(NAMES), TEXT_DIM)


@pytest.mark.parametrize("size", [(1, 96, 160), (3, 33, 65), (1, 1, 1), (2, 7, 130), (1, 255, 31)])
def test_the_file_answers_as_pytorch_does(size: tuple[int, int, int], done: Done) -> None:
    ours, theirs = TorchRuntime(load_checkpoint(done.run).segmentor), bridgeseg.load(done.file).runtime
    coarse = np.random.default_rng(size[1]).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    images = np.stack([np.asarray(Image.fromarray(coarse).resize(size[:0:-1]))] * size[0])
    expected, logits, ids = ours.logits(images), theirs.logits(images), theirs.classes(images)
    assert logits.shape == expected.shape == (size[0], len(NAMES), *size[1:])
    assert np.abs(logits - expected).max() <= 1e-3 * max(1, np.abs(expected).max())
    chosen = np.take_along_axis(expected, ids[:, None].astype(np.int64), axis=1)[:, 0]
    assert (expected.max(axis=1) - chosen).max() <= 2e-3
    assert size != (1, 96, 160) or len(np.unique(ids)) > 1


def test_ctrl_c_and_resume(home: Path, tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(pl.Callback):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                signal.raise_signal(signal.SIGINT)

    words = ["train", "--data", home / "data", "--config", home / "tiny.yaml", "--out", tmp_path / "run"]
    words += ["--set", "epochs=2", "--set", "val_split=none", "--set", "text_encoder=random:16/0"]
    make = room.make_trainer
    with monkeypatch.context() as patch:
        patch.setattr(room, "write_images", lambda *_: pytest.fail("a stopped run was finished"))

        def stopping(*args: Any, **options: Any) -> pl.Trainer:
            trainer = make(*args, **options)
            trainer.callbacks.append(Stop())  # type: ignore[attr-defined]
            return trainer

        patch.setattr(room, "make_trainer", stopping)
        out, err = shell(*words, code=2)
    assert out == ""
    stopped = f"error: {tmp_path / 'run'}: stopped in epoch 2; saved up to the end of epoch 1"
    assert f"{stopped}\n  fix: continue with: bridgeseg train --out " in err
    assert "holds a run already" in shell(*words, code=2)[1]
    resume = ("train", "--out", tmp_path / "run", "--resume")
    assert "other settings: epochs: 2 -> 3" in shell(*resume, "--epochs", 3, code=2)[1]
    out, err = shell(*resume)
    assert out == f"run: {tmp_path / 'run'}\n"
    assert [line for line in err.splitlines() if re.fullmatch(r"epoch 2/2  loss \d\.\d+  0 min left", line)]
    assert (tmp_path / "run" / "curves.png").is_file()
    assert not (tmp_path / "run" / "iou.png").exists()
    monkeypatch.setattr(room, "write_images", lambda *_: None)
    assert "all 2 epochs of this run are done" in shell(*resume)[1]
    assert shell(*resume, "--quiet") == ("", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "epoch=3"], "unknown key 'epoch'; did you mean 'epochs'"),
        (["--set", "epochs"], "a setting is KEY=VALUE, found 'epochs'"),
        (["--set", "model.bridge.depth=x"], "model.bridge.depth must be a whole number, found 'x'"),
        (["--set", "lr=inf"], "lr must be a finite number"),
        (["--method", "bridg"], "no method 'bridg'; did you mean 'bridge'"),
        (["--precision", "8-bit"], "precision must be '32-true'"),
        (["--devices", "x"], "devices 'x' is no number"),
        (["--strategy", "teleport"], "the trainer refuses these settings"),
        (["--text-encoder", "hf:/no/such/folder"], "no such folder"),
        (["--text-encoder", "open_clip:ViT-B-16/nope"], "has no weights called 'nope'"),
        (["--backbone", "efficientnet_lite9"], "did you mean 'efficientnet_lite"),
        (["--data", "absent.yaml"], "absent.yaml"),
        (["--config", "absent.yaml"], "absent.yaml: cannot be read"),
        (["--resume"], "holds no run to resume"),
    ],
)
def test_mistakes_end_with_2(words: list[str], message: str, home: Path, tmp_path: Path, shell: Shell) -> None:
    given = ["train", "--data", home / "data" / "data.yaml", "--config", home / "tiny.yaml", "--out", tmp_path / "run"]
    out, err = shell(*given, *words, code=2)
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("run/*"))


def test_no_data(tmp_path: Path, shell: Shell) -> None:
    assert "no dataset given\n  fix: pass --data FOLDER" in shell("train", "--out", tmp_path / "run", code=2)[1]


def test_export_mistakes(tmp_path: Path, shell: Shell) -> None:
    assert "end it with .onnx" in shell("export", "--model", tmp_path, "--out", tmp_path / "a.pt", code=2)[1]
    assert "holds no checkpoint" in shell("export", "--model", tmp_path, "--out", tmp_path / "a.onnx", code=2)[1]
