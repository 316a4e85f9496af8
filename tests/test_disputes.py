"""`bridgeseg check --model`: labels that are planted wrong are found, ranked, shown; those that are right are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bridgeseg
from bridgeseg.checking.disputes import Disputes, Region
from bridgeseg.checking.disputing import EDGE, Candidate, Search, opened
from bridgeseg.cli import main
from bridgeseg.data.listing import Sample
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError
from bridgeseg.evaluating.answers import Answer
from bridgeseg.importing.fill import filled
from bridgeseg.outlines import areas, numbered
from conftest import MakeOnnx
from tiny_data import NAMES, write_dataset

PLANTED = {"1": (slice(10, 40), slice(5, 35)), "3": (slice(20, 36), slice(40, 56)), "0": (slice(30, 40), slice(20, 30))}
"""Image of the split val -> where its labels are wrong, from the largest on."""


class Sure:
    """A model that is right: the class is the strongest channel; it is less sure the darker a pixel is."""

    confident = True

    def classes(self, images: np.ndarray) -> np.ndarray:
        return images.argmax(axis=3).astype(np.uint8)

    def with_confidence(self, output: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.classes(images), images.max(axis=3)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dataset with wrong labels in three places of the split val: all classes are moved on by one."""
    path = write_dataset(tmp_path / "data")
    for name, place in PLANTED.items():
        file = path.parent / "masks" / "val" / f"{name}.png"
        mask = np.asarray(Image.open(file)).copy()
        mask[place] = (mask[place] + 1) % len(NAMES)
        Image.fromarray(mask).save(file)
    return path


@pytest.fixture
def sure() -> bridgeseg.Model:
    return bridgeseg.Model(Sure(), bridgeseg.ClassSet.build(list(NAMES)), {})


def disputes(report: Any) -> Disputes:
    assert report.disputes is not None
    found: Disputes = report.disputes
    return found


def regions(search: Search) -> tuple[list[Region], int]:
    def make(one: Candidate, pixels: int, confidence: float | None) -> Region:
        named = ("val", "a", "b", one.labelled, search.names[one.predicted])
        return Region(*named, pixels, pixels / one.image_pixels, confidence, (0, 0, 1, 1), one.sample, one.area)

    return search.regions(make)


def inside(region: Any) -> np.ndarray:
    """Return the pixels of a region within an image."""
    part = filled(region.area.outline, 48, 64)
    for hole in region.area.holes:
        part &= ~filled(hole, 48, 64)
    return part


def test_what_was_planted_comes_first_and_nothing_else(data: Path, sure: bridgeseg.Model) -> None:
    report = bridgeseg.check(data, model=sure, workers=1)
    found = disputes(report)
    assert [image.image for image in found.images] == [f"images/val/{name}.png" for name in PLANTED]
    assert (found.compared, found.passed_over, found.confident, found.left_out) == (12, 0, True, 0)
    spec = DataSpec.load(data)
    for name, place in PLANTED.items():
        own = [region for region in found.regions if region.image == f"images/val/{name}.png"]
        wrong, seen = np.zeros((48, 64), bool), np.zeros((48, 64), bool)
        wrong[place] = True
        for region in own:
            part = inside(region)
            assert region.mask == f"masks/val/{name}.png"
            assert part[wrong].sum() == part.sum()
            assert 0.3 * part.sum() < region.pixels <= part.sum()  # those that it is as sure of as it usually is
            assert region.confidence is not None
            assert 0.75 < region.confidence < 0.91
            label = set(read_mask(region.sample.mask, spec)[part].tolist())
            assert label == {NAMES.index(region.labelled)}
            assert NAMES.index(region.predicted) == (NAMES.index(region.labelled) - 1) % 3
            seen |= part
        assert (seen & wrong).sum() >= 0.8 * wrong.sum()
    weights = [region.weight for region in found.regions]
    assert weights == sorted(weights, reverse=True)
    only = [finding for finding in report.findings if finding.code == "labels-disputed"]
    assert [(one.severity, one.count, one.files[0]) for one in only] == [("note", 3, "masks/val/1.png")]
    assert {region.split for region in found.regions} == {"val"}
    assert report.exit_code(strict=True) == bridgeseg.check(data, workers=1).exit_code(strict=True)


def test_a_right_dataset_is_not_disputed(tmp_path: Path, sure: bridgeseg.Model) -> None:
    report = bridgeseg.check(write_dataset(tmp_path), model=sure, workers=1)
    assert disputes(report).regions == ()
    assert "labels-disputed" not in {finding.code for finding in report.findings}


def test_a_model_that_is_unsure_there_disputes_nothing(data: Path, sure: bridgeseg.Model) -> None:
    for name in PLANTED:
        file = data.parent / "images" / "val" / f"{name}.png"
        Image.fromarray(np.asarray(Image.open(file)) // 2).save(file)
    assert disputes(bridgeseg.check(data, model=sure, workers=1)).regions == ()


@pytest.mark.slow
def test_a_file_without_confidence_disagrees_plainly(data: Path, make_onnx: MakeOnnx, capsys: Any) -> None:
    path, page = make_onnx(), data.parent / "report.html"
    words = ["check", "--data", str(data), "--model", str(path), "--split", "val", "--workers", "1"]
    assert main([*words, "--html", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "labels that the model disputes, in 4 masks compared" in printed
    rows = [line for line in printed.splitlines() if "images/val/" in line and "│" in line]
    assert "images/val/1.png" in rows[0]
    assert "which does not say how sure it is" in " ".join(printed.replace("│", " ").split())
    text = page.read_text()
    found = disputes(bridgeseg.check(data, model=path, split="val", workers=1))
    assert text.count("data:image/jpeg") == len(found.regions)
    assert all(f"labelled {one.labelled} (left), taken for {one.predicted} (right)" in text for one in found.regions)
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["disputes"]
    assert told == json.loads(json.dumps(found.to_dict()))
    assert [image["image"] for image in told["images"]] == [f"images/val/{name}.png" for name in PLANTED]
    assert {region["confidence"] for image in told["images"] for region in image["regions"]} == {None}


def test_files_that_cannot_be_read_are_passed_over(data: Path, sure: bridgeseg.Model) -> None:
    (data.parent / "images" / "val" / "1.png").write_bytes(b"no image")
    mask = data.parent / "masks" / "val" / "2.png"
    Image.fromarray(np.full((48, 64), 77, np.uint8)).save(mask)
    found = disputes(bridgeseg.check(data, model=sure, workers=1))
    assert (found.compared, found.passed_over) == (10, 2)
    assert [image.image for image in found.images] == ["images/val/3.png", "images/val/0.png"]


def test_labels_that_say_less_are_compared_where_they_say_something(data: Path, sure: bridgeseg.Model) -> None:
    data.write_text(data.read_text() + "labelled: [red, green]\n")
    found = disputes(bridgeseg.check(data, model=sure, workers=1))
    assert {region.labelled for region in found.regions} <= {"red", "green"}
    assert found.images[0].image == "images/val/1.png"


def test_mistakes(data: Path, sure: bridgeseg.Model, make_onnx: MakeOnnx) -> None:
    with pytest.raises(ConfigError, match="a quick check asks no model"):
        bridgeseg.check(data, model=sure, quick=True)
    with pytest.raises(ConfigError, match="about one dataset at a time"):
        bridgeseg.check([data, data], model=sure)
    other = make_onnx("other.onnx", classes=bridgeseg.ClassSet.build(["red", "green", "sky"]))
    with pytest.raises(DataError, match="only in the model: 'sky'"):
        bridgeseg.check(data, model=other, workers=1)
    data.write_text("names: [a, a]\ntrain: images/train\n")
    assert bridgeseg.check(data, model=sure, workers=1).disputes is None  # its classes are not known


def test_borders_are_no_mistakes() -> None:
    truth = np.zeros((40, 60), np.uint8)
    truth[:, 30:] = 1
    shifted = np.roll(truth, EDGE - 1, axis=1)
    shifted[:, : EDGE - 1] = 0
    for prediction, count in ((shifted, 0), (np.roll(truth, 20, axis=1) | truth, 1)):
        search = Search(("a", "b"), 255)
        search.take(Answer(Sample(Path("a"), Path("b")), np.zeros((40, 60, 3), np.uint8), truth, prediction, None))
        assert len(regions(search)[0]) == count


def test_a_class_that_nothing_agrees_on_is_held_against_itself() -> None:
    truth, prediction = np.zeros((20, 20), np.uint8), np.ones((20, 20), np.uint8)
    confidence = np.full((20, 20), 100, np.uint8)
    confidence[:10] = 200  # the mean is 150
    search = Search(("a", "b"), 255)
    search.take(Answer(Sample(Path("a"), Path("b")), np.zeros((20, 20, 3), np.uint8), truth, prediction, confidence))
    (found,), left_out = regions(search)
    assert (found.pixels, found.labelled, found.predicted, left_out) == (200, "a", "b", 0)
    assert found.confidence == pytest.approx(200 / 255)


def test_opening_keeps_squares() -> None:
    mask = np.zeros((9, 12), bool)
    mask[2:7, 3:8] = True
    mask[4, :] = True  # a tail
    square = np.zeros_like(mask)
    square[2:7, 3:8] = True
    assert (opened(mask, 5) == square).all()
    assert not opened(mask, 6).any()
    assert not opened(mask, 10).any()


def test_pixels_know_their_area() -> None:
    mask = np.random.default_rng(0).random((30, 40)) < 0.55
    found, numbers = numbered(mask, "a", 0)
    assert ((numbers >= 0) == mask).all()
    assert [int((numbers == place).sum()) for place in range(len(found))] == [area.pixels for area in found]
    for place, area in enumerate(found):
        part = filled(area.outline, 30, 40)
        for hole in area.holes:
            part &= ~filled(hole, 30, 40)
        assert (part == (numbers == place)).all()
    assert len(found) == len(areas(np.where(mask, 0, 255), ("a",)))
    assert numbered(np.zeros((3, 3), bool), "a", 0)[0] == []
