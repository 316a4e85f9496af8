"""Exports of labelling tools -> datasets: those of `forms/`, which the tools made, and odd ones made here."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shlex
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from bridgeseg import import_data
from bridgeseg.cli import main
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import BridgeSegError, ConfigError, DataError, InputError
from bridgeseg.importing import fill, rle, run
from bridgeseg.importing.forms import FORMS
from bridgeseg.importing.model import Bitmap, Outline, Stroke, Unusable
from bridgeseg.importing.report import Imported
from forms.make import HEIGHT, NAMES, SCENE, VOC, WIDTH, ids, part
from fuzzing import mend_png

EXPORTS = Path(__file__).parent / "forms"
COARSE = {"coco": 0.8, "supervisely": 0.8, "yolo": 0.95}
"""Least IoU of a class with the scene where a tool writes outlines through the middles of pixels, or rounds them."""
LOST = {"labelme": {"no-area": 1}, "cvat": {"no-area": 1}, "label-studio": {"no-labels": 1}}
"""What of an export of `forms/` cannot be taken."""


def masks(report: Imported) -> dict[str, np.ndarray[Any, Any]]:
    """Return split and number of each image -> its mask, as training reads it."""
    spec = replace(DataSpec.load(report.data), val_share=0.0)
    return {
        f"{split}/{index}": read_mask(sample.mask, spec)
        for split in report.counts
        for index, sample in enumerate(spec.samples(split))
    }


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return what lies in a folder, and when images and masks were written."""
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mtime_ns if path.parent != folder else 0,
            path.read_bytes(),
        )
        for path in folder.rglob("*")
        if path.is_file() and path.name != "import.json"
    }


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Imported]:
    """Import an export of `forms/`, once for the module."""
    folder, known = tmp_path_factory.mktemp("imported"), dict[str, Imported]()

    def dataset(name: str) -> Imported:
        if name not in known:
            known[name] = import_data(EXPORTS / name, out=folder / name)
        return known[name]

    return dataset


@pytest.mark.parametrize(
    "name", sorted(path.name for path in EXPORTS.iterdir() if path.is_dir() and path.name[0] != "_")
)
class TestForms:
    def test_masks_are_those_of_the_scene(self, name: str, datasets: Callable[[str], Imported]) -> None:
        report = datasets(name)
        assert report.counts == {"train": 2, "val": 1}
        assert report.left_out == LOST.get(name, {})
        called = VOC if name == "voc" else {label: label for label in NAMES}
        for found, scene in zip(masks(report).values(), SCENE, strict=True):
            assert found.shape == (HEIGHT, WIDTH)
            for value, label in enumerate(NAMES, 1):
                wanted = ids(scene) == value
                drawn = found == list(report.classes).index(called[label])
                union = int((wanted | drawn).sum())
                assert int((wanted & drawn).sum()) >= COARSE.get(name, 0.99) * union, (scene, label)

    def test_a_second_call_changes_nothing(self, name: str, datasets: Callable[[str], Imported]) -> None:
        first = datasets(name)
        before = files(first.data.parent)
        again = import_data(EXPORTS / name, out=first.data.parent)
        assert again.files == {"masks kept": 3, "images kept": 3}
        assert files(first.data.parent) == before
        assert (again.classes, again.left_out, again.over) == (first.classes, first.left_out, first.over)


def test_every_form_has_an_export() -> None:
    assert {form.split(".")[-1].replace("_", "-") for form in FORMS.values()} <= {
        path.name for path in EXPORTS.iterdir()
    }


# Exports of a few shapes, made here.

Shapes = list[tuple[str, Any]]


def square(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def picture(path: Path, size: tuple[int, int] = (10, 8), **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(path, **options)
    return path


def labelme(folder: Path, name: str, shapes: list[dict[str, Any]], **facts: Any) -> Path:
    """Write a file of Labelme and its image."""
    picture(folder / f"{name}.png")
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"shapes": shapes, "imagePath": f"{name}.png", "imageData": None, **facts}))
    return path


def polygon(label: str, points: Any, **facts: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": "polygon", **facts}


def coco(folder: Path, annotations: list[dict[str, Any]], **image: Any) -> Path:
    """Write a JSON of COCO of one image."""
    facts = {"id": 1, "file_name": "a.png", "height": 8, "width": 10, **image}
    if not (folder / "a.png").exists():
        picture(folder / "a.png")
    categories = [{"id": 1, "name": "road"}, {"id": 2, "name": "car"}]
    known = [{"id": number, "image_id": 1, "category_id": 2, **one} for number, one in enumerate(annotations)]
    (folder / "a.json").write_text(json.dumps({"images": [facts], "annotations": known, "categories": categories}))
    return folder


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Give an export of Labelme: a road, and a car over it, on two images."""
    folder = tmp_path / "export"
    for name in ("a", "b"):
        labelme(folder, name, [polygon("road", square(0, 4, 10, 8)), polygon("car", square(2, 2, 6, 7))])
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def only(report: Imported) -> np.ndarray[Any, Any]:
    """Return the only mask of a dataset, or the first of equal ones."""
    first, *others = masks(report).values()
    assert all((first == other).all() for other in others)
    return first


class TestSettings:
    def test_in_front(self, tmp_path: Path) -> None:
        shapes = [polygon("car", square(2, 2, 6, 7)), polygon("road", square(0, 4, 10, 8))]
        labelme(tmp_path / "export", "a", shapes)
        later = import_data(tmp_path / "export", out=tmp_path / "later")
        smaller = import_data(tmp_path / "export", out=tmp_path / "smaller", overlap="smaller")
        assert list(later.classes) == ["background", "car", "road"]
        assert (only(later)[4:7, 2:6] == 2).all()
        assert (only(smaller)[4:7, 2:6] == 1).all()
        assert (later.over, later.covered) == (smaller.over, smaller.covered) == (1, 12)
        assert "the smaller one is in front" in smaller.text()

    def test_what_is_unlabelled(self, export: Path, out: Path) -> None:
        assert 0 in only(import_data(export, out=out))
        ignored = import_data(export, out=out.with_name("ignored"), unlabelled="ignore")
        assert list(ignored.classes) == ["car", "road"]
        assert (only(ignored)[0] == 255).all()

    def test_classes_that_are_wanted(self, export: Path, out: Path) -> None:
        report = import_data(export, out=out, classes=["road"])
        assert list(report.classes) == ["background", "road"]
        assert (only(report)[4:] == 1).all()
        assert report.left_out == {"class": 2}
        with pytest.raises(ConfigError, match="the export has no class 'raod'") as caught:
            import_data(export, out=out.with_name("other"), classes=["raod"])
        assert "road" in str(caught.value.fix)

    def test_lines_and_points(self, tmp_path: Path) -> None:
        folder = tmp_path / "export"
        labelme(
            folder,
            "a",
            [
                {"label": "kerb", "points": [[0, 2], [10, 2]], "shape_type": "line"},
                {"label": "pole", "points": [[5, 6]], "shape_type": "point"},
            ],
        )
        without = import_data(folder, out=tmp_path / "without")
        assert without.left_out == {"no-area": 2}
        drawn = only(import_data(folder, out=tmp_path / "drawn", line_width=2))
        assert (drawn[1:3] == 1).all()
        assert (drawn[5:7, 4:6] == 2).all()
        assert (drawn == 2).sum() == 4

    def test_images_that_nobody_labelled(self, tmp_path: Path, out: Path) -> None:
        coco(tmp_path / "export", [])
        with pytest.raises(DataError, match=r"no image of it can be used: a\.png") as caught:
            import_data(tmp_path / "export", out=out)
        assert "`empty=True`" in str(caught.value.fix)
        assert (only(import_data(tmp_path / "export", out=out, empty=True)) == 0).all()

    def test_images_elsewhere(self, export: Path, out: Path) -> None:
        away = export.with_name("away")
        away.mkdir()
        for name in ("a.png", "b.png"):
            (export / name).rename(away / name)
        with pytest.raises(DataError, match="no image of it can be used") as caught:
            import_data(export, out=out)
        assert "`images=DIR`" in str(caught.value.fix)
        (away / "none").mkdir()
        with pytest.raises(DataError, match=r"none nor the export has an image called a\.\*, in any folder") as caught:
            import_data(export, out=out, images=away / "none")
        assert "`images=DIR`" not in str(caught.value.fix)
        assert import_data(export, out=out, images=away).counts == {"train": 2}
        with pytest.raises(InputError, match="no such folder"):
            import_data(export, out=out.with_name("other"), images=away / "no")

    def test_links_and_copies(self, export: Path, out: Path) -> None:
        import_data(export, out=out)
        assert (out / "images/train/a.png").is_symlink()
        report = import_data(export, out=out.with_name("copies"), copies=True)
        assert report.files["images copied"] == 2
        assert not (report.data.parent / "images/train/a.png").is_symlink()

    def test_a_share_for_validation(self, export: Path, out: Path) -> None:
        report = import_data(export, out=out, val_share=0.5)
        assert DataSpec.load(report.data).all_splits == ("train", "val")
        assert "a training keeps 50% of train (`val_share` in data.yaml)" in report.text()
        without = import_data(export, out=out.with_name("without"), val_share=0)
        assert DataSpec.load(without.data).all_splits == ("train",)
        assert "val_share" not in without.text()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"format": "coko"}, "no form is called 'coko'"),
            ({"unlabelled": "white"}, "unlabelled: .*background.*ignore"),
            ({"overlap": "first"}, "overlap: .*later.*smaller"),
            ({"line_width": 0}, "line_width: .*above 0"),
            ({"val_share": 1}, "val_share: .*below 1"),
        ],
    )
    def test_values_that_are_none(self, export: Path, out: Path, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            import_data(export, out=out, **options)
        assert not out.exists()


class TestRun:
    def test_what_changed_is_done_anew(self, export: Path, out: Path) -> None:
        import_data(export, out=out)
        labelme(export, "b", [polygon("road", square(0, 0, 10, 8)), polygon("car", square(2, 2, 6, 7))], version="6")
        labelme(export, "c", [polygon("car", square(0, 0, 3, 3))])
        report = import_data(export, out=out)
        assert report.files == {"masks kept": 1, "masks drawn": 2, "images kept": 2, "images linked": 1}
        assert (masks(report)["train/1"][0] == 2).all()
        assert import_data(export, out=out, unlabelled="ignore").files["masks drawn"] == 3

    def test_what_was_interrupted_is_taken_up(self, export: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        draw = run.draw

        def stopped(item: Any, *rest: Any) -> Any:
            if item.name == "b.json":
                raise KeyboardInterrupt
            return draw(item, *rest)

        monkeypatch.setattr(run, "draw", stopped)
        with pytest.raises(KeyboardInterrupt):
            import_data(export, out=out)
        assert not (out / "data.yaml").exists()
        monkeypatch.setattr(run, "draw", draw)
        assert import_data(export, out=out).files["masks kept"] == 1

    def test_what_left_the_export_leaves_the_dataset(self, export: Path, out: Path) -> None:
        import_data(export, out=out)
        (export / "b.json").unlink()
        report = import_data(export, out=out)
        assert report.counts == {"train": 1}
        assert not list(out.glob("*/train/b.png"))
        assert (export / "b.png").is_file()

    @pytest.mark.parametrize("copies", [True, False])
    def test_what_is_refused_stays_as_it_was(self, export: Path, out: Path, copies: bool) -> None:
        """A stranger, or a copied image that may be the only one, is refused before a mask is drawn."""
        import_data(export, out=out, copies=copies)
        if copies:
            (export / "b.json").unlink()
        else:
            picture(out / "images/train/stray.png")
        before = files(out)
        with pytest.raises(InputError, match="1 files that do not belong to the dataset"):
            import_data(export, out=out, classes=["road", "car"], copies=copies)
        assert files(out) == before

    def test_other_rules_and_an_interruption_leave_no_old_names(
        self, export: Path, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import_data(export, out=out, classes=["road", "car"])

        def stopped(*_: Any) -> Any:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(run, "place", stopped)
            with pytest.raises(KeyboardInterrupt):
                import_data(export, out=out, classes=["car", "road"])
        assert not (out / "data.yaml").exists()
        assert import_data(export, out=out, classes=["car", "road"]).files["masks kept"] == 1

    def test_images_of_one_name(self, tmp_path: Path, out: Path) -> None:
        folder = tmp_path / "export"
        for name in ("one/a", "ONE/a", "two/a"):
            labelme(folder, name, [polygon("car", square(0, 0, 3, 3))], imagePath="a.png")
        (folder / "two/a.png").rename(folder / "two/a.bmp")
        report = import_data(folder, out=out)
        assert report.counts == {"train": 3}
        assert len(list((out / "masks").rglob("*.png"))) == len(masks(report)) == 3

    def test_images_of_one_name_of_which_none_is_told(self, tmp_path: Path, out: Path) -> None:
        folder = coco(tmp_path / "export", [{"segmentation": [[0, 0, 3, 0, 3, 3]]}])
        (folder / "a.png").unlink()
        for name in ("x", "y"):
            picture(folder / name / "a.png")
        with pytest.raises(
            DataError, match=r"a\.png: 2 images are called so, and its path does not say which"
        ) as caught:
            import_data(folder, out=out)
        assert "neither" not in str(caught.value)
        shapes = [{"segmentation": [[0, 0, 3, 0, 3, 3]]}]
        assert "`street/photo.png`" in str(caught.value.fix)
        coco(folder, shapes, file_name="y/a.png")
        (folder / "a.png").unlink()
        assert import_data(folder, out=out).counts == {"train": 1}

    @pytest.mark.parametrize("absolute", [False, True])
    def test_paths_as_they_are_written(
        self, absolute: bool, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They lead up and down again, to images whose names are those of others, but for the case."""
        places = ("photos/x/q", "photos/y/q", "photos/y/Q")
        for number, name in enumerate(places):
            image = picture(tmp_path / f"{name}.png", (10 + number, 8))
            path = str(image) if absolute else f"../../{name}.png"
            car = [polygon("car", square(0, 0, 3, 3))]
            labelme(
                tmp_path / "export/labelme", str(number), car, imagePath=path, imageWidth=10 + number, imageHeight=8
            )
            (tmp_path / f"export/labelme/{number}.png").unlink()
        monkeypatch.chdir(tmp_path)
        for images in (Path("photos"), tmp_path / "photos"):
            report = import_data("export", out=out, images=images)
            assert (report.counts, report.left_out, report.notes) == ({"train": 3}, {}, {})
            assert {mask.shape[1] for mask in masks(report).values()} == {10, 11, 12}

    def test_the_same_case_comes_first(self, tmp_path: Path, out: Path) -> None:
        folder = coco(tmp_path / "export", [{"segmentation": [[0, 0, 3, 0, 3, 3]]}], file_name="c:/A.png")
        (folder / "a.png").unlink()
        picture(folder / "x/a.png", (20, 8))
        picture(folder / "y/A.png")
        report = import_data(folder, out=out)
        assert (report.counts, report.left_out) == ({"train": 1}, {})

    def test_another_than_the_one_at_the_path_is_said(self, tmp_path: Path, out: Path) -> None:
        picture(tmp_path / "elsewhere/a.png")
        labelme(tmp_path / "export", "a", [polygon("car", square(0, 0, 3, 3))], imagePath="../elsewhere/a.png")
        report = import_data(tmp_path / "export", out=out)
        assert report.counts == {"train": 1}
        assert report.notes == {"paths lead out of the export and the images: others of the same name are taken": 1}

    def test_all_that_is_left_out_is_listed(self, tmp_path: Path, out: Path) -> None:
        folder = tmp_path / "export"
        odd = [polygon("car", square(0, 0, 3, 3))]
        odd += [
            polygon("car", [[0, 0], [1, 1]]),
            polygon("", square(0, 0, 2, 2)),
            polygon("car", square(20, 20, 30, 30)),
        ]
        odd += [polygon("car", square(1, 1, 2, 2), shape_type="cube") for _ in range(7)]
        labelme(folder, "a", odd)
        (folder / "b.json").write_text('{"shapes": []')
        report = import_data(folder, out=out)
        assert report.left_out == {"bad-labels": 1, "bad-shape": 8, "no-class": 1, "outside": 1}
        with (out / "left-out.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 11
        assert {
            "reason": "bad-shape",
            "name": "a.json",
            "what": "car: a polygon has three points or more, this has 2",
        } in rows
        assert "all that was left out" in report.text()
        assert json.loads((out / "import.json").read_text())["left_out"] == report.left_out

    def test_folders_in_use(self, export: Path, out: Path) -> None:
        picture(out / "mine.png")
        with pytest.raises(InputError, match=r"not empty and was not made by this command: it holds mine\.png"):
            import_data(export, out=out)
        with pytest.raises(InputError, match="which is only read"):
            import_data(export, out=export / "out")
        target = out.with_name("made")
        import_data(export, out=target)
        picture(target / "images/train/stray.png")
        with pytest.raises(InputError, match="1 files that do not belong to the dataset"):
            import_data(export, out=target)

    def test_boxes_are_ignored(self, tmp_path: Path, out: Path) -> None:
        """A box hides what lies in it; objects with an outline are drawn over it, the larger ones too."""
        road = {"segmentation": [[0, 4, 10, 4, 10, 8, 0, 8]], "category_id": 1}
        box = {"bbox": [1, 1, 3, 5], "segmentation": []}
        for overlap in ("later", "smaller"):
            report = import_data(coco(tmp_path / "export", [road, box]), out=out / overlap, overlap=overlap)
            mask = only(report)
            assert (mask[1:4, 1:4] == 255).all()
            assert (mask[4:] == 1).all()
            assert int((mask == 255).sum()) == 9
            assert report.left_out == {"box": 1}
            assert "boxes without an outline are ignored" in report.text()

    @pytest.mark.parametrize("line", ["1 0.5 0.5 0.2 0.5", "1 0.4 0.25 0.6 0.25 0.6 0.75 0.4 0.75"])
    def test_boxes_of_yolo(self, tmp_path: Path, out: Path, line: str) -> None:
        folder = tmp_path / "export"
        picture(folder / "images/a.png")
        (folder / "labels").mkdir()
        (folder / "labels/a.txt").write_text(f"{line}\n0 0 0 0.2 0 0.2 0.25 0 0.25\n")
        (folder / "data.yaml").write_text("names: [car, person]\n")
        mask = only(import_data(folder, out=out))
        assert (mask[2:6, 4:6] == (255 if line.count(" ") == 4 else 2)).all()
        assert (mask[:2, :2] == 1).all()

    def test_boxes_alone_are_refused(self, tmp_path: Path, out: Path) -> None:
        boxes = coco(tmp_path / "export", [{"bbox": [1, 1, 3, 5], "segmentation": []}, {"bbox": [0, 0, 2, 2]}])
        with pytest.raises(DataError, match="2 boxes around objects and no outline") as caught:
            import_data(boxes, out=out)
        assert "export its segmentation" in str(caught.value.fix)
        assert not (out / "masks").exists()

    def test_splits_are_whole_names_of_folders(self, tmp_path: Path, out: Path) -> None:
        """Words of images and buckets say nothing; folders do, and words of files that label many images."""
        car = [polygon("car", square(0, 0, 3, 3))]
        for name in ("crash_test_1", "val thorens/a", "my-test/a", "test/b", "deep/Validation/train_c"):
            labelme(tmp_path / "export", name, car, imagePath=f"{name.rpartition('/')[2]}.png")
        assert import_data(tmp_path / "export", out=out).counts == {"train": 3, "val": 1, "test": 1}
        coco(tmp_path / "coco", [{"segmentation": [[0, 0, 3, 0, 3, 3]]}], file_name="s3://my-test-bucket/test_x/a.png")
        assert import_data(tmp_path / "coco", out=out.with_name("2")).counts == {"train": 1}
        (tmp_path / "coco/a.json").rename(tmp_path / "coco/instances_val2017.json")
        assert import_data(tmp_path / "coco", out=out.with_name("3")).counts == {"val": 1}

    def test_labels_of_one_image_are_joined(self, tmp_path: Path, out: Path) -> None:
        """Of an image in three files of labels there is one mask; a file that says nothing of it changes nothing."""
        folder = coco(tmp_path / "export", [{"segmentation": [[0, 4, 10, 4, 10, 8, 0, 8]], "category_id": 1}])
        (folder / "a.json").rename(folder / "b.json")
        coco(folder, []).joinpath("a.json").rename(folder / "d.json")
        coco(folder, [{"segmentation": [[2, 2, 6, 2, 6, 7, 2, 7]]}])
        report = import_data(folder, out=out)
        assert report.counts == {"train": 1}
        mask = only(report)
        assert [int(mask[row, 3]) for row in (0, 2, 4, 7)] == [0, 2, 1, 1]
        assert report.left_out == {}
        assert report.notes["labels of one image were joined"] == 1
        before = files(out)
        assert import_data(folder, out=out).files == {"masks kept": 1, "images kept": 1}
        assert files(out) == before

    def test_labels_of_one_image_that_do_not_fit(self, tmp_path: Path, out: Path) -> None:
        folder = coco(tmp_path / "export", [{"segmentation": [[0, 4, 10, 4, 10, 8, 0, 8]]}], height=16, width=20)
        (folder / "a.json").rename(folder / "b.json")
        report = import_data(coco(folder, [{"segmentation": [[2, 2, 6, 2, 6, 7, 2, 7]]}]), out=out)
        assert (report.counts, report.left_out) == ({"train": 1}, {"several": 1})
        assert "cannot be joined" in report.text()
        assert int((only(report) == 2).sum()) == 20

    @pytest.mark.parametrize("saved", ["höhle 1.png", "1a2b3c4d-höhle 1.png", "h%C3%B6hle%201.png"])
    def test_names_that_are_encoded(self, tmp_path: Path, out: Path, saved: str) -> None:
        named = "/data/upload/3/1a2b3c4d-h%C3%B6hle%201.png"
        folder = coco(tmp_path / "export", [{"segmentation": [[0, 0, 3, 0, 3, 3]]}], file_name=named)
        (folder / "a.png").rename(folder / saved)
        assert import_data(folder, out=out).counts == {"train": 1}

    def test_colours_without_a_labelmap(self, tmp_path: Path, out: Path) -> None:
        folder = tmp_path / "export"
        picture(folder / "JPEGImages/a.jpg")
        (folder / "SegmentationClass").mkdir()
        mask = Image.new("RGB", (10, 8))
        mask.paste((0, 200, 0), (0, 0, 5, 8))
        mask.save(folder / "SegmentationClass/a.png")
        with pytest.raises(DataError, match="its mask has the colour #00c800, which is no class") as caught:
            import_data(folder, out=out)
        lines = re.findall("`([^`]+)`", str(caught.value.fix))
        assert lines == ["background:0,0,0::", "name:0,200,0::"]
        (folder / "labelmap.txt").write_text("\n".join(lines))
        assert (only(import_data(folder, out=out))[:, :5] == 1).all()

    def test_annotations_of_an_image_that_is_not_listed(self, tmp_path: Path, out: Path) -> None:
        ring = {"segmentation": [[0, 0, 3, 0, 3, 3]]}
        folder = coco(tmp_path / "export", [ring, {**ring, "image_id": 7}, {**ring, "image_id": 7}])
        report = import_data(folder, out=out)
        assert report.left_out == {"no-image": 1}
        assert report.examples["no-image"] == ["a.json: 2 annotations of image '7', which `images` does not list"]
        assert "a.json" in (out / "left-out.csv").read_text()

    def test_sizes(self, tmp_path: Path) -> None:
        """Labels made on a scaled image fit; those of another image do not; EXIF turns them as it turns the image."""
        shapes = [polygon("car", square(0, 0, 10, 4))]
        scaled = tmp_path / "scaled"
        labelme(scaled, "a", [polygon("car", square(0, 0, 20, 8))], imageHeight=16, imageWidth=20)
        assert (only(import_data(scaled, out=tmp_path / "1"))[:4] == 1).all()
        other = tmp_path / "other"
        labelme(other, "a", shapes, imageHeight=10, imageWidth=10)
        with pytest.raises(DataError, match="the image is 10x8 pixels, its labels belong to 10x10"):
            import_data(other, out=tmp_path / "2")
        turned, exif = tmp_path / "turned", Image.Exif()
        exif[0x0112] = 6
        labelme(turned, "a", shapes, imageHeight=8, imageWidth=10)
        picture(turned / "a.png", exif=exif)
        mask = only(import_data(turned, out=tmp_path / "3"))
        assert mask.shape == (10, 8)
        assert (mask[:, 4:] == 1).all()
        assert (mask[:, :4] == 0).all()

    def test_labels_that_training_points_at(self, tmp_path: Path, out: Path) -> None:
        """The command that `train` and `check` name for polygons of a data.yaml makes masks of them."""
        folder = shutil.copytree(EXPORTS / "yolo", tmp_path / "yolo")
        with pytest.raises(DataError, match="polygons, which are not read") as caught:
            DataSpec.load(folder / "data.yaml").samples("train")
        words = str(caught.value.fix).partition("bridgeseg ")[2].replace("DIR", str(out)).split()
        assert main(words) == 0
        assert len(DataSpec.load(out).samples("train")) == 2
        assert import_data(folder / "data.yaml", out=out.with_name("again")).form == "yolo"

    def test_nothing_that_is_known(self, tmp_path: Path, out: Path) -> None:
        picture(tmp_path / "export/a.png")
        with pytest.raises(DataError, match="looks like no export that is known") as caught:
            import_data(tmp_path / "export", out=out)
        assert "format" not in str(caught.value.fix)
        with pytest.raises(DataError, match="no JSON file with shapes") as caught:
            import_data(tmp_path / "export", out=out, format="labelme")
        assert "format" not in str(caught.value.fix)
        (tmp_path / "export/a.json").write_text("{}")
        with pytest.raises(DataError, match="looks like no export that is known") as caught:
            import_data(tmp_path / "export", out=out)
        assert "say which with `format`" in str(caught.value.fix)
        with pytest.raises(DataError, match="no images with categories") as caught:
            import_data(tmp_path / "export", out=out, format="coco")
        assert "`format`" not in str(caught.value.fix)
        with pytest.raises(InputError, match="no such file or folder"):
            import_data(tmp_path / "no", out=out)

    def test_another_form_than_was_said(self, export: Path, out: Path) -> None:
        with pytest.raises(DataError, match="no images with categories") as caught:
            import_data(export, out=out, format="coco")
        assert "it looks like Labelme JSON: `format=labelme`" in str(caught.value.fix)
        assert import_data(export, out=out, format="labelme").counts == {"train": 2}

    def test_a_dataset_already(self, export: Path, out: Path) -> None:
        import_data(export, out=out, val_share=0)
        with pytest.raises(DataError, match="it is a dataset already") as caught:
            import_data(out, out=out.with_name("other"))
        assert main(shlex.split(str(caught.value.fix).partition("bridgeseg ")[2])) in (0, 1)

    def test_plain_pairs(self, tmp_path: Path, out: Path) -> None:
        folder = tmp_path / "export"
        picture(folder / "a.jpg")
        Image.new("L", (10, 8)).save(folder / "a.png")
        with pytest.raises(DataError, match="images and masks of the same names") as caught:
            import_data(folder, out=out)
        for name, kind in (("a.jpg", "images"), ("a.png", "masks")):
            assert f"{kind}/" in str(caught.value.fix)
            (folder / kind).mkdir()
            (folder / name).rename(folder / kind / name)
        (folder / "data.yaml").write_text("train: images\nnames: [sky]")
        assert len(DataSpec.load(folder).samples("train")) == 1

    def test_boxes_of_voc(self, tmp_path: Path, out: Path) -> None:
        picture(tmp_path / "export/JPEGImages/a.jpg")
        (tmp_path / "export/a.xml").write_text("<annotation><object><bndbox></bndbox></object></annotation>")
        for form in (None, "voc"):
            with pytest.raises(DataError, match="1 box around objects and no outline"):
                import_data(tmp_path / "export", out=out, format=form)


class TestFill:
    corners = st.tuples(st.integers(-40, 120), st.integers(-40, 120)).map(lambda pair: (pair[0] / 4, pair[1] / 4))

    @given(st.lists(corners, min_size=3, max_size=9))
    @example([(0.0, 0.0), (20.0, 20.0), (20.0, 0.0), (0.0, 20.0)])
    @settings(max_examples=150, deadline=None)
    def test_pixels_whose_middle_is_inside(self, ring: list[tuple[float, float]]) -> None:
        assert (fill.filled(np.array(ring), 16, 20) == part(ring, 16, 20)).all()

    @given(st.integers(0, 2**48 - 1))
    @settings(max_examples=60, deadline=None)
    def test_borders_of_pixels_give_these_pixels_back(self, bits: int) -> None:
        pixels = np.array([bits >> place & 1 for place in range(48)], bool).reshape(6, 8)
        rings = tuple(np.array(square(x, y, x + 1, y + 1)) for y, x in np.argwhere(pixels))
        top, left, found = fill.drawn(Outline(rings), 6, 8, None)
        whole = np.zeros_like(pixels)
        whole[top : top + found.shape[0], left : left + found.shape[1]] = found
        assert (whole == pixels).all()

    def test_holes(self) -> None:
        shape = Outline((np.array(square(0, 0, 6, 6)),), (np.array(square(2, 2, 4, 4)),))
        assert int(fill.drawn(shape, 6, 6, None)[2].sum()) == 32

    def test_far_away_and_endless(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wide = Outline((np.array(square(-1e7, -1e7, 1e7, 1e7)),))
        assert fill.drawn(wide, 6, 8, None)[2].shape == (6, 8)
        assert fill.drawn(Outline((np.array(square(20, 20, 30, 30)),)), 6, 8, None)[2].size == 0
        monkeypatch.setattr(fill, "CELLS", 20)
        assert (fill.filled(np.array(square(1, 1, 7, 5)), 6, 8) == part(square(1, 1, 7, 5), 6, 8)).all()
        monkeypatch.setattr(fill, "MOST_CROSSINGS", 10)
        with pytest.raises(Unusable, match="too many lines"):
            fill.filled(np.array([(0, y % 2 * 6) for y in range(40)], float), 6, 8)

    def test_what_has_no_area(self) -> None:
        with pytest.raises(Unusable, match="a line has no area"):
            fill.drawn(Stroke(np.zeros((2, 2))), 6, 8, None)
        top, left, found = fill.drawn(Bitmap(-1, 4, lambda: np.ones((4, 4), bool)), 6, 8, None)
        assert (top, left, found.shape) == (4, 0, (2, 3))


def runs(flat: np.ndarray[Any, Any]) -> list[int]:
    """Return the lengths of runs of 0 and 1 in turn."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [not flat[-1]]]).astype(int)))
    return [int(length) for length in np.diff([0, *edges])]


def compress(counts: list[int]) -> str:
    """Write runs as cocoapi's rleToString does."""
    text = ""
    for place, count in enumerate(counts):
        value, more = count - (counts[place - 2] if place > 2 else 0), True
        while more:
            group, value = value & 0x1F, value >> 5
            more = value != (-1 if group & 0x10 else 0)
            text += chr((group | 0x20 if more else group) + 48)
    return text


def pack(values: np.ndarray[Any, Any]) -> list[int]:
    """Pack bytes as @thi.ng/rle-pack does: runs of one value, in blocks whose lengths have 3, 4, 8 or 16 bits."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    place = 0
    while place < len(values):
        same = 1
        while place + same < len(values) and values[place + same] == values[place] and same < 65536:
            same += 1
        kind = next(index for index, width in enumerate((3, 4, 8, 16)) if same <= 1 << width)
        bits += (
            f"{int(same > 1)}{kind:02b}" + format(same - 1, f"0{(3, 4, 8, 16)[kind]}b") + f"{int(values[place]):08b}"
        )
        place += same
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


class TestRunLengths:
    @given(st.integers(1, 2**42 - 1), st.sampled_from([(6, 7), (1, 42), (42, 1)]))
    @settings(max_examples=60, deadline=None)
    def test_what_is_written_is_read(self, bits: int, size: tuple[int, int]) -> None:
        mask = np.array([bits >> place & 1 for place in range(42)], bool).reshape(size)
        down = runs(mask.T.ravel())
        assert (rle.coco(down, *size)() == mask).all()
        assert (rle.coco(compress(down), *size)() == mask).all()
        assert (rle.rows(runs(mask.ravel()), *size)() == mask).all()
        assert (rle.label_studio(pack(np.repeat(mask.ravel(), 4) * np.uint8(255)), *size)() == mask).all()

    def test_long_runs(self) -> None:
        mask = np.zeros((300, 400), bool)
        mask[20:250, 30:390] = True
        assert (rle.coco(compress(runs(mask.T.ravel())), 300, 400)() == mask).all()

    @pytest.mark.parametrize(
        ("counts", "message"),
        [
            ([40, 1], "do not add up"),
            ([43, -1], "shorter than nothing"),
            ([10**30], "longer than any image"),
            ([1.5], "no list of whole numbers"),
            (None, "no list of whole numbers"),
            ("é", "no compressed text"),
            ("P" * 30, "no compressed text"),
            ("PPPPPPPPPPPP0", "longer than any image"),
            ([0] * 50, "do not add up"),
        ],
    )
    def test_what_is_none(self, counts: Any, message: str) -> None:
        with pytest.raises(Unusable, match=message):
            rle.coco(counts, 6, 7)()

    @pytest.mark.parametrize(
        "packed", [None, "a", [1.5], [300], [0] * 9, [255] * 200, pack(np.zeros(168, np.uint8))[:8]]
    )
    def test_what_is_no_packing(self, packed: Any) -> None:
        with pytest.raises(Unusable, match=r"packing|bits"):
            rle.label_studio(packed, 6, 7)()


class TestHostile:
    def test_paths_that_lead_away(self, tmp_path: Path, out: Path) -> None:
        picture(tmp_path / "secret.png")
        labelme(tmp_path / "export", "a", [polygon("car", square(0, 0, 3, 3))])
        labelme(tmp_path / "export", "b", [polygon("car", square(0, 0, 3, 3))], imagePath="../secret.png")
        (tmp_path / "export/b.png").unlink()
        report = import_data(tmp_path / "export", out=out)
        assert (report.counts, report.left_out) == ({"train": 1}, {"no-image": 1})

    def test_names_that_lead_away(self, tmp_path: Path, out: Path) -> None:
        folder = coco(tmp_path / "export", [{"segmentation": [[0, 0, 3, 0, 3, 3]]}], file_name="../../../x/../a.png")
        import_data(folder, out=out)
        assert {path.parent.name for path in tmp_path.rglob("a.png")} <= {"export", "x", "train"}
        assert not list(tmp_path.parent.glob("a.png"))

    @pytest.mark.parametrize(
        ("segmentation", "code"),
        [
            ({"size": [10**9, 10**9], "counts": [10**18]}, "bad-shape"),
            ({"size": [60_000, 60_000], "counts": [0, 3_600_000_000]}, "bad-shape"),
            ({"size": [8, 10], "counts": [1e300]}, "bad-shape"),
            ({"size": "large", "counts": "0"}, "bad-shape"),
            ([[0, 0, 1e308, 0, 1e308, 1e308]], "bad-shape"),
            ([["a", "b", 1, 2, 3, 4]], "bad-shape"),
            ([[[[]]]], "bad-shape"),
            ("text", "bad-shape"),
            (7, "bad-shape"),
            ([], "box"),
        ],
    )
    def test_shapes_that_are_none(self, tmp_path: Path, out: Path, segmentation: Any, code: str) -> None:
        good = {"segmentation": [[0, 0, 3, 0, 3, 3]]}
        report = import_data(coco(tmp_path / "export", [good, {"segmentation": segmentation}]), out=out)
        assert report.left_out == {code: 1}

    def test_a_size_that_no_image_has(self, tmp_path: Path, out: Path) -> None:
        folder = coco(tmp_path / "export", [{"segmentation": [[0, 0, 3, 0, 3, 3]]}], height=80_000, width=100_000)
        with pytest.raises(DataError, match=r"belong to 100000x80000"):
            import_data(folder, out=out)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("[" * 100_000, "nested too deeply"),
            ('{"images": [{"id": NaN}], "annotations": []}', "NaN is no number"),
            ('{"images": [{"id": 1}], "annotations": [{"image_id": 1}', "ends too early|not valid JSON"),
            ('{"images": [{"id": ' + "9" * 5000 + '}], "annotations": []}', "cannot be read|id"),
            ('{"images": 3, "annotations": {}, "categories": []}', "no images with categories"),
        ],
    )
    def test_json_that_is_none(self, tmp_path: Path, out: Path, content: str, message: str) -> None:
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(DataError, match=message):
            import_data(tmp_path / "a.json", out=out, format="coco")

    def test_xml_that_grows(self, tmp_path: Path, out: Path) -> None:
        entities = "".join(f'<!ENTITY a{i} "&a{i - 1};&a{i - 1};">' for i in range(1, 40))
        doctype = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "x">{entities}]>'
        text = f'{doctype}<annotations><image name="&a39;"/></annotations>'
        (tmp_path / "a.xml").write_text(text)
        with pytest.raises(DataError, match="has a DTD"):
            import_data(tmp_path / "a.xml", out=out, format="cvat")
        (tmp_path / "a.xml").write_text("<annotations>" + "<a>" * 200)
        with pytest.raises(DataError, match="nested too deeply"):
            import_data(tmp_path / "a.xml", out=out, format="cvat")

    def test_masks_that_are_too_large(self, tmp_path: Path, out: Path) -> None:
        stream = io.BytesIO()
        Image.new("1", (1, 1)).save(stream, "PNG")
        large = stream.getvalue().replace(struct.pack(">II", 1, 1), struct.pack(">II", 30_000, 30_000), 1)
        bomb = base64.b64encode(mend_png(large)).decode()
        shape = {"label": "car", "points": [[0, 0], [5, 5]], "shape_type": "mask", "mask": bomb}
        labelme(tmp_path / "export", "a", [polygon("car", square(0, 0, 3, 3)), shape])
        assert import_data(tmp_path / "export", out=out).left_out == {"bad-shape": 1}


class TestCommand:
    def run(self, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
        code = main(["data", "import", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    def test_report(self, capsys: Any, export: Path, out: Path) -> None:
        code, text, _ = self.run(capsys, export, "--out", out, "--classes", "road,car", "--overlap", "smaller")
        assert code == 0
        assert "form: Labelme JSON" in text
        assert "road        2 objects, 2 images" in text

    def test_json(self, capsys: Any, export: Path, out: Path) -> None:
        code, text, err = self.run(capsys, export, "--out", out, "--json")
        assert (code, err) == (0, "")
        assert json.loads(text)["counts"] == {"train": 2}

    def test_mistakes_name_the_option(self, capsys: Any, export: Path, out: Path) -> None:
        code, _, err = self.run(capsys, export, "--out", out, "--line-width", "0")
        assert code == 2
        assert "--line-width" in err
        code, _, err = self.run(capsys, export.parent / "no", "--out", out)
        assert code == 2
        assert "Traceback" not in err

    def test_a_folder_without_a_data_yaml_names_the_command(self, export: Path) -> None:
        with pytest.raises(DataError, match="seems to be an export of Labelme JSON") as caught:
            DataSpec.load(export)
        assert f"bridgeseg data import {export} --out DIR" in str(caught.value.fix)


def test_errors_have_a_fix(tmp_path: Path) -> None:
    """Files of forms whose names are there, and nothing else, are refused in words."""
    for form in FORMS:
        shutil.rmtree(tmp_path / "empty", ignore_errors=True)
        picture(tmp_path / "empty/a.png")
        with pytest.raises(BridgeSegError) as caught:
            import_data(tmp_path / "empty", out=tmp_path / "out", format=form)
        assert caught.value.fix
