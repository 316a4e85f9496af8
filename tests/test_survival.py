"""Trainings that are killed, stopped, crowded out or run out of room: nothing is lost, and what went wrong is said."""

from __future__ import annotations

import errno
import math
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from PIL import Image

from bridgeseg import files
from bridgeseg.api import train
from bridgeseg.checking.report import Report
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.data.finding import Finding
from bridgeseg.errors import DataError, InputError, ModelFileError
from bridgeseg.locking import LOCK, lock
from bridgeseg.training import datamodule, folder
from bridgeseg.training import fit as room
from bridgeseg.training.module import TrainModule
from tiny_data import TINY, write_dataset
from tiny_runs import differing, start

pytestmark = pytest.mark.slow

CHANGES = {"epochs": 3, "ema": 0.9, "cache": False}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in the runs that are killed: sums in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "write_images", lambda *_: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "write_images", lambda *_: None)
        return run(data, tmp_path_factory.mktemp("whole") / "run")


def run(data: Path, out: Path, **changes: Any) -> Path:
    return train(data, out, quiet=True, **TINY | CHANGES | changes).folder


class At(pl.Callback):
    """Does something once, at the first step of the second epoch."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self.action: Callable[[], Any] | None = action

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == 1 and self.action is not None:
            action, self.action = self.action, None
            action()


@pytest.fixture
def in_second_epoch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes the trainings that follow do something once."""
    make = room.make_trainer

    def add(action: Callable[[], Any]) -> None:
        once = At(action)

        def trainer(*args: Any, **options: Any) -> pl.Trainer:
            made = make(*args, **options)
            made.callbacks.insert(0, once)  # type: ignore[attr-defined]
            return made

        monkeypatch.setattr(room, "make_trainer", trainer)

    return add


class TestKilled:
    @pytest.fixture(scope="class")
    def undisturbed(self, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Return a run that was made as the others here are, in a process of its own."""
        out = tmp_path_factory.mktemp("undisturbed") / "run"
        self.finish(data, out)
        return out

    def finish(self, data: Path, out: Path) -> None:
        process = start(TINY | CHANGES | {"data": str(data)}, out)
        process.join(300)
        assert process.exitcode == 0

    @pytest.mark.parametrize(
        ("moment", "count"),
        [
            ("moving a file", 3),  # the settings, before anything else
            ("a step", 4),
            ("a validated image", 6),
            ("weights", 2),
            ("moving a checkpoint", 3),  # between the two renames
            ("half a state", 2),
            ("moving a file", 7),  # the second state, written already
            ("pictures", 1),
        ],
    )
    def test_it_goes_on_as_if_nothing_had_been(
        self, data: Path, undisturbed: Path, tmp_path: Path, moment: str, count: int
    ) -> None:
        out = tmp_path / "run"
        process = start(TINY | CHANGES | {"data": str(data)}, out, (moment, count))
        process.join(300)
        assert process.exitcode == -signal.SIGKILL
        if moment not in ("moving a file", "a step"):
            assert load_checkpoint(out).provenance["epoch"] >= 1  # what was kept can be used at once
        assert (out / "train.json").is_file() is (moment != "moving a file" or count > 3)
        self.finish(data, out)
        assert differing(undisturbed, out) == []
        assert not [path.name for path in out.iterdir() if path.suffix in (".new", ".old") or ".part" in path.name]

    def test_what_is_compared_can_differ(self, whole: Path, tmp_path: Path) -> None:
        shutil.copytree(whole, tmp_path / "copy")
        assert differing(whole, tmp_path / "copy") == []
        weights = tmp_path / "copy" / "last" / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        (tmp_path / "copy" / "metrics.csv").unlink()
        assert differing(whole, tmp_path / "copy") == ["last/model.safetensors", "metrics.csv"]


class TestOneAtATime:
    def test_a_second_run_is_refused(self, data: Path, whole: Path, tmp_path: Path, in_second_epoch: Any) -> None:
        out, refusals = tmp_path / "run", list[str]()

        def intrude() -> None:
            for options in ({"resume": True}, {"data": data, "model.method": "none", "backbone_weights": "none"}):
                with pytest.raises(InputError) as caught:
                    train(out=out, quiet=True, **options)
                refusals.append(str(caught.value))

        in_second_epoch(intrude)
        run(data, out)
        for text in refusals:
            assert f"another process works in it (process {os.getpid()})" in text
            assert "fix: wait until" in text
        assert len(refusals) == 2
        assert differing(whole, out) == []
        assert train(out=out, resume=True, quiet=True).folder == out  # free again

    def test_a_forked_process_does_not_hold_the_folder(self, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        begun, begin = os.pipe()
        with lock(tmp_path):
            child = os.fork()
            if child == 0:
                os.write(begin, b"x")
                os.read(reading, 1)
                os._exit(0)
            os.read(begun, 1)
        try:
            with lock(tmp_path), pytest.raises(InputError, match="another process"), lock(tmp_path):
                pass
        finally:
            os.write(writing, b"x")
            os.waitpid(child, 0)

    def test_the_fork_keeps_the_lock_of_its_parent(self, tmp_path: Path) -> None:
        with lock(tmp_path):
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            with pytest.raises(InputError, match=f"process {os.getpid()}"), lock(tmp_path):
                pass
            with lock(tmp_path, name="another"):
                pass
        assert not (tmp_path / LOCK).exists()

    @pytest.mark.parametrize("name", [LOCK, folder.RUNNING])
    def test_a_link_in_the_place_of_the_lock_is_not_followed(self, tmp_path: Path, name: str) -> None:
        mine = tmp_path / "mine"
        mine.write_text("keep")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / name).symlink_to(mine)
        with pytest.raises(InputError, match="is a link"), lock(tmp_path / "run", name=name):
            pass
        (tmp_path / "run" / name).unlink()
        os.link(mine, tmp_path / "run" / name)
        with lock(tmp_path / "run", name=name):
            pass
        assert mine.read_text() == "keep"

    @pytest.mark.parametrize(("number", "kept_out"), [(38, False), (5, True)])
    def test_file_systems_without_locks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kept_out: bool
    ) -> None:
        import fcntl

        def flock(*_: Any) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", flock)
        if kept_out:
            with pytest.raises(InputError, match="cannot be locked"), lock(tmp_path):
                pass
        else:
            with lock(tmp_path):
                assert (tmp_path / LOCK).read_text().strip() == str(os.getpid())


class TestNoRoom:
    def check_kept(self, out: Path, whole: Path) -> None:
        """The epoch that was finished is there, and the run goes on to the same end."""
        assert folder.epochs_saved(out) == 1
        assert load_checkpoint(out).provenance["epoch"] == 1
        train(out=out, resume=True, quiet=True)
        assert differing(whole, out) == []

    @pytest.mark.parametrize(("name", "error"), [("resume.ckpt", ModelFileError), ("metrics.csv", InputError)])
    def test_no_space_left(
        self,
        data: Path,
        whole: Path,
        tmp_path: Path,
        in_second_epoch: Any,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        error: type[Exception],
    ) -> None:
        out = tmp_path / "run"
        flush = files.flush

        def full(path: Path) -> None:
            if path.suffix == Path(name).suffix:
                raise OSError(errno.ENOSPC, "No space left on device")
            flush(path)

        in_second_epoch(lambda: monkeypatch.setattr(files, "flush", full))
        with pytest.raises(error, match=rf"{name}: cannot be written[\s\S]*fix: .*`resume=True`") as caught:
            run(data, out)
        assert "Traceback" not in str(caught.value)
        assert not list(out.glob(".*"))
        monkeypatch.setattr(files, "flush", flush)
        assert folder.epochs_saved(out) == 1
        train(out=out, resume=True, quiet=True)
        assert differing(whole, out) == []

    def test_files_cannot_grow(self, data: Path, whole: Path, tmp_path: Path, in_second_epoch: Any) -> None:
        out, (soft, hard) = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)
        in_second_epoch(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard)))
        try:
            with pytest.raises(ModelFileError, match="cannot be written"):
                run(data, out)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        self.check_kept(out, whole)

    def test_a_read_only_folder(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = os.open

        def refuse(path: Any, flags: int, *args: Any, **options: Any) -> int:
            if Path(path).parent == tmp_path and flags & os.O_CREAT:
                raise OSError(30, "Read-only file system")
            return opened(path, flags, *args, **options)

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(
            InputError, match=r"cannot be written \(Read-only file system\)\n  fix: choose another `out`"
        ):
            run(data, tmp_path)

    # TensorBoard writes from a thread of its own, which complains too
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_the_run_folder_vanishes(self, data: Path, tmp_path: Path, in_second_epoch: Any) -> None:
        in_second_epoch(lambda: shutil.rmtree(tmp_path / "run"))
        with pytest.raises(InputError, match="fix: "):
            run(data, tmp_path / "run")

    @pytest.mark.parametrize("split", ["train", "val"])
    def test_a_file_of_the_dataset_vanishes(
        self, whole: Path, tmp_path: Path, in_second_epoch: Any, split: str
    ) -> None:
        data, out = write_dataset(tmp_path / "data"), tmp_path / "run"
        image, away = tmp_path / "data" / "images" / split / "1.png", tmp_path / "away.png"
        in_second_epoch(lambda: image.rename(away))
        with pytest.raises(InputError, match=rf"{image}: there is no such file"):
            run(data, out)
        away.rename(image)
        train(out=out, resume=True, quiet=True)
        names = [name for name in differing(whole, out) if not name.endswith("config.json")]  # these name the data
        assert names == []


class TestStopped:
    def test_after_the_last_step(
        self, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stop(*_: Any) -> None:
            raise KeyboardInterrupt

        out = tmp_path / "run"
        with monkeypatch.context() as patch:
            patch.setattr(room, "write_images", stop)
            with pytest.raises(
                InputError, match=rf"stopped\n  fix: continue with: bridgeseg train --out {out} --resume"
            ):
                run(data, out)
        train(out=out, resume=True, quiet=True)
        assert differing(whole, out) == []

    def test_before_there_is_a_run(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def stop(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(room, "make_network", stop)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "run")

    def test_in_the_first_epoch_nothing_is_saved(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        step = TrainModule.training_step

        def stop(*arguments: Any) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return step(*arguments)

        monkeypatch.setattr(TrainModule, "training_step", stop)
        with pytest.raises(InputError, match="stopped in epoch 1; nothing is saved before the end of the first epoch"):
            run(data, tmp_path / "run", epochs=1)

    @pytest.mark.parametrize(("loss", "shown"), [(1e6, r"1e\+06"), (-math.inf, "-inf")])
    def test_the_loss_explodes(
        self, data: Path, tmp_path: Path, in_second_epoch: Any, monkeypatch: pytest.MonkeyPatch, loss: float, shown: str
    ) -> None:
        def poison() -> None:
            monkeypatch.setattr(
                TrainModule, "training_step", lambda self, *_: self.segmentor.guidance.log_scale * 0 + loss
            )

        in_second_epoch(poison)
        with pytest.raises(InputError, match=rf"the loss is {shown} at step 3; images of the step: .*\n.*of epoch 1"):
            run(data, tmp_path / "run")
        assert load_checkpoint(tmp_path / "run").provenance["epoch"] == 1


class TestCheckFirst:
    @pytest.fixture
    def broken(self, tmp_path: Path) -> Path:
        data = write_dataset(tmp_path / "data")
        Image.new("L", (64, 48), 7).save(tmp_path / "data" / "masks" / "val" / "2.png")
        return data

    def test_a_broken_dataset_is_refused_before_anything_is_done(self, broken: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="7"):
            run(broken, tmp_path / "run")
        assert not (tmp_path / "run" / "train.json").exists()

    def test_unless_it_is_not_asked_for(self, broken: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"masks/val/2.png"):
            run(broken, tmp_path / "run", check=False)
        assert (tmp_path / "run" / "train.json").exists()

    @pytest.mark.parametrize("quiet", [False, True])
    def test_warnings(
        self,
        data: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        quiet: bool,
    ) -> None:
        looked: list[list[str]] = []

        def warn(_: Any, *, splits: dict[str, Any]) -> Report:
            looked.append(list(splits))
            return Report(
                data, {}, (Finding("x", "warning", "pictures are odd", "look"), Finding("y", "note", "n", "f"))
            )

        monkeypatch.setattr(datamodule, "quick_check", warn)
        train(data, tmp_path / "run", quiet=quiet, **TINY | {"epochs": 1})
        assert looked == [["train", "val"]]
        told = capsys.readouterr().err
        assert told.count("warning: pictures are odd\n  fix: look") == (0 if quiet else 1)
        assert "warning: n" not in told
        train(out=tmp_path / "run", resume=True, quiet=True)  # nothing is left to train, nothing to look at
        assert len(looked) == 1
