"""How long a training is: epochs, steps, a floor for few images, a limit of time that the schedule is fitted to."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import lightning.pytorch as pl
import numpy as np
import pytest

from bridgeseg.api import train
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.cli import main
from bridgeseg.errors import ConfigError, DataError, InputError
from bridgeseg.metrics import Scores
from bridgeseg.settings.length import EPOCHS, MIN_STEPS, minutes
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import set_values
from bridgeseg.training import ending, resuming
from bridgeseg.training import fit as room
from bridgeseg.training.length import pass_steps, refuse_part_of_a_step, settled, validation_period
from bridgeseg.training.module import TrainModule, rate_factor
from tiny_data import TINY, write_dataset
from tiny_runs import differing

FREE = {key: value for key, value in TINY.items() if key != "epochs"} | {"model.method": "none"}
"""Settings of a tiny run without a length."""
PASS = 2
"""Steps of one pass over the tiny dataset: 8 images, 4 a step."""


def config(**values: Any) -> TrainConfig:
    return TrainConfig.parse({"data": "d", **values})


@pytest.mark.parametrize(("held", "given"), [("epochs", "steps"), ("steps", "epochs")])
def test_the_length_that_is_given_overrides_that_of_a_file(tmp_path: Path, held: str, given: str) -> None:
    (tmp_path / "train.json").write_text(json.dumps({"data": str(tmp_path / "nowhere.yaml"), held: 3}))
    with pytest.raises(DataError, match="nowhere"):  # the settings were taken
        train(config=tmp_path / "train.json", out=tmp_path / "run", **{given: 2})
    with pytest.raises(ConfigError, match=r"^`epochs` and `steps` are both given, 3 and 9; leave one out"):
        train(config=tmp_path / "train.json", out=tmp_path / "run", epochs=3, steps=9)


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "found"),
        [("1h30m", 90), ("45m", 45), ("90s", 1.5), ("1h 5min 30s", 65.5), ("0.5h", 30), ("20", 20), (2.5, 2.5), (3, 3)],
    )
    def test_that_are_understood(self, text: Any, found: float) -> None:
        assert minutes(text) == found
        assert config(time_limit=text).time_limit == found
        assert config(**json.loads(config(time_limit=text).model_dump_json(exclude={"data"}))).time_limit == found

    @pytest.mark.parametrize("text", ["", "soon", "0", "0m", "-3", "1h30", "m", "nan", "inf", True, [1], "1d"])
    def test_that_are_not(self, text: Any) -> None:
        with pytest.raises(ConfigError, match="time_limit must be a time such as 1h30m, 45m or 90s, or minutes, found"):
            config(time_limit=text)

    def test_on_the_command_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["train", "--data", "d", "--time-limit", "soon"]) == 2
        assert "--time-limit: a time is needed, found 'soon'" in capsys.readouterr().err


class TestSettled:
    """The length of a run by its settings and the images of a pass: batch 16."""

    @pytest.mark.parametrize(
        ("images", "values", "epochs", "length"),
        [
            (176, {}, 50, 80),  # 11 steps a pass: 4000 steps
            (100, {}, 50, 80),
            (3, {}, 50, 80),
            (1264, {}, 50, 80),  # 79 steps a pass: one too few
            (1280, {}, 50, None),
            (16_000, {}, 50, None),
            (176, {"min_steps": 0}, 50, None),
            (176, {"min_steps": 1000}, 50, 20),
            (176, {"epochs": 3}, 3, None),
            (176, {"epochs": 3, "epoch_steps": 7}, 3, 7),
            (176, {"steps": 4000}, 50, 80),
            (176, {"steps": 22}, 2, None),
            (176, {"steps": 23}, 3, 8),
            (16_000, {"steps": 4000}, 4, None),
            (118_000, {"steps": 1000}, 1, 1000),
            (18_000, {"steps": 4000}, 4, 1000),
            (176, {"epoch_steps": 40}, 100, 40),
            (176, {"accumulate": 2}, 50, 80),
            (176, {"accumulate": 2, "steps": 10}, 2, None),  # 11 batches: the last one makes no step
            (176, {"batch_size": 200}, 50, 80),
            (118_000, {"time_limit": "1h"}, 3688, 100),
            (176, {"time_limit": "1h"}, 50, 80),
            (176, {"time_limit": "1h", "epochs": 9}, 9, None),
        ],
    )
    def test_epochs_and_their_steps(self, images: int, values: dict[str, Any], epochs: int, length: int | None) -> None:
        found = settled(config(**values), [images])
        assert (found.epochs, found.epoch_steps, found.steps) == (epochs, length, None)
        total = epochs * (length or pass_steps([images], found))
        if "steps" in values:
            assert values["steps"] <= total < values["steps"] + epochs
        elif not {"epochs", "min_steps", "time_limit"} & values.keys():
            assert total >= max(MIN_STEPS, EPOCHS * pass_steps([images], found))
        assert settled(found, [images]) == found
        assert TrainConfig.parse(found.model_dump(mode="json")) == found

    def test_part_of_a_step(self) -> None:
        refuse_part_of_a_step([32], config(epochs=3, accumulate=2))
        refuse_part_of_a_step([32], config(epochs=3, accumulate=3, epoch_steps=1))
        with pytest.raises(ConfigError, match="a step adds up 3 batches, and an epoch has 2"):
            refuse_part_of_a_step([32], config(epochs=3, accumulate=3))

    def test_several_devices_and_datasets(self) -> None:
        assert pass_steps([176], config(), 4) == 2
        assert pass_steps([176, 50], config(data=["a", "b"])) == 11 + 3
        assert settled(config(data=["a", "b"]), [176, 50], 2).epoch_steps == 80

    @pytest.mark.parametrize(("epochs", "every", "period"), [(50, None, 1), (51, None, 2), (4000, None, 80), (9, 4, 4)])
    def test_validations(self, epochs: int, every: int | None, period: int) -> None:
        assert validation_period(config(val_every=every), epochs) == period
        assert config(val_every="auto").val_every is None

    def test_two_lengths(self) -> None:
        with pytest.raises(ConfigError, match="`epochs` and `steps` are both given, 3 and 9; leave one out"):
            config(epochs=3, steps=9)
        assert config(epochs="none", steps=9).steps == 9

    def test_a_length_that_is_not_settled(self) -> None:
        with pytest.raises(ValueError, match="not settled"):
            assert config().whole


class TestFitting:
    @pytest.mark.parametrize(
        ("done", "spent", "validation", "fits"),
        [
            (1, 60, 0, 9),
            (1, 6, 0, 20),
            (9, 540, 0, 9),
            (9, 500, 0, 10),
            (9, 500, 60, 9),
            (1, 6000, 0, 1),
            (1, 0, 0, 20),
        ],
    )
    def test_epochs_into_ten_minutes(self, done: int, spent: float, validation: float, fits: int) -> None:
        limited = config(epochs=20, time_limit=10)
        assert ending.fitting_epochs(limited, done, spent, validation) == fits
        kept = {"limit": 10.0, "spent": float(spent), "validation": float(validation), "epochs": 7}
        state = {"epoch": done - 1, "callbacks": {"TimeLimit": kept}}
        assert ending.planned_epochs(config(epochs=20), state) == 20
        if spent:
            assert ending.planned_epochs(limited, state) == 7  # as it was planned
            assert ending.planned_epochs(config(epochs=20, time_limit=5000), state) == 20
            kept["limit"] = 9.0
            assert ending.planned_epochs(limited, state) == fits


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "write_images", lambda *_: None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that moves by `step` seconds with every training step."""
    found = SimpleNamespace(now=1000.0, step=1.0)
    step = TrainModule.training_step

    def slow(*arguments: Any) -> Any:
        found.now += found.step
        return step(*arguments)

    monkeypatch.setattr(TrainModule, "training_step", slow)
    monkeypatch.setattr(ending, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every step of the trainings that follow."""
    found: list[float] = []
    step = TrainModule.training_step

    def noting(module: TrainModule, *arguments: Any) -> Any:
        found.append(module.trainer.optimizers[0].param_groups[-1]["lr"])
        return step(module, *arguments)

    monkeypatch.setattr(TrainModule, "training_step", noting)
    return found


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that starts a run which is stopped at the start of an epoch, counted from 0."""
    start = TrainModule.on_train_epoch_start

    def run_until(epoch: int, *where: Any, **settings: Any) -> None:
        def stop(module: TrainModule) -> None:
            if module.current_epoch == epoch:
                raise KeyboardInterrupt
            start(module)

        with monkeypatch.context() as patch:
            patch.setattr(TrainModule, "on_train_epoch_start", stop)
            with pytest.raises(InputError, match=f"stopped in epoch {epoch + 1}"):
                run(*where, **settings)

    return run_until


def run(data: Path, out: Path, **changes: Any) -> Any:
    return train(data, out, quiet=True, **set_values(FREE, changes))


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def validated(out: Path) -> list[int]:
    return [int(row["epoch"]) for row in rows(out) if row.get("miou")]


@pytest.mark.slow
class TestRuns:
    def test_a_floor_of_steps(self, data: Path, tmp_path: Path, rates: list[float]) -> None:
        run(data, tmp_path / "run", min_steps=150, val_split=None)
        found = TrainConfig.load(tmp_path / "run" / "train.json")
        assert (found.epochs, found.epoch_steps, len(rates)) == (50, 3, 150)
        assert rates == pytest.approx(
            [found.lr * rate_factor(step, 150, found.warmup, found.power) for step in range(150)]
        )
        assert json.loads((tmp_path / "run" / "environment.json").read_text())["epoch_steps"] == 3
        log = (tmp_path / "run" / "train.log").read_text()
        assert "150 steps: 50 epochs of 3" in log
        assert log.count(" to go, at ") == 1

    @pytest.mark.parametrize(("epoch_steps", "batch", "accumulate"), [(5, 4, 1), (1, 4, 1), (3, 16, 2)])
    def test_epochs_of_so_many_steps(
        self, data: Path, tmp_path: Path, rates: list[float], epoch_steps: int, batch: int, accumulate: int
    ) -> None:
        settings = {"epochs": 2, "epoch_steps": epoch_steps, "batch_size": batch, "accumulate": accumulate}
        run(data, tmp_path / "run", **settings)
        assert len(rates) == 2 * epoch_steps * accumulate
        assert validated(tmp_path / "run") == [1, 2]

    def test_of_several_datasets(self, data: Path, tmp_path: Path, rates: list[float]) -> None:
        other = write_dataset(tmp_path / "other", train=4)
        given = FREE | {"steps": 14, "model": {"method": "none", "backbone": "test_efficientnet", "width": 16}}
        del given["model.method"]
        train([data, other], tmp_path / "run", quiet=True, **given)
        assert TrainConfig.load(tmp_path / "run" / "train.json").epochs == 5
        assert len(rates) == 15

    def test_it_goes_on_exactly(self, data: Path, tmp_path: Path, killed: Any) -> None:
        settings = {"epochs": 3, "epoch_steps": 3, "val_every": 2}
        run(data, tmp_path / "whole", **settings)
        killed(1, data, tmp_path / "run", **settings)
        train(out=tmp_path / "run", resume=True, quiet=True, **{"steps": 9})
        assert validated(tmp_path / "run") == [2, 3]
        assert differing(tmp_path / "whole", tmp_path / "run") == []

    def test_more_steps_extend_it(self, data: Path, tmp_path: Path, rates: list[float]) -> None:
        out = run(data, tmp_path / "run", steps=4).folder
        assert train(out=out, resume=True, quiet=True, steps=4).epoch <= 2
        assert len(rates) == 4
        train(out=out, resume=True, quiet=True, steps=5)
        assert TrainConfig.load(out / "train.json").epochs == 3
        given = TrainConfig.load(out / "train.json")
        expected = [given.lr * rate_factor(step, 6, given.warmup, given.power) for step in (4, 5)]
        assert rates[4:] == pytest.approx(expected)
        with pytest.raises(ConfigError, match=r"both given, 9 and 9"):
            train(out=out, resume=True, quiet=True, steps=9, epochs=9)
        (out / "environment.json").unlink()
        with pytest.raises(ConfigError, match=r"how many steps its epochs have\n  fix: .*`epochs=80`"):
            train(out=out, resume=True, quiet=True, steps=9)
        assert train(out=out, resume=True, quiet=True, epochs=4).ended == "epochs"

    def test_settings_without_a_length_are_no_other_settings(self, data: Path, tmp_path: Path) -> None:
        asked = TrainConfig.parse(set_values(FREE, {"data": str(data), "min_steps": 6, "val_split": "none"}))
        out = train(out=tmp_path / "run", config=asked, quiet=True).folder
        assert train(out=out, config=asked, resume=True, quiet=True).ended == "epochs"

    def test_a_file_without_a_length(self, data: Path, tmp_path: Path) -> None:
        out = run(data, tmp_path / "run", epochs=1).folder
        values = json.loads((out / "train.json").read_text())
        (out / "train.json").write_text(json.dumps(values | {"epochs": None}))
        message = r"train\.json: does not say how long the run is\n  fix: write `.epochs.: N`"
        with pytest.raises(ConfigError, match=message):
            train(out=out, resume=True, quiet=True)
        (out / "train.json").write_text(json.dumps(values))
        assert train(out=out, resume=True, quiet=True).ended == "epochs"

    def test_many_epochs_are_validated_now_and_then(self, data: Path, tmp_path: Path) -> None:
        run(data, tmp_path / "run", epochs=52, epoch_steps=1)
        assert validated(tmp_path / "run") == list(range(2, 53, 2))


@pytest.mark.slow
class TestTimeLimit:
    SETTINGS: ClassVar[dict[str, Any]] = {"epochs": 40, "time_limit": 1 / 3}
    """Twenty seconds: by the clock of these tests ten epochs of two steps, less the reserve."""

    def test_the_schedule_is_fitted_to_it(
        self, data: Path, tmp_path: Path, clock: Any, rates: list[float], capsys: pytest.CaptureFixture[str]
    ) -> None:
        result = run(data, tmp_path / "run", **self.SETTINGS, val_every=4)
        epochs = int(20 * ending.RESERVE / PASS)
        assert (result.ended, len(rows(tmp_path / "run"))) == ("time_limit", epochs)
        assert validated(tmp_path / "run") == [4, 8, 9]
        found = TrainConfig.load(tmp_path / "run" / "train.json")
        totals = [PASS * 40] * PASS + [PASS * epochs] * (PASS * (epochs - 1))
        expected = [rate_factor(step, total, found.warmup, found.power) for step, total in enumerate(totals)]
        assert rates == pytest.approx([found.lr * rate for rate in expected])
        log = (tmp_path / "run" / "train.log").read_text()
        assert "about 9 of 40 epochs fit into the time limit of 20 s" in log
        assert "the time limit of 20 s ends the training after epoch 9 of 40" in log
        assert (tmp_path / "run" / "last" / "model.safetensors").is_file()
        assert (tmp_path / "run" / "best" / "model.safetensors").is_file()
        assert capsys.readouterr().err == ""

    def test_it_goes_on_exactly(self, data: Path, tmp_path: Path, clock: Any, killed: Any) -> None:
        run(data, tmp_path / "whole", **self.SETTINGS)
        killed(6, data, tmp_path / "run", **self.SETTINGS)
        clock.now += 1e6  # time between two sessions does not count
        assert train(out=tmp_path / "run", resume=True, quiet=True).ended == "time_limit"
        assert differing(tmp_path / "whole", tmp_path / "run") == []

    def test_a_larger_one_lets_it_go_on(
        self, data: Path, tmp_path: Path, clock: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = run(data, tmp_path / "run", **self.SETTINGS).folder
        done = len(rows(out))
        assert train(out=out, resume=True).ended == "time_limit"
        assert train(out=out, resume=True, time_limit="10s", quiet=True).ended == "time_limit"
        assert len(rows(out)) == done
        assert f"the time limit ended this run after epoch {done} of 40; a larger one" in capsys.readouterr().err
        with pytest.raises(ConfigError, match="more epochs can be added once all 40 are done"):
            train(out=out, resume=True, epochs=50, quiet=True)
        assert train(out=out, resume=True, time_limit="40s", quiet=True).ended == "time_limit"
        assert len(rows(out)) == int(40 * ending.RESERVE / PASS)
        assert TrainConfig.load(out / "train.json").time_limit == pytest.approx(2 / 3)
        assert train(out=out, resume=True, time_limit="none", quiet=True).ended == "epochs"
        assert len(rows(out)) == 40

    def test_one_that_is_never_near(self, data: Path, tmp_path: Path, clock: Any) -> None:
        settings = {"epochs": 3}
        run(data, tmp_path / "free", **settings)
        assert run(data, tmp_path / "run", **settings, time_limit="1h").ended == "epochs"
        assert "all 3 epochs fit into the time limit" in (tmp_path / "run" / "train.log").read_text()
        names = [name for name in differing(tmp_path / "free", tmp_path / "run") if not name.endswith("config.json")]
        assert names == []

    def test_a_machine_that_slows_down(self, data: Path, tmp_path: Path, clock: Any, monkeypatch: Any) -> None:
        start = TrainModule.on_train_epoch_start

        def slower(module: TrainModule) -> None:
            clock.step = 1 if module.current_epoch < 3 else 4
            start(module)

        monkeypatch.setattr(TrainModule, "on_train_epoch_start", slower)
        out = run(data, tmp_path / "run", **self.SETTINGS, val_every=2).folder
        # six seconds for three epochs, then eight for each: the fifth is over the limit, and validated
        assert len(rows(out)) == 5
        assert validated(out)[-1] == 5

    def test_an_epoch_longer_than_the_limit_is_finished(self, data: Path, tmp_path: Path, clock: Any) -> None:
        clock.step = 60
        result = run(data, tmp_path / "run", **self.SETTINGS, val_every=3)
        assert (result.ended, validated(tmp_path / "run")) == ("time_limit", [2])

    def test_without_validation(self, data: Path, tmp_path: Path, clock: Any) -> None:
        assert len(rows(run(data, tmp_path / "run", **self.SETTINGS, val_split=None).folder)) == 9


@pytest.mark.slow
class TestEarlyStop:
    SETTINGS: ClassVar[dict[str, Any]] = {"epochs": 9, "early_stop": 2, "epoch_steps": 1}

    @pytest.fixture(autouse=True)
    def _worse_every_epoch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def scores(module: TrainModule) -> Scores:
            wrong = 5 * module.current_epoch
            return Scores.from_confusion(np.array([[90 - wrong, 10 + wrong], [0, 50]]), ["a", "b"], 4)

        monkeypatch.setattr(TrainModule, "gather_scores", scores)

    def test_it_ends_and_a_larger_one_lets_it_go_on(
        self, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        result = run(data, tmp_path / "run", **self.SETTINGS)
        assert (result.ended, result.epoch, validated(tmp_path / "run")) == ("early_stop", 1, [1, 2, 3])
        log = (tmp_path / "run" / "train.log").read_text()
        assert f"no mIoU above {result.scores.miou:.3f} in 2 validations: the training ends after epoch 3" in log
        assert load_checkpoint(tmp_path / "run" / "last").provenance["epoch"] == 3
        assert train(out=tmp_path / "run", resume=True).ended == "early_stop"
        assert "this run ended early, after epoch 3 of 9" in capsys.readouterr().err
        assert train(out=tmp_path / "run", resume=True, early_stop=4, quiet=True).ended == "early_stop"
        assert validated(tmp_path / "run") == [1, 2, 3, 4, 5]
        assert TrainConfig.load(tmp_path / "run" / "train.json").early_stop == 4
        assert train(out=tmp_path / "run", resume=True, early_stop="none", quiet=True, epochs=9).ended == "epochs"

    def test_validations_count_and_not_epochs(self, data: Path, tmp_path: Path) -> None:
        run(data, tmp_path / "run", **self.SETTINGS, val_every=2)
        assert validated(tmp_path / "run") == [2, 4, 6]

    def test_it_survives_a_resume(self, data: Path, tmp_path: Path, killed: Any) -> None:
        killed(2, data, tmp_path / "run", **self.SETTINGS)
        assert train(out=tmp_path / "run", resume=True, quiet=True).ended == "early_stop"
        assert validated(tmp_path / "run") == [1, 2, 3]

    def test_on_the_command_line(self, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        settings = tmp_path / "c.json"
        settings.write_text(json.dumps(set_values(FREE, {"epochs": 9, "epoch_steps": 1})))
        words = ["train", "--data", str(data), "--config", str(settings), "--out", str(tmp_path / "run")]
        assert main([*words, "--early-stop", "1", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["ended"] == "early_stop"

    def test_it_needs_validation(self) -> None:
        with pytest.raises(ConfigError, match="`early_stop` goes by validations, and `val_split` is none"):
            config(early_stop=3, val_split=None)


@pytest.mark.slow
def test_what_is_said(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = json.loads(json.dumps(FREE))
    train(data, tmp_path / "run", **settings | {"steps": 30, "val_split": "none"})
    said = capsys.readouterr().err
    assert "30 steps: 15 epochs of 2\n" in said
    assert said.count(" to go, at ") == 1
    assert math.isfinite(float(rows(tmp_path / "run")[-1]["train_loss"]))
    assert isinstance(resuming.environment_of(tmp_path / "run")["epoch_steps"], int)
    assert issubclass(ending.TimeLimit, pl.Callback)
