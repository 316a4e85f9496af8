"""Networks whose names are an input: folders and files opened with names they were not trained with, and scored."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml

import bridgeseg
from bridgeseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from bridgeseg.classes import ClassSet
from bridgeseg.cli import main
from bridgeseg.confusion import ConfusionMatrix
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError, InputError, ModelFileError
from bridgeseg.evaluating.matching import match
from bridgeseg.exporting import onnx as exporting
from bridgeseg.models.build import build
from bridgeseg.runtime.model import Model
from bridgeseg.settings.model import ModelConfig
from bridgeseg.vocabulary.bank import bank
from tiny_data import TINY, write_dataset
from tiny_networks import noise, settle

CLIP = "open_clip:ViT-B-16/openai"
NAMES = ["road", "sky", "car"]
SCORES = {"split": "val", "miou": 0.5, "macc": 0.5, "aacc": 0.5, "iou": {}}
OTHERS = "window, car, person=person|rider, sky"
pytestmark = pytest.mark.slow


def write_run(folder: Path, **changes: Any) -> Path:
    """Write a checkpoint of a network whose class embeddings are those of the bank."""
    shipped = bank(CLIP)
    assert shipped is not None
    vectors = torch.from_numpy(shipped.vectors[[shipped.names.index(name) for name in NAMES]])
    config = ModelConfig.model_validate(TINY["model"] | changes)
    torch.manual_seed(0)
    network = build(config, len(NAMES), None if config.method == "none" else vectors)
    settle(network, noise(4, 3, 64, 64))
    facts = {"method": config.method, "text_encoder": CLIP, "scores": SCORES}
    return save_checkpoint(folder, Checkpoint(network, config, ClassSet.build(NAMES), facts))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "best", text_space="bank")


@pytest.fixture(scope="module")
def opened(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("open") / "open.onnx"
    assert main(["export", "--model", str(run), "--open", "--logits", "--out", str(path), "--quiet"]) == 0
    return path


@pytest.fixture
def photo() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


class TestFolders:
    def test_other_names_change_the_vectors_and_nothing_else(self, run: Path, photo: np.ndarray) -> None:
        own, other = Model.load(run), Model.load(run, names="car, sky, road, window")
        assert (own.takes_names, other.classes.names) == (True, ("car", "sky", "road", "window"))
        assert own.trained_names == other.trained_names == tuple(NAMES)
        assert "scores" in own.provenance
        assert "scores" not in other.provenance
        # the mean of the bank is a constant, but tokens attend to pixels one by one: logits of a name stay
        np.testing.assert_allclose(other.logits(photo)[[2, 1, 0]], own.logits(photo), atol=0.2)
        assert other.classes.palette[0] == own.classes.palette[2]

    def test_it_is_pickled_with_its_names(self, run: Path, photo: np.ndarray) -> None:
        model = Model.load(run, names=OTHERS)
        again = pickle.loads(pickle.dumps(model))
        assert again.classes == model.classes
        np.testing.assert_array_equal(again.mask(photo), model.mask(photo))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"method": "none"}, "method 'none', which takes no names"),
            ({"head": "linear"}, "'linear', has layers that count"),
        ],
    )
    def test_networks_that_know_their_number_of_classes(
        self, tmp_path: Path, changes: dict[str, Any], message: str
    ) -> None:
        folder = write_run(tmp_path / "best", **changes)
        assert not Model.load(folder).takes_names
        for attempt in (
            lambda: Model.load(folder, names=OTHERS),
            lambda: exporting.export_folder(folder, tmp_path / "open.onnx", takes_names=True),
        ):
            with pytest.raises(ConfigError, match=message):
                attempt()

    def test_a_folded_file_of_other_names(
        self, run: Path, tmp_path: Path, rgb_onnx: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given: list[Any] = []
        monkeypatch.setattr(exporting, "export_segmentor", lambda *args, **_: given.extend(args))
        exporting.export_folder(run, tmp_path / "other.onnx", names=OTHERS)
        segmentor, classes, provenance, _ = given
        assert classes.names == ("window", "car", "person", "sky")
        assert segmentor.class_embeddings.shape == (4, 512)
        assert "scores" not in provenance
        with pytest.raises(ConfigError, match="own 3 classes only") as caught:
            Model.load(rgb_onnx, names="road")
        assert "--open --out open.onnx" in str(caught.value.fix)


class TestFiles:
    @pytest.mark.parametrize("names", [None, "road", OTHERS])
    def test_it_says_what_the_folder_says_of_any_names(
        self, run: Path, opened: Path, names: str | None, photo: np.ndarray
    ) -> None:
        file, folder = Model.load(opened, names=names), Model.load(run, names=names)
        assert file.classes == folder.classes
        np.testing.assert_allclose(file.logits(photo), folder.logits(photo), atol=1e-3)
        assert (file.mask(photo) == folder.mask(photo)).mean() > 0.999
        assert file.trained_names == tuple(NAMES)

    def test_its_second_input_and_metadata(self, opened: Path) -> None:
        described = Model.load(opened).describe()
        assert [node["name"] for node in described["inputs"]] == ["image", "class_embeddings"]
        assert described["inputs"][1]["shape"] == ["names", 512]
        entries = {entry.key: entry.value for entry in onnx.load(opened).metadata_props}
        assert json.loads(entries["bridgeseg.open"])["text_encoder"] == CLIP

    def test_names_of_another_encoder_are_refused(self, opened: Path, tmp_path: Path) -> None:
        from bridgeseg.text.store import save_embeddings

        other = save_embeddings(tmp_path / "b.safetensors", torch.eye(512)[:2], ["hat", "cap"], encoder="open_clip:a/b")
        with pytest.raises(ConfigError, match=f"those of {CLIP}"):
            Model.load(opened, names="hat", embeddings=other)

    def test_more_names_than_its_ids_can_tell_apart(self, opened: Path) -> None:
        with pytest.raises(ConfigError, match="257 names for a file whose ids have 8 bits"):
            Model.load(opened, names=[f"{index}=road" for index in range(257)])

    @pytest.mark.parametrize("change", [{"embeddings": "?"}, {"width": 3}, {"embeddings": None}])
    def test_damaged_metadata(self, opened: Path, tmp_path: Path, change: dict[str, Any]) -> None:
        model = onnx.load(opened)
        entries = {entry.key: entry.value for entry in model.metadata_props}
        entries["bridgeseg.open"] = json.dumps(json.loads(entries["bridgeseg.open"]) | change)
        onnx.helper.set_model_props(model, entries)
        onnx.save(model, tmp_path / "damaged.onnx")
        with pytest.raises(ModelFileError, match="its metadata"):
            Model.load(tmp_path / "damaged.onnx")

    def test_openvino_runs_it_too(self, opened: Path, photo: np.ndarray) -> None:
        pytest.importorskip("openvino")
        found = Model.load(opened, runtime="openvino", names=OTHERS).mask(photo)
        assert (found == Model.load(opened, names=OTHERS).mask(photo)).mean() > 0.999

    def test_an_exported_file_cannot_be_opened_afterwards(self, rgb_onnx: Path, tmp_path: Path) -> None:
        for settings in ({"open": True}, {"names": "road", "plain": True}):
            with pytest.raises(InputError, match="exported file"):
                bridgeseg.export(rgb_onnx, tmp_path / "a.onnx", **settings)  # type: ignore[arg-type]

    def test_what_fits_one_vocabulary_is_refused(self, run: Path, opened: Path, tmp_path: Path) -> None:
        out = tmp_path / "a.onnx"
        with pytest.raises(ModelFileError, match="names are an input of this file"):
            bridgeseg.export(opened, out, plain=True)
        with pytest.raises(ConfigError, match="takes no names"):
            bridgeseg.export(run, out, open=True, plain=True)
        with pytest.raises(ModelFileError, match="8-bit file fits one vocabulary"):
            bridgeseg.quantize(opened, out, tmp_path)

    def test_it_says_how_sure_it_is_of_any_names(
        self, run: Path, opened: Path, photo: np.ndarray, tmp_path: Path
    ) -> None:
        data = write_dataset(tmp_path / "data", names=tuple(NAMES))
        sure = bridgeseg.export(run, tmp_path / "a.onnx", open=True, confidence=True, confidence_data=data)
        assert sure.confidence is not None
        assert bridgeseg.export(opened, tmp_path / "b.onnx", confidence=True, confidence_data=data).confidence == (
            sure.confidence
        )
        for names in (None, OTHERS):
            model = Model.load(sure.path, names=names)
            result = model.predict(photo)
            np.testing.assert_array_equal(result.mask, Model.load(opened, names=names).mask(photo))
            logits = Model.load(opened, names=names).logits(photo) / sure.confidence["temperature"]
            likely = np.exp(logits - logits.max(axis=0))
            likely = likely.max(axis=0) / likely.sum(axis=0)
            # probabilities, not logits, are upsampled: they agree where neighbours do
            assert np.median(np.abs(np.asarray(result.confidence, float) - likely)) < 0.05

    def test_the_temperature_is_fitted_by_the_names_of_the_data(self, opened: Path, tmp_path: Path) -> None:
        data = write_dataset(tmp_path / "data", names=("window", "sky", "floor"))
        sure = bridgeseg.export(opened, tmp_path / "a.onnx", confidence=True, confidence_data=data)
        assert sure.confidence is not None
        found = bridgeseg.evaluate(tmp_path / "a.onnx", data, quiet=True)
        assert found.ece == pytest.approx(sure.confidence["ece"], abs=0.02)
        assert Model.load(tmp_path / "a.onnx").classes.names == tuple(NAMES)


class TestEvaluation:
    @pytest.fixture(scope="class")
    def data(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return write_dataset(tmp_path_factory.mktemp("data"), names=("window", "sky", "floor"))

    def test_partial_data_is_asked_for_beside_the_own_names(self, run: Path, data: Path) -> None:
        for name, text in (("some", "labelled: [window, sky]"), ("none", "labelled: [zxqv]")):
            lines = yaml.safe_load(data.read_text()) | yaml.safe_load(text)
            lines["names"] = ["window", "sky", "zxqv"]
            (data.parent / f"{name}.yaml").write_text(yaml.safe_dump(lines))
        matched = match(Model.load(run), DataSpec.load(data.parent / "some.yaml"))
        assert matched.model.classes.names == (*NAMES, "window")
        assert list(bridgeseg.evaluate(run, data.parent / "some.yaml", quiet=True).iou) == ["window", "sky"]
        with pytest.raises(ConfigError, match=r"no vector is at hand for .*zxqv.*\n  fix: .*`embeddings=FILE"):
            bridgeseg.evaluate(run, data.parent / "none.yaml", quiet=True)

    def test_names_of_the_data_that_the_model_never_saw_are_marked(self, run: Path, data: Path) -> None:
        scores = bridgeseg.evaluate(run, data, quiet=True)
        assert scores.by_names is not None
        assert scores.by_names.unseen == ("window", "floor")
        assert list(scores.iou) == ["window", "sky", "floor"]
        found = scores.to_dict()
        assert found["miou_seen"] == scores.iou["sky"]
        assert found["miou_unseen"] == pytest.approx((found["iou"]["window"] + found["iou"]["floor"]) / 2)
        names = [str(cell) for cell in scores.table().columns[0].cells]
        assert names == ["window *", "sky", "floor *"]
        assert "by language" in str(scores.table().caption)

    def test_other_words_for_what_it_was_trained_with_are_not_marked(self, run: Path, data: Path) -> None:
        same, parts = {"same": [["window", "road"]]}, {"parts": {"floor": ["car", "toilet"]}}
        for name, relations in (("same", same), ("both", same | parts)):
            lines = yaml.safe_load(data.read_text()) | relations
            (data.parent / f"{name}.yaml").write_text(yaml.safe_dump(lines))
        for name, asked, unseen in (
            ("same", "window, sky, floor", ("floor",)),  # the words of the data
            ("same", "road, floor", ("floor",)),
            ("both", "window, car, toilet", ()),  # what it was trained with is a part of `floor`
        ):
            matched = match(Model.load(run, names=asked), DataSpec.load(data.parent / f"{name}.yaml"), asked)
            assert matched.left is not None
            assert matched.left.unseen == unseen, (name, asked)

    def test_pixels_of_names_not_asked_for_are_ignored_and_names_not_labelled_have_no_score(
        self, run: Path, opened: Path, data: Path
    ) -> None:
        scores = bridgeseg.evaluate(run, data, names="sky, Window, toilet", quiet=True)
        assert scores.by_names is not None
        assert (scores.by_names.unlabelled, scores.by_names.ignored) == (("toilet",), ("floor",))
        assert scores.iou["toilet"] is None
        assert scores.miou == pytest.approx((scores.iou["sky"] + scores.iou["Window"]) / 2)  # type: ignore[operator]
        spec, model = DataSpec.load(data), Model.load(run, names="sky, Window, toilet")
        counts = ConfusionMatrix(3)
        for sample in spec.samples("val"):
            from bridgeseg.data.masks import read_mask

            truth = np.array([1, 0, 255], np.uint8)[read_mask(sample.mask, spec).clip(max=2)]
            truth[read_mask(sample.mask, spec) == 255] = 255
            counts.update(model.predict(sample.image).mask, truth)
        np.testing.assert_array_equal(scores.confusion, counts.matrix)
        same = bridgeseg.evaluate(opened, data, names="sky, Window, toilet", quiet=True)
        assert same.miou == pytest.approx(scores.miou, abs=2e-3)

    def test_names_that_the_data_does_not_know(self, run: Path, data: Path) -> None:
        with pytest.raises(DataError, match="none of the names asked for"):
            bridgeseg.evaluate(run, data, names="toilet", quiet=True)

    def test_the_same_names_are_scored_as_ever(self, run: Path, tmp_path: Path) -> None:
        data = write_dataset(tmp_path, names=tuple(NAMES))
        assert bridgeseg.evaluate(run, data, quiet=True).by_names is None

    def test_a_network_without_language_still_refuses(self, tmp_path: Path, data: Path) -> None:
        folder = write_run(tmp_path / "best", method="none")
        with pytest.raises(DataError, match="only in the data: 'window'"):
            bridgeseg.evaluate(folder, data, quiet=True)


def test_predict(opened: Path, tmp_path: Path, photo: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    Image.fromarray(photo).save(tmp_path / "a.png")
    picture, file, out = str(tmp_path / "a.png"), str(opened), str(tmp_path / "out")
    assert main(["predict", picture, "--model", file, "--names", "road, window, person", "--out", out, "--json"]) == 0
    areas = json.loads(capsys.readouterr().out)["areas"]
    assert set(areas) <= {"road", "window", "person"}
    assert main(["predict", picture, "--model", file, "--names", "road, streetwall", "--out", out]) == 2
    assert "--names 'road, streetwall=stone wall'" in capsys.readouterr().err


def test_learned_prompts_are_remembered(run: Path) -> None:
    from bridgeseg.renaming import vocabulary

    known = load_checkpoint(run)
    assert not vocabulary(known).learned
    learned = replace(known, provenance=known.provenance | {"config": {"prompt": "learned"}})
    assert vocabulary(learned).learned
