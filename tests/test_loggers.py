"""Where the numbers of a run go: TensorBoard, CSV, MLflow and W&B, each read back; callbacks of a user."""

from __future__ import annotations

import csv
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest

from bridgeseg import extras
from bridgeseg.api import train
from bridgeseg.errors import ConfigError, InputError, MissingDependencyError
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import set_values
from bridgeseg.training import fit as room
from bridgeseg.training.module import TrainModule
from tiny_data import TINY, write_dataset

SETTINGS = set_values(TINY, {"model.method": "none"})
ELSEWHERE = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "write_images", lambda *_: None)
    for name in ELSEWHERE:
        monkeypatch.delenv(name, raising=False)


def run(data: Path, out: Path, *loggers: str, **changes: Any) -> Any:
    return train(data, out, quiet=True, **set_values(SETTINGS, {"logger": loggers, **changes}))


def in_two_sessions(data: Path, out: Path, *loggers: str) -> Any:
    """Stop a run of two epochs after its first, and let it go on."""
    start = TrainModule.on_train_epoch_start

    def stop(module: TrainModule) -> None:
        if module.current_epoch == 1:
            raise KeyboardInterrupt
        start(module)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainModule, "on_train_epoch_start", stop)
        with pytest.raises(InputError, match="stopped in epoch 2"):
            run(data, out, *loggers)
    return train(out=out, resume=True, quiet=True)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class TestChosen:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("tensorboard, csv", ("tensorboard", "csv")),
            (["csv", "wandb", "csv"], ("csv", "wandb")),
            ("none", ()),
            (None, ()),
        ],
    )
    def test_forms_that_are_understood(self, given: Any, kept: tuple[str, ...]) -> None:
        assert TrainConfig.parse({"data": "d", "logger": given}).logger == kept

    def test_an_unknown_one(self) -> None:
        with pytest.raises(ConfigError, match=r"logger\.0 must be 'tensorboard', .* or 'wandb', found 'x'"):
            TrainConfig.parse({"data": "d", "logger": "x"})

    @pytest.mark.parametrize("name", ["mlflow", "wandb"])
    def test_one_that_is_not_installed(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setattr(extras, "find_spec", lambda _: None)
        with pytest.raises(MissingDependencyError, match=rf"'{name}'.*\n  fix: pip install 'bridgeseg\[{name}\]'"):
            run(data, tmp_path / "run", name)
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
class TestFiles:
    def test_none(self, data: Path, tmp_path: Path) -> None:
        out = run(data, tmp_path / "run", epochs=1).folder
        assert not (out / "logs").exists()
        assert len(table(out / "metrics.csv")) == 1

    def test_tensorboard_and_csv_in_two_sessions(self, data: Path, tmp_path: Path) -> None:
        accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        result = in_two_sessions(data, tmp_path / "run", "tensorboard", "csv")
        logs = tmp_path / "run" / "logs"
        found = accumulator.EventAccumulator(str(logs)).Reload()
        assert len(found.Scalars("val_miou")) == 2
        assert found.Scalars("best_miou")[0].value == pytest.approx(result.scores.miou)
        first, second = (table(logs / name / "metrics.csv") for name in ("csv", "csv-1"))
        assert [row["val_miou"] != "" for row in first if row.get("val_loss")] == [True]
        assert float(second[-1]["best_miou"]) == pytest.approx(result.scores.miou)
        assert float(second[-1]["best_epoch"]) == result.epoch
        assert "method: none" in (logs / "csv" / "hparams.yaml").read_text()
        assert str(data.parent) not in (logs / "csv" / "hparams.yaml").read_text()


@pytest.mark.slow
class TestMLflow:
    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("mlflow")
        pytest.importorskip("sqlalchemy")

    def test_one_run_in_two_sessions(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from mlflow.tracking import MlflowClient

        monkeypatch.chdir(tmp_path)
        result = in_two_sessions(data, tmp_path / "run", "mlflow")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
        assert "MLFLOW_TRACKING_URI" not in os.environ
        client = MlflowClient(f"sqlite:///{tmp_path}/run/logs/mlflow.db")
        (experiment,) = [found for found in client.search_experiments() if found.name == "bridgeseg"]
        (found,) = client.search_runs([experiment.experiment_id])
        assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
        assert found.data.params["model.method"] == "none"
        assert (found.data.params["epochs"], found.data.params["data"]) == ("2", "data.yaml")
        assert found.data.metrics["best_miou"] == pytest.approx(result.scores.miou)
        assert found.data.metrics["best_iou red"] == pytest.approx(result.scores.iou["red"])
        history = client.get_metric_history(found.info.run_id, "val_miou")
        assert [item.value for item in history] == pytest.approx(
            [float(row["miou"]) for row in table(tmp_path / "run" / "metrics.csv")]
        )

    def test_a_store_of_the_user(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from mlflow.tracking import MlflowClient

        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mine.db")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "streets")
        run(data, tmp_path / "run", "mlflow", epochs=1)
        assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/mine.db"
        client = MlflowClient(f"sqlite:///{tmp_path}/mine.db")
        assert "streets" in [found.name for found in client.search_experiments()]
        assert not (tmp_path / "run" / "logs" / "mlflow.db").exists()


def wandb_records(path: Path) -> Iterator[Any]:
    """Yield the records of a file of W&B: messages in the blocks of LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole message, or the last part of one
            yield Record.FromString(whole)
            whole = b""


@pytest.mark.slow
def test_wandb_offline_without_an_account(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    result = in_two_sessions(data, tmp_path / "run", "wandb")
    files = sorted((tmp_path / "run" / "logs" / "wandb").glob("offline-run-*/*.wandb"))
    assert len({file.name for file in files}) == 1  # one run, in as many parts as there were sessions
    records = [record for file in files for record in wandb_records(file)]
    assert {record.run.project for record in records if record.HasField("run")} == {"bridgeseg"}
    settings = {
        item.key or "/".join(item.nested_key): item.value_json
        for record in records
        for item in (*record.config.update, *record.run.config.update)
    }
    assert getattr(sys.modules["wandb"], "run", None) is None
    assert settings["model.method"] == '"none"'
    assert str(data.parent) not in settings["data"]
    history = [
        {item.key or "/".join(item.nested_key): float(item.value_json) for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    expected = [float(row["miou"]) for row in table(tmp_path / "run" / "metrics.csv")]
    assert [row["val_miou"] for row in history if "val_miou" in row] == pytest.approx(expected)
    assert [row["best_miou"] for row in history if "best_miou" in row] == pytest.approx([result.scores.miou])


class Steps(pl.Callback):
    def __init__(self) -> None:
        self.seen = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.seen += 1


class TestCallbacks:
    @pytest.mark.slow
    def test_of_a_user(self, data: Path, tmp_path: Path) -> None:
        steps = Steps()
        run(data, tmp_path / "run", epochs=2, callbacks=[steps])
        assert steps.seen == 4

    def test_what_is_none(self, data: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"objects of lightning\.pytorch\.Callback, found function"):
            run(data, tmp_path / "run", callbacks=[print_nothing])
        with pytest.raises(ConfigError, match="callbacks are a list"):
            train(data, tmp_path / "run", quiet=True, callbacks=Steps())  # type: ignore[arg-type]
        assert not (tmp_path / "run").exists()


def print_nothing() -> None:
    return None
