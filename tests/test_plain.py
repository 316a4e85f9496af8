"""Plain files: the ids of the ordinary ones, without operators and sizes that few runtimes know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator  # noqa: E402

import bridgeseg  # noqa: E402
from bridgeseg.api import export, quantize  # noqa: E402
from bridgeseg.cli import main  # noqa: E402
from bridgeseg.errors import ConfigError, InputError, ModelFileError  # noqa: E402
from bridgeseg.exporting.int8 import export_int8  # noqa: E402
from bridgeseg.exporting.plain import UNPLAIN, export_plain  # noqa: E402
from bridgeseg.runtime.runtimes import open_runtime  # noqa: E402
from tiny_onnx import photo, write_network  # noqa: E402

SIZE = (64, 96)
IMAGES = np.stack([photo(seed, *SIZE) for seed in (1, 2)])


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("small") / "small.onnx")


@pytest.fixture(scope="module", params=["street", "street-int8"])
def fixed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    out = tmp_path_factory.mktemp("fixed") / "plain.onnx"
    done = export_plain(request.param, out, size=SIZE)
    assert (done.path, done.bytes) == (out, out.stat().st_size)
    assert done.agreement > 0.9999
    return request.param, out


def test_no_sizes_are_worked_out_in_a_file_of_one_size(fixed: tuple[str, Path]) -> None:
    _, path = fixed
    onnx.checker.check_model(path, full_check=True)
    assert not operators(path) & (UNPLAIN | {"Shape", "Expand", "Gather", "Constant"})
    model = onnx.load(path)
    shapes = [
        [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert shapes == [[1, *SIZE, 3], [1, *SIZE]]
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)


def test_the_ids_are_those_of_the_ordinary_file(fixed: tuple[str, Path]) -> None:
    name, path = fixed
    np.testing.assert_array_equal(
        open_runtime(path, 1).classes(IMAGES), bridgeseg.load(name, threads=1).runtime.classes(IMAGES)
    )


def test_the_reference_of_onnx_gives_the_same_ids(fixed: tuple[str, Path]) -> None:
    path = fixed[1]
    model = onnx.load(path)
    if "DequantizeLinear" in operators(path):
        model.opset_import[0].version = 21  # it knows no older one
    expected = open_runtime(path, 1).classes(IMAGES[:1])
    found = ReferenceEvaluator(model).run(None, {"image": IMAGES[:1]})[0]
    assert np.mean(np.asarray(found) == expected) > (0.97 if "int8" in fixed[0] else 0.999)  # it rounds more often


@pytest.mark.parametrize("name", ["openvino", "cv2"])
def test_other_runtimes_give_the_same_ids(name: str, fixed: tuple[str, Path], tmp_path: Path) -> None:
    package, eight_bits = pytest.importorskip(name), "int8" in fixed[0]
    expected = open_runtime(fixed[1], 1).classes(IMAGES[:1])
    if name == "openvino":
        found = open_runtime(fixed[1], 1, name).classes(IMAGES[:1])
        if eight_bits:  # it rounds at other places; on this image as near to floats as ONNX Runtime is
            exact = bridgeseg.load("street", threads=1).runtime.classes(IMAGES[:1])
            assert np.mean(found == expected) > 0.95
            assert np.mean(found == exact) > np.mean(expected == exact) - 0.02
            return
    elif int(package.__version__.split(".")[0]) < 5:
        pytest.skip("OpenCV before 5 has no engine that keeps integers")
    else:
        file = tmp_path / "floats.onnx"
        export_plain(fixed[0], file, size=SIZE, layout="nchw", input="float")
        network = package.dnn.readNetFromONNX(str(file), package.dnn.ENGINE_NEW)
        network.setInput(np.ascontiguousarray(IMAGES[:1].transpose(0, 3, 1, 2)).astype(np.float32))
        found = network.forward()
    assert np.mean(found == expected) > (0.98 if eight_bits else 0.999)


@pytest.mark.parametrize("size", [None, (40, 56)])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_layouts_and_types(size: tuple[int, int] | None, layout: str, kind: str, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "plain.onnx"
    export(small, out, plain=True, size=size, layout=layout, input=kind, logits=True)
    onnx.checker.check_model(out, full_check=True)
    before, after = bridgeseg.load(small, threads=1), bridgeseg.load(out, threads=1)
    assert after.runtime.inputs["image"][0] == kind  # type: ignore[attr-defined]
    images = np.stack([photo(1), photo(2)])
    np.testing.assert_array_equal(after.runtime.classes(images), before.runtime.classes(images))
    np.testing.assert_allclose(after.runtime.logits(images), before.runtime.logits(images), atol=1e-5)
    casts = [node for node in onnx.load(out).graph.node if node.op_type == "Cast"]
    assert len(casts) == (1 if kind == "float" else 2)
    assert after.provenance["plain"] == {"size": size and list(size), "layout": layout, "input": kind}
    assert after.classes == before.classes


@pytest.mark.slow
def test_logits_where_the_file_had_none(tmp_path: Path) -> None:
    out = tmp_path / "plain.onnx"
    export_plain("street", out, size=(33, 65), logits=True)
    runtime, images = open_runtime(out, 1), IMAGES[:, :33, :65]
    assert runtime.logits(images).shape == (2, 11, 33, 65)
    np.testing.assert_array_equal(runtime.logits(images).argmax(axis=1), runtime.classes(images))


@pytest.mark.slow
def test_images_of_other_sizes_are_scaled(fixed: tuple[str, Path]) -> None:
    name, path = fixed
    image = np.asarray(Image.open(Path(__file__).parents[1] / "examples" / "street.jpg").convert("RGB"))
    found, expected = bridgeseg.load(path, threads=1).predict(image), bridgeseg.load(name, threads=1).predict(image)
    assert found.mask.shape == image.shape[:2]
    assert (found.mask == expected.mask).mean() > 0.7
    with pytest.raises(InputError, match=r"an image of 30x40 .* takes 64x96 only"):
        open_runtime(path, 1).classes(np.zeros((1, 30, 40, 3), np.uint8))


def test_eight_bits(small: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "plain.onnx"
    photos.mkdir()
    for seed in range(3):
        Image.fromarray(photo(seed)).save(photos / f"{seed}.png")
    asked = {"model": small, "out": out, "calibrate": photos, "plain": True, "size": 40, "logits": True}
    export_int8(asked, report=False)
    assert {"DequantizeLinear", "QuantizeLinear"} <= operators(out)
    assert not operators(out) & (UNPLAIN | {"Shape"})
    facts = bridgeseg.load(out).provenance
    assert facts["plain"]["size"] == [40, 40]
    assert facts["quantisation"]["agreement"] > 0.9


def test_mistakes(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "plain.onnx"
    with pytest.raises(ConfigError, match="are of a plain file"):
        export(small, out, size=(64, 64))
    for key, value in (("layout", "hwc"), ("input", "int8")):
        with pytest.raises(ConfigError, match=f"{key}: must be '.*, found '{value}'"):
            export(small, out, plain=True, **{key: value})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"a size is \(height, width\)"):
        export(small, out, plain=True, size=(0, 3))
    with pytest.raises(ConfigError, match="is decided when a run folder is exported"):
        export(small, out, plain=True, approximate=True)
    with pytest.raises(ModelFileError, match="an exported file already"):
        export(small, out)
    with pytest.raises(InputError, match=r"end it with \.onnx"):
        export(small, tmp_path / "plain.pt", plain=True)
    export(small, out, plain=True)
    with pytest.raises(ModelFileError, match="plain already"):
        export(out, tmp_path / "again.onnx", plain=True)
    with pytest.raises(ModelFileError, match="plain already"):
        quantize(out, tmp_path / "again.onnx", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["plain.onnx"]


def test_a_file_that_gives_other_ids_is_not_written(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridgeseg.exporting.agreement.AGREEMENT", 1.1)
    with pytest.raises(ModelFileError, match=r"on 100\.00% of the pixels only"):
        export_plain(small, tmp_path / "plain.onnx")
    assert not list(tmp_path.iterdir())


def test_an_operator_that_stays(small: Path, tmp_path: Path) -> None:
    model = onnx.load(small)
    places = onnx.helper.make_node("NonZero", ["classes"], ["places"])
    model.graph.node.append(places)
    model.graph.output.append(onnx.helper.make_tensor_value_info("places", onnx.TensorProto.INT64, [3, None]))
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ModelFileError, match="its backbone uses NonZero"):
        export_plain(tmp_path / "odd.onnx", tmp_path / "plain.onnx")


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "plain.onnx"
    words = ["export", "--model", "street", "--plain", "--size", "64x96", "--out", str(out)]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"model": str(out), "bytes": out.stat().st_size}
    assert main([*words, "--layout", "chw"]) == 2
    printed: Any = capsys.readouterr().err
    assert "error: --layout: must be 'nhwc' or 'nchw', found 'chw'" in printed
