"""data.yaml: what is accepted, and what every refusal says."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bridgeseg.api import check
from bridgeseg.checking.check import quick_check
from bridgeseg.data.spec import DataSpec, subset
from bridgeseg.errors import ConfigError, DataError, InputError

SHARED = Path(__file__).parents[1].parent / "shared"
PLAIN = "path: .\ntrain: images/train\nval: images/val\nnames: [sky, road, car]\nmasks_dir: masks\n"


def put(root: Path, name: str, mode: str = "RGB", size: tuple[int, int] = (6, 4)) -> Path:
    """Write a small picture (width, height) and return its path."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for split, stems in {"train": "cab", "val": "d"}.items():
        for stem in stems:
            put(tmp_path, f"images/{split}/{stem}.jpg")
            put(tmp_path, f"masks/{split}/{stem}.png", "L")
    (tmp_path / "data.yaml").write_text(PLAIN)
    return tmp_path


def load(root: Path, text: str) -> DataSpec:
    (root / "data.yaml").write_text(text)
    return DataSpec.load(root / "data.yaml")


def refused(root: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        load(root, text)
    assert "data.yaml" in str(caught.value)
    assert caught.value.fix
    return str(caught.value)


def unlisted(spec: DataSpec, split: str = "train") -> str:
    with pytest.raises(DataError) as caught:
        spec.samples(split)
    assert caught.value.fix
    return str(caught.value)


def test_reads_classes_and_sorted_pairs(dataset: Path) -> None:
    spec = DataSpec.load(dataset / "data.yaml")
    assert spec.classes.names == ("sky", "road", "car")
    assert spec.root == dataset.resolve()
    pairs = [
        (s.image.relative_to(spec.root).as_posix(), s.mask.relative_to(spec.root).as_posix())
        for s in spec.samples("train")
    ]
    assert pairs == [(f"images/train/{s}.jpg", f"masks/train/{s}.png") for s in "abc"]
    assert len(spec.samples("val")) == 1


def test_a_folder_stands_for_its_data_yaml(dataset: Path) -> None:
    assert DataSpec.load(dataset) == DataSpec.load(dataset / "data.yaml")


def test_defaults_path_and_masks_dir(dataset: Path) -> None:
    spec = load(dataset, "train: images/train\nnames: [a]\n")
    assert (spec.root, spec.masks_dir, len(spec.samples("train"))) == (dataset.resolve(), "masks", 3)


def test_path_counts_from_the_yaml_file_not_from_here(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (dataset / "conf").mkdir()
    (dataset / "conf" / "my.yaml").write_text(PLAIN.replace("path: .", "path: .."))
    monkeypatch.chdir(dataset / "conf")
    assert len(DataSpec.load("my.yaml").samples("train")) == 3


@pytest.mark.parametrize(
    ("train", "count"),
    [
        ("images", 4),
        ("[images/train, images/val]", 4),
        ("images/train/", 3),
        ("./images/../images/val", 1),
        ("list.txt", 2),
    ],
)
def test_forms_of_a_split(dataset: Path, train: str, count: int) -> None:
    (dataset / "list.txt").write_text("images/train/b.jpg\n\n./images/val/d.jpg\n")
    assert len(load(dataset, f"train: {train}\nnames: [a]\n").samples("train")) == count


def test_dotted_lines_of_a_list_count_from_the_list(dataset: Path) -> None:
    (dataset / "images" / "some.txt").write_text("./train/b.jpg\n")
    assert len(load(dataset, "train: images/some.txt\nnames: [a]\n").samples("train")) == 1


def test_absolute_places_inside_the_root_are_fine_through_links_too(
    dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    link = tmp_path_factory.mktemp("links") / "data"
    link.symlink_to(dataset, target_is_directory=True)
    spec = load(dataset, f"path: {link}\ntrain: {link / 'images' / 'train'}\nnames: [a]\n")
    assert len(spec.samples("train")) == 3
    assert spec.to_dict()["splits"] == {"train": ["images/train"]}


def test_the_last_folder_images_is_replaced(tmp_path: Path) -> None:
    put(tmp_path, "images/2024/images/x/a.png")
    put(tmp_path, "images/2024/gt/ids/x/a.png", "L")
    spec = load(tmp_path, "train: images/2024/images\nmasks_dir: gt/ids\nnames: [a]\n")
    assert [s.mask.relative_to(spec.root).as_posix() for s in spec.samples("train")] == ["images/2024/gt/ids/x/a.png"]


@pytest.mark.parametrize("suffix", [".PNG", ".bmp", ".tif"])
def test_mask_suffixes(tmp_path: Path, suffix: str) -> None:
    put(tmp_path, "images/a.JPG")
    put(tmp_path, f"masks/a{suffix}", "L")
    assert load(tmp_path, "train: images\nnames: [a]\n").samples("train")[0].mask.name == f"a{suffix}"


def test_names_by_id_in_any_order_and_as_numbers(dataset: Path) -> None:
    assert load(dataset, "train: images/train\nnames: {1: b, 0: a}\nnc: 2\n").classes.names == ("a", "b")
    assert load(dataset, "train: images/train\nnames: [0, 1]\n").classes.names == ("0", "1")


def test_prompts_and_palette_by_name_or_id(dataset: Path) -> None:
    spec = load(
        dataset, PLAIN + "prompts: {road: [street, 'a road'], 2: a car}\npalette: {car: [1, 2, 3], 0: '#0a0B0c'}\n"
    )
    assert spec.classes.prompts == (("sky",), ("street", "a road"), ("a car",))
    assert (spec.classes.palette[2], spec.classes.palette[0]) == ((1, 2, 3), (10, 11, 12))


def test_label_map_by_value_and_by_colour(dataset: Path) -> None:
    assert load(dataset, PLAIN + "label_map: {7: road, 8: 2, 0: null, 255: sky}\n").label_map == {
        7: 1,
        8: 2,
        0: 255,
        255: 0,
    }
    spec = load(dataset, PLAIN + "label_map: {'#804080': road, '#000000': null}\n")
    assert (spec.label_map, spec.colour_map) == (None, {0x804080: 1, 0: 255})


def test_ultralytics_keys_are_understood_or_let_pass(dataset: Path) -> None:
    text = (
        PLAIN
        + "nc: 3\ndownload: |\n  import os\nchannels: 3\nkpt_shape: [17, 3]\ntest:\n"
        + "label_mapping: {-1: ignore_label, 7: 0, 2: 255}\n"
    )
    spec = load(dataset, text)
    assert spec.label_map == {-1: 255, 0: 0, 1: 1, 2: 255, 7: 0}
    assert set(spec.splits) == {"train", "val"}


def test_more_than_255_classes_ignore_65535(dataset: Path) -> None:
    spec = load(
        dataset,
        "train: images/train\nnames: [" + ",".join(f"c{i}" for i in range(300)) + "]\nlabel_map: {9: 299, 8: null}\n",
    )
    assert spec.label_map == {9: 299, 8: 65535}


def test_to_dict_is_json_and_names_no_folder(dataset: Path) -> None:
    spec = load(dataset, PLAIN + f"test: {dataset / 'images' / 'val'}\nlabel_map: {{7: road}}\n")
    data = json.loads(json.dumps(spec.to_dict()))
    assert str(dataset) not in json.dumps(data)
    assert data["label_map"] == {"7": 1}
    assert data["splits"]["test"] == ["images/val"]
    assert len(data["sha256"]) == 64


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("promts: {a: b}\n", "unknown key 'promts'; did you mean 'prompts'?"),
        ("3: x\n", "unknown key 3"),
        ("nc: 4\n", "`nc` is 4 but `names` has 3 classes"),
        ("masks_dir: ../other\n", "inside the dataset"),
        ("masks_dir: /masks\n", "inside the dataset"),
        ("mask_suffix: /x\n", "the end of a file's name"),
        ("mask_suffix: 3\n", "the end of a file's name"),
        ("masks_dir: [a]\n", "`masks_dir` must be a path"),
        ("prompts: [a]\n", "`prompts` must map classes"),
        ("prompts: {rode: street}\n", "which is no class; did you mean 'road'?"),
        ("prompts: {1: street, road: way}\n", "`prompts` lists class 'road' twice"),
        ("palette: {road: [1, 2, 3], 1: [1, 2, 4]}\n", "`palette` lists class 'road' twice"),
        ("prompts: {road: []}\n", "a phrase or a list of phrases"),
        ("prompts: {road: [yes]}\n", "a phrase or a list of phrases, found [True]"),
        ("palette: {road: [1, 2]}\n", "three numbers of 0..255"),
        ("palette: {road: [1, 2, 256]}\n", "three numbers of 0..255"),
        ("palette: [[1, 2, 3]]\n", "1 colours for 3 classes"),
        ("palette: red\n", "`palette` must list 3 colours"),
        ("label_map: {7: rode}\n", "did you mean 'road'?"),
        ("label_map: {7: 3}\n", "an id of 0..2"),
        ("label_map: {7: true}\n", "refers to class True"),
        ("label_map: {-1: 0}\n", "mask value -1"),
        ("label_map: {70000: 0}\n", "mask value 70000"),
        ("label_map: {7: 0, '#000000': 1}\n", "or all colours"),
        ("label_map: {'#aabbcc': 0, '#AABBCC': 1}\n", "lists a colour twice"),
        ("label_map: {}\n", "must map mask values"),
        ("label_map: {7: 0}\nlabel_mapping: {7: 0}\n", "both `label_map` and `label_mapping`"),
        ("test: 3\n", "`test` must be a path"),
        ("test: []\n", "`test` is an empty list"),
        ('test: "a\\0b"\n', "`test` must be a path"),
        ("names: [a]\n", "key 'names' is given twice (lines 4 and 6)"),
        ("a: [\n", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("a: 2001-99-99\n", "put it in quotes"),
        ("a: &x [*x]\n", "contains itself"),
        ("\ttab: x\n", "not valid YAML"),
    ],
)
def test_refusals_of_the_file(dataset: Path, change: str, says: str) -> None:
    base = PLAIN.replace("masks_dir: masks\n", "") if "masks_dir" in change else PLAIN
    assert says in refused(dataset, base + change)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("", "must list the classes, found nothing"),
        ("names: []", "must list the classes"),
        ("names: sky", "must list the classes, found 'sky'"),
        ("names: {1: sky, 2: road}", "the ids of `names` must be 0 to 1"),
        ("names: {0: sky, 2: road}", "the ids of `names` must be 0 to 1"),
        ("names: {a: sky}", "the ids of `names` must be 0 to 0"),
        ("names: [yes, no]", "class 0 is read as true/false"),
        ("names: [sky, null]", "class 1 is read as nothing"),
        ("names: [sky, ' ']", "class 1 is empty"),
        ("names: [sky, 'sky ']", "class names repeat: ['sky']"),
        ("names: [sky, [road]]", "class 1 is read as a list"),
    ],
)
def test_refusals_of_names(dataset: Path, names: str, says: str) -> None:
    assert says in refused(dataset, f"train: images/train\n{names}\n")


def test_refusals_of_the_document(dataset: Path) -> None:
    assert "found nothing" in refused(dataset, "")
    assert "found a list" in refused(dataset, "- a\n")
    assert "none of train, val and test" in refused(dataset, "names: [a]\n")
    assert "write `path: .`" in refused(dataset, PLAIN.replace("path: .", "path: missing"))
    (dataset / "data.yaml").write_bytes(b"names: [\xff\xfe]")
    with pytest.raises(DataError, match="not UTF-8"):
        DataSpec.load(dataset)
    with pytest.raises(DataError, match="found nothing"):
        DataSpec.load(dataset / "other.yaml")


@pytest.mark.slow
def test_explosions_end_quickly(dataset: Path) -> None:
    levels = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 9):
        levels += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n"
    assert "without anchors" in refused(dataset, levels)
    merges = "a0: &a0 {k: v}\n" + "".join(
        f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}\n" for level in range(1, 9)
    )
    assert "without anchors" in refused(dataset, merges)
    assert "nested too deeply" in refused(dataset, "a: " + "[" * 20_000)
    assert "larger than 1,000,000 bytes" in refused(dataset, "#" * 1_000_001)


def test_a_harmless_anchor_is_allowed(dataset: Path) -> None:
    spec = load(dataset, PLAIN + "prompts: {sky: &p [above], road: *p}\n")
    assert spec.classes.prompts[1] == ("above",)


def test_missing_masks_are_counted_and_named(dataset: Path) -> None:
    for stem in "ac":
        (dataset / "masks" / "train" / f"{stem}.png").unlink()
    message = unlisted(DataSpec.load(dataset))
    assert "2 of 3 images have no mask" in message
    assert "images/train/a.jpg (no masks/train/a.png)" in message
    assert "'masks'" in message


def test_polygon_datasets_are_told_so(dataset: Path) -> None:
    (dataset / "masks").rename(dataset / "labels")
    message = unlisted(DataSpec.load(dataset))
    assert "polygons, which are not read" in message
    assert f"bridgeseg data import {dataset} --format yolo --out DIR" in message


@pytest.mark.parametrize(
    ("lines", "boxes"),
    [
        ("0 0.5 0.5 1e-1 .2\n2 0.1 0.1 0.2 0.2\n\n", True),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2\n", False),
        ("0 0.5 0.5 0.1 0.2\n0 0.1 0.1 0.2 0.1 0.2 0.2\n", False),
        ("", False),
    ],
)
def test_boxes_are_no_polygons(dataset: Path, lines: str, boxes: bool) -> None:
    (dataset / "masks").rename(dataset / "pixels")
    for split in ("train", "val"):
        (dataset / "labels" / split).mkdir(parents=True)
    (dataset / "labels/train/c.txt").write_text("")  # nothing is there
    (dataset / "labels/train/a.txt").write_text(lines)
    message = unlisted(DataSpec.load(dataset))
    assert ("3 images have no mask, only boxes, which cannot become masks" in message) == boxes
    assert ("bridgeseg data import" in message) != boxes
    assert ("only boxes" in unlisted(DataSpec.load(dataset), "val")) == boxes  # by those of the other splits


def test_folders_of_pascal_voc_are_told_so(dataset: Path) -> None:
    (dataset / "images/train").rename(dataset / "JPEGImages")
    (dataset / "masks").rename(dataset / "SegmentationClass")
    (dataset / "data.yaml").write_text("train: JPEGImages\nnames: [a]\n")
    assert f"bridgeseg data import {dataset} --format voc --out DIR" in unlisted(DataSpec.load(dataset))


def test_unknown_and_empty_splits(dataset: Path) -> None:
    spec = DataSpec.load(dataset)
    assert "no split 'trian'; did you mean 'train'?" in unlisted(spec, "trian")
    assert "no split 'test'" in unlisted(spec, "test")
    for path in (dataset / "images" / "val").iterdir():
        path.rename(path.with_suffix(".heic"))
    assert "only files of other kinds: .heic" in unlisted(spec, "val")
    assert "neither a folder nor a .txt file" in unlisted(load(dataset, PLAIN.replace("images/train", "nowhere")))


def test_broken_lists(dataset: Path) -> None:
    spec = load(dataset, PLAIN.replace("images/train", "list.txt"))
    for text, says in {
        "\n": "names no images",
        "images/train/a.jpg\nimages/train/z.jpg\n": "1 of 2 listed images do not exist: images/train/z.jpg",
        "images/train/a.jpg\nimages/train/../train/a.jpg\n": "1 image is listed twice: images/train/a.jpg",
        "readme.md\n": "is no image",
        "images/train/" + "x" * 5000 + ".jpg\n": "cannot be followed",
        "../a.jpg\n": "outside the dataset root",
    }.items():
        (dataset / "list.txt").write_text(text)
        assert says in unlisted(spec)


def test_ambiguous_pairs_are_refused(dataset: Path) -> None:
    put(dataset, "images/train/a.png")
    assert "share the mask masks/train/a.png" in unlisted(DataSpec.load(dataset))
    put(dataset, "masks/val/d.bmp", "L")
    assert "has 2 masks: d.bmp, d.png" in unlisted(DataSpec.load(dataset), "val")


def test_images_need_a_folder_called_images(tmp_path: Path) -> None:
    put(tmp_path, "pictures/a.jpg")
    assert "no folder named 'images'" in unlisted(load(tmp_path, "train: pictures\nnames: [a]\n"))


def test_nothing_leads_outside_the_root(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    put(outside, "images/a.jpg")
    for place in ("..", str(outside), f"images/../../{outside.name}"):
        assert "outside the dataset root" in unlisted(load(dataset, PLAIN.replace("images/train", place)))
    (dataset / "images" / "out").symlink_to(outside / "images", target_is_directory=True)
    assert "outside the dataset root" in unlisted(load(dataset, PLAIN.replace("images/train", "images/out")))
    assert "link to a folder" in unlisted(load(dataset, PLAIN.replace("images/train", "images")))


def test_link_loops_end(dataset: Path) -> None:
    (dataset / "images" / "loop").symlink_to(dataset / "images" / "loop")
    assert "images/loop" in unlisted(load(dataset, PLAIN.replace("images/train", "images/loop")))
    (dataset / "images" / "loop").unlink()
    (dataset / "images" / "loop").symlink_to(dataset / "images", target_is_directory=True)
    assert "link to a folder" in unlisted(load(dataset, PLAIN.replace("images/train", "images")))


def test_linked_files_and_odd_names_are_fine(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = put(tmp_path_factory.mktemp("outside"), "x.jpg")
    for name in ("-rf", "zwölf 12", "new\nline"):
        (dataset / "images" / "val" / f"{name}.jpg").symlink_to(outside)
        put(dataset, f"masks/val/{name}.png", "L")
    spec = DataSpec.load(dataset)
    assert len(spec.samples("val")) == 4
    (dataset / "masks" / "val" / "new\nline.png").unlink()
    assert "\\n" in unlisted(spec, "val")


def test_hidden_files_are_no_images(dataset: Path) -> None:
    (dataset / "images" / "train" / "._a.jpg").write_bytes(b"resource fork")
    assert len(DataSpec.load(dataset).samples("train")) == 3


def test_hidden_folders_are_counted_and_other_kinds_named(dataset: Path) -> None:
    put(dataset, "images/train/.ipynb_checkpoints/a-checkpoint.jpg")
    put(dataset, "images/train/@eaDir/a.jpg/thumb.jpg")
    (dataset / "images" / "train" / "scan.DCM").write_bytes(b"")
    (dataset / "images" / "train" / "notes.md").write_bytes(b"")
    listing = DataSpec.load(dataset).listing("train")
    assert len(listing.samples) == 3
    assert {finding.code: (finding.severity, finding.files) for finding in listing.findings} == {
        "folder-passed-over": ("note", ("images/train/.ipynb_checkpoints", "images/train/@eaDir")),
        "image-kind": ("warning", ("images/train/scan.DCM",)),
    }
    assert "(1 image)" in listing.findings[0].message


def test_a_common_suffix_of_masks(dataset: Path) -> None:
    for path in (dataset / "masks" / "train").iterdir():
        path.rename(path.with_stem(f"{path.stem}_seg-mask"))
    message = unlisted(DataSpec.load(dataset))
    assert "masks called <image>_seg-mask.png" in message
    assert len(load(dataset, PLAIN + 'mask_suffix: "_seg-mask"\n').samples("train")) == 3
    assert '`mask_suffix: "_seg-mask"`' in message
    for path in (dataset / "masks" / "train").iterdir():
        path.rename(path.with_stem(f"gt_{path.stem[0]}"))
    assert "correct `mask_suffix`" in unlisted(DataSpec.load(dataset))
    assert "gt_<image>.png" in unlisted(load(dataset, PLAIN))


def test_places_as_roboflow_and_windows_write_them(dataset: Path) -> None:
    for place in ("../images/train", "images\\train", "..\\images\\train"):
        assert len(load(dataset, f"train: '{place}'\nnames: [a]\n").samples("train")) == 3
    put(dataset, "images/odd\\name/e.jpg")  # a name that really holds one
    put(dataset, "masks/odd\\name/e.png", "L")
    assert len(load(dataset, "train: 'images/odd\\name'\nnames: [a]\n").samples("train")) == 1
    (dataset / "list.txt").write_text("images\\train\\a.jpg\n.\\images\\val\\d.jpg\n")
    assert len(load(dataset, "train: list.txt\nnames: [a]\nroboflow: {version: 1}\n").samples("train")) == 2


@pytest.mark.parametrize("place", ["../valid/images", "..\\valid\\images", "/nowhere/images", "valid/images"])
def test_a_place_that_is_nowhere(dataset: Path, place: str) -> None:
    spec = load(dataset, f"train: ../images/train\nval: '{place}'\nnames: [a]\n")
    message = unlisted(spec, "val")
    assert "is missing" in message
    assert "remove the line `val`" in message
    written = re.findall("`(val_share: .*?)`", message)[0]
    assert len(load(dataset, f"train: ../images/train\nnames: [a]\n{written}\n").samples("val")) == 1
    assert "take it out of the list `val`" in unlisted(
        load(dataset, PLAIN.replace("images/val", f"['{place}', a]")), "val"
    )
    assert "remove the line `train`" in unlisted(load(dataset, PLAIN.replace("images/train", f"'{place}'")))
    assert message.endswith("correct it")
    assert unlisted(load(dataset, f"train: '{place}'\nnames: [a]\n")).endswith("fix: correct it")


def test_a_wider_root_is_of_what_there_is(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    away = tmp_path_factory.mktemp("away")
    message = unlisted(load(away, f"train: '{dataset / 'images' / 'train'}'\nval: ../../no/images\nnames: [a]\n"))
    lines = re.findall("`((?:path|train|val): .*?)`", message)
    assert [line.partition(":")[0] for line in lines] == ["path", "train"]
    assert len(load(away, "\n".join([*lines, "names: [a]"])).samples("train")) == 3


def test_places_as_ultralytics_reads_them(
    dataset: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path_factory.mktemp("away")
    text = f"path: {dataset.name}\ntrain: images/train\nvalidation: images/val\nnames: {{'0': a, '1': b}}\n"
    assert "which is no folder" in refused(away, text)
    settings_file = away / "settings.json"
    monkeypatch.setattr("bridgeseg.data.places._SETTINGS", settings_file)
    for content in ("[]", "{", '{"datasets_dir": 3}', '{"datasets_dir": "relative"}'):
        settings_file.write_text(content)
        assert "which is no folder" in refused(away, text)
    settings_file.write_text(json.dumps({"datasets_dir": str(dataset.parent)}))
    spec = load(away, text)
    assert (spec.root, spec.classes.names, len(spec.samples("val"))) == (dataset.resolve(), ("a", "b"), 1)
    settings_file.unlink()
    monkeypatch.chdir(dataset.parent)
    assert load(away, text).root == dataset.resolve()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_folder(dataset: Path) -> None:
    (dataset / "masks" / "train").chmod(0)
    try:
        assert "cannot be read" in unlisted(DataSpec.load(dataset))
    finally:
        (dataset / "masks" / "train").chmod(0o755)


@given(st.integers(1, 400), st.integers(0, 5), st.floats(0.001, 1.0), st.floats(0.001, 1.0))
def test_subsets_nest_keep_order_and_are_never_empty(count: int, seed: int, first: float, second: float) -> None:
    items = list(range(count))
    small, large = subset(items, min(first, second), seed), subset(items, max(first, second), seed)
    assert set(small) <= set(large)
    assert small == sorted(small)
    assert len(small) == max(1, int(count * min(first, second) + 0.5))
    assert subset(items, 1.0, seed) == items


def test_subset_is_fixed_for_ever() -> None:
    assert subset(range(20), 0.25, 0) == [4, 7, 9, 15, 18]
    assert subset(range(20), 0.25, 1) != subset(range(20), 0.25, 0)
    for fraction in (0.0, -1.0, 1.01, float("nan")):
        with pytest.raises(ConfigError, match="fraction"):
            subset([1], fraction)


KEYS = st.sampled_from(
    ["path", "train", "val", "names", "nc", "masks_dir", "prompts", "palette", "label_map", "label_mapping"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["images/train", ".", "#000000"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(-1, 4) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, VALUES, max_size=8) | VALUES)
def test_any_document_loads_or_is_refused_in_words(dataset: Path, document: object) -> None:
    path = dataset / "fuzz.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8", errors="replace")
    try:
        spec = DataSpec.load(path)
        spec.samples(next(iter(spec.splits)))
    except InputError as error:
        assert error.fix  # noqa: PT017 - loading may also succeed


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text("abnmes: []{}&*!<>|-#'\"\n\t012?,", max_size=80).map(str.encode))
def test_any_bytes_load_or_are_refused_in_words(dataset: Path, data: bytes) -> None:
    path = dataset / "fuzz.yaml"
    path.write_bytes(data)
    with pytest.raises(DataError):
        DataSpec.load(path)


def test_the_page_about_data_is_true(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    full, colours = (
        load(dataset, examples[0]),
        load(dataset, "train: images/train\nnames: [road, car, pedestrian]\n" + examples[1]),
    )
    assert full.label_map == {7: 0, 26: 1, 24: 2, 0: 255}
    assert set(colours.colour_map or {}) == {0x804080, 0x00008E, 0xDC143C, 0}
    monkeypatch.chdir(dataset)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    image, mask = names["image"], names["mask"]
    assert (tuple(image.shape), tuple(mask.shape)) == ((3, 32, 32), (32, 32))  # type: ignore[attr-defined]
    assert names["stats"].pixels.tolist() == [5544, 600]  # type: ignore[attr-defined]


@pytest.mark.skipif(not (SHARED / "data" / "camvid" / "data.yaml").is_file(), reason="CamVid is not here")
def test_camvid() -> None:
    spec = DataSpec.load(SHARED / "data" / "camvid")
    assert [len(spec.samples(split)) for split in ("train", "val", "test")] == [367, 101, 233]
    assert len(spec.classes) == 11
    assert spec.classes.prompts[9] == ("person",)


def test_a_share_of_train_is_val(dataset: Path) -> None:
    for index in range(200):
        put(dataset, f"images/train/{index:03}.jpg", size=(1, 1))
        put(dataset, f"masks/train/{index:03}.png", "L", (1, 1))
    text = "train: images/train\nnames: [a]\n"
    whole, spec = load(dataset, text), load(dataset, text + "val_share: 0.1\n")
    train, val = spec.samples("train"), spec.samples("val")
    assert spec.all_splits == ("train", "val")
    assert 10 <= len(val) <= 32
    assert sorted(train + val) == whole.samples("train")
    assert DataSpec.load(dataset).samples("val") == whole.shared(0.1).samples("val") == val
    assert set(val) < set(whole.shared(0.3).samples("val"))
    put(dataset, "images/train/new.jpg")
    put(dataset, "masks/train/new.png", "L")
    assert set(val) <= set(spec.samples("val"))  # a new image moves no other
    assert spec.to_dict()["val_share"] == 0.1


def test_a_share_leaves_something_on_both_sides(dataset: Path) -> None:
    for share in (0.001, 0.999):
        spec = load(dataset, f"train: images/train\nnames: [a]\nval_share: {share}\n")
        assert {len(spec.samples("train")), len(spec.samples("val"))} == {1, 2}


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_a_share_of_a_single_image_is_refused(dataset: Path, share: float) -> None:
    text = "train: images/val\nnames: [a]\n"
    whole = load(dataset, text)
    spec = whole.shared(share)
    assert spec.samples("train") == whole.samples("train")
    with pytest.raises(DataError, match="leaves it none: train 1, val 0") as caught:
        spec.samples("val")
    assert "bridgeseg train --set val_split=none" in str(caught.value.fix)
    load(dataset, f"{text}val_share: {share}\n")
    assert "val-empty" in {finding.code for finding in check(dataset, workers=1).findings}
    assert quick_check(spec, splits=["train"]).of("error") == []  # which is what a run without validation looks at
    assert [finding.code for finding in quick_check(spec).of("error")] == ["val-empty"]
    (dataset / "masks/val/d.png").unlink()  # the cause is told alone
    assert [finding.code for finding in check(dataset, workers=1).of("error")] == ["mask-missing"]


def test_a_share_is_refused_beside_a_split(dataset: Path) -> None:
    assert "a val already" in refused(dataset, PLAIN + "val_share: 0.1\n")
    assert "there is no train" in refused(dataset, "test: images/val\nnames: [a]\nval_share: 0.1\n")
    assert "above 0 and below 1" in refused(dataset, "train: images/train\nnames: [a]\nval_share: 10%\n")
    with pytest.raises(ConfigError, match="has a split val"):
        load(dataset, PLAIN).shared(0.1)
    text = "test: images/val\nnames: [a]\n"
    with pytest.raises(ConfigError, match="has no train") as caught:
        load(dataset, text).shared(0.1)
    line = re.findall("`(.*?)`", str(caught.value.fix))[0]
    assert len(load(dataset, f"{text}{line}\n").shared(0.9).samples("train")) == 1


@pytest.mark.parametrize(
    ("file", "content", "tool"),
    [
        ("annotations.json", '{"images": [], "annotations": [], "categories": []}', "COCO JSON"),
        ("a.json", '{"version": "5", "shapes": [], "imagePath": "a.jpg"}', "Labelme JSON"),
        ("export.json", '[{"id": 1, "annotations": [], "data": {}}]', "Label Studio JSON"),
        ("annotations.xml", "<annotations>\n<version>1.1</version><mem/><meta></meta>", "CVAT XML"),
        ("labels/train/a.txt", "0 0.1 0.2 0.3 0.4 0.5 0.6\n", "YOLO labels"),
        ("labels/train/a.txt", "0 0.1 0.2 0.3 .4\n0 0.1 0.2 0.3 0.4\n", "YOLO labels"),
        ("train/_classes.csv", "Pixel Value, Class\n", "Roboflow's semantic masks"),
        ("VOC2012/SegmentationClass/a.png", "", "Pascal VOC"),
    ],
)
def test_exports_of_tools_are_recognised(tmp_path: Path, file: str, content: str, tool: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(content)
    with pytest.raises(
        DataError, match=f"no file data.yaml in this folder; it seems to be an export of {tool}"
    ) as caught:
        DataSpec.load(tmp_path)
    assert caught.value.fix == f"make a dataset of it: bridgeseg data import {tmp_path} --out DIR"


def test_a_folder_without_a_data_yaml(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("3 apples\n")
    with pytest.raises(DataError, match=r"no file data\.yaml in this folder$|no file data\.yaml in this folder\n"):
        DataSpec.load(tmp_path)
    (tmp_path / "dataset.yaml").write_text(PLAIN)
    with pytest.raises(DataError, match=r"but dataset\.yaml") as caught:
        DataSpec.load(tmp_path)
    assert caught.value.fix == f"name it: `data={tmp_path / 'dataset.yaml'}`"
