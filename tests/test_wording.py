"""How messages show values and names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgeseg.commands.wording import _plain
from bridgeseg.vocabulary.asked import asked
from bridgeseg.wording import join_names, printable, shortened, shown, split_names


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2], "[1, 2]"),
        ("a\nb", "'a\\nb'"),
        ("x" * 300, "'" + "x" * 119 + "..."),
        (ValueError("bad\n  thing"), "bad thing"),
        (KeyError(), "KeyError"),
    ],
)
def test_shown(value: object, expected: str) -> None:
    assert shown(value) == expected


def test_a_number_that_python_refuses_to_write() -> None:
    assert shown(10**5000) == "a huge int"


def test_shortened() -> None:
    assert shortened("a\n b\x1b[31m") == "a b\\x1b[31m"
    assert shortened("abcdef", 3) == "abc..."
    assert len(shortened("x " * 1_000_000)) == 203


def test_printable() -> None:
    assert printable("straße 道 \x1b[2J\udcff\n") == "straße 道 \\x1b[2J\\udcff\\n"


MARKS = st.characters(exclude_categories=["C", "Z"], exclude_characters='"') | st.just(" ")


@given(st.lists(st.text(MARKS), max_size=5))
def test_names_with_commas_survive(names: list[str]) -> None:
    kept = [name.strip() for name in names if name.strip()]
    assert split_names(join_names(kept)) == kept


def test_names_with_commas_are_asked_for() -> None:
    assert asked('road, "wall, painted=wall|painted wall"').prompts == (("road",), ("wall", "painted wall"))
    names = '"wall, painted", "door, double"'
    assert _plain(names) == names
