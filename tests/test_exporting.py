"""Export to ONNX: free sizes, any number of classes, and no file that is not verified.

Real networks are exported in the end-to-end tests; tracing one takes many seconds. Here it is a single convolution.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import bridgeseg
from bridgeseg.api import export
from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.exporting import onnx as room
from bridgeseg.exporting.onnx import export_segmentor
from bridgeseg.exporting.verify import verify
from bridgeseg.models.segmentor import PAD, STRIDE, Prediction, to_size, upsample
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.torch_runtime import DeployNetwork, TorchRuntime

pytestmark = pytest.mark.slow

COUNT = 300
"""Classes, more than fit a byte."""
CLASSES = ClassSet.build(
    [f"class {index}" for index in range(COUNT)],
    prompts={"class 0": ["a phrase", "another"]},
    palette={"class 0": (1, 2, 3)},
)
FACTS = {"method": "bridge", "seed": 3, "image_size": [64, 96], "commit": None, "scores": {"split": "val", "miou": 0.5}}


class Pointwise(nn.Module):
    """A stand-in for a segmentor: one 1x1 convolution, at stride 4 and on a padded picture as in a real one."""

    stride = STRIDE
    class_embeddings = None

    def __init__(self, count: int = COUNT, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, count, 1)

    def fold(self) -> Pointwise:
        return self

    def normalise(self, images: Tensor) -> Tensor:
        return images.float() / 64 - 2

    def forward(self, images: Tensor, class_embeddings: Tensor | None = None) -> Prediction:
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % PAD, 0, -height % PAD))
        return Prediction(self.conv(F.avg_pool2d(padded, STRIDE)), None)

    def logits(self, images: Tensor, class_embeddings: Tensor | None = None) -> Tensor:
        return to_size(self(images).logits, STRIDE, images)


def network(seed: int = 0, count: int = COUNT) -> Any:
    return Pointwise(count, seed)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "new" / "model.onnx"
    exported = export_segmentor(network(), CLASSES, FACTS, out, logits=True)
    assert (exported.path, exported.bytes) == (out, out.stat().st_size)
    assert exported.agreement > 0.9999
    assert list(out.parent.iterdir()) == [out]  # nothing temporary is left
    return out


def picture(batch: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 96, 160), (3, 33, 65), (1, 1, 1), (2, 7, 130), (4, 32, 32)])
def test_three_hundred_classes_at_every_size(size: tuple[int, int, int], file: Path) -> None:
    torch_runtime, onnx_runtime = TorchRuntime(network()), Model.load(file).runtime
    images = picture(*size)
    expected, logits, ids = torch_runtime.logits(images), onnx_runtime.logits(images), onnx_runtime.classes(images)
    assert logits.shape == expected.shape == (size[0], COUNT, *size[1:])
    assert np.abs(logits - expected).max() <= 1e-3
    assert ids.shape == size
    assert ids.dtype == torch_runtime.classes(images).dtype == np.uint16
    chosen = np.take_along_axis(expected, ids[:, None].astype(np.int64), axis=1)[:, 0]
    assert (expected.max(axis=1) - chosen).max() <= 1e-3  # the strongest class but for exact ties
    assert size == (1, 1, 1) or ids.max() > 255


@pytest.mark.slow
def test_as_many_classes_as_fit_a_byte(tmp_path: Path) -> None:
    classes = ClassSet.build([str(index) for index in range(256)])
    runtime = Model.load(export_segmentor(network(count=256), classes, {}, tmp_path / "a.onnx").path).runtime
    assert runtime.classes(picture(2, 5, 3)).dtype == np.uint8
    with pytest.raises(ModelFileError, match="--logits"):
        runtime.logits(picture(2, 5, 3))
    for count, kind in ((256, np.uint8), (257, np.uint16)):
        assert TorchRuntime(network(count=count)).classes(picture(2, 5, 3)).dtype == kind


@pytest.fixture
def traced(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the graph from the file in place of tracing the network again."""
    graph = onnx.load(file)
    monkeypatch.setattr(room, "to_graph", lambda _: graph)


def test_metadata(file: Path) -> None:
    model = Model.load(file)
    assert model.classes == CLASSES
    expected = {key: value for key, value in FACTS.items() if value is not None}
    assert model.provenance == expected | {"parameters": 4 * COUNT, "bridgeseg": bridgeseg.__version__}
    stored = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert stored.keys() == {"bridgeseg.format", "bridgeseg.classes", "bridgeseg.provenance", "bridgeseg.sha256"}
    assert stored["bridgeseg.format"] == "1"
    assert json.loads(stored["bridgeseg.classes"])["prompts"]["class 0"] == ["a phrase", "another"]


def test_the_graph(file: Path) -> None:
    onnx.checker.check_model(file, full_check=True)
    graph = onnx.load(file).graph
    free = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert free == {
        "image": ["batch", "height", "width", 3],
        "classes": ["batch", "height", "width"],
        "logits": ["batch", COUNT, "height", "width"],
    }
    assert not [node for node in graph.node if node.doc_string or node.metadata_props]


@pytest.mark.parametrize("name", ["model.pt", "model", "model.onnx.bak"])
def test_a_wrong_name(name: str, tmp_path: Path) -> None:
    for call in (
        lambda out: export(tmp_path / "absent", out),
        lambda out: export_segmentor(network(), CLASSES, {}, out),
    ):
        with pytest.raises(InputError, match=r"end it with \.onnx"):
            call(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such checkpoint folder"):
        export(tmp_path / "absent", tmp_path / "a.onnx")
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        export(tmp_path / "absent", tmp_path / "a.onnx")


@pytest.mark.usefixtures("traced")
def test_a_file_that_fails_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, _: Any, name: Path) -> float:
        assert path.is_file()
        raise ModelFileError("agrees on nothing", where=name)

    out = tmp_path / "out" / "model.onnx"
    monkeypatch.setattr(room, "verify", fail)
    for content in (None, b"the older file"):
        if content:
            out.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"model\.onnx: agrees on nothing"):
            export_segmentor(network(), CLASSES, FACTS, out)
        assert [path.read_bytes() for path in out.parent.iterdir()] == ([content] if content else [])


@pytest.mark.usefixtures("traced")
def test_a_full_disk_keeps_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, _: bytes) -> None:
        with self.open("w") as file:
            file.write("half")
        raise OSError(28, "No space left on device")

    out = tmp_path / "model.onnx"
    out.write_bytes(b"the older file")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"cannot be written: No space left on device\n  fix: free"):
        export_segmentor(network(), CLASSES, FACTS, out)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the older file"]
    with pytest.raises(InputError, match="cannot be written"):
        export_segmentor(network(), CLASSES, FACTS, out / "model.onnx")


def test_other_weights_do_not_pass(file: Path) -> None:
    for logits, message in ((False, r"agrees with PyTorch on \d+\.\d+% of the pixels"), (True, "logits differ")):
        with pytest.raises(ModelFileError, match=message):
            verify(file, DeployNetwork(network(seed=1), with_logits=logits))
    assert verify(file, DeployNetwork(network(), with_logits=True)) > 0.9999


def test_a_network_that_cannot_be_exported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: Any, **__: Any) -> None:
        try:
            raise ValueError("no such\n  operator")
        except ValueError as error:
            raise torch.onnx.OnnxExporterError("Failed to export the model. Next steps: ...") from error

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ModelFileError, match=r"cannot export this network to ONNX \(no such operator\)\n"):
        export_segmentor(network(), CLASSES, {}, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("count", [11, COUNT])
def test_approximate_ids_are_one_decision_for_four_pixels(tmp_path: Path, count: int) -> None:
    names = ClassSet.build([f"class {index}" for index in range(count)])
    file = tmp_path / "a.onnx"
    export_segmentor(network(count=count), names, FACTS, file, approximate=True)
    model = Model.load(file)
    picture = np.random.default_rng(0).integers(0, 256, (45, 71, 3), dtype=np.uint8)
    ids = model.predict(picture).mask
    assert ids.shape == (45, 71)
    assert np.array_equal(ids[0:44:2, 0:70:2], ids[1:45:2, 1:71:2])
    images = torch.from_numpy(picture).permute(2, 0, 1)[None]
    logits = upsample(network(count=count)(network().normalise(images)).logits, 2)
    assert (ids[::2, ::2] == logits.argmax(dim=1)[0, :23, :36].numpy()).mean() > 0.999
    assert model.provenance["approximate"] is True


def test_approximate_ids_have_no_logits(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no logits at full size"):
        export_segmentor(network(), CLASSES, FACTS, tmp_path / "a.onnx", logits=True, approximate=True)
