"""How messages show values and names."""

from __future__ import annotations

import pytest

from bridgeseg.wording import printable, shortened, shown


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
