from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from bridgeseg.classes import ClassSet
from bridgeseg.report.draw import MOST_ENTRIES, _entries, area_shares, overlay, palette_image, percent

SHAPES = st.tuples(st.integers(1, 24), st.integers(1, 24))


def some_classes(count: int) -> ClassSet:
    return ClassSet.build([f"class {index}" for index in range(count)])


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 700), SHAPES, st.randoms(use_true_random=False))
def test_mask_png_round_trip(count: int, shape: tuple[int, int], random: object) -> None:
    mask = np.random.default_rng(random.getrandbits(32)).integers(0, count, shape)  # type: ignore[attr-defined]
    mask = mask.astype(np.uint8 if count <= 256 else np.uint16)
    file = io.BytesIO()
    classes = some_classes(count)
    palette_image(mask, classes).save(file, "PNG")
    image = Image.open(file)
    np.testing.assert_array_equal(np.asarray(image), mask)
    if count <= 256:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), np.asarray(classes.palette, np.uint8)[mask])


@settings(deadline=None, max_examples=50)
@given(arrays.arrays(np.uint8, SHAPES, elements=st.integers(0, 10)))
def test_areas_sum_to_one_and_are_sorted(mask: np.ndarray) -> None:
    areas = area_shares(mask, some_classes(11))
    assert sum(areas.values()) == pytest.approx(1)
    assert list(areas.values()) == sorted(areas.values(), reverse=True)
    assert areas == {f"class {k}": pytest.approx((mask == k).mean()) for k in np.unique(mask)}


def test_areas_of_a_picture_counted_in_blocks() -> None:
    mask = np.zeros((1500, 1000), np.uint8)
    mask[1200:] = 1
    assert area_shares(mask, some_classes(3)) == {"class 0": 0.8, "class 1": 0.2}


@pytest.mark.parametrize("count", [3, 300])
def test_alpha_goes_from_the_picture_to_the_colours(stripes: np.ndarray, count: int) -> None:
    mask = np.repeat(np.repeat([[0, 1, 2]], 20, axis=1), 40, axis=0).astype(np.uint8 if count == 3 else np.uint16)
    classes = some_classes(count)
    np.testing.assert_array_equal(np.asarray(overlay(stripes, mask, classes, alpha=0, legend=False)), stripes)
    covered = np.asarray(overlay(stripes, mask, classes, alpha=1, legend=False))
    for index, middle in enumerate((10, 30, 50)):
        assert tuple(covered[20, middle]) == classes.palette[index]


def test_outline_lies_on_the_change_of_class(stripes: np.ndarray) -> None:
    mask = np.repeat(np.repeat([[0, 1, 2]], 20, axis=1), 40, axis=0).astype(np.uint8)
    drawn = np.asarray(overlay(stripes, mask, some_classes(3), legend=False)).astype(int)
    brightness = drawn.sum(axis=2)[20]
    assert brightness[19] > brightness[10]
    assert brightness[39] > brightness[30]


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (64, 48), (300, 900), (900, 300)])
def test_legend_is_below_and_leaves_the_picture_alone(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 128, np.uint8)
    mask = np.zeros(size, np.uint8)
    plain, full = (np.asarray(overlay(image, mask, some_classes(2), legend=legend)) for legend in (False, True))
    assert full.shape[0] > size[0]
    assert full.shape[1] >= size[1]
    left = (full.shape[1] - size[1]) // 2
    np.testing.assert_array_equal(full[: size[0], left : left + size[1]], plain)
    colour = np.asarray(some_classes(2).palette[0])
    assert (full[size[0] :] == colour).all(axis=2).any()


def test_legend_names_only_what_is_large_enough() -> None:
    classes = some_classes(60)
    assert [entry[0] for entry in _entries({"class 1": 0.9, "class 2": 0.01}, classes, 0.05)] == ["class 1"]
    entries = _entries(dict.fromkeys(classes.names, 1 / 60), classes, 0.001)
    assert entries[-1] == (f"and {60 - MOST_ENTRIES} more", "", None)


@pytest.mark.parametrize("name", ["x" * 500, "two\nlines", "中文", "…"])
def test_any_class_name_can_be_drawn(name: str) -> None:
    drawn = overlay(np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8), ClassSet.build([name]))
    assert drawn.width < 1000


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (0.314, "31 %"), (0.0996, "10 %"), (0.031, "3.1 %"), (0.001, "0.1 %"), (0.0004, "< 0.1 %")],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
