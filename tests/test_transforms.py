"""Augmentation keeps image and mask aligned, obeys its ranges and repeats itself exactly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from bridgeseg.data.dataset import item_generator
from bridgeseg.data.photometric import apply_colours, photometric
from bridgeseg.data.transforms import AugmentConfig, Extent, TrainTransform
from bridgeseg.data.turning import turned
from bridgeseg.errors import ConfigError

PLAIN: dict[str, Any] = {"flip": 0.0, "photometric": 0.0, "scale": (1.0, 1.0), "cat_max_ratio": 1.0}
SIZES = st.integers(1, 40)


def augment(image: Tensor, mask: Tensor, seed: int = 0, **settings: Any) -> tuple[Tensor, Tensor]:
    weights = settings.pop("class_weights", None)
    transform = TrainTransform(AugmentConfig.parse(settings), class_weights=weights)
    return transform(image, mask, item_generator(seed, 0, 0))


def blocks(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return an image whose grey is 60 * id of its mask, in four quadrants of ids 0..3."""
    mask = (torch.arange(height)[:, None] * 2 // height) * 2 + torch.arange(width)[None] * 2 // width
    return (mask * 60).to(torch.uint8).expand(3, -1, -1).contiguous(), mask.to(torch.uint8)


def coordinates(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return an image that tells row and column in red and green, and a mask that tells (row + column) % 200."""
    rows, cols = torch.arange(height)[:, None].expand(height, width), torch.arange(width).expand(height, width)
    image = torch.stack([rows, cols, torch.zeros_like(rows)]).to(torch.uint8)
    return image, ((rows + cols) % 200).to(torch.uint8)


@settings(deadline=None, max_examples=60)
@given(SIZES, SIZES, SIZES, SIZES, st.integers(0, 1000), st.floats(0.3, 3.0))
def test_size_types_and_padding(h: int, w: int, crop_h: int, crop_w: int, seed: int, scale: float) -> None:
    image, mask = torch.full((3, h, w), 7, dtype=torch.uint8), torch.ones((h, w), dtype=torch.uint8)
    values = {**PLAIN, "flip": 0.5, "scale": (scale, scale), "crop_size": (crop_h, crop_w), "pad_colour": (1, 2, 3)}
    out, labels = augment(image, mask, seed, **values)
    assert (out.shape, out.dtype) == ((3, crop_h, crop_w), torch.uint8)
    assert (labels.shape, labels.dtype) == ((crop_h, crop_w), torch.uint8)
    inside_h, inside_w = min(crop_h, max(1, round(h * scale))), min(crop_w, max(1, round(w * scale)))
    expected = torch.full((crop_h, crop_w), 255, dtype=torch.uint8)
    expected[:inside_h, :inside_w] = 1
    assert torch.equal(labels, expected)  # ignored where padded, and nowhere else
    assert bool((out[:, labels == 1] == 7).all())
    assert bool((out[:, labels == 255] == torch.tensor([[1], [2], [3]])).all())


@settings(deadline=None, max_examples=60)
@given(st.integers(16, 40), st.integers(16, 40), st.integers(0, 10_000), st.floats(0.5, 2.0))
def test_mask_stays_on_the_image(h: int, w: int, seed: int, scale: float) -> None:
    image, mask = blocks(h, w)
    values = {**PLAIN, "flip": 0.5, "scale": (scale, scale), "crop_size": (24, 24), "pad_colour": (255, 255, 255)}
    out, labels = augment(image, mask, seed, **values)
    wanted = labels.int() * 60
    wanted[labels == 255] = 255
    # Pixels whose neighbourhood is of one class must have exactly its grey; edges are smoothed by the resizing.
    spread = torch.nn.functional.max_pool2d(labels[None].float(), 5, 1, 2) + torch.nn.functional.max_pool2d(
        -labels[None].float(), 5, 1, 2
    )
    flat = spread[0] == 0
    assert torch.equal(out[0].int()[flat], wanted[flat])


@pytest.mark.parametrize(("h", "w"), [(1, 1), (2, 1), (1, 2), (3, 5)])
def test_pictures_that_shrink_to_one_pixel(h: int, w: int) -> None:
    image, mask = torch.full((3, h, w), 9, dtype=torch.uint8), torch.ones((h, w), dtype=torch.uint8)
    out, labels = augment(image, mask, **{**PLAIN, "scale": (0.1, 0.1), "crop_size": (2, 2), "pad_colour": (0, 0, 0)})
    assert out[0].tolist() == [[9, 0], [0, 0]]
    assert labels.tolist() == [[1, 255], [255, 255]]


def test_without_scaling_a_crop_is_a_window_of_the_source() -> None:
    image, mask = coordinates(30, 50)
    places = set()
    for seed in range(40):
        out, labels = augment(image, mask, seed, **{**PLAIN, "crop_size": (8, 12)})
        top, left = int(out[0, 0, 0]), int(out[1, 0, 0])
        assert torch.equal(out, image[:, top : top + 8, left : left + 12])
        assert torch.equal(labels, mask[top : top + 8, left : left + 12])
        places.add((top, left))
    assert len(places) > 30


def test_every_place_is_equally_likely() -> None:
    image, mask = coordinates(10, 10)
    values = {**PLAIN, "crop_size": (8, 8)}
    corners = torch.tensor([augment(image, mask, seed, **values)[0][:2, 0, 0].tolist() for seed in range(900)])
    counts = torch.bincount(corners[:, 0] * 3 + corners[:, 1], minlength=9)
    assert len(counts) == 9
    assert int(counts.min()) > 60  # 100 expected, 4 standard deviations
    assert int(counts.max()) < 140


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.7, 2.0])
def test_equals_resizing_the_whole_picture_first(scale: float) -> None:
    ramp = torch.linspace(0, 255, 60)
    image = torch.stack([ramp[:, None].expand(60, 80), torch.linspace(0, 255, 80).expand(60, 80), torch.zeros(60, 80)])
    image, mask = image.to(torch.uint8), torch.zeros((60, 80), dtype=torch.uint8)
    out, _ = augment(image, mask, 3, **{**PLAIN, "scale": (scale, scale), "crop_size": (20, 30)})
    whole = v2.resize_image(image, [round(60 * scale), round(80 * scale)], antialias=True).int()
    windows = whole.unfold(1, 20, 1).unfold(2, 30, 1)[:2]
    worst = (windows - out[:2, None, None].int()).abs().amax(dim=(0, 3, 4))
    assert int(worst.min()) <= 3 + round(255 / 60)  # some window agrees, up to a source pixel of offset


def test_shrinking_blends_pixels() -> None:
    board = ((torch.arange(40)[:, None] + torch.arange(40)) % 2 * 200).to(torch.uint8).expand(3, -1, -1)
    values = {**PLAIN, "scale": (0.5, 0.5), "crop_size": (20, 20)}
    out, _ = augment(board, torch.zeros((40, 40), dtype=torch.uint8), **values)
    assert int((out[:, 1:-1, 1:-1].int() - 100).abs().max()) <= 2


@pytest.mark.parametrize(("flip", "mirrored"), [(0.0, False), (1.0, True)])
def test_flip(flip: float, mirrored: bool) -> None:
    image, mask = coordinates(6, 9)
    out, labels = augment(image, mask, **{**PLAIN, "flip": flip, "crop_size": (6, 9)})
    assert torch.equal(out, image.flip(-1) if mirrored else image)
    assert torch.equal(labels, mask.flip(-1) if mirrored else mask)


def test_flipped_and_scaled_about_half_of_the_time_in_the_whole_range() -> None:
    image, mask = coordinates(20, 20)
    flips, sizes = 0, []
    for seed in range(400):
        out, labels = augment(image, mask, seed, **{**PLAIN, "flip": 0.5, "scale": (0.5, 1.0), "crop_size": (20, 20)})
        flips += int(out[1, 0, 0] > out[1, 0, 4])
        sizes.append(int((labels[:, 0] != 255).sum()))
    assert 150 < flips < 250
    assert (min(sizes), max(sizes)) == (10, 20)
    assert 14.5 < sum(sizes) / len(sizes) < 15.5


def test_one_class_may_not_fill_a_crop() -> None:
    image, mask = torch.zeros((3, 40, 40), dtype=torch.uint8), torch.zeros((40, 40), dtype=torch.uint8)
    mask[:, 20:] = 1
    values = {**PLAIN, "crop_size": (10, 10)}

    def shares(**more: Any) -> list[float]:
        crops = [augment(image, mask, seed, **{**values, **more})[1] for seed in range(60)]
        return [max(float((crop == 0).float().mean()), float((crop == 1).float().mean())) for crop in crops]

    assert max(shares(cat_max_ratio=0.75, tries=200)) < 0.75
    assert max(shares(cat_max_ratio=0.75, tries=1)) == 1.0
    assert max(shares(cat_max_ratio=1.0, tries=200)) == 1.0


def test_ignored_pixels_do_not_count_as_a_class() -> None:
    image, mask = torch.zeros((3, 40, 40), dtype=torch.uint8), torch.full((40, 40), 255, dtype=torch.uint8)
    mask[:10, :10], mask[:10, 10:20] = 0, 1
    for seed in range(30):  # a crop without labels teaches nothing and is drawn again
        labels = augment(image, mask, seed, **{**PLAIN, "cat_max_ratio": 0.75, "tries": 500, "crop_size": (8, 8)})[1]
        zeros, ones = int((labels == 0).sum()), int((labels == 1).sum())
        assert max(zeros, ones) / (zeros + ones) < 0.75


def test_hopeless_pictures_end_after_the_tries() -> None:
    image, mask = coordinates(9, 9)
    assert augment(image, torch.zeros_like(mask), crop_size=(4, 4))[1].tolist() == [[0] * 4] * 4


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 39), st.integers(0, 59), st.integers(0, 1000), st.floats(1.0, 3.0))
def test_rare_class_crops_contain_the_class(row: int, col: int, seed: int, scale: float) -> None:
    image, mask = torch.zeros((3, 40, 60), dtype=torch.uint8), torch.zeros((40, 60), dtype=torch.uint8)
    mask[row, col] = 1  # enlarged, so that no source pixel of the crop is skipped
    values = {"crop_size": (12, 12), "scale": (scale, scale), "rare_class_prob": 1.0, "class_weights": [0.0, 1.0]}
    assert int((augment(image, mask, seed, **values)[1] == 1).sum()) > 0


def test_rare_classes_are_asked_for_by_weight() -> None:
    image, mask = torch.zeros((3, 100, 100), dtype=torch.uint8), torch.zeros((100, 100), dtype=torch.uint8)
    mask[10:14, 10:14], mask[80:84, 80:84] = 1, 2
    values = {**PLAIN, "crop_size": (20, 20), "rare_class_prob": 0.8, "class_weights": [0, 3, 1, 9]}  # 3 is absent
    crops = [augment(image, mask, seed, **values)[1] for seed in range(300)]
    ones, twos = sum(bool((c == 1).any()) for c in crops), sum(bool((c == 2).any()) for c in crops)
    assert 150 < ones < 225  # 0.8 * 3/4 of 300, and a few by chance
    assert 40 < twos < 95
    unweighted = augment(image, torch.zeros_like(mask), **values)[1]
    assert unweighted.shape == (20, 20)


def test_the_generator_alone_decides() -> None:
    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8)
    mask = torch.randint(0, 5, (50, 70), dtype=torch.uint8)
    values = {"crop_size": (32, 32), "photometric": 0.9, "rare_class_prob": 0.5, "class_weights": [1.0] * 5}
    torch.manual_seed(1)
    first = augment(image, mask, 5, **values)
    torch.manual_seed(2)
    again, other = augment(image, mask, 5, **values), augment(image, mask, 6, **values)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_inputs_are_not_changed_and_layout_does_not_matter() -> None:
    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8)
    mask = torch.randint(0, 5, (50, 70), dtype=torch.int32)
    before = image.clone(), mask.clone()
    strided = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    for seed in range(10):
        out, labels = augment(image, mask, seed, crop_size=(40, 40), photometric=1.0)
        other, _ = augment(strided, mask, seed, crop_size=(40, 40), photometric=1.0)
        assert torch.equal(out, other)
        assert labels.dtype == torch.int32
    assert torch.equal(image, before[0])
    assert torch.equal(mask, before[1])


def test_more_than_255_classes() -> None:
    image, mask = torch.zeros((3, 4, 4), dtype=torch.uint8), torch.full((4, 4), 299, dtype=torch.int32)
    transform = TrainTransform(AugmentConfig(crop_size=(6, 6), scale=(1.0, 1.0)), ignore_index=65535)
    labels = transform(image, mask, item_generator(0, 0, 0))[1]
    assert sorted(labels.unique().tolist()) == [299, 65535]


# Colours


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(0, 10_000))
def test_hue_and_saturation_keep_greys(grey: int, seed: int) -> None:
    image = torch.full((3, 2, 2), grey, dtype=torch.uint8)
    config = AugmentConfig(photometric=1.0, brightness=0.0, contrast=(1.0, 1.0), saturation=(0.0, 3.0), hue=180.0)
    out = photometric(image, config, torch.Generator().manual_seed(seed))
    assert int((out.int() - grey).abs().max()) <= 1


def only(**values: Any) -> AugmentConfig:
    off = {"brightness": 0.0, "contrast": (1.0, 1.0), "saturation": (1.0, 1.0), "hue": 0.0}
    return AugmentConfig.parse({**off, **values, "photometric": 1.0})


def test_each_change_against_its_formula() -> None:
    torch.manual_seed(0)
    image = torch.randint(60, 120, (3, 16, 16), dtype=torch.uint8)
    generator = torch.Generator

    def off(config: AugmentConfig, wanted: Tensor) -> float:
        return float((photometric(image, config, generator().manual_seed(3)).float() - wanted).abs().max())

    draws = torch.rand(8, generator=generator().manual_seed(3)).tolist()
    assert off(only(), image.float()) == 0
    assert off(only(brightness=32.0), image + 32.0 * (2 * draws[4] - 1)) <= 0.51
    assert off(only(contrast=(1.5, 1.5)), image * 1.5) <= 0.51
    assert off(only(saturation=(0.0, 0.0)), v2.rgb_to_grayscale(image, 3).float()) <= 1
    assert off(only(saturation=(1.4, 1.4)), v2.adjust_saturation(image, 1.4).float()) <= 2


def test_a_hue_turn_goes_from_red_through_yellow_to_green() -> None:
    red = torch.tensor([160, 90, 90], dtype=torch.uint8)[:, None, None].expand(3, 400, 1)
    hues = []
    for seed in range(200):
        out = photometric(red, only(hue=60.0), torch.Generator().manual_seed(seed))[:, 0, 0].float()
        luma = float(out @ torch.tensor([0.299, 0.587, 0.114]))
        assert luma == pytest.approx(0.299 * 160 + 0.701 * 90, abs=1.0)  # brightness is kept
        hues.append(float(out[1] - out[2]))
    assert min(hues) < -20 < 20 < max(hues)  # both directions


def test_colour_changes_are_rare_when_asked() -> None:
    image = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    config = AugmentConfig(photometric=0.5, contrast=(1.0, 1.0), saturation=(1.0, 1.0), hue=0.0)
    changed = sum(
        not torch.equal(photometric(image, config, torch.Generator().manual_seed(seed)), image) for seed in range(400)
    )
    assert 150 < changed < 250
    never = AugmentConfig(photometric=0.0)
    assert photometric(image, never, torch.Generator()) is image


def test_values_are_clamped_and_rounded() -> None:
    image = torch.tensor([0, 100, 255], dtype=torch.uint8)[None, None].expand(3, 1, 3)
    assert apply_colours(image, torch.eye(3), torch.tensor([-50.0, 0.4, 50.0])).tolist() == [
        [[0, 50, 205]],
        [[0, 100, 255]],
        [[50, 150, 255]],
    ]


def test_colours_do_not_depend_on_the_number_of_threads() -> None:
    torch.manual_seed(0)
    image, matrix = torch.randint(0, 256, (3, 301, 307), dtype=torch.uint8), torch.rand(3, 3)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(apply_colours(image, matrix, torch.rand(3, generator=torch.Generator().manual_seed(0))))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


# Rotation


def test_a_quarter_turn_is_exact_and_no_turn_changes_nothing() -> None:
    image, mask = coordinates(40, 50)
    box = (10, 20, 12, 12)
    window, ids = image[:, 10:22, 20:32], mask[10:22, 20:32]
    for degrees, turns in ((0.0, 0), (90.0, 1), (-90.0, -1), (180.0, 2)):
        pixels, labels = turned(image, mask, box, degrees, (0, 0, 0), 255)
        assert torch.equal(pixels, torch.rot90(window, turns, (1, 2)))
        assert torch.equal(labels, torch.rot90(ids, turns))


def test_only_what_lies_beyond_the_image_is_filled() -> None:
    image, mask = torch.full((3, 60, 60), 50, dtype=torch.uint8), torch.full((60, 60), 299, dtype=torch.int32)
    pixels, labels = turned(image, mask, (20, 20, 20, 20), 45.0, (1, 2, 3), 65535)
    assert bool((pixels == 50).all())
    assert bool((labels == 299).all())
    pixels, labels = turned(image, mask, (0, 0, 60, 60), 45.0, (1, 2, 3), 65535)
    assert labels.dtype == torch.int32
    assert set(labels.unique().tolist()) == {299, 65535}
    assert float((labels == 65535).float().mean()) == pytest.approx(3 - 2 * 2**0.5, abs=0.02)  # four corners
    corner = pixels[:, labels == 65535].float().mean(1)
    assert corner.tolist() == pytest.approx([1, 2, 3], abs=2)


@settings(deadline=None, max_examples=40)
@given(st.integers(16, 40), st.integers(16, 40), st.integers(0, 10_000), st.floats(1.0, 180.0))
def test_a_turned_mask_stays_on_its_image(h: int, w: int, seed: int, rotate: float) -> None:
    image, mask = blocks(h, w)
    values = {**PLAIN, "crop_size": (24, 24), "scale": (1.0, 2.0), "rotate": rotate, "pad_colour": (255, 255, 255)}
    out, labels = augment(image, mask, seed, **values)
    assert (out.shape, labels.shape, labels.dtype) == ((3, 24, 24), (24, 24), torch.uint8)
    wanted = labels.int() * 60
    wanted[labels == 255] = 255
    near = torch.nn.functional.max_pool2d(labels[None].float(), 7, 1, 3)
    flat = (near + torch.nn.functional.max_pool2d(-labels[None].float(), 7, 1, 3))[0] == 0
    flat[:3], flat[-3:], flat[:, :3], flat[:, -3:] = False, False, False, False  # the image may end there
    assert torch.equal(out[0].int()[flat], wanted[flat])


def test_turns_go_both_ways_and_not_further_than_asked() -> None:
    image, mask = coordinates(80, 80)
    found, values = [], {**PLAIN, "crop_size": (20, 20), "rotate": 20}
    for seed in range(60):
        out, _ = augment(image, torch.zeros_like(mask), seed, **values)
        across = out[:2, 10, -4].float() - out[:2, 10, 3].float()
        found.append(float(torch.rad2deg(torch.atan2(across[0], across[1]))))
    assert -24 < min(found) < -10
    assert 10 < max(found) < 24


# Geometry of one axis


@given(st.integers(1, 500), st.integers(1, 500), st.floats(0.05, 20.0), st.floats(0, 1, exclude_max=True), st.data())
def test_extent_stays_inside_and_keeps_its_anchor(size: int, crop: int, scale: float, draw: float, data: Any) -> None:
    extent = Extent.of(size, crop, scale)
    assert 1 <= extent.source <= size
    assert 1 <= extent.target <= crop
    anchor = data.draw(st.none() | st.integers(0, size - 1))
    start = extent.start(draw, anchor)
    assert 0 <= start <= size - extent.source
    if anchor is not None:
        assert start <= anchor < start + extent.source
    indices = extent.nearest(start)
    assert len(indices) == extent.target
    assert int(indices[0]) >= start
    assert int(indices[-1]) < start + extent.source
    exact = torch.floor((torch.arange(extent.target, dtype=torch.float64) + 0.5) * extent.source / extent.target)
    assert torch.equal((indices - start).double(), exact)


# Configuration


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"cropsize": (2, 2)}, "unknown augmentation key 'cropsize'; did you mean 'crop_size'?"),
        ({"crop_size": (0, 2)}, "`crop_size` must be"),
        ({"crop_size": 5}, "'crop_size'"),
        ({"scale": (2.0, 0.5)}, "`scale` must be two rising numbers"),
        ({"scale": (0.0, 1.0)}, "`scale` must be two rising numbers"),
        ({"contrast": (-1.0, 1.0)}, "`contrast` must be"),
        ({"flip": 1.5}, "'flip': Input should be less than or equal to 1, found 1.5"),
        ({"tries": 0}, "'tries'"),
        ({"pad_colour": (1, 2, 300)}, "`pad_colour`"),
        ({"scale": (float("nan"), 1.0)}, "`scale` must be two rising numbers"),
    ],
)
def test_refused_settings(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AugmentConfig.parse(values)
    assert says in str(caught.value)
    assert caught.value.fix


def test_settings_survive_json() -> None:
    config = AugmentConfig(crop_size=(192, 256), hue=5.0)
    assert AugmentConfig.parse(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("weights", [None, [0.0, 0.0], [-1.0, 2.0], [float("inf"), 1.0], [[1.0]]])
def test_rare_class_crops_need_weights(weights: Any) -> None:
    with pytest.raises(ConfigError, match="class weights"):
        TrainTransform(AugmentConfig(rare_class_prob=0.5), class_weights=weights)
