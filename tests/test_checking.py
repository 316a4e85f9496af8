"""`bridgeseg check`: every finding, conversion of masks, hostile files, and agreement with what training reads."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import bridgeseg.api as bridgeseg
from bridgeseg.api import check
from bridgeseg.checking import pool
from bridgeseg.checking.check import QUICK_MASKS, quick_check
from bridgeseg.checking.fingerprint import Fingerprint, fingerprint, pairs_across
from bridgeseg.checking.report import Report
from bridgeseg.classes import ClassSet
from bridgeseg.cli import main
from bridgeseg.data import declaration, exports
from bridgeseg.data.dataset import read_sample
from bridgeseg.data.edges import blended_values
from bridgeseg.data.finding import Finding
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError, InputError
from conftest import write_onnx

SHARED = Path(__file__).parents[1].parent / "shared"
NAMES = ("sky", "road", "car")
SIZE = (12, 16)
"""Height and width of the test pictures."""
_PLAIN = DataSpec(Path(), Path(), ClassSet.build(["x"]), {})
"""A dataset with every key at its default."""


def photo(seed: int, size: tuple[int, int] = (48, 64)) -> Image.Image:
    """Return a picture with smooth structure, different for every seed; (height, width)."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC)


def make(
    root: Path, *, train: int = 3, val: int = 1, ids: np.ndarray | None = None, names: Any = NAMES, extra: str = ""
) -> Path:
    """Write a dataset without faults, 12x16 pixels a picture, and return its data.yaml."""
    good = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % len(names)
    seed = 0
    for split, count in (("train", train), ("val", val)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            photo(seed, SIZE).save(root / "images" / split / f"{index}.png")
            save_mask(root / "masks" / split / f"{index}.png", good if ids is None else ids)
            seed += 1
    path = root / "data.yaml"
    path.write_text(f"train: images/train\nval: images/val\nnames: {json.dumps(list(names))}\n{extra}")
    return path


def save_mask(path: Path, ids: np.ndarray) -> None:
    Image.fromarray(ids.astype(np.uint8)).save(path)


def codes(report: Report) -> dict[str, str]:
    return {finding.code: finding.severity for finding in report.findings}


def only(report: Report, code: str) -> Finding:
    found = [finding for finding in report.findings if finding.code == code]
    assert len(found) == 1, codes(report)
    assert found[0].fix
    return found[0]


def test_a_dataset_without_faults(tmp_path: Path) -> None:
    report = check(make(tmp_path), workers=1)
    assert (report.findings, dict(report.pairs), report.exit_code(strict=True)) == ((), {"train": 3, "val": 1}, 0)
    assert report.classes["val"] == {"sky": 0.333333, "road": 0.333333, "car": 0.333333}
    assert quick_check(DataSpec.load(tmp_path)).findings == ()
    report.raise_for_errors()


# data.yaml


def test_all_mistakes_of_the_yaml_at_once(tmp_path: Path) -> None:
    make(tmp_path)
    save_mask(tmp_path / "masks" / "train" / "0.png", np.zeros((5, 5)))
    (tmp_path / "data.yaml").write_text(
        "train: images/train\nval: 3\nnames: [sky, road, car]\nnc: 4\npromts: {}\nmask_dir: x\n"
        "prompts: {rode: street, skye: [above], car: [auto]}\npalette: {raod: [1, 2, 3]}\nlabel_map: {7: rode}\n"
    )
    report = check(tmp_path, workers=1)
    text = "\n".join(finding.message for finding in report.findings)
    for part in (
        "'promts'; did you mean 'prompts'",
        "'mask_dir'; did you mean 'masks_dir'",
        "'rode', which is no class;",
    ):
        assert part in text
    found = [finding.code for finding in report.findings]
    assert [found.count(code) for code in ("prompts-invalid", "palette-invalid", "split-invalid", "nc-mismatch")] == [
        2,
        1,
        1,
        1,
    ]
    assert only(report, "label-map-invalid").severity == "error"
    assert only(report, "size-mismatch").files == ("masks/train/0.png",)  # the files are looked at all the same
    assert report.exit_code() == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("names: [", "yaml-unreadable"),
        ("- a\n", "yaml-unreadable"),
        ("names: [a]\nnames: [b]\n", "yaml-unreadable"),
        ("a: &x [*x]\n", "yaml-unreadable"),
        ("train: images/train\n", "names-invalid"),
        ("train: images/train\nnames: [a, a]\n", "names-invalid"),
        ("names: [a]\n", "no-split"),
        ("train: images/train\nnames: [a]\npath: nowhere\n", "path-invalid"),
        ("train: images/train\nnames: [a]\nmasks_dir: ../x\n", "masks-dir-invalid"),
        ("train: ..\nnames: [a, b, c]\n", "split-unusable"),
        ("train: nowhere\nnames: [a, b, c]\n", "split-unusable"),
        ("train: images/train\nnames: [a, b, c]\nlabel_map: {7: 0, '#000000': 1}\n", "label-map-invalid"),
        ("train: images/train\nnames: [a, b, c]\nimage_range: white\n", "reading-invalid"),
        ("train: images/train\nnames: [a, b, c]\nimage_range: [9, 1]\n", "reading-invalid"),
        ("train: images/train\nnames: [a, b, c]\nbands: [0, 1]\n", "reading-invalid"),
        ("train: images/train\nnames: [a, b, c]\nmask_suffix: a/b\n", "mask-suffix-invalid"),
        ("train: images/train\nnames: [a, b, c]\nprompts: [a]\n", "prompts-invalid"),
        ("train: images/train\nnames: [a, b, c]\npalette: [[1, 2, 3]]\n", "palette-invalid"),
    ],
)
def test_mistakes_of_the_yaml(tmp_path: Path, text: str, code: str) -> None:
    make(tmp_path)
    (tmp_path / "data.yaml").write_text(text)
    assert codes(check(tmp_path, workers=1))[code] == "error"


def test_many_mistakes_are_counted(tmp_path: Path) -> None:
    path = make(tmp_path, extra="prompts: {" + ", ".join(f"x{index}: y" for index in range(50)) + "}\n")
    found = [finding for finding in check(path, workers=1).findings if finding.code == "prompts-invalid"]
    assert len(found) == 21
    assert "30 more" in found[-1].message


KEYS = st.sampled_from(["path", "train", "val", "names", "nc", "masks_dir", "prompts", "palette", "label_map", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["images/train", "sky", "."]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(-1, 4) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, VALUES, max_size=8), st.booleans())
def test_the_yaml_is_refused_here_if_and_only_if_the_reader_refuses_it(
    tmp_path: Path, document: dict[str, Any], sane: bool
) -> None:
    if sane:
        document = {"train": "images/train", "names": list(NAMES)} | document
    path = tmp_path / "fuzz.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8", errors="replace")
    declared = declaration.read(path, collect=True)
    try:
        spec = DataSpec.load(path)
    except DataError:
        assert declared.findings
    else:
        assert (DataSpec(**declared.values or {}), declared.findings, declared.classes_known) == (spec, (), True)


# Pairing


def test_what_keeps_files_from_being_paired(tmp_path: Path) -> None:
    path = make(tmp_path, train=7)
    masks, images = tmp_path / "masks" / "train", tmp_path / "images" / "train"
    (masks / "0.png").unlink()
    (masks / "1.png").rename(masks / "1.jpg")
    save_mask(masks / "2.bmp", np.zeros(SIZE))
    photo(50, SIZE).save(images / "3.jpg")
    save_mask(masks / "lonely.png", np.zeros(SIZE))
    report = check(path, workers=1)
    assert only(report, "mask-missing").files == ("images/train/0.png",)
    assert only(report, "mask-lossy-suffix").files == ("images/train/1.png",)
    assert only(report, "mask-ambiguous").files == ("images/train/2.png",)
    assert only(report, "mask-shared").files == ("images/train/3.png",)
    assert only(report, "mask-without-image").files == ("masks/train/lonely.png",)
    assert only(report, "mask-without-image").severity == "warning"
    assert report.pairs == {"train": 4, "val": 1}
    assert "mask-without-image" not in codes(quick_check(DataSpec.load(path)))


def test_an_image_that_is_listed_and_in_no_split_is_told(tmp_path: Path) -> None:
    path = make(tmp_path)
    path.write_text(path.read_text() + "labelled: [sky]\nlabelled_file: sets.csv\n")
    shutil.copytree(tmp_path / "images" / "train", tmp_path / "images" / "more")
    (tmp_path / "sets.csv").write_text("image,labelled\nimages/train/0.png,sky\nimages/more/0.png,sky\n")
    for report in (check(path, workers=1), quick_check(DataSpec.load(path), splits=["train"])):
        assert only(report, "labelled-in-no-split").files == ("images/more/0.png",)
    (tmp_path / "sets.csv").write_text("image,labelled\nimages/train/0.png,sky\nimages/val/0.png,sky\n")
    for report in (check(path, workers=1), quick_check(DataSpec.load(path), splits=["train"])):
        assert "labelled-in-no-split" not in codes(report)


def test_lists_and_polygons(tmp_path: Path) -> None:
    path = make(tmp_path, extra="test: list.txt\n")
    lines = ["images/val/0.png", "images/val/0.png", "images/val/gone.png", "../x.png", "notes.md", "masks/val/0.png"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    report = check(path, split="test", workers=1)
    assert {"image-listed-twice", "image-missing", "list-entry-outside", "list-entry-no-image"} < codes(report).keys()
    assert only(report, "mask-folder-unknown").files == ("masks/val/0.png",)
    assert report.pairs == {"test": 1}
    (tmp_path / "masks").rename(tmp_path / "labels")
    assert only(check(path, split="train", workers=1), "mask-polygons").count == 3
    with pytest.raises(ConfigError, match="did you mean 'train'"):
        check(path, split="trian")


def test_empty_folders_and_link_loops(tmp_path: Path) -> None:
    path = make(tmp_path, extra="test: images/none\n")
    (tmp_path / "images" / "none").mkdir()
    (tmp_path / "images" / "train" / "round").symlink_to(tmp_path / "images", target_is_directory=True)
    (tmp_path / "images" / "train" / "loop.png").symlink_to(tmp_path / "images" / "train" / "loop.png")
    save_mask(tmp_path / "masks" / "train" / "loop.png", np.zeros(SIZE))
    report = check(path, workers=1)
    assert "no images" in only(report, "split-unusable").message
    assert only(report, "folder-link").files == ("images/train/round",)
    assert "images/train/loop.png" in str([finding.files for finding in report.of("error")])
    assert report.pairs == {"train": 4, "val": 1, "test": 0}


# Files


def damaged(path: Path, damage: str) -> None:
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "link":
        path.symlink_to("nowhere.png")
    elif damage == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"no picture"}[damage])


@pytest.mark.parametrize("kind", ["image", "mask"])
@pytest.mark.parametrize("damage", ["cut", "empty", "text", "folder", "link", "pipe"])
def test_damaged_files_are_named(tmp_path: Path, kind: str, damage: str) -> None:
    path = make(tmp_path)
    file = tmp_path / f"{kind}s" / "train" / "1.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 3, SIZE, dtype=np.uint8)).save(file)
    damaged(file, damage)
    report = check(path, workers=1, html=tmp_path / "page.html")
    named = [finding for finding in report.of("error") if finding.files == (f"{kind}s/train/1.png",)]
    if damage == "folder" and kind == "image":  # is looked into, and holds nothing
        assert only(report, "mask-without-image").files == ("masks/train/1.png",)
    else:
        assert [finding.code for finding in named] == [f"{kind}-missing" if damage == "link" else f"{kind}-unreadable"]


@pytest.mark.parametrize("size", [64, 480])
def test_cut_jpegs_are_found_although_they_are_decoded_at_an_eighth(tmp_path: Path, size: int) -> None:
    path = make(tmp_path)
    photo(7, (size, size)).save(tmp_path / "images" / "train" / "a.jpg")
    save_mask(tmp_path / "masks" / "train" / "a.png", np.indices((size, size)).sum(0) % 3)
    assert check(path, workers=1).findings == ()
    file = tmp_path / "images" / "train" / "a.jpg"
    file.write_bytes(file.read_bytes()[:-40])
    assert only(check(path, workers=1), "image-unreadable").files == ("images/train/a.jpg",)


def claim_size(path: Path, width: int, height: int) -> None:
    """Let a PNG's header claim another size."""
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(bytes(data))


def test_bombs_are_not_decoded(tmp_path: Path) -> None:
    path = make(tmp_path)
    claim_size(tmp_path / "images" / "train" / "0.png", 100_000, 100_000)
    claim_size(tmp_path / "masks" / "train" / "1.png", 12_000, 12_000)
    claim_size(tmp_path / "masks" / "train" / "2.png", 50_000, 50_000)
    report = check(path, workers=1, html=tmp_path / "page.html")
    assert only(report, "image-too-large").files == ("images/train/0.png",)
    assert only(report, "size-mismatch").files == ("masks/train/1.png",)
    assert only(report, "mask-too-large").files == ("masks/train/2.png",)
    assert only(check(path, workers=1, max_pixels=100), "image-too-large").count == 4


def test_odd_names_are_findings_too(tmp_path: Path) -> None:
    path = make(tmp_path)
    for name in ("new\nline", "zwölf 12", "-rf", "<b>", os.fsdecode(b"broken\xff")):
        (tmp_path / "images" / "train" / f"{name}.png").write_bytes(b"")
        save_mask(tmp_path / "masks" / "train" / f"{name}.png", np.full(SIZE, 9))
    report = check(path, workers=1, html=tmp_path / "page.html")
    assert only(report, "image-unreadable").count == 5
    assert json.loads(json.dumps(report.to_dict()))["counts"]["error"] == 2
    text = (tmp_path / "page.html").read_text()
    assert "<b>.png" not in text
    assert "&lt;b&gt;.png" in text


def test_sizes_and_orientations(tmp_path: Path) -> None:
    path = make(tmp_path, train=4)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(9, SIZE).save(tmp_path / "images" / "train" / "0.png", exif=exif)
    photo(10, SIZE).save(tmp_path / "images" / "train" / "1.jpg", exif=exif)
    (tmp_path / "images" / "train" / "1.png").unlink()
    exif[0x0112] = 3
    photo(11, SIZE).save(tmp_path / "images" / "train" / "2.png", exif=exif)
    save_mask(tmp_path / "masks" / "train" / "3.png", np.zeros((6, 8)))
    report = check(path, workers=1)
    assert only(report, "exif-mask-not-rotated").files == ("masks/train/0.png", "masks/train/1.png")
    assert only(report, "exif-orientation-unsure").files == ("images/train/2.png",)
    finding = only(report, "size-mismatch")
    assert finding.files == ("masks/train/3.png",)
    assert "8x6 pixels, its image 16x12" in finding.message
    quick = quick_check(DataSpec.load(path))
    assert only(quick, "size-mismatch").files == ("masks/train/3.png",)
    assert "masks/train/1.png" in only(quick, "exif-mask-not-rotated").files


def test_what_is_dropped_or_reinterpreted_of_images(tmp_path: Path) -> None:
    path = make(tmp_path, train=4)
    images = tmp_path / "images" / "train"
    twelve = np.linspace(0, 4000, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint16)
    Image.fromarray(twelve).save(images / "0.png")
    hidden = np.dstack([np.asarray(photo(60, SIZE)), np.full(SIZE, 100, np.uint8)])
    Image.fromarray(hidden).save(images / "1.png")
    (images / "2.png").unlink()
    pages = [photo(61, SIZE), photo(62, SIZE)]
    pages[0].save(images / "2.tif", save_all=True, append_images=pages[1:])
    report, quick = check(path, workers=1), quick_check(DataSpec.load(path))
    for found in (report, quick):
        assert only(found, "image-range").files == ("images/train/0.png",)
        assert only(found, "image-alpha").files == ("images/train/1.png",)
        assert only(found, "image-pages").files == ("images/train/2.tif",)
        assert {only(found, f"image-{kind}").severity for kind in ("range", "alpha", "pages")} == {"warning"}
    assert "image_range: 4095" in only(report, "image-range").fix
    path.write_text(path.read_text() + "image_range: 4095\nbands: [0, 1, 2]\n")
    spec = DataSpec.load(path)
    again = codes(check(path, workers=1))
    assert not {"image-range", "image-alpha"} & again.keys()
    first, second = (read_sample(sample, spec)[0] for sample in spec.samples("train")[:2])
    assert (first.min(), first.max()) == (0, 249)
    assert (second == hidden[..., :3]).all()
    assert (spec.to_dict()["image_range"], spec.to_dict()["bands"]) == ([0.0, 4095.0], [0, 1, 2])


# What masks hold


def write_variants(root: Path) -> dict[str, str]:
    """Write one mask of each odd kind and return file -> the finding it belongs to ("" for none)."""
    make(root, train=9, val=0)
    (root / "data.yaml").write_text("train: images/train\nnames: [sky, road, car]\n")
    masks = root / "masks" / "train"
    ids = Image.fromarray(np.indices(SIZE).sum(0).astype(np.uint8) % 3)
    grey3 = Image.merge("RGB", [ids] * 3)
    half = ids.point(lambda value: 254 + value % 2)
    palette = ids.copy()
    palette.putpalette([9, 9, 9, 200, 0, 0, 0, 0, 200])
    pictures = {
        "": palette,
        "mask-alpha": Image.merge("LA", [ids, Image.new("L", ids.size, 255)]),
        "mask-transparent": Image.merge("RGBA", [ids, ids, ids, half]),
        "mask-grey-rgb": grey3,
        "mask-16-bit": Image.fromarray(np.asarray(ids).astype(np.uint16)),
        "masks-colour": palette.convert("RGB"),
        "ids-outside-classes": ids.point(lambda value: 100 * value),
    }
    files = {}
    for index, (code, picture) in enumerate(pictures.items()):
        picture.save(masks / f"{index}.png")
        files[f"masks/train/{index}.png"] = code
    ids.save(masks / "7.png", "JPEG")
    ids.convert("F").save(masks / "8.png", "TIFF")
    return files | {"masks/train/7.png": "mask-lossy", "masks/train/8.png": "mask-kind"}


def test_kinds_of_masks_and_agreement_with_training(tmp_path: Path) -> None:
    expected = write_variants(tmp_path)
    report = check(tmp_path, workers=1)
    found = {file: finding.code for finding in report.findings for file in finding.files}
    assert {file: found.get(file, "") for file in expected} == expected
    spec = DataSpec.load(tmp_path)
    errors = {file for finding in report.of("error") for file in finding.files}
    for sample in spec.samples("train"):
        name = sample.mask.relative_to(spec.root).as_posix()
        try:
            read_sample(sample, spec)
        except DataError:
            assert name in errors
        else:
            assert name not in errors


def write_deep_png(path: Path, ids: np.ndarray, kind: int, channels: int) -> None:
    """Write ids as every channel of a PNG of 16 bits per channel, which Pillow cannot write."""
    rows = np.repeat(ids.astype(">u2")[..., None], channels, axis=2)
    rows[..., 3 if channels == 4 else 1 if channels == 2 else 3 :] = 65535
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", *ids.shape[::-1], 16, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(text)) + name + text + struct.pack(">I", zlib.crc32(name + text)) for name, text in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("extra", ["", "label_map: {'#000000': 0, '#010101': 1}\n"])
def test_several_channels_of_16_bits_are_no_ids(tmp_path: Path, kind: int, channels: int, extra: str) -> None:
    path = make(tmp_path, extra=extra, train=1, val=0)
    write_deep_png(tmp_path / "masks" / "train" / "0.png", np.ones(SIZE, np.uint16), kind, channels)
    assert only(check(path, workers=1), "mask-kind").files == ("masks/train/0.png",)
    spec = DataSpec.load(path)
    with pytest.raises(DataError, match="channels of 16 bits"):
        read_sample(spec.samples("train")[0], spec)


@pytest.mark.parametrize(("mode", "code"), [("RGBA", "mask-transparent"), ("I;16", "mask-kind")])
def test_what_no_label_map_of_colours_can_read(tmp_path: Path, mode: str, code: str) -> None:
    path = make(tmp_path, extra="label_map: {'#000000': 0, '#ffffff': 1}\n", train=1, val=0)
    clear = Image.new("RGBA", SIZE[::-1], (0, 0, 0, 0))
    deep = Image.fromarray(np.full(SIZE, 300, np.uint16))
    (clear if mode == "RGBA" else deep).save(tmp_path / "masks" / "train" / "0.png")
    assert only(check(path, workers=1), code).files == ("masks/train/0.png",)
    spec = DataSpec.load(path)
    with pytest.raises(DataError):
        read_sample(spec.samples("train")[0], spec)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["1", "L", "P", "LA", "RGB", "RGBA", "I;16", "colour"]),
    st.lists(st.sampled_from([0, 1, 2, 3, 7, 254, 255]), min_size=1, max_size=3),
    st.sampled_from(["[a]", "[a, b]", "[a, b, c]"]),
    st.sampled_from(["", "label_map: {0: 0, 7: null}\n", "label_map: {'#000000': 0, '#010101': null}\n"]),
)
def test_any_mask_is_an_error_here_if_and_only_if_training_refuses_it(
    tmp_path: Path, mode: str, values: list[int], names: str, extra: str
) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir(exist_ok=True)
    array = np.resize(np.array(values, np.uint8), SIZE)
    if mode == "colour":
        picture = Image.fromarray(np.stack([array, array, np.zeros_like(array)], axis=2))
    elif mode == "I;16":
        picture = Image.fromarray(array.astype(np.uint16))
    elif mode == "P":
        picture = Image.fromarray(array)
        picture.putpalette(bytes(range(256)) * 3)
    else:
        picture = Image.fromarray(array).convert(mode)
    photo(0, SIZE).save(tmp_path / "images" / "a.png")
    picture.save(tmp_path / "masks" / "a.png")
    (tmp_path / "data.yaml").write_text(f"train: images\nnames: {names}\n{extra}")
    spec = DataSpec.load(tmp_path)
    try:
        read_sample(spec.samples("train")[0], spec)
        refused = False
    except DataError:
        refused = True
    report = check(tmp_path, workers=1)
    assert any("masks/a.png" in finding.files for finding in report.of("error")) is refused
    assert any("masks/a.png" in finding.files for finding in quick_check(spec).of("error")) is refused


def test_ids_outside_the_classes(tmp_path: Path) -> None:
    path = make(tmp_path)
    for index, value in ((0, 7), (1, 7), (2, 9)):
        ids = np.zeros(SIZE)
        ids[0, : index + 1] = value
        save_mask(tmp_path / "masks" / "train" / f"{index}.png", ids)
    finding = only(check(path, workers=1), "ids-outside-classes")
    assert "7 (3 pixels in 2 masks), 9 (3 pixels in 1 mask)" in finding.message
    assert finding.details["values"]["7"] == {
        "pixels": 3,
        "masks": 2,
        "files": ["masks/train/0.png", "masks/train/1.png"],
    }
    assert "label_map: {0: 0, 1: 1, 2: 2, 7: null, 9: null}" in finding.fix
    path.write_text(path.read_text() + "label_map: {0: 0, 1: 1, 2: 2, 7: null}\n")
    assert only(check(path, workers=1), "values-not-mapped").files == ("masks/train/2.png",)


def test_masks_that_are_no_masks_at_all(tmp_path: Path) -> None:
    path = make(tmp_path, train=2)
    depths = np.arange(120 * 90, dtype=np.uint16).reshape(90, 120) * 6
    for index, array in enumerate((depths, depths.astype(np.int32) - 9000)):
        photo(30 + index, (90, 120)).save(tmp_path / "images" / "train" / f"{index}.png")
        (tmp_path / "masks" / "train" / f"{index}.png").unlink()
        Image.fromarray(array).save(tmp_path / "masks" / "train" / f"{index}.tif")
    finding = only(check(path, workers=1, html=tmp_path / "x.html"), "ids-outside-classes")
    assert finding.files == ("masks/train/0.tif", "masks/train/1.tif")
    assert "-9000 (1 pixel in 1 mask)" in finding.message
    assert len(finding.details["values"]) == 256


def test_absent_and_uneven_classes(tmp_path: Path) -> None:
    path = make(tmp_path, names=["a", "b", "c", "d"], ids=np.zeros(SIZE))
    wide = np.zeros((60, 60))
    wide[0, 0], wide[1] = 1, 255
    photo(40, (60, 60)).save(tmp_path / "images" / "train" / "0.png")
    save_mask(tmp_path / "masks" / "train" / "0.png", wide)
    save_mask(tmp_path / "masks" / "val" / "0.png", np.full(SIZE, 2))
    save_mask(tmp_path / "masks" / "train" / "1.png", np.full(SIZE, 255))
    report = check(path, workers=1)
    absent = [
        (f.severity, f.details["split"], f.details["classes"]) for f in report.findings if f.code == "class-absent"
    ]
    assert absent == [("warning", None, ["d"]), ("warning", "train", ["c"]), ("note", "val", ["a", "b"])]
    assert only(report, "class-shares-uneven").details["ratio"] == 3731.0  # 59 * 60 - 1 + 192 to 1
    assert only(report, "class-shares-uneven").severity == "warning"
    assert only(report, "mask-all-ignored").files == ("masks/train/1.png",)
    assert (report.exit_code(), report.exit_code(strict=True)) == (0, 2)


def test_nothing_labelled(tmp_path: Path) -> None:
    report = check(make(tmp_path, ids=np.full(SIZE, 255)), workers=1)
    assert codes(report)["nothing-labelled"] == "error"
    half = np.full(SIZE, 255)
    half[0, :3] = 0, 1, 2
    assert codes(check(make(tmp_path, ids=half), workers=1))["mostly-ignored"] == "note"


# Pictures that are there twice


def test_duplicates(tmp_path: Path) -> None:
    path = make(tmp_path, train=3, val=2, extra="test: images/val\n")
    images = tmp_path / "images"
    (images / "val" / "0.png").write_bytes((images / "train" / "1.png").read_bytes())
    (images / "train" / "2.png").write_bytes((images / "train" / "0.png").read_bytes())
    report = check(path, workers=1)
    errors = [finding for finding in report.of("error") if finding.code == "duplicate-across-splits"]
    assert errors[0].details["between"] == {"train/val": 1, "train/test": 1}
    assert errors[0].details["pairs"][0] == ["images/train/1.png", "images/val/0.png"]
    warnings = [finding for finding in report.of("warning") if finding.code == "duplicate-across-splits"]
    assert warnings[0].details["between"] == {"val/test": 1}
    assert only(report, "duplicate-in-split").files == ("images/train/2.png",)


def test_near_duplicates(tmp_path: Path) -> None:
    path = make(tmp_path, train=30, val=2)
    again = photo(12, (480, 640))
    again.save(tmp_path / "images" / "train" / "4.png")
    (tmp_path / "images" / "val" / "1.png").unlink()
    again.resize((300, 225)).save(tmp_path / "images" / "val" / "1.jpg", quality=60)
    for file, size in (("train/4", (480, 640)), ("val/1", (225, 300))):
        save_mask(tmp_path / "masks" / f"{file}.png", np.indices(size).sum(0) % 3)
    finding = only(check(path, workers=1), "near-duplicates-across-splits")
    assert finding.details["pairs"] == [["images/train/4.png", "images/val/1.jpg"]]
    assert finding.severity == "warning"  # half of val


def test_fingerprints() -> None:
    one = fingerprint(photo(1, (300, 400)))
    for other in (
        photo(1, (150, 200)),
        photo(1, (300, 400)).convert("P"),
        photo(1, (300, 400)).point(lambda v: v * 0.98),
    ):
        assert pairs_across([(0, one), (1, fingerprint(other))]) == [(0, 1)]
    assert pairs_across([(0, one), (0, one)]) == []  # the same group
    assert pairs_across([(0, one), (1, fingerprint(photo(2)))]) == []
    black = fingerprint(Image.new("L", (40, 30)))
    assert pairs_across([(0, black), (1, black)]) == []  # too empty to tell
    assert pairs_across([(0, one)]) == []
    assert pairs_across([(0, one), (1, one), (2, one), (0, one)]) == [(0, 1), (0, 2), (1, 3)]


def test_no_near_duplicate_is_missed() -> None:
    """Hashes that differ in at most 7 bits are found wherever the bits are; the thumbnails are equal here."""
    rng = np.random.default_rng(0)
    thumbnail = bytes(range(72))
    prints, expected = [], []
    for _ in range(60):
        prints.append((0, Fingerprint(int(rng.integers(0, 2**63)), thumbnail)))
    for index in range(60):
        bits = prints[index][1].bits
        for bit in rng.choice(64, 7 + index % 2, replace=False):
            bits ^= 1 << int(bit)
        prints.append((1, Fingerprint(bits, thumbnail)))
        if index % 2 == 0:
            expected.append((index, 60 + index))
    assert pairs_across(prints) == expected


# Conversion


def converted(path: Path, out: Path) -> tuple[Report, DataSpec]:
    before = {file: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()}
    report = check(path, workers=1, fix_masks=out)
    assert {file: file.read_bytes() for file in before} == before
    return report, DataSpec.load(out)


def masks_of(spec: DataSpec, split: str = "train") -> list[np.ndarray]:
    return [read_sample(sample, spec)[1] for sample in spec.samples(split)]


def test_colour_masks_become_ids(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a", extra="palette: {sky: '#4682b4', road: '#804080', car: '#00008e'}\nprompts: {car: auto}\n"
    )
    table = np.array([[70, 130, 180], [128, 64, 128], [0, 0, 142], [0, 0, 0]], np.uint8)
    ids = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 4
    for split, count in (("train", 3), ("val", 1)):
        for index in range(count):
            Image.fromarray(table[ids]).save(tmp_path / "a" / "masks" / split / f"{index}.png")
    strange = table[ids]
    strange[0, 0] = 1, 2, 3
    Image.fromarray(strange).save(tmp_path / "a" / "masks" / "train" / "2.png")
    report, spec = converted(path, tmp_path / "new")
    finding = only(report, "masks-colour")
    assert finding.count == 4
    assert '"#4682b4": "sky"' in finding.fix
    assert '"#000000": null' in finding.fix
    assert '"#010203": CLASS' in finding.fix
    assert finding.details["label_map"]["#804080"] == "road"
    assert only(report, "not-converted").files == ("masks/train/2.png",)  # one colour is nobody's: no guess
    assert only(report, "masks-converted").details["written"] == 3
    assert spec.classes == DataSpec.load(path).classes
    assert len(masks_of(spec)) == 2
    assert (masks_of(spec)[0] == np.where(ids == 3, 255, ids)).all()
    assert check(tmp_path / "new", workers=1).of("error") == []
    line = re.search(r"label_map: \{.*?\}", finding.fix)
    assert line is not None  # pasted into the data.yaml, it reads the masks as they are
    path.write_text(path.read_text() + line[0].replace("CLASS", "car") + "\n")
    assert check(path, workers=1).of("error") == []


@pytest.mark.parametrize("names", [("a", "b"), ("thing",)])
def test_binary_masks_become_0_and_1(tmp_path: Path, names: tuple[str, ...]) -> None:
    ids = np.indices(SIZE).sum(0) % 2 * 255
    path = make(tmp_path / "a", ids=ids, names=names)
    save_mask(tmp_path / "a" / "masks" / "train" / "1.png", np.full(SIZE, 255))
    report, spec = converted(path, tmp_path / "new")
    assert only(report, "masks-binary").count == 3
    assert spec.classes.names == (names if len(names) == 2 else ("background", "thing"))
    assert [mask.max() for mask in masks_of(spec)] == [1, 1, 1]
    assert masks_of(spec)[1].min() == 1
    assert (masks_of(spec)[0] == ids // 255).all()
    assert len(set(spec.classes.palette)) == 2


def test_one_class_teaches_nothing(tmp_path: Path) -> None:
    path = make(tmp_path, names=["thing"])
    assert only(check(path, workers=1), "class-single").severity == "warning"
    assert only(quick_check(DataSpec.load(path)), "class-single").severity == "warning"


def test_quiet_prints_errors_alone(tmp_path: Path, capsys: Any) -> None:
    path = make(tmp_path, names=["thing"])
    (tmp_path / "images" / "train" / "0.png").write_bytes(b"")
    code, out, _ = run(capsys, "check", "--data", path, "--quiet", "--workers", 1)
    assert code == 2
    assert "image-unreadable" in out
    assert "class-single" not in out
    assert "share of labelled pixels" not in out


@pytest.mark.parametrize("lowest", [0, 1])
def test_ids_from_one_become_ids_from_zero(tmp_path: Path, lowest: int) -> None:
    ids = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % (4 - lowest) + lowest
    report, spec = converted(make(tmp_path / "a", ids=ids), tmp_path / "new")
    assert only(report, "ids-off-by-one").count == 4
    assert (masks_of(spec)[0] == np.where(ids == 0, 255, ids - 1)).all()


def test_a_forgotten_class_behind_the_background_is_not_taken_for_ids_from_one(tmp_path: Path) -> None:
    ids = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 4
    path = make(tmp_path, ids=ids, names=["background", "aeroplane", "bicycle"])
    assert "name the missing classes" in only(check(path, workers=1), "ids-outside-classes").fix
    with pytest.raises(DataError, match="no class id") as caught:
        masks_of(DataSpec.load(path))
    assert "start at 1" not in (caught.value.fix or "")


def test_turned_masks_and_mapped_values_are_converted(tmp_path: Path) -> None:
    path = make(tmp_path / "a", extra="label_map: {0: sky, 1: road, 2: null}\n")
    for orientation in (5, 6, 7, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = np.zeros((*SIZE, 3), np.uint8)
        picture[:3, :5] = 250
        Image.fromarray(picture).save(tmp_path / "a" / "images" / "train" / f"t{orientation}.png", exif=exif)
        save_mask(tmp_path / "a" / "masks" / "train" / f"t{orientation}.png", picture[..., 0] // 250)
    report, spec = converted(path, tmp_path / "new")
    assert only(report, "exif-mask-not-rotated").count == 4
    for sample in spec.samples("train")[3:]:
        image, mask = read_sample(sample, spec)
        assert (mask == image[..., 0] // 250).all()
    assert set(np.unique(masks_of(spec)[0])) == {0, 1, 255}


def test_an_original_is_never_written_through_a_link(tmp_path: Path) -> None:
    root = tmp_path / "a"
    for folder in ("images", "m/images", "m/m/images"):
        (root / folder).mkdir(parents=True)
    ids = np.ones(SIZE, np.uint8)
    ids[:4] = 2
    photo(0, SIZE).save(root / "images" / "a.png")
    for folder in ("m/images", "m/m/images"):  # the first one is an image of train and a mask of val
        save_mask(root / folder / "a.png", ids)
    path = root / "data.yaml"
    path.write_text("train: m/images\nval: images\nmasks_dir: m/images\nnames: [x, y]\n")
    report, spec = converted(path, tmp_path / "new")
    assert only(report, "not-converted").files == ("m/images/a.png",)
    assert "an image and a mask at once" in only(report, "not-converted").message
    assert list(spec.splits) == ["train"]


def test_a_converted_dataset_says_all_that_the_original_says(tmp_path: Path) -> None:
    given = {
        "path": ".",
        "train": "photos/images",
        "test": "photos/more/images",
        "names": list(NAMES),
        "masks_dir": "ids",
        "mask_suffix": "_m",
        "prompts": {"car": ["auto", "truck"]},
        "palette": ["#4682b4", "#804080", "#00008e"],
        "label_map": {7: "sky", 8: "road", 9: "car"},
        "image_range": [100, 4095],
        "bands": [2, 1, 0],
        "val_share": 0.4,
        "labelled": ["sky", "car"],
        "unlabelled": "other",
        "labelled_file": "lists/who, what.csv",
        "same": [["car", "auto"]],
        "parts": {"vehicle": ["car", "bus"]},
    }
    assert {*given, "val"} == set(declaration.KEYS), "a key of a data.yaml is not tried here"
    root = tmp_path / "a"
    (root / "lists").mkdir(parents=True)
    for seed, folder, count in ((0, "photos", 5), (5, "photos/more", 2)):
        for kind in ("images", "ids"):
            (root / folder / kind).mkdir(parents=True)
        for index in range(count):
            photo(seed + index, SIZE).save(root / folder / "images" / f"{index}.png")
            save_mask(root / folder / "ids" / f"{index}_m.png", np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 3 + 7)
    save_mask(root / "photos" / "ids" / "4_m.png", np.full(SIZE, 3))  # not converted, so its line must go too
    rows = ["photos/images/0.png,road", "photos/images/4.png,car;sky", "photos/more/images/1.png,road;sky"]
    (root / "lists" / "who, what.csv").write_text("\n".join(["image,labelled", *rows]))
    (root / "data.yaml").write_text(yaml.safe_dump(given))
    _, spec = converted(root / "data.yaml", tmp_path / "new")
    old = DataSpec.load(root)
    changed = {"path", "root", "digest", "splits", "val_share", "label_map", "colour_map"}
    changed |= {"labelled_file", "labelled_images"}
    for name in (field.name for field in fields(DataSpec)):
        if name not in changed:
            assert getattr(spec, name) == getattr(old, name) != getattr(_PLAIN, name), name
    assert (spec.val_share, spec.label_map, spec.colour_map) == (0, None, None)
    assert spec.labelled_images == {name: old.labelled_images[name] for name in list(old.labelled_images)[::2]}
    for split in ("train", "val", "test"):
        names = [old.key(sample) for sample in old.samples(split)]
        assert [spec.key(one) for one in spec.samples(split)] == [one for one in names if one != "photos/images/4.png"]
    assert check(tmp_path / "new", workers=1).of("error") == []


def resized(ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask as images are resized, with smoothing."""
    return np.asarray(Image.fromarray(ids.astype(np.uint8)).resize(size[::-1], Image.Resampling.BILINEAR))


def blobs(seed: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    """Return large areas of 0 and 2."""
    return (np.asarray(photo(seed, size))[..., 0] > 127) * 2


def test_values_that_smooth_resizing_made(tmp_path: Path) -> None:
    path, size = make(tmp_path / "a", train=3), (120, 160)
    sharp = [np.kron(blobs(index), np.ones((2, 2))) for index in range(3)]
    for index in range(3):
        photo(index, size).save(tmp_path / "a" / "images" / "train" / f"{index}.png")
        save_mask(tmp_path / "a" / "masks" / "train" / f"{index}.png", sharp[index])
    assert "mask-blended" not in codes(check(path, workers=1))
    for index in range(3):
        save_mask(tmp_path / "a" / "masks" / "train" / f"{index}.png", resized(blobs(index), size))
    report, spec = converted(path, tmp_path / "new")
    finding = only(report, "mask-blended")
    assert (finding.severity, finding.count, finding.details["values"]) == ("warning", 3, [1])
    assert "1 (road)" in finding.message
    for mask, expected in zip(masks_of(spec), sharp, strict=True):
        assert set(np.unique(mask)) == {0, 2}
        assert (mask == expected).mean() > 0.97
    assert "mask-blended" not in codes(check(tmp_path / "new", workers=1))


def test_a_thin_object_is_no_blend() -> None:
    ids = np.zeros((60, 60), np.uint8)
    ids[:, 30:] = 2
    ids[10:50, 10] = 1  # a pole before 0
    ids[20:22, 40:50] = 1  # a wire before 2
    assert blended_values(ids) == frozenset()
    ids[:, :29], ids[:, 29], ids[:, 30:] = 0, 1, 2
    assert blended_values(ids) == frozenset({1})


def with_palette(ids: np.ndarray, colours: list[int]) -> Image.Image:
    picture = Image.fromarray(ids.astype(np.uint8), mode="P")
    picture.putpalette(colours)
    return picture


@pytest.mark.parametrize("known", [False, True])
def test_palettes_that_differ(tmp_path: Path, known: bool) -> None:
    path = make(tmp_path / "a", extra="palette: ['#000000', '#ff0000', '#00ff00']\n" if known else "")
    ids = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 3
    black, red, green = [0, 0, 0], [255, 0, 0], [0, 255, 0]
    masks = tmp_path / "a" / "masks"
    for file in ("train/0", "train/1", "val/0"):
        with_palette(ids, black + red + green).save(masks / f"{file}.png")
    with_palette(np.array([0, 2, 1])[ids], black + green + red).save(masks / "train" / "2.png")
    report, spec = converted(path, tmp_path / "new") if known else (check(path, workers=1), None)
    finding = only(report, "palettes-differ")
    assert (finding.severity, finding.count) == ("error", 4)
    assert "colour #ff0000 has index 1 in 3 masks" in finding.message
    for mask in masks_of(spec) if spec is not None else []:
        assert (mask == ids).all()
    line = re.search(r"label_map: \{.*?\}", finding.fix)
    assert line is not None
    path.write_text(f"{path.read_text()}{line[0]}\n")
    assert check(path, workers=1).of("error") == []
    for mask in masks_of(DataSpec.load(path)):
        assert (mask == ids).all()


def test_palettes_that_differ_in_what_is_not_used_are_fine(tmp_path: Path) -> None:
    path = make(tmp_path)
    ids = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 3
    with_palette(ids, [0, 0, 0, 9, 9, 9, 7, 7, 7, 0, 0, 0]).save(tmp_path / "masks" / "train" / "0.png")
    with_palette(ids, [0, 0, 0, 9, 9, 9, 7, 7, 7, 1, 2, 3]).save(tmp_path / "masks" / "train" / "1.png")
    with_palette(ids, [5, 0, 0, 0, 5, 0, 0, 0, 5]).save(tmp_path / "masks" / "train" / "2.png")  # any colours
    assert check(path, workers=1).findings == ()


@pytest.mark.parametrize(
    ("kind", "options", "code"),
    [
        ("JPEG", {}, "mask-lossy"),
        ("WEBP", {"quality": 80}, "mask-lossy"),
        ("WEBP", {"lossless": True}, "mask-format"),
        ("TIFF", {"compression": "jpeg"}, "mask-lossy"),
        ("JPEG2000", {}, "mask-lossy"),
        ("GIF", {}, "mask-format"),
        ("PPM", {}, "mask-format"),
        ("TIFF", {"tiffinfo": {37724: b"Adobe Photoshop Document Data Block"}}, "mask-layers"),
    ],
)
def test_formats_that_smear_or_hide_ids(tmp_path: Path, kind: str, options: dict[str, Any], code: str) -> None:
    path = make(tmp_path, val=0)
    ids = Image.fromarray(np.asarray(np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 3, np.uint8))
    ids = ids.convert("RGB") if kind == "WEBP" else ids
    ids.save(tmp_path / "masks" / "train" / "0.png", kind, **options)
    assert only(check(path, workers=1), code).files == ("masks/train/0.png",)
    if kind not in ("TIFF", "PPM"):
        (tmp_path / "masks" / "train" / "0.png").rename(
            tmp_path / "masks" / "train" / f"0.{kind.lower().replace('jpeg2000', 'jp2')}"
        )
        assert only(check(path, workers=1), f"{code}-suffix").files == ("images/train/0.png",)


def test_where_converted_masks_may_not_go(tmp_path: Path) -> None:
    path = make(tmp_path / "a")
    for out in (
        tmp_path / "a",
        path,
        tmp_path / "a" / "masks" / "train" / "new",
        tmp_path / "a" / "images" / "train" / "n",
    ):
        with pytest.raises(InputError) as caught:
            check(path, workers=1, fix_masks=out)
        assert caught.value.fix
    with pytest.raises(ConfigError, match="quick"):
        check(path, quick=True, fix_masks=tmp_path / "x")
    path.write_text("train: images/train\nnames: 3\n")
    assert codes(check(path, workers=1, fix_masks=tmp_path / "y"))["not-converted"] == "error"
    assert not (tmp_path / "y").exists()


# Quick check, workers, command line


def test_a_quick_check_reads_a_part_of_the_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path, train=QUICK_MASKS + 30, val=0)
    path.write_text(path.read_text().replace("val: images/val\n", ""))
    spec = DataSpec.load(path)
    depths: list[str] = []
    examine = pool.examine_all
    monkeypatch.setattr(
        pool, "examine_all", lambda jobs, *a, **k: depths.extend(job.depth for job in jobs) or examine(jobs, *a, **k)
    )
    samples = {"train": spec.samples("train")}
    monkeypatch.setattr(DataSpec, "samples", lambda *_: pytest.fail("listed again"))
    report = quick_check(spec, samples)
    assert (depths.count("masks"), depths.count("headers")) == (QUICK_MASKS, 30)
    assert (report.quick, report.findings, report.pairs) == (True, (), {"train": QUICK_MASKS + 30})


def test_a_quick_check_can_stop_a_run(tmp_path: Path) -> None:
    spec = DataSpec.load(make(tmp_path, ids=np.full(SIZE, 7)))
    with pytest.raises(DataError, match=r"7 .* pixels in 4 masks") as caught:
        quick_check(spec).raise_for_errors()
    assert caught.value.where == spec.path
    assert caught.value.fix


def test_the_report_does_not_depend_on_workers(tmp_path: Path) -> None:
    write_variants(tmp_path)
    damaged(tmp_path / "images" / "train" / "2.png", "cut")
    for index in range(40):
        photo(index % 30, SIZE).save(tmp_path / "images" / "train" / f"x{index}.png")
        save_mask(tmp_path / "masks" / "train" / f"x{index}.png", np.full(SIZE, index % 5))
    reports = [check(tmp_path, workers=workers) for workers in (1, 2, 3)]
    assert reports[0] == reports[1] == reports[2]
    assert json.dumps(reports[0].to_dict()) == json.dumps(reports[1].to_dict())


@pytest.mark.slow
def test_a_file_that_ends_the_process_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path, train=pool.CHUNK + 2)
    examine = pool.examine
    monkeypatch.setattr(pool, "examine", lambda job: os._exit(9) if job.image.name == "3.png" else examine(job))
    finding = only(check(path, workers=2), "image-unreadable")
    assert finding.files == ("images/train/3.png",)
    assert "ended the process" in finding.message


def run(capsys: Any, *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_command_line(capsys: Any, tmp_path: Path) -> None:
    path = make(tmp_path / "a", ids=np.zeros(SIZE))
    code, out, err = run(capsys, "check", "--data", path, "--workers", 1)
    assert (code, err) == (0, "")
    assert "class-absent" in out
    assert "0 errors, 1 warning, 0 notes" in " ".join(out.split())
    assert run(capsys, "check", "--data", path, "--strict", "--quiet", "--workers", 1) == (2, "", "")
    (tmp_path / "a" / "images" / "train" / "0.png").write_bytes(b"")
    page = tmp_path / "pages" / "x.html"
    code, out, err = run(capsys, "check", "--data", path, "--json", "--html", page, "--fix-masks", tmp_path / "new")
    assert (code, err, out.count("\n")) == (2, "", 1)
    report = json.loads(out)
    assert (report["format"], report["pairs"]) == (1, {"train": 3, "val": 1})
    assert [finding["code"] for finding in report["findings"] if finding["severity"] == "error"] == [
        "image-unreadable",
        "not-converted",
    ]
    assert set(report["findings"][0]) == {"code", "severity", "message", "fix", "files", "count", "details"}
    assert len(DataSpec.load(tmp_path / "new").samples("train")) == 2
    code, out, err = run(capsys, "check", "--data", tmp_path / "none.yaml")
    assert code == 2
    assert "yaml-unreadable" in out
    assert run(capsys, "check", "--data", path, "--split", "trian")[0] == 2


def test_the_page_shows_what_is_wrong(tmp_path: Path) -> None:
    ids = np.zeros(SIZE)
    ids[3, 4] = 7
    path = make(tmp_path, ids=ids)
    check(path, workers=1, html=tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("<figure>") >= 3
    assert not re.search(r'(src|href)="(?!data:)', text)
    with pytest.raises(InputError, match="cannot be written"):
        check(path, workers=1, html=tmp_path / "images" / "train" / "0.png" / "x.html")


def test_marked_pixels_are_seen(tmp_path: Path) -> None:
    from bridgeseg.checking import illustrations

    ids = np.zeros((900, 1200))
    ids[300, 400] = 7
    save_mask(tmp_path / "m.png", ids)
    drawn = np.asarray(illustrations._mask(tmp_path / "m.png", frozenset({7}), [(90, 90, 90)]))
    assert drawn.shape == (210, 280, 3)
    marked = np.argwhere((drawn == illustrations.MARK).all(axis=2))
    assert len(marked) >= 1
    assert np.abs(marked - [70, 93]).max() <= 1


def test_from_python_and_errors_of_use(tmp_path: Path) -> None:
    path = make(tmp_path)
    assert isinstance(bridgeseg.check(path, workers=1), Report)
    with pytest.raises(ConfigError, match="workers"):
        bridgeseg.check(path, workers=0)


def test_the_page_of_the_docs_lists_every_code() -> None:
    root = Path(__file__).parents[1]
    page = (root / "docs" / "check.md").read_text(encoding="utf-8")
    rooms = (root / "src/bridgeseg/checking", root / "src/bridgeseg/data")
    sources = "".join(file.read_text(encoding="utf-8") for room in rooms for file in room.glob("*.py"))
    used = set(re.findall(r'"((?:[a-z0-9]+-)+[a-z0-9]+)"', sources)) - {"utf-8", "utf-8-sig", *exports.TITLES}
    listed = set(re.findall(r"^\| `([a-z0-9-]+)` \| (?:error|warning|note)", page, re.MULTILINE))
    assert used == listed


def test_the_example_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    make(tmp_path, ids=np.zeros(SIZE))
    write_onnx(tmp_path / "street.onnx", classes=ClassSet.build(list(NAMES)))
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs" / "check.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, {})
    disputed, *_, found = capsys.readouterr().out.splitlines()
    assert disputed.startswith("images/val/0.png sky ")
    assert found.startswith("warning class-absent 0 2 classes of 3 never occur: road, car")


@pytest.mark.slow
def test_the_doctor_needs_no_torch() -> None:
    modules = ", ".join(f"bridgeseg.checking.{name}" for name in ("check", "convert", "page", "table"))
    code = f"import sys, {modules}; print([m for m in ('torch', 'torchvision', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.skipif(not (SHARED / "data" / "camvid" / "data.yaml").is_file(), reason="CamVid is not here")
def test_camvid_has_no_errors() -> None:
    report = quick_check(DataSpec.load(SHARED / "data" / "camvid"))
    assert (report.of("error"), report.of("warning")) == ([], [])
    assert sum(report.pairs.values()) == 701
