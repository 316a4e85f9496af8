"""Confidence as an output of a file: the same ids, and probabilities that are right as often as they say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")

import bridgeseg  # noqa: E402
from bridgeseg.api import export, quantize  # noqa: E402
from bridgeseg.classes import ClassSet  # noqa: E402
from bridgeseg.cli import main  # noqa: E402
from bridgeseg.confusion import CalibrationError  # noqa: E402
from bridgeseg.errors import ConfigError, DataError, ModelFileError  # noqa: E402
from bridgeseg.exporting.confidence import confidence_everywhere, give_confidence  # noqa: E402
from bridgeseg.exporting.int8 import export_int8  # noqa: E402
from bridgeseg.exporting.tail import everywhere  # noqa: E402
from bridgeseg.report.draw import area_shares, key, overlay, palette_image  # noqa: E402
from bridgeseg.runtime.model import Model, named  # noqa: E402
from bridgeseg.runtime.network import Segmented, without_unsure  # noqa: E402
from bridgeseg.runtime.onnx_runtime import OnnxRuntime  # noqa: E402
from bridgeseg.settings.export import Export  # noqa: E402
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_temperature_is_fitted_by_name(small: Path, data: Path, tmp_path: Path) -> None:
    root, text = data.parent, data.read_text()
    whole = export(small, tmp_path / "whole.onnx", confidence=True, confidence_data=data).confidence
    found = {}
    names = list(NAMES)
    swapped = [*names[1:], names[0]]
    numbers = {index: swapped.index(name) for index, name in enumerate(names)}
    head = "val: images/val\n"
    for name, lines in {
        "partial": f"names: {json.dumps(names)}\nlabelled: {json.dumps(names)}\n",
        "order": f"names: {json.dumps(swapped)}\nlabel_map: {json.dumps(numbers).replace(chr(34), '')}\n",
        "less": f"names: {json.dumps(names)}\nlabelled: [{names[0]}]\n",
        "strange": f"names: {json.dumps([*names, 'zebra'])}\n",
    }.items():
        (root / f"{name}.yaml").write_text(head + lines)
        found[name] = lambda name=name: (
            export(small, tmp_path / f"{name}.onnx", confidence=True, confidence_data=root / f"{name}.yaml").confidence
        )
    assert data.read_text() == text
    for name in ("partial", "order"):
        assert {**found[name](), "from": ""} == {**whole, "from": ""}
    with pytest.raises(DataError, match=f"labelled for all names of the model, such as '{names[1]}'"):
        found["less"]()
    with pytest.raises(DataError, match="only in the data: 'zebra'"):
        found["strange"]()


@pytest.mark.slow
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
    error.update_shares(confidence, np.array([False, True, False, True, True, True]))
    # |0 - 0| + |0.5 - 1| + |2.9 - 3|, over 6
    assert error.value == pytest.approx((0.5 + 0.1) / 6)
    bytes_ = CalibrationError(10)
    bytes_.update(np.array([[0, 64, 64], [242, 242, 255]], np.uint8), np.array([[0, 1, 0], [1, 1, 1]], bool))
    assert bytes_.value == pytest.approx((1 - 128 / 255 + 3 - 739 / 255) / 6)


@pytest.fixture(scope="module")
def sure(small: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network with logits, ids and confidence."""
    path = tmp_path_factory.mktemp("sure") / "sure.onnx"
    export(small, path, confidence=True, confidence_data=f"{data}:val")
    return path


def test_it_is_added_to_8_bits_and_not_made_of_them(sure: Path, small: Path, data: Path, tmp_path: Path) -> None:
    photos = data.parent / "images"
    with pytest.raises(ModelFileError, match="added after its network got 8 bits") as caught:
        quantize(sure, tmp_path / "refused.onnx", photos)
    assert not list(tmp_path.iterdir())
    words = str(caught.value.fix).partition(": bridgeseg ")[2].replace("FILE.onnx", str(tmp_path / "new.onnx"))
    assert main([*words.replace("RUN", str(small)).split(), "--calibrate", str(photos), "--quiet"]) == 0
    model = Model.load(tmp_path / "new.onnx")
    assert "quantisation" in model.provenance
    assert model.predict(photo(1)[:9, :7]).confidence is not None


def test_predictions_hold_it(sure: Path, small: Path) -> None:
    image, model = photo(3, 50, 70), Model.load(sure)
    ids, grey = outputs(sure, image[None])
    result = model.predict(image)
    assert result.confidence is not None
    assert (result.confidence.dtype, result.confidence.shape) == (np.float32, (50, 70))
    np.testing.assert_allclose(result.confidence, grey[0] / 255, atol=1e-6)
    np.testing.assert_array_equal(result.mask, ids[0])
    streamed = next(iter(model.stream([image], max_size=35)))
    assert streamed.confidence.shape == (50, 70)
    plain = Model.load(small)
    assert plain.predict(image).confidence is None
    assert (plain.confident, model.confident) == (False, True)
    with pytest.raises(ConfigError, match="does not say how sure it is"):
        plain.predict(image, unknown=0.5)
    with pytest.raises(ConfigError, match="unknown"):
        model.predict(image, unknown=1.5)


def test_tiles_and_windows(sure: Path, tmp_path: Path) -> None:
    image, whole = photo(3, 500, 600), Model.load(sure)
    expected = whole.segment(image)
    assert expected.confidence is not None
    model = onnx.load(sure)
    model.graph.output.remove(next(value for value in model.graph.output if value.name == "logits"))
    del model.metadata_props[[entry.key for entry in model.metadata_props].index("bridgeseg.sha256")]
    onnx.save(model, tmp_path / "ids.onnx")
    for path in (sure, tmp_path / "ids.onnx"):  # tiles that fade into each other, and tiles that meet at a line
        found = Model.load(path).segment(image, memory=40)
        assert found.confidence is not None
        np.testing.assert_array_equal(found.ids, expected.ids)
        assert np.abs(found.confidence.astype(int) - expected.confidence).max() <= 1
    slid = whole.segment(image, window=(300, 300))  # 200 apart, on the network's grid
    assert slid.confidence is not None
    assert (np.abs(slid.confidence.astype(int) - expected.confidence) <= 1).mean() > 0.95


def test_what_is_not_sure_has_no_class(
    sure: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = data.parent / "images" / "val" / "0.png"
    result = Model.load(sure).predict(image)
    assert result.confidence is not None
    least = float(np.quantile(result.confidence, 0.3))
    words = ["predict", str(image), "-m", str(sure), "--out", str(tmp_path), "--unknown", str(least)]
    assert main([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    mask = np.asarray(Image.open(record["mask"]))
    unsure = result.confidence < least
    assert 0.1 < unsure.mean() < 0.4
    np.testing.assert_array_equal(mask, np.where(unsure, 255, result.mask))
    assert record["unknown"] == pytest.approx(unsure.mean(), abs=1e-5)
    assert sum(record["areas"].values()) + record["unknown"] == pytest.approx(1, abs=1e-5)
    assert main(words) == 0
    assert "unknown" in capsys.readouterr().out


def test_overlays_show_it() -> None:
    classes = ClassSet.build(["a", "b"])
    image, mask = np.full((64, 96, 3), 200, np.uint8), np.zeros((64, 96), np.uint8)
    mask[:, 48:] = 255
    shown = np.asarray(overlay(image, mask, classes, legend=False, hide=["a"]))
    assert (shown[:, :40] == 200).all()  # hidden, not unknown
    assert set(np.unique(shown[:, 50:])) == {200 // 3, 200 // 3 + 80}
    assert np.asarray(overlay(image, mask, classes)).shape[0] > 64
    assert area_shares(mask, classes) == {"a": 0.5}
    assert np.asarray(key((400, 300), classes, unknown=True)).mean() != np.asarray(key((400, 300), classes)).mean()
    many = ClassSet.build([str(name) for name in range(300)])
    wide = np.where(mask == 255, np.uint16(65535), mask)
    assert set(np.unique(np.asarray(overlay(image, wide, many, legend=False))[:, 50:])) == {66, 146}
    assert area_shares(wide, many) == {"0": 0.5}


@pytest.mark.parametrize(("count", "kind", "value"), [(2, np.uint8, 255), (256, np.uint16, 65535)])
def test_the_value_that_is_no_class(count: int, kind: type, value: int, tmp_path: Path) -> None:
    classes = ClassSet.build([str(name) for name in range(count)])
    ids = np.arange(count, dtype=np.uint8)[None]
    greys = np.where(ids == 1, 101, 102).astype(np.uint8)
    found = without_unsure(Segmented(ids, greys), classes, 0.4, None).ids  # 0.4 of 255 is 102
    assert found.dtype == kind
    assert found[0, :2].tolist() == [0, value]
    assert ids[0, 1] == 1
    palette_image(found, classes).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "mask.png")), found)


def test_evaluation_says_how_honest_it_is(sure: Path, small: Path, data: Path) -> None:
    honest = bridgeseg.evaluate(sure, data, quiet=True)
    facts = Model.load(sure).provenance["confidence"]
    assert honest.ece == pytest.approx(facts["ece"], abs=0.02)
    assert honest.to_dict()["ece"] == honest.ece
    assert "ECE" in str(honest.table().caption)
    assert "ece" not in bridgeseg.evaluate(small, data, quiet=True).to_dict()
    slid = bridgeseg.evaluate(sure, data, mode="slide", window=(24, 24), quiet=True)
    assert slid.ece is not None
    views = bridgeseg.evaluate(sure, data, flip=True, quiet=True)
    assert views.ece is not None


@pytest.mark.slow
def test_pytorch_says_it_too() -> None:
    torch = pytest.importorskip("torch")
    from bridgeseg.runtime.torch_runtime import TorchRuntime
    from bridgeseg.settings.model import ModelConfig
    from tiny_networks import BACKBONE, make_network

    runtime, images = TorchRuntime(make_network(ModelConfig(backbone=BACKBONE, method="none"))), photo(1)[None]
    ids, grey = runtime.with_confidence("classes", images)
    logits, again = runtime.with_confidence("logits", images)
    np.testing.assert_array_equal(ids, runtime.classes(images))
    np.testing.assert_array_equal(logits, runtime.logits(images))
    np.testing.assert_array_equal(grey, again)
    pixels = runtime.network.segmentor.normalise(torch.from_numpy(images).permute(0, 3, 1, 2))
    with torch.inference_mode():
        small = runtime.network.segmentor(pixels).logits.softmax(dim=1)[0].numpy()
    large = [np.asarray(Image.fromarray(share).resize((64, 64), Image.Resampling.BILINEAR)) for share in small]
    np.testing.assert_allclose(grey[0] / 255, np.max(large, axis=0)[:40, :56], atol=0.5 / 255 + 1e-4)
    assert Model(runtime, ClassSet.build(list("abcde")), {}).predict(images[0]).confidence is not None


def test_what_the_temperature_is_fitted_on_is_known_before_the_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    import bridgeseg.exporting.onnx as slow
    from bridgeseg.description import SHIPPED
    from bridgeseg.exporting.export import with_labels

    def never(*_: object, **__: object) -> None:
        raise AssertionError("exported first")

    monkeypatch.setattr(slow, "export_folder", never)
    shutil.copytree(SHIPPED / "open", tmp_path / "mine")
    with pytest.raises(ConfigError, match="does not say what it was trained on"):
        export(tmp_path / "mine", tmp_path / "sure.onnx", confidence=True)
    asked = Export(model=SHIPPED / "open", out=tmp_path / "sure.onnx", confidence=True)
    assert with_labels(asked) is asked
