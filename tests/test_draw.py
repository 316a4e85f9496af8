from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw

from bridgeseg.classes import ClassSet
from bridgeseg.errors import ConfigError
from bridgeseg.report import legend
from bridgeseg.report.draw import Drawing, area_shares, key, overlay, palette_image, percent
from bridgeseg.report.legend import MOST_ENTRIES, entries

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
    plain, full = (np.asarray(overlay(image, mask, some_classes(2), legend=shown)) for shown in (False, True))
    assert full.shape[0] > size[0]
    assert full.shape[1] >= size[1]
    left = (full.shape[1] - size[1]) // 2
    np.testing.assert_array_equal(full[: size[0], left : left + size[1]], plain)
    colour = np.asarray(some_classes(2).palette[0])
    assert (full[size[0] :] == colour).all(axis=2).any()


def test_legend_names_small_classes_as_the_console_does() -> None:
    classes = some_classes(60)
    assert [entry[0] for entry in entries({"class 1": "90 %", "class 2": "< 0.1 %"}, classes)] == ["class 1", "class 2"]
    assert entries(dict.fromkeys(classes.names, ""), classes)[-1] == (f"and {60 - MOST_ENTRIES} more", "", None)


def test_a_class_that_is_hidden_stays_as_it_is_and_out_of_the_legend(stripes: np.ndarray) -> None:
    mask = np.repeat(np.repeat([[0, 1, 2]], 20, axis=1), 40, axis=0).astype(np.uint8)
    classes = some_classes(3)
    drawn = np.asarray(overlay(stripes, mask, classes, hide=["class 1"]))
    left = (drawn.shape[1] - 60) // 2
    np.testing.assert_array_equal(drawn[:40, left + 20 : left + 39], stripes[:, 20:39])
    assert (drawn[:40, left : left + 19] != stripes[:, :19]).any()
    assert (drawn[:40, left + 39] != stripes[:, 39]).all()  # the outline of what is beside it
    colour = np.asarray(classes.palette[1])
    assert not (drawn[40:] == colour).all(axis=2).any()
    assert not (np.asarray(key((60, 40), classes, Drawing(hide=("class 1",)))) == colour).all(axis=2).any()


def test_drawings_that_cannot_be() -> None:
    image, mask = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    with pytest.raises(ConfigError, match="a weight of 0 to 1 is needed, found 1"):
        overlay(image, mask, some_classes(2), alpha=1.5)
    with pytest.raises(ConfigError, match="did you mean 'class 1'"):
        overlay(image, mask, some_classes(2), hide=["clas 1"])


def test_letters_of_every_font_here_are_drawn_and_others_said(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = ClassSet.build(["road", "道路", "улица"])
    monkeypatch.setattr(legend, "FONTS", ())
    legend._font_file.cache_clear()
    legend._tell.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"no font on this system has the letters of 道路(.|\n)*fix: install"):
            named = entries(dict.fromkeys(classes.names, ""), classes)
        assert [entry[0] for entry in named][:2] == ["road", "class 1"]
        assert legend._has("", "a")
        assert not legend._has("", "道")
    finally:
        legend._font_file.cache_clear()


def test_a_font_of_the_system_is_taken_where_it_has_the_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legend, "FONTS", ("none of this name.ttf", "another"))
    monkeypatch.setattr(legend, "_has", lambda file, letter: letter.isascii() or file == "another")
    opened = legend._opened
    monkeypatch.setattr(legend, "_opened", lambda file, size: opened("", size))
    legend._font_file.cache_clear()
    try:
        assert [legend._font_file(name) for name in ("road", "道路")] == ["", "another"]
        assert entries({"道路": ""}, ClassSet.build(["道路"]))[0][0] == "道路"
    finally:
        legend._font_file.cache_clear()


@pytest.mark.filterwarnings("ignore:no font")
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


@pytest.mark.parametrize("size", [12, 26, legend.LARGEST_KEPT + 1])
def test_kept_letters_are_those_that_pillow_draws(size: int) -> None:
    for text in ("road", "Åf jgy", "31 %", "道路", ""):
        expected = Image.new("RGB", (20 * size, 3 * size), legend.BACKGROUND)
        found = expected.copy()
        place, font = (size // 2, size + 1), legend._font(size, text)
        ImageDraw.Draw(expected).text(place, text, fill=legend.TEXT, font=font, anchor="lm")
        for _ in range(2):
            again = found.copy()
            legend._write(again, place, size, text, legend.TEXT)
            np.testing.assert_array_equal(np.asarray(again), np.asarray(expected))
