"""What is pasted into a crop: whose pixels, which classes, how often, and never a label that nobody gave."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

from bridgeseg.data.dataset import SegmentationDataset, item_generator
from bridgeseg.data.joining import join
from bridgeseg.data.mixing import Mixing
from bridgeseg.data.spec import DataSpec
from bridgeseg.data.transforms import AugmentConfig, TrainTransform
from bridgeseg.errors import ConfigError
from bridgeseg.settings.train import TrainConfig
from bridgeseg.settings.values import set_values
from bridgeseg.training.datamodule import DataModule
from tiny_data import TINY, write_dataset

PLAIN: dict[str, Any] = {
    "crop_size": (6, 8), "flip": 0.0, "photometric": 0.0, "scale": (1.0, 1.0), "cat_max_ratio": 1.0,
}  # fmt: skip
IGNORE = 255


def read(place: int) -> tuple[Tensor, Tensor]:
    """Return a sample of 6x8 pixels: columns of the classes 0 to 3, then ignored ones; its grey says which it is."""
    mask = torch.arange(8).clamp_max(4).expand(6, 8).to(torch.uint8).clone()
    mask[mask == 4] = IGNORE
    return torch.full((3, 6, 8), 10 * (place + 1), dtype=torch.uint8), mask


def mixing(kinds: list[int], labelled: list[list[int]], **values: Any) -> Mixing:
    held, weights = values.pop("held", None), values.pop("weights", None)
    transform = TrainTransform(AugmentConfig.parse({**PLAIN, **values}))
    return Mixing(transform, kinds, labelled, held, weights)


def pasted(mix: Mixing, place: int, seed: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the image and mask of an all-black host of class 9 into which a mixing has pasted."""
    host = torch.full((6, 8), 9, dtype=torch.uint8) if mask is None else mask
    image = torch.zeros((3, 6, 8), dtype=torch.uint8)
    result = mix(image, host, place, read, item_generator(seed, 0, place))
    assert int(image.max()) == 0  # the host itself is not written to
    return result


def test_half_of_the_classes_of_another_image() -> None:
    mix, seen = mixing([0] * 4, [[0, 1, 2, 3, 9]], class_mix=1.0), Counter[tuple[int, ...]]()
    others = Counter[int]()
    for seed in range(200):
        image, mask = pasted(mix, 2, seed)
        classes = tuple(sorted(set(mask.unique().tolist()) - {9}))
        assert len(classes) == 2
        assert IGNORE not in classes
        _, whole = read(0)
        assert torch.equal(mask != 9, torch.isin(whole, torch.tensor(classes, dtype=torch.uint8)))
        (grey,) = image[:, mask != 9].unique().tolist()  # of one image, and all of its three colours
        assert bool((image[:, mask == 9] == 0).all())
        seen[classes] += 1
        others[grey // 10 - 1] += 1
    assert len(seen) == 6  # any two of four
    assert others.keys() == {0, 1, 3}  # never itself
    assert min(others.values()) > 40


def test_three_classes_give_two() -> None:
    mix = mixing([0, 0], [[0, 1, 2]], class_mix=1.0)
    assert all(len(pasted(mix, 0, seed)[1].unique()) == 3 for seed in range(20))


def test_only_what_is_labelled_and_only_among_images_labelled_alike() -> None:
    mix = mixing([0, 1, 0, 1, 1], [[1, 2], [0]], class_mix=1.0)
    for seed in range(60):
        image, mask = pasted(mix, 0, seed)
        assert set(mask.unique().tolist()) - {9} <= {1, 2}
        assert set(image.unique().tolist()) == {0, 30}  # sample 2, the only other one of its kind
        image, mask = pasted(mix, 1, seed)
        assert set(mask.unique().tolist()) == {0, 9}
        assert set(image.unique().tolist()) - {0} <= {40, 50}


def test_an_image_without_its_like_stays_as_it_is() -> None:
    held = torch.tensor([[True, True], [True, True]])
    mix = mixing([0, 1], [[0, 1], [0]], class_mix=1.0, copy_paste=1.0, held=held, weights=[1.0, 1.0])
    image, mask = pasted(mix, 0, 0)
    assert (int(image.max()), mask.unique().tolist()) == (0, [9])


def test_copies_are_of_rare_classes_from_images_that_have_them() -> None:
    held = torch.zeros((5, 10), dtype=torch.bool)
    held[:, 0], held[1, 3], held[4, 3], held[3, 2] = True, True, True, True
    weights = [0.1, 5.0, 0.9, 3.0, *[0.0] * 6]  # 1 is in no image
    labelled = [[0, 1, 2, 3], [0]]
    mix = mixing([0, 0, 0, 0, 1], labelled, copy_paste=1.0, held=held, weights=weights)
    found = Counter[tuple[int, int]]()
    for seed in range(300):
        image, mask = pasted(mix, 0, seed)
        (wanted,) = set(mask.unique().tolist()) - {9}
        (grey,) = image[:, mask != 9].unique().tolist()
        found[wanted, grey // 10 - 1] += 1
    # of 3 only from sample 1: sample 4 has it too, but is not labelled for it
    assert found.keys() <= {(3, 1), (2, 3), (0, 1), (0, 2), (0, 3)}
    assert 185 < found[3, 1] < 260  # three quarters of 300, and a few by chance
    assert 40 < found[2, 3] < 100
    assert {tuple(pasted(mix, 4, seed)[1].unique().tolist()) for seed in range(20)} == {(9,)}  # alone of its kind
    assert 3 not in pasted(mix, 1, 0)[1].unique().tolist()  # no other image has it


def test_a_copy_is_cut_around_a_pixel_of_its_class() -> None:
    image, mask = torch.zeros((3, 90, 90), dtype=torch.uint8), torch.zeros((90, 90), dtype=torch.uint8)
    mask[70, 5] = 1
    transform = TrainTransform(AugmentConfig.parse({**PLAIN, "crop_size": (12, 12)}))
    for seed in range(30):
        crop = transform(image, mask, item_generator(seed, 0, 0), around=1)[1]
        assert int((crop == 1).sum()) == 1


@pytest.mark.parametrize("setting", ["class_mix", "copy_paste"])
def test_as_often_as_asked(setting: str) -> None:
    held = torch.ones((3, 10), dtype=torch.bool)
    mix = mixing([0] * 3, [[0, 1]], held=held, weights=[1.0] * 10, **{setting: 0.3})
    changed = sum(bool((pasted(mix, 0, seed)[1] != 9).any()) for seed in range(400))
    assert 85 < changed < 155


def test_copies_need_to_know_who_has_what() -> None:
    with pytest.raises(ConfigError, match="not known which image has which classes"):
        mixing([0], [[0]], copy_paste=0.5)


# In a run


def config(data: Path | list[Path], **changes: Any) -> TrainConfig:
    values = {"augment.class_mix": 0.7, "augment.copy_paste": 0.7, "augment.rotate": 30.0, **changes}
    given = [str(path) for path in data] if isinstance(data, list) else str(data)
    return TrainConfig.parse(set_values(set_values(TINY, {"data": given}), values))


def module(settings: TrainConfig, epoch: int = 0) -> DataModule:
    return DataModule(join([DataSpec.load(path) for path in settings.datasets]), settings, epoch)


def items(train: SegmentationDataset, epoch: int) -> list[tuple[Tensor, Tensor, int]]:
    train.set_epoch(epoch)
    return [train[index] for index in range(len(train))]


@pytest.mark.slow
def test_items_do_not_depend_on_workers_caches_or_what_came_before(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    usual = items(module(config(path, cache=True)).trains[0], 3)
    again = items(module(config(path, cache=False)).trains[0], 3)[::-1]
    for (image, mask, place), (image_again, mask_again, place_again) in zip(usual, again[::-1], strict=True):
        assert place == place_again
        assert torch.equal(image, image_again)
        assert torch.equal(mask, mask_again)
    batches = []
    for workers in (0, 2):
        loader = module(config(path, workers=workers), epoch=3).train_dataloader()
        batches.append([*loader])
    for first, second in zip(*batches, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    without = items(module(config(path, **{"augment.class_mix": 0.0, "augment.copy_paste": 0.0})).trains[0], 3)
    changed = [not torch.equal(a[1], b[1]) for a, b in zip(usual, without, strict=True)]
    assert 4 <= sum(changed) <= len(usual)


def test_off_is_as_it_was(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    off = {f"augment.{name}": 0.0 for name in ("class_mix", "copy_paste", "rotate")}
    train = module(config(path, **off)).trains[0]
    assert train.mixing is None
    plain = SegmentationDataset(train.spec, train.samples, train.transform)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(items(train, 1), items(plain, 1), strict=True))


def test_several_datasets_are_not_mixed_and_unknown_pixels_stay_unknown(tmp_path: Path) -> None:
    paths = [write_dataset(tmp_path / name) for name in ("one", "two")]
    values = yaml.safe_load(paths[1].read_text())
    for split in ("train", "val"):
        for file in (tmp_path / "two" / "images" / split).iterdir():
            Image.fromarray(255 - np.asarray(Image.open(file))).save(file)  # dark where the other dataset is bright
    rows = [f"images/train/{index}.png,{'red' if index < 4 else 'green'}" for index in range(8)]
    (tmp_path / "two" / "sets.csv").write_text("\n".join(["image,labelled", *rows]))
    paths[1].write_text(yaml.safe_dump(values | {"labelled_file": "sets.csv", "unlabelled": "other"}))
    only = {"augment.rotate": 0.0, "augment.class_mix": 1.0, "augment.copy_paste": 1.0, "augment.crop_size": [48, 64]}
    settings = config(paths, **only)
    trains = module(settings).trains
    bright, dark = (torch.cat([image.flatten() for image, _, _ in items(train, 0)]) for train in trains)
    assert float(bright.float().mean()) < 110 < 145 < float(dark.float().mean())
    hosts = SegmentationDataset(trains[1].spec, trains[1].samples, trains[1].transform, seed=settings.seed)
    differing = 0
    for (image, mask, place), (before, truth, _) in zip(items(trains[1], 0), items(hosts, 0), strict=True):
        changed = mask != truth
        differing += int(changed.any())
        own = 0 if place < 4 else 1  # ids of red and green
        assert set(mask[changed].tolist()) <= {own}  # what came in anew is what the image is labelled for
        assert bool(((image != before).any(0) <= (mask == own)).all())
    assert differing >= 4
