"""Several datasets checked together: each by itself, and their names against each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bridgeseg.api import check
from bridgeseg.checking.table import summary
from bridgeseg.cli import main
from bridgeseg.errors import ConfigError
from bridgeseg.text.store import save_embeddings
from tiny_data import write_dataset

NAMES = ("red", "sea", "meadow")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("together")
    write_dataset(root / "one", train=2, val=1)
    write_dataset(root / "two", train=3, val=1, names=NAMES)
    vectors = torch.eye(6)[:5]
    vectors[4] = torch.nn.functional.normalize(vectors[1] + 0.2 * vectors[4], dim=0)
    save_embeddings(root / "bank.safetensors", vectors, ["red", "green", "blue", "sea", "meadow"], encoder="by hand")
    return root


def test_lines_to_paste_are_proposed(data: Path) -> None:
    report = check([data / "one", data / "two"], text_encoder=str(data / "bank.safetensors"))
    found = {finding.code: finding for finding in report.findings}
    assert found["names-shared"].message == "names that several datasets label are one class each: red (one, two)"
    assert "green (one) and meadow (two)" in found["names-alike"].message
    assert 'same: [["green", "meadow"]]' in found["names-alike"].fix
    assert not report.of("error")
    assert report.pairs == {"one: train": 2, "one: val": 1, "two: train": 3, "two: val": 1}
    assert report.others == (data / "two" / "data.yaml",)
    assert str(data / "two" / "data.yaml") in summary(report)
    own = check(data / "one")
    assert {f"one: {finding.message}" for finding in own.findings} <= {finding.message for finding in report.findings}
    assert own.others == ()


def test_without_a_text_encoder_that_is_said(data: Path) -> None:
    codes = [finding.code for finding in check([data / "one", data / "two"], quick=True).findings]
    assert "names-not-compared" in codes
    assert "names-alike" not in codes


def test_contradictions_are_errors(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    circle = data / "two" / "circle.yaml"
    circle.write_text((data / "two" / "data.yaml").read_text() + "parts: {red: [sea], sea: [red]}\n")
    words = ["check", "--data", str(data / "one"), "--data", str(circle), "--quick", "--json"]
    assert main(words) == 2
    report = json.loads(capsys.readouterr().out)
    (found,) = [finding for finding in report["findings"] if finding["code"] == "names-contradict"]
    assert "circle: red > sea > red" in found["message"]
    assert found["files"] == ["data.yaml"] or found["files"] == ["circle.yaml"]
    assert report["others"] == [str(circle)]


def test_a_dataset_that_cannot_be_read_is_one_of_the_findings(data: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("names: 3\n")
    report = check([data / "one", tmp_path / "bad.yaml"], quick=True)
    assert report.exit_code() == 2
    assert not [finding for finding in report.findings if finding.code.startswith("names-a")]


def test_masks_of_one_dataset_are_converted(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one dataset are converted at a time"):
        check([data / "one", data / "two"], fix_masks=tmp_path / "new")
