"""The catalog: its facts, and miniature trees in each published layout that are prepared and read back."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridgeseg.catalog import Prepared, colours, entry, names, prepare
from bridgeseg.catalog import place as place_module
from bridgeseg.catalog.schema import Entry
from bridgeseg.classes import ClassSet
from bridgeseg.cli import main
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError, InputError

CLASSES = {
    "ade20k": 150,
    "camvid-11": 11,
    "camvid-32": 32,
    "cityscapes": 19,
    "coco-stuff": 171,
    "labelmefacade": 8,
    "lip": 20,
    "mapillary-65": 65,
    "nyuv2-40": 40,
    "pascal-context-59": 59,
    "pascal-context-60": 60,
    "voc2012": 21,
}
SHAPE = (6, 8)
Ids = np.ndarray[Any, Any]


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SHAPE[::-1], (90, 120, 60)).save(path)


def values(*given: int) -> Ids:
    """Return a mask in which the given values stand one after the other, as often as they fit."""
    return np.resize(np.array(given, np.uint8), SHAPE)


def mask(path: Path, ids: Ids, palette: list[int] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids.astype(np.uint8))
    if palette is not None:
        image.putpalette(palette)
    image.save(path)


def lines(path: Path, *words: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{word}\n" for word in words))


def make_ade20k(root: Path) -> None:
    for split, short in (("training", "train"), ("validation", "val")):
        for number in (1, 2):
            name = f"ADE_{short}_{number:08d}"
            picture(root / f"ADEChallengeData2016/images/{split}/{name}.jpg")
            mask(root / f"ADEChallengeData2016/annotations/{split}/{name}.png", values(0, 1, 2, 75, 150))


def make_cityscapes(root: Path) -> None:
    for split, city in (("train", "aachen"), ("train", "ulm"), ("val", "munster"), ("test", "berlin")):
        name = f"{city}/{city}_000000_000019"
        picture(root / f"leftImg8bit/{split}/{name}_leftImg8bit.png")
        mask(root / f"gtFine/{split}/{name}_gtFine_labelIds.png", values(0, 7, 8, 33, 3, 26))
        mask(root / f"gtFine/{split}/{name}_gtFine_instanceIds.png", values(0, 7))
        (root / f"gtFine/{split}/{name}_gtFine_polygons.json").write_text("{}")


def make_voc(root: Path) -> None:
    base = root / "VOCdevkit/VOC2012"
    palette = [channel for colour in entry("voc2012").class_set().palette for channel in colour]
    for name in ("2007_000032", "2007_000033", "2008_000008"):
        picture(base / f"JPEGImages/{name}.jpg")
    for name in ("2007_000032", "2007_000033"):
        mask(base / f"SegmentationClass/{name}.png", values(0, 1, 20, 255), palette)
    lines(base / "ImageSets/Segmentation/train.txt", "2007_000032")
    lines(base / "ImageSets/Segmentation/val.txt", "2007_000033")


def make_context(root: Path) -> None:
    base = root / "VOC2010"
    for split, name in (("train", "2008_000002"), ("val", "2008_000003")):
        picture(base / f"JPEGImages/{name}.jpg")
        mask(base / f"SegmentationClassContext/{name}.png", values(0, 1, 59))
        lines(base / f"ImageSets/SegmentationContext/{split}.txt", name)


def make_coco(root: Path) -> None:
    for split, name in (("train2017", "000000000009"), ("val2017", "000000000139")):
        picture(root / f"dataset/images/{split}/{name}.jpg")
        mask(root / f"dataset/annotations/{split}/{name}.png", values(0, 12, 91, 181, 255))


def make_camvid11(root: Path) -> None:
    for split in ("train", "val", "test"):
        picture(root / f"CamVid/{split}/0001TP_{split}.png")
        mask(root / f"CamVid/{split}annot/0001TP_{split}.png", values(0, 10, 11))
        lines(root / f"CamVid/{split}.txt", f"/SegNet/CamVid/{split}/x.png /SegNet/CamVid/{split}annot/x.png")


FRAMES = {"0001TP_006690": "train", "0016E5_07959": "val", "0016E5_08190": "train", "Seq05VD_f00000": "test"}


def make_camvid32(root: Path) -> None:
    palette = np.array(entry("camvid-32").class_set().palette, np.uint8)
    for name in FRAMES:
        picture(root / f"701_StillsRaw_full/{name}.png")
        path = root / f"LabeledApproved_full/{name}_L.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(palette[values(0, 4, 17, 30, 31)]).save(path)


def make_labelmefacade(root: Path) -> None:
    palette = np.array([*entry("labelmefacade").class_set().palette, (0, 0, 0)], np.uint8)
    for name, split in (("street_1", "train"), ("street_2", "test")):
        picture(root / f"images/{name}.jpg")
        (root / "labels").mkdir(exist_ok=True)
        Image.fromarray(palette[values(0, 7, 8, 4)]).save(root / f"labels/{name}.png")
        lines(root / f"{split}.txt", f"images/{name}.jpg")


def make_lip(root: Path) -> None:
    for split in ("train", "val"):
        picture(root / f"TrainVal_images/{split}_images/77_{split}.jpg")
        mask(root / f"TrainVal_parsing_annotations/{split}_segmentations/77_{split}.png", values(0, 5, 19))


def make_mapillary(root: Path) -> None:
    for split in ("training", "validation"):
        picture(root / f"{split}/images/{split}.jpg")
        mask(root / f"{split}/v1.2/labels/{split}.png", values(0, 64, 65, 13))


def make_nyuv2(root: Path) -> None:
    for split in ("train", "test"):
        picture(root / f"nyuv2/{split}/rgb/0001_{split}.png")
        mask(root / f"nyuv2/{split}/labels_40/0001_{split}.png", values(0, 1, 40, 24))
        mask(root / f"nyuv2/{split}/labels_13/0001_{split}.png", values(0, 13))


# name -> the maker of a tree, images of each split, values in its masks, class ids they must be read as
Tree = tuple[Callable[[Path], None], dict[str, int], tuple[int, ...]]
TREES: dict[str, Tree] = {
    "ade20k": (make_ade20k, {"train": 2, "val": 2}, (255, 0, 1, 74, 149)),
    "cityscapes": (make_cityscapes, {"train": 2, "val": 1}, (255, 0, 1, 18, 255, 13)),
    "voc2012": (make_voc, {"train": 1, "val": 1}, (0, 1, 20, 255)),
    "pascal-context-60": (make_context, {"train": 1, "val": 1}, (0, 1, 59)),
    "pascal-context-59": (make_context, {"train": 1, "val": 1}, (255, 0, 58)),
    "coco-stuff": (make_coco, {"train": 1, "val": 1}, (0, 11, 80, 170, 255)),
    "labelmefacade": (make_labelmefacade, {"train": 1, "test": 1}, (0, 7, 255, 4)),
    "lip": (make_lip, {"train": 1, "val": 1}, (0, 5, 19)),
    "mapillary-65": (make_mapillary, {"train": 1, "val": 1}, (0, 64, 255, 13)),
    "nyuv2-40": (make_nyuv2, {"train": 1, "test": 1}, (255, 0, 39, 23)),
    "camvid-11": (make_camvid11, {"train": 1, "val": 1, "test": 1}, (0, 10, 255)),
    "camvid-32": (make_camvid32, {"train": 2, "val": 1, "test": 1}, (0, 4, 17, 30, 31)),
}


def state(root: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.lstat().st_size, p.lstat().st_mtime_ns) for p in root.rglob("*")}


def made(tmp_path: Path, name: str, **options: Any) -> Prepared:
    root = tmp_path / "root"
    if not root.exists():
        TREES[name][0](root)
    return prepare(name, root, tmp_path / "out", workers=2, quiet=True, **options)


class TestEntries:
    def test_all_are_there(self) -> None:
        assert {name: len(entry(name).classes) for name in names()} == CLASSES

    @pytest.mark.parametrize("name", CLASSES)
    def test_label_map_covers_every_class_exactly_once(self, name: str) -> None:
        known = entry(name)
        mapped = known.label_map() or {index: index for index in range(len(known.classes))}
        assert sorted(index for index in mapped.values() if index is not None) == list(range(CLASSES[name]))
        assert {value for value, index in mapped.items() if index is None} == set(known.ignore)

    @pytest.mark.parametrize("name", CLASSES)
    def test_classes_are_readable(self, name: str) -> None:
        classes = entry(name).class_set()
        assert len(classes) == len(set(classes.names)) == len(classes.palette)
        for phrases in classes.prompts:
            assert len(set(phrases)) == len(phrases)
            for phrase in phrases:
                assert re.fullmatch(r"[A-Za-z]+([ -][A-Za-z]+)*", phrase)

    @pytest.mark.parametrize(
        ("name", "index", "published", "value", "colour"),
        [
            ("ade20k", 0, "wall", 1, "#787878"),
            ("ade20k", 14, "door", 15, "#08ff33"),
            ("ade20k", 149, "flag", 150, "#5c00ff"),
            ("cityscapes", 0, "road", 7, "#804080"),
            ("cityscapes", 16, "train", 31, "#005064"),
            ("cityscapes", 18, "bicycle", 33, "#770b20"),
            ("voc2012", 11, "diningtable", 11, "#c08000"),
            ("voc2012", 20, "tvmonitor", 20, "#004080"),
            ("pascal-context-60", 0, "background", 0, "#787878"),
            ("pascal-context-60", 59, "wood", 59, None),
            ("pascal-context-59", 0, "aeroplane", 1, "#b47878"),
            ("coco-stuff", 11, "stop sign", 12, "#0000e0"),
            ("coco-stuff", 79, "toothbrush", 89, None),
            ("coco-stuff", 80, "banner", 91, None),
            ("coco-stuff", 170, "wood", 181, None),
            ("camvid-11", 8, "Car", 8, "#400080"),
            ("camvid-32", 30, "Void", 30, "#000000"),
            ("camvid-32", 22, "SUVPickupTruck", 22, "#4080c0"),
            ("labelmefacade", 4, "road", 4, "#804000"),
            ("lip", 5, "UpperClothes", 5, "#ff5500"),
            ("mapillary-65", 13, "Road", 13, "#804080"),
            ("nyuv2-40", 0, "wall", 1, "#800000"),
            ("nyuv2-40", 39, "otherprop", 40, None),
            ("mapillary-65", 64, "Ego Vehicle", 64, "#780a0a"),
        ],
    )
    def test_facts(self, name: str, index: int, published: str, value: int, colour: str | None) -> None:
        one = entry(name).classes[index]
        assert ((one.published or one.name).lower(), one.value) == (published.lower(), value)
        assert colour is None or one.colour == colour

    def test_voc_colours_follow_the_rule_of_its_development_kit(self) -> None:
        for index, colour in enumerate(entry("voc2012").class_set().palette):
            expected = [sum((index >> 3 * bit + channel & 1) << 7 - bit for bit in range(3)) for channel in range(3)]
            assert list(colour) == expected

    def test_multi_part_names_have_phrases(self) -> None:
        phrases = dict(zip(entry("ade20k").class_set().names, entry("ade20k").class_set().prompts, strict=True))
        assert phrases["door"] == ("door", "double door")
        assert all("other" not in text for prompts in entry("coco-stuff").class_set().prompts for text in prompts)

    @pytest.mark.parametrize(
        "change",
        [
            {"ignore": [0]},  # is the value of a class
            {"colours": 1},  # no such key
            {"sizes": {"train": [1]}},  # the layout has two splits
            {"masks": "colours", "ignore": [77]},
            {"unlabelled": ["#ff00ff"]},  # the masks hold ids
        ],
    )
    def test_unsound_entries_are_refused(self, change: dict[str, Any]) -> None:
        good = entry("voc2012").model_dump()
        assert Entry.model_validate(good) == entry("voc2012")
        with pytest.raises(ValueError, match=r"repeat|Extra inputs|different splits|in order|of no class"):
            Entry.model_validate(good | change)

    def test_unknown_name(self) -> None:
        with pytest.raises(ConfigError, match="did you mean 'cityscapes'"):
            entry("cityscape")


class TestPrepare:
    @pytest.mark.parametrize("name", TREES)
    def test_masks_are_read_as_their_classes(self, tmp_path: Path, name: str) -> None:
        make, counts, expected = TREES[name]
        make(tmp_path / "root")
        before = state(tmp_path / "root")
        done = made(tmp_path, name)
        assert done.counts == counts
        assert state(tmp_path / "root") == before
        spec = DataSpec.load(done.data)
        assert spec.classes == entry(name).class_set()
        assert tuple(spec.splits) == tuple(counts)
        for split, count in counts.items():
            samples = spec.samples(split)
            assert len(samples) == count
            for sample in samples:
                assert np.array_equal(read_mask(sample.mask, spec, SHAPE), values(*expected))
                assert sample.image.is_symlink()
                assert sample.mask.is_symlink() == (entry(name).masks == "ids")
                assert sample.image.stem == sample.mask.stem
        assert all(f"{split} has {count} images" in " ".join(done.notes) for split, count in counts.items())

    @pytest.mark.parametrize("name", ["cityscapes", "camvid-32"])
    def test_reads_through_the_dataset(self, tmp_path: Path, name: str) -> None:
        dataset_module = pytest.importorskip("bridgeseg.data.dataset")
        done = made(tmp_path, name)
        dataset = dataset_module.SegmentationDataset(DataSpec.load(done.data), "train")
        image, ids, _ = dataset[0]
        assert tuple(image.shape) == (3, *SHAPE)
        assert np.array_equal(ids.numpy(), values(*TREES[name][2]))

    def test_camvid_frames_go_to_their_published_splits(self, tmp_path: Path) -> None:
        spec = DataSpec.load(made(tmp_path, "camvid-32").data)
        found = {sample.image.stem: split for split in spec.splits for sample in spec.samples(split)}
        assert found == FRAMES

    def test_camvid_frame_of_no_split_is_reported(self, tmp_path: Path) -> None:
        make_camvid32(tmp_path / "root")
        picture(tmp_path / "root/701_StillsRaw_full/extra.png")
        notes = made(tmp_path, "camvid-32").notes
        assert any("1 images belong to no published split: extra" in note for note in notes)

    def test_voc_with_augmented_masks(self, tmp_path: Path) -> None:
        make_voc(tmp_path / "root")
        base = tmp_path / "root/VOCdevkit/VOC2012"
        for name in ("2007_000032", "2007_000033", "2008_000008"):
            mask(base / f"SegmentationClassAug/{name}.png", values(5))
        done = made(tmp_path, "voc2012")
        spec = DataSpec.load(done.data)
        train = {sample.image.stem: read_mask(sample.mask, spec) for sample in spec.samples("train")}
        assert sorted(train) == ["2007_000032", "2008_000008"]  # what val.txt names is not trained on
        assert np.array_equal(train["2007_000032"], values(0, 1, 20, 255))  # its own mask wins
        assert np.array_equal(train["2008_000008"], values(5))
        assert "train has 1 more images by SegmentationClassAug" in done.notes

    @pytest.mark.parametrize(
        ("images", "masks"),
        [("images", "annotations"), ("images", "stuffthingmaps"), (".", "stuffthingmaps")],
    )
    def test_coco_in_its_usual_layouts(self, tmp_path: Path, images: str, masks: str) -> None:
        root = tmp_path / "root"
        picture(root / images / "val2017/000000000139.jpg")
        mask(root / masks / "val2017/000000000139.png", values(181))
        mask(root / masks / "val2017/000000000139_labelTrainIds.png", values(170))
        done = made(tmp_path, "coco-stuff")
        assert done.counts == {"val": 1}
        assert any(note.startswith("train is left out (118,287 images are published)") for note in done.notes)
        assert tuple(DataSpec.load(done.data).splits) == ("val",)

    @pytest.mark.parametrize("line", ["{}", "RGB/{}.jpg Label/{}.png"])
    def test_nyuv2_in_one_folder_with_lists(self, tmp_path: Path, line: str) -> None:
        base = tmp_path / "root/NYUDepthv2"
        for name, split in (("1", "test"), ("3", "train")):
            picture(base / f"RGB/{name}.jpg")
            mask(base / f"Label/{name}.png", values(0, 1, 40))
            lines(base / f"{split}.txt", line.format(name, name))
        spec = DataSpec.load(made(tmp_path, "nyuv2-40").data)
        (sample,) = spec.samples("train")
        assert sample.image.stem == "3"
        assert np.array_equal(read_mask(sample.mask, spec), values(255, 0, 39))

    def test_published_numbers_need_no_note(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        known = entry("ade20k").model_copy(update={"sizes": {"train": (2,), "val": (2,)}})
        monkeypatch.setattr("bridgeseg.catalog.build.entry", lambda name: known)
        assert made(tmp_path, "ade20k").notes == ()


class TestFiles:
    def test_copy(self, tmp_path: Path) -> None:
        done = made(tmp_path, "ade20k", copy=True)
        assert done.files == {"copied": 8}
        sample = DataSpec.load(done.data).samples("train")[0]
        assert not sample.image.is_symlink()
        assert sample.image.stat().st_nlink == 1
        assert made(tmp_path, "ade20k", copy=True).files == {"kept": 8}

    @pytest.mark.parametrize(("broken", "way"), [(("symlink",), "hard-linked"), (("symlink", "link"), "copied")])
    def test_without_links(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: tuple[str, ...], way: str
    ) -> None:
        def refuse(*_: Any) -> None:
            raise OSError("not here")

        for name in broken:
            monkeypatch.setattr(place_module.os, name, refuse)
        done = made(tmp_path, "ade20k")
        assert done.files == {way: 8}
        assert done.notes[-1] == f"symbolic links are not possible here: 8 files were {way}"
        assert made(tmp_path, "ade20k").files == {"kept": 8}

    def test_a_second_call_keeps_what_is_there(self, tmp_path: Path) -> None:
        first = made(tmp_path, "camvid-32")
        before = state(tmp_path / "out/masks")
        second = made(tmp_path, "camvid-32")
        assert (first.files, second.files) == ({"linked": 4, "converted": 4}, {"kept": 8})
        assert state(tmp_path / "out/masks") == before

    def test_takes_up_an_interrupted_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        convert, calls = colours.convert, []

        def stops(source: Path, target: Path, classes: ClassSet, unlabelled: Any) -> Any:
            calls.append(source)
            if len(calls) == 3:
                target.parent.mkdir(parents=True, exist_ok=True)
                (target.parent / f".{target.name}.part").write_bytes(b"half")
                raise KeyboardInterrupt
            return convert(source, target, classes)

        make_camvid32(tmp_path / "root")
        monkeypatch.setattr(colours, "convert", stops)
        with pytest.raises(KeyboardInterrupt):
            prepare("camvid-32", tmp_path / "root", tmp_path / "out", workers=1, quiet=True)
        assert not (tmp_path / "out/data.yaml").exists()
        done = made(tmp_path, "camvid-32")
        assert done.files["kept"] >= 4
        assert done.files["converted"] in (1, 2)
        assert not list((tmp_path / "out").rglob("*.part"))

    def test_the_image_link_survives_another_way_to_the_root(self, tmp_path: Path) -> None:
        make_ade20k(tmp_path / "real")
        (tmp_path / "alias").symlink_to(tmp_path / "real", target_is_directory=True)
        done = prepare("ade20k", tmp_path / "alias", tmp_path / "out", quiet=True)
        (tmp_path / "alias").unlink()
        assert len(DataSpec.load(done.data).samples("val")) == 2


class TestRefusals:
    def test_another_layout_says_what_was_looked_for_and_found(self, tmp_path: Path) -> None:
        (tmp_path / "root/leftImg8bit/train").mkdir(parents=True)
        with pytest.raises(DataError) as caught:
            made(tmp_path, "cityscapes")
        text = str(caught.value)
        for part in ("gtFine/train", "found: 'leftImg8bit/'", entry("cityscapes").download):
            assert part in text
        assert not (tmp_path / "out").exists()

    def test_context_says_how_to_make_its_masks(self, tmp_path: Path) -> None:
        (tmp_path / "root/VOC2010/JPEGImages").mkdir(parents=True)
        with pytest.raises(DataError, match=r"trainval_merged\.json"):
            made(tmp_path, "pascal-context-59")

    @pytest.mark.parametrize("make", [Path.touch, lambda path: None])
    def test_no_folder(self, tmp_path: Path, make: Callable[[Path], None]) -> None:
        make(tmp_path / "root")
        with pytest.raises(DataError, match=r"expected a folder, found (a file|nothing)"):
            prepare("ade20k", tmp_path / "root", tmp_path / "out")

    @pytest.mark.parametrize(
        ("name", "lost", "message"),
        [
            ("cityscapes", "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png", "1 of 2 .* have no mask: gtFine"),
            ("voc2012", "VOCdevkit/VOC2012/JPEGImages/2007_000032.jpg", "1 of 1 .* have no image: JPEGImages/2007"),
        ],
    )
    def test_files_are_missing(self, tmp_path: Path, name: str, lost: str, message: str) -> None:
        TREES[name][0](tmp_path / "root")
        (tmp_path / "root" / lost).unlink()
        with pytest.raises(DataError, match=message):
            made(tmp_path, name)

    def test_list_that_leads_elsewhere(self, tmp_path: Path) -> None:
        make_voc(tmp_path / "root")
        lines(tmp_path / "root/VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt", "../../secret")
        with pytest.raises(DataError, match="expected one name of an image a line"):
            made(tmp_path, "voc2012")

    def test_masks_of_other_values(self, tmp_path: Path) -> None:
        make_ade20k(tmp_path / "root")
        path = tmp_path / "root/ADEChallengeData2016/annotations/training/ADE_train_00000001.png"
        mask(path, values(1, 151))
        with pytest.raises(DataError, match=r"not as ADE20K .* has them: .*151") as caught:
            made(tmp_path, "ade20k")
        assert str(path) in str(caught.value)
        assert not (tmp_path / "out/data.yaml").exists()

    @pytest.mark.parametrize("where", ["", "inner/out"])
    def test_out_in_the_download(self, tmp_path: Path, where: str) -> None:
        make_ade20k(tmp_path / "root")
        before = state(tmp_path / "root")
        with pytest.raises(InputError, match="which is only read"):
            prepare("ade20k", tmp_path / "root", tmp_path / "root" / where)
        assert state(tmp_path / "root") == before

    def test_out_in_use(self, tmp_path: Path) -> None:
        make_ade20k(tmp_path / "root")
        (tmp_path / "out").mkdir()
        (tmp_path / "out/thesis.tex").touch()
        with pytest.raises(InputError, match=r"not empty .* thesis\.tex"):
            made(tmp_path, "ade20k")

    def test_out_of_another_dataset(self, tmp_path: Path) -> None:
        made(tmp_path, "camvid-32")
        make_ade20k(tmp_path / "other")
        with pytest.raises(InputError, match="it was made of"):
            prepare("ade20k", tmp_path / "other", tmp_path / "out")

    def test_files_that_the_download_no_longer_has(self, tmp_path: Path) -> None:
        made(tmp_path, "ade20k")
        base = tmp_path / "root/ADEChallengeData2016"
        (base / "images/training/ADE_train_00000002.jpg").unlink()
        (base / "annotations/training/ADE_train_00000002.png").unlink()
        with pytest.raises(InputError, match="2 files that do not belong to the dataset"):
            made(tmp_path, "ade20k")

    def test_workers(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="at least 1"):
            prepare("ade20k", tmp_path, tmp_path / "out", workers=0)


class TestColours:
    def save(self, path: Path, pixels: int, bad: int) -> None:
        colours_of = np.zeros((1, pixels, 3), np.uint8)
        colours_of[0, :bad] = (1, 2, 3)
        Image.fromarray(colours_of).save(path)

    def test_a_few_pixels_of_no_class_are_ignored_and_counted(self, tmp_path: Path) -> None:
        self.save(tmp_path / "a.png", 400, 4)
        stray = colours.convert(tmp_path / "a.png", tmp_path / "b.png", entry("camvid-32").class_set())
        assert stray == colours.Strays(tmp_path / "a.png", 4, ("#010203",))
        assert np.bincount(np.array(Image.open(tmp_path / "b.png")).ravel())[[30, 255]].tolist() == [396, 4]

    def test_many_are_refused(self, tmp_path: Path) -> None:
        self.save(tmp_path / "a.png", 400, 5)
        with pytest.raises(DataError, match=r"5 of 400 pixels .* #010203"):
            colours.convert(tmp_path / "a.png", tmp_path / "b.png", entry("camvid-32").class_set())
        assert not (tmp_path / "b.png").exists()

    def test_strays_become_a_note(self, tmp_path: Path) -> None:
        make_camvid32(tmp_path / "root")
        self.save(tmp_path / "root/LabeledApproved_full/0016E5_07959_L.png", 400, 2)
        assert any(
            "2 pixels of 1 masks have colours of no class (#010203)" in n for n in made(tmp_path, "camvid-32").notes
        )

    def test_truncated_mask(self, tmp_path: Path) -> None:
        make_camvid32(tmp_path / "root")
        path = tmp_path / "root/LabeledApproved_full/0016E5_07959_L.png"
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(DataError, match=r"0016E5_07959_L\.png: cannot be read"):
            made(tmp_path, "camvid-32")


class TestCommand:
    def test_list(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["data", "list", "--json"]) == 0
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert {one["name"]: len(one["classes"]) for one in found} == CLASSES
        assert main(["data", "list"]) == 0
        assert "cityscapes" in capsys.readouterr().out

    def test_prepare(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        make_cityscapes(tmp_path / "root")
        words = ["data", "prepare", "cityscapes", "--root", str(tmp_path / "root"), "--out", str(tmp_path / "out")]
        assert main(words) == 0
        printed = capsys.readouterr()
        assert "train 2, val 1 (6 linked)" in printed.out
        assert "note: train has 2 images; 2,975 are published" in printed.err
        assert main([*words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["files"] == {"kept": 6}

    def test_mistakes_end_with_2(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["data", "prepare", "ade20k", "--root", str(tmp_path), "--out", os.devnull]) == 2
        assert "not the published layout" in capsys.readouterr().err
