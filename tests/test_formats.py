"""Results in the forms of labelling tools and maps: what is written is read back as the same mask."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

import bridgeseg
from bridgeseg.classes import ClassSet
from bridgeseg.cli import main
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, InputError, MissingDependencyError
from bridgeseg.importing.fill import filled
from bridgeseg.outlines import areas, simplified
from bridgeseg.predicting.formats import geotiff
from bridgeseg.reading.sources import PathStream
from bridgeseg.runtime.model import Model
from bridgeseg.runtime.network import Network, Segmented
from bridgeseg.runtime.result import Result
from conftest import RGB_CLASSES, write_onnx

NAMES = ("red", "green", "blue")
RINGS = (
    "1111111111",
    "1222222221",
    "1211111121",
    "1210220121",
    "1212112121",
    "1220220221",
    "1222222221",
    "1111111011",
)
"""Areas within areas, some of which touch by corners alone."""


def drawn(found: Any, shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Fill areas again."""
    mask = np.full(shape, 255, np.uint8)
    for area in found:
        part = filled(area.outline, *shape)
        for hole in area.holes:
            part &= ~filled(hole, *shape)
        assert (filled(area.joined(), *shape) == part).all()
        assert int(part.sum()) == area.pixels
        assert (mask[part] == 255).all()
        left, top, width, height = area.box
        rows, columns = np.nonzero(part)
        assert (left, top) == (columns.min(), rows.min())
        assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
        mask[part] = area.class_id
    return mask


def components(mask: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    """Return class and pixels of what hangs together by sides, one pixel after the other."""
    left, found = {tuple(place): int(mask[tuple(place)]) for place in np.argwhere(mask < 255).tolist()}, []
    while left:
        place, value = left.popitem()
        waiting, count = [place], 0
        while waiting:
            y, x = waiting.pop()
            count += 1
            for beside in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if left.get(beside) == value:
                    del left[beside]
                    waiting.append(beside)
        found.append((value, count))
    return sorted(found)


class TestOutlines:
    @pytest.mark.slow
    @given(st.integers(1, 9), st.integers(1, 9), st.randoms(use_true_random=False))
    @settings(max_examples=120, deadline=None)
    def test_filled_again_they_are_the_mask(self, height: int, width: int, random: Any) -> None:
        values = random.choice([[0, 255], [0, 1], [0, 1, 2, 255]])
        mask = np.array([[random.choice(values) for _ in range(width)] for _ in range(height)], np.uint8)
        found = areas(mask, NAMES)
        assert (drawn(found, mask.shape) == mask).all()
        assert sorted((area.class_id, area.pixels) for area in found) == components(mask)

    def test_areas_within_areas(self) -> None:
        mask = np.array([[int(value) for value in line] for line in RINGS], np.uint8)
        found = areas(mask, NAMES)
        assert (drawn(found, mask.shape) == mask).all()
        assert sorted((area.class_id, area.pixels) for area in found) == components(mask)

    def test_a_hole(self) -> None:
        mask = np.zeros((3, 4), np.uint8)
        mask[1, 1:3] = 1
        ring, core = areas(mask, NAMES)
        assert (ring.pixels, len(ring.holes), len(core.holes)) == (10, 1, 0)
        assert core.outline.tolist() == [[1, 1], [3, 1], [3, 2], [1, 2]]
        assert len(ring.joined()) == 4 + 4 + 2

    def test_small_ones_are_left_out(self) -> None:
        mask = np.array([[int(value) for value in line] for line in RINGS], np.uint8)
        wanted = [area for area in components(mask) if area[1] >= 9]
        assert sorted((area.class_id, area.pixels) for area in areas(mask, NAMES, least=9)) == wanted
        assert len(wanted) < len(components(mask))

    def test_fewer_corners(self) -> None:
        y, x = np.mgrid[:80, :80]
        disc = ((x - 40) ** 2 + (y - 40) ** 2 < 900).astype(np.uint8)
        whole, less = (areas(disc, NAMES, simplify=simplify)[1].outline for simplify in (0.0, 0.7))
        assert len(less) < 0.6 * len(whole)
        fill, wanted = filled(less, 80, 80), disc.astype(bool)
        assert (fill & wanted).sum() / (fill | wanted).sum() > 0.97
        line = np.array([[0, 0], [4, 0], [8, 0], [8, 8], [0, 8.0]])
        assert simplified(line, 0.1).tolist() == [[0, 0], [8, 0], [8, 8], [0, 8]]


@pytest.fixture(scope="module")
def mask() -> np.ndarray[Any, Any]:
    """Return a mask (40, 60) with islands, holes and single pixels."""
    generator = np.random.default_rng(3)
    coarse = generator.integers(0, 3, (8, 12)).repeat(5, axis=0).repeat(5, axis=1)
    coarse[generator.random(coarse.shape) < 0.03] = 1
    return coarse.astype(np.uint8)


@pytest.fixture
def photo(tmp_path: Path, mask: np.ndarray[Any, Any]) -> Path:
    """Write an image whose classes, by the rule of `rgb_onnx`, are those of `mask`."""
    path = tmp_path / "photos/street/photo.png"
    path.parent.mkdir(parents=True)
    Image.fromarray((np.eye(3, dtype=np.uint8) * 200)[mask]).save(path)
    return path


def predicted(photo: Path, model: Path, form: str, **options: Any) -> Path:
    """Write the results of one image in a form; return the folder."""
    out = photo.parents[2] / "out"
    bridgeseg.predict(photo.parents[1], model, out, recursive=True, overlay=False, format=[form], **options)
    return out


class TestForms:
    @pytest.mark.parametrize(("form", "place"), [("coco", "coco.json"), ("labelme", "labelme"), ("yolo", "yolo")])
    def test_imported_again_it_is_the_mask(
        self, form: str, place: str, photo: Path, rgb_onnx: Path, mask: np.ndarray[Any, Any], tmp_path: Path
    ) -> None:
        out = predicted(photo, rgb_onnx, form)
        report = bridgeseg.import_data(out / place, out=tmp_path / "again", images=photo.parents[1])
        assert (report.form, report.left_out) == (form, {})
        spec = DataSpec.load(report.data)
        (sample,) = spec.samples("train")
        back = np.array([spec.classes.names.index(name) for name in NAMES])[mask]
        assert (read_mask(sample.mask, spec) == back).all()
        assert not list(out.rglob("*.png"))

    @pytest.mark.parametrize(("form", "place"), [("coco", "coco.json"), ("yolo", "yolo")])
    @pytest.mark.parametrize("named", ["folders", "files", "input"])
    def test_images_of_one_name_in_two_folders(
        self, form: str, place: str, named: str, rgb_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number, folder in enumerate(("x", "y/deep")):
            (tmp_path / "photos" / folder).mkdir(parents=True)
            photo = np.full((4, 6, 3), (np.arange(3) == number) * 200, np.uint8)
            Image.fromarray(photo).save(tmp_path / "photos" / folder / "q.png")
        monkeypatch.chdir(tmp_path)
        folders = [Path("photos/x"), tmp_path / "photos/y/deep"]
        files = [folder / "q.png" for folder in folders]
        sources: Any = {"folders": folders, "files": files}.get(named)
        if sources is None:
            (tmp_path / "list").write_text("".join(f"{file}\n" for file in files))
            sources = PathStream((tmp_path / "list").open("rb"))
        bridgeseg.predict(sources, rgb_onnx, "out", overlay=False, format=[form])
        options: Any = {"images": tmp_path / "photos", "val_share": 0}
        report = bridgeseg.import_data(tmp_path / "out" / place, out=tmp_path / "again", **options)
        assert (report.counts, report.left_out, report.notes) == ({"train": 2}, {}, {})
        spec = DataSpec.load(report.data)
        found = {
            sample.mask.relative_to(tmp_path / "again/masks/train"): sample.mask for sample in spec.samples("train")
        }
        names = {path.parts[0]: spec.classes.names[int(read_mask(mask, spec)[0, 0])] for path, mask in found.items()}
        assert names == {"x": "red", "y": "green"}

    def test_images_of_one_name_and_two_endings(
        self, photo: Path, rgb_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("a.jpg", "a.png", "a-2.png", "A.bmp"):
            Image.open(photo).save(photo.with_name(name))
        command = ["predict", str(photo.parent), "-m", str(rgb_onnx), "-o", str(tmp_path / "out"), "--no-overlay"]
        assert main([*command, "--format", "yolo", "--json"]) == 0
        shown = capsys.readouterr()
        records = {Path(line["source"]).name: line for line in map(json.loads, shown.out.splitlines())}
        said = {name: line["notes"][0]["message"] for name, line in records.items() if line.get("notes")}
        taken = {name: Path(line["files"]["yolo"]).name for name, line in records.items()}
        misnamed = {name for name, file in taken.items() if Path(name).stem != Path(file).stem}
        assert set(said) == misnamed
        assert len(misnamed) == 2
        for name, message in said.items():
            holder = next(other for other, file in taken.items() if file.lower() == f"{Path(name).stem.lower()}.txt")
            assert f"labels of {name} are {taken[name]}," in message
            assert f"belongs to {holder}:" in message
        assert shown.err.count("warning: ") == shown.err.count("and 1 more") == 1
        assert main([*command, "--format", "labelme,coco"]) == 0
        assert "warning" not in capsys.readouterr().err

    def test_what_is_finished_is_written_before_a_result_that_cannot_be(
        self, photo: Path, rgb_onnx: Path, tmp_path: Path
    ) -> None:
        shutil.copy(photo, photo.with_name("a.png"))
        (tmp_path / "out/photo_overlay.jpg").mkdir(parents=True)
        with pytest.raises(InputError, match=r"photo_overlay\.jpg: cannot be written: .*, 1 images are done"):
            bridgeseg.predict(photo.parent, rgb_onnx, tmp_path / "out", format=["coco", "csv"])
        found = json.loads((tmp_path / "out/coco.json").read_text())
        assert [image["file_name"] for image in found["images"]] == ["a.png"]
        assert (tmp_path / "out/areas.csv").exists()

    def test_geojson(self, photo: Path, rgb_onnx: Path, mask: np.ndarray[Any, Any]) -> None:
        out = predicted(photo, rgb_onnx, "geojson")
        found = json.loads((out / "street/photo.geojson").read_text())
        again = np.full(mask.shape, 255, np.uint8)
        for feature in found["features"]:
            parts = [np.array(ring) for ring in feature["geometry"]["coordinates"]]
            assert all((ring[0] == ring[-1]).all() for ring in parts)
            inside = np.logical_xor.reduce([filled(ring, *mask.shape) for ring in parts])
            assert int(inside.sum()) == feature["properties"]["pixels"]
            again[inside] = feature["properties"]["class_id"]
        assert (again == mask).all()
        assert "crs" not in found

    @pytest.mark.parametrize("point", [False, True])
    def test_geojson_on_the_map(self, photo: Path, rgb_onnx: Path, point: bool) -> None:
        tags = ImageFileDirectory_v2()
        tags[33550], tags[33922] = (0.5, 0.25, 0.0), (10.0, 20.0, 0.0, 500_000.0, 4_000_000.0, 0.0)
        tags[34735] = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1 + point, 3072, 0, 1, 32633)
        for tag in (33550, 33922):
            tags.tagtype[tag] = 12
        tags.tagtype[34735] = 3
        Image.open(photo).save(photo.with_suffix(".tif"), tiffinfo=tags)
        photo.unlink()
        found = json.loads((predicted(photo, rgb_onnx, "geojson") / "street/photo.geojson").read_text())
        assert found["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"
        corners = np.concatenate([np.array(one["geometry"]["coordinates"][0]) for one in found["features"]])
        middle = 0.5 * point
        assert corners.min(axis=0).tolist() == [
            500_000 + (0 - 10 - middle) * 0.5,
            4_000_000 + (20 - 40 + middle) * 0.25,
        ]
        assert corners.max(axis=0).tolist() == [500_000 + (60 - 10 - middle) * 0.5, 4_000_000 + (20 + middle) * 0.25]

    @pytest.mark.parametrize("tile", [None, (16, 32)])
    def test_geotiff_on_the_map(
        self, tile: Any, photo: Path, rgb_onnx: Path, mask: np.ndarray[Any, Any], tmp_path: Path
    ) -> None:
        tifffile = pytest.importorskip("tifffile")
        keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1026, 34737, 6, 0, 3072, 0, 1, 32633)
        place = [
            (33550, "d", 3, (0.1, 0.25, 0.0), True),
            (33922, "d", 6, (10.0, 20.0, 0.0, 500_000.3, 4_000_000.7, 0.0), True),
            (34735, "H", len(keys), keys, True),
            (34736, "d", 2, (6378137.0, 1 / 3), True),
            (34737, "s", 0, "UTM 33|", True),
        ]
        pixels = np.asarray(Image.open(photo))
        options: dict[str, Any] = {"photometric": "rgb", "compression": "zlib", "byteorder": ">", "tile": tile}
        tifffile.imwrite(photo.with_suffix(".tif"), pixels, extratags=place, **options)
        tifffile.imwrite(photo.with_name("turned.tif"), pixels, extratags=[*place, (274, "H", 1, 3, True)], **options)
        photo.rename(photo.with_name("plain.png"))
        out = predicted(photo, rgb_onnx, "geotiff")
        for name in ("photo", "turned", "plain"):
            path = out / f"street/{name}_mask.tif"
            with tifffile.TiffFile(path) as written, tifffile.TiffFile(photo.with_suffix(".tif")) as given:
                found, wanted = written.pages.first.tags, given.pages.first.tags
                for code, *_ in place:
                    if name == "photo":
                        told = [(tags[code].value, tags[code].dtype, tags[code].count) for tags in (found, wanted)]
                        assert told[0] == told[1]
                    else:
                        assert code not in found
                ids = written.pages.first.asarray()
                assert (ids == (mask[::-1, ::-1] if name == "turned" else mask)).all()
                assert written.pages.first.tile == (256, 256)
                colours = written.pages.first.colormap[:, :3] // 257
            assert [tuple(colour) for colour in colours.T.tolist()] == list(RGB_CLASSES.palette)
        with pytest.raises(InputError, match="3 results of earlier runs left out"):
            bridgeseg.predict(out, rgb_onnx, tmp_path / "more", recursive=True)

    def test_geotiff_of_what_is_not_known(
        self, photo: Path, rgb_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
    ) -> None:
        tifffile = pytest.importorskip("tifffile")
        result = Result(np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 255, np.uint8), RGB_CLASSES, least=0.5)
        with tifffile.TiffFile(geotiff.Form(photo.parent).write(result, "a", [])) as written:
            assert written.pages.first.nodata == 255
            assert (written.pages.first.asarray() == 255).all()
        many = ClassSet.build([str(number) for number in range(300)])
        result = Result(np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 299, np.uint16), many)
        assert (tifffile.imread(geotiff.Form(photo.parent).write(result, "b", [])) == 299).all()
        monkeypatch.setitem(sys.modules, "tifffile", None)
        assert main(["predict", str(photo), "--model", str(rgb_onnx), "--format", "geotiff"]) == 2
        assert "pip install 'bridgeseg[raster]'" in capsys.readouterr().err

    def test_crops(self, photo: Path, mask: np.ndarray[Any, Any], tmp_path: Path) -> None:
        names = ("../red", "dot", "DOT")
        model = write_onnx(tmp_path / "model.onnx", classes=ClassSet.build(names))
        out, pixels = tmp_path / "out", np.asarray(Image.open(photo))
        (record,) = bridgeseg.predict(photo, model, out, overlay=False, save_crops=True, min_area=2)
        assert isinstance(record, bridgeseg.Record)
        assert record.to_dict()["files"] == {"crops": str(out / "crops")}
        assert record.mask is not None
        folders = ("___red", "dot", "DOT (2)")
        found = areas(mask, names, least=2)
        for class_id, folder in enumerate(folders):
            own = [area for area in found if area.class_id == class_id]
            assert len(list((out / "crops" / folder).iterdir())) == len(own) > 1
            for number, area in enumerate(own, 1):
                left, top, width, height = map(int, area.box)
                crop = np.asarray(Image.open(out / f"crops/{folder}/photo-{number}_crop.png"))
                assert (crop[..., :3] == pixels[top : top + height, left : left + width]).all()
                assert ((crop[..., 3] == 255) == (mask[top : top + height, left : left + width] == class_id)).all()
        with pytest.raises(InputError, match="results of earlier runs left out"):
            bridgeseg.predict(out, model, tmp_path / "more", recursive=True)

    def test_csv_and_npy(self, photo: Path, rgb_onnx: Path, mask: np.ndarray[Any, Any]) -> None:
        Image.open(photo).save(photo.with_name("other.png"))
        out = photo.parents[2] / "out"
        records = bridgeseg.predict(photo.parents[1], rgb_onnx, out, recursive=True, format=["csv", "npy", "png"])
        with (out / "areas.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["pixels"]) for row in rows] == np.bincount(mask.ravel()).tolist() * 2
        assert {Path(row["image"]).name for row in rows} == {"photo.png", "other.png"}
        saved = np.load(out / "street/photo_mask.npy", allow_pickle=False)
        assert saved.dtype == np.uint8
        assert (saved == mask).all()
        assert (out / "street/photo_mask.png").is_file()
        record = records[1]
        assert isinstance(record, bridgeseg.Record)
        assert record.to_dict()["files"] == {
            "csv": str(out / "areas.csv"),
            "npy": str(out / "street/photo_mask.npy"),
        }

    def test_what_labelling_tools_need(self, photo: Path, rgb_onnx: Path) -> None:
        """Small areas left out and fewer corners; every annotation of COCO has what its readers ask for."""
        out = predicted(photo, rgb_onnx, "coco", min_area=20, simplify=1.0)
        found = json.loads((out / "coco.json").read_text())
        assert [image["file_name"] for image in found["images"]] == ["street/photo.png"]
        assert [category["id"] for category in found["categories"]] == [1, 2, 3]
        assert min(one["area"] for one in found["annotations"]) >= 20
        assert {one["image_id"] for one in found["annotations"]} == {1}
        numbers = [one["id"] for one in found["annotations"]]
        assert numbers == list(range(1, len(numbers) + 1))
        assert all(len(one["bbox"]) == 4 and one["iscrowd"] == 0 for one in found["annotations"])

    def test_mistakes(self, photo: Path, rgb_onnx: Path, capsys: Any, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no form is called 'koko'"):
            predicted(photo, rgb_onnx, "koko")
        with pytest.raises(ConfigError, match="simplify"):
            predicted(photo, rgb_onnx, "coco", simplify=-1)
        words = ["predict", str(photo), "--model", str(rgb_onnx), "--out", str(tmp_path / "out"), "--format"]
        assert main([*words, "coco,geojso"]) == 2
        assert "did you mean" in capsys.readouterr().err
        assert main([*words, "coco,csv", "--no-overlay"]) == 0
        assert f"coco: {tmp_path / 'out/coco.json'}" in capsys.readouterr().out


class TestLabels:
    @pytest.fixture
    def sure(self, rgb_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Let the model say how sure it is: more where the image is brighter."""
        segment = Network.segment

        def confident(self: Any, image: Any, *rest: Any, **options: Any) -> Segmented:
            return Segmented(segment(self, image, *rest, **options).ids, image.max(axis=2))

        monkeypatch.setattr(Network, "segment", confident)
        monkeypatch.setattr(Model, "confident", property(lambda self: True))
        return rgb_onnx

    def test_what_is_sure_is_labelled_and_images_are_ranked(
        self, photo: Path, sure: Path, mask: np.ndarray[Any, Any], tmp_path: Path
    ) -> None:
        pixels = np.asarray(Image.open(photo)).copy()
        pixels[:, :30] //= 2  # 100 of 255: below one half
        Image.fromarray(pixels).save(photo.with_name("darker.png"))
        out = tmp_path / "labels"
        bridgeseg.label(photo.parents[1], sure, out, recursive=True, min_area=1, simplify=0.0)
        with (out / "rank.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [Path(row["image"]).stem for row in rows] == ["darker", "photo"]
        assert [float(row["unknown"]) for row in rows] == [0.5, 0.0]
        assert float(rows[1]["confidence"]) == pytest.approx(200 / 255, abs=1e-5)
        report = bridgeseg.import_data(
            out / "labelme", out=tmp_path / "again", images=photo.parents[1], unlabelled="ignore", val_share=0
        )
        spec = DataSpec.load(report.data)
        darker, whole = (read_mask(sample.mask, spec) for sample in spec.samples("train"))
        back = np.array([spec.classes.names.index(name) for name in NAMES])[mask]
        assert (whole == back).all()
        assert (darker[:, :30] == 255).all()
        assert (darker[:, 30:] == back[:, 30:]).all()

    @pytest.mark.skipif(sys.platform != "linux", reason="names of other systems are Unicode")
    def test_names_that_are_no_unicode(self, photo: Path, sure: Path, tmp_path: Path) -> None:
        odd = photo.with_name(os.fsdecode(b"caf\xe9.png"))
        shutil.copy(photo, odd)
        records = bridgeseg.label(photo.parent, sure, out=tmp_path / "out", format=["labelme", "rank"])
        assert len(records) == 2
        text = (tmp_path / "out/labelme" / odd.with_suffix(".json").name).read_text()
        assert Path(json.loads(text)["imagePath"]).name == odd.name
        assert (tmp_path / "out/rank.csv").read_text().count("\n") == 3

    def test_a_map_of_confidence(self, photo: Path, sure: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        forms = ["confidence", "npy"]
        (record,) = bridgeseg.predict(photo.parents[1], sure, out, recursive=True, format=forms, overlay=False)
        path = out / "street/photo_confidence.png"
        assert record.files["confidence"] == path
        image = Image.open(path)
        assert image.mode == "I;16"
        brightest = np.asarray(Image.open(photo)).max(axis=2)
        assert (np.asarray(image) == brightest.astype(np.int64) * 257).all()
        assert np.allclose(np.asarray(image) / 65535, np.load(path.with_suffix(".npy")), atol=1e-6)
        with pytest.raises(InputError, match="1 result of earlier runs left out"):
            bridgeseg.predict(out, sure, tmp_path / "again", recursive=True)

    def test_command(self, photo: Path, sure: Path, tmp_path: Path, capsys: Any) -> None:
        words = ["label", str(photo), "--model", str(sure), "--out", str(tmp_path / "labels"), "--to", "coco,rank"]
        assert main([*words, "--confidence", "0.9"]) == 0
        assert json.loads((tmp_path / "labels/coco.json").read_text())["annotations"] == []
        assert f"rank: {tmp_path / 'labels/rank.csv'}" in capsys.readouterr().out

    def test_models_that_do_not_say(self, photo: Path, rgb_onnx: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="does not say how sure it is"):
            bridgeseg.label(photo, rgb_onnx, tmp_path / "labels")
        with pytest.raises(ConfigError, match="`rank` needs confidence"):
            bridgeseg.label(photo, rgb_onnx, tmp_path / "labels", unknown=None)
        with pytest.raises(ConfigError, match="`confidence` needs confidence"):
            bridgeseg.predict(photo, rgb_onnx, tmp_path / "out", format=["confidence"])
        assert not list((tmp_path / "out").glob("*")), "refused before anything is written"
        with pytest.raises(ConfigError, match="export --model street --confidence"):
            bridgeseg.label(photo, out=tmp_path / "labels")
        assert bridgeseg.load(rgb_onnx).predict(photo).confidence_image() is None


class TestResult:
    def result(self, mask: np.ndarray[Any, Any]) -> Result:
        return Result(np.zeros((*mask.shape, 3), np.uint8), mask, ClassSet.build(NAMES), Path("photo.jpg"))

    def test_polygons_and_coco(self, mask: np.ndarray[Any, Any]) -> None:
        result = self.result(mask)
        assert (drawn(result.polygons(), mask.shape) == mask).all()
        found = result.to_coco(image_id=7, first_id=100)
        assert found["images"] == [{"id": 7, "file_name": "image", "width": 60, "height": 40}]
        assert found["annotations"][0]["id"] == 100
        assert sum(one["area"] for one in found["annotations"]) == mask.size

    def test_supervision(self, mask: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "supervision", None)
        with pytest.raises(MissingDependencyError, match="supervision") as caught:
            self.result(mask).to_supervision()
        assert caught.value.fix == "pip install supervision"
