"""Every fix that a message about a dataset prints is applied as it is printed, and the message is gone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from bridgeseg.api import check
from bridgeseg.data.finding import Finding

IDS = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16) % 3
LINE = re.compile(r"(label_map|names): (\{.*?\}|\[.*?\])")
KEYS = re.compile(r"`(path|train|val|masks_dir|mask_suffix|val_share): ([^`]+)`|\b(image_range|bands): (\[[^]]*\]|\d+)")


def make(root: Path, extra: str = "", names: str = "[sky, road, car]", ids: np.ndarray = IDS, suffix: str = "") -> Path:
    """Write a dataset of three and one pairs."""
    for split, count in (("train", 3), ("val", 1)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            noise = np.random.default_rng(index + 10 * count).integers(0, 256, (12, 16, 3), np.uint8)
            Image.fromarray(noise).save(root / "images" / split / f"{index}.png")
            Image.fromarray(ids).save(root / "masks" / split / f"{index}{suffix}.png")
    path = root / "data.yaml"
    path.write_text(f"train: images/train\nval: images/val\nnames: {names}\n{extra}")
    return path


def paste(path: Path, finding: Finding) -> None:
    """Write the first lines that a fix proposes for a data.yaml into it, with a class in place of CLASS."""
    document = yaml.safe_load(path.read_text())
    fix = finding.fix.replace("CLASS", str(document["names"][-1]))
    first = fix.split("; if")[0].split("; or, if")[0]
    lines = [match[0] for match in LINE.finditer(first)]
    lines += [f"{match[1] or match[3]}: {match[2] or match[4]}" for match in KEYS.finditer(first)]
    assert lines, fix
    for line in lines:
        document |= yaml.safe_load(line)
    path.write_text(yaml.safe_dump(document))


def convert(path: Path, finding: Finding) -> Path:
    """Do what `--fix-masks DIR` does; return the new data.yaml."""
    assert "--fix-masks" in finding.fix
    check(path, workers=1, fix_masks=path.parent.parent / "new")
    return path.parent.parent / "new" / "data.yaml"


def masks(root: Path, change: Callable[[np.ndarray], Image.Image], suffix: str = ".png") -> None:
    for file in sorted((root / "masks").rglob("*.png")):
        ids = np.asarray(Image.open(file))
        file.unlink()
        change(ids).save(file.with_suffix(suffix))


def minus_one(root: Path) -> Path:
    path = make(root)
    masks(root, lambda ids: Image.fromarray(np.where(ids == 2, -1, ids).astype(np.int32)), ".tif")
    return path


def colours(root: Path, extra: str = "") -> Path:
    path = make(root, extra)
    table = np.array([[70, 130, 180], [128, 64, 128], [0, 0, 142]], np.uint8)
    masks(root, lambda ids: Image.fromarray(table[ids]))
    return path


def outside(root: Path) -> Path:
    make(root / "inner")
    (root / "conf").mkdir()
    path = root / "conf" / "data.yaml"
    path.write_text(
        f"train: {root / 'inner/images/train'}\nval: {root / 'inner/images/val'}\nnames: [sky, road, car]\n"
    )
    return path


def palettes(root: Path) -> Path:
    path = make(root)
    orders = iter(([0, 0, 0, 255, 0, 0, 0, 255, 0], [0, 0, 0, 0, 255, 0, 255, 0, 0]) * 2)

    def with_palette(ids: np.ndarray) -> Image.Image:
        image = Image.fromarray(ids)
        image.putpalette(next(orders))
        return image

    masks(root, with_palette)
    return path


def blended(root: Path) -> Path:
    path = make(root)
    blob = np.zeros((60, 80), np.uint8)
    blob[10:40, 20:70] = 2
    masks(root, lambda _: Image.fromarray(blob).resize((160, 120), Image.Resampling.BILINEAR))
    for file in (root / "images").rglob("*.png"):
        Image.open(file).resize((160, 120)).save(file)
    return path


def twelve_bits(root: Path) -> Path:
    path = make(root)
    for index, file in enumerate(sorted((root / "images").rglob("*.png"))):
        Image.fromarray(IDS.astype(np.uint16) * 1000 + index * np.arange(16, dtype=np.uint16)).save(file)
    return path


def alpha(root: Path) -> Path:
    path = make(root)
    for file in sorted((root / "images").rglob("*.png")):
        Image.merge("RGBA", [*Image.open(file).split(), Image.new("L", (16, 12), 90)]).save(file)
    return path


def turned(root: Path) -> Path:
    path, exif = make(root), Image.Exif()
    exif[0x0112] = 6
    Image.open(root / "images" / "train" / "0.png").save(root / "images" / "train" / "0.png", exif=exif)
    return path


def without_val(root: Path) -> Path:
    path = make(root)
    path.write_text(path.read_text().replace("val: images/val\n", ""))
    return path


def missing_path(root: Path) -> Path:
    return make(root, "path: nowhere\n")


PASTED: dict[str, list[Callable[[Path], Path]]] = {
    "ids-outside-classes": [minus_one, lambda root: make(root, ids=IDS * 3)],
    "ids-off-by-one": [lambda root: make(root, ids=IDS + 1)],
    "values-not-mapped": [
        lambda root: make(root, "label_map: {0: 0, 1: 1}\n"),
        lambda root: make(root, "label_map: {0: null, 1: 1}\n"),
    ],
    "masks-binary": [
        lambda root: make(root, names="[background, 'a: b']", ids=IDS % 2 * 255),
        lambda root: make(root, names="['a: b']", ids=IDS % 2 * 255),
    ],
    "masks-only-0-255": [lambda root: make(root, ids=IDS % 2 * 255)],
    "masks-colour": [colours],
    "colours-not-mapped": [lambda root: colours(root, "label_map: {'#4682b4': sky, '#804080': null}\n")],
    "palettes-differ": [palettes],
    "mask-named-otherwise": [
        lambda root: make(root, suffix="_mask"),
        lambda root: make(root, suffix="-gt 1"),
    ],
    "split-unusable": [outside],
    "path-invalid": [missing_path],
    "image-range": [twelve_bits],
    "image-alpha": [alpha],
    "no-validation": [without_val],
    "no-split": [lambda root: without_all(make(root))],
}


def without_all(path: Path) -> Path:
    path.write_text("names: [sky, road, car]\n")
    return path


@pytest.mark.parametrize(
    ("code", "number"), [(code, number) for code, made in PASTED.items() for number in range(len(made))]
)
def test_a_pasted_line_ends_the_message(tmp_path: Path, code: str, number: int) -> None:
    path = PASTED[code][number](tmp_path / "data")
    for _ in range(2):  # one message can come of both splits
        found = [finding for finding in check(path, workers=1).findings if finding.code == code]
        if not found:
            break
        paste(path, found[0])
    else:
        pytest.fail(found[0].fix)
    report = check(path, workers=1)
    assert code not in {finding.code for finding in report.findings}
    allowed = {"masks-binary", "masks-only-0-255"}  # a pasted alternative may leave a class without pixels
    assert not report.of("error") or code in allowed, report.findings


@pytest.mark.parametrize(
    ("code", "broken"),
    [
        ("masks-binary", PASTED["masks-binary"][0]),
        ("ids-off-by-one", PASTED["ids-off-by-one"][0]),
        ("mask-blended", blended),
        ("exif-mask-not-rotated", turned),
        ("masks-colour", lambda root: colours(root, "palette: ['#4682b4', '#804080', '#00008e']\n")),
    ],
)
def test_converted_masks_end_the_message(tmp_path: Path, code: str, broken: Callable[[Path], Path]) -> None:
    path = broken(tmp_path / "data")
    found = [finding for finding in check(path, workers=1).findings if finding.code == code]
    assert len(found) == 1
    again = check(convert(path, found[0]), workers=1)
    assert code not in {finding.code for finding in again.findings}
    assert not again.of("error")


@pytest.mark.parametrize(
    ("code", "spoil", "mend"),
    [
        ("mask-without-image", lambda m: shutil.copy(m / "0.png", m / "x.png"), lambda m: (m / "x.png").unlink()),
        ("mask-format-suffix", lambda m: resave(m / "0.png", ".gif"), lambda m: resave(m / "0.gif", ".png")),
        ("mask-ambiguous", lambda m: resave(m / "0.png", ".bmp", keep=True), lambda m: (m / "0.bmp").unlink()),
    ],
)
def test_what_is_done_to_files_ends_the_message(
    tmp_path: Path, code: str, spoil: Callable[[Path], object], mend: Callable[[Path], object]
) -> None:
    path = make(tmp_path)
    spoil(tmp_path / "masks" / "train")
    assert code in {finding.code for finding in check(path, workers=1).findings}
    mend(tmp_path / "masks" / "train")
    assert check(path, workers=1).findings == ()


def resave(file: Path, suffix: str, keep: bool = False) -> None:
    image = Image.open(file)
    image.load()
    (image.convert("L") if suffix == ".png" else image).save(file.with_suffix(suffix))
    if not keep:
        file.unlink()
