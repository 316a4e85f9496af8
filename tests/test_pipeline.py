from __future__ import annotations

import gc
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bridgeseg
from bridgeseg.cli import main
from bridgeseg.errors import InputError, ModelFileError
from bridgeseg.predicting.batch import Batch
from bridgeseg.predicting.stopping import Stop
from bridgeseg.reading import sources
from bridgeseg.reading.pipeline import Cancelled, Pipeline
from bridgeseg.reading.sources import Failure, PathStream, Source, find
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.result import Result
from bridgeseg.runtime.saving import Record
from bridgeseg.settings.predict import Predict

pytestmark = pytest.mark.slow

LONG_S = 20.0
"""No test waits for so long, unless it fails."""


@pytest.fixture
def model(rgb_onnx: Path) -> Model:
    return Model.load(rgb_onnx, threads=1)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    left = [thread for thread in threading.enumerate() if thread.name.startswith("bridgeseg-")]
    for thread in left:
        thread.join(LONG_S)
    assert not any(thread.is_alive() for thread in left)


def pictures(folder: Path, count: int, pixels: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")
    return folder


class TestPipeline:
    def test_stages_work_at_the_same_time_and_keep_the_order(self) -> None:
        first, second = threading.Event(), threading.Event()

        def slow(numbers: Iterator[int]) -> Iterator[int]:
            for number in numbers:
                if number == 0:  # the stage before must go on meanwhile
                    assert second.wait(LONG_S)
                first.set()
                yield number

        def counted() -> Iterator[int]:
            for number in range(5):
                if number == 1:
                    second.set()
                yield number

        with Pipeline() as pipeline:
            assert list(pipeline.ahead(slow(pipeline.ahead(counted())))) == list(range(5))
        assert first.is_set()

    def test_a_stage_that_is_ahead_waits(self) -> None:
        begun: list[int] = []

        def endless() -> Iterator[int]:
            for number in itertools.count():
                begun.append(number)
                yield number

        with Pipeline() as pipeline:
            ahead = pipeline.ahead(endless(), depth=3)
            for number in range(10):
                assert next(ahead) == number
                assert len(begun) <= number + 1 + 3 + 1  # handed out, waiting, in the making

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, ModelFileError])
    def test_what_a_stage_raises_comes_out_behind_its_results(self, kind: type[BaseException]) -> None:
        def broken() -> Iterator[int]:
            yield 1
            raise kind("broken")

        with Pipeline() as pipeline:
            items = pipeline.ahead(number + 1 for number in pipeline.ahead(broken()))
            assert next(items) == 2
            with pytest.raises(kind, match="broken"):
                next(items)

    def test_the_end_closes_generators_and_threads(self) -> None:
        closed = threading.Event()

        def endless() -> Iterator[int]:
            try:
                yield from itertools.count()
            finally:
                closed.set()

        with Pipeline() as pipeline:
            items = pipeline.ahead(number for number in pipeline.ahead(endless()))
            next(items)
        assert closed.wait(LONG_S)
        with pytest.raises(Cancelled):
            next(items)

    @pytest.mark.slow
    def test_room(self) -> None:
        with Pipeline(room=10) as pipeline:
            pipeline.take(6)
            pipeline.take(4)
            taken = threading.Event()

            def large() -> Iterator[int]:
                pipeline.take(50)  # more than there ever is: it goes alone
                taken.set()
                yield 50

            items = pipeline.ahead(large())
            assert not taken.wait(0.2)
            pipeline.give(6)
            assert not taken.wait(0.2)
            pipeline.give(4)
            assert next(items) == 50

    @pytest.mark.slow
    def test_stop_ends_a_source_that_waits(self) -> None:
        stop, free = threading.Event(), threading.Event()

        def waiting() -> Iterator[int]:
            yield 1
            free.wait(LONG_S)

        with Pipeline(stop) as pipeline:
            items = pipeline.ahead(number for number in pipeline.ahead(waiting(), source=True))
            assert next(items) == 1
            stop.set()
            assert list(items) == []
        free.set()


class TestStream:
    @pytest.mark.slow
    def test_leaving_early_ends_the_threads(self, model: Model, stripes: np.ndarray) -> None:
        for _ in zip(model.stream(itertools.repeat(stripes)), range(3), strict=False):
            pass
        results = model.stream(itertools.repeat(stripes))
        next(results)
        results.close()  # type: ignore[attr-defined]

    def test_arrays_may_be_used_again(self, model: Model) -> None:
        def frames() -> Iterator[np.ndarray]:
            buffer = np.zeros((4, 4, 3), np.uint8)
            for index in range(6):
                buffer[:] = 0
                buffer[..., index % 3] = 9
                yield buffer

        found = [int(item.mask[0, 0]) for item in model.stream(frames()) if isinstance(item, Result)]
        assert found == [0, 1, 2, 0, 1, 2]

    def test_mistakes_in_sources_are_raised(self, model: Model, stripes: np.ndarray) -> None:
        def bad() -> Iterator[Any]:
            yield stripes
            raise OSError("the disk is gone")

        items = model.stream(bad())
        assert isinstance(next(items), Result)
        with pytest.raises(OSError, match="the disk is gone"):
            next(items)

    def test_failures_give_their_room_back(self, model: Model, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr("bridgeseg.reading.pipeline.ROOM", 10_000)  # one at a time
        noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)
        folder = pictures(tmp_path / "in", 6, noise)
        for name in ("001.png", "003.png"):
            (folder / name).write_bytes((folder / name).read_bytes()[:9000])
        kinds = [type(item) for item in model.stream(folder)]
        assert kinds == [Result, Failure, Result, Failure, Result, Result]

    def test_stop(self, model: Model, stripes: np.ndarray) -> None:
        stop = threading.Event()
        done = 0
        for _ in model.stream(itertools.repeat(stripes), stop=stop):
            done += 1
            stop.set()
        assert 1 <= done <= 8

    @pytest.mark.slow
    @pytest.mark.parametrize("option", [{"every": 0}, {"max_fps": 0.0}, {"memory": 0, "max_size": 0}])
    def test_options_that_cannot_be(self, model: Model, stripes: np.ndarray, option: dict[str, Any]) -> None:
        with pytest.raises(InputError, match="found 0"):
            next(model.stream(stripes, **option))


class TestFind:
    def test_a_large_folder_is_sorted_in_parts(self, tmp_path: Path, monkeypatch: Any, stripes: np.ndarray) -> None:
        folder = pictures(tmp_path / "in", 10, stripes)
        monkeypatch.setattr(sources, "SORTED", 4)
        for pattern in (folder, folder / "*.png"):
            names = [item.name.name for item in find([pattern]) if isinstance(item, Source)]
            assert sorted(names) == [f"{index:03d}.png" for index in range(10)]
            for start in (0, 4, 8):
                assert names[start : start + 4] == sorted(names[start : start + 4])

    @pytest.mark.parametrize(
        ("content", "null", "names"),
        [
            (b"a.png\nb c.png\n\nd.png", False, ["a.png", "b c.png", "d.png"]),
            (b"a.png\r\nb.png\r\n", False, ["a.png", "b.png"]),
            (b"a\nb.png\0\xff.png\0", True, ["a\nb.png", os.fsdecode(b"\xff.png")]),
            (b"", False, []),
        ],
    )
    @pytest.mark.slow
    def test_names_from_a_pipe(self, content: bytes, null: bool, names: list[str]) -> None:
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            assert list(PathStream(stream, null)) == [Path(name) for name in names]

    def test_names_come_as_they_are_written(self) -> None:
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as stream:
            names = iter(PathStream(stream))
            os.write(writing, b"x" * 5000 + b"\nsecond\nthi")
            assert [next(names), next(names)] == [Path("x" * 5000), Path("second")]
            os.write(writing, b"rd\n")
            assert next(names) == Path("third")
            os.close(writing)


class TestStandardInput:
    @pytest.mark.slow
    @pytest.mark.parametrize(("null", "end"), [(False, "\n"), (True, "\0")])
    def test_predict(
        self, capsys: Any, monkeypatch: Any, rgb_onnx: Path, stripes: np.ndarray, tmp_path: Path, null: bool, end: str
    ) -> None:
        folder = pictures(tmp_path / "in", 3, stripes)
        names = [folder / "000.png", folder / "missing.png", folder / "002.png"]
        (tmp_path / "list").write_text("".join(f"{name}{end}" for name in names))
        with (tmp_path / "list").open() as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            words = ["predict", "-", "-m", str(rgb_onnx), "-o", str(tmp_path / "out"), "--json"]
            assert main([*words, *(["--null"] if null else [])]) == 1
        captured = capsys.readouterr()
        assert [Path(json.loads(line)["source"]) for line in captured.out.splitlines()] == names
        assert captured.err == "1 of 3 failed, 2 done\n"

    @pytest.mark.slow
    def test_files_among_the_results_are_refused(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        folder = pictures(tmp_path, 1, stripes)
        (folder / "list").write_text(str(folder / "000.png"))
        with (folder / "list").open("rb") as stream:
            batch = Batch(Predict(sources=PathStream(stream), out=folder))
            (item,) = batch.run(model)
        assert batch.total is None
        assert isinstance(item, Failure)
        assert "folder of results" in item.error.message


class TestStop:
    @pytest.mark.slow
    def test_first_signal_is_kept_and_the_second_raises(self) -> None:
        before = signal.getsignal(signal.SIGINT)
        with Stop() as stop:
            assert stop.signal is None
            signal.raise_signal(signal.SIGTERM)
            assert stop.is_set()
            assert stop.signal == signal.SIGTERM
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is before

    @pytest.mark.slow
    def test_in_another_thread_it_is_an_event(self) -> None:
        states = []

        def work() -> None:
            with Stop() as stop:
                states.append(stop.is_set())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(LONG_S)
        assert states == [False]

    @pytest.mark.slow
    @pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_command_finishes_what_it_is_at(
        self, rgb_onnx: Path, stripes: np.ndarray, tmp_path: Path, number: signal.Signals
    ) -> None:
        folder, out = pictures(tmp_path / "in", 3, stripes), tmp_path / "out"
        words = ["predict", "-", "-m", str(rgb_onnx), "-o", str(out), "--json"]
        with subprocess.Popen(
            [sys.executable, "-m", "bridgeseg", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(f"{folder / '000.png'}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["width"] == 60
            begun = time.monotonic()
            process.send_signal(number)  # it is waiting for the next name
            assert process.wait(LONG_S) == 128 + number
            assert time.monotonic() - begun < LONG_S
            assert "stopped, 1 done" in process.stderr.read()
        assert sorted(path.name for path in out.iterdir()) == ["000_mask.png", "000_overlay.jpg"]


class TestBatch:
    def test_stop_leaves_whole_files(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        folder, stop = pictures(tmp_path / "in", 30, stripes), threading.Event()
        records = []
        for item in Batch(Predict(sources=folder, out=tmp_path / "out")).run(model, stop):
            assert isinstance(item, Record)
            records.append(item)
            stop.set()
        assert 1 <= len(records) < 30
        for record in records:
            assert np.asarray(Image.open(record.mask)).shape == (40, 60)
        assert len(list((tmp_path / "out").iterdir())) == 2 * len(records)

    def test_a_result_that_cannot_be_written_ends_the_run(
        self, model: Model, stripes: np.ndarray, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        batch = Batch(Predict(sources=pictures(tmp_path / "in", 5, stripes), out=tmp_path / "file" / "out"))
        with pytest.raises(InputError, match="cannot be written"):
            list(batch.run(model))

    def test_api_takes_the_options(self, model: Model, stripes: np.ndarray, tmp_path: Path) -> None:
        records = bridgeseg.predict(stripes, model, tmp_path / "out", memory=100, every=1, max_fps=None, max_size=30)
        assert isinstance(records[0], Record)
