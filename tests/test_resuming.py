"""Runs that go on: on the same data wherever it lies, on other devices, with more epochs, after a power cut."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image

from bridgeseg import files
from bridgeseg.api import train
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.errors import BridgeSegError, ConfigError, DataError, InputError, ModelFileError
from bridgeseg.training import fit as room
from bridgeseg.training import folder, resuming
from bridgeseg.training.module import rate_factor
from tiny_data import TINY, write_dataset
from tiny_runs import differing

pytestmark = pytest.mark.slow

FAST: dict[str, Any] = {"model.method": "none", "epochs": 1, "val_split": None}
STEPS = 2
"""Steps of an epoch of the tiny dataset."""


@pytest.fixture(autouse=True)
def _no_images(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(room, "write_images", lambda *_: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data")


def run(data: Path | str, out: Path | str, **changes: Any) -> Path:
    return train(data, out, quiet=True, **TINY | FAST | changes).folder


def unfinished(data: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Path:
    """Stop a run of two epochs in its second one."""

    class Stop(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                raise KeyboardInterrupt

    make = room.make_trainer

    def stopping(*args: Any, **options: Any) -> pl.Trainer:
        trainer = make(*args, **options)
        trainer.callbacks.append(Stop())  # type: ignore[attr-defined]
        return trainer

    with monkeypatch.context() as patch:
        patch.setattr(room, "make_trainer", stopping)
        with pytest.raises(InputError, match="stopped in epoch 2"):
            run(data, out, epochs=2, **changes)
    return out


class TestOtherData:
    def test_swapped_masks_are_noticed(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        out = unfinished(data, tmp_path / "run", monkeypatch)
        masks = sorted((data.parent / "masks" / "train").iterdir())
        before = [file.read_bytes() for file in masks]
        for file in masks:
            ids = np.array(Image.open(file))
            Image.fromarray(np.where(ids < 3, 2 - ids, ids).astype(np.uint8)).save(file)
        with pytest.raises(DataError, match=r"8 files are changed \(such as masks/train/0\.png\)\n  fix: undo"):
            train(out=out, resume=True, quiet=True)
        for file, content in zip(masks, before, strict=True):
            file.write_bytes(content)
        train(out=out, resume=True, quiet=True)

    def test_names_count_too(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        out = unfinished(data, tmp_path / "run", monkeypatch)
        for kind in ("images", "masks"):
            place = data.parent / kind / "train"
            shutil.copy(place / "0.png", place / "extra.png")
            (place / "1.png").unlink()
        with pytest.raises(DataError, match=r"2 files are missing \(such as .*\), 2 files are new \(such as .*extra"):
            train(out=out, resume=True, quiet=True)

    def test_the_list_is_one_that_sha256sum_checks(self, data: Path, tmp_path: Path) -> None:
        out = run(data, tmp_path / "run")
        lines = (out / "data.sha256").read_text().splitlines()
        assert len(lines) == 16  # no validation, so no validation images
        assert f"{files.digest(data.parent / 'masks/train/3.png')}  masks/train/3.png" in lines

    def test_a_run_without_a_list_goes_on(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        out = unfinished(data, tmp_path / "run", monkeypatch)
        (out / "data.sha256").unlink()
        assert train(out=out, resume=True, quiet=True).epoch == 2


class TestElsewhere:
    def test_from_another_folder_and_on_moved_data(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(data.parent)
        out = unfinished(Path("data.yaml"), tmp_path / "run", monkeypatch)
        (tmp_path / "empty").mkdir()
        monkeypatch.chdir(tmp_path / "empty")
        assert json.loads((out / "train.json").read_text())["data"] == str(data)
        data.parent.rename(tmp_path / "moved")
        with pytest.raises(DataError, match=r"data\.yaml: the data of this run is not there\n.*--resume --data"):
            train(out=out, resume=True, quiet=True)
        (tmp_path / "moved" / "other.yaml").write_text(data_text := (tmp_path / "moved" / "data.yaml").read_text())
        (tmp_path / "moved" / "changed.yaml").write_text(data_text + "# changed\n")
        with pytest.raises(DataError, match=r"data\.yaml has changed"):
            train("../moved/changed.yaml", out, resume=True, quiet=True)
        assert train("../moved/other.yaml", out, resume=True, quiet=True).epoch == 2
        assert train("../moved/other.yaml", out, resume=True, quiet=True).epoch == 2  # all epochs are done

    def test_paths_of_other_files(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("w.safetensors").touch()
        Path("clip").mkdir()
        for given, kept in (
            ("w.safetensors", str(tmp_path / "w.safetensors")),
            ("hf:./clip", f"hf:{tmp_path / 'clip'}"),
            ("open_clip:local-dir:clip", f"open_clip:local-dir:{tmp_path / 'clip'}"),
            ("open_clip:ViT-B-16/w.safetensors", f"open_clip:ViT-B-16/{tmp_path / 'w.safetensors'}"),
            ("open_clip:ViT-B-16/openai", "open_clip:ViT-B-16/openai"),
            ("random:16/0", "random:16/0"),
            ("hf:owner/name", "hf:owner/name"),
        ):
            config = resuming.TrainConfig.parse({"data": "d/data.yaml", "text_encoder": given})
            found = resuming.absolute(config)
            assert found.text_encoder == kept
            assert found.data == str(tmp_path / "d" / "data.yaml")


class TestMoreEpochs:
    def test_a_finished_run_goes_on(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rates: list[float] = []
        out = run(data, tmp_path / "run")
        first = load_checkpoint(out / "last").segmentor.state_dict()

        class Rates(pl.Callback):
            def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
                rates.append(trainer.optimizers[0].param_groups[-1]["lr"])

        make = room.make_trainer

        def noting(*args: Any, **options: Any) -> pl.Trainer:
            trainer = make(*args, **options)
            trainer.callbacks.append(Rates())  # type: ignore[attr-defined]
            return trainer

        monkeypatch.setattr(room, "make_trainer", noting)
        result = train(out=out, resume=True, quiet=True, epochs=3)
        assert result.epoch == 3
        total, config = 3 * STEPS, resuming.TrainConfig.load(out / "train.json")
        expected = [config.lr * rate_factor(step, total, config.warmup, config.power) for step in range(STEPS, total)]
        assert rates == pytest.approx(expected)
        assert config.epochs == 3
        with (out / "metrics.csv").open(newline="") as file:
            assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
        last = load_checkpoint(out / "last")
        assert any(not torch.equal(first[key], value) for key, value in last.segmentor.state_dict().items())
        assert last.provenance["epoch"] == 3
        assert json.loads((out / "environment.json").read_text())["extended"] == [{"epochs": 1, "to": 3}]
        assert train(out=out, resume=True, quiet=True).epoch == 3

    def test_not_before_it_is_finished_and_not_fewer(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = unfinished(data, tmp_path / "run", monkeypatch)
        with pytest.raises(ConfigError, match=r"other settings: epochs: 2 -> 3; more epochs can be added once all 2"):
            train(out=out, resume=True, quiet=True, epochs=3)
        with pytest.raises(ConfigError, match=r"other settings: epochs: 2 -> 1\n"):
            train(out=out, resume=True, quiet=True, epochs=1)


class TestOtherDevices:
    def test_a_step_must_be_of_as_many_images(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = unfinished(data, tmp_path / "run", monkeypatch)
        with pytest.raises(ConfigError, match=r"of 4 images, and with 1 device .* of 2\n  fix: `batch_size=4`"):
            train(out=out, resume=True, quiet=True, batch_size=2)
        assert train(out=out, resume=True, quiet=True, devices=1, workers=1, cache=False).epoch == 2

    @pytest.mark.parametrize(
        ("images", "world", "fix"), [(8, 2, None), (6, 2, "`batch_size=4`"), (9, 3, "use a number of devices that div")]
    )
    def test_the_fix_keeps_it(self, tmp_path: Path, images: int, world: int, fix: str | None) -> None:
        (tmp_path / "environment.json").write_text('{"step_images": 8}')
        if fix is None:
            resuming.refuse_other_step(tmp_path, images, world)
        else:
            with pytest.raises(ConfigError, match=fix):
                resuming.refuse_other_step(tmp_path, images, world)

    def test_a_run_of_before_that_says_nothing_of_its_steps(self, data: Path, tmp_path: Path) -> None:
        out = run(data, tmp_path / "run")
        (out / "environment.json").unlink()
        with pytest.raises(ConfigError, match=r"other settings: devices: auto -> 1"):
            train(out=out, resume=True, quiet=True, devices=1)


class TestTable:
    @pytest.mark.parametrize("damage", ["cut", "zeros", "gone", "other"])
    def test_a_damaged_table_is_restored_and_that_is_said(
        self,
        data: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        damage: str,
    ) -> None:
        out = unfinished(data, tmp_path / "run", monkeypatch)
        table = out / "metrics.csv"
        good = table.read_bytes()
        table.write_bytes({"cut": good[:-9], "zeros": bytes(len(good)), "gone": b"", "other": b"\xff\xfe"}[damage])
        train(out=out, resume=True, quiet=True)
        assert f"warning: {table}: was lost or damaged; restored" in capsys.readouterr().err
        assert table.read_bytes().startswith(good)
        assert len(table.read_text().splitlines()) == 3

    def test_a_whole_one_is_not_mentioned(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = unfinished(data, tmp_path / "run", monkeypatch)
        train(out=out, resume=True, quiet=True)
        assert capsys.readouterr().err == ""


class TestState:
    def test_a_flipped_bit_is_noticed(self, data: Path, tmp_path: Path) -> None:
        path = run(data, tmp_path / "run") / "resume.ckpt"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0x40
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"resume\.ckpt: is damaged"):
            train(out=path.parent, resume=True, quiet=True)


class TestLinks:
    def test_links_of_a_strangers_run_folder_are_not_followed(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = unfinished(data, tmp_path / "run", monkeypatch)
        mine = tmp_path / "mine"
        mine.mkdir()
        for name in ("resume.ckpt.tmp", "metrics.tmp", "train.log", "metrics.csv", "last", "best.new", "last.new"):
            files.remove(out / name)
            (mine / name).write_text("keep")
            (out / name).symlink_to(mine / name)
        train(out=out, resume=True, quiet=True)
        assert {file.read_text() for file in mine.iterdir()} == {"keep"}
        files.remove(out / "logs")
        (out / "logs").symlink_to(mine)
        with pytest.raises(InputError, match="is a link that leads out"):
            train(out=out, resume=True, quiet=True)


class TestFirstStep:
    def test_a_failure_leaves_no_empty_folder(self, data: Path, tmp_path: Path) -> None:
        for changes in ({"model.backbone": "no_such_net"}, {"val_split": "tset"}, {"devices": "x"}):
            with pytest.raises(InputError):
                run(data, tmp_path / "runs" / "one", **changes)
            assert not (tmp_path / "runs").exists()
        (tmp_path / "mine").mkdir()
        with pytest.raises(InputError):
            run(data, tmp_path / "mine" / "one", **{"model.backbone": "no_such_net"})
        assert (tmp_path / "mine").is_dir()
        assert not (tmp_path / "mine" / "one").exists()


class TestProcess:
    def test_nothing_of_the_process_stays_changed(self, data: Path, tmp_path: Path) -> None:
        import logging
        import warnings

        loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
        before = (dict(os.environ), [logger.level for logger in loggers], list(warnings.filters))
        run(data, tmp_path / "run")
        assert (dict(os.environ), [logger.level for logger in loggers], list(warnings.filters)) == before

    def test_a_script_without_a_guard(self, data: Path, tmp_path: Path) -> None:
        script = tmp_path / "script.py"
        settings = TINY | FAST | {"workers": 1, "model": TINY["model"]}
        script.write_text(
            "import multiprocessing, os\nimport bridgeseg\n"
            "if multiprocessing.get_start_method(allow_none=True) is None:\n"
            "    multiprocessing.set_start_method('spawn')\n"
            "print('once')\n"
            f"bridgeseg.train(data={str(data)!r}, out={str(tmp_path / 'run')!r}, quiet=True, **{settings!r})\n"
        )
        done = subprocess.run(
            [sys.executable, "-W", "ignore", script], capture_output=True, text=True, timeout=300, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "once\n"
        assert (tmp_path / "run" / "last" / "model.safetensors").is_file()

    def test_a_script_that_a_process_runs_again_is_told(self, tmp_path: Path) -> None:
        script = tmp_path / "script.py"
        script.write_text(
            "import multiprocessing\nimport bridgeseg\n"
            "if __name__ == '__main__':\n"
            "    process = multiprocessing.get_context('spawn').Process(target=print)\n"
            "    process.start(); process.join(); raise SystemExit(process.exitcode)\n"
            "bridgeseg.train(data='data.yaml')\n"
        )
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert done.returncode == 1
        assert 'fix: put the call under `if __name__ == "__main__":`' in done.stderr


class Disk:
    """Keeps, at every rename, what a file system would have after a power cut that loses all that was not flushed.

    Content that was never flushed is lost: such a file is empty. A rename whose folder was not flushed yet may be there
    or not: both are kept.
    """

    def __init__(self, out: Path, copies: Path) -> None:
        self.out, self.copies, self.flushed, self.count = out, copies, dict[tuple[int, int], float](), 0

    def flush(self, number: int) -> None:
        found = os.fstat(number)
        self.flushed[found.st_ino, found.st_size] = found.st_mtime_ns

    def cut(self) -> None:
        """Copy the folder as it would be found after a power cut now."""
        if not self.out.is_dir():
            return
        copy = self.copies / str(self.count)
        self.count += 1
        for path in sorted(self.out.rglob("*")):
            place = copy / path.relative_to(self.out)
            if path.is_dir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            found = path.stat()
            place.parent.mkdir(parents=True, exist_ok=True)
            kept = self.flushed.get((found.st_ino, found.st_size)) == found.st_mtime_ns
            place.write_bytes(path.read_bytes() if kept else b"")


class TestPowerCut:
    def test_every_moment_leaves_a_run_that_goes_on(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings: dict[str, Any] = {"epochs": 2, "ema": 0.9, "val_split": "val"}
        whole = run(data, tmp_path / "whole", **settings)
        out, disk = tmp_path / "run", Disk(tmp_path / "run", tmp_path / "cuts")
        real: dict[str, Callable[..., Any]] = {"fsync": os.fsync, "replace": Path.replace, "rename": Path.rename}

        def fsync(number: int) -> None:
            real["fsync"](number)
            disk.flush(number)

        def moving(name: str) -> Callable[[Path, Any], Any]:
            def move(self: Path, target: Any) -> Any:
                disk.cut()
                found = real[name](self, target)
                disk.cut()
                return found

            return move

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            patch.setattr(Path, "replace", moving("replace"))
            patch.setattr(Path, "rename", moving("rename"))
            run(data, out, **settings)
        assert differing(whole, out) == []
        cuts = sorted((tmp_path / "cuts").iterdir(), key=lambda path: int(path.name))
        assert len(cuts) >= 18
        for cut in cuts[1::2]:
            for stale in cut.rglob(".running"):
                stale.unlink()
            if not (cut / "train.json").exists():  # before there was a run
                shutil.rmtree(cut)
                run(data, cut, **settings)
            else:
                if (cut / "best").is_dir():
                    load_checkpoint(cut)  # usable at once
                train(out=cut, resume=True, quiet=True)
            assert differing(whole, cut) == [], cut.name

    def test_files_that_are_not_flushed_are_found(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out, disk = tmp_path / "run", Disk(tmp_path / "run", tmp_path / "cuts")
        monkeypatch.setattr(files, "flush", lambda _: None)
        run(data, out)
        disk.cut()
        with pytest.raises(BridgeSegError):
            train(out=tmp_path / "cuts" / "0", resume=True, quiet=True)
        assert folder.epochs_saved(tmp_path / "cuts" / "0") == 0
