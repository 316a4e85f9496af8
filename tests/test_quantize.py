"""8-bit files: the same format, nearly the same ids, honest about what was done."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import bridgeseg
from bridgeseg.api import quantize
from bridgeseg.classes import ClassSet
from bridgeseg.cli import main
from bridgeseg.errors import ConfigError, DataError, InputError, ModelFileError
from bridgeseg.exporting import int8_report
from bridgeseg.exporting import quantize as room
from bridgeseg.exporting.calibration import MAX_SIDE, find_calibration, read_small, training_images
from bridgeseg.exporting.int8 import export_int8
from bridgeseg.exporting.int8_report import compare
from bridgeseg.exporting.labelled import labelled_samples, validation_images
from bridgeseg.exporting.pixels import fold_normalisation
from bridgeseg.exporting.qdq import int8_products, prepare, products, quantise
from bridgeseg.exporting.quantize import Quantized
from bridgeseg.exporting.sensitivity import rank, within_budget
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.onnx_runtime import OnnxRuntime
from bridgeseg.settings.export import Compared
from tiny_onnx import NAMES, photo, write_network

SCORES = {"split": "val", "miou": 0.5}
COUNT = 6
CLASSES = ClassSet.build(list(NAMES))


@pytest.fixture(scope="module")
def float_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(
        tmp_path_factory.mktemp("float") / "float.onnx", provenance={"method": "none", "scores": SCORES}
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, float_file: Path) -> Path:
    """A dataset whose masks are the float network's own ids: every mistake is one of quantisation."""
    root = tmp_path_factory.mktemp("data")
    runtime = OnnxRuntime(float_file, 1)
    for kind in ("images", "masks"):
        (root / kind / "train").mkdir(parents=True)
    for index in range(COUNT):
        picture = photo(index)
        Image.fromarray(picture).save(root / "images" / "train" / f"{index}.png")
        Image.fromarray(runtime.classes(picture[None])[0]).save(root / "masks" / "train" / f"{index}.png")
    names = "".join(f"  {index}: {name}\n" for index, name in enumerate(NAMES))
    text = f"path: .\ntrain: images/train\nval: images/train\nmasks_dir: masks\nnames:\n{names}"
    (root / "data.yaml").write_text(text)
    return root / "data.yaml"


@pytest.fixture(scope="module")
def int8(float_file: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Quantized:
    out = tmp_path_factory.mktemp("int8") / "new" / "int8.onnx"
    done = quantize(float_file, out, data.parent / "images")
    assert list(out.parent.iterdir()) == [out]
    return done


class TestFold:
    @pytest.mark.parametrize("size", [(1, 32, 48), (2, 33, 65), (1, 1, 1), (3, 5, 64)])
    def test_the_answers_stay(self, size: tuple[int, int, int], float_file: Path, tmp_path: Path) -> None:
        model = onnx.load(float_file)
        assert fold_normalisation(model)
        onnx.checker.check_model(model, full_check=True)
        kinds = [node.op_type for node in model.graph.node]
        assert not {"Sub", "Div", "Pad"} & set(kinds)
        onnx.save(model, tmp_path / "folded.onnx")
        images = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        before, after = (OnnxRuntime(path, 1).logits(images) for path in (float_file, tmp_path / "folded.onnx"))
        np.testing.assert_allclose(after, before, atol=1e-4)

    def test_another_beginning_stays_as_it_is(self, float_file: Path, tmp_path: Path) -> None:
        changes: list[tuple[str, Any]] = [
            ("Div", lambda node: node.input.__setitem__(1, "odd")),
            ("Pad", lambda node: node.attribute.append(onnx.helper.make_attribute("mode", "reflect"))),
            ("Sub", lambda node: setattr(node, "op_type", "Pow")),
        ]
        for kind, change in changes:
            model = onnx.load(float_file)
            change(next(node for node in model.graph.node if node.op_type == kind))
            before = model.SerializeToString()
            assert not fold_normalisation(model)
            assert model.SerializeToString() == before


class TestFile:
    def test_format_and_facts(self, int8: Quantized) -> None:
        model = Model.load(int8.path, 1)
        assert model.classes.names == NAMES
        assert int8.bytes == int8.path.stat().st_size
        facts = model.provenance["quantisation"]
        assert facts == int8.facts
        assert facts["calibration"] == {"method": "minmax", "pictures": COUNT, "from": "images"}
        assert facts["float_scores"] == SCORES
        assert "scores" not in model.provenance  # they were the float network's
        assert facts["int8_layers"] == len(int8_products(onnx.load(int8.path))) == 2
        assert facts["any_processor"] is True
        assert model.provenance["method"] == "none"

    def test_pixels_are_not_quantised_again(self, int8: Quantized) -> None:
        graph = onnx.load(int8.path).graph
        onnx.checker.check_model(onnx.load(int8.path), full_check=True)
        first = next(
            node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] == "pixels_nchw"
        )
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        assert constants[first.input[1]] == 1
        assert constants[first.input[2]] == 0
        weights = [value for name, value in constants.items() if value.dtype == np.int8 and value.ndim == 4]
        assert len(weights) == 2
        assert constants["last"].dtype == np.float32  # what makes the logits stays float

    @pytest.mark.parametrize("size", [(1, 40, 56), (2, 33, 65), (1, 1, 1)])
    def test_ids_and_logits(self, size: tuple[int, int, int], int8: Quantized, float_file: Path) -> None:
        images = np.stack([photo(50 + index, *size[1:]) for index in range(size[0])])
        before, after = OnnxRuntime(float_file, 1), OnnxRuntime(int8.path, 1)
        ids = after.classes(images)
        assert (ids.dtype, ids.shape) == (np.uint8, size)
        assert (ids == before.classes(images)).mean() > 0.95
        spread = np.ptp(before.logits(images))
        assert np.abs(after.logits(images) - before.logits(images)).max() < 0.05 * max(1.0, spread)

    def test_the_same_pictures_give_the_same_file(
        self, int8: Quantized, float_file: Path, data: Path, tmp_path: Path
    ) -> None:
        again = quantize(float_file, tmp_path / "again.onnx", data.parent / "images")
        assert again.path.read_bytes() == int8.path.read_bytes()

    @pytest.mark.parametrize("method", ["percentile", "entropy"])
    def test_other_methods(self, method: str, float_file: Path, data: Path, tmp_path: Path, capsys: Any) -> None:
        done = quantize(float_file, tmp_path / "a.onnx", f"{data}:train", images=2, method=method)
        assert done.facts["calibration"] == {"method": method, "pictures": 2, "from": "data.yaml, split train"}
        assert done.facts["agreement"] > 0.9
        assert capsys.readouterr().out == ""


def test_a_relu_before_a_float_layer_is_kept(float_file: Path, data: Path, tmp_path: Path) -> None:
    """The quantiser drops ReLUs whose 8-bit range cuts as they do, and would drop one that nothing 8-bit follows."""
    prepared = tmp_path / "prepared.onnx"
    prepare(float_file, prepared)
    pictures = find_calibration(data.parent / "images", 64).images
    ranges = room.measure_ranges(prepared, pictures, "minmax", room.OP_TYPES)
    layers = [node.name for node in products(onnx.load(prepared))]
    assert len(layers) == 2
    add = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Add" and "h2" in node.input]
    quantise(prepared, tmp_path / "a.onnx", ranges, [layers[1], *add])
    assert len(int8_products(onnx.load(tmp_path / "a.onnx"))) == 1
    images = np.stack([photo(7), photo(8)])
    before, after = (OnnxRuntime(path, 1).logits(images) for path in (float_file, tmp_path / "a.onnx"))
    assert np.abs(after - before).max() < 0.05 * np.ptp(before)


class TestBudget:
    def test_nothing_is_given_back_without_need(self, float_file: Path, data: Path, tmp_path: Path) -> None:
        done = quantize(float_file, tmp_path / "a.onnx", f"{data}:train", images=3, budget=50.0)
        assert done.facts["float_layers"] == []
        assert 0 <= done.facts["lost_on_calibration"] <= 50
        assert done.facts["budget"] == 50.0

    def test_a_budget_that_cannot_be_kept(self, float_file: Path, data: Path, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="the budget is 0"):
            quantize(float_file, tmp_path / "a.onnx", f"{data}:train", images=3, budget=0.0)
        assert not list(tmp_path.iterdir())

    def test_the_noisiest_layer_comes_first(self, float_file: Path, data: Path, tmp_path: Path) -> None:
        model = onnx.load(float_file)
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "middle")
        rough = onnx.numpy_helper.to_array(tensor).copy()
        rough[:, 0] *= 200  # one large weight in every row leaves eight bits too coarse for the others
        tensor.CopyFrom(onnx.numpy_helper.from_array(rough, "middle"))
        onnx.save(model, tmp_path / "rough.onnx")
        prepare(tmp_path / "rough.onnx", tmp_path / "prepared.onnx")
        pictures = find_calibration(data.parent / "images", 64).images
        ranges = room.measure_ranges(tmp_path / "prepared.onnx", pictures, "minmax", room.OP_TYPES)
        quantise(tmp_path / "prepared.onnx", tmp_path / "a.onnx", ranges)
        names = rank(tmp_path / "prepared.onnx", tmp_path / "a.onnx", pictures[0])
        inputs = {
            node.name: node.input[1] for node in onnx.load(tmp_path / "prepared.onnx").graph.node if len(node.input) > 1
        }
        assert sorted(inputs[name] for name in names) == ["first_pixels", "middle"]

    def test_twice_as_many_until_it_is_enough(self) -> None:
        names, tried = [str(number) for number in range(32)], []

        def attempt(left: list[str]) -> float:
            tried.append(len(left))
            return 4 - len(left) / 4

        assert within_budget(5, 4.0, lambda: names, attempt) == ([], 4.0)
        assert within_budget(2, 4.0, lambda: names, attempt) == (names[:8], 2.0)
        assert tried == [2, 4, 8]


class TestMistakes:
    def test_arguments(self, float_file: Path, data: Path, tmp_path: Path) -> None:
        folder, out = data.parent / "images", tmp_path / "a.onnx"
        cases: list[tuple[type[InputError], str, Any]] = [
            (InputError, "end it with .onnx", lambda: quantize(float_file, tmp_path / "a.pt", folder)),
            (InputError, "no such file or folder", lambda: quantize(float_file, out, tmp_path / "none")),
            (ConfigError, "at least 1, found 0", lambda: quantize(float_file, out, folder, images=0)),
            (ConfigError, "did you mean 'minmax'", lambda: quantize(float_file, out, folder, method="minmx")),
            (ConfigError, "needs labelled images", lambda: quantize(float_file, out, folder, budget=1.0)),
            (DataError, "no split 'tset'", lambda: quantize(float_file, out, f"{data}:tset")),
            (ModelFileError, "no such model file", lambda: quantize(tmp_path / "b.onnx", out, folder)),
        ]
        for kind, text, call in cases:
            with pytest.raises(kind, match=text):
                call()
        assert not list(tmp_path.iterdir())

    def test_a_bundled_file_goes_by_its_name(self, data: Path, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="8-bit already"):
            quantize("street-int8", tmp_path / "a.onnx", data.parent / "images")
        with pytest.raises(ModelFileError, match="8-bit already"):
            export_int8({"model": "street-int8", "out": tmp_path / "a.onnx", "calibrate": data.parent / "images"})

    def test_a_file_that_is_8_bit_already(self, int8: Quantized, data: Path, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="8-bit already"):
            quantize(int8.path, tmp_path / "a.onnx", data.parent / "images")

    def test_a_file_without_layers(self, rgb_onnx: Path, data: Path, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="no convolution"):
            quantize(rgb_onnx, tmp_path / "a.onnx", data.parent / "images")

    def test_other_classes(self, float_file: Path, data: Path, tmp_path: Path) -> None:
        other = data.with_name("other.yaml")
        other.write_text(data.read_text().replace("grey", "gray"))
        with pytest.raises(DataError, match="'gray'"):
            quantize(float_file, tmp_path / "a.onnx", f"{other}:train", budget=1.0)
        assert quantize(float_file, tmp_path / "a.onnx", f"{other}:train").path.is_file()  # ranges need no labels

    def test_a_picture_that_cannot_be_read(self, float_file: Path, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.png").write_text("no picture")
        with pytest.raises(DataError, match="not an image"):
            quantize(float_file, tmp_path / "a.onnx", tmp_path / "in")

    def test_a_full_disk_keeps_the_older_file(
        self, float_file: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(self: Path, _: bytes) -> None:
            with self.open("w") as file:
                file.write("half")
            raise OSError(28, "No space left on device")

        out = tmp_path / "a.onnx"
        out.write_bytes(b"the older file")
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError, match="No space left on device"):
            quantize(float_file, out, data.parent / "images", images=1)
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the older file"]


def test_pictures_are_few_spread_and_small(data: Path, tmp_path: Path) -> None:
    found = find_calibration(data.parent / "images", 3)
    assert [path.name for path in found.images] == ["0.png", "2.png", "5.png"]
    Image.fromarray(np.zeros((20, 2 * MAX_SIDE, 3), np.uint8)).save(tmp_path / "wide.png")
    assert read_small(tmp_path / "wide.png").shape == (10, MAX_SIDE, 3)
    labelled = find_calibration(data, 64)
    assert [sample.image for sample in labelled.samples] == list(labelled.images)
    assert len(labelled.images) == COUNT


def test_images_are_read_as_the_dataset_says(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(tmp_path / "images/a.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "masks/a.png")
    text = "train: images\nval: images\nmasks_dir: masks\nnames: [a, b]\nimage_range: 4095\n"
    (tmp_path / "data.yaml").write_text(text)
    calibration = find_calibration(tmp_path / "data.yaml", 64)
    assert read_small(calibration.images[0]).max() == 16
    assert read_small(calibration.images[0], calibration.how).min() == 255


def test_a_folder_with_a_dataset_is_a_dataset(data: Path) -> None:
    found = find_calibration(data.parent, 100)
    assert found.spec is not None
    assert {path.parent.parent.name for path in found.images} == {"images"}


class TestTrainingImages:
    @pytest.fixture
    def run_folder(self, data: Path, tmp_path: Path) -> Path:
        run = tmp_path / "run"
        (run / "best").mkdir(parents=True)
        (run / "train.json").write_text(json.dumps({"data": str(data), "train_splits": ["train", "val"]}))
        return run

    @pytest.mark.parametrize("place", [".", "best"])
    def test_the_splits_it_was_trained_on(self, place: str, run_folder: Path, data: Path) -> None:
        found = training_images(run_folder / place, 4)
        assert found.name == "data.yaml, split train + val"
        assert len(found.images) == len(set(found.images)) == 4
        assert {path.parent for path in found.images} == {data.parent / "images" / "train"}
        assert len(training_images(run_folder / place, 100).images) == COUNT

    def test_those_of_several_datasets(self, run_folder: Path, data: Path, tmp_path: Path) -> None:
        shutil.copytree(data.parent, tmp_path / "other")
        settings = json.loads((run_folder / "train.json").read_text())
        both = {**settings, "data": [str(data), str(tmp_path / "other" / "data.yaml")], "val_split": "val"}
        (run_folder / "train.json").write_text(json.dumps(both))
        found = training_images(run_folder, 4)
        assert found.name == "data.yaml, split train + val; data.yaml, split train + val"
        assert [path.is_relative_to(tmp_path / "other") for path in found.images] == [False, False, True, True]
        with pytest.raises(ConfigError, match=rf"2 datasets.*\n  fix: .*`confidence_data={data}:val`"):
            validation_images(run_folder, CLASSES)

    def test_where_some_datasets_alone_lack_val(self, run_folder: Path, data: Path, tmp_path: Path) -> None:
        shutil.copytree(data.parent, tmp_path / "other")
        text = data.read_text()
        assert "val:" in text
        lacking = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("val:"))
        (tmp_path / "other" / "data.yaml").write_text(lacking)
        settings = {"data": [str(data), str(tmp_path / "other")], "train_splits": ["train"], "val_share": 0.3}
        (run_folder / "train.json").write_text(json.dumps(settings))
        places = [path.is_relative_to(tmp_path / "other") for path in training_images(run_folder, 100).images]
        assert (places.count(False), 0 < places.count(True) < COUNT) == (COUNT, True)

    def test_the_fix_names_a_labelled_split(self, run_folder: Path, data: Path, tmp_path: Path) -> None:
        for name, lines in (("one", ()), ("two", ("val:",))):
            shutil.copytree(data.parent, tmp_path / name)
            text = [line for line in data.read_text().splitlines() if not line.startswith(lines)]
            (tmp_path / name / "data.yaml").write_text("\n".join(text))
        one, two = tmp_path / "one", tmp_path / "two"
        settings = {"data": [str(two), str(one)], "train_splits": ["train"], "val_split": "val", "val_share": 0.3}
        (run_folder / "train.json").write_text(json.dumps(settings))
        with pytest.raises(ConfigError, match="2 datasets") as caught:
            validation_images(run_folder, CLASSES)
        assert caught.value.fix == f"choose one: `confidence_data={one / 'data.yaml'}:val`"
        for given in (f"{one / 'data.yaml'}:val", f"{one}:val"):
            assert len(find_calibration(given, 100, "train").samples) == COUNT
        (one / "data.yaml").write_text((two / "data.yaml").read_text())
        with pytest.raises(ConfigError, match="2 datasets") as caught:
            validation_images(run_folder, CLASSES)
        place = two / "data.yaml"
        assert caught.value.fix == (
            f"write `val_share: 0.3` into {place}, and choose it: `confidence_data={place}:val`"
        )
        place.write_text(f"{place.read_text()}\nval_share: 0.3")
        assert 0 < len(find_calibration(f"{place}:val", 100).samples) < COUNT

    def test_the_fix_names_no_dataset_that_leaves_names_out(self, run_folder: Path, data: Path, tmp_path: Path) -> None:
        places = [tmp_path / name / "data.yaml" for name in ("partial", "whole")]
        for place in places:
            shutil.copytree(data.parent, place.parent)
        places[0].write_text(f"{data.read_text()}\nlabelled: [{NAMES[0]}]")
        settings = {"data": [str(place) for place in places], "train_splits": ["train"], "val_split": "val"}
        (run_folder / "train.json").write_text(json.dumps(settings))
        with pytest.raises(ConfigError, match="2 datasets") as caught:
            validation_images(run_folder, CLASSES)
        assert caught.value.fix == f"choose one: `confidence_data={places[1]}:val`"
        assert labelled_samples(CLASSES, find_calibration(f"{places[1]}:val", 4))
        places[1].write_text(f"{data.read_text()}\nlabelled: [{NAMES[1]}]")
        for takes_names in (False, True):
            with pytest.raises(DataError, match=r"none of the 2 datasets of this run.*all names of the model") as none:
                validation_images(run_folder, CLASSES, takes_names=takes_names)
            assert "with a temperature of 1" in str(none.value.fix)

    def test_they_calibrate(self, run_folder: Path, float_file: Path, tmp_path: Path) -> None:
        facts = quantize(float_file, tmp_path / "a.onnx", training_images(run_folder, 2), budget=50.0).facts
        assert facts["calibration"] == {"method": "minmax", "pictures": 2, "from": "data.yaml, split train + val"}

    @pytest.mark.slow
    def test_a_run_is_exported_without_calibrate(
        self, run_folder: Path, float_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
    ) -> None:
        copied = lambda model, out, **_: Path(out).write_bytes(float_file.read_bytes())  # noqa: E731
        monkeypatch.setattr("bridgeseg.exporting.onnx.export_folder", copied)
        out = tmp_path / "a.onnx"
        words = ["export", "--int8", "--model", str(run_folder), "--out", str(out), "--calibration-images", "3"]
        assert main([*words, "--threads", "1"]) == 0
        assert "calibrated on 3 images: data.yaml, split train + val" in capsys.readouterr().out
        (run_folder / "train.json").unlink()
        assert main(words) == 2
        assert "--calibrate FOLDER" in capsys.readouterr().err

    def test_data_that_is_gone(self, run_folder: Path) -> None:
        (run_folder / "train.json").write_text(json.dumps({"data": "/none/data.yaml", "train_splits": ["train"]}))
        with pytest.raises(DataError, match=r"/none/data\.yaml: .*no longer there\n  fix: .*`calibrate=FOLDER`"):
            training_images(run_folder, 64)

    @pytest.mark.parametrize(
        "content",
        [
            None,
            "",
            "[]",
            "{}",
            '{"data": 3, "train_splits": ["train"]}',
            '{"data": [], "train_splits": ["train"]}',
            '{"data": "a", "train_splits": []}',
        ],
    )
    def test_a_folder_that_does_not_say(self, content: str | None, tmp_path: Path) -> None:
        if content is not None:
            (tmp_path / "train.json").write_text(content)
        with pytest.raises(ConfigError, match=r"does not say what it was trained on\n  fix: .*`calibrate=FOLDER`"):
            training_images(tmp_path, 2)


@pytest.mark.slow
def test_comparison(float_file: Path, int8: Quantized, data: Path) -> None:
    report = compare(float_file, int8.path, Compared(data=data, threads=1), size=(32, 32), rounds=2)
    assert report["bytes"] == {"before": float_file.stat().st_size, "after": int8.bytes}
    assert report["miou"]["before"] == 1.0
    assert report["miou"]["lost"] == pytest.approx(100 * (1 - report["miou"]["after"]))
    assert 0 < report["miou"]["lost"] < 10
    assert report["latency"][0]["runtime"] == "onnxruntime"
    assert all(row["ratio"] > 0 for row in report["latency"])


class TestCommand:
    @pytest.mark.slow
    def test_an_onnx_file(
        self, float_file: Path, data: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(int8_report, "ROUNDS", 1)
        monkeypatch.setattr(int8_report, "SIZE", (16, 16))
        out = tmp_path / "a.onnx"
        words = ["export", "--int8", "--model", str(float_file), "--out", str(out), "--calibrate", f"{data}:train"]
        assert main([*words, "--calibration-images", "2", "--data", str(data), "--threads", "1", "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["model"] == str(out)
        assert facts["bytes"]["after"] == out.stat().st_size
        assert facts["size"] == [16, 16]
        assert facts["quantisation"] == bridgeseg.load(out).provenance["quantisation"]
        assert facts["miou"]["split"] == "val"

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            (["--int8"], "8 bits need images to calibrate on"),
            (["--calibrate", "x"], "add --int8"),
            (["--split", "val", "--calibration-method", "minmax"], "no use for --calibration-method, --split"),
            ([], "an exported file already"),
            (["--int8", "--calibrate", "x", "--approximate"], "decided when a run folder is exported"),
            (["--int8", "--calibrate", "none"], "no such file or folder"),
        ],
    )
    def test_mistakes(self, words: list[str], text: str, float_file: Path, tmp_path: Path, capsys: Any) -> None:
        if not words:
            pytest.importorskip("torch")
        command = ["export", "--model", str(float_file), "--out", str(tmp_path / "a.onnx"), *words]
        assert main(command) == 2
        assert text in capsys.readouterr().err

    @pytest.mark.slow
    def test_without_onnx_and_without_torch(self, float_file: Path, data: Path, tmp_path: Path) -> None:
        code = (
            "import sys\n"
            "for name in {hidden!r}: sys.modules[name] = None\n"
            "from bridgeseg.cli import main\n"
            "sys.exit(main({words!r}))\n"
        )
        words = ["export", "--int8", "--model", str(float_file), "--out", str(tmp_path / "a.onnx"), "--quiet"]
        words += ["--calibrate", str(data.parent / "images"), "--calibration-images", "1", "--threads", "1"]
        needed = re.findall(r"^\w+", "\n".join(requires("onnxruntime") or []), re.MULTILINE)  # sympy, by older ones
        unused = tuple({"torch", "timm", "openvino", "matplotlib", "sympy"} - set(needed))
        for hidden, expected in (("onnx",), 2), (unused, 0):
            text = code.format(hidden=hidden, words=words)
            done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
            assert done.returncode == expected, done.stderr
            assert ("pip install 'bridgeseg[int8]'" in done.stderr) == (expected == 2)
        assert (tmp_path / "a.onnx").is_file()

    def test_evaluate_in_the_other_runtime(self, int8: Quantized, data: Path, capsys: Any) -> None:
        pytest.importorskip("openvino")
        words = ["evaluate", "--model", str(int8.path), "--data", str(data), "--threads", "1", "--json"]
        scores = []
        for runtime in ("onnxruntime", "openvino"):
            assert main([*words, "--runtime", runtime]) == 0
            scores.append(json.loads(capsys.readouterr().out)["miou"])
        assert scores[0] == pytest.approx(scores[1], abs=0.02)
        assert min(scores) > 0.9
