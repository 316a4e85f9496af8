"""Values and names as messages show them: short, on one line, without control codes."""

from __future__ import annotations


def shown(value: object, limit: int = 120) -> str:
    """Return a short one-line description of any value, for messages.

    >>> shown([1, 2, 3])
    '[1, 2, 3]'
    """
    try:
        text = (str(value) or type(value).__name__) if isinstance(value, BaseException) else repr(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        text = f"a huge {type(value).__name__}"
    return shortened(text, limit)


def shortened(text: str, limit: int = 200) -> str:
    """Return a text on one line, cut to `limit` characters and then marked with `...`, control codes escaped."""
    text = printable(" ".join(text[: 4 * limit].split()))
    return text if len(text) <= limit else text[:limit] + "..."


def printable(value: object) -> str:
    """Escape what would break a line or a terminal: a file name may hold line breaks, control codes, broken Unicode."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode("ascii") for mark in str(value))
