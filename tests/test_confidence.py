"""Confidence as an output of a file: the same ids, and probabilities that are right as often as they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")

from bridgeseg.api import export  # noqa: E402
from bridgeseg.cli import main  # noqa: E402
from bridgeseg.errors import ConfigError, DataError, ModelFileError  # noqa: E402
from bridgeseg.exporting.confidence import confidence_everywhere, give_confidence  # noqa: E402
from bridgeseg.exporting.int8 import export_int8  # noqa: E402
from bridgeseg.exporting.tail import everywhere  # noqa: E402
from bridgeseg.metrics import CalibrationError  # noqa: E402
from bridgeseg.runtime.model import Model, named  # noqa: E402
from bridgeseg.runtime.onnx_runtime import OnnxRuntime  # noqa: E402
from tiny_onnx import NAMES, photo, write_network  # noqa: E402


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("small") / "small.onnx")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, small: Path) -> Path:
    """Labels drawn with the probabilities that the network's logits have at a temperature of 0.5."""
    root, runtime = tmp_path_factory.mktemp("data"), OnnxRuntime(small, 1)
    for kind in ("images", "masks"):
        (root / kind / "val").mkdir(parents=True)
    random = np.random.default_rng(0)
    for index in range(4):
        image = photo(index)
        logits = runtime.logits(image[None])[0]
        ids = (logits / 0.5 + random.gumbel(size=logits.shape)).argmax(axis=0)
        Image.fromarray(image).save(root / "images" / "val" / f"{index}.png")
        Image.fromarray(ids.astype(np.uint8)).save(root / "masks" / "val" / f"{index}.png")
    names = "".join(f"  {index}: {name}\n" for index, name in enumerate(NAMES))
    (root / "data.yaml").write_text(f"path: .\nval: images/val\nmasks_dir: masks\nnames:\n{names}")
    return root / "data.yaml"


def outputs(path: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    runtime = OnnxRuntime(path, 1)
    return runtime._run("classes", images), runtime._run("confidence", images)


@pytest.mark.parametrize("name", ["street", "street-int8"])
def test_only_where_classes_meet_is_as_good_as_everywhere(name: str, tmp_path: Path) -> None:
    found = []
    for dense in (False, True):
        model = onnx.load(named(name))
        if dense:
            everywhere(model)
            confidence_everywhere(model, 1.5)
        else:
            model = give_confidence(model, 1.5)
            assert [node.op_type for node in model.graph.node].count("ScatterND") == 2
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, tmp_path / f"{dense}.onnx")
        images = np.stack([photo(seed, 65, 90) for seed in (1, 2)])
        found.append(outputs(tmp_path / f"{dense}.onnx", images))
    (ids, grey), (dense_ids, dense_grey) = found
    np.testing.assert_array_equal(ids, dense_ids)
    np.testing.assert_array_equal(ids, OnnxRuntime(named(name), 1).classes(images))
    assert (grey.dtype, grey.shape) == (np.uint8, ids.shape)
    assert np.abs(grey.astype(int) - dense_grey).max() <= 1
    assert grey.min() < 130
    assert grey.max() > 200


def test_it_is_the_largest_of_the_mean_probabilities(small: Path, tmp_path: Path) -> None:
    done = export(small, tmp_path / "sure.onnx", confidence=True)
    assert done.confidence == {"temperature": 1.0}
    images = np.stack([photo(1), photo(2)])
    ids, grey = outputs(done.path, images)
    np.testing.assert_array_equal(ids, OnnxRuntime(small, 1).classes(images))
    model = onnx.load(small)
    model.graph.output.append(onnx.helper.make_tensor_value_info("small", onnx.TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / "logits.onnx")
    logits = OnnxRuntime(tmp_path / "logits.onnx", 1)._run("small", images)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    half = (shares.repeat(2, axis=2).repeat(2, axis=3)).max(axis=1)  # a bilinear mean lies near its nearest number
    assert np.corrcoef(half.ravel(), grey.ravel())[0, 1] > 0.9


def test_the_temperature_makes_it_honest(small: Path, data: Path, tmp_path: Path) -> None:
    done = export(small, tmp_path / "sure.onnx", confidence=True, confidence_data=f"{data}:val")
    facts = done.confidence
    assert facts is not None
    assert 0.4 < facts["temperature"] < 0.6
    assert facts["ece"] < facts["ece_before"] / 2
    assert (facts["images"], facts["from"]) == (4, "data.yaml, split val")
    assert Model.load(done.path).provenance["confidence"] == facts


def test_plain_and_eight_bits(small: Path, data: Path, tmp_path: Path) -> None:
    plain, int8 = tmp_path / "plain.onnx", tmp_path / "int8.onnx"
    export(small, plain, confidence=True, plain=True, size=(40, 56), layout="nchw")
    assert OnnxRuntime(plain).outputs["confidence"] == ("uint8", [1, 40, 56])
    again = tmp_path / "again.onnx"
    export(small, again, confidence=True)
    export(again, tmp_path / "both.onnx", plain=True, size=(40, 56))
    assert OnnxRuntime(tmp_path / "both.onnx").outputs["confidence"][0] == "uint8"
    asked = {"model": small, "out": int8, "calibrate": data.parent / "images", "confidence": True}
    told = export_int8({**asked, "confidence_data": data}, report=False)  # the split val, by default
    assert told["confidence"]["from"] == "data.yaml, split val"
    facts = Model.load(int8).provenance
    assert facts["confidence"] == told["confidence"]
    assert "quantisation" in facts


def test_mistakes(small: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "sure.onnx"
    with pytest.raises(ConfigError, match="no temperature without"):
        export(small, out, plain=True, confidence_data=data)
    with pytest.raises(ConfigError, match="approximate class ids have no confidence"):
        export(small, out, confidence=True, approximate=True)
    with pytest.raises(DataError, match="needs labelled images"):
        export(small, out, confidence=True, confidence_data=data.parent / "images")
    with pytest.raises(ConfigError, match="`logits` is decided when"):
        export(small, out, confidence=True, logits=True)
    assert not out.exists()
    model = onnx.load(small)
    next(node for node in model.graph.node if node.op_type == "Resize").op_type = "Upsample"
    with pytest.raises(ModelFileError, match="are not decided for every pixel"):
        give_confidence(model, 1)


def test_the_command(small: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "--model", str(small), "--confidence", "--out", str(tmp_path / "a.onnx")]
    assert main(words) == 0
    assert "confidence is not calibrated" in capsys.readouterr().out
    assert main([*words, "--confidence-data", f"{data}:val"]) == 0
    assert "by 4 images of data.yaml, split val; calibration error" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["confidence"] == {"temperature": 1.0}


def test_calibration_error() -> None:
    error = CalibrationError(10)
    assert np.isnan(error.value)
    confidence = np.array([0.0, 0.25, 0.25, 0.95, 0.95, 1.0])
    error.update(confidence, np.array([False, True, False, True, True, True]))
    # |0 - 0| + |0.5 - 1| + |2.9 - 3|, over 6
    assert error.value == pytest.approx((0.5 + 0.1) / 6)
