from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeseg.classes import ClassSet, default_palette
from bridgeseg.errors import DataError

NAMES = st.lists(st.text(min_size=1).map(str.strip).filter(bool), min_size=1, max_size=20, unique=True)
COLOUR = st.tuples(*[st.integers(0, 255)] * 3)


def test_defaults() -> None:
    classes = ClassSet.build(["road", " sky "])
    assert classes.names == ("road", "sky")
    assert classes.prompts == (("road",), ("sky",))
    assert len(classes) == len(classes.palette) == 2
    assert classes.ignore_index == 255


def test_prompts_and_palette_by_name() -> None:
    classes = ClassSet.build(["road", "rider"], {"rider": ["cyclist", "biker"]}, {"road": (1, 2, 3)})
    assert classes.prompts == (("road",), ("cyclist", "biker"))
    assert classes.palette == ((1, 2, 3), default_palette(2)[1])


def test_many_classes_leave_room_for_the_ignore_index() -> None:
    assert ClassSet.build([f"c{index}" for index in range(255)]).ignore_index == 255
    assert ClassSet.build([f"c{index}" for index in range(256)]).ignore_index == 65535


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.data())
def test_dict_round_trip_through_json(data: st.DataObject) -> None:
    names = data.draw(NAMES)
    palette = data.draw(st.lists(COLOUR, min_size=len(names), max_size=len(names)))
    classes = ClassSet.build(names, {names[0]: ["a phrase"]}, palette)
    assert ClassSet.from_dict(json.loads(json.dumps(classes.to_dict()))) == classes


@pytest.mark.parametrize("count", [1, 11, 19, 60])
def test_default_palette_is_distinct_and_in_range(count: int) -> None:
    palette = default_palette(count)
    assert len(set(palette)) == len(palette) == count
    assert all(0 <= channel <= 255 for colour in palette for channel in colour)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([],), "no class names"),
        ((["road", "road"],), "distinct"),
        ((["road", " "],), "distinct"),
        ((["road"], {"raod": ["street"]}), "did you mean 'road'"),
        ((["road"], {"road": []}), "empty"),
        ((["road"], None, {"raod": (0, 0, 0)}), "did you mean 'road'"),
        ((["road"], None, [(0, 0, 0), (1, 1, 1)]), "2 colours for 1 classes"),
        ((["road"], None, [(0, 0, 256)]), "0..255"),
        ((["road"], None, [(0, 0)]), "three numbers"),
    ],
)
def test_what_is_refused(arguments: tuple[object, ...], text: str) -> None:
    with pytest.raises(DataError, match=text):
        ClassSet.build(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data", [{}, {"names": None}, {"names": ["road"], "prompts": 3}, {"names": ["a"], "palette": 5}]
)
def test_from_dict_refuses_what_it_cannot_read(data: dict[str, object]) -> None:
    with pytest.raises(DataError, match="not a description of classes"):
        ClassSet.from_dict(data)
