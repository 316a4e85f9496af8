"""Export to ONNX: the same answers as PyTorch at every size, nothing of the text half left, and no file that is not verified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import bridgeseg
from bridgeseg.checkpoint import Checkpoint, save_checkpoint
from bridgeseg.classes import ClassSet
from bridgeseg.deploy import TorchRuntime
from bridgeseg.errors import InputError, ModelFileError
from bridgeseg.export import onnx as room
from bridgeseg.export.onnx import export
from bridgeseg.export.verify import verify
from bridgeseg.inference import runtimes
from bridgeseg.inference.model import Model
from bridgeseg.models.registry import BridgeConfig, ModelConfig
from tiny_networks import BACKBONE, TEXT_DIM, make_network

KINDS: dict[str, tuple[ModelConfig, int, bool]] = {
    "bridge": (ModelConfig(backbone=BACKBONE, bridge=BridgeConfig(dim=16, depth=1), width=24), 5, True),
    "none": (ModelConfig(method="none", backbone="test_resnet", decoder="fpn", width=24), 3, False),
    "many": (ModelConfig(backbone=BACKBONE, bridge=BridgeConfig(dim=16, depth=1, stride=32), width=24), 300, False),
}
"""Name -> (architecture, classes, whether the file gives logits)."""
FACTS = {
    "method": "bridge",
    "seed": 3,
    "image_size": [64, 96],
    "commit": None,
    "scores": {"split": "val", "miou": 0.5, "macc": 0.5, "aacc": 0.5, "iou": {}},
}


def classes(count: int) -> ClassSet:
    names = [f"class {index}" for index in range(count)]
    return ClassSet.build(names, prompts={names[0]: ["a phrase", "another"]}, palette={names[0]: (1, 2, 3)})


def network(kind: str) -> Any:
    config, count, _ = KINDS[kind]
    return make_network(config, count)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One exported file of each kind."""
    folder, found = tmp_path_factory.mktemp("export"), {}
    for kind, (config, count, logits) in KINDS.items():
        checkpoint = Checkpoint(network(kind), config, classes(count), FACTS)
        exported = export(save_checkpoint(folder / kind, checkpoint), folder / "out" / f"{kind}.onnx", logits=logits)
        assert exported.path == folder / "out" / f"{kind}.onnx"
        assert exported.bytes == exported.path.stat().st_size
        assert exported.agreement > 0.9999
        found[kind] = exported.path
    assert len(list((folder / "out").iterdir())) == len(KINDS)  # nothing temporary is left
    return found


def picture(batch: int, height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(height * width).integers(0, 256, (batch, 3, 5, 5)).astype(np.float32)
    smooth = torch.nn.functional.interpolate(torch.from_numpy(coarse), (height, width), mode="bilinear")
    return smooth.byte().permute(0, 2, 3, 1).contiguous().numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 96, 160), (3, 33, 65), (1, 1, 1), (2, 7, 130), (1, 255, 31), (4, 32, 32)])
def test_the_same_answers_at_every_size(kind: str, size: tuple[int, int, int], files: dict[str, Path]) -> None:
    torch_runtime, onnx_runtime = TorchRuntime(network(kind)), Model.load(files[kind]).runtime
    images = picture(*size)
    logits, found = torch_runtime.logits(images), onnx_runtime.classes(images)
    assert found.shape == size
    assert found.dtype == torch_runtime.classes(images).dtype == (np.uint16 if kind == "many" else np.uint8)
    chosen = np.take_along_axis(logits, found[:, None].astype(np.int64), axis=1)[:, 0]
    assert (logits.max(axis=1) - chosen).max() <= 1e-3  # the strongest class but for exact ties
    assert size == (1, 1, 1) or kind == "none" or len(np.unique(found)) > 1


def test_logits_equal_pytorchs(files: dict[str, Path]) -> None:
    images = picture(2, 45, 70)
    found = Model.load(files["bridge"]).runtime.logits(images)
    expected = TorchRuntime(network("bridge")).logits(images)
    assert found.shape == expected.shape == (2, 5, 45, 70)
    assert np.abs(found - expected).max() <= 1e-3
    assert np.abs(expected).max() > 1  # and they are not all the same
    with pytest.raises(ModelFileError, match="--logits"):
        Model.load(files["none"]).runtime.logits(images)


@pytest.mark.parametrize("kind", KINDS)
def test_metadata(kind: str, files: dict[str, Path]) -> None:
    model = Model.load(files[kind])
    assert model.classes == classes(KINDS[kind][1])
    expected = {key: value for key, value in FACTS.items() if value is not None}
    assert expected.items() <= model.provenance.items()
    assert model.provenance["bridgeseg"] == bridgeseg.__version__
    stored = {entry.key: entry.value for entry in onnx.load(files[kind]).metadata_props}
    assert stored.keys() == {"bridgeseg.format", "bridgeseg.classes", "bridgeseg.provenance"}
    assert stored["bridgeseg.format"] == "1"
    assert json.loads(stored["bridgeseg.classes"])["prompts"]["class 0"] == ["a phrase", "another"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_is_what_the_device_needs(kind: str, files: dict[str, Path]) -> None:
    graph = onnx.load(files[kind]).graph
    onnx.checker.check_model(files[kind], full_check=True)
    assert [value.name for value in graph.input] == ["image"]
    assert [value.name for value in graph.output] == ["classes", "logits"][: 1 + KINDS[kind][2]]
    dims = [dim.dim_param or dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", "height", "width", 3]
    shapes = {tensor.name: numpy_helper.to_array(tensor).shape for tensor in graph.initializer}
    assert not [name for name, shape in shapes.items() if TEXT_DIM in shape]  # nothing of the text encoder's width
    assert not [name for name in shapes if "token_in" in name]
    stored = sum(int(np.prod(shape)) for shape in shapes.values())
    folded = TorchRuntime(network(kind)).network
    assert stored < 1.05 * sum(tensor.numel() for tensor in (*folded.parameters(), *folded.buffers())) + 100
    assert Model.load(files[kind]).provenance["parameters"] == sum(p.numel() for p in folded.parameters())


def test_no_path_of_this_machine_in_the_file(files: dict[str, Path]) -> None:
    for kind, path in files.items():
        content = path.read_bytes()
        for place in (
            path.parent.parent,
            Path.cwd(),
            Path(bridgeseg.__file__).parent,
            Path.home(),
            Path(torch.__path__[0]),
        ):
            assert len(str(place)) < 3 or str(place).encode() not in content, (kind, place)
        assert b".py" not in content


class TestFailures:
    @pytest.fixture
    def checkpoint(self, files: dict[str, Path]) -> Path:
        return files["bridge"].parent.parent / "bridge"

    @pytest.mark.parametrize("name", ["model.pt", "model", "model.onnx.bak"])
    def test_a_wrong_name(self, name: str, checkpoint: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"end it with \.onnx"):
            export(checkpoint, tmp_path / name)
        assert not list(tmp_path.iterdir())

    def test_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="no such checkpoint folder"):
            export(tmp_path / "absent", tmp_path / "a.onnx")
        (tmp_path / "a.onnx").mkdir()
        with pytest.raises(InputError, match="is a folder"):
            export(tmp_path / "absent", tmp_path / "a.onnx")

    @pytest.fixture
    def ready(self, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the graph from a file in place of tracing the network again."""
        graph = onnx.load(files["bridge"])
        monkeypatch.setattr(room, "to_graph", lambda _: graph)

    @pytest.mark.usefixtures("ready")
    def test_a_file_that_fails_is_not_kept(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(path: Path, _: Any) -> float:
            assert path.is_file()
            raise ModelFileError("agrees on nothing", where=path)

        out = tmp_path / "out" / "model.onnx"
        monkeypatch.setattr(room, "verify", fail)
        for content in (None, b"the older file"):
            if content:
                out.write_bytes(content)
            with pytest.raises(ModelFileError, match="agrees on nothing"):
                export(checkpoint, out)
            assert [path.read_bytes() for path in out.parent.iterdir()] == ([content] if content else [])

    @pytest.mark.usefixtures("ready")
    def test_a_full_disk_keeps_the_older_file(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: Any, path: Path) -> None:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")

        out = tmp_path / "model.onnx"
        out.write_bytes(b"the older file")
        monkeypatch.setattr(onnx, "save", full)
        with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)\n  fix: free"):
            export(checkpoint, out)
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the older file"]
        with pytest.raises(InputError, match="cannot be written"):
            export(checkpoint, out / "model.onnx")

    def test_other_weights_do_not_pass(self, files: dict[str, Path]) -> None:
        other = make_network(KINDS["bridge"][0], 5, seed=1)
        for logits, message in ((False, r"agrees with PyTorch on \d+\.\d+% of the pixels"), (True, "logits differ")):
            with pytest.raises(ModelFileError, match=message):
                verify(files["bridge"], room.DeployNetwork(other, with_logits=logits))
        assert verify(files["bridge"], room.DeployNetwork(network("bridge"), with_logits=True)) > 0.9999

    def test_a_backbone_that_cannot_be_exported(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise torch.onnx.OnnxExporterError("Failed to export the model\nwith   details")

        monkeypatch.setattr(torch.onnx, "export", fail)
        with pytest.raises(ModelFileError, match="test_resnet: PyTorch cannot export this network to ONNX: Failed to"):
            room.export_segmentor(network("none"), classes(3), {}, tmp_path / "a.onnx")
        assert not list(tmp_path.iterdir())


def test_the_runtime_flushes_denormal_numbers(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    seen = []
    session = onnxruntime.InferenceSession

    def spy(path: str, options: Any, **more: Any) -> Any:
        seen.append(options.get_session_config_entry("session.set_denormal_as_zero"))
        return session(path, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    runtimes.OnnxRuntime(files["none"], threads=1)
    assert seen == ["1"]
