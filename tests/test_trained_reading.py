"""How the images of a training were read goes into its checkpoints and files, and predictions read theirs alike."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridgeseg.api import evaluate
from bridgeseg.cli import main
from bridgeseg.errors import ModelFileError
from bridgeseg.pixels import Reading
from bridgeseg.runtime.model import Model
from conftest import MakeOnnx

TWELVE = {"image_range": [0, 4095]}


def model(make_onnx: MakeOnnx, reading: Any = TWELVE) -> Model:
    """Return a model whose answer does not depend on the range, trained on images of 12 bits."""
    provenance = json.dumps({"method": "rule", "reading": reading})
    return Model.load(make_onnx(metadata={"bridgeseg.provenance": provenance}))


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    Image.fromarray(np.array([[0, 1000, 4095]], np.uint16)).save(tmp_path / "deep.png")
    return tmp_path / "deep.png"


def dataset(root: Path, deep: Path, extra: str = "") -> Path:
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    (root / "images" / "a.png").write_bytes(deep.read_bytes())
    Image.fromarray(np.array([[0, 1, 2]], np.uint8)).save(root / "masks" / "a.png")
    (root / "data.yaml").write_text(f"train: images\nval: images\nnames: [red, green, blue]\n{extra}")
    return root / "data.yaml"


def test_a_checkpoint_says_how_its_images_were_read(tmp_path: Path, deep: Path) -> None:
    torch = pytest.importorskip("torch")
    from bridgeseg.data.joining import join
    from bridgeseg.data.spec import DataSpec
    from bridgeseg.settings.train import TrainConfig
    from bridgeseg.training.provenance import provenance

    network, config = torch.nn.Linear(1, 1), TrainConfig.parse({"data": "d", "model": {"method": "none"}})
    for extra, expected in (("", None), ("image_range: 4095\nbands: [2, 1, 0]\n", {**TWELVE, "bands": [2, 1, 0]})):
        spec = DataSpec.load(dataset(tmp_path / (extra[:5] or "plain"), deep, extra))
        assert provenance(config, None, join([spec]), network, None, 1).get("reading") == expected


def test_predictions_read_like_the_training(make_onnx: MakeOnnx, deep: Path) -> None:
    trained = model(make_onnx)
    assert trained.predict(deep).image.max() == 255
    assert pickle.loads(pickle.dumps(trained)).reading == Reading.of(4095)
    assert [result.image.max() for result in trained.stream(deep)] == [255]  # type: ignore[union-attr]
    assert trained.predict(np.asarray(Image.open(deep)).astype(np.uint16)).image.max() == 255


def test_what_is_given_wins(make_onnx: MakeOnnx, deep: Path) -> None:
    trained = model(make_onnx, {**TWELVE, "bands": [0]})
    assert trained.predict(deep, image_range=65535).image.max() == 16
    assert [result.image.max() for result in trained.stream(deep, image_range=65535)] == [16]  # type: ignore[union-attr]
    assert Reading.of(100).over(trained.reading) == Reading.of(100, [0])


def test_a_file_that_does_not_say_reads_as_stored(make_onnx: MakeOnnx, deep: Path) -> None:
    for reading in (None, {}):
        assert model(make_onnx, reading).predict(deep).image.max() == 16


@pytest.mark.parametrize("reading", ["4095", [4095], {"image_range": [9, 1]}, {"bands": "012"}, {"code": 1}])
def test_a_reading_that_cannot_be_is_refused(make_onnx: MakeOnnx, reading: Any) -> None:
    with pytest.raises(ModelFileError, match="`reading` in its provenance"):
        model(make_onnx, reading)


def test_info_shows_it(make_onnx: MakeOnnx, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--model", str(model(make_onnx).path)]) == 0
    assert "image_range" in (text := capsys.readouterr().out)
    assert "[0, 4095]" in text


def test_evaluation_and_calibration_read_alike(
    make_onnx: MakeOnnx, tmp_path: Path, deep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from bridgeseg.evaluating import answers

    trained, seen = model(make_onnx), []
    monkeypatch.setattr(
        answers, "read_image", lambda path, most, admit, how: seen.append(how) or np.zeros((1, 3, 3), np.uint8)
    )
    evaluate(trained, dataset(tmp_path / "silent", deep), quiet=True)
    evaluate(trained, dataset(tmp_path / "says", deep, "image_range: 5000\n"), quiet=True)
    assert seen == [Reading.of(4095), Reading.of(5000)]
