"""Pictures of results: what they show, where they are written, and what they leave alone."""

from __future__ import annotations

import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError, DataError, InputError, MissingDependencyError
from bridgeseg.evaluating import examples, plots
from bridgeseg.evaluating.examples import SideBySide, coloured, errors, save_examples
from bridgeseg.evaluating.plots import read_history, save_confusion, save_curves, save_iou
from bridgeseg.metrics import Scores
from bridgeseg.report.figures import label, require_matplotlib

CLASSES = ClassSet.build(["sky", "road", "car"], palette=[(1, 2, 3), (40, 50, 60), (70, 80, 90)])
HOSTILE = ["$sky$", "_road", "a\nb", "x" * 300, r"\frac{1}{0}", "$", "caf\u00e9 \udcff"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the list that every figure is put into when it is saved; nothing is rendered."""
    figures: list[Any] = []
    for module in (plots, examples):
        monkeypatch.setattr(module, "save_png", lambda figure, path: figures.append(figure))
    return figures


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def example(height: int, width: int, name: str = "a.jpg") -> SideBySide:
    truth = np.zeros((height, width), np.uint8)
    truth[0], truth[-1] = 255, 1
    prediction = truth.copy()
    prediction[0], prediction[1] = 2, 2
    return SideBySide.of(name, np.full((height, width, 3), 100, np.uint8), truth, prediction, CLASSES)


def test_confusion_shows_rows_as_shares_of_the_truth(drawn: list[Any]) -> None:
    save_confusion("c.png", np.array([[30, 10, 0], [0, 0, 0], [1, 0, 999]]), CLASSES.names)
    axes = drawn[0].axes[0]
    shares = np.ma.filled(axes.images[0].get_array(), np.nan)
    np.testing.assert_allclose(shares, [[75, 25, 0], [np.nan] * 3, [0.1, 0, 99.9]])
    assert texts(axes) == ["75", "25", "100"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["sky", "road", "car"]
    assert axes.get_ylabel() == "true class"
    assert axes.get_xlabel() == "predicted class"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "numbers", "names"), [(1, 1, 1), (25, 25, 25), (26, 0, 26), (150, 0, 150), (300, 0, 150)]
)
def test_confusion_suits_its_number_of_classes(drawn: list[Any], count: int, numbers: int, names: int) -> None:
    save_confusion("c.png", np.eye(count, dtype=int), [f"class {index}" for index in range(count)])
    axes = drawn[0].axes[0]
    assert len(axes.texts) == numbers
    assert len(axes.get_yticklabels()) == len(axes.get_xticklabels()) == names
    # Names must not run into each other: a row of them is at least as high as their letters.
    row = axes.get_yticklabels()[0].get_fontsize() / 72
    assert max(drawn[0].get_size_inches()) < 25
    assert drawn[0].get_size_inches()[1] >= row * names


def test_iou_bars_are_sorted_with_absent_classes_last(drawn: list[Any]) -> None:
    scores = Scores.from_confusion(np.array([[1, 1, 0], [0, 8, 0], [0, 0, 0]]), CLASSES.names, images=7)
    save_iou("i.png", scores)
    save_iou("i.png", scores, order="class")
    for figure, names, numbers in (
        (drawn[0], ["road", "sky", "car (absent)"], ["88.9", "50.0"]),
        (drawn[1], ["sky", "road", "car (absent)"], ["50.0", "88.9"]),
    ):
        axes = figure.axes[0]
        assert [text.get_text() for text in axes.get_yticklabels()] == names
        assert texts(axes) == numbers
        assert [bar.get_width() for bar in axes.patches] == pytest.approx(
            [float(n) / 100 for n in numbers] + [0], abs=1e-3
        )
        assert axes.get_title() == "mIoU 69.4 %, 7 images"
    with pytest.raises(ConfigError, match="found 'size'"):
        save_iou("i.png", scores, order="size")


def test_curves_have_a_panel_for_each_kind(drawn: list[Any]) -> None:
    history = {
        "train_loss": [(0, 2.0), (1, float("nan")), (2, 1.0)],
        "val_loss": [(0, 2.5), (2, 1.5)],
        "val_mIoU": [(0, 0.2), (1, 0.6), (2, 0.5)],
        "lr-AdamW/pg1": [(0, 1e-3), (2, 1e-5)],
        "seconds": [(0, 3.0)],
        "colr": [(0, 3.0)],
        "other_loss": [],
    }
    save_curves("h.png", history)
    loss, miou, rate = drawn[0].axes
    assert [axes.get_title() for axes in drawn[0].axes] == ["loss", "mIoU", "learning rate"]
    assert [line.get_label() for line in loss.lines] == ["train_loss", "val_loss"]
    assert list(loss.lines[0].get_xdata()) == [0, 2]
    assert list(miou.lines[0].get_ydata()) == [0.2, 0.6, 0.5]
    assert texts(miou) == ["0.600"]
    assert list(rate.lines[0].get_ydata()) == [1e-3, 1e-5]
    with pytest.raises(InputError, match=r"no learning curves among \['seconds'\]"):
        save_curves("h.png", {"seconds": [(0, 1.0)]})


def test_history_is_the_mean_of_each_epoch(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(
        "epoch,step,lr-AdamW,train_loss,val_miou\n0,1,,3,\n0,2,,1,\n0,2,,,0.25\n1,3,,nan,\n1,3,0.1,,0.5\n,4,9,9,9\n"
    )
    assert read_history(path) == {
        "lr-AdamW": [(1, 0.1)],
        "train_loss": [(0, 2.0)],
        "val_miou": [(0, 0.25), (1, 0.5)],
    }
    save_curves(tmp_path / "curves.png", read_history(path))
    path.write_text("")
    assert read_history(path) == {}
    path.write_text("step,loss\n1,2\n")
    with pytest.raises(DataError, match="no column `epoch`"):
        read_history(path)
    for unreadable in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_history(unreadable)


def test_examples_show_image_truth_prediction_and_errors(drawn: list[Any]) -> None:
    save_examples("e.png", [example(4, 6), example(2000, 1000, "b.jpg")], CLASSES)
    figure = drawn[0]
    assert len(figure.axes) == 8
    assert [axes.get_title() for axes in figure.axes[:4]] == ["image", "truth", "prediction", "errors"]
    assert figure.axes[0].get_xlabel() == "a.jpg"
    assert figure.axes[3].get_xlabel() == "33.3 % wrong"
    assert figure.axes[7].get_xlabel() == "0.1 % wrong"
    assert max(figure.axes[4].images[0].get_array().shape) <= examples.PANEL_PIXELS
    assert [text.get_text() for text in figure.legends[0].texts] == ["sky", "road", "car", "(ignored)", "(error)"]


def test_colours_of_truth_and_errors() -> None:
    shown = example(4, 6)
    truth = coloured(shown.truth, CLASSES)
    assert truth[0, 0].tolist() == [0, 0, 0]
    assert truth[1, 0].tolist() == [1, 2, 3]
    assert truth[-1, 0].tolist() == [40, 50, 60]
    wrong = errors(shown, CLASSES)
    assert wrong[0, 0].tolist() == [0, 0, 0]
    assert wrong[1, 0].tolist() == list(examples.ERROR)
    assert wrong[2, 0].tolist() == [160, 160, 160]


def test_images_of_any_shape_make_figures_of_sane_size(drawn: list[Any]) -> None:
    for height, width in ((4, 5000), (5000, 4), (3, 1)):
        save_examples("e.png", [example(height, width)], CLASSES)
    assert max(figure.get_size_inches().max() for figure in drawn) < 20
    with pytest.raises(InputError, match="no images"):
        save_examples("e.png", [], CLASSES)


@pytest.mark.slow
def test_any_name_can_be_drawn(tmp_path: Path) -> None:
    matrix = np.eye(len(HOSTILE), dtype=int)
    save_confusion(tmp_path / "c.png", matrix, HOSTILE)
    save_iou(tmp_path / "i.png", Scores.from_confusion(matrix, HOSTILE))
    save_examples(tmp_path / "e.png", [example(8, 8, name="$a$_\n.jpg")], ClassSet.build(["_a", "$b$", "c_$"]))
    for name in ("c.png", "i.png", "e.png"):
        with Image.open(tmp_path / name) as image:
            image.load()
    assert [len(label(name).splitlines()) for name in HOSTILE] == [1] * len(HOSTILE)
    assert len(label("x" * 300)) == 40


def test_a_figure_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"i\.png: cannot be written"):
        save_iou(tmp_path / "file" / "i.png", Scores.from_confusion(np.eye(3, dtype=int), CLASSES.names))


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependencyError, match=r"pip install 'bridgeseg\[train\]'"):
        require_matplotlib()


@pytest.mark.slow
def test_drawing_needs_no_pyplot_and_importing_no_matplotlib_or_torch(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    code = f"""
import sys
import bridgeseg.evaluating.evaluate, bridgeseg.evaluating.plots as plots
loaded = {{"matplotlib", "torch", "torchvision", "rich"}} & set(sys.modules)
assert not loaded, loaded
plots.save_confusion({str(tmp_path / "c.png")!r}, [[1, 0], [0, 1]], ["a", "b"])
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
