"""The data.yaml files of docs/labels.md are loaded and trained with, and mean what the page says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from bridgeseg.api import train
from bridgeseg.checkpoint import load_checkpoint
from bridgeseg.data.joining import join
from bridgeseg.data.spec import DataSpec
from bridgeseg.settings.values import set_values
from bridgeseg.training import fit
from bridgeseg.vocabulary.asked import asked
from bridgeseg.vocabulary.bank import having
from tiny_data import TINY

PAGE = (Path(__file__).parents[1] / "docs" / "labels.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SPLITS = {"train": "images/train", "val": "images/val"}


def block(text: str) -> dict[str, Any]:
    """Return the one block of the page that contains a text."""
    (found,) = [body for body in BLOCKS if text in body]
    values: dict[str, Any] = yaml.safe_load(found)
    return values


def write(folder: Path, keys: dict[str, Any], values: Sequence[int]) -> Path:
    """Write a dataset of four images and two for validation, whose masks hold these values."""
    random = np.random.default_rng(len(values))
    folders = ["train", "val"] if "val" in keys else [""]
    for split in folders:
        for index in range(1, 5 if split != "val" else 3):
            mask = np.array(values, np.uint8)[random.integers(0, len(values), (4, 4))].repeat(12, 0).repeat(16, 1)
            image = (mask[..., None].astype(int) * (37, 91, 17) + random.integers(0, 60, (48, 64, 3))) % 256
            for kind, array, ending in (("images", image, "jpg"), ("masks", mask, "png")):
                path = folder / kind / split / f"{index:04d}.{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array.astype(np.uint8)).save(path)
    (folder / "data.yaml").write_text(yaml.safe_dump(keys))
    return folder / "data.yaml"


def run(data: Any, out: Path, **more: Any) -> Any:
    return train(data, out, quiet=True, **set_values(TINY, {"epochs": 1, **more}))


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "write_images", lambda *_: None)


@pytest.fixture
def both(tmp_path: Path) -> list[Path]:
    """Give the two files of "A name that one dataset leaves out"."""
    street = write(tmp_path / "street", SPLITS | block("# street/data.yaml"), [0, 1, 2, 3, 255])
    return [street, write(tmp_path / "people", SPLITS | block("# people/data.yaml"), [0, 255])]


def test_every_block_is_tried() -> None:
    texts = ("person]         #", "labelled_file:", "# street/", "# people/", "same: [[", "# helmets/")
    assert [next(text for text in texts if text in body) for body in BLOCKS] == list(texts)


def test_the_names_that_are_asked_for_are_in_a_bank_of_the_package() -> None:
    (names,) = re.findall(r'--names "([^"]*)" --out runs/both', PAGE)
    assert having([phrase for own in asked(names).prompts for phrase in own], "")


def test_a_name_left_out_is_what_is_left(both: list[Path]) -> None:
    street, people = join([DataSpec.load(path) for path in both]).members
    assert street.labels.table[0, :6].tolist() == [0, 1, 2, 3, 4, -1]  # what has no label is the person
    assert people.labels.groups == ((0, 1, 2, 3),)
    assert street.spec.label_map is not None
    assert street.spec.label_map[255] == 4


@pytest.mark.slow
def test_a_name_left_out_and_one_more(both: list[Path], tmp_path: Path) -> None:
    result = run(both, tmp_path / "both", shares=[2, 1])
    assert load_checkpoint(tmp_path / "both").classes.names == ("road", "building", "car", "sky", "person")
    assert result.scores.parts.keys() == {"street", "people"}
    helmets = write(tmp_path / "helmets", block("# helmets/data.yaml"), [0, 1])
    run(helmets, tmp_path / "more", init=str(tmp_path / "both"))
    assert load_checkpoint(tmp_path / "more").classes.names[-2:] == ("person", "helmet")


@pytest.mark.slow
def test_images_with_sets_of_their_own_and_names_that_are_one(tmp_path: Path) -> None:
    people = write(tmp_path / "people", SPLITS | block("person]         #"), [0, 255])
    names = {"names": ["nothing", "car", "bus", "person"], "labelled": ["car"]}
    sets = write(tmp_path / "sets", SPLITS | names | block("labelled_file:"), [0, 1, 2, 3])
    (table,) = re.findall(r"```text\n(image,labelled\n.*?)```", PAGE, re.DOTALL)
    (sets.parent / "labelled.csv").write_text(table)
    names = {"names": ["pedestrian", "vehicle", "truck"]}
    coarse = write(tmp_path / "coarse", SPLITS | names | block("same: [["), [0, 1, 2])
    run([people, sets, coarse], tmp_path / "run")
    assert load_checkpoint(tmp_path / "run").classes.names == ("pedestrian", "car", "bus", "truck")
