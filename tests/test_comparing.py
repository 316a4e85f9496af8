"""Comparisons: the grid, statistics, what is skipped, resumed, refused and reported."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bridgeseg.api import compare
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.cli import main
from bridgeseg.commands.arguments import variants
from bridgeseg.comparing import measure, runner, work
from bridgeseg.comparing.grid import Plan, make_plan
from bridgeseg.comparing.page import make_page
from bridgeseg.comparing.plots import save_plots
from bridgeseg.comparing.results import Done, in_order, make_cells
from bridgeseg.comparing.runner import run_all
from bridgeseg.comparing.state import FINISHED, NEW, UNFINISHED, read_json, status, threads_of
from bridgeseg.comparing.statistics import Spread, paired, spread
from bridgeseg.comparing.tables import main_table, tradeoff_table
from bridgeseg.comparing.tradeoff import as_csv, tradeoff
from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.locking import LOCK, lock
from bridgeseg.report.progress import time_left
from bridgeseg.runtime.torch_runtime import DeployNetwork
from bridgeseg.settings.compare import Compare
from bridgeseg.training import fit
from conftest import write_onnx
from tiny_data import TINY, write_dataset

BACKBONE = "test_efficientnet"


def plan(settings: dict[str, Any] | None = None, **options: Any) -> Plan:
    return make_plan(Compare(**{"data": "d.yaml", "methods": ["none"], "seeds": [0], **options}), settings or {})


class TestGrid:
    def test_all_combinations_in_pairs_of_seeds(self) -> None:
        made = plan(
            methods=["none", "bridge"],
            variants={"wide": {"model.width": 96, "loss": {"dice": 0.5}}},
            backbones=["resnet18", "hf-hub:a/b"],
            seeds=["0", 7],
            fractions=["1", 0.25],
            settings={"epochs": 9, "model.method": "bridge"},
        )
        assert len({run.name for run in made.runs}) == len(made.runs) == 3 * 2 * 2 * 2
        assert [run.seed for run in made.runs] == [0] * 12 + [7] * 12
        assert [run.variant for run in made.runs[:3]] == ["none", "bridge", "wide"]
        last = made.runs[-1]
        assert last.name == "wide/hf-hub_a_b/f0.25/s7"
        assert (last.config.model.backbone, last.config.model.width) == ("hf-hub:a/b", 96)
        assert (last.config.fraction, last.config.repeat, last.config.seed) == (0.25, 4, 7)
        assert (last.config.val_every, last.config.model.method, last.config.loss.dice) == (9, "bridge", 0.5)
        assert made.runs[0].name == "none/resnet18/f1/s0"
        assert made.runs[0].config.repeat == 1
        assert made.variants["wide"] == {"model.width": 96, "loss.dice": 0.5}

    def test_names_are_read_as_a_training_reads_them(self, tmp_path: Path) -> None:
        (tmp_path / "n.yaml").write_text("{road: [street, lane], car: null}")
        for names in (str(tmp_path / "n.yaml"), "road=street|lane, car", {"road": ["street", "lane"], "car": []}):
            assert plan(settings={"names": names}).runs[0].config.names == ("road=street|lane", "car")

    def test_a_run_can_serve_as_base(self, tmp_path: Path) -> None:
        run = plan(fractions=[0.1], settings={"epochs": 3}).runs[0]
        (tmp_path / "train.json").write_text(run.config.model_dump_json())
        again = plan(data=None, config=tmp_path / "train.json").runs[0]
        assert again.config == run.config.model_copy(update={"fraction": 1.0, "repeat": 1})

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"methods": ["nnone"]}, r"methods: no method 'nnone'; did you mean 'none'\?"),
            ({"methods": ["none", "none"]}, "'none' is named twice"),
            ({"variants": {"none": {"lr": 0.1}}}, "'none' is named twice"),
            ({"variants": {"../up": {"lr": 0.1}}}, "cannot be the name of a variant"),
            ({"variants": {"a": {"seed": 1}}}, "variant a: 'seed' is decided by `seeds`"),
            ({"variants": {"a": {"model": {"backbone": "x"}}}}, "'model.backbone' is decided by `backbones`"),
            ({"variants": {"a": {"model.widht": 1}}}, "variant a: unknown key 'model.widht'; did you mean 'width'"),
            ({"settings": {"repeat": 2}}, "'repeat' is decided by `fractions`"),
            ({"methods": []}, "nothing is named"),
            ({"methods": "nnone"}, "no method 'nnone'"),
            ({"data": ["a.yaml", "b.yaml"]}, "a comparison is made on one dataset, found 2"),
            (
                {"variants": {"a": {"train_splits": ["train", "test"]}}},
                "variant a: the split that is reported is trained on.*'test'",
            ),
            ({"seeds": ["x"]}, "seeds: whole numbers from 0 up are needed, found 'x'"),
            ({"seeds": [0.5]}, "seeds: whole numbers from 0 up are needed, found 0.5"),
            ({"seeds": [1, "1"]}, "seeds: 1 is named twice"),
            ({"seeds": []}, "seeds: nothing is named"),
            ({"fractions": [0]}, "a fraction is above 0 and at most 1, found 0"),
            ({"fractions": [1.5]}, "at most 1, found 1.5"),
            ({"fractions": ["half"]}, "fractions: numbers above 0 are needed, found 'half'"),
            ({"fractions": [float("nan")]}, "fractions: numbers above 0 are needed, found nan"),
            ({"backbones": ["a", "a"]}, "backbones: 'a' is named twice"),
            ({"backbones": ["a/b", "a:b"]}, "folders of the runs: 'none/a_b/f1/s0' is named twice"),
        ],
    )
    def test_mistakes(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            plan(**options)

    def test_the_length_that_is_given_counts(self, tmp_path: Path) -> None:
        (tmp_path / "base.json").write_text('{"epochs": 9}')
        made = plan({"steps": 3}, config=tmp_path / "base.json", variants={"long": {"epochs": 2}})
        assert {run.variant: (run.config.epochs, run.config.steps) for run in made.runs} == {
            "none": (None, 3),
            "long": (2, None),
        }

    def test_data_is_needed(self) -> None:
        with pytest.raises(ConfigError, match="no dataset given"):
            plan(data=None)

    def test_variants_as_text(self) -> None:
        texts = ["random: model.method=bridge text_encoder=random:512/0", "c: augment.scale='[0.5, 2]'"]
        assert variants(texts, "--variant") == {
            "random": {"model.method": "bridge", "text_encoder": "random:512/0"},
            "c": {"augment.scale": [0.5, 2]},
        }

    @pytest.mark.parametrize(
        "texts", [["a"], ["a:"], [": lr=1"], ["a: lr"], ["lr=1: lr=2"], ["a: 'lr"], ["a: x=1"] * 2]
    )
    def test_variants_that_are_none(self, texts: list[str]) -> None:
        with pytest.raises(ConfigError, match=r"--variant|--set"):
            variants(texts, "--variant")


numbers = st.floats(-100, 100)


class TestStatistics:
    @given(st.lists(numbers, min_size=2, max_size=9))
    def test_spread(self, values: list[float]) -> None:
        found = spread(values)
        assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
        assert found.deviation == pytest.approx(np.std(values, ddof=1), abs=1e-9)
        assert found.n == len(values)

    def test_one_value_has_no_spread(self) -> None:
        assert spread([3.0]) == Spread(3.0, None, 1)
        one = paired({0: 3.0, 1: 9.0}, {0: 1.0, 2: 4.0})
        assert one is not None
        assert (one.mean, one.error, one.n, one.clear) == (2.0, None, 1, None)
        assert paired({0: 1.0}, {1: 1.0}) is None

    @given(st.dictionaries(st.integers(0, 8), st.tuples(numbers, numbers), min_size=2), numbers)
    def test_paired(self, pairs: dict[int, tuple[float, float]], offset: float) -> None:
        first, second = ({seed: pair[side] for seed, pair in pairs.items()} for side in (0, 1))
        found, back = paired(first | {99: offset}, second), paired(second, first)
        differences = np.array([a - b for a, b in pairs.values()])
        error = np.std(differences, ddof=1) / np.sqrt(len(pairs))
        assert found is not None
        assert back is not None
        assert found.mean == pytest.approx(differences.mean(), abs=1e-9)
        assert found.error == pytest.approx(error, abs=1e-9)
        assert (found.n, found.clear) == (len(pairs), abs(found.mean) > 2 * (found.error or 0))
        assert (back.mean, back.clear) == (pytest.approx(-found.mean, abs=1e-9), found.clear)

    def test_ratios_are_taken_round_by_round(self) -> None:
        times = {"none": [1.0, 2.0, 30.0], "bridge": [1.5, 2.0, 36.0], "other": [7.0, 8.0, 9.0]}
        found = measure.summarise(times, {"none": "none", "bridge": "none", "other": ""})
        assert found == {
            "none": {"ms": 2.0, "ratio": 1.0},
            "bridge": {"ms": 2.0, "ratio": 1.2},
            "other": {"ms": 8.0, "ratio": None},
        }

    def test_time_left(self) -> None:
        assert [time_left(60, *counts) for counts in ((0, 9), (1, 4), (1, 66), (4, 4))] == [
            "?",
            "3 min",
            "1:05 h",
            "0 min",
        ]


def done(variant: str, seed: int, miou: float, fraction: float = 1.0, seconds: float | None = 10.0) -> Done:
    scores = {"miou": miou, "iou": {"road": miou, "<b>sky": None if seed else miou / 2}}
    settings = {"model": {"method": "none"}}
    name = f"{variant}/{BACKBONE}/f{fraction:g}/s{seed}"
    return Done(name, variant, BACKBONE, fraction, seed, {"test": scores, "val": scores}, seconds, settings, {})


class TestCells:
    def test_differences_are_paired_within_backbone_and_fraction(self) -> None:
        runs = [done("none", 0, 0.5), done("none", 1, 0.6), done("none", 0, 0.1, 0.5), done("bridge", 0, 0.4, 0.5)]
        runs += [done("bridge", 1, 0.63, seconds=12.0), done("bridge", 0, 0.51, seconds=None), done("x", 5, 0.9)]
        costs = {("bridge", BACKBONE): {"gflops": 2.0}}
        cells = make_cells(in_order(runs, ["none", "bridge"]), "test", ("none", "denseclip"), costs)
        assert [(cell["fraction"], cell["variant"], cell["seeds"]) for cell in cells] == [
            (1.0, "none", [0, 1]), (1.0, "bridge", [0, 1]), (1.0, "x", [5]), (0.5, "none", [0]), (0.5, "bridge", [0]),
        ]  # fmt: skip
        none, bridge, stranger, _, part = cells
        assert none["differences"] == {} == stranger["differences"] == none["iou_difference"]
        assert bridge["differences"].keys() == {"none"}
        assert bridge["differences"]["none"] == pytest.approx({"mean": 0.02, "error": 0.01, "n": 2, "clear": False})
        assert part["differences"]["none"] == pytest.approx({"mean": 0.3, "error": None, "n": 1, "clear": None})
        assert (bridge["seconds"], bridge["seconds_ratio"], bridge["gflops"]) == (12.0, 1.2, 2.0)
        assert bridge["iou"] == pytest.approx({"road": 0.57, "<b>sky": 0.255})
        assert bridge["iou_difference"]["<b>sky"]["n"] == 1
        none, bridge, *_ = make_cells(in_order(runs, ["none", "bridge"]), "test", ("bridge",), costs)
        assert (none["iou_against"], bridge["iou_difference"]) == ("bridge", {})
        assert none["iou_difference"]["road"]["mean"] == pytest.approx(-0.02 * 0.57 / 0.515, abs=0.01)

    def test_the_table(self) -> None:
        runs = [done(name, seed, base + seed / 50) for name, base in (("none", 0.5), ("a|b", 0.53)) for seed in (0, 1)]
        table = main_table(make_cells(runs, "test", ("none",), {}), "test", ("none", "denseclip"))
        header, rows = table.header, table.rows
        assert header[:6] == ["variant", "backbone", "labels", "n", "test mIoU", "- none"]
        assert not {"- denseclip", "ms", "GFLOPs"} & set(header)
        assert rows[1][4:6] == ["54.00 ± 1.41", "+3.00 ± 0.00 *"]
        lines = table.markdown().splitlines()
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(header) + 1}

    def test_accuracy_beside_time(self) -> None:
        runs = [done(name, seed, base + seed / 50) for name, base in (("none", 0.5), ("x", 0.53)) for seed in (0, 1)]
        assert tradeoff(make_cells(runs, "test", (), {})) == []
        runs[2:] = [replace(run, int8={"miou": run.scores["test"]["miou"] - 0.01 * (run.seed + 1)}) for run in runs[2:]]
        costs: dict[Any, Any] = {("none", BACKBONE): {"latency": {"ms": 4.0, "ratio": 1.0}, "int8_latency": None}}
        costs["x", BACKBONE] = {
            "latency": {"ms": 6.0, "ratio": 1.5},
            "int8_latency": {"ms": 3.0, "ratio": 0.75},
        }
        cells = make_cells(runs, "test", (), costs, "x")
        assert [(cell["seconds_ratio"], cell["int8_miou"] is None) for cell in cells] == [(1.0, True), (1.0, False)]
        rows = tradeoff(cells)
        assert [(row["variant"], row["precision"], row["ms"], row["ratio"]) for row in rows] == [
            ("x", "int8", 3.0, 0.75),
            ("none", "float", 4.0, 1.0),
            ("x", "float", 6.0, 1.5),
        ]
        assert rows[0]["difference"] == pytest.approx({"mean": -0.015, "error": 0.005, "n": 2, "clear": True})
        table = tradeoff_table(rows, "test")
        assert table.rows[0][3:] == ["8 bits", "2", "52.50 ± 0.71", "-1.50 ± 0.50 *", "3.0", "0.750"]
        assert table.rows[1][3:7] == ["float", "2", "51.00 ± 1.41", ""]
        header, first, second, _ = csv.reader(as_csv(rows).splitlines())
        found = dict(zip(header, first, strict=True))
        assert float(found["miou"]) == pytest.approx(0.525)
        assert (found["variant"], found["precision"], found["n"], found["ratio"]) == ("x", "int8", "2", "0.75")
        assert dict(zip(header, second, strict=True))["difference"] == ""

    @pytest.mark.slow
    def test_the_figure_has_a_mark_for_every_variant_and_precision(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        figures: dict[str, Any] = {}
        monkeypatch.setattr(
            "bridgeseg.comparing.plots.save_png", lambda figure, path: figures.update({path.name: figure})
        )
        runs = [done(name, seed, 0.5, part) for name in ("a", "b") for seed in (0, 1) for part in (1, 0.5)]
        runs = [replace(run, int8={"miou": 0.4}) if run.variant == "b" else run for run in runs]
        times = {"latency": {"ms": 3.0, "ratio": None}, "int8_latency": {"ms": 2.0, "ratio": None}}
        cells = make_cells(runs, "test", (), {(name, BACKBONE): times for name in ("a", "b")})
        save_plots(tmp_path, cells, [vars(run) for run in runs], "test")
        panels = figures["latency.png"].axes
        assert [axes.get_title() for axes in panels] == ["100 % of the labels", "50 % of the labels"]
        for axes in panels:
            assert {text.get_text(): text.xy for text in axes.texts} == {
                "a": (3.0, 50.0),
                "b": (3.0, 50.0),
                "b, 8 bits": (2.0, 40.0),
            }
            filled = [line.get_markerfacecolor() != "white" for line in axes.lines if line.get_marker() == "o"]
            assert sorted(filled) == [False, True, True]

    @pytest.mark.slow
    def test_the_page_needs_nothing_else_and_escapes_names(self, tmp_path: Path) -> None:
        evil = '<script>alert("x")</script>'
        runs = [
            done(name, seed, 0.5 + seed / 9, part) for name in ("none", evil) for seed in (0, 1) for part in (1, 0.5)
        ]
        runs = [replace(run, int8=run.scores["test"]) for run in runs]
        times = {"latency": {"ms": 3.0, "ratio": 1.0}, "int8_latency": {"ms": 2.0, "ratio": 0.7}}
        costs = {(name, BACKBONE): times for name in ("none", evil)}
        cells = make_cells(runs, "test", ("none",), costs)
        listed = [vars(run) for run in runs]
        plots = save_plots(tmp_path, cells, listed, "test")
        assert [path.name for path in plots] == ["scores.png", "latency.png", "fractions.png", "classes.png"]
        results = {"split": "test", "cells": cells, "runs": listed, "against": ["none"], "commands": [evil]}
        results |= {"reference": evil, "tradeoff": tradeoff(cells)}
        results |= {"variants": {evil: {}}, "environments": [], "machine": {}, "failed": [evil], "unfinished": [evil]}
        page = make_page(results, plots)
        assert "<script" not in page
        assert page.count("&lt;script&gt;") > 5
        assert "<b>sky" not in page
        sources = re.findall(r'(?:src|href|url|import)\W+([^"\s]{0,12})', re.sub(r"&[a-z0-9#]+;", "", page))
        assert sources == ["data:image/p"] * 4
        assert not re.search(r"https?://|<link|<iframe|@import", page)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_dataset(tmp_path_factory.mktemp("data"))
    path.write_text(path.read_text().replace("masks_dir", "test: images/val\nmasks_dir"))
    (path.parent / "base.json").write_text(json.dumps(TINY))
    return path


class InProcess:
    """Stands in for a process: does a run's work at once, in this process."""

    started: list[str]

    def __init__(self, words: list[str], *, stdout: Any, **_: Any) -> None:
        settings, place, split, *more = words[3:]
        self.started.append("/".join(Path(place).parts[-4:]))
        self.stdin, self.returncode = None, 0
        try:
            work.work(Path(settings), Path(place), split, int8=more == ["int8"])
        except InputError as error:
            stdout.write(f"error: {error}\n".encode())
            self.returncode = 2

    def poll(self) -> int:
        return self.returncode


@pytest.fixture(scope="module", autouse=True)
def started() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        InProcess.started = []
        patch.setattr(fit, "write_images", lambda *_: None)
        patch.setattr(runner, "Popen", InProcess)
        patch.setattr(runner, "POLL", 0.0)
        yield InProcess.started


GRID: dict[str, Any] = {
    "methods": ["none", "bridge"],
    "seeds": [0],
    "fractions": [0.5],
    "latency": False,
    "quiet": True,
}
NONE, BRIDGE = (f"{name}/{BACKBONE}/f0.5/s0" for name in ("none", "bridge"))


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory, started: list[str]) -> Path:
    out = tmp_path_factory.mktemp("made") / "out"
    bad = {"bad": {"batch_size": 1}}
    result = compare(data, out, variants=bad, config=data.parent / "base.json", **GRID)
    assert [item.name for item in result.failed] == [f"bad/{BACKBONE}/f0.5/s0"]
    assert "batch norm needs more than one value" in result.failed[0].tail
    assert result.results is not None
    assert result.results["failed"] == [result.failed[0].name]
    return out


def again(data: Path, out: Path, **options: Any) -> Any:
    return compare(data, out, config=data.parent / "base.json", **(GRID | options))


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


class TestRuns:
    @pytest.mark.slow
    def test_what_is_left_behind(self, made: Path) -> None:
        scores, results = read_json(made / "runs" / NONE / "scores.json"), read_json(made / "results.json")
        assert scores is not None
        assert results is not None
        assert scores["val"] == scores["test"]  # the same images
        assert scores["seconds"] > 0
        train = read_json(made / "runs" / NONE / "train.json")
        assert train is not None
        assert (train["repeat"], train["fraction"], train["val_every"]) == (2, 0.5, TINY["epochs"])
        assert [run["name"] for run in results["runs"]] == [NONE, BRIDGE]
        assert results["runs"][0]["scores"]["test"]["miou"] == scores["test"]["miou"]
        assert results["runs"][0]["settings"]["data"] == "data.yaml"
        assert {cell["variant"]: cell["miou"]["n"] for cell in results["cells"]} == {"none": 1, "bridge": 1}
        for name in ("results.md", "report.html", "plots/scores.png", "plots/classes.png"):
            assert (made / name).stat().st_size > 100, name
        assert str(made) not in json.dumps({key: results[key] for key in ("cells", "runs", "environments")})

    @pytest.mark.slow
    def test_finished_runs_are_skipped(self, data: Path, made: Path, started: list[str]) -> None:
        started.clear()
        result = again(data, made, workers=1)  # a setting of the machine, which is no difference
        assert (result.runs, result.failed, started) == ({NONE: FINISHED, BRIDGE: FINISHED}, (), [])

    @pytest.mark.slow
    def test_other_settings_are_refused(self, data: Path, made: Path) -> None:
        with pytest.raises(ConfigError, match=r"lr: 0.01 -> 0.5.*and 1 more runs(.|\n)*another `out`"):
            again(data, made, lr=0.5)
        with pytest.raises(ConfigError, match=r"bridge/.*text_encoder: random:16/0 -> random:16/1"):
            again(data, made, text_encoder="random:16/1")
        other = again(data, made, text_encoder="random:16/1", methods=["none"], dry_run=True)
        assert other.runs == {NONE: FINISHED}  # it reads no text

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"backbones": [BACKBONE, "resnet8"]}, "timm has no model 'resnet8'"),
            ({"variants": {"a": {"val_split": "tset"}}}, "no split 'tset'"),
        ],
    )
    def test_every_run_is_looked_at_before_the_first(
        self, data: Path, tmp_path: Path, changes: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            again(data, tmp_path / "out", dry_run=True, **changes)

    def test_another_data_yaml_is_refused(self, data: Path, made: Path) -> None:
        content = data.read_text()
        try:
            data.write_text(content + "# changed\n")
            with pytest.raises(
                ConfigError, match=r"other settings than are asked for now: the content of the data\.yaml"
            ):
                again(data, made)
        finally:
            data.write_text(content)

    @pytest.mark.slow
    def test_a_run_without_scores_goes_on(self, data: Path, copy: Path, started: list[str]) -> None:
        place = copy / "runs" / BRIDGE
        before = read_json(place / "scores.json")
        (place / "scores.json").write_text("{")  # as after a crash
        started.clear()
        assert again(data, copy, dry_run=True).runs == {NONE: FINISHED, BRIDGE: UNFINISHED}
        assert again(data, copy).failed == ()
        assert started == [BRIDGE]
        assert read_json(place / "scores.json") == before

    @pytest.mark.slow
    def test_a_run_that_cannot_go_on_begins_anew(self, data: Path, copy: Path) -> None:
        place = copy / "runs" / NONE
        before = read_json(place / "scores.json")
        for name in ("scores.json", "resume.ckpt"):
            (place / name).unlink()
        (place / "note.txt").write_text("mine")
        assert again(data, copy, dry_run=True).runs[NONE] == NEW
        assert again(data, copy).failed == ()
        after = read_json(place / "scores.json")
        assert before is not None
        assert after is not None
        assert after["test"] == before["test"]  # the same seed
        assert (place / "note.txt").read_text() == "mine"

    @pytest.mark.slow
    def test_8_bits_are_added_to_finished_runs(
        self,
        data: Path,
        copy: Path,
        started: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def refuse(asked: dict[str, Any], report: bool) -> Any:
            if "bridge" in Path(asked["model"]).parts:
                raise ModelFileError("no 8 bits")
            return real(asked, report=report)

        real = work.export_int8
        monkeypatch.setattr(work, "export_int8", refuse)
        trained = (copy / "runs" / NONE / "scores.json").read_text()
        (copy / "runs" / NONE / "resume.ckpt").unlink()  # not needed: nothing is trained again
        assert again(data, copy, int8=True, dry_run=True).runs == {NONE: UNFINISHED, BRIDGE: UNFINISHED}
        started.clear()
        failed = again(data, copy, int8=True)
        assert ([item.name for item in failed.failed], started) == ([BRIDGE], [NONE, BRIDGE])
        assert {cell["variant"]: cell["int8_miou"] is None for cell in failed.results["cells"]} == {
            "none": False,
            "bridge": True,
        }
        monkeypatch.undo()
        started.clear()
        made = again(data, copy, int8=True)
        assert (made.failed, started) == ((), [BRIDGE])
        assert (copy / "runs" / NONE / "scores.json").read_text() == trained
        found = read_json(copy / "runs" / NONE / "int8.json")
        assert found is not None
        assert found["quantisation"]["calibration"]["from"] == "data.yaml, split train"
        cells = {cell["variant"]: cell for cell in made.results["cells"]}
        assert cells["none"]["int8_miou"]["mean"] == found["test"]["miou"]
        difference = found["test"]["miou"] - cells["none"]["miou"]["mean"]
        assert cells["none"]["int8_difference"]["mean"] == pytest.approx(difference)
        assert abs(difference) < 0.2
        capsys.readouterr()
        assert main(["compare", "--out", str(copy), "--report-only", "--reference", "bridge"]) == 0
        said = capsys.readouterr().out
        assert "Accuracy and time" in said
        assert "ratios are to `bridge` in float" in said
        results = read_json(copy / "results.json") or {}
        ratios = {(row["variant"], row["precision"]): row["ratio"] for row in results["tradeoff"]}
        assert ratios.keys() == {(name, how) for name in ("none", "bridge") for how in ("float", "int8")}
        assert ratios["bridge", "float"] == 1.0
        assert len((copy / "tradeoff.csv").read_text().splitlines()) == 5
        assert "Accuracy and time" in (copy / "report.html").read_text()
        # another reference needs no new measurement
        assert main(["compare", "--out", str(copy), "--report-only", "--no-latency", "--reference", "none"]) == 0
        results = read_json(copy / "results.json") or {}
        turned = {(row["variant"], row["precision"]): row["ratio"] for row in results["tradeoff"]}
        assert turned["none", "float"] == 1.0
        assert turned["bridge", "float"] == pytest.approx(1 / ratios["none", "float"], rel=0.5)
        assert main(["compare", "--out", str(copy), "--report-only", "--reference", "brigde"]) == 2
        assert "did you mean 'bridge'?" in capsys.readouterr().err

    @pytest.mark.slow
    def test_latencies_of_an_earlier_version_are_read(self, made: Path, tmp_path: Path) -> None:
        out = Path(shutil.copytree(made, tmp_path / "out"))
        model = (read_json(out / "results.json") or {})["runs"][1]["settings"]["model"]
        (out / "latency.json").write_text(json.dumps({f"bridge/{BACKBONE}": {"ms": 3.0, "ratio": 1.2, "model": model}}))
        for reference, ratio in (("none", 1.2), ("bridge", None)):
            found = compare(out=out, report_only=True, latency=False, reference=reference).results
            assert found is not None
            assert found["cells"][1]["latency"] == {"ms": 3.0, "ratio": ratio}

    def test_the_command_of_the_page_asks_for_the_same(self, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
        command = (read_json(made / "compare.json") or {})["commands"][0]
        assert "bad: batch_size=1" in command
        assert main([*shlex.split(command)[1:], "--dry-run"]) == 0
        assert capsys.readouterr().out == f"{NONE}: finished\n{BRIDGE}: finished\nbad/{BACKBONE}/f0.5/s0: new\n"

    @pytest.mark.slow
    def test_report_only(self, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        words = ["compare", "--out", str(made), "--report-only", "--no-latency"]
        with lock(made):  # also while runs are being made
            assert main([*words, "--split", "val", "--json"]) == 0
        results = json.loads(capsys.readouterr().out)["results"]
        assert results["split"] == "val"
        assert len(results["cells"]) == 2
        assert main(words) == 0
        assert "2 finished runs" in capsys.readouterr().out
        assert main([*words, "--split", "train"]) == 2
        assert "no finished run that is scored on 'train'" in capsys.readouterr().err
        assert main(["compare", "--out", str(tmp_path / "x"), "--report-only"]) == 2
        assert "no folder of a comparison" in capsys.readouterr().err

    @pytest.mark.slow
    def test_a_failed_run_exits_with_1(self, data: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
        words = [
            "compare",
            "--data",
            data,
            "--out",
            copy,
            "--config",
            data.parent / "base.json",
            "--no-latency",
            "--quiet",
        ]
        words += ["--fractions", "0.5", "--seeds", "0", "--variant", "bad: text_encoder=gone.safetensors"]
        assert main([str(word) for word in words]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "failed (code 2)" in said.err
        assert "gone.safetensors" in said.err

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"split": "tset"}, "tset"), ({"jobs": 0}, "at least 1"), ({"val_split": "dev"}, "dev")],
    )
    def test_found_before_anything_is_trained(
        self, data: Path, tmp_path: Path, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            again(data, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()

    @pytest.mark.slow
    def test_two_comparisons_in_one_folder(self, data: Path, made: Path) -> None:
        with (
            lock(made),
            pytest.raises(InputError, match=rf"another process works in it \(process {os.getpid()}\)"),
        ):
            again(data, made)
        (made / LOCK).write_text("999999\n")  # left by a process that was killed
        assert again(data, made).failed == ()


class TestThreads:
    def test_they_do_not_depend_on_the_jobs(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[str] = []

        class Noting(InProcess):
            def __init__(self, words: list[str], *, env: dict[str, str], **options: Any) -> None:
                seen.append(env["OMP_NUM_THREADS"])
                options["stdout"].write(b"error: nothing done\n")
                self.stdin, self.returncode = None, 2

        monkeypatch.setattr(runner, "Popen", Noting)
        monkeypatch.setattr("bridgeseg.comparing.state.usable_cores", lambda: 3)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        for jobs in (1, 2):
            again(data, tmp_path / "out", jobs=jobs)
        monkeypatch.setattr("bridgeseg.comparing.state.usable_cores", lambda: 64)
        again(data, tmp_path / "out")  # as before, also on another machine
        assert seen == ["3"] * 6
        with pytest.raises(ConfigError, match=r"made with 3 threads, found `threads=2`\n  fix: leave `threads` out"):
            again(data, tmp_path / "out", threads=2)

    @pytest.mark.parametrize(
        ("given", "cores", "threads"), [(None, 64, 4), (None, 2, 2), ("1", 64, 1), ("x", 3, 3), ("9", 8, 4)]
    )
    def test_the_default(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, cores: int, threads: int
    ) -> None:
        monkeypatch.setattr("bridgeseg.comparing.state.usable_cores", lambda: cores)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if given is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        assert threads_of(tmp_path) == threads
        assert threads_of(tmp_path, 7) == 7


class TestCosts:
    @pytest.mark.slow
    def test_parameters_and_arithmetic(self, made: Path) -> None:
        place = made / "runs" / NONE / "last"
        found, network = measure.cost(place, side=64), DeployNetwork(load_checkpoint(place).segmentor)
        counted = []

        def count(module: Any, inputs: Any, output: Any) -> None:
            counted.append(2 * output.numel() * module.weight[0].numel())

        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        network(torch_image(64))
        assert found["gflops"] == pytest.approx(sum(counted) / 1e9)
        assert found["parameters"] == found["parameters_trained"] == sum(p.numel() for p in network.parameters())
        guided = measure.cost(made / "runs" / BRIDGE / "last", side=64)
        assert guided["parameters_trained"] > guided["parameters"] > found["parameters"]

    @pytest.mark.slow
    def test_latencies(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def export(place: Path, path: Path) -> None:
            if place.name == "odd":
                raise ModelFileError("cannot be exported")
            write_onnx(path)

        monkeypatch.setattr(measure, "export_folder", export)
        places = {name: Path(name) for name in ("a", "odd", "b")}
        write_onnx(tmp_path / "small.onnx")
        files = {"a in 8 bits": tmp_path / "small.onnx"}
        times = measure.latencies(places, files, side=32, rounds=3, threads=1)
        assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3, "a in 8 bits": 3}
        assert min(map(min, times.values())) > 0
        assert "no latency of odd" in capsys.readouterr().err


def torch_image(side: int) -> Any:
    import torch

    return torch.zeros(1, side, side, 3, dtype=torch.uint8)


class TestProcesses:
    @pytest.fixture(autouse=True)
    def _real(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runner, "Popen", subprocess.Popen)
        monkeypatch.setattr(runner, "POLL", 0.05)

    def test_a_run_ends_with_its_starter(self) -> None:
        code = "from bridgeseg.comparing.starter import end_with_starter as e; e(); import time; time.sleep(60)"
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == -signal.SIGTERM

    @pytest.mark.slow
    def test_a_stop_reaches_the_runs_and_they_can_go_on(self, data: Path, tmp_path: Path) -> None:
        run = plan({"epochs": 100_000}, data=data, config=data.parent / "base.json").runs[0]
        place = tmp_path / "runs" / run.name

        def stop() -> None:
            end = time.monotonic() + 200
            while runner.epochs_done(place) < 2 and time.monotonic() < end:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGTERM)

        before = signal.getsignal(signal.SIGTERM)
        threading.Thread(target=stop).start()
        with pytest.raises(InputError, match=r"stopped; 0 of 2 runs.*\n.*the same command goes on"):
            run_all(tmp_path, [run, replace(run, seed=1)], "test", quiet=True)
        assert signal.getsignal(signal.SIGTERM) == before
        assert status(tmp_path, run, "test") == UNFINISHED
        log = next((tmp_path / "logs").iterdir()).read_text()
        assert re.search(r"error: .*: stopped in epoch \d+; .*\n  fix: continue with", log)
        with lock(place):  # its process is gone
            pass
