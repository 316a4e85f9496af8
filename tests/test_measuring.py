"""What `bridgeseg benchmark` measures and says. No times are judged: they belong to the machine."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bridgeseg
from bridgeseg.cli import main
from bridgeseg.errors import ConfigError, ModelFileError
from bridgeseg.exporting.plain import export_plain
from bridgeseg.measuring import child
from bridgeseg.measuring.machine import quartiles, show, take_turns
from bridgeseg.measuring.measure import steps
from bridgeseg.measuring.process import Child, Setting
from bridgeseg.measuring.table import COLUMNS, table_row
from bridgeseg.settings.benchmark import Benchmark
from tiny_onnx import write_network

SETTING = Setting("onnxruntime", 1, 16, 24, 2)


@pytest.fixture(scope="module")
def report(rgb_onnx: Path) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    result = bridgeseg.benchmark(
        rgb_onnx, sizes=[(16, 24), (8, 8)], threads=[1, None], rounds=3, batch=2, starts=1, on_step=said.append
    )
    return result, said


@pytest.mark.slow
def test_what_is_measured(report: tuple[dict[str, Any], list[str]], rgb_onnx: Path) -> None:
    result, said = report
    assert json.loads(json.dumps(result)) == result
    assert (result["model"], result["bytes"]) == ("rgb.onnx", rgb_onnx.stat().st_size)
    assert [(row["size"], row["threads"]) for row in result["rows"]] == [
        ([16, 24], 1), ([16, 24], None), ([8, 8], 1), ([8, 8], None)
    ]  # fmt: skip
    for row in result["rows"]:
        assert 0 < row["ms"]["min"] <= row["ms"]["p50"] <= row["ms"]["p90"] <= row["ms"]["p99"]
        assert row["images_per_second"] > 0
        assert row["cold_start_s"] > row["ms"]["p50"] / 1e3
        assert row["peak_mb"] is None or 20 < row["peak_mb"] < 2000
    assert [row["ratio"] for row in result["rows"]][::2] == [1.0, 1.0]
    assert result["machine"]["versions"]["onnxruntime"]
    assert len(said) == steps(Benchmark(sizes=[(16, 24), (8, 8)], threads=[1, None], rounds=3, starts=1))
    assert len(table_row(result["rows"][0])) == len(COLUMNS)


@pytest.mark.slow
def test_the_child_is_light_and_fresh(rgb_onnx: Path) -> None:
    ballast = np.ones(60_000_000)  # 480 MB that a child must not be blamed for
    with Child(rgb_onnx, SETTING) as one:
        assert one.start_s > 0
        assert one.ask("latency") > 0
        memory = one.ask("memory")
        assert memory is None or memory < ballast.nbytes
        assert one.ask("throughput") > 0


@pytest.mark.slow
def test_a_child_that_fails(rgb_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such model file"):
        Child(tmp_path / "a.onnx", SETTING)
    with pytest.raises(ModelFileError, match=r"ended with exit code 1: .*invalid literal"):
        Child(rgb_onnx, Setting("onnxruntime", "x", 1, 1, 1))  # type: ignore[arg-type]
    with Child(rgb_onnx, SETTING) as one:
        one._process.kill()
        with pytest.raises(ModelFileError, match="ended with exit code -9"):
            one.ask("latency")


def test_a_network_that_fails_says_what_can_be_changed(
    rgb_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("out of memory")

    monkeypatch.setattr("bridgeseg.runtime.onnx_runtime.OnnxRuntime._run", fail)
    child.main([str(rgb_onnx), "onnxruntime", "1", "4", "5", "2"])
    answer = capsys.readouterr().out
    one = object.__new__(Child)
    one._process, one._model = SimpleNamespace(stdout=io.StringIO(answer)), rgb_onnx
    with pytest.raises(ModelFileError, match="out of memory") as caught:
        one._read()
    assert caught.value.fix == "if memory ran out, use smaller `sizes` or a smaller `batch`"


def test_the_child_answers(rgb_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(child, "SECONDS", 0.0)
    monkeypatch.setattr(sys, "stdin", ["latency\n", "memory\n", "throughput\n"])
    child.main([str(rgb_onnx), "onnxruntime", "1", "4", "5", "2"])
    assert [next(iter(json.loads(line))) for line in capsys.readouterr().out.splitlines()] == [
        "ready", "seconds", "bytes", "rate"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rounds": 0}, "rounds: must be at least 1"),
        ({"batch": 0}, "batch: must be at least 1"),
        ({"threads": [0]}, "at least one thread"),
        ({"sizes": []}, "nothing is given"),
        ({"runtimes": ["onnxrt"]}, "did you mean 'onnxruntime'"),
    ],
)
def test_mistakes(options: dict[str, Any], text: str, rgb_onnx: Path) -> None:
    with pytest.raises(ConfigError, match=text):
        bridgeseg.benchmark(rgb_onnx, **options)


@pytest.mark.slow
def test_the_command(rgb_onnx: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["benchmark", "--model", str(rgb_onnx), "--rounds", "1", "--batch", "1", "--starts", "1", "--threads", "1"]
    assert main([*words, "--size", "8x12"]) == 0
    out = capsys.readouterr().out
    assert "rgb.onnx" in out
    assert "8x12" in out
    assert "machine: " in out
    assert main([*words, "--sizes", "8x12,4", "--json"]) == 0
    assert [row["size"] for row in json.loads(capsys.readouterr().out)["rows"]] == [[8, 12], [4, 4]]
    assert main([*words, "--sizes", "8,x"]) == 2
    assert "HEIGHTxWIDTH" in capsys.readouterr().err


@pytest.mark.slow
def test_a_file_of_one_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is measured at that size, one image at a time; another is refused, and without it all is well."""
    plain = tmp_path / "plain.onnx"
    export_plain(write_network(tmp_path / "net.onnx"), plain, size=(24, 32))
    words = ["benchmark", "--model", str(plain), "--rounds", "1", "--starts", "1"]
    assert main([*words, "--sizes", "16x16"]) == 2
    assert "leave --sizes out" in (said := capsys.readouterr().err)
    assert "24x32" in said
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "24x32" in out
    assert "one image at a time" in out


def test_turns() -> None:
    calls: list[str] = []
    rounds: list[int] = []
    timed = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    times = take_turns(timed, 4, warmup=1, on_round=lambda: rounds.append(len(calls)))
    assert {name: len(values) for name, values in times.items()} == {"a": 4, "b": 4, "c": 4}
    assert rounds == [6, 12, 18, 24, 30]  # each twice a round, the first time untimed
    assert calls[::2] == calls[1::2]
    orders = {tuple(calls[start : start + 6 : 2]) for start in range(0, 30, 6)}
    assert len(orders) > 1
    assert all(set(order) == {"a", "b", "c"} for order in orders)


def test_quartiles() -> None:
    assert quartiles([3.0]) == {"median": 3.0, "q1": 3.0, "q3": 3.0}


@pytest.mark.slow
def test_the_room_is_a_function_too() -> None:
    code = (
        "import sys, bridgeseg, bridgeseg.api\n"
        "assert not {'torch', 'onnx', 'onnxruntime', 'numpy'} & set(sys.modules)\n"
        "bridgeseg.api.benchmark = lambda model, **options: (model, options)\n"
        "assert bridgeseg.benchmark('a', rounds=1) == ('a', {'rounds': 1})\n"
        "import bridgeseg.measuring.measure\n"
        "assert bridgeseg.benchmark('a', rounds=2) == ('a', {'rounds': 2})\n"
        "assert not {'torch', 'onnx'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_number_is_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    show("times", None, ["network", *(f"column {index}" for index in range(9))], [["n" * 60, *["1234.5"] * 9]])
    out = capsys.readouterr().out
    assert "…" not in out
    assert out.count("1234.5") == 9
